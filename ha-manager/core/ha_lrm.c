/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_lrm.h"

#include "ha-manager/core/ha_lease.h"
#include "ha-manager/core/ha_lrm_status.h"
#include "ha-manager/core/ha_lrm_work.h"
#include "ha-manager/core/ha_settings.h"
#include "ha-manager/core/ha_status_cache.h"

#include <errno.h>
#include <string.h>

struct HaLrm {
    const HaEnv *env;
    HaLrmState state;
    HaLrmMode mode;
    HaLease lease;
    HaStatusCache status;  /* manager_status as last read; ms NULL: never could */
    HaManagerStatus *none; /* stands in until then */
    HaWork *work;
    char *boot_id;
    HaNow now; /* of this round */
    MonoTime lost_since;
    bool refreshed;      /* cluster state was up to date at the start of the round */
    bool shutdown;       /* an orderly end is asked for */
    MonoTime asked_at;   /* ... since then */
    bool node_shutdown;  /* ... since the machine goes down */
    bool stopping;       /* lost the lock: guests are being stopped */
    bool guests_stopped; /* published: nothing of ours runs here */
    bool first_done;     /* wrote its first status */
    unsigned idle_rounds;
};

static void set_state(HaLrm *lrm, HaLrmState state)
{
    ha_log(lrm->env, TRACE_INFO, "status change %s => %s", ha_lrm_state_name(lrm->state),
           ha_lrm_state_name(state));
    lrm->state = state;
    lrm->stopping = false;
    if (state == HA_LRM_LOST_AGENT_LOCK) {
        lrm->lost_since = lrm->now.mono;
    }
}

HaLrm *ha_lrm_new(const HaEnv *env, const char *boot_id)
{
    HaLrm *lrm = g_new0(HaLrm, 1);

    lrm->env = env;
    lrm->mode = HA_MODE_ACTIVE;
    lrm->boot_id = g_strdup(boot_id);
    lrm->none = ha_manager_status_new();
    lrm->work = ha_work_new(env);
    ha_lease_init(&lrm->lease, env, ha_agent_lock_name(env->node));
    set_state(lrm, HA_LRM_WAIT_FOR_AGENT_LOCK);
    return lrm;
}

void ha_lrm_free(HaLrm *lrm)
{
    if (lrm == NULL) {
        return;
    }
    ha_work_free(lrm->work);
    ha_status_cache_done(&lrm->status);
    ha_manager_status_free(lrm->none);
    ha_lease_done(&lrm->lease);
    g_free(lrm->boot_id);
    g_free(lrm);
}

HaLrmState ha_lrm_state(const HaLrm *lrm)
{
    return lrm->state;
}

HaLrmMode ha_lrm_mode(const HaLrm *lrm)
{
    return lrm->mode;
}

static const HaManagerStatus *status(const HaLrm *lrm)
{
    return lrm->status.ms != NULL ? lrm->status.ms : lrm->none;
}

static unsigned strayed_count(const HaLrm *lrm)
{
    return lrm->env->conduct.await_moves ? ha_work_strayed(lrm->work, status(lrm)) : 0;
}

/* Services that may run here, by the manager's knowledge and by where the guests are. */
static unsigned active_count(const HaLrm *lrm)
{
    return ha_manager_status_active_count(status(lrm), lrm->env->node) + strayed_count(lrm);
}

static bool fence_requested(const HaLrm *lrm)
{
    return ha_manager_status_fence_requested(status(lrm), lrm->env->node);
}

/* Requests left after running what can be run. */
static guint run_work(HaLrm *lrm)
{
    return ha_work_run(lrm->work, status(lrm));
}

/* Needs quorum; without it nothing can be written, which is no news. */
static int write_status(HaLrm *lrm)
{
    HaLrmStatus ls = {.has_state = true,
                      .state = lrm->state,
                      .mode = lrm->mode,
                      .timestamp = lrm->now.wall.sec,
                      .boot_id = lrm->boot_id,
                      .guests_stopped = lrm->guests_stopped,
                      .lease_ms = lrm->env->conduct.publish_lease ? lrm->env->timing->lease_ms : 0,
                      .results = (StrMap *)ha_work_results(lrm->work)};
    g_autofree char *text = NULL;
    Err why = ERR_INIT;
    int r;

    if (!lrm->env->ops->quorate(lrm->env->ctx)) {
        return -EROFS;
    }
    text = ha_lrm_status_format(&ls);
    r = lrm->env->ops->write(lrm->env->ctx, HA_FILE_LRM_STATUS, lrm->env->node, text, &why);
    if (r < 0) {
        ha_log(lrm->env, TRACE_ERR, "unable to write lrm status file - %s", err_text(&why));
    }
    return r;
}

/* Reads manager_status; when that fails, what was read before stays in force. */
static bool update_status(HaLrm *lrm)
{
    g_autofree char *text = NULL;
    Err why = ERR_INIT;
    int r = lrm->env->ops->read(lrm->env->ctx, HA_FILE_MANAGER_STATUS, NULL, &text, &why);

    if (r == 0) {
        r = ha_status_cache_take(&lrm->status, g_steal_pointer(&text), lrm->env->conduct.epoch,
                                 &why);
    }
    if (r < 0) {
        ha_log(lrm->env, TRACE_ERR, "updating service status from manager failed: %s",
               err_text(&why));
    }
    return r == 0;
}

static void update_mode(HaLrm *lrm)
{
    const HaManagerStatus *ms = status(lrm);

    if (lrm->shutdown) {
        return;
    }
    if (strmap_has(ms->maintenance, lrm->env->node)) {
        lrm->mode = HA_MODE_MAINTENANCE;
    } else if (ms->disarm) {
        lrm->mode = HA_MODE_DISARM;
    } else if (lrm->mode == HA_MODE_MAINTENANCE || lrm->mode == HA_MODE_DISARM) {
        lrm->mode = HA_MODE_ACTIVE;
    }
}

static void release_lock(HaLrm *lrm)
{
    if (ha_lease_release(&lrm->lease) < 0) {
        ha_log(lrm->env, TRACE_DEBUG, "LRM lock release failed, let the lock timeout");
    }
}

/* Nothing of ours can be running: neither watchdog nor lock is needed. */
static void stand_down(HaLrm *lrm)
{
    ha_lease_close_watchdog(&lrm->lease);
    release_lock(lrm);
}

/* Services here, or on their way here: those would better find a lease under a watchdog. */
static bool has_services(const HaLrm *lrm)
{
    const HaManagerStatus *ms = status(lrm);

    for (guint i = 0; i < strmap_size(ms->services); i++) {
        const HaService *s = strmap_value(ms->services, i);

        if (strcmp(s->node, lrm->env->node) == 0 ||
            (lrm->env->conduct.await_moves && g_strcmp0(s->target, lrm->env->node) == 0)) {
            return true;
        }
    }
    return strayed_count(lrm) > 0;
}

static bool gone_idle(HaLrm *lrm)
{
    if (!has_services(lrm) && run_work(lrm) == 0) {
        lrm->idle_rounds++;
    } else {
        lrm->idle_rounds = 0;
    }
    return lrm->idle_rounds > lrm->env->timing->lrm_idle_rounds;
}

static void become_active(HaLrm *lrm)
{
    lrm->idle_rounds = 0;
    lrm->guests_stopped = false;
    set_state(lrm, HA_LRM_ACTIVE);
}

static void step_active(HaLrm *lrm)
{
    if (fence_requested(lrm)) {
        ha_log(lrm->env, TRACE_ERR, "node needs to be fenced - releasing agent_lock");
        set_state(lrm, HA_LRM_LOST_AGENT_LOCK);
    } else if (!ha_lease_hold(&lrm->lease, true)) {
        set_state(lrm, HA_LRM_LOST_AGENT_LOCK);
    } else if (lrm->mode == HA_MODE_MAINTENANCE) {
        set_state(lrm, HA_LRM_MAINTENANCE);
    } else if (lrm->mode == HA_MODE_DISARM && run_work(lrm) == 0) {
        ha_log(lrm->env, TRACE_INFO, "HA disarm requested, releasing agent lock and watchdog");
        stand_down(lrm);
        set_state(lrm, HA_LRM_WAIT_FOR_AGENT_LOCK);
    } else if (gone_idle(lrm)) {
        ha_log(lrm->env, TRACE_INFO, "node had no service configured for %u rounds, going idle.",
               lrm->env->timing->lrm_idle_rounds);
        stand_down(lrm);
        set_state(lrm, HA_LRM_WAIT_FOR_AGENT_LOCK);
    }
}

static void step_maintenance(HaLrm *lrm)
{
    if (fence_requested(lrm)) {
        ha_log(lrm->env, TRACE_ERR,
               "node needs to be fenced during maintenance mode - releasing agent_lock");
        set_state(lrm, HA_LRM_LOST_AGENT_LOCK);
        return;
    }
    if (lrm->mode == HA_MODE_DISARM && active_count(lrm) == 0 && run_work(lrm) == 0) {
        ha_log(lrm->env, TRACE_INFO,
               "HA disarm requested during maintenance, releasing agent lock and watchdog");
        stand_down(lrm);
        set_state(lrm, HA_LRM_WAIT_FOR_AGENT_LOCK);
        return;
    }
    if (active_count(lrm) > 0 || run_work(lrm) > 0) {
        if (!ha_lease_hold(&lrm->lease, true)) {
            set_state(lrm, HA_LRM_LOST_AGENT_LOCK);
        }
    } else if (lrm->mode != HA_MODE_MAINTENANCE) {
        if (ha_lease_hold(&lrm->lease, true)) {
            become_active(lrm);
        } else {
            set_state(lrm, HA_LRM_LOST_AGENT_LOCK);
        }
    }
}

/* Something of ours may run here, or is to. What is frozen does so without a lease since the LRM
 * before this one has ended: it gets one before it thaws. */
static bool needs_lease(const HaLrm *lrm)
{
    return active_count(lrm) > 0 ||
           (lrm->env->conduct.guard_thaw && lrm->mode == HA_MODE_ACTIVE &&
            ha_manager_status_frozen_count(status(lrm), lrm->env->node) > 0);
}

static void step(HaLrm *lrm)
{
    const HaEnvOps *ops = lrm->env->ops;

    switch (lrm->state) {
    case HA_LRM_WAIT_FOR_AGENT_LOCK:
        if (lrm->mode != HA_MODE_DISARM && !fence_requested(lrm) && needs_lease(lrm) &&
            ops->quorate(lrm->env->ctx) && ha_lease_hold(&lrm->lease, true)) {
            become_active(lrm);
        }
        break;
    case HA_LRM_LOST_AGENT_LOCK:
        if (!fence_requested(lrm) && ops->quorate(lrm->env->ctx) &&
            ha_lease_hold(&lrm->lease, true)) {
            become_active(lrm);
        }
        break;
    case HA_LRM_ACTIVE:
        step_active(lrm);
        break;
    case HA_LRM_MAINTENANCE:
        step_maintenance(lrm);
        break;
    case HA_LRM_STARTUP:
    case HA_LRM_STATE_N:
        break;
    }
}

static HaNext work_waiting(HaLrm *lrm)
{
    if (lrm->shutdown) {
        return (HaNext){.exit = true};
    }
    (void)write_status(lrm); /* logged there; tried again next round */
    return (HaNext){.sleep_ms = lrm->env->timing->lrm_wait_ms};
}

static bool waited_enough(const HaLrm *lrm)
{
    return mono_diff_us(lrm->now.mono, lrm->asked_at) >=
           lrm->env->timing->move_wait_ms * US_PER_MS;
}

/* The end of an active LRM: true when it can go. */
static bool finish_active(HaLrm *lrm)
{
    guint left = 0, incoming = 0;

    if (lrm->node_shutdown && lrm->env->conduct.stop_arrivals) {
        left = ha_work_queue_arrivals(lrm->work, status(lrm), &incoming);
    }
    if (lrm->mode == HA_MODE_RESTART) {
        if (lrm->env->conduct.finish_moves) {
            /* What the master asked for before it saw us go: it counts as ours until it is done. */
            ha_work_queue_motions(lrm->work, status(lrm));
        }
        left += run_work(lrm);
        if (active_count(lrm) > 0 || left > 0) {
            return false;
        }
        lrm->guests_stopped = lrm->node_shutdown && ha_work_stop_failures(lrm->work) == 0;
        stand_down(lrm);
        return true;
    }
    if (run_work(lrm) + left > 0 || (incoming > 0 && !waited_enough(lrm))) {
        return false;
    }
    /* With a guest that would not stop, the watchdog stays open and resets the node; so it does
     * with one that may come yet: the node it is to leave may go down, too, and never send it. */
    if (incoming == 0 && ha_work_stop_failures(lrm->work) == 0) {
        lrm->guests_stopped = lrm->node_shutdown;
        stand_down(lrm);
    }
    return true;
}

static HaNext work_active(HaLrm *lrm)
{
    bool exit = false;

    if (update_status(lrm)) {
        if (lrm->shutdown) {
            exit = finish_active(lrm);
        } else if (!lrm->refreshed) {
            ha_log(lrm->env, TRACE_NOTICE,
                   "temporary inconsistent cluster state (cfs restart?), skip round");
        } else {
            ha_work_queue_services(lrm->work, status(lrm));
            (void)run_work(lrm); /* what is left is looked at next round */
        }
    }
    (void)write_status(lrm); /* logged there; tried again next round */
    return (HaNext){.exit = exit, .sleep_ms = lrm->env->timing->lrm_round_ms};
}

/* Guests before hosts: a node that cannot keep its lease stops its guests while it still may; once
 * nothing runs, it has nothing to be reset for. */
static void stop_guests(HaLrm *lrm)
{
    if (!lrm->stopping) {
        ha_log(lrm->env, TRACE_WARNING, "lost agent lock - stopping all services of this node");
        ha_work_forget_stop_failures(lrm->work);
        ha_work_queue_stops(lrm->work, status(lrm), 0, true);
        lrm->stopping = true;
    }
    if (run_work(lrm) > 0) {
        return;
    }
    if (ha_work_stop_failures(lrm->work) > 0) {
        lrm->stopping = false; /* once more, until it works or the watchdog ends it */
        return;
    }
    if (lrm->lease.watchdog) {
        ha_log(lrm->env, TRACE_WARNING,
               "all services of this node are stopped - closing watchdog, giving agent lock back");
        lrm->guests_stopped = true;
        stand_down(lrm);
        (void)write_status(lrm); /* fails without quorum: then nobody could read it either */
    }
}

static HaNext work_lost(HaLrm *lrm)
{
    const HaTiming *t = lrm->env->timing;
    unsigned running = active_count(lrm);
    int64_t lost_ms = mono_diff_us(lrm->now.mono, lrm->lost_since) / US_PER_MS;

    if (lrm->env->conduct.guests_first) {
        stop_guests(lrm);
    }
    if (!lrm->shutdown) {
        return (HaNext){.sleep_ms = t->lrm_wait_ms};
    }
    if (running == 0) {
        ha_lease_close_watchdog(&lrm->lease);
        return (HaNext){.exit = true};
    }
    ha_log(lrm->env, TRACE_ERR,
           "got shutdown request in state 'lost_agent_lock' - detected %u running services",
           running);
    if (lrm->mode == HA_MODE_RESTART && lost_ms > t->restart_giveup_ms) {
        ha_log(lrm->env, TRACE_ERR,
               "lost agent lock and restart request for over %d seconds - giving up!",
               (int)(t->restart_giveup_ms / 1000));
        return (HaNext){.exit = true};
    }
    return (HaNext){.sleep_ms = t->lrm_wait_ms};
}

static HaNext work_maintenance(HaLrm *lrm)
{
    HaNext next = {.sleep_ms = lrm->env->timing->lrm_maintenance_round_ms};

    if (!update_status(lrm)) {
        (void)write_status(lrm); /* logged there; tried again next round */
        return next;
    }
    if (active_count(lrm) == 0 && run_work(lrm) == 0) {
        ha_lease_close_watchdog(&lrm->lease);
        if (lrm->shutdown) {
            next.exit = true;
        }
        release_lock(lrm);
    }
    if (!next.exit) {
        ha_work_queue_services(lrm->work, status(lrm));
        (void)run_work(lrm); /* what is left is looked at next round */
    }
    (void)write_status(lrm); /* logged there; tried again next round */
    return next;
}

static HaNext work(HaLrm *lrm)
{
    switch (lrm->state) {
    case HA_LRM_WAIT_FOR_AGENT_LOCK:
        return work_waiting(lrm);
    case HA_LRM_ACTIVE:
        return work_active(lrm);
    case HA_LRM_LOST_AGENT_LOCK:
        return work_lost(lrm);
    case HA_LRM_MAINTENANCE:
        return work_maintenance(lrm);
    case HA_LRM_STARTUP:
    case HA_LRM_STATE_N:
        break;
    }
    return (HaNext){.exit = true};
}

/* A fresh process tells who it is before anything else: the results of the one before are void. */
static bool write_first_status(HaLrm *lrm)
{
    bool *done = lrm->env->first_write_done != NULL ? lrm->env->first_write_done : &lrm->first_done;

    if (!*done && write_status(lrm) == 0) {
        *done = true;
    }
    return *done;
}

HaNext ha_lrm_round(HaLrm *lrm, HaNow now)
{
    lrm->now = now;
    if (!write_first_status(lrm)) {
        return (HaNext){.exit = lrm->shutdown, .sleep_ms = lrm->env->timing->lrm_wait_ms};
    }
    lrm->refreshed = lrm->env->ops->refresh(lrm->env->ctx) == 0;
    (void)update_status(lrm); /* logged there; the old copy stays in force */
    update_mode(lrm);
    step(lrm);
    return work(lrm);
}

bool ha_lrm_poll(HaLrm *lrm, HaNow now)
{
    guint before = strmap_size(ha_work_results(lrm->work));
    guint left;

    lrm->now = now;
    if (lrm->state == HA_LRM_LOST_AGENT_LOCK && lrm->env->conduct.guests_first) {
        stop_guests(lrm);
        return lrm->stopping && lrm->lease.watchdog;
    }
    if (lrm->state != HA_LRM_ACTIVE && lrm->state != HA_LRM_MAINTENANCE) {
        return false;
    }
    left = run_work(lrm);
    if (strmap_size(ha_work_results(lrm->work)) != before) {
        (void)write_status(lrm); /* logged there; the next round writes again */
    }
    return left > 0;
}

static bool policy_freezes(HaLrm *lrm, const char *name, bool reboot)
{
    int policy = ha_policy_from_name(name);

    if (policy < 0) {
        ha_log(lrm->env, TRACE_ERR, "unknown shutdown policy '%s', fall back to conditional", name);
        policy = HA_POLICY_CONDITIONAL;
    }
    return policy == HA_POLICY_FREEZE || (policy == HA_POLICY_CONDITIONAL && reboot);
}

/* What a node shutdown means for the services, by policy. */
static void plan_node_shutdown(HaLrm *lrm, const char *policy, bool reboot)
{
    const char *what = reboot ? "reboot" : "shutdown";
    bool migrate = strcmp(policy, ha_policy_name(HA_POLICY_MIGRATE)) == 0;
    bool freeze = !migrate && policy_freezes(lrm, policy, reboot);

    if (!migrate) {
        ha_work_queue_stops(lrm->work, status(lrm), -1, false);
    }
    if (lrm->mode == HA_MODE_MAINTENANCE) {
        if (migrate) {
            ha_log(lrm->env, TRACE_INFO,
                   "%s LRM, ignore maintenance policy, already in maintenance mode", what);
        } else {
            ha_log(lrm->env, TRACE_INFO,
                   "%s LRM, ignore %s policy as manual maintenance mode is enabled", what, policy);
        }
    } else if (migrate) {
        ha_log(lrm->env, TRACE_INFO,
               "%s LRM, doing maintenance, removing this node from active list", what);
        lrm->mode = HA_MODE_MAINTENANCE;
    } else if (freeze) {
        ha_log(lrm->env, TRACE_INFO, "%s LRM, stop and freeze all services", what);
        lrm->mode = HA_MODE_RESTART;
    } else {
        ha_log(lrm->env, TRACE_INFO, "shutdown LRM, stop all services");
        lrm->mode = HA_MODE_SHUTDOWN;
    }
}

static void plan_restart(HaLrm *lrm)
{
    if (lrm->mode == HA_MODE_MAINTENANCE) {
        ha_log(lrm->env, TRACE_INFO,
               "Restarting LRM in maintenance mode may be delayed until all services are moved");
        return;
    }
    ha_log(lrm->env, TRACE_INFO, "restart LRM, freeze all services");
    lrm->mode = HA_MODE_RESTART;
}

void ha_lrm_request_shutdown(HaLrm *lrm, HaShutdown why, HaNow now)
{
    g_autofree char *text = NULL;
    HaSettings settings;

    if (lrm->shutdown) {
        return;
    }
    lrm->now = now;
    lrm->shutdown = true;
    lrm->asked_at = now.mono;
    lrm->node_shutdown = why.node;
    if (why.node) {
        ha_settings_init(&settings);
        if (lrm->env->ops->read(lrm->env->ctx, HA_FILE_DATACENTER, NULL, &text, NULL) == 0) {
            ha_settings_parse(text, &settings);
        }
        ha_log(lrm->env, TRACE_INFO, "got shutdown request with shutdown policy '%s'",
               settings.shutdown_policy);
        plan_node_shutdown(lrm, settings.shutdown_policy, why.reboot);
    } else {
        plan_restart(lrm);
    }
    if (write_status(lrm) < 0) {
        ha_log(lrm->env, TRACE_ERR, "unable to update lrm status file - not quorate?");
    }
}
