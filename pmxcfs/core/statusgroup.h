/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statusgroup: keeps the status of all nodes known to all (group `pve_kvstore_v1`, protocol 0;
 * reference pmxcfs chapter 11; docs/wire/kvstore.md). The content is Status (status.h), the group
 * protocol dfsm.h; here is what ties them: what is sent when, what is taken from whom.
 *
 * Pure: events in, actions out, like replica.h. Owned by the cfs thread. Each call changes the
 * Status it was given, so the caller holds the lock that guards it, for the call and no longer:
 * actions are performed after the lock was let go.
 */
#ifndef PMXCFS_CORE_STATUSGROUP_H
#define PMXCFS_CORE_STATUSGROUP_H

#include "lib/base/err.h"
#include "lib/base/timeval.h"
#include "lib/base/tracer.h"
#include "pmxcfs/core/group.h"
#include "pmxcfs/core/status.h"

#define STATUSGROUP_NAME      "pve_kvstore_v1"
#define STATUSGROUP_VERSION   0
#define STATUSGROUP_ANSWER_MS 3000 /* a member that does not answer is not waited for longer */
#define STATUSGROUP_UNSENT_MAX                                                                     \
    (8u * 1024u * 1024u) /* bytes the group has not taken; then -EBUSY                             \
                          */

typedef struct StatusGroup StatusGroup;

typedef struct StatusGroupConfig {
    bool local;               /* no group at all */
    const char *node_address; /* text of `nodeip`; NULL: none is published */
    uint64_t seed;            /* for jitter */
} StatusGroupConfig;

typedef enum StatusGroupActionKind {
    STATUSGROUP_ACT_SEND,  /* multicast `bytes`; ends in GROUP_EV_SENT or SEND_FAILED */
    STATUSGROUP_ACT_JOIN,  /* connect and join, not before `at` */
    STATUSGROUP_ACT_LEAVE, /* leave and close */
    STATUSGROUP_ACT_TIMER, /* call statusgroup_tick at `at`; replaces the timer before */
    STATUSGROUP_ACT_RRD,   /* hand `id` and `bytes` (a text with its NUL) to the RRD writer */
    STATUSGROUP_ACT_N
} StatusGroupActionKind;

typedef struct StatusGroupAction {
    StatusGroupActionKind kind;
    GBytes *bytes; /* SEND, RRD */
    char *id;      /* RRD */
    MonoTime at;   /* JOIN, TIMER */
} StatusGroupAction;

typedef struct StatusGroupUpdate {
    GArray *actions; /* of StatusGroupAction, to be performed in order */
} StatusGroupUpdate;

void statusgroup_update_init(StatusGroupUpdate *up);
void statusgroup_update_done(StatusGroupUpdate *up); /* frees what the actions own */
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(StatusGroupUpdate, statusgroup_update_done)

/* `s` is borrowed and must outlive the result. */
StatusGroup *statusgroup_new(const StatusGroupConfig *cfg, Status *s, const Tracer *tracer);
void statusgroup_free(StatusGroup *g); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StatusGroup, statusgroup_free)

/* ---- events; `now` and `wall` are those of the event, actions are appended to `up` ---- */

/* First join; an event of the group; time passed. What follows is appended to `up`. */
void statusgroup_start(StatusGroup *g, MonoTime now, WallTime wall, StatusGroupUpdate *up);
void statusgroup_event(
    StatusGroup *g, const GroupEvent *ev, MonoTime now, WallTime wall, StatusGroupUpdate *up);
void statusgroup_tick(StatusGroup *g, MonoTime now, WallTime wall, StatusGroupUpdate *up);

/* Sets a key of this node and tells the others; refused values are told to nobody. Errors of
 * status_set, or -EBUSY while the group takes nothing more. Out of the group it is success: the
 * keys are sent when we join. */
int statusgroup_set(StatusGroup *g,
                    const char *key,
                    const void *value,
                    size_t size,
                    MonoTime now,
                    WallTime wall,
                    StatusGroupUpdate *up,
                    Err *err) must_check;

/* Adds an entry to the cluster log and tells the others: as status_log, or -EBUSY as above. */
int statusgroup_log(StatusGroup *g,
                    uint8_t priority,
                    const char *ident,
                    const char *tag,
                    uint32_t pid,
                    const char *text,
                    MonoTime now,
                    WallTime wall,
                    StatusGroupUpdate *up,
                    Err *err) must_check;

/* For views and metrics. In local mode: START, and nobody. */
GroupMode statusgroup_mode(const StatusGroup *g);
uint32_t statusgroup_members(const StatusGroup *g);

#endif
