/* SPDX-License-Identifier: Apache-2.0 */
/* The feasibility checks of ha.md section 7.1. All look at the full rule set; only then is removed
 * what failed. */
#include "ha-manager/core/ha_rules.h"

#include <string.h>

/* What one run of the checks works on. */
typedef struct Check {
    GPtrArray *node_rules; /* active node-affinity rules, by id */
    GPtrArray *resource_rules;
    GPtrArray *positive_sets; /* HaRuleSet * */
    GHashTable *rules_of;     /* sid -> GPtrArray of node-affinity rules, by id */
    StrMap *complaints;       /* rule id -> GPtrArray of const char * or owned text */
    GStringChunk *texts;
} Check;

static void rule_set_free(void *data)
{
    HaRuleSet *set = data;

    g_ptr_array_unref(set->rules);
    strmap_free(set->resources);
    g_free(set);
}

static const char *smallest_resource(const HaRule *rule)
{
    return strmap_size(rule->resources) > 0 ? strmap_key(rule->resources, 0) : "";
}

static gint by_smallest_resource(gconstpointer a, gconstpointer b)
{
    const HaRule *ra = *(const HaRule *const *)a;
    const HaRule *rb = *(const HaRule *const *)b;
    int c = strcmp(smallest_resource(ra), smallest_resource(rb));

    return c != 0 ? c : strcmp(ra->id, rb->id);
}

static GPtrArray *sorted_positive_rules(const HaRules *rules)
{
    GPtrArray *out = g_ptr_array_new();

    for (guint i = 0; i < strmap_size(rules->by_id); i++) {
        HaRule *rule = strmap_value(rules->by_id, i);

        if (rule->type == HA_RULE_RESOURCE_AFFINITY && rule->positive && ha_rule_is_active(rule)) {
            g_ptr_array_add(out, rule);
        }
    }
    g_ptr_array_sort(out, by_smallest_resource);
    return out;
}

static HaRuleSet *add_set(GPtrArray *sets)
{
    HaRuleSet *set = g_new0(HaRuleSet, 1);

    set->rules = g_ptr_array_new();
    set->resources = strmap_new(NULL);
    g_ptr_array_add(sets, set);
    return set;
}

/* `first_set`: sid -> 1 + number of the first set that has it. */
static guint set_of(GHashTable *first_set, const char *sid)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(first_set, sid)); /* 0: none */
}

static void take_resources(const HaRuleSet *set, guint n, const StrMap *more, GHashTable *first_set)
{
    for (guint k = 0; k < strmap_size(more); k++) {
        char *sid = (char *)strmap_key(more, k);
        guint known = set_of(first_set, sid);

        strmap_set(set->resources, sid, GINT_TO_POINTER(1));
        if (known == 0 || n < known - 1) {
            g_hash_table_insert(first_set, sid, GUINT_TO_POINTER(n + 1));
        }
    }
}

/* Every other set that the rule touches becomes part of set n, and is empty then. */
static void absorb(GPtrArray *sets, guint n, const HaRule *rule, GHashTable *first_set)
{
    const HaRuleSet *set = g_ptr_array_index(sets, n);

    for (guint k = 0; k < strmap_size(rule->resources); k++) {
        guint known = set_of(first_set, strmap_key(rule->resources, k));
        const HaRuleSet *other;

        if (known == 0 || known - 1 == n) {
            continue;
        }
        other = g_ptr_array_index(sets, known - 1);
        for (guint i = 0; i < other->rules->len; i++) {
            g_ptr_array_add(set->rules, g_ptr_array_index(other->rules, i));
            take_resources(set, n, ((const HaRule *)g_ptr_array_index(other->rules, i))->resources,
                           first_set);
        }
        g_ptr_array_set_size(other->rules, 0);
    }
}

static void drop_empty_sets(GPtrArray *sets)
{
    for (guint i = 0; i < sets->len;) {
        if (((const HaRuleSet *)g_ptr_array_index(sets, i))->rules->len == 0) {
            g_ptr_array_remove_index(sets, i);
        } else {
            i++;
        }
    }
}

GPtrArray *ha_rules_connected_sets(const HaRules *rules)
{
    g_autoptr(GPtrArray) positive = sorted_positive_rules(rules);
    g_autoptr(GHashTable) first_set = g_hash_table_new(g_str_hash, g_str_equal);
    GPtrArray *sets = g_ptr_array_new_with_free_func(rule_set_free);

    for (guint i = 0; i < positive->len; i++) {
        HaRule *rule = g_ptr_array_index(positive, i);
        guint n = sets->len;
        HaRuleSet *set;

        for (guint k = 0; k < strmap_size(rule->resources); k++) {
            guint known = set_of(first_set, strmap_key(rule->resources, k));

            n = known > 0 ? MIN(n, known - 1) : n;
        }
        set = n < sets->len ? g_ptr_array_index(sets, n) : add_set(sets);
        if (rules->join_late) {
            absorb(sets, n, rule, first_set);
        }
        g_ptr_array_add(set->rules, rule);
        take_resources(set, n, rule->resources, first_set);
    }
    drop_empty_sets(sets);
    return sets;
}

static void complain(Check *c, const HaRule *rule, const char *text)
{
    GPtrArray *list = strmap_get(c->complaints, rule->id);

    if (list == NULL) {
        list = g_ptr_array_new();
        strmap_set(c->complaints, rule->id, list);
    }
    g_ptr_array_add(list, g_string_chunk_insert_const(c->texts, text));
}

static void check_init(Check *c, const HaRules *rules)
{
    c->node_rules = g_ptr_array_new();
    c->resource_rules = g_ptr_array_new();
    c->rules_of =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_ptr_array_unref);
    c->complaints = strmap_new((GDestroyNotify)g_ptr_array_unref);
    c->texts = g_string_chunk_new(4096);
    c->positive_sets = ha_rules_connected_sets(rules);
    for (guint i = 0; i < strmap_size(rules->by_id); i++) {
        HaRule *rule = strmap_value(rules->by_id, i);

        if (!ha_rule_is_active(rule)) {
            continue;
        }
        g_ptr_array_add(rule->type == HA_RULE_NODE_AFFINITY ? c->node_rules : c->resource_rules,
                        rule);
        for (guint k = 0; rule->type == HA_RULE_NODE_AFFINITY && k < strmap_size(rule->resources);
             k++) {
            char *sid = (char *)strmap_key(rule->resources, k);
            GPtrArray *list = g_hash_table_lookup(c->rules_of, sid);

            if (list == NULL) {
                list = g_ptr_array_new();
                g_hash_table_insert(c->rules_of, sid, list);
            }
            g_ptr_array_add(list, rule);
        }
    }
}

static void check_done(Check *c)
{
    g_ptr_array_unref(c->node_rules);
    g_ptr_array_unref(c->resource_rules);
    g_ptr_array_unref(c->positive_sets);
    g_hash_table_unref(c->rules_of);
    strmap_free(c->complaints);
    g_string_chunk_free(c->texts);
}

/* 1: a service has at most one node-affinity rule. */
static void check_one_node_rule(Check *c)
{
    for (guint i = 0; i < c->node_rules->len; i++) {
        const HaRule *rule = g_ptr_array_index(c->node_rules, i);

        for (guint k = 0; k < strmap_size(rule->resources); k++) {
            const char *sid = strmap_key(rule->resources, k);
            const GPtrArray *list = g_hash_table_lookup(c->rules_of, sid);

            if (list->len > 1) {
                g_autofree char *text = g_strdup_printf(
                    "resource '%s' is already used in another node affinity rule", sid);

                complain(c, rule, text);
            }
        }
    }
}

/* 2: a relation needs two. */
static void check_two_resources(Check *c)
{
    for (guint i = 0; i < c->resource_rules->len; i++) {
        const HaRule *rule = g_ptr_array_index(c->resource_rules, i);

        if (strmap_size(rule->resources) < 2) {
            complain(c, rule, "rule is ineffective as there are less than two resources");
        }
    }
}

/* 3: services that shall be apart need a node each. */
static void check_enough_nodes(Check *c, guint n_nodes)
{
    for (guint i = 0; i < c->resource_rules->len; i++) {
        const HaRule *rule = g_ptr_array_index(c->resource_rules, i);

        if (!rule->positive && strmap_size(rule->resources) > n_nodes) {
            complain(c, rule, "rule defines more resources than available nodes");
        }
    }
}

/* A negative rule and a connected set that share two services. */
typedef struct Clash {
    guint set;
    const HaRule *negative;
} Clash;

static gint clash_cmp(gconstpointer a, gconstpointer b)
{
    const Clash *ca = a;
    const Clash *cb = b;

    if (ca->set != cb->set) {
        return ca->set < cb->set ? -1 : 1;
    }
    return strcmp(ca->negative->id, cb->negative->id);
}

/* sid -> GArray of the numbers of the sets that have it (more than one only for late joins). */
static GHashTable *index_sets(const Check *c)
{
    GHashTable *index =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_array_unref);

    for (guint n = 0; n < c->positive_sets->len; n++) {
        const HaRuleSet *set = g_ptr_array_index(c->positive_sets, n);

        for (guint k = 0; k < strmap_size(set->resources); k++) {
            char *sid = (char *)strmap_key(set->resources, k);
            GArray *list = g_hash_table_lookup(index, sid);

            if (list == NULL) {
                list = g_array_new(FALSE, FALSE, sizeof n);
                g_hash_table_insert(index, sid, list);
            }
            g_array_append_val(list, n);
        }
    }
    return index;
}

static void find_clashes(const HaRule *negative, GHashTable *index, GArray *clashes)
{
    g_autoptr(GHashTable) shared = g_hash_table_new(NULL, NULL); /* set number -> how many */

    for (guint k = 0; k < strmap_size(negative->resources); k++) {
        const GArray *list = g_hash_table_lookup(index, strmap_key(negative->resources, k));

        for (guint i = 0; list != NULL && i < list->len; i++) {
            guint n = g_array_index(list, guint, i);
            guint count = GPOINTER_TO_UINT(g_hash_table_lookup(shared, GUINT_TO_POINTER(n))) + 1;

            g_hash_table_insert(shared, GUINT_TO_POINTER(n), GUINT_TO_POINTER(count));
            if (count == 2) {
                Clash clash = {n, negative};

                g_array_append_val(clashes, clash);
            }
        }
    }
}

/* 4: what shall be together cannot be apart. */
static void check_together_and_apart(Check *c)
{
    g_autoptr(GHashTable) index = index_sets(c);
    g_autoptr(GArray) clashes = g_array_new(FALSE, FALSE, sizeof(Clash));

    for (guint i = 0; i < c->resource_rules->len; i++) {
        const HaRule *rule = g_ptr_array_index(c->resource_rules, i);

        if (!rule->positive) {
            find_clashes(rule, index, clashes);
        }
    }
    g_array_sort(clashes, clash_cmp);
    for (guint i = 0; i < clashes->len; i++) {
        const Clash *clash = &g_array_index(clashes, Clash, i);
        const HaRuleSet *set = g_ptr_array_index(c->positive_sets, clash->set);

        complain(c, clash->negative,
                 "rule shares two or more resources with a positive resource affinity rule");
        for (guint k = 0; k < set->rules->len; k++) {
            complain(c, g_ptr_array_index(set->rules, k),
                     "rule shares two or more resources with a negative resource affinity rule");
        }
    }
}

/* The node-affinity rules a set of services touches: rule id -> HaRule *. */
static StrMap *touched_rules(const Check *c, const StrMap *resources)
{
    StrMap *touched = strmap_new(NULL);

    for (guint k = 0; k < strmap_size(resources); k++) {
        const GPtrArray *list = g_hash_table_lookup(c->rules_of, strmap_key(resources, k));

        for (guint i = 0; list != NULL && i < list->len; i++) {
            HaRule *rule = g_ptr_array_index(list, i);

            strmap_set(touched, rule->id, rule);
        }
    }
    return touched;
}

static bool has_many_priorities(const HaRule *rule)
{
    for (guint i = 1; i < strmap_size(rule->nodes); i++) {
        if (strmap_value(rule->nodes, i) != strmap_value(rule->nodes, 0)) {
            return true;
        }
    }
    return false;
}

static void complain_all(Check *c, const StrMap *rules, const char *text)
{
    for (guint i = 0; i < strmap_size(rules); i++) {
        complain(c, strmap_value(rules, i), text);
    }
}

/* 5: priorities and relations do not mix. */
static void check_priorities(Check *c)
{
    for (guint i = 0; i < c->resource_rules->len; i++) {
        const HaRule *rule = g_ptr_array_index(c->resource_rules, i);
        g_autoptr(StrMap) touched = touched_rules(c, rule->resources);
        bool many = false;

        for (guint k = 0; k < strmap_size(touched); k++) {
            many = many || has_many_priorities(strmap_value(touched, k));
        }
        if (many) {
            complain(c, rule, "resources are in node affinity rules with multiple priorities");
            complain_all(c, touched,
                         "resources are in a resource affinity rule and cannot be in a node "
                         "affinity rule with multiple priorities");
        }
    }
}

/* 6: what shall be together has at most one node-affinity rule. */
static void check_positive_with_nodes(Check *c)
{
    for (guint i = 0; i < c->positive_sets->len; i++) {
        const HaRuleSet *set = g_ptr_array_index(c->positive_sets, i);
        g_autoptr(StrMap) touched = touched_rules(c, set->resources);

        if (strmap_size(touched) < 2) {
            continue;
        }
        for (guint k = 0; k < set->rules->len; k++) {
            complain(c, g_ptr_array_index(set->rules, k),
                     "resources are in multiple node affinity rules");
        }
        complain_all(c, touched,
                     "at least one resource is in a positive resource affinity rule and there are "
                     "other resources in at least one other node affinity rule already");
    }
}

/* 7: what shall be apart needs enough nodes where it is allowed. */
static void check_negative_with_nodes(Check *c)
{
    for (guint i = 0; i < c->resource_rules->len; i++) {
        const HaRule *rule = g_ptr_array_index(c->resource_rules, i);
        g_autoptr(StrMap) touched = touched_rules(c, rule->resources);
        g_autoptr(StrMap) nodes = strmap_new(NULL);
        guint located = 0;

        for (guint k = 0; k < strmap_size(rule->resources); k++) {
            located += g_hash_table_contains(c->rules_of, strmap_key(rule->resources, k));
        }
        for (guint k = 0; k < strmap_size(touched); k++) {
            const HaRule *node_rule = strmap_value(touched, k);

            for (guint n = 0; n < strmap_size(node_rule->nodes); n++) {
                strmap_set(nodes, strmap_key(node_rule->nodes, n), GINT_TO_POINTER(1));
            }
        }
        if (rule->positive || strmap_size(nodes) >= located) {
            continue;
        }
        complain(c, rule,
                 "two or more resources are restricted to less nodes than available to the "
                 "resources");
        complain_all(c, touched,
                     "at least one resource is in a negative resource affinity rule and this rule "
                     "would restrict these to less nodes than available to the resources");
    }
}

void ha_rules_check(HaRules *rules,
                    guint n_nodes,
                    void (*log)(void *ctx, const char *line),
                    void *ctx)
{
    Check c;

    check_init(&c, rules);
    check_one_node_rule(&c);
    check_two_resources(&c);
    check_enough_nodes(&c, n_nodes);
    check_together_and_apart(&c);
    check_priorities(&c);
    check_positive_with_nodes(&c);
    check_negative_with_nodes(&c);
    for (guint i = 0; i < strmap_size(c.complaints); i++) {
        const char *id = strmap_key(c.complaints, i);
        const GPtrArray *list = strmap_value(c.complaints, i);

        for (guint k = 0; k < list->len; k++) {
            g_autofree char *line = g_strdup_printf("Drop rule '%s', because %s.", id,
                                                    (const char *)g_ptr_array_index(list, k));

            log(ctx, line);
        }
        strmap_remove(rules->by_id, id);
    }
    check_done(&c);
}
