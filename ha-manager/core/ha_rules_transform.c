/* SPDX-License-Identifier: Apache-2.0 */
/* The transformations of ha.md section 7.1: what the rules imply is made explicit. */
#include "ha-manager/core/ha_rules.h"

#include "ha-manager/core/ha_limits.h"

#include <errno.h>
#include <string.h>

/* 1: connected positive rules become one. */
static void merge_connected(HaRules *rules)
{
    g_autoptr(GPtrArray) sets = ha_rules_connected_sets(rules);

    for (guint i = 0; i < sets->len; i++) {
        const HaRuleSet *set = g_ptr_array_index(sets, i);
        g_autoptr(GString) id = g_string_new("_merged");
        int64_t order;
        HaRule *merged;

        if (set->rules->len < 2) {
            continue;
        }
        order = ((const HaRule *)g_ptr_array_index(set->rules, 0))->order;
        for (guint k = 0; k < set->rules->len; k++) {
            const HaRule *rule = g_ptr_array_index(set->rules, k);

            g_string_append_printf(id, "-%s", rule->id);
        }
        for (guint k = 0; k < set->rules->len; k++) {
            const HaRule *rule = g_ptr_array_index(set->rules, k);

            strmap_remove(rules->by_id, rule->id);
        }
        merged = ha_rules_add(rules, HA_RULE_RESOURCE_AFFINITY, id->str, order);
        merged->positive = true;
        for (guint k = 0; k < strmap_size(set->resources); k++) {
            strmap_set(merged->resources, strmap_key(set->resources, k), GINT_TO_POINTER(1));
        }
    }
}

static GPtrArray *select_rules(const HaRules *rules, HaRuleType type, bool positive)
{
    GPtrArray *out = g_ptr_array_new();

    for (guint i = 0; i < strmap_size(rules->by_id); i++) {
        HaRule *rule = strmap_value(rules->by_id, i);

        if (ha_rule_is_active(rule) && rule->type == type &&
            (type == HA_RULE_NODE_AFFINITY || rule->positive == positive)) {
            g_ptr_array_add(out, rule);
        }
    }
    return out;
}

/* sid -> GPtrArray of the rules of `list` that name it. */
static GHashTable *index_rules(const GPtrArray *list)
{
    GHashTable *index =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_ptr_array_unref);

    for (guint i = 0; i < list->len; i++) {
        HaRule *rule = g_ptr_array_index(list, i);

        for (guint k = 0; k < strmap_size(rule->resources); k++) {
            char *sid = (char *)strmap_key(rule->resources, k);
            GPtrArray *of = g_hash_table_lookup(index, sid);

            if (of == NULL) {
                of = g_ptr_array_new();
                g_hash_table_insert(index, sid, of);
            }
            g_ptr_array_add(of, rule);
        }
    }
    return index;
}

/* Services outside of `positive` that a negative rule separates from a member: sid set. */
static StrMap *separated_from(const HaRule *positive, GHashTable *negatives_of)
{
    StrMap *out = strmap_new(NULL);

    for (guint i = 0; i < strmap_size(positive->resources); i++) {
        const GPtrArray *of = g_hash_table_lookup(negatives_of, strmap_key(positive->resources, i));

        for (guint k = 0; of != NULL && k < of->len; k++) {
            const HaRule *negative = g_ptr_array_index(of, k);

            for (guint n = 0; n < strmap_size(negative->resources); n++) {
                const char *sid = strmap_key(negative->resources, n);

                if (!strmap_has(positive->resources, sid)) {
                    strmap_set(out, sid, GINT_TO_POINTER(1));
                }
            }
        }
    }
    return out;
}

static bool named_together(GHashTable *negatives_of, const char *a, const char *b)
{
    const GPtrArray *of = g_hash_table_lookup(negatives_of, a);

    for (guint i = 0; of != NULL && i < of->len; i++) {
        const HaRule *rule = g_ptr_array_index(of, i);

        if (strmap_has(rule->resources, b)) {
            return true;
        }
    }
    return false;
}

static void add_implicit(
    HaRules *rules, const HaRule *positive, const char *member, const char *other, int64_t order)
{
    g_autofree char *id =
        g_strdup_printf("_implicit-negative-%s-%s-%s", positive->id, member, other);
    HaRule *rule = ha_rules_add(rules, HA_RULE_RESOURCE_AFFINITY, id, order);

    strmap_set(rule->resources, member, GINT_TO_POINTER(1));
    strmap_set(rule->resources, other, GINT_TO_POINTER(1));
}

/* 2: who is apart from one is apart from all that are together with it. */
static int add_implied_negatives(HaRules *rules, Err *err)
{
    g_autoptr(GPtrArray) positives = select_rules(rules, HA_RULE_RESOURCE_AFFINITY, true);
    g_autoptr(GPtrArray) negatives = select_rules(rules, HA_RULE_RESOURCE_AFFINITY, false);
    g_autoptr(GHashTable) negatives_of = index_rules(negatives);
    int64_t first = INT64_MAX;
    guint64 budget = HA_RULES_MAX * 4;

    for (guint i = 0; i < strmap_size(rules->by_id); i++) {
        first = MIN(first, ((const HaRule *)strmap_value(rules->by_id, i))->order);
    }
    for (guint i = 0; i < positives->len; i++) {
        const HaRule *positive = g_ptr_array_index(positives, i);
        g_autoptr(StrMap) others = separated_from(positive, negatives_of);

        for (guint k = 0; k < strmap_size(others); k++) {
            for (guint n = 0; n < strmap_size(positive->resources); n++) {
                const char *member = strmap_key(positive->resources, n);

                if (named_together(negatives_of, member, strmap_key(others, k))) {
                    continue;
                }
                if (budget-- == 0) {
                    return err_setf(err, -EFBIG, "rules imply too many further rules");
                }
                add_implicit(rules, positive, member, strmap_key(others, k), first + 1);
            }
        }
    }
    return 0;
}

/* 3: who is together with a service that has a node rule follows that rule. */
static void extend_node_rules(HaRules *rules)
{
    g_autoptr(GPtrArray) positives = select_rules(rules, HA_RULE_RESOURCE_AFFINITY, true);
    g_autoptr(GPtrArray) node_rules = select_rules(rules, HA_RULE_NODE_AFFINITY, false);
    g_autoptr(GHashTable) node_rules_of = index_rules(node_rules);

    for (guint i = 0; i < positives->len; i++) {
        const HaRule *positive = g_ptr_array_index(positives, i);
        HaRule *found = NULL;

        for (guint k = 0; found == NULL && k < strmap_size(positive->resources); k++) {
            const GPtrArray *of =
                g_hash_table_lookup(node_rules_of, strmap_key(positive->resources, k));

            found = of != NULL ? g_ptr_array_index(of, 0) : NULL;
        }
        for (guint k = 0; found != NULL && k < strmap_size(positive->resources); k++) {
            strmap_set(found->resources, strmap_key(positive->resources, k), GINT_TO_POINTER(1));
        }
    }
}

int ha_rules_transform(HaRules *rules, Err *err)
{
    int r;

    merge_connected(rules);
    r = add_implied_negatives(rules, err);
    if (r < 0) {
        return r;
    }
    extend_node_rules(rules);
    return 0;
}
