/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_manager_status: the file ha/manager_status in memory: what the master has decided, for all to
 * read. Reference: ha.md section 2.7. Written by the master only.
 */
#ifndef HA_MANAGER_CORE_HA_MANAGER_STATUS_H
#define HA_MANAGER_CORE_HA_MANAGER_STATUS_H

#include "ha-manager/core/ha_flaps.h"
#include "ha-manager/core/ha_names.h"
#include "ha-manager/core/ha_service.h"
#include "lib/base/err.h"
#include "lib/base/strmap.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct HaManagerStatus {
    char *master_node;   /* NULL: never had a master */
    int64_t timestamp;   /* Unix seconds of the last write; 0: unknown */
    uint64_t epoch;      /* grows with every new master that keeps count; 0: nobody does */
    int64_t lease_ms;    /* for how long the manager lock counts after a renewal; 0: not told */
    StrMap *nodes;       /* node -> GINT_TO_POINTER(HaNodeState) */
    StrMap *services;    /* sid -> HaService * */
    StrMap *boots;       /* node -> char *: last boot seen at work, or the one to be fenced */
    StrMap *flaps;       /* node -> HaFlaps *: when it was lost */
    StrMap *maintenance; /* node -> non-NULL: maintenance is requested */
    bool no_spare;       /* people were told that the loss of a node could not be carried */
    bool disarm;         /* a disarm is recorded ... */
    HaDisarmMode disarm_mode;
    bool disarmed; /* ... and complete */
} HaManagerStatus;

/* Reports what a damaged file holds; `what` is the entry's path in the file. */
typedef void (*HaStatusWarn)(void *ctx, const char *what, const char *why);

HaManagerStatus *ha_manager_status_new(void);
void ha_manager_status_free(HaManagerStatus *ms);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaManagerStatus, ha_manager_status_free)

/* Reads the file's text ("" is the empty status). Entries that make no sense are reported and left
 * out; a text that is no JSON object gives -EBADMSG, one too large -EFBIG. */
int ha_manager_status_parse(
    const char *text, HaStatusWarn warn, void *ctx, HaManagerStatus **ret_ms, Err *err) must_check;

/* The file's text; caller frees. */
char *ha_manager_status_format(const HaManagerStatus *ms);

/* State of a node; unknown when there is no entry. */
HaNodeState ha_manager_status_node(const HaManagerStatus *ms, const char *node);

/* A service is waiting for that node to be fenced, or the node's own state says so. */
bool ha_manager_status_fence_requested(const HaManagerStatus *ms, const char *node);

/* Some service is in state fence on that node. */
bool ha_manager_status_service_in_fence(const HaManagerStatus *ms, const char *node);

/* In that state its guest may be running, or is to be. */
bool ha_service_may_run(HaServiceState state);

/* Services frozen on that node: they may be running there, with nobody to watch over them. */
unsigned ha_manager_status_frozen_count(const HaManagerStatus *ms, const char *node);

/* Services whose node or target is `node` and that may be running there. */
unsigned ha_manager_status_active_count(const HaManagerStatus *ms, const char *node);

#endif
