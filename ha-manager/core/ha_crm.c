/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_crm.h"

#include "ha-manager/core/ha_lease.h"
#include "ha-manager/core/ha_resources.h"
#include "ha-manager/core/ha_status_cache.h"

#include <string.h>

struct HaCrm {
    const HaEnv *env;
    HaCrmState state;
    HaLease lease;
    HaManager *manager;   /* only as master */
    StrMap *last_seen;    /* node -> MonoTime * */
    HaStatusCache status; /* manager_status as last read */
    char *resources_text; /* ha/resources.cfg as last read, and how many services it has */
    int n_resources;
    uint64_t epoch_seen; /* highest of any manager_status read */
    HaNow now;           /* of this round */
    bool refreshed;      /* cluster state was up to date at the start of the round */
    bool shutdown;       /* an orderly end is asked for */
    bool disarmed;       /* locally noted: HA is disarmed, no watchdog is wanted */
    unsigned idle_rounds;
};

static void set_state(HaCrm *crm, HaCrmState state)
{
    ha_log(crm->env, TRACE_INFO, "status change %s => %s", ha_crm_state_name(crm->state),
           ha_crm_state_name(state));
    crm->state = state;
}

HaCrm *ha_crm_new(const HaEnv *env)
{
    HaCrm *crm = g_new0(HaCrm, 1);

    crm->env = env;
    crm->last_seen = ha_last_seen_new();
    ha_lease_init(&crm->lease, env, g_strdup(HA_MANAGER_LOCK));
    set_state(crm, HA_CRM_WAIT_FOR_QUORUM);
    return crm;
}

void ha_crm_free(HaCrm *crm)
{
    if (crm == NULL) {
        return;
    }
    ha_manager_free(crm->manager);
    strmap_free(crm->last_seen);
    ha_status_cache_done(&crm->status);
    g_free(crm->resources_text);
    ha_lease_done(&crm->lease);
    g_free(crm);
}

HaCrmState ha_crm_state(const HaCrm *crm)
{
    return crm->state;
}

const HaManagerStatus *ha_crm_manager_status(const HaCrm *crm)
{
    return crm->manager != NULL ? ha_manager_status(crm->manager) : NULL;
}

void ha_crm_note_no_spare(HaCrm *crm, bool no_spare)
{
    if (crm->manager != NULL) {
        ha_manager_note_no_spare(crm->manager, no_spare);
    }
}

const HaManagerStatus *ha_crm_status_read(const HaCrm *crm)
{
    return crm->status.ms;
}

void ha_crm_request_shutdown(HaCrm *crm)
{
    if (!crm->shutdown) {
        ha_log(crm->env, TRACE_INFO, "server received shutdown request");
        crm->shutdown = true;
    }
}

/* The file as it is, borrowed until the next call; NULL when it cannot be read. */
static const HaManagerStatus *read_status(HaCrm *crm)
{
    char *text = NULL;
    Err why = ERR_INIT;
    int r = crm->env->ops->read(crm->env->ctx, HA_FILE_MANAGER_STATUS, NULL, &text, &why);

    if (r == 0) {
        r = ha_status_cache_take(&crm->status, text, false, &why);
    }
    if (r < 0) {
        ha_log(crm->env, TRACE_ERR, "could not read manager status: %s", err_text(&why));
        return NULL;
    }
    crm->epoch_seen = MAX(crm->epoch_seen, crm->status.ms->epoch);
    if (crm->manager != NULL) {
        ha_manager_observe(crm->manager, crm->status.ms);
    }
    return crm->status.ms;
}

/* Fit to be master: in the quorate part, well informed, and not to be fenced itself. Gives the
 * status read on the way; NULL: not fit. */
static const HaManagerStatus *check_healthy(HaCrm *crm)
{
    const HaManagerStatus *ms;

    if (!crm->env->ops->quorate(crm->env->ctx) || !crm->refreshed) {
        return NULL;
    }
    ms = read_status(crm);
    return ms != NULL && !ha_manager_status_service_in_fence(ms, crm->env->node) ? ms : NULL;
}

/* How many services are configured; -1 when that cannot be told. */
static int count_resources(HaCrm *crm)
{
    g_autoptr(HaResources) res = NULL;
    g_autofree char *text = NULL;

    if (crm->env->ops->read(crm->env->ctx, HA_FILE_RESOURCES, NULL, &text, NULL) < 0) {
        return -1;
    }
    if (crm->resources_text != NULL && strcmp(crm->resources_text, text) == 0) {
        return crm->n_resources;
    }
    if (ha_resources_parse(crm->env->types, text, NULL, NULL, NULL, &res, NULL) < 0) {
        return -1;
    }
    g_free(crm->resources_text);
    crm->resources_text = g_steal_pointer(&text);
    crm->n_resources = (int)strmap_size(res->by_sid);
    return crm->n_resources;
}

static bool commands_queued(HaCrm *crm)
{
    g_autofree char *text = NULL;

    return crm->env->ops->read(crm->env->ctx, HA_FILE_COMMANDS, NULL, &text, NULL) == 0 &&
           text[0] != '\0';
}

static bool leftover_maintenance(const HaManagerStatus *ms)
{
    for (guint i = 0; i < strmap_size(ms->nodes); i++) {
        if (GPOINTER_TO_INT(strmap_value(ms->nodes, i)) == HA_NODE_MAINTENANCE &&
            !strmap_has(ms->maintenance, strmap_key(ms->nodes, i))) {
            return true;
        }
    }
    return false;
}

/* Without a service, a master is needed only to tidy up, and only if nobody else does. */
static bool empty_but_needed(HaCrm *crm, const HaManagerStatus *ms)
{
    if (ms->master_node != NULL && strcmp(ms->master_node, crm->env->node) != 0 &&
        ha_manager_status_node(ms, ms->master_node) == HA_NODE_ONLINE) {
        return false;
    }
    return leftover_maintenance(ms) || commands_queued(crm) || strmap_size(ms->services) > 0 ||
           ms->disarm;
}

static bool can_get_active(HaCrm *crm, bool allow_empty)
{
    const HaManagerStatus *ms = check_healthy(crm);
    int n;

    if (ms == NULL) {
        return false;
    }
    if (allow_empty) {
        return true;
    }
    n = count_resources(crm);
    return n > 0 || (n == 0 && empty_but_needed(crm, ms));
}

static bool allowed_to_get_idle(HaCrm *crm)
{
    const HaManagerStatus *ms = check_healthy(crm);

    return ms != NULL && !ms->disarm && strmap_size(ms->services) == 0 && count_resources(crm) == 0;
}

/* A disarmed cluster has no watchdogs: a master that takes over must not bring one. */
static bool takes_over_disarmed(HaCrm *crm)
{
    const HaManagerStatus *ms;

    if (crm->lease.watchdog || crm->disarmed) {
        return crm->disarmed;
    }
    ms = read_status(crm);
    if (ms == NULL || !ms->disarm || !ms->disarmed) {
        return false;
    }
    ha_log(crm->env, TRACE_INFO, "taking over as disarmed master, skipping watchdog");
    crm->disarmed = true;
    return true;
}

static bool get_lock(HaCrm *crm)
{
    MonoTime since;

    if (!ha_lease_take(&crm->lease, &since)) {
        return false;
    }
    return (takes_over_disarmed(crm) && !crm->lease.watchdog) || ha_lease_guard(&crm->lease, since);
}

/* Takes over what the last master left; a failure is said here and leaves no manager. */
static bool need_manager(HaCrm *crm)
{
    Err why = ERR_INIT;

    if (crm->manager == NULL &&
        ha_manager_new(crm->env, crm->last_seen, crm->epoch_seen, &crm->manager, &why) < 0) {
        ha_log(crm->env, TRACE_ERR, "got unexpected error - %s", err_text(&why));
    }
    return crm->manager != NULL;
}

static void become_master(HaCrm *crm)
{
    crm->idle_rounds = 0;
    set_state(crm, HA_CRM_MASTER);
    (void)need_manager(crm); /* said there; tried again before the manager works */
}

static void leave_master(HaCrm *crm, HaCrmState state)
{
    g_clear_pointer(&crm->manager, ha_manager_free);
    set_state(crm, state);
}

static void give_up_master(HaCrm *crm)
{
    ha_lease_close_watchdog(&crm->lease);
    if (ha_lease_release(&crm->lease) < 0) {
        ha_log(crm->env, TRACE_NOTICE, "CRM lock release failed, let the lock timeout");
    }
    leave_master(crm, HA_CRM_WAIT_FOR_QUORUM);
}

static void go_idle(HaCrm *crm)
{
    ha_log(crm->env, TRACE_INFO, "cluster had no service configured for %u rounds, going idle.",
           crm->env->timing->crm_idle_rounds);
    give_up_master(crm);
}

/* Between the look at the status and the lock the last master may have begun to fence this node:
 * nobody can prove that of himself, and all would wait for ever. */
static bool is_to_be_fenced(const HaCrm *crm)
{
    return crm->env->conduct.step_aside && crm->manager != NULL &&
           ha_manager_status_service_in_fence(ha_manager_status(crm->manager), crm->env->node);
}

static void step_master(HaCrm *crm)
{
    if (!get_lock(crm)) {
        leave_master(crm, HA_CRM_LOST_MANAGER_LOCK);
        return;
    }
    if (is_to_be_fenced(crm)) {
        ha_log(crm->env, TRACE_WARNING,
               "this node is to be fenced: giving the manager lock to another one");
        give_up_master(crm);
        return;
    }
    crm->idle_rounds = allowed_to_get_idle(crm) ? crm->idle_rounds + 1 : 0;
    if (crm->idle_rounds > crm->env->timing->crm_idle_rounds) {
        go_idle(crm);
    }
}

static void step(HaCrm *crm)
{
    switch (crm->state) {
    case HA_CRM_WAIT_FOR_QUORUM:
        if (can_get_active(crm, false)) {
            if (get_lock(crm)) {
                become_master(crm);
            } else {
                set_state(crm, HA_CRM_SLAVE);
            }
        }
        break;
    case HA_CRM_SLAVE:
        if (!can_get_active(crm, false)) {
            set_state(crm, HA_CRM_WAIT_FOR_QUORUM);
        } else if (get_lock(crm)) {
            become_master(crm);
        }
        break;
    case HA_CRM_LOST_MANAGER_LOCK:
        if (can_get_active(crm, true) && get_lock(crm)) {
            become_master(crm);
        }
        break;
    case HA_CRM_MASTER:
        step_master(crm);
        break;
    case HA_CRM_STARTUP:
    case HA_CRM_STATE_N:
        break;
    }
}

static void follow_disarm(HaCrm *crm)
{
    bool disarmed = ha_manager_is_disarmed(crm->manager);

    if (disarmed && !crm->disarmed) {
        ha_log(crm->env, TRACE_INFO, "HA stack fully disarmed, releasing CRM watchdog");
        ha_lease_close_watchdog(&crm->lease);
        crm->disarmed = true;
    } else if (!disarmed && crm->disarmed) {
        ha_log(crm->env, TRACE_INFO, "re-arming HA stack");
        crm->disarmed = false; /* the next renewal opens the watchdog */
    }
}

static void manage(HaCrm *crm)
{
    Err why = ERR_INIT;

    if (!crm->refreshed) {
        ha_log(crm->env, TRACE_NOTICE,
               "temporary inconsistent cluster state (cfs restart?), skip round");
        return;
    }
    if (!need_manager(crm)) {
        return;
    }
    if (ha_manager_round(crm->manager, crm->now, &why) < 0) {
        ha_log(crm->env, TRACE_ERR, "got unexpected error - %s", err_text(&why));
        return;
    }
    follow_disarm(crm);
}

static HaNext work_as_master(HaCrm *crm)
{
    if (crm->shutdown) {
        ha_lease_close_watchdog(&crm->lease);
        ha_log(crm->env, TRACE_INFO, "voluntary release CRM lock");
        if (ha_lease_release(&crm->lease) < 0) {
            ha_log(crm->env, TRACE_NOTICE, "CRM lock release failed, let the lock timeout");
        }
        return (HaNext){.exit = true};
    }
    manage(crm);
    return (HaNext){.sleep_ms = crm->env->timing->crm_round_ms};
}

static HaNext work(HaCrm *crm)
{
    switch (crm->state) {
    case HA_CRM_WAIT_FOR_QUORUM:
        return (HaNext){.exit = crm->shutdown, .sleep_ms = crm->env->timing->crm_wait_ms};
    case HA_CRM_SLAVE:
        return (HaNext){.exit = crm->shutdown, .sleep_ms = crm->env->timing->lock_pause_ms};
    case HA_CRM_LOST_MANAGER_LOCK:
        ha_lease_close_watchdog(&crm->lease); /* we run no services and write nothing any more */
        if (crm->shutdown) {
            return (HaNext){.exit = true};
        }
        set_state(crm, HA_CRM_WAIT_FOR_QUORUM);
        return (HaNext){.sleep_ms = crm->env->timing->crm_wait_ms};
    case HA_CRM_MASTER:
        return work_as_master(crm);
    case HA_CRM_STARTUP:
    case HA_CRM_STATE_N:
        break;
    }
    return (HaNext){.exit = true};
}

/* A slave that watches the nodes need not start counting when it becomes master. */
static void watch_members(HaCrm *crm)
{
    g_autoptr(StrMap) members = strmap_new(NULL);

    if (!crm->refreshed || crm->env->ops->members(crm->env->ctx, members, NULL) < 0) {
        return;
    }
    for (guint i = 0; i < strmap_size(members); i++) {
        if (strmap_value(members, i) != NULL) {
            ha_last_seen_note(crm->last_seen, strmap_key(members, i), crm->now.mono);
        }
    }
}

HaNext ha_crm_round(HaCrm *crm, HaNow now)
{
    crm->now = now;
    crm->refreshed = crm->env->ops->refresh(crm->env->ctx) == 0;
    if (crm->env->conduct.keep_last_seen) {
        watch_members(crm);
    } else if (crm->state != HA_CRM_MASTER) {
        strmap_clear(crm->last_seen); /* as documented: a new master starts to count anew */
    }
    step(crm);
    return work(crm);
}
