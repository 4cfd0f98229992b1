/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: fence agents are run level by level and believed only when all succeed; the black box keeps
 * what it was given; edits of the configuration refuse what they must. Method: agents that are
 * scripts of the test, files in a directory of its own. */
#include "ha-manager/core/ha_edit.h"
#include "ha-manager/core/ha_resources.h"
#include "ha-manager/core/ha_rules.h"
#include "ha-manager/io/ha_blackbox.h"
#include "ha-manager/io/ha_fencing.h"
#include "ha-manager/io/ha_node_end.h"
#include "ha-manager/io/ha_workers.h"

#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- fencing ----------------------------------------------------------------------------------
 */

typedef struct Rig {
    char *dir;
    GString *said;
} Rig;

static void set_up(Rig *r, gconstpointer data)
{
    (void)data;
    r->dir = g_dir_make_tmp("haio.XXXXXX", NULL);
    r->said = g_string_new(NULL);
}

static char *in(const Rig *r, const char *name)
{
    return g_build_filename(r->dir, name, NULL);
}

static void tear_down(Rig *r, gconstpointer data)
{
    GDir *dir = g_dir_open(r->dir, 0, NULL);
    const char *name;

    (void)data;
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = in(r, name);

        (void)g_unlink(path);
    }
    g_dir_close(dir);
    g_assert_cmpint(g_rmdir(r->dir), ==, 0);
    g_free(r->dir);
    (void)g_string_free(r->said, TRUE);
}

static void say(void *ctx, const char *line)
{
    Rig *r = ctx;

    g_string_append_printf(r->said, "%s\n", line);
}

/* An agent that notes its words and ends with this status. */
static void write_agent(const Rig *r, const char *name, const char *body)
{
    g_autofree char *path = in(r, name);
    g_autofree char *log = in(r, "log");
    g_autofree char *text =
        g_strdup_printf("#!/bin/sh\necho %s \"$@\" >>%s\n%s\n", name, log, body);

    g_assert_true(g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0755, NULL));
}

static HaFence *parse(const Rig *r, const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "@", -1);
    g_autofree char *full = g_strjoinv(r->dir, parts);
    HaFence *f = NULL;

    g_assert_cmpint(ha_fence_parse(full, "fence.cfg", NULL, NULL, &f, NULL), ==, 0);
    return f;
}

static char *log_of(const Rig *r)
{
    g_autofree char *path = in(r, "log");
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? text : g_strdup("");
}

static const char two_levels[] = "device one:1 @/a action=off ip=1\n"
                                 "device one:2 @/b action=off ip=2\n"
                                 "device two @/c action=off password=secret\n"
                                 "connect one:1 node=n1 plug=1\n"
                                 "connect one:2 node=n1 plug=2\n"
                                 "connect two node=n1 plug=3\n";

static bool need_root(void)
{
    if (getuid() != 0) {
        g_test_skip("agents must belong to root");
        return false;
    }
    return true;
}

static void both_devices_of_a_level_must_succeed(Rig *r, gconstpointer data)
{
    g_autoptr(HaFence) f = parse(r, two_levels);
    g_autofree char *log = NULL;
    Err err = ERR_INIT;

    (void)data;
    if (!need_root()) {
        return;
    }
    write_agent(r, "a", "exit 0");
    write_agent(r, "b", "exit 1");
    write_agent(r, "c", "exit 0");
    g_assert_cmpint(ha_fencing_run(f, "n1", HA_FENCE_AS_CONFIGURED, false, say, r, &err), ==, 0);
    log = log_of(r);
    g_assert_nonnull(strstr(log, "c "));
    g_assert_null(strstr(r->said->str, "secret"));
}

static void first_level_that_succeeds_is_enough(Rig *r, gconstpointer data)
{
    g_autoptr(HaFence) f = parse(r, two_levels);
    g_autofree char *log = NULL;

    (void)data;
    if (!need_root()) {
        return;
    }
    write_agent(r, "a", "exit 0");
    write_agent(r, "b", "exit 0");
    write_agent(r, "c", "exit 0");
    g_assert_cmpint(ha_fencing_run(f, "n1", HA_FENCE_AS_CONFIGURED, false, say, r, NULL), ==, 0);
    log = log_of(r);
    g_assert_null(strstr(log, "c "));
}

static void failure_of_all_levels_is_a_failure(Rig *r, gconstpointer data)
{
    g_autoptr(HaFence) f = parse(r, two_levels);
    Err err = ERR_INIT;

    (void)data;
    write_agent(r, "a", "exit 1");
    write_agent(r, "b", "sleep 100"); /* is ended with the other */
    write_agent(r, "c", "exit 3");
    g_assert_cmpint(ha_fencing_run(f, "n1", HA_FENCE_AS_CONFIGURED, false, say, r, &err), ==, -EIO);
    g_assert_cmpint(ha_fencing_run(f, "n2", HA_FENCE_AS_CONFIGURED, false, say, r, &err), ==,
                    -ENOENT);
}

static void dry_run_runs_nothing(Rig *r, gconstpointer data)
{
    g_autoptr(HaFence) f = parse(r, two_levels);
    g_autofree char *log = NULL;

    (void)data;
    if (!need_root()) {
        return;
    }
    write_agent(r, "a", "exit 0");
    write_agent(r, "b", "exit 0");
    write_agent(r, "c", "exit 0");
    g_assert_cmpint(ha_fencing_run(f, "n1", HA_FENCE_AS_CONFIGURED, true, say, r, NULL), ==, 0);
    log = log_of(r);
    g_assert_cmpstr(log, ==, "");
    g_assert_nonnull(strstr(r->said->str, "--plug=3"));
    g_assert_nonnull(strstr(r->said->str, "--password=HIDDEN"));
}

static void test_asks_all_levels_for_the_status(Rig *r, gconstpointer data)
{
    g_autoptr(HaFence) f = parse(r, two_levels);
    g_autofree char *log = NULL;

    (void)data;
    if (!need_root()) {
        return;
    }
    write_agent(r, "a", "exit 0");
    write_agent(r, "b", "exit 2"); /* "it is off" */
    write_agent(r, "c", "exit 0");
    g_assert_cmpint(ha_fencing_run(f, "n1", HA_FENCE_STATUS, false, say, r, NULL), ==, 0);
    log = log_of(r);
    g_assert_nonnull(strstr(log, "c "));
    g_assert_null(strstr(log, "--action=off"));
    g_assert_nonnull(strstr(log, "--action=status"));
}

/* A test has to show all that is wrong, not only the first. */
static void test_of_the_status_does_not_end_with_a_failure(Rig *r, gconstpointer data)
{
    g_autoptr(HaFence) f = parse(r, two_levels);
    g_autofree char *log = NULL;
    Err err = ERR_INIT;

    (void)data;
    if (!need_root()) {
        return;
    }
    write_agent(r, "a", "exit 1");
    write_agent(r, "b", "exit 0");
    write_agent(r, "c", "exit 0");
    g_assert_cmpint(ha_fencing_run(f, "n1", HA_FENCE_STATUS, false, say, r, &err), ==, -EIO);
    g_assert_cmpstr(err_text(&err), ==, "fence device number 1 of node 'n1' failed");
    log = log_of(r);
    g_assert_nonnull(strstr(log, "c "));
}

/* A level of which some devices were left out is not a fence. */
static void too_many_devices_at_once_are_refused(Rig *r, gconstpointer data)
{
    GString *text = g_string_new(NULL);
    g_autoptr(HaFence) f = NULL;
    g_autofree char *log = NULL;

    (void)data;
    for (int i = 1; i <= 33; i++) {
        g_string_append_printf(text, "device d:%d @/a ip=1\nconnect d:%d node=n1 plug=%d\n", i, i,
                               i);
    }
    f = parse(r, text->str);
    (void)g_string_free(text, TRUE);
    write_agent(r, "a", "exit 0");
    g_assert_cmpint(ha_fencing_run(f, "n1", HA_FENCE_AS_CONFIGURED, false, say, r, NULL), <, 0);
    log = log_of(r);
    g_assert_cmpstr(log, ==, "");
}

static void secrets_are_not_shown(Rig *r, gconstpointer data)
{
    g_autoptr(HaFence) f = parse(r, "device d @/a password=secret1 p=secret2 c=secret3 P=secret4 "
                                    "snmp-priv-passwd=secret5 community=secret6 token=secret7 "
                                    "ip=1.2.3.4\nconnect d node=n1 plug=7\n");

    (void)data;
    if (!need_root()) {
        return;
    }
    write_agent(r, "a", "exit 0");
    g_assert_cmpint(ha_fencing_run(f, "n1", HA_FENCE_AS_CONFIGURED, true, say, r, NULL), ==, 0);
    for (int i = 1; i <= 7; i++) {
        g_autofree char *secret = g_strdup_printf("secret%d", i);

        g_assert_null(strstr(r->said->str, secret));
    }
    g_assert_nonnull(strstr(r->said->str, "--ip=1.2.3.4"));
    g_assert_nonnull(strstr(r->said->str, "--plug=7"));
}

static void agent_that_others_can_change_is_not_run(Rig *r, gconstpointer data)
{
    g_autoptr(HaFence) f = parse(r, "device one @/a ip=1\nconnect one node=n1 plug=1\n");
    g_autofree char *path = in(r, "a");
    g_autofree char *log = NULL;

    (void)data;
    write_agent(r, "a", "exit 0");
    g_assert_cmpint(g_chmod(path, 0777), ==, 0);
    g_assert_cmpint(ha_fencing_run(f, "n1", HA_FENCE_AS_CONFIGURED, false, say, r, NULL), <, 0);
    log = log_of(r);
    g_assert_cmpstr(log, ==, "");
}

static void daemon_hears_of_the_end(Rig *r, gconstpointer data)
{
    HaFencer *f = ha_fencing_new(say, NULL, r);
    g_autofree char *text =
        g_strdup_printf("device one %s/a ip=1\nconnect one node=n1 plug=1\n", r->dir);
    int done = 0;

    (void)data;
    if (!need_root()) {
        ha_fencing_free(f);
        return;
    }
    write_agent(r, "a", "exit 0");
    ha_fencing_configure(f, text);
    g_assert_true(ha_fencing_can(f, "n1"));
    g_assert_false(ha_fencing_can(f, "n2"));
    g_assert_cmpint(ha_fencing_fence(f, "n1"), ==, 0);
    for (int i = 0; i < 9000 && done == 0; i++) {
        g_usleep(10000);
        done = ha_fencing_fence(f, "n1");
    }
    g_assert_cmpint(done, ==, 1);
    ha_fencing_over(f, "n1");
    g_assert_cmpint(ha_fencing_fence(f, "n1"), ==, 0); /* once more from the start */
    ha_fencing_configure(f, "device broken\nconnect nothing node=n1 x\n");
    g_assert_false(ha_fencing_can(f, "n1"));
    ha_fencing_free(f);
}

/* ---- black box --------------------------------------------------------------------------------
 */

static void black_box_keeps_what_it_is_given(Rig *r, gconstpointer data)
{
    g_autofree char *file = in(r, "box");
    JsonTree *facts = jsontree_new_object();
    g_autoptr(JsonTree) all = NULL;
    FILE *damage;

    (void)data;
    jsontree_set_int(facts, "lock_age_ms", 4711);
    g_assert_cmpint(ha_blackbox_add(file, "lost", facts, NULL), ==, 0);
    damage = g_fopen(file, "a");
    g_assert_cmpint(fputs("{ half a line\n", damage), >=, 0);
    g_assert_cmpint(fclose(damage), ==, 0);
    g_assert_cmpint(ha_blackbox_add(file, "again", jsontree_new_object(), NULL), ==, 0);
    g_assert_cmpint(ha_blackbox_read(file, &all, NULL), ==, 0);
    g_assert_cmpuint(jsontree_count(all), ==, 2);
    g_assert_cmpstr(jsontree_get_text(jsontree_at(all, 0), "event"), ==, "lost");
    g_assert_cmpint(jsontree_get_int(jsontree_get(jsontree_at(all, 0), "facts"), "lock_age_ms", 0),
                    ==, 4711);
    g_assert_cmpstr(jsontree_get_text(jsontree_at(all, 1), "event"), ==, "again");
}

static void black_box_does_not_grow_for_ever(Rig *r, gconstpointer data)
{
    g_autofree char *file = in(r, "box");
    g_autofree char *long_text = g_strnfill(8000, 'x');
    struct stat st;

    (void)data;
    for (int i = 0; i < 100; i++) {
        JsonTree *facts = jsontree_new_object();

        jsontree_set_text(facts, "text", long_text);
        g_assert_cmpint(ha_blackbox_add(file, "event", facts, NULL), ==, 0);
    }
    g_assert_cmpint(stat(file, &st), ==, 0);
    g_assert_cmpint(st.st_size, <, HA_BLACKBOX_MAX + 10000);
}

/* ---- the rest ---------------------------------------------------------------------------------
 */

static void end_of_the_machine_is_told_from_that_of_a_daemon(void)
{
    HaShutdown end = ha_node_end_parse("123 pve-ha-lrm.service stop waiting\n");

    g_assert_false(end.node);
    end = ha_node_end_parse("1 shutdown.target start waiting\n2 poweroff.target start waiting\n");
    g_assert_true(end.node && !end.reboot);
    end = ha_node_end_parse("1 shutdown.target start waiting\n2 reboot.target start waiting\n");
    g_assert_true(end.node && end.reboot);
}

static int seven(void *data)
{
    (void)data;
    return 7;
}

static void worker_is_reaped_with_its_status(void)
{
    HaWorkers *w = ha_workers_new(NULL, NULL);
    g_autofree char *tag = NULL;
    int status = 0;
    int r = 0;

    g_assert_cmpint(ha_workers_start(w, "vm:100", seven, NULL), ==, 0);
    for (int i = 0; i < 9000 && r == 0; i++) {
        r = ha_workers_reap(w, &tag, &status);
        g_usleep(10000);
    }
    g_assert_cmpint(r, ==, 1);
    g_assert_cmpstr(tag, ==, "vm:100");
    g_assert_cmpint(WEXITSTATUS(status), ==, 7);
    g_assert_false(ha_workers_busy(w, "vm:100"));
    ha_workers_free(w);
}

static int edit(const SectionSchema *schema,
                HaEditAction action,
                const char *type,
                const char *id,
                const char *key,
                const HaEditValue *values,
                const char *digest,
                char **text)
{
    HaSectionEdit e = {.schema = schema,
                       .action = action,
                       .type = type,
                       .id = id,
                       .key = key,
                       .values = values,
                       .digest = digest,
                       .what = "thing"};
    char *after = NULL;
    int r = ha_edit_section(*text, &after, &e, NULL);

    if (r == 0) {
        g_free(*text);
        *text = after;
    }
    return r;
}

static void edits_of_services(void)
{
    SectionSchema schema = ha_resources_schema(NULL);
    const HaEditValue stopped[] = {{"state", "stopped"}, {"comment", NULL}, {NULL, NULL}};
    const HaEditValue bad[] = {{"state", "dreaming"}, {NULL, NULL}};
    g_autofree char *text = g_strdup("");

    g_assert_cmpint(edit(&schema, HA_EDIT_ADD, "vm", "100", "vm:100", NULL, NULL, &text), ==, 0);
    g_assert_cmpint(edit(&schema, HA_EDIT_ADD, "vm", "100", "vm:100", NULL, NULL, &text), ==,
                    -EEXIST);
    g_assert_cmpint(edit(&schema, HA_EDIT_SET, "vm", "100", "vm:100", stopped, NULL, &text), ==, 0);
    g_assert_cmpstr(text, ==, "vm: 100\n\tstate stopped\n\n");
    g_assert_cmpint(edit(&schema, HA_EDIT_SET, "vm", "100", "vm:100", bad, NULL, &text), ==,
                    -EINVAL);
    g_assert_cmpint(edit(&schema, HA_EDIT_SET, "vm", "100", "vm:100", stopped, "0", &text), ==,
                    -ESTALE);
    g_assert_cmpint(edit(&schema, HA_EDIT_SET, "vm", "101", "vm:101", stopped, NULL, &text), ==,
                    -ENOENT);
    g_assert_cmpint(edit(&schema, HA_EDIT_REMOVE, NULL, "100", "vm:100", NULL, NULL, &text), ==, 0);
    g_assert_cmpstr(text, ==, "");
    g_free((void *)schema.types);
}

static void purge_takes_a_service_out_of_all_rules(void)
{
    const char before[] = "node-affinity: one\n\tnodes n1\n\tresources vm:1\n\n"
                          "resource-affinity: two\n\taffinity positive\n\tresources vm:1,vm:2\n\n";
    char sid[] = "vm:1";
    g_autofree char *text = NULL;
    g_autofree char *again = NULL;

    g_assert_cmpint(ha_edit_purge_rules(before, &text, sid, NULL), ==, 0);
    g_assert_cmpstr(text, ==, "resource-affinity: two\n\taffinity positive\n\tresources vm:2\n\n");
    g_assert_cmpint(ha_edit_purge_rules(text, &again, sid, NULL), ==, 1);
}

static void rule_without_what_it_needs_is_refused(void)
{
    const HaEditValue values[] = {{"resources", "vm:1"}, {NULL, NULL}};
    g_autofree char *text = g_strdup("");

    g_assert_cmpint(
        edit(&ha_rules_schema, HA_EDIT_ADD, "node-affinity", "r1", "r1", values, NULL, &text), ==,
        -EINVAL);
    g_assert_cmpstr(text, ==, "");
}

static void commands_queue_up(void)
{
    char one[] = "arm-ha";
    g_autofree char *first = NULL;
    g_autofree char *second = NULL;

    g_assert_cmpint(ha_edit_queue("", &first, one, NULL), ==, 0);
    g_assert_cmpint(ha_edit_queue("unfinished", &second, one, NULL), ==, 0);
    g_assert_cmpstr(first, ==, "arm-ha\n");
    g_assert_cmpstr(second, ==, "unfinished\narm-ha\n");
}

#define CASE(name, function) g_test_add(name, Rig, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    CASE("/ha/fencing/both-devices-of-a-level-must-succeed", both_devices_of_a_level_must_succeed);
    CASE("/ha/fencing/first-level-that-succeeds-is-enough", first_level_that_succeeds_is_enough);
    CASE("/ha/fencing/failure-of-all-levels-is-a-failure", failure_of_all_levels_is_a_failure);
    CASE("/ha/fencing/dry-run-runs-nothing", dry_run_runs_nothing);
    CASE("/ha/fencing/test-asks-all-levels-for-the-status", test_asks_all_levels_for_the_status);
    CASE("/ha/fencing/test-of-the-status-does-not-end-with-a-failure",
         test_of_the_status_does_not_end_with_a_failure);
    CASE("/ha/fencing/too-many-devices-at-once-are-refused", too_many_devices_at_once_are_refused);
    CASE("/ha/fencing/secrets-are-not-shown", secrets_are_not_shown);
    CASE("/ha/fencing/agent-that-others-can-change-is-not-run",
         agent_that_others_can_change_is_not_run);
    CASE("/ha/fencing/daemon-hears-of-the-end", daemon_hears_of_the_end);
    CASE("/ha/blackbox/keeps-what-it-is-given", black_box_keeps_what_it_is_given);
    CASE("/ha/blackbox/does-not-grow-for-ever", black_box_does_not_grow_for_ever);
    g_test_add_func("/ha/node-end/machine-is-told-from-daemon",
                    end_of_the_machine_is_told_from_that_of_a_daemon);
    g_test_add_func("/ha/workers/reaped-with-their-status", worker_is_reaped_with_its_status);
    g_test_add_func("/ha/edit/services", edits_of_services);
    g_test_add_func("/ha/edit/purge-takes-a-service-out-of-all-rules",
                    purge_takes_a_service_out_of_all_rules);
    g_test_add_func("/ha/edit/rule-without-what-it-needs-is-refused",
                    rule_without_what_it_needs_is_refused);
    g_test_add_func("/ha/edit/commands-queue-up", commands_queue_up);
    return g_test_run();
}
