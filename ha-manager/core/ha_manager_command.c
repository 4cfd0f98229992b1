/* SPDX-License-Identifier: Apache-2.0 */
/* The command queue: ha.md section 9. */
#include "ha-manager/core/ha_limits.h"
#include "ha-manager/core/ha_manager_priv.h"

#include <string.h>

/* Services that must not be where this one goes, and are there. */
static bool motion_blocked(HaManager *m, const char *sid, const char *node, const char *cmd)
{
    const GPtrArray *apart = ha_affinity_apart(m->affinity, sid);
    bool blocked = false;

    for (guint i = 0; i < apart->len; i++) {
        const char *other = g_ptr_array_index(apart, i);
        const HaService *s = strmap_get(m->ms->services, other);

        if (s == NULL || ha_resources_request(m->resources, other) == HA_REQUEST_IGNORED) {
            continue;
        }
        if (strcmp(s->node, node) == 0 && (s->target == NULL || strcmp(s->target, node) == 0)) {
            ha_log(m->env, TRACE_ERR,
                   "crm command '%s' error - service '%s' on node '%s' in negative affinity with "
                   "service '%s'",
                   cmd, other, node, sid);
            blocked = true;
        }
    }
    return blocked;
}

static void set_pending_motion(HaService *s, HaPending verb, const char *node)
{
    ha_service_clear_pending(s);
    s->pending = verb;
    s->pending_target = g_strdup(node);
}

void ha_manager_queue_motion(
    HaManager *m, HaPending verb, const char *sid, const char *node, const char *cmd)
{
    const GPtrArray *together = ha_affinity_together(m->affinity, sid);

    if (motion_blocked(m, sid, node, cmd)) {
        return;
    }
    ha_log(m->env, TRACE_INFO, "got crm command: %s", cmd);
    set_pending_motion(strmap_get(m->ms->services, sid), verb, node);
    for (guint i = 0; i < together->len; i++) {
        const char *other = g_ptr_array_index(together, i);
        HaService *s = strmap_get(m->ms->services, other);

        if (s == NULL || strcmp(s->node, node) == 0 || g_strcmp0(s->target, node) == 0) {
            continue;
        }
        ha_log(m->env, TRACE_INFO,
               "crm command '%s' - %s service '%s' to node '%s' (service '%s' in positive "
               "affinity with service '%s')",
               cmd, verb == HA_PENDING_MIGRATE ? "migrate" : "relocate", other, node, other, sid);
        set_pending_motion(s, verb, node);
    }
}

static void
do_motion(HaManager *m, HaPending verb, const char *sid, const char *node, const char *cmd)
{
    const HaService *s = strmap_get(m->ms->services, sid);

    if (s == NULL) {
        ha_log(m->env, TRACE_ERR, "crm command error - no such service: %s", cmd);
    } else if (!ha_manager_node_online(m, node)) {
        ha_log(m->env, TRACE_ERR, "crm command error - node not online: %s", cmd);
    } else if (strcmp(s->node, node) == 0) {
        ha_log(m->env, TRACE_INFO, "ignore crm command - service already on target node: %s", cmd);
    } else {
        ha_manager_queue_motion(m, verb, sid, node, cmd);
    }
}

static void do_stop(HaManager *m, const char *sid, const char *timeout, const char *cmd)
{
    HaService *s = strmap_get(m->ms->services, sid);
    guint64 n;

    if (!g_ascii_string_to_unsigned(timeout, 10, 0, INT32_MAX, &n, NULL)) {
        ha_log(m->env, TRACE_ERR, "unable to parse crm command: %s", cmd);
        return;
    }
    if (s == NULL) {
        ha_log(m->env, TRACE_ERR, "crm command error - no such service: %s", cmd);
        return;
    }
    ha_log(m->env, TRACE_INFO, "got crm command: %s", cmd);
    ha_service_clear_pending(s);
    s->pending = HA_PENDING_STOP;
    s->pending_timeout_s = (int64_t)n;
}

static void do_enable_maintenance(HaManager *m, const char *node, const char *cmd)
{
    if (m->ms->disarm) {
        ha_log(m->env, TRACE_WARNING,
               "ignoring maintenance command for node %s - HA stack is disarmed", node);
        return;
    }
    switch (ha_manager_status_node(m->ms, node)) {
    case HA_NODE_ONLINE:
        strmap_set(m->ms->maintenance, node, GINT_TO_POINTER(1));
        break;
    case HA_NODE_MAINTENANCE:
        ha_log(m->env, TRACE_INFO, "ignoring crm command - node %s is already in maintenance state",
               node);
        break;
    case HA_NODE_UNKNOWN:
    case HA_NODE_FENCE:
    case HA_NODE_GONE:
    case HA_NODE_STATE_N:
        ha_log(m->env, TRACE_ERR, "crm command error - node not online: %s", cmd);
        break;
    }
}

static void do_disable_maintenance(HaManager *m, const char *node)
{
    HaNodeState state = ha_manager_status_node(m->ms, node);

    if (state != HA_NODE_MAINTENANCE) {
        ha_log(m->env, TRACE_WARNING,
               "clearing maintenance of node %s requested, but it's in state %s", node,
               ha_node_state_name(state));
    }
    (void)strmap_remove(m->ms->flaps, node);       /* an admin has looked after it */
    (void)strmap_remove(m->ms->maintenance, node); /* not requested: nothing to drop */
}

static void do_disarm(HaManager *m, const char *mode_name, const char *cmd)
{
    int mode = ha_disarm_mode_from_name(mode_name);

    if (mode < 0) {
        ha_log(m->env, TRACE_ERR, "unable to parse crm command: %s", cmd);
        return;
    }
    if (m->ms->disarm) {
        ha_log(m->env, TRACE_NOTICE, "ignoring disarm-ha command - already in disarm state (%s)",
               m->ms->disarmed ? "disarmed" : "disarming");
        return;
    }
    ha_log(m->env, TRACE_INFO, "got crm command: %s", cmd);
    for (guint i = 0; mode == HA_DISARM_IGNORE && i < strmap_size(m->ms->services); i++) {
        ha_log(m->env, TRACE_INFO, "disarm: suspending HA tracking for service '%s'",
               strmap_key(m->ms->services, i));
    }
    m->ms->disarm = true;
    m->ms->disarm_mode = (HaDisarmMode)mode;
    m->ms->disarmed = false;
}

/* While HA looked away, guests may have been moved by hand. */
static void take_new_locations(HaManager *m)
{
    for (guint i = 0; i < strmap_size(m->ms->services); i++) {
        const char *sid = strmap_key(m->ms->services, i);
        HaService *s = strmap_value(m->ms->services, i);
        const HaResource *res = ha_resources_get(m->resources, sid);

        if (res == NULL || res->node == NULL || strcmp(res->node, s->node) == 0) {
            continue;
        }
        ha_log(m->env, TRACE_INFO,
               "service '%s': updating node '%s' => '%s' (changed while disarmed)", sid, s->node,
               res->node);
        g_free(s->node);
        s->node = g_strdup(res->node);
    }
}

static void do_arm(HaManager *m, const char *cmd)
{
    if (!m->ms->disarm) {
        ha_log(m->env, TRACE_NOTICE, "ignoring arm-ha command - HA stack is not disarmed");
        return;
    }
    ha_log(m->env, TRACE_INFO, "got crm command: %s", cmd);
    if (m->ms->disarm_mode == HA_DISARM_IGNORE) {
        take_new_locations(m);
    }
    m->ms->disarm = false;
    m->ms->disarmed = false;
}

static void do_command(HaManager *m, const char *cmd)
{
    g_autoptr(GPtrArray) words = sectionconf_split_list(cmd);
    const char *w[3] = {"", "", ""};

    for (guint i = 0; i < words->len && i < 3; i++) {
        w[i] = g_ptr_array_index(words, i);
    }
    if (words->len == 3 && strcmp(w[0], "migrate") == 0) {
        do_motion(m, HA_PENDING_MIGRATE, w[1], w[2], cmd);
    } else if (words->len == 3 && strcmp(w[0], "relocate") == 0) {
        do_motion(m, HA_PENDING_RELOCATE, w[1], w[2], cmd);
    } else if (words->len == 3 && strcmp(w[0], "stop") == 0) {
        do_stop(m, w[1], w[2], cmd);
    } else if (words->len == 2 && strcmp(w[0], "enable-node-maintenance") == 0) {
        do_enable_maintenance(m, w[1], cmd);
    } else if (words->len == 2 && strcmp(w[0], "disable-node-maintenance") == 0) {
        do_disable_maintenance(m, w[1]);
    } else if (words->len == 2 && strcmp(w[0], "disarm-ha") == 0) {
        do_disarm(m, w[1], cmd);
    } else if (words->len == 1 && strcmp(w[0], "arm-ha") == 0) {
        do_arm(m, cmd);
    } else {
        ha_log(m->env, TRACE_ERR, "unable to parse crm command: %.200s", cmd);
    }
}

int ha_manager_take_commands(HaManager *m, Err *err)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    size_t done = 0;
    int r = m->env->ops->read(m->env->ctx, HA_FILE_COMMANDS, NULL, &text, err);

    if (r < 0) {
        return r;
    }
    if (m->commands_done != NULL && g_str_has_prefix(text, m->commands_done)) {
        done = strlen(m->commands_done); /* its round could not be written */
    }
    lines = g_strsplit(text + done, "\n", -1);
    for (size_t i = 0; lines[i] != NULL; i++) {
        if (i >= HA_COMMANDS_MAX) {
            ha_log(m->env, TRACE_ERR, "ha/crm_commands: more than %d commands, dropping the rest",
                   HA_COMMANDS_MAX);
            break;
        }
        if (lines[i][0] != '\0') {
            do_command(m, lines[i]);
        }
    }
    g_free(m->commands_done);
    m->commands_done = g_steal_pointer(&text);
    return 0;
}

/* Leaves what was added to the queue since it was read. */
static int drop_done(const char *old_text, char **ret_text, void *data, Err *err)
{
    const char *done = data;

    (void)err;
    if (!g_str_has_prefix(old_text, done)) {
        return 1; /* another master was there, or a person */
    }
    *ret_text = g_strdup(old_text + strlen(done));
    return 0;
}

int ha_manager_drop_commands(HaManager *m, Err *err)
{
    int r = 0;

    if (m->commands_done != NULL && m->commands_done[0] != '\0') {
        r = m->env->ops->update(m->env->ctx, HA_FILE_COMMANDS, drop_done, m->commands_done, err);
    }
    if (r == 0) {
        g_clear_pointer(&m->commands_done, g_free);
    }
    return r;
}
