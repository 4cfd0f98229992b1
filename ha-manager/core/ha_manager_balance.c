/* SPDX-License-Identifier: Apache-2.0 */
/* Automatic rebalancing: ha.md section 8.5. */
#include "ha-manager/core/ha_manager_priv.h"

#include <math.h>
#include <string.h>

/* One possible motion: a bundle of services that belong together, and where it could go. */
typedef struct Candidate {
    const char *leader; /* smallest sid of the bundle */
    int source;
    int target;
    double imbalance; /* expected afterwards */
} Candidate;

typedef struct Bundle {
    const char *leader;
    int source;
    double cpu;
    double mem;
    GArray *targets; /* int */
} Bundle;

static void bundle_free(void *data)
{
    Bundle *b = data;

    g_array_unref(b->targets);
    g_free(b);
}

static bool is_moving(const HaService *s)
{
    return s->state == HA_SERVICE_MIGRATE || s->state == HA_SERVICE_RELOCATE;
}

static bool anything_moves(const HaManager *m)
{
    for (guint i = 0; i < strmap_size(m->ms->services); i++) {
        const HaService *s = strmap_value(m->ms->services, i);

        if (is_moving(s) || s->pending == HA_PENDING_MIGRATE || s->pending == HA_PENDING_RELOCATE) {
            return true;
        }
    }
    return false;
}

/* The services that move with `sid`, by name; NULL when they cannot move as one. */
static StrMap *members_of(const HaManager *m, const char *sid, const HaService *s)
{
    const GPtrArray *together = ha_affinity_together(m->affinity, sid);
    g_autoptr(StrMap) members = strmap_new(NULL);

    strmap_set(members, sid, (void *)s);
    for (guint i = 0; i < together->len; i++) {
        HaService *other = strmap_get(m->ms->services, g_ptr_array_index(together, i));

        if (other == NULL) {
            continue;
        }
        if (is_moving(other)) {
            return NULL;
        }
        if (other->state != HA_SERVICE_STARTED) {
            continue;
        }
        if (strcmp(other->node, s->node) != 0) {
            return NULL;
        }
        strmap_set(members, g_ptr_array_index(together, i), other);
    }
    return g_steal_pointer(&members);
}

/* The bundle that `sid` leads; NULL when it leads none or none can move. */
static Bundle *make_bundle(const HaManager *m, const char *sid, const HaService *s)
{
    HaPlacement p = ha_manager_placement(m);
    g_autoptr(StrMap) members = members_of(m, sid, s);
    int source = ha_usage_index(m->usage, s->node);
    Bundle *b;

    if (members == NULL || source < 0 || strcmp(strmap_key(members, 0), sid) != 0) {
        return NULL;
    }
    b = g_new0(Bundle, 1);
    b->leader = sid;
    b->source = source;
    b->targets = ha_placement_targets(&p, sid, s);
    for (guint i = 0; i < strmap_size(members); i++) {
        double cpu;
        double mem;

        if (!ha_usage_running_load(m->usage, strmap_key(members, i), &cpu, &mem)) {
            bundle_free(b);
            return NULL; /* what is not known cannot be weighed */
        }
        b->cpu += cpu;
        b->mem += mem;
    }
    return b;
}

static GPtrArray *make_bundles(const HaManager *m)
{
    GPtrArray *out = g_ptr_array_new_with_free_func(bundle_free);

    for (guint i = 0; i < strmap_size(m->ms->services); i++) {
        const HaService *s = strmap_value(m->ms->services, i);

        if (s->state == HA_SERVICE_STARTED) {
            Bundle *b = make_bundle(m, strmap_key(m->ms->services, i), s);

            if (b != NULL) {
                g_ptr_array_add(out, b);
            }
        }
    }
    return out;
}

/* The loads as they would be; `ret_nodes` has room for all. */
static void apply(const HaNodeUse *now, guint n, const Bundle *b, int target, HaNodeUse *ret_nodes)
{
    memcpy(ret_nodes, now, n * sizeof *now);
    ret_nodes[b->source].cpu = fmax(ret_nodes[b->source].cpu - b->cpu, 0);
    ret_nodes[b->source].mem = fmax(ret_nodes[b->source].mem - b->mem, 0);
    ret_nodes[target].cpu += b->cpu;
    ret_nodes[target].mem += b->mem;
}

/* Differences below 1e-15 are noise of the arithmetic. */
static double rounded(double x)
{
    return trunc(x * 1e15) / 1e15;
}

/* The least imbalance; of equal ones the first in order of names, which is the order of walking. */
static bool
search_bruteforce(const GPtrArray *bundles, const HaNodeUse *now, guint n, Candidate *ret_best)
{
    g_autofree HaNodeUse *after = g_new(HaNodeUse, n);
    bool found = false;

    for (guint i = 0; i < bundles->len; i++) {
        const Bundle *b = g_ptr_array_index(bundles, i);

        for (guint k = 0; k < b->targets->len; k++) {
            Candidate c = {b->leader, b->source, g_array_index(b->targets, int, k), 0};

            apply(now, n, b, c.target, after);
            c.imbalance = ha_imbalance(after, n);
            if (!found || rounded(c.imbalance) < rounded(ret_best->imbalance)) {
                *ret_best = c;
                found = true;
            }
        }
    }
    return found;
}

static bool
search_topsis(const GPtrArray *bundles, const HaNodeUse *now, guint n, Candidate *ret_best)
{
    g_autofree HaNodeUse *after = g_new(HaNodeUse, n);
    g_autoptr(GArray) candidates = g_array_new(FALSE, FALSE, sizeof(Candidate));
    g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(double[HA_CRITERIA]));
    g_autofree double *scores = NULL;
    guint best = 0;

    for (guint i = 0; i < bundles->len; i++) {
        const Bundle *b = g_ptr_array_index(bundles, i);

        for (guint k = 0; k < b->targets->len; k++) {
            Candidate c = {b->leader, b->source, g_array_index(b->targets, int, k), 0};
            double row[HA_CRITERIA];

            apply(now, n, b, c.target, after);
            c.imbalance = ha_imbalance(after, n);
            ha_topsis_criteria(after, n, row);
            g_array_append_val(candidates, c);
            g_array_append_val(rows, row);
        }
    }
    if (candidates->len == 0) {
        return false;
    }
    scores = g_new(double, candidates->len);
    ha_topsis_score((const double(*)[HA_CRITERIA])(void *)rows->data, candidates->len, scores);
    for (guint i = 1; i < candidates->len; i++) {
        best = scores[i] > scores[best] ? i : best;
    }
    *ret_best = g_array_index(candidates, Candidate, best);
    return true;
}

static void move(HaManager *m, const Candidate *best, double before)
{
    const HaResource *res = ha_resources_get(m->resources, best->leader);
    bool live = res != NULL && strcmp(res->type, "vm") == 0;
    const char *verb = live ? "migrate" : "relocate";
    const char *node = ha_usage_node(m->usage, (guint)best->target);
    g_autofree char *cmd = g_strdup_printf("%s %s %s", verb, best->leader, node);

    ha_log(m->env, TRACE_INFO,
           "auto rebalance - %s %s to %s (expected change for imbalance from %.2f to %.2f)", verb,
           best->leader, node, before, best->imbalance);
    ha_manager_queue_motion(m, live ? HA_PENDING_MIGRATE : HA_PENDING_RELOCATE, best->leader, node,
                            cmd);
}

/* True when the imbalance has lasted long enough to act. */
static bool imbalance_lasts(HaManager *m, double imbalance)
{
    if (imbalance <= m->settings.threshold) {
        m->hold_count = 0;
        return false;
    }
    m->hold_count++;
    if (m->hold_count < m->settings.hold_duration) {
        return false;
    }
    m->hold_count = 0;
    return true;
}

void ha_manager_balance(HaManager *m)
{
    g_autoptr(GPtrArray) bundles = NULL;
    g_autofree HaNodeUse *now = NULL;
    guint n = ha_usage_n_nodes(m->usage);
    double imbalance;
    Candidate best;
    bool found;

    if (!m->settings.auto_rebalance || ha_usage_mode(m->usage) == HA_SCHEDULER_BASIC ||
        anything_moves(m)) {
        return;
    }
    now = g_memdup2(ha_usage_balance_view(m->usage), n * sizeof *now);
    imbalance = ha_imbalance(now, n);
    if (!imbalance_lasts(m, imbalance)) {
        return;
    }
    bundles = make_bundles(m);
    found = m->settings.topsis ? search_topsis(bundles, now, n, &best)
                               : search_bruteforce(bundles, now, n, &best);
    if (found && (imbalance - best.imbalance) / imbalance >= m->settings.margin) {
        move(m, &best, imbalance);
    }
}
