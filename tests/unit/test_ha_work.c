/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a node that has to stop its services forgets none that may run on it. Method: a status, a
 * table of where the guests are, and workers that only note what they are asked to do. */
#include "ha-manager/core/ha_lrm_work.h"

#include <glib.h>
#include <string.h>

/* Of each kind one: known here, known elsewhere, coming, come without the master's knowledge. */
static const char text[] =
    "{\"service_status\":{"
    "\"vm:1\":{\"state\":\"started\",\"node\":\"n1\",\"uid\":\"a\"},"
    "\"vm:2\":{\"state\":\"started\",\"node\":\"n2\",\"uid\":\"b\"},"
    "\"vm:3\":{\"state\":\"migrate\",\"node\":\"n2\",\"target\":\"n1\",\"uid\":\"c\"},"
    "\"vm:4\":{\"state\":\"migrate\",\"node\":\"n2\",\"target\":\"n1\",\"uid\":\"d\"},"
    "\"vm:5\":{\"state\":\"fence\",\"node\":\"n2\",\"uid\":\"e\"},"
    "\"vm:6\":{\"state\":\"stopped\",\"node\":\"n2\",\"uid\":\"f\"}}}";

static char *guest_node(void *ctx, const char *sid)
{
    (void)ctx;
    return g_strdup(strstr("vm:1 vm:4 vm:5 vm:6", sid) != NULL ? "n1" : "n2");
}

static int read_nothing(void *ctx, HaFile file, const char *node, char **ret_text, Err *err)
{
    (void)ctx;
    (void)file;
    (void)node;
    (void)err;
    *ret_text = g_strdup("");
    return 0;
}

static int note_worker(void *ctx, const HaJob *job)
{
    g_assert_cmpint(job->state, ==, HA_SERVICE_REQUEST_STOP);
    g_string_append_printf(ctx, "%s ", job->sid);
    return 0;
}

static int reap_none(void *ctx, HaWorkerExit *ret_exit)
{
    (void)ctx;
    (void)ret_exit;
    return 0;
}

static const HaEnvOps ops = {.guest_node = guest_node,
                             .read = read_nothing,
                             .worker_start = note_worker,
                             .worker_reap = reap_none};

/* The services for which a stop was begun. */
static char *stopped(const HaManagerStatus *ms, bool incoming)
{
    GString *asked = g_string_new(NULL);
    HaEnv env = {.ops = &ops, .ctx = asked, .node = "n1", .max_workers = 8};
    g_autoptr(HaWork) w = ha_work_new(&env);

    ha_work_queue_stops(w, ms, 0, incoming);
    (void)ha_work_run(w, ms); /* all of them are under way: nothing ends here */
    return g_string_free(asked, FALSE);
}

static void stops_what_may_run_here(void)
{
    g_autoptr(HaManagerStatus) ms = NULL;
    g_autofree char *lost = NULL;
    g_autofree char *down = NULL;

    g_assert_cmpint(ha_manager_status_parse(text, NULL, NULL, &ms, NULL), ==, 0);
    lost = stopped(ms, true);
    g_assert_cmpstr(lost, ==, "vm:1 vm:3 vm:4 vm:5 vm:6 ");
    down = stopped(ms, false);
    g_assert_cmpstr(down, ==, "vm:1 vm:4 vm:5 vm:6 ");
}

static void counts_what_strayed(void)
{
    HaEnv env = {.ops = &ops, .node = "n1"};
    HaEnv other = {.ops = &ops, .node = "n3"};
    g_autoptr(HaWork) w = ha_work_new(&env);
    g_autoptr(HaWork) none = ha_work_new(&other);
    g_autoptr(HaManagerStatus) ms = NULL;

    g_assert_cmpint(ha_manager_status_parse(text, NULL, NULL, &ms, NULL), ==, 0);
    g_assert_cmpuint(ha_work_strayed(w, ms), ==, 1); /* vm:5 */
    g_assert_cmpuint(ha_work_strayed(none, ms), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ha/work/stops-all-that-may-run-here", stops_what_may_run_here);
    g_test_add_func("/ha/work/counts-what-came-unnoticed", counts_what_strayed);
    return g_test_run();
}
