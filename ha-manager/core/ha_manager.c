/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_manager_priv.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* A service changes state a few times in a round; a pass without end would be a defect. */
#define PASSES_MAX 64

StrMap *ha_last_seen_new(void)
{
    return strmap_new(g_free);
}

void ha_last_seen_note(StrMap *last_seen, const char *node, MonoTime now)
{
    MonoTime *t = strmap_get(last_seen, node);

    if (t == NULL) {
        t = g_new(MonoTime, 1);
        strmap_set(last_seen, node, t);
    }
    *t = now;
}

static void log_config(void *data, unsigned line, const char *text)
{
    const HaManager *m = data;

    ha_log(m->env, TRACE_WARNING, "%s line %u: %s", ha_file_name(m->reporting), line, text);
}

SectionWarn ha_manager_reporter(HaManager *m, HaFile file, const char *text)
{
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA1, text, -1);

    m->reporting = file;
    if (strcmp(m->seen_digest[file], digest) == 0 || !m->env->conduct.report_config) {
        return NULL;
    }
    (void)g_strlcpy(m->seen_digest[file], digest, sizeof m->seen_digest[file]); /* fits */
    return log_config;
}

static void log_status(void *data, const char *what, const char *why)
{
    const HaManager *m = data;

    ha_log(m->env, TRACE_WARNING, "manager_status %s: %s", what, why);
}

int ha_manager_read(HaManager *m, HaFile file, const char *node, char **ret_text, Err *err)
{
    return m->env->ops->read(m->env->ctx, file, node, ret_text, err);
}

/* Takes over what the last master left. */
static int read_status(HaManager *m, uint64_t epoch_seen, Err *err)
{
    g_autofree char *text = NULL;
    int r = ha_manager_read(m, HA_FILE_MANAGER_STATUS, NULL, &text, err);

    if (r < 0) {
        return r;
    }
    r = ha_manager_status_parse(text, m->env->conduct.report_config ? log_status : NULL, m, &m->ms,
                                err);
    if (r < 0) {
        return r;
    }
    ha_manager_know_quarantine(m);
    ha_manager_told_fences(m);
    if (m->env->conduct.epoch) {
        m->ms->epoch = MAX(m->ms->epoch, epoch_seen) + 1;
    }
    return 0;
}

static int read_settings(HaManager *m, Err *err)
{
    g_autofree char *text = NULL;
    int r = ha_manager_read(m, HA_FILE_DATACENTER, NULL, &text, err);

    if (r == 0) {
        ha_settings_parse(text, &m->settings);
    }
    return r;
}

/* The scheduler that the settings ask for. */
static HaScheduler wanted_scheduler(const HaManager *m)
{
    int mode = ha_scheduler_from_name(m->settings.scheduler);

    return mode >= 0 ? (HaScheduler)mode : HA_SCHEDULER_BASIC;
}

int ha_manager_new(
    const HaEnv *env, StrMap *last_seen, uint64_t epoch_seen, HaManager **ret_manager, Err *err)
{
    g_autoptr(HaManager) m = g_new0(HaManager, 1);
    int r;

    m->env = env;
    m->last_seen = last_seen;
    m->groups_countdown = (int)env->timing->groups_first_round;
    m->online = strmap_new(NULL);
    m->members = strmap_new(NULL);
    m->lrm = strmap_new((GDestroyNotify)ha_lrm_status_free);
    m->avoid = strmap_new(NULL);
    m->fenced = strmap_new(NULL);
    m->results = strmap_new(NULL);
    m->affinity = ha_affinity_new_empty();
    /* A daemon may be master several times: no token of an earlier time may come back, or an LRM
     * would answer new requests with old results. */
    prng_init(&m->prng, env->seed ^ (uint64_t)env->ops->mono(env->ctx).us);
    r = read_status(m, epoch_seen, err);
    if (r == 0) {
        r = read_settings(m, err);
    }
    if (r < 0) {
        return r;
    }
    if (strcmp(m->settings.scheduler, ha_scheduler_name(HA_SCHEDULER_BASIC)) != 0) {
        ha_log(env, TRACE_INFO, "using scheduler mode '%s'", m->settings.scheduler);
    }
    *ret_manager = g_steal_pointer(&m);
    return 0;
}

void ha_manager_observe(HaManager *m, const HaManagerStatus *file)
{
    if (m->env->conduct.epoch && file->epoch >= m->ms->epoch &&
        g_strcmp0(file->master_node, m->env->node) != 0) {
        m->ms->epoch = file->epoch + 1;
    }
}

void ha_manager_free(HaManager *m)
{
    if (m == NULL) {
        return;
    }
    ha_manager_status_free(m->ms);
    strmap_free(m->online);
    strmap_free(m->members);
    strmap_free(m->avoid);
    strmap_free(m->fenced);
    strmap_free(m->results);
    strmap_free(m->lrm);
    ha_resources_free(m->resources);
    ha_groups_free(m->groups);
    ha_usage_free(m->usage);
    ha_affinity_free(m->affinity);
    g_free(m->compiled_nodes);
    g_free(m->commands_done);
    g_free(m->fallback_text);
    g_free(m);
}

void ha_manager_note_no_spare(HaManager *m, bool no_spare)
{
    m->ms->no_spare = no_spare;
}

bool ha_manager_is_disarmed(const HaManager *m)
{
    return m->ms->disarm && m->ms->disarmed;
}

const HaManagerStatus *ha_manager_status(const HaManager *m)
{
    return m->ms;
}

/* Whether some member is not known yet, or something known is no member. */
static bool members_differ(const HaManager *m)
{
    bool differ = strmap_size(m->members) != strmap_size(m->ms->nodes);

    for (guint i = 0; !differ && i < strmap_size(m->members); i++) {
        differ = !strmap_has(m->ms->nodes, strmap_key(m->members, i));
    }
    return differ;
}

static int read_members(HaManager *m, Err *err)
{
    g_autoptr(StrMap) members = strmap_new(NULL);
    int r = m->env->ops->members(m->env->ctx, members, err);

    if (r < 0) {
        return r;
    }
    strmap_clear(m->online);
    strmap_clear(m->members);
    for (guint i = 0; i < strmap_size(members); i++) {
        const char *node = strmap_key(members, i);

        strmap_set(m->members, node, GINT_TO_POINTER(1));
        if (strmap_value(members, i) != NULL) {
            strmap_set(m->online, node, GINT_TO_POINTER(1));
        }
    }
    m->nodes_changed = members_differ(m);
    return 0;
}

/* A damaged lrm_status tells nothing; it must not stop the round for everybody else. */
static void keep_lrm_status(HaManager *m, const char *node, const char *text)
{
    HaLrmStatus *ls = NULL;
    Err why = ERR_INIT;

    if (ha_lrm_status_parse(text, &ls, &why) < 0) {
        ha_log(m->env, TRACE_ERR, "nodes/%s/%s", node, err_text(&why));
        ls = ha_lrm_status_new();
        ls->mode = HA_MODE_UNKNOWN;
    }
    strmap_set(m->lrm, node, ls);
    for (guint i = 0; i < strmap_size(ls->results); i++) {
        strmap_set(m->results, strmap_key(ls->results, i), strmap_value(ls->results, i));
    }
}

static int read_lrm_status(HaManager *m, Err *err)
{
    strmap_clear(m->results);
    strmap_clear(m->lrm);
    for (guint i = 0; i < strmap_size(m->ms->nodes); i++) {
        const char *node = strmap_key(m->ms->nodes, i);
        g_autofree char *text = NULL;
        int r = ha_manager_read(m, HA_FILE_LRM_STATUS, node, &text, err);

        if (r < 0) {
            return r;
        }
        keep_lrm_status(m, node, text);
    }
    return 0;
}

static int update_settings(HaManager *m, Err *err)
{
    g_autofree char *before = g_strdup(m->settings.scheduler);
    int r = read_settings(m, err);

    if (r < 0) {
        return r;
    }
    if (strcmp(before, m->settings.scheduler) != 0) {
        ha_log(m->env, TRACE_INFO, "switching scheduler mode from '%s' to '%s'", before,
               m->settings.scheduler);
    }
    return 0;
}

static int read_groups(HaManager *m, Err *err)
{
    g_autofree char *text = NULL;
    int r = ha_manager_read(m, HA_FILE_GROUPS, NULL, &text, err);

    if (r < 0) {
        return r;
    }
    g_clear_pointer(&m->groups, ha_groups_free);
    return ha_groups_parse(text, ha_manager_reporter(m, HA_FILE_GROUPS, text), m, &m->groups, err);
}

static int read_resources(HaManager *m, Err *err)
{
    g_autoptr(StrMap) guests = strmap_new(ha_guest_free);
    g_autofree char *text = NULL;
    int r = ha_manager_read(m, HA_FILE_RESOURCES, NULL, &text, err);

    if (r == 0) {
        r = m->env->ops->guests(m->env->ctx, guests, err);
    }
    if (r < 0) {
        return r;
    }
    g_clear_pointer(&m->resources, ha_resources_free);
    return ha_resources_parse(m->env->types, text, guests,
                              ha_manager_reporter(m, HA_FILE_RESOURCES, text), m, &m->resources,
                              err);
}

static void add_service(HaManager *m, const char *sid, const HaResource *res)
{
    HaService *s = ha_service_new(res->request == HA_REQUEST_STARTED ? HA_SERVICE_REQUEST_START
                                                                     : HA_SERVICE_REQUEST_STOP,
                                  res->node);

    ha_log(m->env, TRACE_INFO, "adding new service '%s' on node '%s'", sid, res->node);
    ha_service_new_uid(s, &m->prng);
    strmap_set(m->ms->services, sid, s);
}

/* Takes up what is newly configured and lets go what no longer is. A resource without a guest has
 * no node to be on and stays aside until there is one. */
static void sync_services(HaManager *m)
{
    for (guint i = 0; i < strmap_size(m->resources->by_sid); i++) {
        const char *sid = strmap_key(m->resources->by_sid, i);
        const HaResource *res = strmap_value(m->resources->by_sid, i);

        if (!strmap_has(m->ms->services, sid) && res->request != HA_REQUEST_IGNORED &&
            res->node != NULL) {
            add_service(m, sid, res);
        }
    }
    for (guint i = 0; i < strmap_size(m->ms->services);) {
        const char *sid = strmap_key(m->ms->services, i);
        const HaResource *res = ha_resources_get(m->resources, sid);

        if (res == NULL || res->request == HA_REQUEST_IGNORED) {
            ha_log(m->env, TRACE_INFO, "removing stale service '%s' (%s)", sid,
                   res == NULL ? "no config" : "ignored state requested");
            strmap_remove_at(m->ms->services, i);
        } else {
            i++;
        }
    }
}

static StrMap *nodes_in_state(const HaManager *m, HaNodeState state)
{
    StrMap *out = strmap_new(NULL);

    for (guint i = 0; i < strmap_size(m->ms->nodes); i++) {
        if (GPOINTER_TO_INT(strmap_value(m->ms->nodes, i)) == (int)state) {
            strmap_set(out, strmap_key(m->ms->nodes, i), GINT_TO_POINTER(1));
        }
    }
    return out;
}

/* As documented in every round; improved: once, until the reason changes. */
static void report_fallback(HaManager *m, char *text_taken)
{
    g_autofree char *before = g_steal_pointer(&m->fallback_text);

    m->fallback_text = text_taken;
    if (text_taken != NULL &&
        (!m->env->conduct.report_config || g_strcmp0(before, text_taken) != 0)) {
        ha_log(m->env, TRACE_WARNING, "%s", text_taken);
    }
}

/* Usage for the wanted scheduler, or for basic when that one cannot be set up. */
static void make_usage(HaManager *m, const StrMap *online)
{
    HaScheduler mode = wanted_scheduler(m);
    g_auto(HaLoads) loads = {NULL, NULL};
    char *fallback = NULL;
    Err why = ERR_INIT;
    int r = 0;

    ha_loads_init(&loads);
    if (mode != HA_SCHEDULER_BASIC) {
        r = m->env->ops->loads(m->env->ctx, mode, &loads, &why);
    }
    if (r == 0) {
        r = ha_usage_new(mode, online, &loads, &m->usage, &why);
    }
    if (ha_scheduler_from_name(m->settings.scheduler) < 0) {
        fallback = g_strdup_printf("got unknown scheduler mode '%s', using 'basic'",
                                   m->settings.scheduler);
    }
    if (r < 0) {
        fallback = g_strdup_printf("fallback to 'basic' scheduler mode, init for '%s' failed - %s",
                                   ha_scheduler_name(mode), err_text(&why));
        r = ha_usage_new(HA_SCHEDULER_BASIC, online, NULL, &m->usage, NULL);
        assert(r == 0); /* basic needs nothing that could be missing */
    }
    report_fallback(m, fallback);
}

static int rebuild_usage(HaManager *m, Err *err)
{
    g_autoptr(StrMap) online = nodes_in_state(m, HA_NODE_ONLINE);
    g_autoptr(StrMap) guests = strmap_new(ha_guest_free);
    int r = m->env->ops->guests(m->env->ctx, guests, err);

    if (r < 0) {
        return r;
    }
    g_clear_pointer(&m->usage, ha_usage_free);
    make_usage(m, online);
    for (guint i = 0; i < strmap_size(m->ms->services); i++) {
        ha_usage_add_service(m->usage, strmap_key(m->ms->services, i),
                             strmap_value(m->ms->services, i));
    }
    for (guint i = 0; i < strmap_size(guests); i++) {
        const HaGuest *guest = strmap_value(guests, i);

        if (guest->started && !strmap_has(m->ms->services, strmap_key(guests, i))) {
            ha_usage_add_guest(m->usage, strmap_key(guests, i), guest->node);
        }
    }
    return 0;
}

static void log_rule(void *data, const char *line)
{
    const HaManager *m = data;

    ha_log(m->env, TRACE_INFO, "%s", line);
}

/* Rules that cannot be made explicit are left out as a whole: services then stay where they are. */
static void compile_rules(HaManager *m, HaRules *rules)
{
    HaAffinity *affinity = NULL;
    Err why = ERR_INIT;
    int r;

    if (strmap_size(m->groups->by_id) > 0) {
        ha_groups_add_rules(m->groups, m->resources, rules);
    }
    ha_rules_check(rules, strmap_size(m->ms->nodes), log_rule, m);
    r = ha_rules_transform(rules, &why);
    if (r == 0) {
        r = ha_affinity_compile(rules, m->ms->nodes, &affinity, &why);
    }
    if (r < 0) {
        ha_log(m->env, TRACE_ERR, "ha/rules.cfg: %s, ignoring all rules", err_text(&why));
        affinity = ha_affinity_new_empty();
    }
    ha_affinity_free(m->affinity);
    m->affinity = affinity;
}

/* The known nodes as one text: rules depend on them. */
static char *nodes_text(const HaManager *m)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < strmap_size(m->ms->nodes); i++) {
        g_string_append_printf(out, "%s ", strmap_key(m->ms->nodes, i));
    }
    return g_string_free(out, FALSE);
}

/* As documented, a member that was never online makes every round look again (and complain again).
 */
static bool nodes_are_new(const HaManager *m, const char *nodes)
{
    if (m->compiled_nodes == NULL || m->env->conduct.rules_by_nodes) {
        return g_strcmp0(m->compiled_nodes, nodes) != 0;
    }
    return m->nodes_changed;
}

static int update_rules(HaManager *m, Err *err)
{
    g_autofree char *nodes = nodes_text(m);
    g_autoptr(HaRules) rules = NULL;
    g_autofree char *text = NULL;
    int r = ha_manager_read(m, HA_FILE_RULES, NULL, &text, err);

    if (strmap_size(m->groups->by_id) > 0) {
        ha_groups_apply_failback(m->groups, m->resources);
    }
    if (r == 0) {
        r = ha_rules_parse(text, ha_manager_reporter(m, HA_FILE_RULES, text), m, &rules, err);
    }
    if (r < 0) {
        return r;
    }
    rules->join_late = m->env->conduct.join_late;
    if (!nodes_are_new(m, nodes) && strcmp(m->rules_digest, rules->digest) == 0 &&
        strcmp(m->groups_digest, m->groups->digest) == 0 &&
        (!m->env->conduct.resource_digest ||
         strcmp(m->resources_digest, m->resources->digest) == 0)) {
        return 0;
    }
    (void)g_strlcpy(m->rules_digest, rules->digest, sizeof m->rules_digest); /* same sizes */
    (void)g_strlcpy(m->groups_digest, m->groups->digest, sizeof m->groups_digest);
    (void)g_strlcpy(m->resources_digest, m->resources->digest, sizeof m->resources_digest);
    compile_rules(m, rules);
    g_free(m->compiled_nodes);
    m->compiled_nodes = g_steal_pointer(&nodes);
    return 0;
}

HaPlacement ha_manager_placement(const HaManager *m)
{
    return (HaPlacement){m->usage, m->affinity, m->ms->services, m->avoid};
}

const char *
ha_manager_select(HaManager *m, const char *sid, const HaService *s, HaPreference preference)
{
    HaPlacement p = ha_manager_placement(m);
    const HaResource *res = ha_resources_get(m->resources, sid);
    Err why = ERR_INIT;
    const char *node =
        ha_placement_select(&p, sid, s, res == NULL || res->failback, preference, &why);

    if (why.code < 0) {
        ha_log(m->env, TRACE_ERR,
               "unable to score nodes according to %s usage for service '%s' - %s",
               ha_scheduler_name(ha_usage_mode(m->usage)), sid, err_text(&why));
    }
    return node;
}

static void append_param(GString *out, const char *name, const char *value)
{
    if (value != NULL) {
        g_string_append_printf(out, "%s%s = %s", out->len > 0 ? ", " : "", name, value);
    }
}

void ha_manager_tell_dropped(const HaManager *m, const char *sid, const HaService *s)
{
    if (s->pending != HA_PENDING_NONE && m->env->conduct.tell_dropped) {
        ha_log(m->env, TRACE_NOTICE, "service '%s': dropping queued %s request in state '%s'", sid,
               ha_pending_name(s->pending), ha_service_state_name(s->state));
    }
}

/* The change is what the queued command asks for. */
static bool carries_out(const HaService *s, HaServiceState state, HaChange change)
{
    switch (s->pending) {
    case HA_PENDING_MIGRATE:
        return state == HA_SERVICE_MIGRATE && g_strcmp0(change.target, s->pending_target) == 0;
    case HA_PENDING_RELOCATE:
        return state == HA_SERVICE_RELOCATE && g_strcmp0(change.target, s->pending_target) == 0;
    case HA_PENDING_STOP:
        return state == HA_SERVICE_REQUEST_STOP;
    case HA_PENDING_NONE:
        break;
    }
    return true;
}

void ha_manager_set_state(
    HaManager *m, const char *sid, HaService *s, HaServiceState state, HaChange change)
{
    g_autoptr(GString) params = g_string_new(NULL);
    g_autofree char *timeout =
        change.timeout_s >= 0 ? g_strdup_printf("%" G_GINT64_FORMAT, change.timeout_s) : NULL;
    HaServiceState before = s->state;
    g_autofree char *node = g_strdup(change.node); /* may be a part of what is pruned */
    g_autofree char *target = g_strdup(change.target);

    if (!carries_out(s, state, change)) {
        ha_manager_tell_dropped(m, sid, s);
    }
    append_param(params, "node", node);
    append_param(params, "target", target);
    append_param(params, "timeout", timeout);
    ha_log(m->env, TRACE_INFO, "service '%s': state changed from '%s' to '%s'%s%s%s", sid,
           ha_service_state_name(before), ha_service_state_name(state),
           params->len > 0 ? "  (" : "", params->str, params->len > 0 ? ")" : "");
    ha_service_prune(s);
    s->state = state;
    if (node != NULL) {
        g_free(s->node);
        s->node = g_steal_pointer(&node);
    }
    s->target = g_steal_pointer(&target);
    s->timeout_s = change.timeout_s;
    ha_service_new_uid(s, &m->prng);
    ha_usage_add_service(m->usage, sid, s);
    m->changes++;
}

/* A node whose LRM restarts keeps its guests running, unattended: they are frozen. */
static void freeze_for_restart(HaManager *m, const char *sid, HaService *s)
{
    if (ha_manager_lrm_mode(m, s->node) == HA_MODE_RESTART &&
        (s->state == HA_SERVICE_STARTED || s->state == HA_SERVICE_STOPPED ||
         s->state == HA_SERVICE_REQUEST_STOP)) {
        ha_manager_set_state(m, sid, s, HA_SERVICE_FREEZE, HA_CHANGE_NONE);
    }
}

void ha_manager_run_states(HaManager *m, const StrMap *only)
{
    bool fenced = true;

    m->changes = 1;
    for (int pass = 0; pass < PASSES_MAX && (m->changes > 0 || fenced); pass++) {
        m->changes = 0;
        for (guint i = 0; i < strmap_size(m->ms->services); i++) {
            const char *sid = strmap_key(m->ms->services, i);
            HaService *s = strmap_value(m->ms->services, i);

            if (only != NULL && !strmap_has(only, sid)) {
                continue;
            }
            ha_manager_eval_service(m, sid, s);
            freeze_for_restart(m, sid, s);
        }
        fenced = ha_manager_fence(m);
    }
}

static int write_status(HaManager *m, Err *err)
{
    g_autofree char *text = NULL;
    int r;

    g_free(m->ms->master_node);
    m->ms->master_node = g_strdup(m->env->node);
    m->ms->timestamp = m->now.wall.sec;
    m->ms->lease_ms = m->env->conduct.publish_lease ? m->env->timing->lease_ms : 0;
    text = ha_manager_status_format(m->ms);
    r = m->env->ops->write(m->env->ctx, HA_FILE_MANAGER_STATUS, NULL, text, err);
    if (r == 0) {
        ha_manager_told_fences(m);
    }
    return r;
}

/* Steps 6 to 12: everything from files that the decisions need. */
static int prepare(HaManager *m, Err *err)
{
    int r = update_settings(m, err);

    if (r == 0) {
        r = read_groups(m, err);
    }
    if (r == 0) {
        r = read_resources(m, err);
    }
    if (r == 0 && ha_manager_migrate_groups(m)) {
        r = read_groups(m, err);
        if (r == 0) {
            r = read_resources(m, err);
        }
    }
    if (r < 0) {
        return r;
    }
    if (!m->ms->disarm) {
        sync_services(m);
    }
    r = rebuild_usage(m, err);
    if (r == 0) {
        r = update_rules(m, err);
    }
    if (r == 0) {
        r = ha_manager_take_commands(m, err);
    }
    return r;
}

int ha_manager_round(HaManager *m, HaNow now, Err *err)
{
    HaNodeState self;
    int r;

    m->now = now;
    r = read_members(m, err);
    if (r == 0) {
        r = read_lrm_status(m, err);
    }
    if (r < 0) {
        return r;
    }
    ha_manager_update_nodes(m);
    self = ha_manager_status_node(m->ms, m->env->node);
    if (self != HA_NODE_ONLINE && self != HA_NODE_MAINTENANCE) {
        ha_log(m->env, TRACE_INFO, "master seems offline");
        return 0;
    }
    r = prepare(m, err);
    if (r < 0) {
        return r;
    }
    if (m->ms->disarm) {
        ha_manager_disarm(m);
    } else {
        ha_manager_balance(m);
        ha_manager_run_states(m, NULL);
    }
    r = write_status(m, err);
    return r == 0 ? ha_manager_drop_commands(m, err) : r;
}
