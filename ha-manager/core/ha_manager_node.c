/* SPDX-License-Identifier: Apache-2.0 */
/* Node states and fencing: ha.md sections 5.1 and 5.2. */
#include "ha-manager/core/ha_limits.h"
#include "ha-manager/core/ha_manager_priv.h"

#include <errno.h>
#include <string.h>

bool ha_manager_node_online(const HaManager *m, const char *node)
{
    return ha_manager_status_node(m->ms, node) == HA_NODE_ONLINE;
}

HaLrmMode ha_manager_lrm_mode(const HaManager *m, const char *node)
{
    const HaLrmStatus *ls = strmap_get(m->lrm, node);

    return ls != NULL ? ls->mode : HA_MODE_UNKNOWN;
}

void ha_manager_set_node(HaManager *m, const char *node, HaNodeState state)
{
    HaNodeState before = ha_manager_status_node(m->ms, node);

    if (state == before) {
        return;
    }
    ha_log(m->env, TRACE_INFO, "node '%s': state changed from '%s' => '%s'", node,
           ha_node_state_name(before), ha_node_state_name(state));
    strmap_set(m->ms->nodes, node, GINT_TO_POINTER((int)state));
}

static bool offline_for(HaManager *m, const char *node, int64_t ms)
{
    const MonoTime *seen;

    if (ha_manager_node_online(m, node)) {
        return false;
    }
    seen = strmap_get(m->last_seen, node);
    if (seen == NULL) {
        ha_last_seen_note(m->last_seen, node, m->now.mono);
        return false;
    }
    return mono_diff_us(m->now.mono, *seen) >= ms * US_PER_MS;
}

/* The datacenter wants fence agents to be used, and there is one for the node. */
static bool has_fence_device(const HaManager *m, const char *node)
{
    const HaEnvOps *ops = m->env->ops;

    return m->settings.fencing != HA_FENCING_WATCHDOG && ops->can_fence != NULL &&
           ops->can_fence(m->env->ctx, node);
}

/* A node that is switched off for certain need not be waited for so long. */
bool ha_manager_offline_delayed(HaManager *m, const char *node)
{
    const HaTiming *t = m->env->timing;

    return offline_for(m, node,
                       has_fence_device(m, node) ? t->confirmed_delay_ms : t->fence_delay_ms);
}

/* It works in this boot: whatever may run there for us belongs to it. Not so while its services
 * wait for a proof that the boot before is over. */
static void note_boot(HaManager *m, const char *node)
{
    const HaLrmStatus *ls = strmap_get(m->lrm, node);

    if (m->env->conduct.record_proof && ls != NULL && ls->boot_id != NULL &&
        strlen(ls->boot_id) <= HA_BOOT_ID_MAX && ha_manager_node_online(m, node) &&
        !ha_manager_status_service_in_fence(m->ms, node) &&
        g_strcmp0(strmap_get(m->ms->boots, node), ls->boot_id) != 0) {
        strmap_set(m->ms->boots, node, g_strdup(ls->boot_id));
    }
}

void ha_manager_told_fences(HaManager *m)
{
    for (guint i = 0; i < strmap_size(m->ms->nodes); i++) {
        const char *node = strmap_key(m->ms->nodes, i);

        if (ha_manager_status_node(m->ms, node) != HA_NODE_FENCE) {
            (void)strmap_remove(m->fenced, node); /* or it was in none */
        } else if (!strmap_has(m->fenced, node)) {
            strmap_set(m->fenced, node, GINT_TO_POINTER(HA_FENCED_TOLD));
        }
    }
}

/* The boot that a fence has to end: the last that may have begun something here. Masters come and
 * go, and a node may work in a boot that none of them has seen at work. Whoever began something had
 * told its boot before it read what it was to do; since then everybody reads that the node is to be
 * fenced, and begins nothing (INV-1: one order of changes). So the boot that is told now is the
 * one, or a later one in which nothing runs. */
static void note_fenced_boots(HaManager *m)
{
    for (guint i = 0; i < strmap_size(m->fenced); i++) {
        const char *node = strmap_key(m->fenced, i);
        const HaLrmStatus *ls = strmap_get(m->lrm, node);
        const char *boot = ls != NULL ? ls->boot_id : NULL;

        if (GPOINTER_TO_INT(strmap_value(m->fenced, i)) != HA_FENCED_TOLD) {
            continue;
        }
        strmap_set(m->fenced, node, GINT_TO_POINTER(HA_FENCED_NOTED));
        if (boot == NULL || strlen(boot) > HA_BOOT_ID_MAX) {
            (void)strmap_remove(m->ms->boots, node); /* nothing can be told of it then */
        } else if (g_strcmp0(strmap_get(m->ms->boots, node), boot) != 0) {
            strmap_set(m->ms->boots, node, g_strdup(boot));
        }
    }
}

/* A node that is missed; one that said good-bye is not. */
static void note_loss(HaManager *m, const char *node)
{
    const HaLrmStatus *ls = strmap_get(m->lrm, node);
    HaLrmMode mode = ha_manager_lrm_mode(m, node);
    HaFlaps *f = strmap_get(m->ms->flaps, node);

    if (!m->env->conduct.quarantine || (ls != NULL && ls->guests_stopped) ||
        mode == HA_MODE_SHUTDOWN || mode == HA_MODE_RESTART || mode == HA_MODE_MAINTENANCE) {
        return;
    }
    if (f == NULL) {
        f = g_new0(HaFlaps, 1);
        strmap_set(m->ms->flaps, node, f);
    }
    ha_flaps_note(f, m->now.wall.sec);
}

/* The master's own node, with nothing that waits for a proof: who else should give one? */
static bool is_fenced_in_vain(const HaManager *m, const char *node)
{
    return m->env->conduct.step_aside && strcmp(node, m->env->node) == 0 &&
           !ha_manager_status_service_in_fence(m->ms, node);
}

static void update_online(HaManager *m, const char *node)
{
    HaLrmMode mode = ha_manager_lrm_mode(m, node);

    ha_last_seen_note(m->last_seen, node, m->now.mono);
    if (!strmap_has(m->ms->nodes, node) && strmap_size(m->ms->nodes) >= HA_NODES_MAX) {
        ha_log(m->env, TRACE_ERR, "more than %d nodes, ignoring '%s'", HA_NODES_MAX, node);
        return;
    }
    switch (ha_manager_status_node(m->ms, node)) {
    case HA_NODE_ONLINE:
        if (mode == HA_MODE_MAINTENANCE) {
            ha_manager_set_node(m, node, HA_NODE_MAINTENANCE);
        }
        break;
    case HA_NODE_UNKNOWN:
    case HA_NODE_GONE:
        ha_manager_set_node(m, node, HA_NODE_ONLINE);
        break;
    case HA_NODE_MAINTENANCE:
        if (mode != HA_MODE_MAINTENANCE) {
            ha_manager_set_node(m, node, HA_NODE_ONLINE);
        }
        break;
    case HA_NODE_FENCE: /* stays until it is fenced, whatever it looks like */
        if (is_fenced_in_vain(m, node)) {
            ha_manager_set_node(m, node, HA_NODE_ONLINE);
        }
        break;
    case HA_NODE_STATE_N:
        break;
    }
    note_boot(m, node);
}

/* True when the node's entry is to be forgotten. */
static bool update_offline(HaManager *m, const char *node)
{
    switch (ha_manager_status_node(m->ms, node)) {
    case HA_NODE_ONLINE:
        ha_manager_set_node(m, node, HA_NODE_UNKNOWN);
        note_loss(m, node);
        break;
    case HA_NODE_MAINTENANCE:
        if (ha_manager_lrm_mode(m, node) != HA_MODE_MAINTENANCE) {
            ha_manager_set_node(m, node, HA_NODE_UNKNOWN);
        }
        break;
    case HA_NODE_UNKNOWN:
        if (!strmap_has(m->members, node)) {
            ha_manager_set_node(m, node, HA_NODE_GONE);
        }
        break;
    case HA_NODE_GONE:
        return offline_for(m, node, m->env->timing->gone_ms);
    case HA_NODE_FENCE:
    case HA_NODE_STATE_N:
        break;
    }
    return false;
}

static void notify(const HaManager *m, const char *prefix, const char *node, const char *text)
{
    HaNotice notice = {.prefix = prefix, .text = text, .node = node};

    m->env->ops->notify(m->env->ctx, &notice);
}

void ha_manager_know_quarantine(HaManager *m)
{
    for (guint i = 0; i < strmap_size(m->ms->flaps); i++) {
        if (ha_flaps_until(strmap_value(m->ms->flaps, i), m->ms->timestamp) > 0) {
            strmap_set(m->avoid, strmap_key(m->ms->flaps, i), GINT_TO_POINTER(1));
        }
    }
}

/* Who is in quarantine; each beginning and end is told. */
static void update_quarantine(HaManager *m)
{
    for (guint i = 0; i < strmap_size(m->ms->flaps); i++) {
        const char *node = strmap_key(m->ms->flaps, i);
        bool now = ha_flaps_until(strmap_value(m->ms->flaps, i), m->now.wall.sec) > 0;

        if (now && !strmap_has(m->avoid, node)) {
            g_autofree char *text = g_strdup_printf(
                "node '%s' was lost %d times within %d minutes: it gets no services for %d minutes",
                node, HA_FLAPS_COUNT, HA_FLAPS_WINDOW_S / 60, HA_FLAPS_HOLD_S / 60);

            ha_log(m->env, TRACE_WARNING, "%s", text);
            notify(m, "QUARANTINE", node, text);
            strmap_set(m->avoid, node, GINT_TO_POINTER(1));
        }
    }
    for (guint i = 0; i < strmap_size(m->avoid);) {
        const char *node = strmap_key(m->avoid, i);
        const HaFlaps *f = strmap_get(m->ms->flaps, node);

        if (f != NULL && ha_flaps_until(f, m->now.wall.sec) > 0) {
            i++;
            continue;
        }
        ha_log(m->env, TRACE_INFO, "node '%s': quarantine is over", node);
        strmap_remove_at(m->avoid, i);
    }
}

/* Nothing is kept of a node that is forgotten. */
static void forget_node(HaManager *m, const char *node)
{
    (void)strmap_remove(m->ms->boots, node); /* or nothing was known */
    (void)strmap_remove(m->fenced, node);
    (void)strmap_remove(m->ms->flaps, node);
}

void ha_manager_update_nodes(HaManager *m)
{
    if (m->env->conduct.record_proof) {
        note_fenced_boots(m);
    }
    for (guint i = 0; i < strmap_size(m->online); i++) {
        update_online(m, strmap_key(m->online, i));
    }
    for (guint i = 0; i < strmap_size(m->ms->nodes);) {
        const char *node = strmap_key(m->ms->nodes, i);

        if (!strmap_has(m->online, node) && update_offline(m, node)) {
            ha_log(m->env, TRACE_NOTICE, "deleting gone node '%s', not a cluster member anymore.",
                   node);
            forget_node(m, node);
            strmap_remove_at(m->ms->nodes, i);
        } else {
            i++;
        }
    }
    update_quarantine(m);
}

/* It is back, in another boot than the one that is to be fenced, and has begun nothing in it:
 * nobody starts a thing there while a fence is asked for, nor without its lock. */
static bool has_rebooted(const HaManager *m, const char *node)
{
    const HaLrmStatus *ls = strmap_get(m->lrm, node);
    const char *before = strmap_get(m->ms->boots, node);

    return GPOINTER_TO_INT(strmap_get(m->fenced, node)) == HA_FENCED_NOTED && before != NULL &&
           ls != NULL && ls->boot_id != NULL && strcmp(before, ls->boot_id) != 0 && ls->has_state &&
           ls->state == HA_LRM_WAIT_FOR_AGENT_LOCK && strmap_has(m->online, node);
}

/* A node that was switched off may have come back since, and may have taken its lock again where we
 * did not see it: then it has to be switched off anew. */
static bool confirm_fence(HaManager *m, const char *node, const char *lock)
{
    const HaEnvOps *ops = m->env->ops;
    int r;

    if (ops->fence(m->env->ctx, node) != 1) {
        return false;
    }
    r = ops->lock_dead(m->env->ctx, lock);
    if (r == -ESTALE) {
        ops->fence_over(m->env->ctx, node);
    }
    return r == 0;
}

/* Why the node cannot have anything running any more; NULL: that is not known yet. Its agent lock
 * is ours then: also with a reboot for proof, since its LRM may by now have taken it again. */
static const char *prove_dead(HaManager *m, const char *node)
{
    const HaEnvOps *ops = m->env->ops;
    g_autofree char *lock = ha_agent_lock_name(node);

    if (has_rebooted(m, node)) {
        return ops->lock(m->env->ctx, lock) == 0 ? "node-rebooted" : NULL;
    }
    if (has_fence_device(m, node)) {
        if (confirm_fence(m, node, lock)) {
            return "fence-confirmed";
        }
        if (m->settings.fencing == HA_FENCING_HARDWARE) {
            return NULL; /* a lease proves nothing where the watchdog is not to be trusted */
        }
    }
    return ops->lock(m->env->ctx, lock) == 0 ? "lease-expired" : NULL;
}

/* The proof that the node is dead; NULL: not yet. */
static const char *fence_node(HaManager *m, const char *node)
{
    g_autofree char *text = NULL;
    const char *proof;

    if (ha_manager_status_node(m->ms, node) != HA_NODE_FENCE) {
        text = g_strdup_printf("Try to fence node '%s'", node);
        ha_manager_set_node(m, node, HA_NODE_FENCE);
        notify(m, "FENCE", node, text);
    }
    proof = prove_dead(m, node);
    if (proof == NULL) {
        return NULL;
    }
    g_free(text);
    text = g_strdup_printf("fencing: acknowledged - got agent lock for node '%s'", node);
    ha_log(m->env, TRACE_INFO, "%s", text);
    ha_manager_set_node(m, node, HA_NODE_UNKNOWN);
    notify(m, "SUCCEED", node, text);
    if (m->env->ops->fence_over != NULL) {
        m->env->ops->fence_over(m->env->ctx, node);
    }
    return proof;
}

/* INV-6: from here on its services may start elsewhere. */
static void release_services(HaManager *m, const StrMap *fenced)
{
    for (guint i = 0; i < strmap_size(m->ms->services); i++) {
        HaService *s = strmap_value(m->ms->services, i);

        const char *proof = strmap_get(fenced, s->node);

        if (s->state == HA_SERVICE_FENCE && proof != NULL) {
            if (m->env->conduct.record_proof) {
                g_free(s->proof);
                s->proof = g_strdup(proof);
            }
            ha_manager_set_state(m, strmap_key(m->ms->services, i), s, HA_SERVICE_RECOVERY,
                                 HA_CHANGE_NONE);
        }
    }
}

bool ha_manager_fence(HaManager *m)
{
    g_autoptr(StrMap) tried = strmap_new(NULL); /* node -> const char *: proof, NULL: none yet */
    bool fenced = false;

    for (guint i = 0; i < strmap_size(m->ms->services); i++) {
        const HaService *s = strmap_value(m->ms->services, i);

        if (s->state == HA_SERVICE_FENCE && !strmap_has(tried, s->node)) {
            const char *proof = fence_node(m, s->node);

            strmap_set(tried, s->node, (void *)proof);
            fenced = fenced || proof != NULL;
        }
    }
    if (fenced) {
        release_services(m, tried);
    }
    for (guint i = 0; i < strmap_size(m->ms->nodes); i++) {
        const char *node = strmap_key(m->ms->nodes, i);

        if (GPOINTER_TO_INT(strmap_value(m->ms->nodes, i)) == HA_NODE_FENCE &&
            !strmap_has(tried, node)) {
            ha_log(m->env, TRACE_NOTICE,
                   "node '%s' in fence state but no services to-fence! admin interference?!", node);
            fenced = fence_node(m, node) != NULL || fenced;
        }
    }
    return fenced;
}
