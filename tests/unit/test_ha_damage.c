/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a damaged file of ha/, or one of an older or newer version, is contained: CRM and LRM live,
 * no node is reset, no service is stopped or moved for it; once it is repaired all is as before.
 * Method: the whole stack in the simulator's cluster, three nodes with a service each; one file is
 * damaged, loops pass, it is repaired, loops pass.
 */
#include "ha-manager/sim/hasim_hardware.h"

#include <glib.h>
#include <string.h>

#define LOOPS_SETTLE 15 /* 300 s: longer than any lock or watchdog lives */

static const char good_resources[] = "vm: 101\n\tstate started\n\n"
                                     "vm: 102\n\tstate started\n\n"
                                     "ct: 103\n\tstate started\n\n";
static const char good_rules[] = "resource-affinity: apart\n\taffinity negative\n"
                                 "\tresources vm:101,vm:102,ct:103\n\n";

static const char *const sids[] = {"vm:101", "vm:102", "ct:103"};

typedef struct Rig {
    HaSimWorld *w;
    HaSimSchedule sched;
    GString *log;
    unsigned harm; /* lines that tell of a stop, a move or a reset */
} Rig;

static void keep(void *ctx, const char *level, int64_t time, const char *source, const char *text)
{
    static const char *const harms[] = {"stopping service", "start migrate", "start relocate",
                                        "poweroff", "to 'fence'"};
    Rig *r = ctx;

    g_string_append_printf(r->log, "%s %d %s: %s\n", level, (int)time, source, text);
    for (size_t i = 0; i < G_N_ELEMENTS(harms); i++) {
        r->harm += strstr(text, harms[i]) != NULL;
    }
}

static void loops(Rig *r, int n)
{
    for (int i = 0; i < n; i++) {
        g_assert_cmpint(hasim_hardware_loop(r->w, &r->sched, NULL), ==, 0);
    }
}

static void set_up(Rig *r, gconstpointer data)
{
    (void)data;
    r->log = g_string_new(NULL);
    r->w = hasim_world_new(keep, r);
    r->w->conduct = ha_conduct_improved;
    for (size_t i = 0; i < G_N_ELEMENTS(sids); i++) {
        g_autofree char *name = g_strdup_printf("node%zu", i + 1);

        hasim_node_power_on(hasim_world_add_node(r->w, name), r->w);
        (void)hasim_world_add_guest(r->w, sids[i], name);
    }
    hasim_world_set_file(r->w, HA_FILE_RESOURCES, good_resources);
    hasim_world_set_file(r->w, HA_FILE_RULES, good_rules);
    loops(r, LOOPS_SETTLE);
}

static void tear_down(Rig *r, gconstpointer data)
{
    (void)data;
    hasim_world_free(r->w);
    g_string_free(r->log, TRUE);
}

/* What the file of the status says of a service; NULL: nothing. */
static char *state_of(const Rig *r, const char *sid)
{
    g_autoptr(HaManagerStatus) ms = NULL;
    const HaService *s;

    if (ha_manager_status_parse(hasim_world_file(r->w, HA_FILE_MANAGER_STATUS), NULL, NULL, &ms,
                                NULL) < 0) {
        return NULL;
    }
    s = strmap_get(ms->services, sid);
    return s != NULL ? g_strdup(ha_service_state_name(s->state)) : NULL;
}

static bool has_master(const Rig *r)
{
    unsigned masters = 0;

    for (guint i = 0; i < strmap_size(r->w->nodes); i++) {
        const HaSimNode *n = strmap_value(r->w->nodes, i);

        masters += n->crm.crm != NULL && ha_crm_state(n->crm.crm) == HA_CRM_MASTER;
    }
    g_assert_cmpuint(masters, <=, 1);
    return masters == 1;
}

/* Damaged or not: all that ran runs, where it ran. */
static void assert_unharmed(const Rig *r)
{
    for (size_t i = 0; i < G_N_ELEMENTS(sids); i++) {
        const HaSimNode *n = strmap_value(r->w->nodes, (guint)i);

        g_assert_nonnull(n->crm.crm);
        g_assert_nonnull(n->lrm.lrm);
        g_assert_cmpint(ha_lrm_state(n->lrm.lrm), ==, HA_LRM_ACTIVE);
        g_assert_cmpstr(hasim_world_guest(r->w, sids[i])->node, ==, n->name);
        g_assert_true(strmap_has(n->running, sids[i]));
    }
    if (r->harm > 0) {
        g_test_message("%s", r->log->str);
    }
    g_assert_cmpuint(r->harm, ==, 0);
}

static void assert_as_before(const Rig *r)
{
    assert_unharmed(r);
    g_assert_true(has_master(r));
    for (size_t i = 0; i < G_N_ELEMENTS(sids); i++) {
        g_autofree char *state = state_of(r, sids[i]);

        g_assert_cmpstr(state, ==, "started");
    }
}

typedef struct Damage {
    const char *name;
    HaFile file;
    const char *text;
    const char *says; /* the log names it; NULL: there is nothing to name */
} Damage;

static const Damage config_damages[] = {
    {"resources/emptied", HA_FILE_RESOURCES, "", "removing stale service 'vm:101' (no config)"},
    {"resources/garbage", HA_FILE_RESOURCES, "\x01\x02\xff\xfe {]: \n\t\xc3\x28\n:\n: :\n",
     "ha/resources.cfg line"},
    {"resources/cut-off", HA_FILE_RESOURCES,
     "vm: 101\n\tstate started\n\nvm: 102\n\tstate started\n\nct: 103\n\tsta",
     "ha/resources.cfg line 8"},
    {"resources/twice", HA_FILE_RESOURCES,
     "vm: 101\n\tstate started\n\nvm: 101\n\nvm: 102\n\nct: 103\n\n", "ha/resources.cfg line"},
    {"resources/newer", HA_FILE_RESOURCES,
     "vm: 101\n\tstate started\n\tlevitate 1\n\nvm: 102\n\tstate dreaming\n\nct: 103\n\n"
     "pod: 7\n\tstate started\n\n",
     "ha/resources.cfg line 3"},
    {"resources/older", HA_FILE_RESOURCES,
     "vm: 101\n\tstate enabled\n\nvm: 102\n\tgroup gone\n\nct: 103\n\n", NULL},
    {"resources/bad-numbers", HA_FILE_RESOURCES,
     "vm: 101\n\tmax_restart many\n\tmax_relocate -1\n\tfailback maybe\n\nvm: 102\n\nct: 103\n\n",
     "ha/resources.cfg line 2"},
    {"resources/no-guest", HA_FILE_RESOURCES, "vm: 101\n\nvm: 102\n\nct: 103\n\nvm: 999\n\n", NULL},
    {"rules/garbage", HA_FILE_RULES, "\xff: \n\tresources\n}{\nnode-affinity:\n",
     "ha/rules.cfg line"},
    {"rules/contradict", HA_FILE_RULES,
     "resource-affinity: one\n\taffinity positive\n\tresources vm:101,vm:102\n\n"
     "resource-affinity: two\n\taffinity negative\n\tresources vm:101,vm:102\n\n"
     "node-affinity: three\n\tnodes node1\n\tresources vm:101\n\tstrict 1\n\n"
     "node-affinity: four\n\tnodes node2\n\tresources vm:101\n\tstrict 1\n\n",
     "Drop rule 'four'"},
    {"rules/newer", HA_FILE_RULES,
     "rack-affinity: r\n\tresources vm:101\n\tracks a\n\n"
     "resource-affinity: apart\n\taffinity repelled\n\tresources vm:101,vm:102\n\n",
     "ha/rules.cfg line 1"},
    {"rules/unknown-services", HA_FILE_RULES,
     "resource-affinity: apart\n\taffinity negative\n\tresources vm:1,vm:101,weird\n\n", NULL},
    {"groups/garbage", HA_FILE_GROUPS, "group\n\tnodes\n\xfe\n", "ha/groups.cfg line"},
    {"groups/without-nodes", HA_FILE_GROUPS, "group: g1\n\trestricted 1\n\n", "ha/groups.cfg line"},
    {"datacenter/garbage", HA_FILE_DATACENTER, "\xff\nha\ncrs:\n: x\n", NULL},
    {"datacenter/newer", HA_FILE_DATACENTER,
     "ha: shutdown_policy=levitate\ncrs: ha=quantum,ha-rebalance=always\n",
     "unknown scheduler mode 'quantum'"},
    {"commands/garbage", HA_FILE_COMMANDS, "make it so\n\xff\xfe\x01\nmigrate\nstop vm:101\n",
     "unable to parse crm command: make it so"},
    {"commands/newer", HA_FILE_COMMANDS, "levitate vm:101 node2 --high\ndisarm-ha sing\n",
     "unable to parse crm command: levitate vm:101 node2 --high"},
    {"commands/cut-off", HA_FILE_COMMANDS, "migrate vm:101 nod", "crm command error"},
    {"commands/older", HA_FILE_COMMANDS, "enable-node-maintenance\nmigrate vm:7 node1\n",
     "crm command error - no such service"},
};

/* The good text of what people edit; "" for the rest. */
static const char *good_text(HaFile file)
{
    return file == HA_FILE_RESOURCES ? good_resources : file == HA_FILE_RULES ? good_rules : "";
}

static void assert_said(const Rig *r, const Damage *d)
{
    if (d->says != NULL && strstr(r->log->str, d->says) == NULL) {
        g_test_message("not said: %s\n%s", d->says, r->log->str);
        g_test_fail();
    }
}

static void configuration_is_contained(Rig *r, gconstpointer data)
{
    const Damage *d = data;

    assert_as_before(r);
    hasim_world_set_file(r->w, d->file, d->text);
    loops(r, LOOPS_SETTLE);
    assert_unharmed(r);
    g_assert_true(has_master(r));
    assert_said(r, d);
    hasim_world_set_file(r->w, d->file, good_text(d->file));
    loops(r, LOOPS_SETTLE);
    assert_as_before(r);
}

/* All masters have gone in good order: whoever comes reads what it finds. */
static void stop_managers(Rig *r)
{
    for (guint i = 0; i < strmap_size(r->w->nodes); i++) {
        ha_crm_request_shutdown(((HaSimNode *)strmap_value(r->w->nodes, i))->crm.crm);
    }
    loops(r, 1);
    g_assert_false(has_master(r));
}

static void start_managers(Rig *r)
{
    for (guint i = 0; i < strmap_size(r->w->nodes); i++) {
        hasim_start_crm(strmap_value(r->w->nodes, i), r->w);
    }
}

static const Damage unreadable_statuses[] = {
    {"status/cut-off", HA_FILE_MANAGER_STATUS, "{\"master_node\":\"node1\",\"service_st",
     "could not read manager status"},
    {"status/list", HA_FILE_MANAGER_STATUS, "[]", "could not read manager status"},
    {"status/garbage", HA_FILE_MANAGER_STATUS, "\xff\x01{{{", "could not read manager status"},
};

/* What tells nothing is not guessed: nobody is master, and everything goes on running. */
static void unreadable_status_waits_for_a_person(Rig *r, gconstpointer data)
{
    const Damage *d = data;

    stop_managers(r);
    hasim_world_set_file(r->w, d->file, d->text);
    start_managers(r);
    loops(r, LOOPS_SETTLE);
    g_assert_false(has_master(r));
    assert_unharmed(r);
    assert_said(r, d);
    hasim_world_set_file(r->w, d->file, "");
    loops(r, LOOPS_SETTLE);
    assert_as_before(r);
}

static const Damage readable_statuses[] = {
    {"status/emptied", HA_FILE_MANAGER_STATUS, "", "adding new service 'vm:101'"},
    {"status/empty-object", HA_FILE_MANAGER_STATUS, "{}", "adding new service 'vm:101'"},
    {"status/wrong-types", HA_FILE_MANAGER_STATUS,
     "{\"master_node\":7,\"timestamp\":[],\"epoch\":\"x\",\"node_status\":[],"
     "\"service_status\":{\"vm:101\":1,\"vm:102\":{\"state\":5,\"node\":[],\"uid\":{}}},"
     "\"node_request\":\"x\",\"node_boot\":3,\"node_lost\":{\"node1\":1}}",
     "manager_status service_status.vm:101"},
    {"status/newer", HA_FILE_MANAGER_STATUS,
     "{\"master_node\":\"node1\",\"timestamp\":1,\"epoch\":99,\"levels\":{\"a\":[1]},"
     "\"node_status\":{\"node1\":\"online\",\"node2\":\"levitating\",\"node3\":\"online\"},"
     "\"service_status\":{"
     "\"vm:101\":{\"state\":\"levitating\",\"node\":\"node1\",\"uid\":\"a\",\"height\":3},"
     "\"vm:102\":{\"state\":\"started\",\"node\":\"node2\",\"uid\":\"b\",\"cmd\":[\"lift\",1]},"
     "\"ct:103\":{\"state\":\"started\",\"node\":\"node3\",\"uid\":\"c\",\"running\":1}},"
     "\"node_request\":{\"node1\":{\"levitate\":1}}}",
     "manager_status node_status.node2"},
    {"status/older", HA_FILE_MANAGER_STATUS,
     "{\"master_node\":\"node1\",\"node_status\":{\"node1\":\"online\",\"node2\":\"online\"},"
     "\"service_status\":{\"vm:101\":{\"state\":\"started\",\"node\":\"node1\"},"
     "\"vm:102\":{\"state\":\"started\",\"node\":\"node2\",\"uid\":\"b\"}}}",
     "adding new service 'ct:103'"},
};

static void status_of_another_version_is_taken_over(Rig *r, gconstpointer data)
{
    const Damage *d = data;

    stop_managers(r);
    hasim_world_set_file(r->w, d->file, d->text);
    start_managers(r);
    loops(r, LOOPS_SETTLE);
    assert_said(r, d);
    assert_as_before(r);
}

/* A living master knows better than the file, and writes it anew; LRMs keep what they read. */
static void living_master_repairs_its_status(Rig *r, gconstpointer data)
{
    const Damage *d = data;

    hasim_world_set_file(r->w, d->file, d->text);
    r->sched.skip_crm = 2; /* so that all LRMs meet it */
    loops(r, 2);
    g_assert_cmpstr(hasim_world_file(r->w, d->file), ==, d->text);
    assert_unharmed(r);
    loops(r, 1);
    assert_as_before(r);
    loops(r, LOOPS_SETTLE);
    assert_as_before(r);
}

static const Damage lrm_damages[] = {
    {"lrm-status/cut-off", HA_FILE_LRM_STATUS, "{\"state\":\"act", "nodes/node3/"},
    {"lrm-status/list", HA_FILE_LRM_STATUS, "[]", "nodes/node3/"},
    {"lrm-status/emptied", HA_FILE_LRM_STATUS, "", NULL},
    {"lrm-status/wrong-types", HA_FILE_LRM_STATUS,
     "{\"state\":1,\"mode\":2,\"timestamp\":\"x\",\"results\":{\"a\":[],\"b\":{\"sid\":1}}}", NULL},
    {"lrm-status/newer", HA_FILE_LRM_STATUS,
     "{\"state\":\"levitating\",\"mode\":\"high\",\"timestamp\":1,\"results\":{"
     "\"u\":{\"sid\":\"ct:103\",\"state\":\"lifted\",\"exit_code\":77}},\"more\":{}}",
     NULL},
};

static void answer_of_an_lrm_is_contained(Rig *r, gconstpointer data)
{
    HaSimNode *n = hasim_world_node(r->w, "node3"); /* its LRM comes after the master */
    const Damage *d = data;

    for (int i = 0; i < LOOPS_SETTLE; i++) {
        g_free(n->lrm_status);
        n->lrm_status = g_strdup(d->text);
        loops(r, 1);
    }
    assert_said(r, d);
    assert_as_before(r);
}

static uint64_t epoch_of_file(const Rig *r)
{
    g_autoptr(HaManagerStatus) ms = NULL;

    g_assert_cmpint(ha_manager_status_parse(hasim_world_file(r->w, HA_FILE_MANAGER_STATUS), NULL,
                                            NULL, &ms, NULL),
                    ==, 0);
    return ms->epoch;
}

static void change_managers(Rig *r, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        stop_managers(r);
        start_managers(r);
        loops(r, 3);
        g_assert_true(has_master(r));
    }
}

static void command(Rig *r, const char *text)
{
    g_assert_cmpint(hasim_command_run(r->w, &r->sched, text, "cmdlist", NULL), ==, 0);
}

/* Written by a master replaced long ago, over the status of one that died before it could put that
 * right; and nobody lives who knew better. The next one begins with what is stale, and comes to
 * what is true: the service stays where it is. */
static void stale_status_comes_true(Rig *r, gconstpointer data)
{
    const HaSimNode *node1 = hasim_world_node(r->w, "node1");
    const HaSimNode *node2 = hasim_world_node(r->w, "node2");
    g_autofree char *stale = g_strdup(hasim_world_file(r->w, HA_FILE_MANAGER_STATUS));
    g_autofree char *state = NULL;
    uint64_t before = epoch_of_file(r);

    hasim_world_set_file(r->w, HA_FILE_RULES, "");
    change_managers(r, GPOINTER_TO_UINT(data));
    command(r, "service vm:101 migrate node2");
    loops(r, LOOPS_SETTLE);
    g_assert_cmpstr(hasim_world_guest(r->w, "vm:101")->node, ==, "node2");
    g_assert_cmpuint(epoch_of_file(r), ==, before + GPOINTER_TO_UINT(data));
    stop_managers(r);
    hasim_world_set_file(r->w, HA_FILE_MANAGER_STATUS, stale);
    start_managers(r);
    r->harm = 0;
    loops(r, LOOPS_SETTLE);
    if (r->harm > 0) {
        g_test_message("%s", r->log->str);
    }
    g_assert_cmpuint(r->harm, ==, 0);
    g_assert_true(has_master(r));
    g_assert_cmpstr(hasim_world_guest(r->w, "vm:101")->node, ==, "node2");
    g_assert_true(strmap_has(node2->running, "vm:101"));
    g_assert_false(strmap_has(node1->running, "vm:101"));
    state = state_of(r, "vm:101");
    g_assert_cmpstr(state, ==, "started");
}

typedef void (*Case)(Rig *r, gconstpointer data);

static void add(const Damage *damages, size_t n, const char *group, Case run)
{
    for (size_t i = 0; i < n; i++) {
        g_autofree char *path = g_strdup_printf("/ha/damage/%s/%s", group, damages[i].name);

        g_test_add(path, Rig, &damages[i], set_up, run, tear_down);
    }
}

#define ADD(damages, group, run) add(damages, G_N_ELEMENTS(damages), group, run)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD(config_damages, "edited", configuration_is_contained);
    ADD(unreadable_statuses, "next-master", unreadable_status_waits_for_a_person);
    ADD(readable_statuses, "next-master", status_of_another_version_is_taken_over);
    ADD(unreadable_statuses, "same-master", living_master_repairs_its_status);
    ADD(readable_statuses, "same-master", living_master_repairs_its_status);
    g_test_add("/ha/damage/next-master/stale-by-one", Rig, GUINT_TO_POINTER(1), set_up,
               stale_status_comes_true, tear_down);
    g_test_add("/ha/damage/next-master/stale-by-four", Rig, GUINT_TO_POINTER(4), set_up,
               stale_status_comes_true, tear_down);
    ADD(lrm_damages, "answer", answer_of_an_lrm_is_contained);
    return g_test_run();
}
