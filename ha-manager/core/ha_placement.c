/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_placement.h"

#include "ha-manager/core/ha_limits.h"

#include <string.h>

/* What the rules say about one service, per node index. */
typedef struct View {
    guint n;
    bool allowed[HA_NODES_MAX];
    bool preferred[HA_NODES_MAX];
    guint together[HA_NODES_MAX];
    bool apart[HA_NODES_MAX];
} View;

/* `current`: where it is; there it may stay. With `all` no node is avoided. */
static void look_at_nodes(const HaPlacement *p, const char *sid, int current, bool all, View *v)
{
    const StrMap *map = ha_affinity_nodes(p->affinity, sid);
    int highest = INT32_MIN;
    int priority[HA_NODES_MAX];

    for (guint i = 0; i < v->n; i++) {
        const char *node = ha_usage_node(p->usage, i);
        guint place;

        v->allowed[i] = map == NULL || strmap_find(map, node, &place);
        priority[i] = map != NULL && v->allowed[i] ? GPOINTER_TO_INT(strmap_value(map, place)) : 0;
        if (!all && (int)i != current && strmap_has(p->avoid, node)) {
            v->allowed[i] = false;
        }
        if (v->allowed[i] && priority[i] > highest) {
            highest = priority[i];
        }
    }
    for (guint i = 0; i < v->n; i++) {
        v->preferred[i] = v->allowed[i] && priority[i] == highest;
    }
}

static void look_at_services(const HaPlacement *p, const char *sid, View *v)
{
    const GPtrArray *together = ha_affinity_together(p->affinity, sid);
    const GPtrArray *apart = ha_affinity_apart(p->affinity, sid);
    int current;
    int target;

    for (guint i = 0; i < together->len; i++) {
        const HaService *s = strmap_get(p->services, g_ptr_array_index(together, i));

        if (s == NULL) {
            continue;
        }
        ha_usage_nodes_of(p->usage, s, &current, &target);
        if (target >= 0 || current >= 0) {
            v->together[target >= 0 ? target : current]++;
        }
    }
    for (guint i = 0; i < apart->len; i++) {
        const HaService *s = strmap_get(p->services, g_ptr_array_index(apart, i));

        if (s == NULL) {
            continue;
        }
        ha_usage_nodes_of(p->usage, s, &current, &target);
        if (current >= 0) {
            v->apart[current] = true;
        }
        if (target >= 0) {
            v->apart[target] = true;
        }
    }
}

static bool any(const bool *flags, guint n)
{
    for (guint i = 0; i < n; i++) {
        if (flags[i]) {
            return true;
        }
    }
    return false;
}

static void look(const HaPlacement *p, const char *sid, int current, View *v)
{
    memset(v, 0, sizeof *v);
    v->n = MIN(ha_usage_n_nodes(p->usage), HA_NODES_MAX);
    look_at_nodes(p, sid, current, p->avoid == NULL, v);
    if (!any(v->allowed, v->n) && p->avoid != NULL) {
        look_at_nodes(p, sid, current, true, v);
    }
    look_at_services(p, sid, v);
}

/* Of the preferred nodes only the one with most related services stays, if any has some. */
static void keep_together(View *v)
{
    int best = -1;

    for (guint i = 0; i < v->n; i++) {
        if (v->preferred[i] && v->together[i] > 0 &&
            (best < 0 || v->together[i] > v->together[best])) {
            best = (int)i;
        }
    }
    for (guint i = 0; best >= 0 && i < v->n; i++) {
        v->preferred[i] = (int)i == best;
    }
}

/* The preferred nodes by score, then name; how many. */
static guint
sort_by_score(const HaPlacement *p, const char *sid, const View *v, int *order, Err *err)
{
    double scores[HA_NODES_MAX];
    guint n = 0;

    (void)ha_usage_score(p->usage, sid, scores, err); /* told in err; equal scores have an order */
    for (guint i = 0; i < v->n; i++) {
        guint k = n;

        if (!v->preferred[i]) {
            continue;
        }
        while (k > 0 && scores[order[k - 1]] > scores[i]) {
            order[k] = order[k - 1];
            k--;
        }
        order[k] = (int)i;
        n++;
    }
    return n;
}

static int choose(const HaPlacement *p,
                  const char *sid,
                  const View *v,
                  int current,
                  HaPreference preference,
                  Err *err)
{
    int order[HA_NODES_MAX];
    guint n = sort_by_score(p, sid, v, order, err);

    if (n == 0) {
        return -1;
    }
    for (guint i = 0; preference == HA_PREFER_TRY_NEXT && i + 1 < n; i++) {
        if (order[i] == current) {
            return order[i + 1];
        }
    }
    return order[0];
}

const char *ha_placement_select(const HaPlacement *p,
                                const char *sid,
                                const HaService *s,
                                bool failback,
                                HaPreference preference,
                                Err *err)
{
    View v;
    int current = ha_usage_index(p->usage, s->node);
    int home = ha_usage_index(p->usage, s->maintenance_node);
    int chosen;

    look(p, sid, current, &v);
    if (!any(v.preferred, v.n)) {
        return NULL;
    }
    if (preference == HA_PREFER_NONE && !failback && current >= 0 && v.allowed[current] &&
        (v.together[current] > 0 || !v.apart[current])) {
        return ha_usage_node(p->usage, (guint)current);
    }
    for (guint i = 0; i < v.n; i++) {
        if (v.apart[i] || (preference == HA_PREFER_TRY_NEXT &&
                           ha_service_has_failed_on(s, ha_usage_node(p->usage, i)))) {
            v.preferred[i] = false;
        }
    }
    keep_together(&v);
    if (home >= 0 && v.preferred[home]) {
        return ha_usage_node(p->usage, (guint)home);
    }
    if (preference == HA_PREFER_NONE && current >= 0 && v.preferred[current]) {
        return ha_usage_node(p->usage, (guint)current);
    }
    chosen = choose(p, sid, &v, current, preference, err);
    return chosen >= 0 ? ha_usage_node(p->usage, (guint)chosen) : NULL;
}

GArray *ha_placement_targets(const HaPlacement *p, const char *sid, const HaService *s)
{
    GArray *out = g_array_new(FALSE, FALSE, sizeof(int));
    int current = ha_usage_index(p->usage, s->node);
    View v;

    look(p, sid, current, &v);
    for (guint i = 0; i < v.n; i++) {
        int index = (int)i;

        if (v.preferred[i] && !v.apart[i] && index != current) {
            g_array_append_val(out, index);
        }
    }
    return out;
}
