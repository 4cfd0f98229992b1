/* SPDX-License-Identifier: Apache-2.0 */
/* Turning groups.cfg into rules for good: ha.md section 12. */
#include "ha-manager/core/ha_manager_priv.h"

#include <errno.h>

static int check_lrm(HaManager *m, const char *node, Err *err)
{
    const HaLrmStatus *ls = strmap_get(m->lrm, node);

    if (ls == NULL || !ls->has_state) {
        return err_setf(err, -EAGAIN, "could not retrieve state for lrm '%s'", node);
    }
    ha_log(m->env, TRACE_NOTICE, "ha groups migration: lrm '%s' is in state '%s' and mode '%s'",
           node, ha_lrm_state_name(ls->state), ha_lrm_mode_name(ls->mode));
    if (ls->state != HA_LRM_ACTIVE && !(ls->state == HA_LRM_WAIT_FOR_AGENT_LOCK &&
                                        ha_manager_status_active_count(m->ms, node) == 0)) {
        return err_setf(err, -EAGAIN, "lrm '%s' is not in state 'active' or 'idle'", node);
    }
    if (ls->mode != HA_MODE_ACTIVE) {
        return err_setf(err, -EAGAIN, "lrm '%s' is not in mode 'active'", node);
    }
    return 0;
}

static int check_version(HaManager *m, const char *node, Err *err)
{
    g_autofree char *version = m->env->ops->node_version(m->env->ctx, node);

    if (version == NULL) {
        return err_setf(err, -EAGAIN, "could not retrieve version from node '%s'", node);
    }
    ha_log(m->env, TRACE_NOTICE, "ha groups migration: node '%s' has version '%s'", node, version);
    if (!ha_groups_version_ok(version)) {
        return err_setf(err, -EAGAIN, "node '%s' needs at least pve-manager version '9.0.0~16'",
                        node);
    }
    return 0;
}

static int check_node(HaManager *m, const char *node, Err *err)
{
    HaNodeState state = ha_manager_status_node(m->ms, node);
    int r;

    ha_log(m->env, TRACE_NOTICE, "ha groups migration: node '%s' is in state '%s'", node,
           ha_node_state_name(state));
    if (state != HA_NODE_ONLINE) {
        return err_setf(err, -EAGAIN, "node '%s' is not online", node);
    }
    r = check_lrm(m, node, err);
    return r < 0 ? r : check_version(m, node, err);
}

static int check_all(HaManager *m, Err *err)
{
    if (!m->env->ops->quorate(m->env->ctx)) {
        return err_setf(err, -EAGAIN, "cluster is not quorate");
    }
    if (strmap_size(m->ms->nodes) == 0) {
        return err_setf(err, -EAGAIN, "node list is empty");
    }
    for (guint i = 0; i < strmap_size(m->ms->nodes); i++) {
        int r = check_node(m, strmap_key(m->ms->nodes, i), err);

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int remove_groups(const char *old_text, char **ret_text, void *data, Err *err)
{
    (void)old_text;
    (void)data;
    (void)err;
    *ret_text = g_strdup("");
    return 0;
}

/* Rules first: until the groups are gone, both say the same. */
static int convert(HaManager *m, Err *err)
{
    const HaEnvOps *ops = m->env->ops;
    g_autoptr(HaRules) rules = ha_rules_new();
    HaUngroupEdit edit = {m->env->types, m->resources};
    int r;

    ha_groups_apply_failback(m->groups, m->resources);
    ha_groups_add_rules(m->groups, m->resources, rules);
    r = ops->update(m->env->ctx, HA_FILE_RULES, ha_rules_edit_add, rules, err);
    if (r < 0) {
        return r;
    }
    ha_log(m->env, TRACE_NOTICE, "ha groups migration: migration to rules config successful");
    r = ops->update(m->env->ctx, HA_FILE_RESOURCES, ha_resources_edit_ungroup, &edit, err);
    if (r < 0) {
        return r;
    }
    ha_log(m->env, TRACE_NOTICE, "ha groups migration: migration to resources config successful");
    r = ops->update(m->env->ctx, HA_FILE_GROUPS, remove_groups, NULL, err);
    if (r < 0) {
        return r;
    }
    ha_log(m->env, TRACE_NOTICE, "ha groups migration: group config deletion successful");
    return 0;
}

bool ha_manager_migrate_groups(HaManager *m)
{
    int retry = (int)m->env->timing->groups_retry_rounds;
    Err why = ERR_INIT;

    if (strmap_size(m->groups->by_id) == 0 || --m->groups_countdown > 0) {
        return false;
    }
    m->groups_countdown = retry;
    ha_log(m->env, TRACE_NOTICE, "start ha group migration...");
    if (check_all(m, &why) < 0 || convert(m, &why) < 0) {
        ha_log(m->env, TRACE_ERR, "abort ha groups migration: %s", err_text(&why));
        ha_log(m->env, TRACE_ERR, "ha groups migration failed");
        ha_log(m->env, TRACE_NOTICE, "retry ha groups migration in %d rounds (~ %d seconds)", retry,
               (int)(retry * m->env->timing->crm_round_ms / 1000));
        return false;
    }
    ha_log(m->env, TRACE_NOTICE, "ha groups migration successful");
    return true;
}
