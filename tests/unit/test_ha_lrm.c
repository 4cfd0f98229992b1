/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: an LRM keeps its lease as long as something may run on its node, and no longer. Method: the
 * LRM of one node of the simulator's cluster; the manager is the test, which writes its status.
 */
#include "ha-manager/core/ha_lrm_status.h"
#include "ha-manager/sim/hasim_world.h"

#include <glib.h>
#include <string.h>

#define SID     "vm:100"
#define HERE    "node1"
#define OTHER   "node2"
#define LOCK    "ha_agent_node1_lock"
#define ROUND_S 10

typedef struct Rig {
    HaSimWorld *w;
    HaSimNode *node;
    GString *log;
    bool exited;
} Rig;

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
    HaSimDaemon *d = &r->node->lrm;

    for (unsigned i = 0; i < n && !r->exited; i++) {
        d->clock = r->w->time;
        r->exited = ha_lrm_round(d->lrm, (HaNow){{d->clock * US_PER_SEC}, {d->clock}}).exit;
        r->w->time += ROUND_S;
    }
}

static HaLrmState state(const Rig *r)
{
    return ha_lrm_state(r->node->lrm.lrm);
}

static bool holds_lock(const Rig *r)
{
    return strmap_has(r->w->locks, LOCK);
}

static bool is_guarded(const Rig *r)
{
    return r->node->watchdogs->len > 0;
}

/* The manager says of the service this, and of everything else `more` (",..." or ""). */
static void says(const Rig *r, const char *service, const char *more)
{
    g_autofree char *text = g_strdup_printf(
        "{\"master_node\":\"node2\",\"timestamp\":1,\"node_status\":{\"node1\":"
        "\"online\",\"node2\":\"online\",\"node3\":\"online\"},"
        "\"service_status\":{%s%s%s}%s}\n",
        service[0] != '\0' ? "\"" SID "\":{" : "", service, service[0] != '\0' ? "}" : "", more);

    hasim_world_set_file(r->w, HA_FILE_MANAGER_STATUS, text);
}

#define STARTED_HERE  "\"state\":\"started\",\"node\":\"node1\",\"uid\":\"u1\""
#define STARTED_OTHER "\"state\":\"started\",\"node\":\"node2\",\"uid\":\"u2\""
#define STOPPED_HERE  "\"state\":\"stopped\",\"node\":\"node1\",\"uid\":\"u3\""
#define COMING        "\"state\":\"migrate\",\"node\":\"node2\",\"target\":\"node1\",\"uid\":\"u4\""
#define GOING         "\"state\":\"migrate\",\"node\":\"node1\",\"target\":\"node2\",\"uid\":\"u5\""
#define FROZEN_HERE   "\"state\":\"freeze\",\"node\":\"node1\",\"uid\":\"u6\""
#define FENCE_HERE    "\"state\":\"fence\",\"node\":\"node1\",\"uid\":\"u7\""
#define MAINTENANCE   ",\"node_request\":{\"node1\":{\"maintenance\":1}}"
#define DISARM        ",\"disarm\":{\"mode\":\"freeze\",\"state\":\"disarming\"}"

static void guest_is_on(const Rig *r, const char *node)
{
    HaSimGuest *g = hasim_world_guest(r->w, SID);

    g_free(g->node);
    g->node = g_strdup(node);
}

static void set_up(Rig *r, gconstpointer data)
{
    r->log = g_string_new(NULL);
    r->w = hasim_world_new(keep, r);
    r->w->conduct =
        g_strcmp0(data, "documented") == 0 ? ha_conduct_documented : ha_conduct_improved;
    r->node = hasim_world_add_node(r->w, HERE);
    (void)hasim_world_add_node(r->w, OTHER);
    (void)hasim_world_add_node(r->w, "node3");
    for (guint i = 0; i < strmap_size(r->w->nodes); i++) {
        HaSimNode *n = strmap_value(r->w->nodes, i);

        n->power = true;
        n->network = true;
    }
    (void)hasim_world_add_guest(r->w, SID, HERE);
    hasim_world_set_file(r->w, HA_FILE_RESOURCES, "vm: 100\n\tstate started\n\n");
    hasim_start_lrm(r->node, r->w);
    says(r, STARTED_HERE, "");
    run_rounds(r, 2);
    g_assert_cmpint(state(r), ==, HA_LRM_ACTIVE);
    g_assert_true(is_guarded(r) && holds_lock(r));
    g_assert_true(strmap_has(r->node->running, SID));
}

static void tear_down(Rig *r, gconstpointer data)
{
    (void)data;
    hasim_world_free(r->w);
    g_string_free(r->log, TRUE);
}

static void assert_stays_active(Rig *r, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        run_rounds(r, 1);
        g_assert_cmpint(state(r), ==, HA_LRM_ACTIVE);
        g_assert_true(is_guarded(r) && holds_lock(r));
    }
}

/* Without a service for just so many rounds; before that nothing changes. */
static void assert_goes_idle(Rig *r)
{
    assert_stays_active(r, r->w->timing->lrm_idle_rounds);
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_LRM_WAIT_FOR_AGENT_LOCK);
    g_assert_false(is_guarded(r) || holds_lock(r));
    g_assert_true(was_said(r, "node had no service configured for 60 rounds, going idle."));
}

static void without_a_service_it_goes_idle(Rig *r, gconstpointer data)
{
    (void)data;
    guest_is_on(r, OTHER);
    says(r, STARTED_OTHER, "");
    assert_goes_idle(r);
    run_rounds(r, 5);
    g_assert_cmpint(state(r), ==, HA_LRM_WAIT_FOR_AGENT_LOCK);
    says(r, COMING, "");
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_LRM_ACTIVE); /* and is there before what comes */
}

static void service_in_between_starts_the_count_anew(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, "", "");
    assert_stays_active(r, 60);
    says(r, STOPPED_HERE, "");
    assert_stays_active(r, 1);
    says(r, "", "");
    assert_goes_idle(r);
}

static void stopped_service_is_one(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, STOPPED_HERE, "");
    assert_stays_active(r, 70);
}

static void service_on_its_way_is_awaited(Rig *r, gconstpointer data)
{
    (void)data;
    guest_is_on(r, OTHER);
    says(r, COMING, "");
    assert_stays_active(r, 70);
    says(r, STARTED_OTHER, "");
    assert_goes_idle(r);
}

/* Its move ended here, and nobody could tell the manager. */
static void service_that_strayed_is_guarded(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, STARTED_OTHER, "");
    assert_stays_active(r, 70);
    guest_is_on(r, OTHER);
    assert_goes_idle(r);
}

static void documented_lrm_counts_only_what_is_its_own(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, COMING, "");
    assert_goes_idle(r);
}

static void drained_node_holds_no_lock(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, STARTED_HERE, MAINTENANCE);
    run_rounds(r, 2);
    g_assert_cmpint(state(r), ==, HA_LRM_MAINTENANCE);
    g_assert_true(is_guarded(r) && holds_lock(r)); /* something runs here yet */
    guest_is_on(r, OTHER);
    says(r, STARTED_OTHER, MAINTENANCE);
    run_rounds(r, 1);
    g_assert_false(is_guarded(r) || holds_lock(r));
    says(r, STARTED_OTHER, "");
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_LRM_ACTIVE);
    g_assert_true(is_guarded(r) && holds_lock(r));
}

static void node_in_maintenance_guards_what_strayed(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, STARTED_OTHER, MAINTENANCE);
    run_rounds(r, 5);
    g_assert_cmpint(state(r), ==, HA_LRM_MAINTENANCE);
    g_assert_true(is_guarded(r) && holds_lock(r));
}

static void disarmed_node_holds_nothing(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, FROZEN_HERE, DISARM);
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_LRM_WAIT_FOR_AGENT_LOCK);
    g_assert_cmpint(ha_lrm_mode(r->node->lrm.lrm), ==, HA_MODE_DISARM);
    g_assert_false(is_guarded(r) || holds_lock(r));
    says(r, STARTED_HERE, DISARM);
    run_rounds(r, 3);
    g_assert_false(is_guarded(r) || holds_lock(r));
    says(r, FROZEN_HERE, "");
    run_rounds(r, 1);
    g_assert_true(is_guarded(r) && holds_lock(r)); /* before it thaws */
}

static void disarmed_out_of_maintenance(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, STARTED_HERE, MAINTENANCE);
    run_rounds(r, 2);
    g_assert_cmpint(state(r), ==, HA_LRM_MAINTENANCE);
    says(r, STARTED_HERE, DISARM);
    run_rounds(r, 2);
    g_assert_cmpint(state(r), ==, HA_LRM_MAINTENANCE); /* not while something runs here */
    g_assert_true(is_guarded(r) && holds_lock(r));
    says(r, FROZEN_HERE, DISARM);
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_LRM_WAIT_FOR_AGENT_LOCK);
    g_assert_false(is_guarded(r) || holds_lock(r));
    g_assert_true(was_said(r, "HA disarm requested during maintenance, releasing"));
}

/* Told to be fenced it stops its guests first; the watchdog is closed only after that. */
static void node_to_be_fenced_stops_its_services(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, FENCE_HERE, "");
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_LRM_LOST_AGENT_LOCK);
    g_assert_false(strmap_has(r->node->running, SID));
    g_assert_false(is_guarded(r) || holds_lock(r));
    run_rounds(r, 3);
    g_assert_cmpint(state(r), ==, HA_LRM_LOST_AGENT_LOCK); /* as long as it is asked for */
    says(r, STARTED_OTHER, "");
    guest_is_on(r, OTHER);
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_LRM_ACTIVE);
}

static void guest_that_does_not_stop_keeps_the_watchdog(Rig *r, gconstpointer data)
{
    (void)data;
    hasim_world_guest(r->w, SID)->lock = g_strdup("backup");
    says(r, FENCE_HERE, "");
    run_rounds(r, 3);
    g_assert_true(strmap_has(r->node->running, SID));
    g_assert_true(is_guarded(r) && holds_lock(r));
}

static void asked_to_end(Rig *r, bool node, bool reboot)
{
    HaSimDaemon *d = &r->node->lrm;

    ha_lrm_request_shutdown(d->lrm, (HaShutdown){.node = node, .reboot = reboot},
                            (HaNow){{r->w->time * US_PER_SEC}, {r->w->time}});
}

static void restart_waits_until_all_is_frozen(Rig *r, gconstpointer data)
{
    (void)data;
    asked_to_end(r, false, false);
    g_assert_cmpint(ha_lrm_mode(r->node->lrm.lrm), ==, HA_MODE_RESTART);
    run_rounds(r, 3);
    g_assert_false(r->exited);
    g_assert_true(is_guarded(r) && holds_lock(r));
    says(r, FROZEN_HERE, "");
    run_rounds(r, 1);
    g_assert_true(r->exited);
    g_assert_false(is_guarded(r) || holds_lock(r));
    g_assert_true(strmap_has(r->node->running, SID));
}

/* What the manager asked for before it saw the LRM go is done first: it counts as of here. */
static void restart_carries_out_a_move(Rig *r, gconstpointer data)
{
    (void)data;
    asked_to_end(r, false, false);
    says(r, GOING, "");
    run_rounds(r, 1);
    g_assert_false(r->exited);
    g_assert_cmpstr(hasim_world_guest(r->w, SID)->node, ==, OTHER);
    says(r, STARTED_OTHER, "");
    run_rounds(r, 1);
    g_assert_true(r->exited);
}

static void shutdown_stops_all_and_tells(Rig *r, gconstpointer data)
{
    g_autoptr(HaLrmStatus) ls = NULL;

    (void)data;
    asked_to_end(r, true, false);
    g_assert_cmpint(ha_lrm_mode(r->node->lrm.lrm), ==, HA_MODE_SHUTDOWN);
    run_rounds(r, 1);
    g_assert_true(r->exited);
    g_assert_false(strmap_has(r->node->running, SID));
    g_assert_false(is_guarded(r) || holds_lock(r));
    g_assert_cmpint(ha_lrm_status_parse(r->node->lrm_status, &ls, NULL), ==, 0);
    g_assert_true(ls->guests_stopped);
}

static void shutdown_with_a_guest_that_does_not_stop(Rig *r, gconstpointer data)
{
    g_autoptr(HaLrmStatus) ls = NULL;

    (void)data;
    hasim_world_guest(r->w, SID)->lock = g_strdup("backup");
    asked_to_end(r, true, false);
    run_rounds(r, 1);
    g_assert_true(r->exited);
    g_assert_true(is_guarded(r) && holds_lock(r)); /* the reset is for it */
    g_assert_cmpint(ha_lrm_status_parse(r->node->lrm_status, &ls, NULL), ==, 0);
    g_assert_false(ls->guests_stopped);
}

static void lost_lock_and_asked_to_end(Rig *r, gconstpointer data)
{
    (void)data;
    r->node->network = false;
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_LRM_LOST_AGENT_LOCK);
    asked_to_end(r, false, false);
    run_rounds(r, 9); /* 90 s from the loss */
    g_assert_false(r->exited);
    g_assert_true(was_said(r, "in state 'lost_agent_lock' - detected 1 running services"));
    run_rounds(r, 1);
    g_assert_true(r->exited);
    g_assert_true(was_said(r, "restart request for over 90 seconds - giving up!"));
}

static void damaged_status_leaves_what_was_read(Rig *r, gconstpointer data)
{
    (void)data;
    hasim_world_set_file(r->w, HA_FILE_MANAGER_STATUS, "{");
    assert_stays_active(r, 70);
    g_assert_true(strmap_has(r->node->running, SID));
}

/* A master that was replaced and wrote late: what it says is not done. */
static void status_of_a_replaced_master_is_not_followed(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, STARTED_HERE, ",\"epoch\":5");
    run_rounds(r, 1);
    says(r, "\"state\":\"request_stop\",\"node\":\"node1\",\"uid\":\"u9\"", ",\"epoch\":4");
    run_rounds(r, 4);
    g_assert_true(strmap_has(r->node->running, SID));
    g_assert_true(was_said(r, "written by a replaced master (epoch 4, known 5)"));
    says(r, "\"state\":\"request_stop\",\"node\":\"node1\",\"uid\":\"u9\"", ",\"epoch\":6");
    run_rounds(r, 1);
    g_assert_false(strmap_has(r->node->running, SID));
}

#define CASE(name, fn) g_test_add("/ha/lrm/" name, Rig, NULL, set_up, fn, tear_down)
#define AS_DOCUMENTED(name, fn)                                                                    \
    g_test_add("/ha/lrm/" name, Rig, "documented", set_up, fn, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    CASE("without-a-service-it-goes-idle", without_a_service_it_goes_idle);
    CASE("service-in-between-starts-the-count-anew", service_in_between_starts_the_count_anew);
    CASE("stopped-service-is-one", stopped_service_is_one);
    CASE("service-on-its-way-is-awaited", service_on_its_way_is_awaited);
    CASE("service-that-strayed-is-guarded", service_that_strayed_is_guarded);
    AS_DOCUMENTED("documented-lrm-counts-only-what-is-its-own",
                  documented_lrm_counts_only_what_is_its_own);
    CASE("drained-node-holds-no-lock", drained_node_holds_no_lock);
    CASE("node-in-maintenance-guards-what-strayed", node_in_maintenance_guards_what_strayed);
    CASE("disarmed-node-holds-nothing", disarmed_node_holds_nothing);
    CASE("disarmed-out-of-maintenance", disarmed_out_of_maintenance);
    CASE("node-to-be-fenced-stops-its-services", node_to_be_fenced_stops_its_services);
    CASE("guest-that-does-not-stop-keeps-the-watchdog",
         guest_that_does_not_stop_keeps_the_watchdog);
    CASE("restart-waits-until-all-is-frozen", restart_waits_until_all_is_frozen);
    CASE("restart-carries-out-a-move", restart_carries_out_a_move);
    CASE("shutdown-stops-all-and-tells", shutdown_stops_all_and_tells);
    CASE("shutdown-with-a-guest-that-does-not-stop", shutdown_with_a_guest_that_does_not_stop);
    CASE("lost-lock-and-asked-to-end", lost_lock_and_asked_to_end);
    CASE("damaged-status-leaves-what-was-read", damaged_status_leaves_what_was_read);
    CASE("status-of-a-replaced-master-is-not-followed",
         status_of_a_replaced_master_is_not_followed);
    return g_test_run();
}
