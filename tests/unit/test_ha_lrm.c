/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: an LRM keeps its lease as long as something may run on its node, and no longer. Method: the
 * LRM of one node of the simulator's cluster; the manager is the test, which writes its status.
 * Requests run in line, or by workers that end when the test says so.
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
    HaEnvOps ops;    /* of the simulator, with workers of the test */
    GPtrArray *busy; /* HaJob *: copies of those that workers have */
    GPtrArray *done; /* char *: services whose worker has ended, and is to be reaped */
} Rig;

static Rig *rig; /* the one there is: workers find it */

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

static int start_worker(void *ctx, const HaJob *job)
{
    HaJob *copy = g_new0(HaJob, 1);

    (void)ctx;
    copy->sid = g_strdup(job->sid);
    copy->uid = g_strdup(job->uid);
    copy->state = job->state;
    copy->target = g_strdup(job->target);
    copy->timeout_s = job->timeout_s;
    g_ptr_array_add(rig->busy, copy);
    return 0;
}

static int reap_worker(void *ctx, HaWorkerExit *ret_exit)
{
    (void)ctx;
    if (rig->done->len == 0) {
        return 0;
    }
    *ret_exit = (HaWorkerExit){.sid = g_strdup(g_ptr_array_index(rig->done, 0)), .ran = true};
    g_ptr_array_remove_index(rig->done, 0);
    return 1;
}

/* The only worker there is carries out what it was asked for, and ends. */
static void worker_ends(Rig *r)
{
    const HaJob *job;

    g_assert_cmpuint(r->busy->len, ==, 1);
    job = g_ptr_array_index(r->busy, 0);
    if (job->state == HA_SERVICE_MIGRATE) {
        guest_is_on(r, job->target);
    } else if (job->state == HA_SERVICE_REQUEST_STOP) {
        (void)strmap_remove(r->node->running, job->sid);
    } else {
        strmap_set(r->node->running, job->sid, GINT_TO_POINTER(1));
    }
    g_ptr_array_add(r->done, g_strdup(job->sid));
    g_ptr_array_remove_index(r->busy, 0);
}

static bool poll_workers(Rig *r)
{
    return ha_lrm_poll(r->node->lrm.lrm, (HaNow){{r->w->time * US_PER_SEC}, {r->w->time}});
}

static void start_lrm(Rig *r, bool workers)
{
    HaSimDaemon *d = &r->node->lrm;

    hasim_env_init(d);
    d->env.seed = 1;
    if (workers) {
        r->ops = *d->env.ops;
        r->ops.worker_start = start_worker;
        r->ops.worker_reap = reap_worker;
        d->env.ops = &r->ops;
        d->env.max_workers = 4;
    }
    d->lrm = ha_lrm_new(&d->env, "boot-1");
}

static void set_up(Rig *r, gconstpointer data)
{
    rig = r;
    r->busy = g_ptr_array_new_with_free_func(ha_job_free);
    r->done = g_ptr_array_new_with_free_func(g_free);
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
    start_lrm(r, g_strcmp0(data, "workers") == 0);
    says(r, STARTED_HERE, "");
    run_rounds(r, 2);
    if (g_strcmp0(data, "workers") == 0) {
        worker_ends(r);
        g_assert_false(poll_workers(r));
    }
    g_assert_cmpint(state(r), ==, HA_LRM_ACTIVE);
    g_assert_true(is_guarded(r) && holds_lock(r));
    g_assert_true(strmap_has(r->node->running, SID));
}

static void tear_down(Rig *r, gconstpointer data)
{
    (void)data;
    hasim_world_free(r->w);
    g_string_free(r->log, TRUE);
    g_ptr_array_unref(r->busy);
    g_ptr_array_unref(r->done);
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

static void node_in_maintenance_that_is_cut_off(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, STARTED_HERE, MAINTENANCE);
    run_rounds(r, 2);
    g_assert_cmpint(state(r), ==, HA_LRM_MAINTENANCE);
    r->node->network = false;
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_LRM_LOST_AGENT_LOCK);
    g_assert_false(strmap_has(r->node->running, SID)); /* guests before hosts */
}

static void node_in_maintenance_to_be_fenced(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, STARTED_HERE, MAINTENANCE);
    run_rounds(r, 2);
    says(r, FENCE_HERE, MAINTENANCE);
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_LRM_LOST_AGENT_LOCK);
    g_assert_true(was_said(r, "node needs to be fenced during maintenance mode"));
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
    g_assert_true(was_said(r, "node needs to be fenced - releasing agent_lock"));
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
    g_clear_pointer(&hasim_world_guest(r->w, SID)->lock, g_free);
    run_rounds(r, 1); /* it is tried again and again */
    g_assert_false(strmap_has(r->node->running, SID));
    g_assert_false(is_guarded(r) || holds_lock(r));
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

/* A reboot freezes: what is told of the guests decides whether the node may be given up. */
static void reboot_tells_whether_all_is_stopped(Rig *r, gconstpointer data)
{
    g_autoptr(HaLrmStatus) ls = NULL;

    (void)data;
    asked_to_end(r, true, true);
    g_assert_cmpint(ha_lrm_mode(r->node->lrm.lrm), ==, HA_MODE_RESTART);
    run_rounds(r, 1);
    g_assert_false(strmap_has(r->node->running, SID));
    g_assert_false(r->exited); /* nothing is frozen yet */
    says(r, FROZEN_HERE, "");
    run_rounds(r, 1);
    g_assert_true(r->exited);
    g_assert_cmpint(ha_lrm_status_parse(r->node->lrm_status, &ls, NULL), ==, 0);
    g_assert_true(ls->guests_stopped);
}

static void reboot_with_a_guest_that_does_not_stop(Rig *r, gconstpointer data)
{
    g_autoptr(HaLrmStatus) ls = NULL;

    (void)data;
    hasim_world_guest(r->w, SID)->lock = g_strdup("backup");
    asked_to_end(r, true, true);
    says(r, FROZEN_HERE, "");
    run_rounds(r, 1);
    g_assert_cmpint(ha_lrm_status_parse(r->node->lrm_status, &ls, NULL), ==, 0);
    g_assert_false(ls->guests_stopped);
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

/* As documented, who is on its way is not looked at. */
static void shutdown_leaves_alone_what_is_on_its_way(Rig *r, gconstpointer data)
{
    (void)data;
    guest_is_on(r, OTHER);
    says(r, COMING, "");
    run_rounds(r, 1);
    asked_to_end(r, true, false);
    run_rounds(r, 1);
    g_assert_true(r->exited);
    g_assert_false(is_guarded(r) || holds_lock(r));
    g_assert_false(was_said(r, "not on this node"));
}

/* The node goes down (or is booted again) while the guest is on its way to it. */
static void ends_with_one_on_its_way(Rig *r, bool reboot)
{
    (void)strmap_remove(r->node->running, SID);
    guest_is_on(r, OTHER);
    says(r, COMING, "");
    run_rounds(r, 1);
    asked_to_end(r, true, reboot);
    run_rounds(r, 3);
    g_assert_false(r->exited);
    g_assert_true(is_guarded(r) && holds_lock(r));
    g_assert_false(was_said(r, "not on this node"));
}

static void arrives(Rig *r)
{
    guest_is_on(r, HERE);
    strmap_set(r->node->running, SID, GINT_TO_POINTER(1));
    run_rounds(r, 2); /* the move has not ended, by all that the manager says */
    g_assert_false(r->exited);
    g_assert_true(strmap_has(r->node->running, SID));
    g_assert_true(is_guarded(r) && holds_lock(r));
}

static void assert_ended_with_all_stopped(Rig *r)
{
    g_autoptr(HaLrmStatus) ls = NULL;

    run_rounds(r, 2);
    g_assert_true(r->exited);
    g_assert_false(strmap_has(r->node->running, SID));
    g_assert_false(is_guarded(r) || holds_lock(r));
    g_assert_cmpint(ha_lrm_status_parse(r->node->lrm_status, &ls, NULL), ==, 0);
    g_assert_true(ls->guests_stopped);
}

static void shutdown_stops_what_arrives(Rig *r, gconstpointer data)
{
    (void)data;
    ends_with_one_on_its_way(r, false);
    arrives(r);
    says(r, STARTED_HERE, "");
    assert_ended_with_all_stopped(r);
}

/* The master that asked for the move died, and the next one believes the guest where it was. */
static void shutdown_stops_what_strays_here(Rig *r, gconstpointer data)
{
    (void)data;
    ends_with_one_on_its_way(r, false);
    arrives(r);
    says(r, STARTED_OTHER, "");
    assert_ended_with_all_stopped(r);
}

static void shutdown_goes_on_when_the_move_fails(Rig *r, gconstpointer data)
{
    (void)data;
    ends_with_one_on_its_way(r, false);
    says(r, STARTED_OTHER, "");
    assert_ended_with_all_stopped(r);
    g_assert_false(was_said(r, "not on this node"));
}

/* Its source goes down as well, say: then not for ever, but the reset is for what may come. */
static void shutdown_does_not_wait_for_ever(Rig *r, gconstpointer data)
{
    g_autoptr(HaLrmStatus) ls = NULL;

    (void)data;
    ends_with_one_on_its_way(r, false);
    run_rounds(r, 5);
    g_assert_true(r->exited);
    g_assert_true(is_guarded(r) && holds_lock(r));
    g_assert_cmpint(ha_lrm_status_parse(r->node->lrm_status, &ls, NULL), ==, 0);
    g_assert_false(ls->guests_stopped);
}

static void reboot_stops_what_arrives(Rig *r, gconstpointer data)
{
    (void)data;
    ends_with_one_on_its_way(r, true);
    arrives(r);
    says(r, FROZEN_HERE, ""); /* as the manager does with what is on a node that is booted */
    assert_ended_with_all_stopped(r);
}

/* The guest stays where it is until the LRM of its target says that it holds its lease. */
static void says_other(const Rig *r, const char *state, const char *boot)
{
    HaSimNode *n = hasim_world_node(r->w, OTHER);

    g_free(n->lrm_status);
    n->lrm_status = g_strdup_printf(
        "{\"state\":\"%s\",\"mode\":\"active\",\"timestamp\":1,%s\"results\":{}}", state, boot);
}

#define OTHER_BOOT "\"boot_id\":\"boot-2\","

static void move_waits_for_the_lease_of_its_target(Rig *r, gconstpointer data)
{
    (void)data;
    says_other(r, "wait_for_agent_lock", OTHER_BOOT);
    says(r, GOING, "");
    run_rounds(r, 3);
    g_assert_cmpstr(hasim_world_guest(r->w, SID)->node, ==, HERE);
    g_assert_true(was_said(r, "service 'vm:100' waits with its move: node 'node2'"));
    says_other(r, "active", OTHER_BOOT);
    run_rounds(r, 1);
    g_assert_cmpstr(hasim_world_guest(r->w, SID)->node, ==, OTHER);
    g_assert_false(was_said(r, "did not take"));
}

static void move_without_a_lease_there_fails(Rig *r, gconstpointer data)
{
    g_autoptr(HaLrmStatus) ls = NULL;
    const HaResult *result;

    (void)data;
    says_other(r, "wait_for_agent_lock", OTHER_BOOT);
    says(r, GOING, "");
    run_rounds(r, 8);
    g_assert_cmpstr(hasim_world_guest(r->w, SID)->node, ==, HERE);
    g_assert_true(was_said(r, "service 'vm:100' stays: node 'node2' did not take"));
    g_assert_cmpint(ha_lrm_status_parse(r->node->lrm_status, &ls, NULL), ==, 0);
    result = strmap_get(ls->results, "u5");
    g_assert_nonnull(result);
    g_assert_cmpint(result->exit_code, ==, HA_EXIT_ERROR);
    says(r, STARTED_HERE, ""); /* and the next move waits anew */
    run_rounds(r, 1);
    says(r, "\"state\":\"migrate\",\"node\":\"node1\",\"target\":\"node2\",\"uid\":\"u9\"", "");
    run_rounds(r, 3);
    says_other(r, "active", OTHER_BOOT);
    run_rounds(r, 1);
    g_assert_cmpstr(hasim_world_guest(r->w, SID)->node, ==, OTHER);
}

/* An LRM of the original does not tell its boot: as documented, then. */
static void move_to_a_foreign_node_does_not_wait(Rig *r, gconstpointer data)
{
    (void)data;
    says_other(r, "wait_for_agent_lock", "");
    says(r, GOING, "");
    run_rounds(r, 1);
    g_assert_cmpstr(hasim_world_guest(r->w, SID)->node, ==, OTHER);
}

static void lost_lock_with_nothing_running(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, STOPPED_HERE, "");
    run_rounds(r, 1);
    r->node->network = false;
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_LRM_LOST_AGENT_LOCK);
    g_assert_true(is_guarded(r));
    asked_to_end(r, false, false);
    run_rounds(r, 1);
    g_assert_true(r->exited);
    g_assert_false(is_guarded(r));
}

/* ---- with workers ---- */

static void node_in_maintenance_waits_for_its_worker(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, GOING, MAINTENANCE);
    run_rounds(r, 2);
    g_assert_cmpint(state(r), ==, HA_LRM_MAINTENANCE);
    says(r, STOPPED_HERE, MAINTENANCE); /* the manager has given it up; the worker has not */
    run_rounds(r, 20);
    g_assert_cmpint(state(r), ==, HA_LRM_MAINTENANCE);
    g_assert_true(is_guarded(r) && holds_lock(r));
    worker_ends(r);
    says(r, STARTED_OTHER, MAINTENANCE);
    run_rounds(r, 1);
    g_assert_false(is_guarded(r) || holds_lock(r));
}

static void restart_waits_for_its_worker(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, GOING, "");
    run_rounds(r, 1);
    asked_to_end(r, false, false);
    says(r, STARTED_OTHER, "");
    guest_is_on(r, OTHER);
    run_rounds(r, 3);
    g_assert_false(r->exited);
    g_assert_true(is_guarded(r) && holds_lock(r));
    worker_ends(r);
    run_rounds(r, 1);
    g_assert_true(r->exited);
}

static void shutdown_waits_for_its_worker(Rig *r, gconstpointer data)
{
    (void)data;
    asked_to_end(r, true, false);
    run_rounds(r, 3);
    g_assert_false(r->exited);
    g_assert_true(is_guarded(r) && holds_lock(r));
    worker_ends(r);
    run_rounds(r, 1);
    g_assert_true(r->exited);
    g_assert_false(is_guarded(r) || holds_lock(r));
}

static void disarm_waits_for_its_worker(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, "\"state\":\"request_stop\",\"node\":\"node1\",\"uid\":\"u9\"", "");
    run_rounds(r, 1);
    says(r, FROZEN_HERE, DISARM);
    run_rounds(r, 3);
    g_assert_cmpint(state(r), ==, HA_LRM_ACTIVE);
    worker_ends(r);
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_LRM_WAIT_FOR_AGENT_LOCK);
}

/* Between rounds somebody looks whether the guests have ended, as long as there is a need to. */
static void lost_lock_is_polled_until_all_is_stopped(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, FENCE_HERE, "");
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_LRM_LOST_AGENT_LOCK);
    g_assert_true(poll_workers(r));
    g_assert_true(is_guarded(r) && holds_lock(r));
    worker_ends(r);
    g_assert_false(poll_workers(r));
    g_assert_false(is_guarded(r) || holds_lock(r));
    g_assert_false(poll_workers(r));
}

static void answer_is_written_between_rounds(Rig *r, gconstpointer data)
{
    g_autoptr(HaLrmStatus) ls = NULL;
    const HaResult *res;

    (void)data;
    says(r, GOING "},\"vm:200\":{\"state\":\"stopped\",\"node\":\"node2\",\"uid\":\"u0\"", "");
    run_rounds(r, 1);
    g_assert_true(poll_workers(r));
    worker_ends(r);
    g_assert_false(poll_workers(r));
    g_assert_cmpint(ha_lrm_status_parse(r->node->lrm_status, &ls, NULL), ==, 0);
    res = strmap_get(ls->results, "u5");
    g_assert_nonnull(res);
    g_assert_cmpint(res->exit_code, ==, 0);
    g_assert_cmpint(ls->timestamp, ==, r->w->time); /* of now, not of the last round */
}

static void idle_lrm_is_not_polled(Rig *r, gconstpointer data)
{
    (void)data;
    says(r, FROZEN_HERE, DISARM);
    run_rounds(r, 1);
    g_assert_cmpint(state(r), ==, HA_LRM_WAIT_FOR_AGENT_LOCK);
    g_assert_false(poll_workers(r));
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

#define WITH_WORKERS(name, fn) g_test_add("/ha/lrm/" name, Rig, "workers", set_up, fn, tear_down)

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
    CASE("node-in-maintenance-that-is-cut-off", node_in_maintenance_that_is_cut_off);
    CASE("node-in-maintenance-to-be-fenced", node_in_maintenance_to_be_fenced);
    CASE("disarmed-node-holds-nothing", disarmed_node_holds_nothing);
    CASE("disarmed-out-of-maintenance", disarmed_out_of_maintenance);
    CASE("node-to-be-fenced-stops-its-services", node_to_be_fenced_stops_its_services);
    CASE("guest-that-does-not-stop-keeps-the-watchdog",
         guest_that_does_not_stop_keeps_the_watchdog);
    CASE("restart-waits-until-all-is-frozen", restart_waits_until_all_is_frozen);
    CASE("restart-carries-out-a-move", restart_carries_out_a_move);
    CASE("shutdown-stops-all-and-tells", shutdown_stops_all_and_tells);
    CASE("reboot-tells-whether-all-is-stopped", reboot_tells_whether_all_is_stopped);
    CASE("reboot-with-a-guest-that-does-not-stop", reboot_with_a_guest_that_does_not_stop);
    CASE("shutdown-with-a-guest-that-does-not-stop", shutdown_with_a_guest_that_does_not_stop);
    AS_DOCUMENTED("shutdown-leaves-alone-what-is-on-its-way",
                  shutdown_leaves_alone_what_is_on_its_way);
    CASE("shutdown-stops-what-arrives", shutdown_stops_what_arrives);
    CASE("shutdown-stops-what-strays-here", shutdown_stops_what_strays_here);
    CASE("shutdown-goes-on-when-the-move-fails", shutdown_goes_on_when_the_move_fails);
    CASE("shutdown-does-not-wait-for-ever", shutdown_does_not_wait_for_ever);
    CASE("reboot-stops-what-arrives", reboot_stops_what_arrives);
    CASE("move-waits-for-the-lease-of-its-target", move_waits_for_the_lease_of_its_target);
    CASE("move-without-a-lease-there-fails", move_without_a_lease_there_fails);
    CASE("move-to-a-foreign-node-does-not-wait", move_to_a_foreign_node_does_not_wait);
    AS_DOCUMENTED("lost-lock-with-nothing-running", lost_lock_with_nothing_running);
    WITH_WORKERS("node-in-maintenance-waits-for-its-worker",
                 node_in_maintenance_waits_for_its_worker);
    WITH_WORKERS("restart-waits-for-its-worker", restart_waits_for_its_worker);
    WITH_WORKERS("shutdown-waits-for-its-worker", shutdown_waits_for_its_worker);
    WITH_WORKERS("disarm-waits-for-its-worker", disarm_waits_for_its_worker);
    WITH_WORKERS("lost-lock-is-polled-until-all-is-stopped",
                 lost_lock_is_polled_until_all_is_stopped);
    WITH_WORKERS("answer-is-written-between-rounds", answer_is_written_between_rounds);
    WITH_WORKERS("idle-lrm-is-not-polled", idle_lrm_is_not_polled);
    CASE("lost-lock-and-asked-to-end", lost_lock_and_asked_to_end);
    CASE("damaged-status-leaves-what-was-read", damaged_status_leaves_what_was_read);
    CASE("status-of-a-replaced-master-is-not-followed",
         status_of_a_replaced_master_is_not_followed);
    return g_test_run();
}
