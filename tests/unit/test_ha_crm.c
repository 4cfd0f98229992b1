/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a CRM becomes master when it may and is needed, and only with the lock and under a
 * watchdog; it leaves when it must. Method: the CRM of one node of the simulator's cluster; files,
 * locks and the other nodes are the test.
 */
#include "ha-manager/sim/hasim_world.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#define HERE    "node1"
#define OTHER   "node2"
#define ROUND_S 10

typedef struct Rig {
    HaSimWorld *w;
    HaSimNode *node;
    GString *log;
    bool exited;
    HaEnvOps ops; /* of the simulator, with a lock that cannot be given back */
} Rig;

static int refuse_unlock(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
    return -EROFS;
}

static void keep(void *ctx, const char *level, int64_t time, const char *source, const char *text)
{
    const Rig *r = ctx;

    g_string_append_printf(r->log, "%s %d %s: %s\n", level, (int)time, source, text);
}

static bool was_said(const Rig *r, const char *text)
{
    return strstr(r->log->str, text) != NULL;
}

static void run_rounds(Rig *r, unsigned n)
{
    HaSimDaemon *d = &r->node->crm;

    for (unsigned i = 0; i < n && !r->exited; i++) {
        d->clock = r->w->time;
        r->exited = ha_crm_round(d->crm, (HaNow){{d->clock * US_PER_SEC}, {d->clock}}).exit;
        r->w->time += ROUND_S;
    }
}

static HaCrmState state(const Rig *r)
{
    return ha_crm_state(r->node->crm.crm);
}

static const char *lock_owner(const Rig *r)
{
    const HaSimLock *l = strmap_get(r->w->locks, HA_MANAGER_LOCK);

    return l != NULL ? l->node : NULL;
}

static bool is_guarded(const Rig *r)
{
    return r->node->watchdogs->len > 0;
}

static void holds_lock(const Rig *r, const char *node)
{
    HaSimLock *l = g_new0(HaSimLock, 1);

    l->node = g_strdup(node);
    l->time = r->w->time;
    strmap_set(r->w->locks, HA_MANAGER_LOCK, l);
}

static void services(const Rig *r, const char *text)
{
    hasim_world_set_file(r->w, HA_FILE_RESOURCES, text);
}

static void status_is(const Rig *r, const char *text)
{
    hasim_world_set_file(r->w, HA_FILE_MANAGER_STATUS, text);
}

#define A_SERVICE "vm: 100\n\tstate started\n\n"

static void set_up(Rig *r, gconstpointer data)
{
    (void)data;
    r->log = g_string_new(NULL);
    r->w = hasim_world_new(keep, r);
    r->w->conduct = ha_conduct_improved;
    r->node = hasim_world_add_node(r->w, HERE);
    (void)hasim_world_add_node(r->w, OTHER);
    (void)hasim_world_add_node(r->w, "node3");
    for (guint i = 0; i < strmap_size(r->w->nodes); i++) {
        HaSimNode *n = strmap_value(r->w->nodes, i);

        n->power = true;
        n->network = true;
    }
    (void)hasim_world_add_guest(r->w, "vm:100", OTHER);
    hasim_start_crm(r->node, r->w);
}

static void tear_down(Rig *r, gconstpointer data)
{
    (void)data;
    hasim_world_free(r->w);
    g_string_free(r->log, TRUE);
}

static void assert_master(const Rig *r)
{
    g_assert_cmpint(state(r), ==, HA_CRM_MASTER);
    g_assert_cmpstr(lock_owner(r), ==, HERE);
}

static void become_master(Rig *r)
{
    services(r, A_SERVICE);
    run_rounds(r, 1);
    assert_master(r);
    g_assert_true(is_guarded(r));
}

/* ---- who is needed ---- */

typedef struct Need {
    const char *name;
    const char *status;
    const char *commands;
    bool needed;
} Need;

#define NODES(n2, n3)                                                                              \
    "\"node_status\":{\"node1\":\"online\",\"node2\":\"" n2 "\",\"node3\":\"" n3 "\"}"

/* No service is configured. */
static const Need needs[] = {
    {"nothing", "{}", "", false},
    {"command", "{}", "migrate vm:1 node1\n", true},
    {"other-master", "{\"master_node\":\"node2\"," NODES("online", "online") "}", "arm-ha\n",
     false},
    {"master-that-is-gone", "{\"master_node\":\"node2\"," NODES("unknown", "online") "}",
     "arm-ha\n", true},
    {"master-it-was", "{\"master_node\":\"node1\"," NODES("online", "online") "}", "arm-ha\n",
     true},
    {"leftover-maintenance", "{" NODES("online", "maintenance") "}", "", true},
    {"leftover-maintenance-here",
     "{\"node_status\":{\"node1\":\"maintenance\",\"node2\":\"online\"}}", "", true},
    {"leftover-beside-one-asked-for",
     "{" NODES("maintenance", "maintenance") ",\"node_request\":{\"node2\":{\"maintenance\":1}}}",
     "", true},
    {"maintenance-asked-for",
     "{" NODES("online", "maintenance") ",\"node_request\":{\"node3\":{\"maintenance\":1}}}", "",
     false},
    {"service-left-over",
     "{" NODES("online", "online") ",\"service_status\":{\"vm:100\":{\"state\":\"started\","
                                   "\"node\":\"node2\",\"uid\":\"u\"}}}",
     "", true},
    {"disarmed",
     "{" NODES("online", "online") ",\"disarm\":{\"mode\":\"freeze\",\"state\":"
                                   "\"disarmed\"}}",
     "", true},
    {"unreadable", "{", "arm-ha\n", false},
};

static void without_services(Rig *r, gconstpointer data)
{
    const Need *n = data;

    status_is(r, n->status);
    hasim_world_set_file(r->w, HA_FILE_COMMANDS, n->commands);
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, n->needed ? HA_CRM_MASTER : HA_CRM_WAIT_FOR_QUORUM);
    g_assert_cmpint(lock_owner(r) != NULL, ==, n->needed);
}

/* ---- who may ---- */

static void with_a_service_it_is_needed(Rig *r, gconstpointer data)
{
    (void)data;
    run_rounds(r, 3);
    g_assert_cmpint(state(r), ==, HA_CRM_WAIT_FOR_QUORUM);
    become_master(r);
}

static void node_without_quorum_is_no_master(Rig *r, gconstpointer data)
{
    (void)data;
    services(r, A_SERVICE);
    r->node->network = false;
    run_rounds(r, 3);
    g_assert_cmpint(state(r), ==, HA_CRM_WAIT_FOR_QUORUM);
    r->node->network = true;
    r->node->cfs_update_fail = true;
    run_rounds(r, 3);
    g_assert_cmpint(state(r), ==, HA_CRM_WAIT_FOR_QUORUM);
    r->node->cfs_update_fail = false;
    r->node->cfs_rw_fail = true;
    run_rounds(r, 3);
    g_assert_cmpint(state(r), ==, HA_CRM_WAIT_FOR_QUORUM);
    g_assert_null(lock_owner(r));
    g_assert_false(is_guarded(r));
    r->node->cfs_rw_fail = false;
    run_rounds(r, 1);
    assert_master(r);
}

static void node_to_be_fenced_is_no_master(Rig *r, gconstpointer data)
{
    (void)data;
    services(r, A_SERVICE);
    status_is(r, "{" NODES("online", "online") ",\"service_status\":{\"vm:100\":{\"state\":"
                                               "\"fence\",\"node\":\"node1\",\"uid\":\"u\"}}}");
    run_rounds(r, 3);
    g_assert_cmpint(state(r), ==, HA_CRM_WAIT_FOR_QUORUM);
    g_assert_null(lock_owner(r));
}

static void one_master_at_a_time(Rig *r, gconstpointer data)
{
    (void)data;
    services(r, A_SERVICE);
    holds_lock(r, OTHER);
    run_rounds(r, 3);
    g_assert_cmpint(state(r), ==, HA_CRM_SLAVE);
    g_assert_false(is_guarded(r));
    g_assert_true(strmap_remove(r->w->locks, HA_MANAGER_LOCK));
    run_rounds(r, 1);
    assert_master(r);
    g_assert_true(is_guarded(r));
}

static void slave_that_is_not_needed_waits(Rig *r, gconstpointer data)
{
    (void)data;
    services(r, A_SERVICE);
    holds_lock(r, OTHER);
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_CRM_SLAVE);
    services(r, "");
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_CRM_WAIT_FOR_QUORUM);
}

/* A slave watches the nodes: when it becomes master, the delay of a fence has run already. */
static void slave_knows_when_a_node_was_last_seen(Rig *r, gconstpointer data)
{
    HaSimNode *other = hasim_world_node(r->w, OTHER);

    (void)data;
    services(r, A_SERVICE);
    holds_lock(r, "node3");
    status_is(
        r, "{\"master_node\":\"node3\"," NODES(
               "unknown",
               "online") ",\"service_status\":{"
                         "\"vm:100\":{\"state\":\"started\",\"node\":\"node2\",\"uid\":\"u\"}}}");
    run_rounds(r, 2);
    other->power = false;
    run_rounds(r, 7); /* 70 s */
    g_assert_cmpint(state(r), ==, HA_CRM_SLAVE);
    g_assert_true(strmap_remove(r->w->locks, HA_MANAGER_LOCK));
    run_rounds(r, 1);
    assert_master(r);
    g_assert_true(was_said(r, "service 'vm:100': state changed from 'started' to 'fence'"));
}

/* ---- how it ends ---- */

static void master_that_lost_the_lock_steps_back(Rig *r, gconstpointer data)
{
    g_autofree char *written = NULL;

    (void)data;
    become_master(r);
    holds_lock(r, OTHER);
    written = g_strdup(hasim_world_file(r->w, HA_FILE_MANAGER_STATUS));
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_CRM_WAIT_FOR_QUORUM);
    g_assert_false(is_guarded(r));
    g_assert_null(ha_crm_manager_status(r->node->crm.crm));
    g_assert_true(was_said(r, "status change master => lost_manager_lock"));
    g_assert_cmpstr(hasim_world_file(r->w, HA_FILE_MANAGER_STATUS), ==, written);
    g_assert_cmpstr(lock_owner(r), ==, OTHER);
}

static void master_without_services_goes_idle(Rig *r, gconstpointer data)
{
    unsigned rounds = r->w->timing->crm_idle_rounds;

    (void)data;
    become_master(r);
    services(r, "");
    run_rounds(r, 1); /* lets go of the service */
    run_rounds(r, rounds);
    assert_master(r);
    services(r, A_SERVICE); /* just in time: the count begins anew */
    run_rounds(r, 1);
    services(r, "");
    run_rounds(r, 1);
    run_rounds(r, rounds);
    assert_master(r);
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_CRM_WAIT_FOR_QUORUM);
    g_assert_null(lock_owner(r));
    g_assert_false(is_guarded(r));
    g_assert_true(was_said(r, "cluster had no service configured for 90 rounds, going idle."));
    become_master(r);
}

static void asked_to_end_as_master(Rig *r, gconstpointer data)
{
    (void)data;
    become_master(r);
    ha_crm_request_shutdown(r->node->crm.crm);
    ha_crm_request_shutdown(r->node->crm.crm);
    run_rounds(r, 1);
    g_assert_true(r->exited);
    g_assert_null(lock_owner(r));
    g_assert_false(is_guarded(r));
    g_assert_true(was_said(r, "voluntary release CRM lock"));
    g_assert_false(was_said(r, "CRM lock release failed"));
    g_assert_true(strstr(strstr(r->log->str, "shutdown request") + 1, "shutdown request") == NULL);
}

static void asked_to_end_as_anything_else(Rig *r, gconstpointer data)
{
    (void)data;
    if (data != NULL) {
        services(r, A_SERVICE);
        holds_lock(r, OTHER);
    }
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, data != NULL ? HA_CRM_SLAVE : HA_CRM_WAIT_FOR_QUORUM);
    ha_crm_request_shutdown(r->node->crm.crm);
    run_rounds(r, 1);
    g_assert_true(r->exited);
}

static void asked_to_end_as_the_lock_is_lost(Rig *r, gconstpointer data)
{
    (void)data;
    become_master(r);
    holds_lock(r, OTHER);
    ha_crm_request_shutdown(r->node->crm.crm);
    run_rounds(r, 1);
    g_assert_true(r->exited);
    g_assert_false(is_guarded(r));
    g_assert_cmpstr(lock_owner(r), ==, OTHER);
}

static void round_without_cluster_state_is_skipped(Rig *r, gconstpointer data)
{
    g_autofree char *written = NULL;

    (void)data;
    become_master(r);
    written = g_strdup(hasim_world_file(r->w, HA_FILE_MANAGER_STATUS));
    r->node->cfs_update_fail = true;
    run_rounds(r, 3);
    assert_master(r);
    g_assert_true(was_said(r, "temporary inconsistent cluster state (cfs restart?), skip round"));
    g_assert_cmpstr(hasim_world_file(r->w, HA_FILE_MANAGER_STATUS), ==, written);
    r->node->cfs_update_fail = false;
    run_rounds(r, 1);
    g_assert_cmpstr(hasim_world_file(r->w, HA_FILE_MANAGER_STATUS), !=, written);
}

/* ---- disarmed ---- */

/* All LRMs say that they are disarmed. */
static void disarm(Rig *r)
{
    hasim_world_set_file(r->w, HA_FILE_COMMANDS, "disarm-ha freeze\n");
    for (guint i = 0; i < strmap_size(r->w->nodes); i++) {
        HaSimNode *n = strmap_value(r->w->nodes, i);

        g_free(n->lrm_status);
        n->lrm_status = g_strdup("{\"state\":\"wait_for_agent_lock\",\"mode\":\"disarm\"}");
    }
    run_rounds(r, 3);
}

static void disarmed_master_has_no_watchdog(Rig *r, gconstpointer data)
{
    (void)data;
    become_master(r);
    disarm(r);
    assert_master(r);
    g_assert_false(is_guarded(r));
    run_rounds(r, 100); /* disarmed is not idle */
    assert_master(r);
    g_assert_false(is_guarded(r));
    hasim_world_set_file(r->w, HA_FILE_COMMANDS, "arm-ha\n");
    run_rounds(r, 2);
    assert_master(r);
    g_assert_true(is_guarded(r));
}

static void next_master_brings_no_watchdog_to_a_disarmed_cluster(Rig *r, gconstpointer data)
{
    (void)data;
    become_master(r);
    disarm(r);
    g_clear_pointer(&r->node->crm.crm, ha_crm_free);
    r->w->time += 200; /* its lock is over */
    hasim_start_crm(r->node, r->w);
    run_rounds(r, 3);
    assert_master(r);
    g_assert_false(is_guarded(r));
    g_assert_true(was_said(r, "taking over as disarmed master, skipping watchdog"));
    hasim_world_set_file(r->w, HA_FILE_COMMANDS, "arm-ha\n");
    run_rounds(r, 2);
    assert_master(r);
    g_assert_true(is_guarded(r));
}

/* Some LRM may have its lease yet: until all are disarmed, the master is guarded. */
static void next_master_guards_a_cluster_that_is_being_disarmed(Rig *r, gconstpointer data)
{
    (void)data;
    services(r, A_SERVICE);
    status_is(r, "{" NODES("online", "online") ",\"disarm\":{\"mode\":\"freeze\",\"state\":"
                                               "\"disarming\"}}");
    run_rounds(r, 3);
    assert_master(r);
    g_assert_true(is_guarded(r));
    g_assert_false(was_said(r, "skipping watchdog"));
}

static void lock_that_cannot_be_given_back_runs_out(Rig *r, gconstpointer data)
{
    (void)data;
    become_master(r);
    ha_crm_request_shutdown(r->node->crm.crm);
    r->ops = *r->node->crm.env.ops;
    r->ops.unlock = refuse_unlock;
    r->node->crm.env.ops = &r->ops;
    run_rounds(r, 1);
    g_assert_true(r->exited);
    g_assert_false(is_guarded(r));
    g_assert_true(was_said(r, "CRM lock release failed, let the lock timeout"));
}

/* ---- epochs ---- */

static uint64_t epoch_of_file(const Rig *r)
{
    g_autoptr(HaManagerStatus) ms = NULL;

    g_assert_cmpint(ha_manager_status_parse(hasim_world_file(r->w, HA_FILE_MANAGER_STATUS), NULL,
                                            NULL, &ms, NULL),
                    ==, 0);
    return ms->epoch;
}

/* As a slave it has seen a higher one than is there when it becomes master. */
static void late_write_does_not_bring_an_epoch_back(Rig *r, gconstpointer data)
{
    (void)data;
    services(r, A_SERVICE);
    holds_lock(r, OTHER);
    status_is(r, "{\"master_node\":\"node2\",\"epoch\":7," NODES("online", "online") "}");
    run_rounds(r, 2);
    g_assert_cmpint(state(r), ==, HA_CRM_SLAVE);
    status_is(r, "{\"master_node\":\"node3\",\"epoch\":6," NODES("online", "online") "}");
    g_assert_true(strmap_remove(r->w->locks, HA_MANAGER_LOCK));
    run_rounds(r, 1);
    assert_master(r);
    g_assert_cmpuint(epoch_of_file(r), ==, 8);
    status_is(r, "{\"master_node\":\"node3\",\"epoch\":6," NODES("online", "online") "}");
    run_rounds(r, 1);
    g_assert_cmpuint(epoch_of_file(r), ==, 8); /* written over what is late */
    status_is(r, "{\"master_node\":\"node3\",\"epoch\":11," NODES("online", "online") "}");
    run_rounds(r, 1);
    g_assert_cmpuint(epoch_of_file(r), ==, 12); /* the lock is ours: so is the last word */
}

#define CASE(name, fn) g_test_add("/ha/crm/" name, Rig, NULL, set_up, fn, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(needs); i++) {
        g_autofree char *path = g_strconcat("/ha/crm/without-services/", needs[i].name, NULL);

        g_test_add(path, Rig, &needs[i], set_up, without_services, tear_down);
    }
    CASE("with-a-service-it-is-needed", with_a_service_it_is_needed);
    CASE("node-without-quorum-is-no-master", node_without_quorum_is_no_master);
    CASE("node-to-be-fenced-is-no-master", node_to_be_fenced_is_no_master);
    CASE("one-master-at-a-time", one_master_at_a_time);
    CASE("slave-that-is-not-needed-waits", slave_that_is_not_needed_waits);
    CASE("slave-knows-when-a-node-was-last-seen", slave_knows_when_a_node_was_last_seen);
    CASE("master-that-lost-the-lock-steps-back", master_that_lost_the_lock_steps_back);
    CASE("master-without-services-goes-idle", master_without_services_goes_idle);
    CASE("asked-to-end-as-master", asked_to_end_as_master);
    CASE("asked-to-end-while-waiting", asked_to_end_as_anything_else);
    g_test_add("/ha/crm/asked-to-end-as-slave", Rig, "slave", set_up, asked_to_end_as_anything_else,
               tear_down);
    CASE("asked-to-end-as-the-lock-is-lost", asked_to_end_as_the_lock_is_lost);
    CASE("round-without-cluster-state-is-skipped", round_without_cluster_state_is_skipped);
    CASE("disarmed-master-has-no-watchdog", disarmed_master_has_no_watchdog);
    CASE("next-master-brings-no-watchdog-to-a-disarmed-cluster",
         next_master_brings_no_watchdog_to_a_disarmed_cluster);
    CASE("next-master-guards-a-cluster-that-is-being-disarmed",
         next_master_guards_a_cluster_that_is_being_disarmed);
    CASE("lock-that-cannot-be-given-back-runs-out", lock_that_cannot_be_given_back_runs_out);
    CASE("late-write-does-not-bring-an-epoch-back", late_write_does_not_bring_an_epoch_back);
    return g_test_run();
}
