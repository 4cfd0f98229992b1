/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: rules say what their file says; contradictions are found, and only what contradicts goes;
 * what rules imply is made explicit. Method: small rule files, the report lines, and the compiled
 * answers. */
#include "ha-manager/core/ha_affinity.h"
#include "ha-manager/core/ha_groups.h"
#include "ha-manager/core/ha_rules.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

static void append(void *ctx, const char *line)
{
    g_string_append_printf(ctx, "%s\n", line);
}

typedef struct Compiled {
    HaRules *rules;
    HaAffinity *affinity;
    GString *log;
} Compiled;

static void compiled_done(Compiled *c)
{
    ha_rules_free(c->rules);
    ha_affinity_free(c->affinity);
    g_string_free(c->log, TRUE);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Compiled, compiled_done)

static Compiled compile(const char *text, guint n_nodes)
{
    g_autoptr(StrMap) nodes = strmap_new(NULL);
    Compiled c = {.log = g_string_new(NULL)};

    for (guint i = 1; i <= n_nodes; i++) {
        g_autofree char *name = g_strdup_printf("node%u", i);

        strmap_set(nodes, name, GINT_TO_POINTER(1));
    }
    g_assert_cmpint(ha_rules_parse(text, NULL, NULL, &c.rules, NULL), ==, 0);
    ha_rules_check(c.rules, n_nodes, append, c.log);
    g_assert_cmpint(ha_rules_transform(c.rules, NULL), ==, 0);
    g_assert_cmpint(ha_affinity_compile(c.rules, nodes, &c.affinity, NULL), ==, 0);
    return c;
}

static char *join(const GPtrArray *list)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < list->len; i++) {
        g_string_append_printf(out, "%s%s", i > 0 ? "," : "",
                               (const char *)g_ptr_array_index(list, i));
    }
    return g_string_free(out, FALSE);
}

#define POSITIVE(id, sids)                                                                         \
    "resource-affinity: " id "\n\tresources " sids "\n\taffinity positive\n\n"
#define NEGATIVE(id, sids)                                                                         \
    "resource-affinity: " id "\n\tresources " sids "\n\taffinity negative\n\n"
#define NODES(id, sids, nodes) "node-affinity: " id "\n\tresources " sids "\n\tnodes " nodes "\n\n"
#define STRICT(id, sids, nodes)                                                                    \
    "node-affinity: " id "\n\tresources " sids "\n\tnodes " nodes "\n\tstrict\n\n"

static void values_are_read_and_what_does_not_parse_is_ignored(void)
{
    g_autoptr(HaRules) rules = NULL;
    const HaRule *rule;

    g_assert_cmpint(ha_rules_parse(NODES("r1", "vm:1;ct:2 3,UP:4,vm:", "node2:5;node1 -x,node3:y"),
                                   NULL, NULL, &rules, NULL),
                    ==, 0);
    rule = strmap_get(rules->by_id, "r1");
    g_assert_cmpuint(strmap_size(rule->resources), ==, 2);
    g_assert_cmpuint(strmap_size(rule->nodes), ==, 2);
    g_assert_cmpint(GPOINTER_TO_INT(strmap_get(rule->nodes, "node2")), ==, 5);
    g_assert_cmpint(GPOINTER_TO_INT(strmap_get(rule->nodes, "node1")), ==, 0);
    g_assert_cmpint(rule->strict, ==, -1);
    g_assert_true(ha_rule_is_active(rule));
}

static void any_disable_makes_a_rule_inactive(void)
{
    g_auto(Compiled) c = compile("resource-affinity: r1\n\tresources vm:1\n\taffinity negative\n"
                                 "\tdisable 0\n\n" STRICT("r2", "vm:1", "node1"),
                                 3);

    g_assert_cmpstr(c.log->str, ==, ""); /* not even checked */
    g_assert_cmpuint(ha_affinity_apart(c.affinity, "vm:1")->len, ==, 0);
    g_assert_cmpuint(strmap_size(ha_affinity_nodes(c.affinity, "vm:1")), ==, 1);
}

static void non_strict_rules_allow_other_nodes_below_all(void)
{
    g_auto(Compiled) c = compile(NODES("r1", "vm:1", "node2:0"), 3);
    const StrMap *nodes = ha_affinity_nodes(c.affinity, "vm:1");

    g_assert_cmpuint(strmap_size(nodes), ==, 3);
    g_assert_cmpint(GPOINTER_TO_INT(strmap_get(nodes, "node1")), ==, -1);
    g_assert_cmpint(GPOINTER_TO_INT(strmap_get(nodes, "node2")), ==, 0);
    g_assert_null(ha_affinity_nodes(c.affinity, "vm:2"));
}

static void two_node_rules_for_one_service_both_go(void)
{
    g_auto(Compiled) c = compile(NODES("bb", "vm:1,vm:2", "node1") NODES("aa", "vm:1", "node2")
                                     NODES("cc", "vm:3", "node1"),
                                 3);

    g_assert_cmpstr(c.log->str, ==,
                    "Drop rule 'aa', because resource 'vm:1' is already used in another node "
                    "affinity rule.\n"
                    "Drop rule 'bb', because resource 'vm:1' is already used in another node "
                    "affinity rule.\n");
    g_assert_nonnull(ha_affinity_nodes(c.affinity, "vm:3"));
}

static void negative_rule_needs_a_node_each(void)
{
    g_auto(Compiled) fits = compile(NEGATIVE("rr", "vm:1,vm:2,vm:3"), 3);
    g_auto(Compiled) tight = compile(NEGATIVE("rr", "vm:1,vm:2,vm:3"), 2);

    g_assert_cmpstr(fits.log->str, ==, "");
    g_assert_cmpstr(tight.log->str, ==,
                    "Drop rule 'rr', because rule defines more resources than available "
                    "nodes.\n");
}

static void together_and_apart_goes_with_the_whole_connected_set(void)
{
    g_auto(Compiled) c =
        compile(POSITIVE("p1", "vm:1,vm:2") POSITIVE("p2", "vm:2,vm:3") NEGATIVE("n1", "vm:1,vm:3")
                    POSITIVE("p3", "vm:7,vm:8") NEGATIVE("n2", "vm:3,vm:7"),
                3);
    g_autofree char *apart = join(ha_affinity_apart(c.affinity, "vm:3"));

    g_assert_null(strmap_get(c.rules->by_id, "p1"));
    g_assert_null(strmap_get(c.rules->by_id, "p2"));
    g_assert_null(strmap_get(c.rules->by_id, "n1"));
    g_assert_nonnull(strmap_get(c.rules->by_id, "p3"));
    g_assert_cmpstr(apart, ==, "vm:7,vm:8"); /* n2, and what follows from p3 */
}

static void connected_rules_are_merged_in_a_single_pass(void)
{
    /* r3 joins what r1 began and also touches r2, which stays its own: a late join is not seen */
    g_auto(Compiled) c = compile(
        POSITIVE("r1", "vm:1,vm:4") POSITIVE("r2", "vm:2,vm:5") POSITIVE("r3", "vm:4,vm:5"), 3);
    g_autofree char *one = join(ha_affinity_together(c.affinity, "vm:1"));
    g_autofree char *five = join(ha_affinity_together(c.affinity, "vm:5"));

    g_assert_nonnull(strmap_get(c.rules->by_id, "_merged-r1-r3"));
    g_assert_nonnull(strmap_get(c.rules->by_id, "r2"));
    g_assert_cmpstr(one, ==, "vm:4,vm:5");
    g_assert_cmpstr(five, ==, "vm:1,vm:2,vm:4");
}

static void node_rule_is_extended_to_related_services(void)
{
    g_auto(Compiled) c = compile(STRICT("nn", "vm:1", "node2") POSITIVE("pp", "vm:1,vm:2,vm:3"), 3);

    g_assert_cmpstr(c.log->str, ==, "");
    g_assert_true(strmap_has(ha_affinity_nodes(c.affinity, "vm:3"), "node2"));
    g_assert_cmpuint(strmap_size(ha_affinity_nodes(c.affinity, "vm:3")), ==, 1);
}

static void priorities_do_not_mix_with_relations(void)
{
    g_auto(Compiled) c =
        compile(NODES("nn", "vm:1", "node1:1,node2:2") NEGATIVE("rr", "vm:1,vm:9"), 3);
    g_auto(Compiled) same =
        compile(NODES("nn", "vm:1", "node1:2,node2:2") NEGATIVE("rr", "vm:1,vm:9"), 3);

    g_assert_cmpuint(strmap_size(c.rules->by_id), ==, 0);
    g_assert_cmpuint(strmap_size(same.rules->by_id), ==, 2);
}

static void relations_are_bounded(void)
{
    g_autoptr(GString) text = g_string_new("resource-affinity: big\n\taffinity positive\n"
                                           "\tresources ");
    g_autoptr(StrMap) nodes = strmap_new(NULL);
    g_autoptr(HaRules) rules = NULL;
    HaAffinity *affinity = NULL;

    for (int i = 0; i < 3000; i++) {
        g_string_append_printf(text, "vm:%d,", i);
    }
    g_assert_cmpint(ha_rules_parse(text->str, NULL, NULL, &rules, NULL), ==, 0);
    g_assert_cmpint(ha_affinity_compile(rules, nodes, &affinity, NULL), ==, -EFBIG);
    g_assert_null(affinity);
}

static void written_rules_read_the_same(void)
{
    g_autoptr(HaRules) rules = ha_rules_new();
    g_autoptr(HaRules) back = NULL;
    HaRule *rule = ha_rules_add(rules, HA_RULE_NODE_AFFINITY, "ha-group-x", 1);
    g_autofree char *text = NULL;
    g_autofree char *again = NULL;
    const HaRule *r;

    strmap_set(rule->resources, "vm:2", GINT_TO_POINTER(1));
    strmap_set(rule->resources, "ct:1", GINT_TO_POINTER(1));
    strmap_set(rule->nodes, "node2", GINT_TO_POINTER(3));
    strmap_set(rule->nodes, "node1", GINT_TO_POINTER(0));
    rule->strict = 1;
    rule->comment = g_strdup("from a group");
    g_assert_cmpint(ha_rules_edit_add(POSITIVE("old", "vm:1,vm:2"), &text, rules, NULL), ==, 0);
    g_assert_cmpstr(text, ==,
                    "resource-affinity: old\n\taffinity positive\n\tresources vm:1,vm:2\n\n"
                    "node-affinity: ha-group-x\n\tcomment from a group\n\tnodes node1,node2:3\n"
                    "\tresources ct:1,vm:2\n\tstrict 1\n\n");
    g_assert_cmpint(ha_rules_edit_add(text, &again, rules, NULL), ==, 0);
    g_assert_cmpstr(again, ==, text); /* a second attempt adds nothing */
    g_assert_cmpint(ha_rules_parse(text, NULL, NULL, &back, NULL), ==, 0);
    r = strmap_get(back->by_id, "ha-group-x");
    g_assert_cmpint(GPOINTER_TO_INT(strmap_get(r->nodes, "node2")), ==, 3);
}

static void group_versions_are_compared_with_revision(void)
{
    static const char *const good[] = {"9.0.0~16", "9.0.0", "9.0.1~1", "9.1.0",
                                       "10.0.0",   "9.0-3", "9.0.0~17"};
    static const char *const bad[] = {"9.0.0~15", "9.0.0~2", "8.4.1", "8.9.99", "",
                                      "9",        "9.0",     "x.y.z", "9.0.0~", "9,0,0"};

    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        g_assert_true(ha_groups_version_ok(good[i]));
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(ha_groups_version_ok(bad[i]));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ha/rules/values", values_are_read_and_what_does_not_parse_is_ignored);
    g_test_add_func("/ha/rules/any-disable-makes-inactive", any_disable_makes_a_rule_inactive);
    g_test_add_func("/ha/rules/non-strict-allows-others",
                    non_strict_rules_allow_other_nodes_below_all);
    g_test_add_func("/ha/rules/two-node-rules-both-go", two_node_rules_for_one_service_both_go);
    g_test_add_func("/ha/rules/negative-needs-a-node-each", negative_rule_needs_a_node_each);
    g_test_add_func("/ha/rules/together-and-apart",
                    together_and_apart_goes_with_the_whole_connected_set);
    g_test_add_func("/ha/rules/merge-in-a-single-pass",
                    connected_rules_are_merged_in_a_single_pass);
    g_test_add_func("/ha/rules/node-rule-is-extended", node_rule_is_extended_to_related_services);
    g_test_add_func("/ha/rules/priorities-and-relations", priorities_do_not_mix_with_relations);
    g_test_add_func("/ha/rules/relations-are-bounded", relations_are_bounded);
    g_test_add_func("/ha/rules/written-rules-read-the-same", written_rules_read_the_same);
    g_test_add_func("/ha/groups/versions", group_versions_are_compared_with_revision);
    return g_test_run();
}
