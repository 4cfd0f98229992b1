/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_agent.h"

#include "ha-manager/core/ha_resources.h"

#include <string.h>

static bool is_running(const HaEnv *env, const char *sid)
{
    return env->ops->agent_running(env->ctx, sid) == 1;
}

static HaExit start(const HaEnv *env, const char *sid)
{
    if (is_running(env, sid)) {
        return HA_EXIT_SUCCESS;
    }
    ha_log(env, TRACE_INFO, "starting service %s", sid);
    env->ops->agent_start(env->ctx, sid);
    if (is_running(env, sid)) {
        ha_log(env, TRACE_INFO, "service status %s started", sid);
        return HA_EXIT_SUCCESS;
    }
    ha_log(env, TRACE_WARNING, "unable to start service %s", sid);
    return HA_EXIT_ERROR;
}

static HaExit stop(const HaEnv *env, const char *sid, int64_t timeout_s)
{
    if (env->ops->agent_running(env->ctx, sid) == 0) {
        return HA_EXIT_SUCCESS;
    }
    if (timeout_s >= 0) {
        ha_log(env, TRACE_INFO, "stopping service %s (timeout=%" G_GINT64_FORMAT ")", sid,
               timeout_s);
    } else {
        ha_log(env, TRACE_INFO, "stopping service %s", sid);
    }
    env->ops->agent_stop(env->ctx, sid, timeout_s);
    if (env->ops->agent_running(env->ctx, sid) == 0) {
        ha_log(env, TRACE_INFO, "service status %s stopped", sid);
        return HA_EXIT_SUCCESS;
    }
    ha_log(env, TRACE_INFO, "unable to stop service %s (still running)", sid);
    return HA_EXIT_ERROR;
}

static HaExit move(const HaEnv *env, const HaJob *job)
{
    const char *sid = job->sid;

    if (job->target == NULL) {
        return HA_EXIT_INVALID_PARAMETER;
    }
    if (strcmp(job->target, env->node) == 0) {
        return HA_EXIT_SUCCESS;
    }
    if (job->state == HA_SERVICE_REQUEST_START_BALANCE && is_running(env, sid)) {
        ha_log(env, TRACE_INFO, "ignoring rebalance-on-start for service %s - already running",
               sid);
        return HA_EXIT_IGNORED;
    }
    if (env->ops->agent_migrate(env->ctx, sid, job->target, job->state == HA_SERVICE_MIGRATE) < 0) {
        ha_log(env, TRACE_ERR, "service %s not moved (migration error)", sid);
        return HA_EXIT_ERROR;
    }
    return HA_EXIT_SUCCESS;
}

static HaExit carry_out(const HaEnv *env, const HaJob *job)
{
    switch (job->state) {
    case HA_SERVICE_STARTED:
        return start(env, job->sid);
    case HA_SERVICE_REQUEST_STOP:
    case HA_SERVICE_STOPPED:
        return stop(env, job->sid, job->timeout_s);
    case HA_SERVICE_MIGRATE:
    case HA_SERVICE_RELOCATE:
    case HA_SERVICE_REQUEST_START_BALANCE:
        return move(env, job);
    case HA_SERVICE_REQUEST_START:
    case HA_SERVICE_FENCE:
    case HA_SERVICE_RECOVERY:
    case HA_SERVICE_FREEZE:
    case HA_SERVICE_ERROR:
    case HA_SERVICE_STATE_N:
        break;
    }
    ha_log(env, TRACE_ERR, "implement me (cmd '%s')", ha_service_state_name(job->state));
    return HA_EXIT_UNKNOWN_COMMAND;
}

HaExit ha_agent_run(const HaEnv *env, const HaJob *job, bool configured)
{
    g_autofree char *type = ha_sid_type(job->sid);
    g_autofree char *node = NULL;

    if (!env->ops->agent_has_type(env->ctx, type)) {
        ha_log(env, TRACE_ERR, "service type '%s' not implemented", type);
        return HA_EXIT_UNKNOWN_TYPE;
    }
    if (!configured) {
        ha_log(env, TRACE_ERR, "missing resource configuration for '%s'", job->sid);
        return HA_EXIT_UNKNOWN_SERVICE;
    }
    if (job->state == HA_SERVICE_ERROR) {
        ha_log(env, TRACE_ERR,
               "service %s is in an error state and needs manual intervention. Look up 'ERROR "
               "RECOVERY' in the documentation.",
               job->sid);
        return HA_EXIT_SUCCESS;
    }
    node = env->ops->guest_node(env->ctx, job->sid);
    if (g_strcmp0(node, env->node) != 0) {
        if (job->uid == NULL && env->conduct.stops_first &&
            env->ops->agent_running(env->ctx, job->sid) == 0) {
            return HA_EXIT_SUCCESS; /* to be down here, and it is */
        }
        ha_log(env, TRACE_ERR, "service '%s' not on this node", job->sid);
        return HA_EXIT_WRONG_NODE;
    }
    return carry_out(env, job);
}
