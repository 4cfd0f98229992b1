/* SPDX-License-Identifier: Apache-2.0 */
/* The states of a service, one function each: ha.md section 6. */
#include "ha-manager/core/ha_limits.h"
#include "ha-manager/core/ha_manager_priv.h"

#include <string.h>

/* Guest locks that an operation interrupted by the node's death leaves behind. */
static const char *const leftover_locks[] = {
    "backup",   "mounted",         "migrate",    "clone",     "rollback",
    "snapshot", "snapshot-delete", "suspending", "suspended", NULL};

/* The LRM's answer to the service's present state; NULL: none yet. */
static const HaResult *result_of(const HaManager *m, const HaService *s)
{
    return strmap_get(m->results, s->uid);
}

static HaRequest request_of(const HaManager *m, const char *sid)
{
    return ha_resources_request(m->resources, sid);
}

/* Where a service goes that shall run, or shall not. */
static HaServiceState wanted_state(const HaManager *m, const char *sid)
{
    return request_of(m, sid) == HA_REQUEST_STARTED ? HA_SERVICE_STARTED : HA_SERVICE_REQUEST_STOP;
}

static void eval_request_stop(HaManager *m, const char *sid, HaService *s)
{
    const HaResult *res = result_of(m, s);

    if (res != NULL) {
        if (res->exit_code == HA_EXIT_SUCCESS) {
            ha_manager_set_state(m, sid, s, HA_SERVICE_STOPPED, HA_CHANGE_NONE);
            return;
        }
        ha_log(m->env, TRACE_ERR, "service '%s' stop failed (exit code %d)", sid, res->exit_code);
        ha_manager_set_state(m, sid, s, HA_SERVICE_ERROR, HA_CHANGE_NONE);
        return;
    }
    if (ha_manager_offline_delayed(m, s->node)) {
        ha_manager_set_state(m, sid, s, HA_SERVICE_FENCE, HA_CHANGE_NONE);
    }
}

/* True when a queued motion can be done; otherwise says why not. */
static bool motion_possible(HaManager *m, const char *sid, const HaService *s)
{
    const char *verb = ha_pending_name(s->pending);

    if (!ha_manager_node_online(m, s->pending_target)) {
        ha_log(m->env, TRACE_ERR, "ignore service '%s' %s request - node '%s' not online", sid,
               verb, s->pending_target);
        return false;
    }
    if (strcmp(s->node, s->pending_target) == 0) {
        ha_log(m->env, TRACE_INFO, "ignore service '%s' %s request - service already on node '%s'",
               sid, verb, s->pending_target);
        return false;
    }
    return true;
}

static void
start_motion(HaManager *m, const char *sid, HaService *s, HaPending verb, const char *to)
{
    ha_manager_set_state(m, sid, s,
                         verb == HA_PENDING_MIGRATE ? HA_SERVICE_MIGRATE : HA_SERVICE_RELOCATE,
                         (HaChange){s->node, to, -1});
}

/* True when a queued command changed the state. The command is done with in any case. */
static bool stopped_command(HaManager *m, const char *sid, HaService *s)
{
    if (s->pending == HA_PENDING_STOP) {
        ha_log(m->env, TRACE_INFO, "ignore service '%s' stop request - service already stopped",
               sid);
    } else if (s->pending != HA_PENDING_NONE && motion_possible(m, sid, s)) {
        start_motion(m, sid, s, s->pending, s->pending_target);
        return true;
    }
    ha_service_clear_pending(s);
    return false;
}

static void eval_stopped(HaManager *m, const char *sid, HaService *s)
{
    const HaResource *res = ha_resources_get(m->resources, sid);
    HaRequest request = request_of(m, sid);

    if (res != NULL && res->node != NULL && strcmp(s->node, res->node) != 0) {
        ha_log(m->env, TRACE_INFO, "fixup service '%s' location (%s => %s)", sid, s->node,
               res->node);
        g_free(s->node);
        s->node = g_strdup(res->node);
    }
    if (stopped_command(m, sid, s) || request == HA_REQUEST_DISABLED) {
        return;
    }
    if (ha_manager_offline_delayed(m, s->node) &&
        ha_manager_status_node(m->ms, s->node) != HA_NODE_MAINTENANCE) {
        ha_manager_set_state(m, sid, s, HA_SERVICE_FENCE, HA_CHANGE_NONE);
        return;
    }
    if (request == HA_REQUEST_STARTED) {
        ha_manager_set_state(m, sid, s, HA_SERVICE_REQUEST_START, HA_CHANGE_NODE(s->node));
    } else if (request != HA_REQUEST_STOPPED) {
        ha_log(m->env, TRACE_ERR, "service '%s' - unknown state '%s' in service configuration", sid,
               ha_request_name(request));
    }
}

static void eval_request_start(HaManager *m, const char *sid, HaService *s)
{
    const char *node;

    if (m->settings.rebalance_on_start) {
        node = ha_manager_select(m, sid, s, HA_PREFER_BEST_SCORE);
        if (node != NULL) {
            bool moves = strcmp(node, s->node) != 0;

            ha_log(m->env, TRACE_INFO, "service %s: re-balance selected %s node %s for startup",
                   sid, moves ? "new" : "current", node);
            if (moves) {
                ha_manager_set_state(m, sid, s, HA_SERVICE_REQUEST_START_BALANCE,
                                     (HaChange){s->node, node, -1});
                return;
            }
        }
    }
    ha_manager_set_state(m, sid, s, HA_SERVICE_STARTED, HA_CHANGE_NODE(s->node));
}

static void stop_by_command(HaManager *m, const char *sid, HaService *s)
{
    int64_t timeout = s->pending_timeout_s;
    HaRequestEdit edit = {m->env->types, sid, HA_REQUEST_STOPPED};
    HaResource *res = ha_resources_get(m->resources, sid);
    Err why = ERR_INIT;

    if (timeout == 0) {
        ha_log(m->env, TRACE_INFO, "request immediate service hard-stop for service '%s'", sid);
    } else {
        ha_log(m->env, TRACE_INFO,
               "request graceful stop with timeout '%" G_GINT64_FORMAT "' for service '%s'",
               timeout, sid);
    }
    ha_manager_set_state(m, sid, s, HA_SERVICE_REQUEST_STOP, (HaChange){NULL, NULL, timeout});
    if (m->env->ops->update(m->env->ctx, HA_FILE_RESOURCES, ha_resources_edit_request, &edit,
                            &why) < 0) {
        ha_log(m->env, TRACE_ERR, "service '%s': could not change requested state: %s", sid,
               err_text(&why));
    } else if (res != NULL) {
        res->request = HA_REQUEST_STOPPED;
    }
}

static void started_command(HaManager *m, const char *sid, HaService *s)
{
    if (s->pending == HA_PENDING_STOP) {
        stop_by_command(m, sid, s);
        return;
    }
    if (motion_possible(m, sid, s)) {
        ha_log(m->env, TRACE_INFO, "%s service '%s' to node '%s'", ha_pending_name(s->pending), sid,
               s->pending_target);
        start_motion(m, sid, s, s->pending, s->pending_target);
        return;
    }
    ha_service_clear_pending(s);
}

static void start_succeeded(HaManager *m, const char *sid, HaService *s)
{
    if (s->failed_nodes != NULL) {
        g_autofree char *nodes = ha_service_failed_nodes_text(s);

        ha_log(m->env, TRACE_INFO,
               "relocation policy successful for '%s' on node '%s', failed nodes: %s", sid, s->node,
               nodes);
        ha_service_clear_failed_nodes(s);
    }
    s->running = true; /* counts as measured from the next round on, when usage is rebuilt */
}

/* The answer to a start. False when the service went into error state. */
static bool eval_start_result(HaManager *m,
                              const char *sid,
                              HaService *s,
                              const HaResult *result,
                              HaPreference *ret_preference)
{
    const HaResource *res = ha_resources_get(m->resources, sid);
    int64_t max_relocate = MIN(res != NULL ? res->max_relocate : 1, HA_FAILED_NODES_MAX - 1);
    g_autofree char *nodes = NULL;

    if (result->exit_code == HA_EXIT_SUCCESS) {
        start_succeeded(m, sid, s);
        return true;
    }
    s->running = false;
    ha_service_add_failed_node(s, s->node);
    if (result->exit_code != HA_EXIT_ERROR && result->exit_code != HA_EXIT_WRONG_NODE) {
        ha_log(m->env, TRACE_ERR, "service '%s' got unrecoverable error (exit code %d)", sid,
               result->exit_code);
        ha_manager_set_state(m, sid, s, HA_SERVICE_ERROR, HA_CHANGE_NONE);
        return false;
    }
    if (s->failed_nodes->len <= max_relocate) {
        ha_log(m->env, TRACE_WARNING,
               "starting service %s on node '%s' failed, relocating service.", sid, s->node);
        *ret_preference = HA_PREFER_TRY_NEXT;
        return true;
    }
    nodes = ha_service_failed_nodes_text(s);
    ha_log(m->env, TRACE_ERR,
           "recovery policy for service %s failed, entering error state. Failed nodes: %s", sid,
           nodes);
    ha_manager_set_state(m, sid, s, HA_SERVICE_ERROR, HA_CHANGE_NONE);
    return false;
}

static void leave_node(HaManager *m, const char *sid, HaService *s, const char *node)
{
    const HaResource *res = ha_resources_get(m->resources, sid);

    if (s->maintenance_node != NULL) {
        if (strcmp(s->maintenance_node, node) == 0) {
            ha_log(m->env, TRACE_INFO,
                   "moving service '%s' back to '%s', node came back from maintenance.", sid, node);
            g_clear_pointer(&s->maintenance_node, g_free);
        } else if (strcmp(s->maintenance_node, s->node) != 0) {
            ha_log(m->env, TRACE_INFO, "dropping maintenance fallback node '%s' for '%s'",
                   s->maintenance_node, sid);
            g_clear_pointer(&s->maintenance_node, g_free);
        }
    }
    if (res != NULL && strcmp(res->type, "vm") == 0) {
        ha_log(m->env, TRACE_INFO, "migrate service '%s' to node '%s' (running)", sid, node);
        start_motion(m, sid, s, HA_PENDING_MIGRATE, node);
    } else {
        ha_log(m->env, TRACE_INFO, "relocate service '%s' to node '%s'", sid, node);
        start_motion(m, sid, s, HA_PENDING_RELOCATE, node);
    }
}

static void stay_on_node(
    HaManager *m, const char *sid, HaService *s, HaPreference preference, bool found, bool answered)
{
    if (preference == HA_PREFER_TRY_NEXT && !found) {
        g_autofree char *nodes = ha_service_failed_nodes_text(s);

        ha_log(m->env, TRACE_WARNING,
               "Start Error Recovery: Tried all available nodes for service '%s', retry start on "
               "current node. Tried nodes: %s",
               sid, nodes);
    }
    if (s->maintenance_node != NULL && strcmp(s->maintenance_node, s->node) == 0 &&
        ha_manager_node_online(m, s->node)) {
        ha_log(m->env, TRACE_INFO,
               "service '%s': clearing stale maintenance node '%s' setting (is current node)", sid,
               s->maintenance_node);
        g_clear_pointer(&s->maintenance_node, g_free);
    }
    if (answered) {
        ha_service_new_uid(s, &m->prng); /* the LRM shall look again */
    }
}

static void eval_wanted_started(HaManager *m, const char *sid, HaService *s)
{
    const HaResult *result = result_of(m, s);
    HaPreference preference = HA_PREFER_NONE;
    const char *node;

    if (s->pending != HA_PENDING_NONE) {
        started_command(m, sid, s);
        return;
    }
    if (result != NULL && !eval_start_result(m, sid, s, result, &preference)) {
        return;
    }
    node = ha_manager_select(m, sid, s, preference);
    if (node != NULL && strcmp(node, s->node) != 0) {
        leave_node(m, sid, s, node);
    } else {
        stay_on_node(m, sid, s, preference, node != NULL, result != NULL);
    }
}

static void eval_started(HaManager *m, const char *sid, HaService *s)
{
    HaRequest request = request_of(m, sid);

    if (!ha_manager_node_online(m, s->node)) {
        bool lost = ha_manager_offline_delayed(m, s->node);

        if (lost) {
            ha_manager_set_state(m, sid, s, HA_SERVICE_FENCE, HA_CHANGE_NONE);
        }
        if (ha_manager_status_node(m->ms, s->node) != HA_NODE_MAINTENANCE ||
            (lost && m->env->conduct.strict_fence)) {
            return;
        }
        /* As documented, a service on a node in maintenance that is lost as well is looked at
         * further; the next pass brings it back to fence. */
        g_free(s->maintenance_node);
        s->maintenance_node = g_strdup(s->node);
    }
    if (request == HA_REQUEST_STARTED) {
        eval_wanted_started(m, sid, s);
    } else {
        ha_manager_set_state(m, sid, s, HA_SERVICE_REQUEST_STOP, HA_CHANGE_NONE);
    }
}

/* Where the guest really is decides: a move that was made, but whose LRM could not report it any
 * more, has happened all the same. False: there is nothing to follow. */
static bool follow_guest(HaManager *m, const char *sid, HaService *s)
{
    g_autofree char *node = NULL;

    if (!m->env->conduct.follow_moves) {
        return false;
    }
    node = m->env->ops->guest_node(m->env->ctx, sid);
    if (node == NULL || strcmp(node, s->node) == 0 || !strmap_has(m->ms->nodes, node)) {
        return false;
    }
    ha_log(m->env, TRACE_NOTICE, "service '%s' was moved to node '%s', following it", sid, node);
    ha_manager_set_state(m, sid, s, wanted_state(m, sid), HA_CHANGE_NODE(node));
    return true;
}

/* The answer to a motion. True when the offline check follows. */
static bool eval_motion_result(HaManager *m, const char *sid, HaService *s, int exit_code)
{
    switch (exit_code) {
    case HA_EXIT_SUCCESS:
        ha_manager_set_state(m, sid, s, wanted_state(m, sid), HA_CHANGE_NODE(s->target));
        return false;
    case HA_EXIT_WRONG_NODE:
        if (follow_guest(m, sid, s)) {
            return false;
        }
        ha_log(m->env, TRACE_ERR,
               "service '%s' - migration failed: service registered on wrong node!", sid);
        ha_manager_set_state(m, sid, s, HA_SERVICE_ERROR, HA_CHANGE_NONE);
        return true;
    case HA_EXIT_IGNORED:
        ha_log(m->env, TRACE_INFO,
               "service '%s' - rebalance-on-start request ignored - service already running", sid);
        ha_manager_set_state(m, sid, s, wanted_state(m, sid), HA_CHANGE_NODE(s->node));
        return true;
    default:
        ha_log(m->env, TRACE_ERR, "service '%s' - migration failed (exit code %d)", sid, exit_code);
        ha_manager_set_state(m, sid, s, wanted_state(m, sid), HA_CHANGE_NODE(s->node));
        return false;
    }
}

static void eval_motion(HaManager *m, const char *sid, HaService *s)
{
    const HaResult *res = result_of(m, s);

    if (res != NULL && !eval_motion_result(m, sid, s, res->exit_code)) {
        return;
    }
    if (ha_manager_offline_delayed(m, s->node)) {
        ha_manager_set_state(m, sid, s, HA_SERVICE_FENCE, HA_CHANGE_NONE);
    }
}

static void remove_leftover_lock(HaManager *m, const char *sid)
{
    g_autofree char *lock = m->env->ops->guest_lock(m->env->ctx, sid);
    Err why = ERR_INIT;

    if (lock == NULL || !g_strv_contains(leftover_locks, lock)) {
        return;
    }
    if (m->env->ops->guest_unlock(m->env->ctx, sid, lock, &why) < 0) {
        ha_log(m->env, TRACE_ERR, "could not remove lock '%s' from service '%s': %s", lock, sid,
               err_text(&why));
        return;
    }
    ha_log(m->env, TRACE_WARNING,
           "removed leftover lock '%s' from recovered service '%s' to allow its start.", lock, sid);
}

static void recover_to(HaManager *m, const char *sid, HaService *s, const char *node)
{
    HaResource *res = ha_resources_get(m->resources, sid);
    Err why = ERR_INIT;

    if (strcmp(s->node, node) != 0) {
        ha_log(m->env, TRACE_INFO, "recover service '%s' from fenced node '%s' to node '%s'", sid,
               s->node, node);
    } else {
        ha_log(m->env, TRACE_INFO,
               "recover service '%s' to previous failed and fenced node '%s' again", sid, s->node);
    }
    remove_leftover_lock(m, sid);
    if (m->env->ops->guest_move(m->env->ctx, sid, s->node, node, &why) < 0) {
        ha_log(m->env, TRACE_ERR, "recovering service '%s' to node '%s' failed: %s", sid, node,
               err_text(&why));
        (void)follow_guest(m, sid, s); /* else it stays in recovery: the next round tries again */
        return;
    }
    if (res != NULL) {
        g_free(res->node);
        res->node = g_strdup(node);
    }
    ha_manager_set_state(m, sid, s, wanted_state(m, sid), HA_CHANGE_NODE(node));
}

static void alert_no_node(HaManager *m, const char *sid, HaService *s)
{
    g_autofree char *text = g_strdup_printf(
        "no node can take service '%s' from fenced node '%s': none is online that its rules allow",
        sid, s->node);
    HaNotice notice = {.prefix = "ALERT", .text = text, .node = s->node, .sid = sid};

    m->env->ops->notify(m->env->ctx, &notice);
}

static void eval_recovery(HaManager *m, const char *sid, HaService *s)
{
    const char *node = ha_manager_select(m, sid, s, HA_PREFER_BEST_SCORE);

    if (node != NULL) {
        recover_to(m, sid, s, node);
        return;
    }
    if (!s->alerted || !m->env->conduct.alert_once) {
        ha_log(m->env, TRACE_ERR,
               "recovering service '%s' from fenced node '%s' failed, no recovery node found", sid,
               s->node);
    }
    if (!s->alerted && m->env->conduct.alert_once) {
        alert_no_node(m, sid, s);
    }
    s->alerted = m->env->conduct.alert_once;
    if (request_of(m, sid) == HA_REQUEST_DISABLED) {
        ha_service_clear_failed_nodes(s);
        ha_manager_set_state(m, sid, s, HA_SERVICE_STOPPED, HA_CHANGE_NONE);
    }
}

/* The node went down in order, all guests stopped, and is not back. (An LRM that merely restarts
 * leaves its guests running without a watchdog: then nothing but its return helps.) */
static bool frozen_for_good(const HaManager *m, const HaService *s)
{
    const HaLrmStatus *ls = strmap_get(m->lrm, s->node);
    HaNodeState node = ha_manager_status_node(m->ms, s->node);

    return ls != NULL && ls->guests_stopped && node != HA_NODE_ONLINE &&
           node != HA_NODE_MAINTENANCE;
}

/* The LRM is back at work. One of ours (it tells its boot id) takes its lease before anything
 * thaws: a guest that counts as started without one could be recovered elsewhere as it runs. */
static bool lrm_is_back(HaManager *m, const char *node)
{
    const HaLrmStatus *ls = strmap_get(m->lrm, node);

    if (ha_manager_lrm_mode(m, node) != HA_MODE_ACTIVE) {
        return false;
    }
    return !m->env->conduct.guard_thaw || ls == NULL || ls->boot_id == NULL ||
           ls->state == HA_LRM_ACTIVE || ls->state == HA_LRM_MAINTENANCE;
}

/* A frozen service thaws when its LRM is back; one whose node does not come back is given up after
 * a while, where a limit is set: the way to another node is then fence, with all its proof. */
static void eval_freeze(HaManager *m, const char *sid, HaService *s)
{
    int64_t limit_ms = m->env->conduct.freeze_max_ms;

    if (lrm_is_back(m, s->node)) {
        ha_manager_set_state(m, sid, s, wanted_state(m, sid), HA_CHANGE_NONE);
        return;
    }
    if (limit_ms == 0 || !frozen_for_good(m, s)) {
        s->frozen_since_us = 0;
        return;
    }
    if (s->frozen_since_us == 0) {
        s->frozen_since_us = m->now.mono.us;
    }
    if (m->now.mono.us - s->frozen_since_us >= limit_ms * US_PER_MS) {
        ha_log(m->env, TRACE_WARNING,
               "service '%s' is frozen on node '%s', which does not come back: recovering it", sid,
               s->node);
        ha_manager_set_state(m, sid, s, HA_SERVICE_FENCE, HA_CHANGE_NONE);
    }
}

static void eval_error(HaManager *m, const char *sid, HaService *s)
{
    if (request_of(m, sid) == HA_REQUEST_DISABLED) {
        ha_service_clear_failed_nodes(s);
        ha_manager_set_state(m, sid, s, HA_SERVICE_STOPPED, HA_CHANGE_NONE);
    }
}

void ha_manager_eval_service(HaManager *m, const char *sid, HaService *s)
{
    switch (s->state) {
    case HA_SERVICE_STOPPED:
        eval_stopped(m, sid, s);
        break;
    case HA_SERVICE_REQUEST_STOP:
        eval_request_stop(m, sid, s);
        break;
    case HA_SERVICE_REQUEST_START:
        eval_request_start(m, sid, s);
        break;
    case HA_SERVICE_STARTED:
        eval_started(m, sid, s);
        break;
    case HA_SERVICE_MIGRATE:
    case HA_SERVICE_RELOCATE:
    case HA_SERVICE_REQUEST_START_BALANCE:
        eval_motion(m, sid, s);
        break;
    case HA_SERVICE_RECOVERY:
        eval_recovery(m, sid, s);
        break;
    case HA_SERVICE_FREEZE:
        eval_freeze(m, sid, s);
        break;
    case HA_SERVICE_ERROR:
        eval_error(m, sid, s);
        break;
    case HA_SERVICE_FENCE: /* waits for the fencing step */
    case HA_SERVICE_STATE_N:
        break;
    }
}
