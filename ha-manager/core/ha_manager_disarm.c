/* SPDX-License-Identifier: Apache-2.0 */
/* Disarming HA: ha.md section 10. */
#include "ha-manager/core/ha_manager_priv.h"

static bool is_unsettled(HaServiceState state)
{
    return state == HA_SERVICE_FENCE || state == HA_SERVICE_RECOVERY ||
           state == HA_SERVICE_MIGRATE || state == HA_SERVICE_RELOCATE;
}

/* Services that must come to rest first; says so for each. */
static StrMap *unsettled(const HaManager *m)
{
    StrMap *out = strmap_new(NULL);

    for (guint i = 0; i < strmap_size(m->ms->services); i++) {
        const char *sid = strmap_key(m->ms->services, i);
        const HaService *s = strmap_value(m->ms->services, i);

        if (!is_unsettled(s->state)) {
            continue;
        }
        ha_log(m->env,
               s->state == HA_SERVICE_FENCE || s->state == HA_SERVICE_RECOVERY ? TRACE_WARNING
                                                                               : TRACE_INFO,
               "deferring disarm - service '%s' is in '%s' state", sid,
               ha_service_state_name(s->state));
        strmap_set(out, sid, GINT_TO_POINTER(1));
    }
    return out;
}

static bool can_freeze(HaServiceState state)
{
    return state == HA_SERVICE_STARTED || state == HA_SERVICE_STOPPED ||
           state == HA_SERVICE_REQUEST_STOP || state == HA_SERVICE_REQUEST_START ||
           state == HA_SERVICE_REQUEST_START_BALANCE;
}

static void settle(HaManager *m)
{
    for (guint i = 0; i < strmap_size(m->ms->services); i++) {
        const char *sid = strmap_key(m->ms->services, i);
        HaService *s = strmap_value(m->ms->services, i);

        ha_manager_tell_dropped(m, sid, s);
        ha_service_prune(s);
        ha_service_clear_failed_nodes(s);
        if (m->ms->disarm_mode != HA_DISARM_FREEZE || !can_freeze(s->state)) {
            continue;
        }
        ha_log(m->env, TRACE_INFO, "disarm: freezing service '%s' (was '%s')", sid,
               ha_service_state_name(s->state));
        s->state = HA_SERVICE_FREEZE;
        ha_service_new_uid(s, &m->prng);
    }
}

static bool all_lrms_disarmed(const HaManager *m)
{
    for (guint i = 0; i < strmap_size(m->ms->nodes); i++) {
        const char *node = strmap_key(m->ms->nodes, i);

        if (ha_manager_node_online(m, node) && ha_manager_lrm_mode(m, node) != HA_MODE_DISARM) {
            return false;
        }
    }
    return true;
}

void ha_manager_disarm(HaManager *m)
{
    g_autoptr(StrMap) busy = unsettled(m);

    if (strmap_size(busy) > 0) {
        ha_manager_run_states(m, busy);
        return;
    }
    settle(m);
    if (!m->ms->disarmed && all_lrms_disarmed(m)) {
        ha_log(m->env, TRACE_INFO, "all LRMs disarmed, HA stack is now fully disarmed");
        m->ms->disarmed = true;
    }
}
