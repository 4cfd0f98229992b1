/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_env.h"

STRTAB_DEFINE(ha_file, HaFile, HA_FILE_LIST, HA_FILE_N)

const HaConduct ha_conduct_documented = {.freeze_max_ms = 0};

const HaConduct ha_conduct_improved = {
    .report_config = true,
    .resource_digest = true,
    .keep_last_seen = true,
    .strict_fence = true,
    .guests_first = true,
    .alert_once = true,
    .record_proof = true,
    .publish_lease = true,
    .follow_moves = true,
    .guard_thaw = true,
    .finish_moves = true,
    .await_moves = true,
    .stop_arrivals = true,
    .guard_moves = true,
    .stops_first = true,
    .join_late = true,
    .tell_dropped = true,
    .rules_by_nodes = true,
    .quarantine = true,
    .epoch = true,
    .step_aside = true,
    .freeze_max_ms = INT64_C(15) * 60 * 1000,
};

char *ha_agent_lock_name(const char *node)
{
    return g_strdup_printf("ha_agent_%s_lock", node);
}

void ha_guest_free(void *data)
{
    HaGuest *guest = data;

    g_free(guest->node);
    g_free(guest);
}

void ha_loads_init(HaLoads *loads)
{
    loads->nodes = strmap_new(g_free);
    loads->guests = strmap_new(g_free);
}

void ha_loads_done(HaLoads *loads)
{
    g_clear_pointer(&loads->nodes, strmap_free);
    g_clear_pointer(&loads->guests, strmap_free);
}

void ha_job_free(void *data)
{
    HaJob *job = data;

    if (job == NULL) {
        return;
    }
    g_free(job->sid);
    g_free(job->uid);
    g_free(job->target);
    g_free(job);
}

void ha_log(const HaEnv *env, TraceLevel level, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    if (env->ops->log == NULL) {
        return;
    }
    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    env->ops->log(env->ctx, level, text);
}
