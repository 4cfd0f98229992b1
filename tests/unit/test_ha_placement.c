/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a service gets the node that rules, load and history say. Method: a few nodes and services,
 * a rule set, and the choice; the arithmetic of TOPSIS against values worked out by hand. */
#include "ha-manager/core/ha_flaps.h"
#include "ha-manager/core/ha_placement.h"
#include "ha-manager/core/ha_topsis.h"

#include <glib.h>
#include <math.h>
#include <string.h>

#define GIB (1024.0 * 1024.0 * 1024.0)

typedef struct Fixture {
    StrMap *all_nodes;
    StrMap *services;
    HaAffinity *affinity;
    HaUsage *usage;
    StrMap *avoid; /* NULL: none */
} Fixture;

static void fixture_done(Fixture *f)
{
    strmap_free(f->all_nodes);
    strmap_free(f->services);
    ha_affinity_free(f->affinity);
    ha_usage_free(f->usage);
    strmap_free(f->avoid);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fixture, fixture_done)

static StrMap *set_of(const char *words)
{
    g_autoptr(GPtrArray) list = sectionconf_split_list(words);
    StrMap *set = strmap_new(NULL);

    for (guint i = 0; i < list->len; i++) {
        strmap_set(set, g_ptr_array_index(list, i), GINT_TO_POINTER(1));
    }
    return set;
}

static Fixture fixture(const char *rules_text)
{
    Fixture f = {.all_nodes = set_of("node1 node2 node3"), .services = strmap_new(ha_service_free)};
    g_autoptr(HaRules) rules = NULL;

    g_assert_cmpint(ha_rules_parse(rules_text, NULL, NULL, &rules, NULL), ==, 0);
    g_assert_cmpint(ha_rules_transform(rules, NULL), ==, 0);
    g_assert_cmpint(ha_affinity_compile(rules, f.all_nodes, &f.affinity, NULL), ==, 0);
    return f;
}

static HaService *add(Fixture *f, const char *sid, const char *node)
{
    HaService *s = ha_service_new(HA_SERVICE_STARTED, node);

    strmap_set(f->services, sid, s);
    return s;
}

static const char *
choose(Fixture *f, const char *online, const char *sid, bool failback, HaPreference preference)
{
    g_autoptr(StrMap) nodes = set_of(online);
    HaPlacement p;

    g_clear_pointer(&f->usage, ha_usage_free);
    g_assert_cmpint(ha_usage_new(HA_SCHEDULER_BASIC, nodes, NULL, &f->usage, NULL), ==, 0);
    for (guint i = 0; i < strmap_size(f->services); i++) {
        if (strcmp(strmap_key(f->services, i), sid) != 0) {
            ha_usage_add_service(f->usage, strmap_key(f->services, i),
                                 strmap_value(f->services, i));
        }
    }
    p = (HaPlacement){f->usage, f->affinity, f->services, f->avoid};
    return ha_placement_select(&p, sid, strmap_get(f->services, sid), failback, preference, NULL);
}

static void move(Fixture *f, const char *sid, const char *node)
{
    HaService *s = strmap_get(f->services, sid);
    char *name = g_strdup(node);

    g_free(s->node);
    s->node = name;
}

/* The table of ha-scenarios.md section 9. */
static void successive_selections(void)
{
    static const struct {
        const char *online;
        HaPreference preference;
        const char *result;
    } steps[] = {
        {"node1,node2,node3", HA_PREFER_NONE, "node1"},
        {"node1,node2,node3", HA_PREFER_TRY_NEXT, "node1"},
        {"node2,node3", HA_PREFER_NONE, "node2"},
        {"node2,node3", HA_PREFER_TRY_NEXT, "node3"},
        {"node2,node3", HA_PREFER_TRY_NEXT, "node2"},
        {"node3", HA_PREFER_NONE, "node3"},
        {"node3", HA_PREFER_TRY_NEXT, "node3"},
        {"node1,node3", HA_PREFER_NONE, "node1"},
        {"node1,node2,node3", HA_PREFER_NONE, "node1"},
        {"node1,node2,node3", HA_PREFER_TRY_NEXT, "node1"},
    };
    g_auto(Fixture) f = fixture("node-affinity: prefer\n\tresources vm:111\n\tnodes node1\n");

    add(&f, "vm:111", "node1");
    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
        const char *node = choose(&f, steps[i].online, "vm:111", true, steps[i].preference);

        g_assert_cmpstr(node, ==, steps[i].result);
        move(&f, "vm:111", node);
    }
}

static void without_failback_a_service_stays(void)
{
    g_auto(Fixture) f =
        fixture("node-affinity: prefer\n\tresources vm:1\n\tnodes node1:2,node2:1\n");

    add(&f, "vm:1", "node2");
    g_assert_cmpstr(choose(&f, "node1,node2,node3", "vm:1", false, HA_PREFER_NONE), ==, "node2");
    g_assert_cmpstr(choose(&f, "node1,node2,node3", "vm:1", true, HA_PREFER_NONE), ==, "node1");
    g_assert_cmpstr(choose(&f, "node1,node2,node3", "vm:1", false, HA_PREFER_BEST_SCORE), ==,
                    "node1");
}

static void strict_rule_leaves_no_node(void)
{
    g_auto(Fixture) f = fixture("node-affinity: only\n\tresources vm:1\n\tnodes node1\n\tstrict\n");

    add(&f, "vm:1", "node2");
    g_assert_null(choose(&f, "node2,node3", "vm:1", true, HA_PREFER_BEST_SCORE));
    g_assert_null(choose(&f, "node2,node3", "vm:1", false, HA_PREFER_NONE));
}

static void failed_nodes_are_passed_over_only_by_try_next(void)
{
    g_auto(Fixture) f = fixture("");
    HaService *s = add(&f, "vm:1", "node1");

    ha_service_add_failed_node(s, "node1");
    ha_service_add_failed_node(s, "node2");
    g_assert_cmpstr(choose(&f, "node1,node2,node3", "vm:1", true, HA_PREFER_TRY_NEXT), ==, "node3");
    g_assert_cmpstr(choose(&f, "node1,node2,node3", "vm:1", true, HA_PREFER_NONE), ==, "node1");
    ha_service_add_failed_node(s, "node3");
    g_assert_null(choose(&f, "node1,node2,node3", "vm:1", true, HA_PREFER_TRY_NEXT));
}

static void least_loaded_node_wins_and_name_breaks_ties(void)
{
    g_auto(Fixture) f = fixture("");

    add(&f, "vm:1", "node3");
    add(&f, "vm:2", "node1");
    add(&f, "vm:3", "node1");
    add(&f, "vm:4", "node2");
    g_assert_cmpstr(choose(&f, "node1,node2", "vm:1", true, HA_PREFER_BEST_SCORE), ==, "node2");
    add(&f, "vm:5", "node2");
    g_assert_cmpstr(choose(&f, "node1,node2", "vm:1", true, HA_PREFER_BEST_SCORE), ==, "node1");
}

static void together_goes_where_most_are(void)
{
    g_auto(Fixture) f =
        fixture("resource-affinity: pp\n\tresources vm:1,vm:2,vm:3,vm:4\n\taffinity positive\n");
    HaService *moving;

    add(&f, "vm:1", "node1");
    add(&f, "vm:2", "node2");
    moving = add(&f, "vm:3", "node1");
    add(&f, "vm:4", "node3");
    g_assert_cmpstr(choose(&f, "node1,node2,node3", "vm:1", true, HA_PREFER_NONE), ==, "node1");
    moving->state = HA_SERVICE_MIGRATE; /* counts where it goes */
    moving->target = g_strdup("node2");
    g_assert_cmpstr(choose(&f, "node1,node2,node3", "vm:1", true, HA_PREFER_NONE), ==, "node2");
    g_assert_cmpstr(choose(&f, "node1,node3", "vm:1", true, HA_PREFER_NONE), ==, "node1");
}

static void apart_avoids_both_ends_of_a_migration(void)
{
    g_auto(Fixture) f =
        fixture("resource-affinity: nn\n\tresources vm:1,vm:2\n\taffinity negative\n");
    HaService *other;

    add(&f, "vm:1", "node1");
    other = add(&f, "vm:2", "node1");
    g_assert_cmpstr(choose(&f, "node1,node2,node3", "vm:1", true, HA_PREFER_NONE), ==, "node2");
    other->state = HA_SERVICE_MIGRATE;
    other->target = g_strdup("node2");
    g_assert_cmpstr(choose(&f, "node1,node2,node3", "vm:1", true, HA_PREFER_NONE), ==, "node3");
    g_assert_null(choose(&f, "node1,node2", "vm:1", true, HA_PREFER_NONE));
    other->state = HA_SERVICE_STOPPED; /* what is stopped is nowhere */
    g_assert_cmpstr(choose(&f, "node1,node2", "vm:1", true, HA_PREFER_NONE), ==, "node1");
}

static void service_returns_after_maintenance(void)
{
    g_auto(Fixture) f = fixture("");
    HaService *s = add(&f, "vm:1", "node2");

    s->maintenance_node = g_strdup("node3");
    g_assert_cmpstr(choose(&f, "node1,node2", "vm:1", true, HA_PREFER_NONE), ==, "node2");
    g_assert_cmpstr(choose(&f, "node1,node2,node3", "vm:1", true, HA_PREFER_NONE), ==, "node3");
}

/* Neither by score nor for its priority; but what is there stays, and it is better than nothing. */
static void node_in_quarantine_gets_nothing(void)
{
    g_auto(Fixture) f = fixture("node-affinity: home\n\tresources vm:1\n\tnodes node1:2,node2:1\n"
                                "\tstrict 1\n");
    HaService *s = add(&f, "vm:1", "node2");

    (void)add(&f, "vm:2", "node3");
    f.avoid = set_of("node1");
    g_assert_cmpstr(choose(&f, "node1 node2 node3", "vm:1", true, HA_PREFER_NONE), ==, "node2");
    g_assert_cmpstr(choose(&f, "node1 node3", "vm:1", true, HA_PREFER_BEST_SCORE), ==, "node1");
    g_assert_cmpstr(choose(&f, "node1 node2", "vm:2", true, HA_PREFER_BEST_SCORE), ==, "node2");
    g_free(s->node);
    s->node = g_strdup("node1");
    g_assert_cmpstr(choose(&f, "node1 node2 node3", "vm:1", true, HA_PREFER_NONE), ==, "node1");
}

static void quarantine_by_dates(void)
{
    HaFlaps f = {{0}};

    ha_flaps_note(&f, 1000);
    ha_flaps_note(&f, 1900);
    g_assert_cmpint(ha_flaps_until(&f, 1900), ==, 0);
    ha_flaps_note(&f, 1000 + HA_FLAPS_WINDOW_S);
    g_assert_cmpint(ha_flaps_until(&f, 2800), ==, 2800 + HA_FLAPS_HOLD_S);
    g_assert_cmpint(ha_flaps_until(&f, 2800 + HA_FLAPS_HOLD_S), ==, 0);
    g_assert_cmpint(ha_flaps_until(&f, 2799), ==, 0); /* the clock was set back */
    ha_flaps_note(&f, 1901 + HA_FLAPS_WINDOW_S);
    g_assert_cmpint(ha_flaps_until(&f, 4000), ==, 0); /* too far apart */
}

static void assert_near(double a, double b)
{
    g_assert_cmpfloat(fabs(a - b), <, 1e-12);
}

static void criteria_of_a_load(void)
{
    static const HaNodeUse nodes[] = {{1, 2, 1, 4}, {0, 2, 3, 4}};
    double row[HA_CRITERIA];

    ha_topsis_criteria(nodes, 2, row);
    assert_near(row[0], 1 + sqrt(0.25 / 2));
    assert_near(row[1], 1.5);
    assert_near(row[2], 1 + sqrt((0.0625 + 0.5625) / 2));
    assert_near(row[3], 1.75);
}

static void topsis_scores_extremes_and_the_middle(void)
{
    /* one criterion differs: best 1, worst 0, exactly between a half */
    static const double rows[3][HA_CRITERIA] = {{1, 1, 1, 1}, {1, 1, 1, 3}, {1, 1, 1, 2}};
    double scores[3];

    ha_topsis_score(rows, 3, scores);
    assert_near(scores[0], 1);
    assert_near(scores[1], 0);
    assert_near(scores[2], 0.5);
}

static void topsis_keeps_equal_alternatives_equal(void)
{
    static const double rows[3][HA_CRITERIA] = {
        {1.1, 1.2, 1.3, 1.4}, {1.7, 1.2, 1.9, 1.4}, {1.1, 1.2, 1.3, 1.4}};
    static const double same[2][HA_CRITERIA] = {{1.1, 1.2, 1.3, 1.4}, {1.1, 1.2, 1.3, 1.4}};
    double scores[3];

    ha_topsis_score(rows, 3, scores);
    g_assert_true(scores[0] == scores[2]);
    g_assert_cmpfloat(scores[0], >, scores[1]);
    ha_topsis_score(same, 2, scores);
    g_assert_true(scores[0] == 0 && scores[1] == 0);
}

static void imbalance_of_known_loads(void)
{
    static const HaNodeUse even[] = {{1, 2, 1, 2}, {1, 2, 1, 2}};
    static const HaNodeUse lone[] = {{2, 2, 2, 2}, {0, 2, 0, 2}, {0, 2, 0, 2}};
    static const HaNodeUse none[] = {{0, 2, 0, 2}, {0, 0, 0, 0}};

    assert_near(ha_imbalance(even, 2), 0);
    assert_near(ha_imbalance(lone, 3), sqrt(2)); /* mean 1/3, deviation sqrt(2)/3 */
    assert_near(ha_imbalance(none, 2), 0);
}

static HaLoads loads_of(double small_maxmem)
{
    HaLoads loads;
    HaLoad node = {8, 16 * GIB, 0, 0};
    HaLoad guest = {0, 4 * GIB, 1, 1 * GIB};

    ha_loads_init(&loads);
    strmap_set(loads.nodes, "node1", g_memdup2(&node, sizeof node));
    node.maxmem = small_maxmem;
    strmap_set(loads.nodes, "node2", g_memdup2(&node, sizeof node));
    strmap_set(loads.guests, "vm:1", g_memdup2(&guest, sizeof guest));
    guest.maxcpu = 1;
    strmap_set(loads.guests, "vm:2", g_memdup2(&guest, sizeof guest));
    return loads;
}

static void static_scheduler_weighs_what_is_configured(void)
{
    g_autoptr(StrMap) nodes = set_of("node1 node2");
    g_auto(HaLoads) loads = loads_of(16 * GIB);
    g_autoptr(HaUsage) u = NULL;
    HaService *s = ha_service_new(HA_SERVICE_STARTED, "node1");
    double scores[2];
    double cpu;
    double mem;

    g_assert_cmpint(ha_usage_new(HA_SCHEDULER_STATIC, nodes, &loads, &u, NULL), ==, 0);
    ha_usage_add_service(u, "vm:1", s);
    /* no CPU limit takes all of the node */
    assert_near(ha_usage_balance_view(u)[0].cpu, 8);
    assert_near(ha_usage_balance_view(u)[0].mem, 4 * GIB);
    g_assert_cmpint(ha_usage_score(u, "vm:2", scores, NULL), ==, 0);
    g_assert_cmpfloat(scores[1], <, scores[0]); /* node1's CPU is full */
    g_assert_cmpint(ha_usage_score(u, "vm:9", scores, NULL), <, 0);
    g_assert_true(scores[0] == scores[1]);
    g_assert_true(ha_usage_running_load(u, "vm:2", &cpu, &mem));
    assert_near(cpu, 1);
    s->state = HA_SERVICE_STOPPED;
    ha_usage_add_service(u, "vm:1", s);
    assert_near(ha_usage_balance_view(u)[0].cpu, 0);
    ha_service_free(s);
}

static void dynamic_scheduler_adds_what_does_not_run_yet(void)
{
    g_autoptr(StrMap) nodes = set_of("node1 node2");
    g_auto(HaLoads) loads = loads_of(16 * GIB);
    g_autoptr(HaUsage) u = NULL;
    HaService *s = ha_service_new(HA_SERVICE_STARTED, "node1");
    double scores[2];

    ((HaLoad *)strmap_get(loads.nodes, "node2"))->cpu = 4;
    g_assert_cmpint(ha_usage_new(HA_SCHEDULER_DYNAMIC, nodes, &loads, &u, NULL), ==, 0);
    ha_usage_add_service(u, "vm:2", s); /* told to start: nothing measured yet */
    assert_near(ha_usage_balance_view(u)[0].cpu, 0);
    assert_near(ha_usage_balance_view(u)[1].cpu, 4);
    s->running = true;
    ha_usage_add_service(u, "vm:2", s);
    g_assert_cmpint(ha_usage_score(u, "vm:1", scores, NULL), ==, 0);
    g_assert_cmpfloat(scores[0], <, scores[1]);
    ha_service_free(s);
}

static void scheduler_needs_the_size_of_every_node(void)
{
    g_autoptr(StrMap) nodes = set_of("node1 node2 node3");
    g_auto(HaLoads) loads = loads_of(0);
    HaUsage *u = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(ha_usage_new(HA_SCHEDULER_STATIC, nodes, &loads, &u, &err), <, 0);
    g_assert_nonnull(strstr(err_text(&err), "node2"));
    g_assert_null(u);
}

static void states_that_use_no_node(void)
{
    g_autoptr(StrMap) nodes = set_of("node1 node2");
    g_autoptr(HaUsage) u = NULL;
    HaService *s = ha_service_new(HA_SERVICE_STOPPED, "node1");
    int current;
    int target;

    s->target = g_strdup("node2");
    g_assert_cmpint(ha_usage_new(HA_SCHEDULER_BASIC, nodes, NULL, &u, NULL), ==, 0);
    for (int state = 0; state < HA_SERVICE_STATE_N; state++) {
        bool moving = state == HA_SERVICE_MIGRATE || state == HA_SERVICE_RELOCATE;

        s->state = (HaServiceState)state;
        ha_usage_nodes_of(u, s, &current, &target);
        g_assert_cmpint(target, ==, moving || state == HA_SERVICE_REQUEST_START_BALANCE ? 1 : -1);
        g_assert_cmpint(current, ==,
                        state == HA_SERVICE_STOPPED || state == HA_SERVICE_REQUEST_START ||
                                state == HA_SERVICE_REQUEST_START_BALANCE
                            ? -1
                            : 0);
    }
    ha_service_free(s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ha/placement/successive-selections", successive_selections);
    g_test_add_func("/ha/placement/without-failback", without_failback_a_service_stays);
    g_test_add_func("/ha/placement/strict-rule-leaves-no-node", strict_rule_leaves_no_node);
    g_test_add_func("/ha/placement/failed-nodes", failed_nodes_are_passed_over_only_by_try_next);
    g_test_add_func("/ha/placement/least-loaded", least_loaded_node_wins_and_name_breaks_ties);
    g_test_add_func("/ha/placement/together", together_goes_where_most_are);
    g_test_add_func("/ha/placement/apart", apart_avoids_both_ends_of_a_migration);
    g_test_add_func("/ha/placement/after-maintenance", service_returns_after_maintenance);
    g_test_add_func("/ha/placement/quarantine", node_in_quarantine_gets_nothing);
    g_test_add_func("/ha/flaps/by-dates", quarantine_by_dates);
    g_test_add_func("/ha/topsis/criteria", criteria_of_a_load);
    g_test_add_func("/ha/topsis/extremes-and-middle", topsis_scores_extremes_and_the_middle);
    g_test_add_func("/ha/topsis/ties-stay-ties", topsis_keeps_equal_alternatives_equal);
    g_test_add_func("/ha/topsis/imbalance", imbalance_of_known_loads);
    g_test_add_func("/ha/usage/static", static_scheduler_weighs_what_is_configured);
    g_test_add_func("/ha/usage/dynamic", dynamic_scheduler_adds_what_does_not_run_yet);
    g_test_add_func("/ha/usage/needs-node-sizes", scheduler_needs_the_size_of_every_node);
    g_test_add_func("/ha/usage/nodes-by-state", states_that_use_no_node);
    return g_test_run();
}
