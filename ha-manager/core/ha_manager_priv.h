/* SPDX-License-Identifier: Apache-2.0 */
/* ha_manager_priv: shared by the files ha_manager*.c, and by nobody else. */
#ifndef HA_MANAGER_CORE_HA_MANAGER_PRIV_H
#define HA_MANAGER_CORE_HA_MANAGER_PRIV_H

#include "ha-manager/core/ha_affinity.h"
#include "ha-manager/core/ha_groups.h"
#include "ha-manager/core/ha_lrm_status.h"
#include "ha-manager/core/ha_manager.h"
#include "ha-manager/core/ha_placement.h"
#include "ha-manager/core/ha_resources.h"
#include "ha-manager/core/ha_settings.h"
#include "ha-manager/core/ha_usage.h"
#include "lib/base/prng.h"

/* How much is known of a node that is to be fenced: everybody can read that it is, and then: its
 * boot was noted after that. */
typedef enum HaFenced { HA_FENCED_TOLD = 1, HA_FENCED_NOTED } HaFenced;

struct HaManager {
    const HaEnv *env;
    HaManagerStatus *ms;
    StrMap *last_seen; /* borrowed */
    Prng prng;

    HaNow now;       /* of this round */
    StrMap *online;  /* members that are online: set; this round */
    StrMap *members; /* all members: set; this round */
    StrMap *lrm;     /* node -> HaLrmStatus *; this round */
    StrMap *avoid;   /* nodes in quarantine: set; this round */
    StrMap *fenced;  /* nodes whose fence is in the file -> HaFenced */
    StrMap *results; /* uid -> const HaResult * (of `lrm`); this round */
    HaSettings settings;
    HaResources *resources;
    HaGroups *groups;
    HaUsage *usage;
    HaAffinity *affinity;
    char rules_digest[41]; /* of what `affinity` was compiled from */
    char groups_digest[41];
    char resources_digest[41];
    char *compiled_nodes; /* NULL: not compiled yet */
    bool nodes_changed;   /* at the start of the round the members were not the known nodes */

    char seen_digest[HA_FILE_N][41]; /* of the texts whose defects were already reported */
    HaFile reporting;                /* the file that is being parsed */

    char *commands_done; /* carried out, but maybe still in the queue; NULL: none */
    char *fallback_text; /* last said about a scheduler that cannot be used; NULL: it can */

    int groups_countdown; /* rounds until groups are migrated */
    int hold_count;       /* rounds the imbalance has lasted */
    unsigned changes;     /* state changes in this pass of the state machine */
};

/* ha_manager.c */
/* The callback for a parser of this file's text: NULL when its defects were reported before. */
SectionWarn ha_manager_reporter(HaManager *m, HaFile file, const char *text);
int ha_manager_read(HaManager *m, HaFile file, const char *node, char **ret_text, Err *err)
    must_check;
HaPlacement ha_manager_placement(const HaManager *m);
const char *
ha_manager_select(HaManager *m, const char *sid, const HaService *s, HaPreference preference);

/* Parameters of a state change; NULL or -1: not given. */
typedef struct HaChange {
    const char *node;
    const char *target;
    int64_t timeout_s;
} HaChange;

#define HA_CHANGE_NONE    ((const HaChange){NULL, NULL, -1})
#define HA_CHANGE_NODE(n) ((const HaChange){(n), NULL, -1})

/* Changes state, logs, renews the uid and counts the service anew. */
void ha_manager_set_state(
    HaManager *m, const char *sid, HaService *s, HaServiceState state, HaChange change);

/* Says that a queued command is lost, where there is one. */
void ha_manager_tell_dropped(const HaManager *m, const char *sid, const HaService *s);

/* Runs the state machine: for all services, or for those in `only` (set of sids). */
void ha_manager_run_states(HaManager *m, const StrMap *only);

/* ha_manager_node.c */
bool ha_manager_node_online(const HaManager *m, const char *node);
/* The status as it is now is in the file. */
void ha_manager_told_fences(HaManager *m);
void ha_manager_set_node(HaManager *m, const char *node, HaNodeState state);
void ha_manager_update_nodes(HaManager *m);
bool ha_manager_offline_delayed(HaManager *m, const char *node);
/* At takeover: who was in quarantine when the last master wrote has been told of. */
void ha_manager_know_quarantine(HaManager *m);
HaLrmMode ha_manager_lrm_mode(const HaManager *m, const char *node);
/* Runs the fencing step; true when something was fenced. */
bool ha_manager_fence(HaManager *m);

/* ha_manager_service.c: one evaluation of a service's state. */
void ha_manager_eval_service(HaManager *m, const char *sid, HaService *s);

/* ha_manager_command.c: carries out what is in the queue. It leaves the queue (`drop`) when the
 * status with what came of it is written: nothing is lost with a master that dies or is late. */
int ha_manager_take_commands(HaManager *m, Err *err) must_check;
int ha_manager_drop_commands(HaManager *m, Err *err) must_check;
/* Queues a motion with all that belongs to it, as the command `migrate|relocate sid node` does. */
void ha_manager_queue_motion(
    HaManager *m, HaPending verb, const char *sid, const char *node, const char *cmd);

/* ha_manager_disarm.c: takes the place of the state machine while a disarm is recorded. */
void ha_manager_disarm(HaManager *m);

/* ha_manager_group.c */
/* True when the files were changed and must be read again. */
bool ha_manager_migrate_groups(HaManager *m);

/* ha_manager_balance.c */
void ha_manager_balance(HaManager *m);

#endif
