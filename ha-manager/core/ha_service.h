/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_service: what the manager knows of one service: its entry in manager_status. Reference: ha.md
 * section 2.7. Plain data; the owner is the manager status it sits in.
 */
#ifndef HA_MANAGER_CORE_HA_SERVICE_H
#define HA_MANAGER_CORE_HA_SERVICE_H

#include "ha-manager/core/ha_names.h"
#include "lib/base/prng.h"

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

/* A uid made here has 11 characters (66 bits): half of the original's, so that 10,000 services fit
 * into the 1 MiB a status file may have. Longer ones, made elsewhere, are kept as they are. */
#define HA_UID_LENGTH 11
#define HA_UID_SIZE   44

typedef enum HaPending {
    HA_PENDING_NONE,
    HA_PENDING_MIGRATE,
    HA_PENDING_RELOCATE,
    HA_PENDING_STOP
} HaPending;

typedef struct HaService {
    HaServiceState state;
    char *node;                /* node the service belongs to */
    char *target;              /* migration target, or NULL */
    char *maintenance_node;    /* node to return to after maintenance, or NULL */
    char *proof;               /* why the last recovery was safe, or NULL */
    GPtrArray *failed_nodes;   /* char *: nodes where starting failed; NULL: none */
    char uid[HA_UID_SIZE];     /* names this state; renewed with it */
    HaPending pending;         /* queued command */
    char *pending_target;      /* of migrate and relocate */
    int64_t pending_timeout_s; /* of stop */
    int64_t timeout_s;         /* of request_stop; -1: none */
    bool running;              /* LRM said so since the last state change */
    int64_t frozen_since_us;   /* memory of this master, not written; 0: not seen frozen */
    bool alerted;              /* people were told that no node can take it; for the next master */
} HaService;

HaService *ha_service_new(HaServiceState state, const char *node);
void ha_service_free(void *service);

/* Gives the service a new uid, unique with a probability that needs no further thought. */
void ha_service_new_uid(HaService *s, Prng *prng);

/* Forgets what does not survive a state change: all but state, node, failed_nodes,
 * maintenance_node and proof. */
void ha_service_prune(HaService *s);

/* As the command is called; "" for none. */
const char *ha_pending_name(HaPending pending);

/* What was asked for and what failed is forgotten, noted, or asked. Names are copied. */
void ha_service_clear_pending(HaService *s);
void ha_service_add_failed_node(HaService *s, const char *node);
void ha_service_clear_failed_nodes(HaService *s);
bool ha_service_has_failed_on(const HaService *s, const char *node);

/* "a, b"; caller frees. */
char *ha_service_failed_nodes_text(const HaService *s);

/* The entry as read from manager_status. NULL, with the reason in *ret_why (static), when it cannot
 * be used. An unknown state, from a newer version, reads as freeze: nobody touches the service, and
 * it thaws by the documented rule; *ret_why then says so while the result is not NULL. */
HaService *ha_service_from_json(JsonObject *o, const char **ret_why);

/* Appends the entry's JSON object. */
void ha_service_append_json(const HaService *s, GString *out);

#endif
