/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a command run as a task has an id, a log with its verdict, and a place in the index; what
 * it is given on standard input stands nowhere. */
#include "lib/port/task.h"
#include "tests/lib/test_tree.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

static char *dir;

static char *start(const char *script, const char *input)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    TaskSpec spec = {.argv = argv,
                     .input = input,
                     .node = "node1",
                     .type = "clusterjoin",
                     .id = "",
                     .user = "root@pam"};
    char *upid = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(task_start(dir, &spec, &upid, &err), ==, 0);
    return upid;
}

/* Its verdict, once it has ended, stands in the index, and is in the list of active ones no longer,
 * which comes last. */
static char *verdict_of(const char *upid)
{
    g_autofree char *index = g_build_filename(dir, "index", NULL);
    g_autofree char *active = g_build_filename(dir, "active", NULL);
    gint64 deadline = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    TaskStatus status = {0};
    Err err = ERR_INIT;

    for (;;) {
        g_autofree char *text = NULL;
        g_autofree char *list = NULL;

        g_clear_pointer(&status.exitstatus, g_free);
        g_assert_cmpint(task_status(dir, upid, &status, &err), ==, 0);
        if (!status.running && g_file_get_contents(index, &text, NULL, NULL) &&
            strstr(text, upid) != NULL && g_file_get_contents(active, &list, NULL, NULL) &&
            strstr(list, upid) == NULL) {
            return status.exitstatus;
        }
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_usleep(10 * 1000);
    }
}

static void a_task_that_succeeds_says_so(void)
{
    g_autofree char *upid = start("echo one; echo two >&2", NULL);
    g_autofree char *verdict = verdict_of(upid);
    g_autofree char *log = NULL;
    g_auto(Upid) u = {0};
    gsize size = 0;
    Err err = ERR_INIT;

    g_assert_cmpstr(verdict, ==, "OK");
    g_assert_cmpint(upid_parse(upid, &u, &err), ==, 0);
    g_assert_cmpstr(u.type, ==, "clusterjoin");
    g_assert_cmpint(task_log(dir, upid, &log, &size, &err), ==, 0);
    g_assert_cmpstr(log, ==, "one\ntwo\nTASK OK\n");
}

static void a_task_that_fails_says_why(void)
{
    g_autofree char *upid = start("echo begin; echo 'pvecm add: no quorum' >&2; exit 3", NULL);
    g_autofree char *verdict = verdict_of(upid);

    g_assert_cmpstr(verdict, ==, "pvecm add: no quorum");
}

static void a_log_of_any_size_has_its_verdict(void)
{
    g_autofree char *upid =
        start("head -c 9000000 /dev/zero | tr '\\0' x; echo; echo so that is why; exit 3", NULL);
    g_autofree char *verdict = verdict_of(upid);
    g_autofree char *log = NULL;
    gsize size = 0;
    Err err = ERR_INIT;

    g_assert_cmpstr(verdict, ==, "so that is why");
    g_assert_cmpint(task_log(dir, upid, &log, &size, &err), ==, -EFBIG);
}

static void what_it_reads_stands_nowhere(void)
{
    g_autofree char *upid = start("read -r x; test \"$x\" = open-sesame", "open-sesame\n");
    g_autofree char *verdict = verdict_of(upid);
    g_autofree char *log = NULL;
    gsize size = 0;
    Err err = ERR_INIT;

    g_assert_cmpstr(verdict, ==, "OK");
    g_assert_cmpint(task_log(dir, upid, &log, &size, &err), ==, 0);
    g_assert_null(strstr(log, "sesame"));
    g_assert_null(strstr(upid, "sesame"));
}

static void a_running_task_has_no_verdict(void)
{
    g_autofree char *fifo = g_build_filename(dir, "gate", NULL);
    g_autofree char *script = g_strdup_printf("until test -e '%s'; do sleep 0.05; done", fifo);
    g_autofree char *upid = start(script, NULL);
    g_autofree char *verdict = NULL;
    TaskStatus status = {0};
    Err err = ERR_INIT;

    g_assert_cmpint(task_status(dir, upid, &status, &err), ==, 0);
    g_assert_true(status.running);
    g_assert_null(status.exitstatus);
    g_assert_true(g_file_set_contents(fifo, "", 0, NULL));
    verdict = verdict_of(upid);
    g_assert_cmpstr(verdict, ==, "OK");
}

static void unknown_tasks_are_told_apart_from_bad_names(void)
{
    TaskStatus status = {0};
    Err err = ERR_INIT;

    g_assert_cmpint(
        task_status(dir, "UPID:n:00000001:00000001:00000001:x::root@pam:", &status, &err), ==,
        -ENOENT);
    g_assert_cmpint(task_status(dir, "../../etc/passwd", &status, &err), ==, -EBADMSG);
}

static void a_command_that_does_not_exist_is_no_task(void)
{
    const char *const argv[] = {"/nonexistent/program", NULL};
    TaskSpec spec = {.argv = argv, .node = "n", .type = "x", .id = "", .user = "root@pam"};
    char *upid = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(task_start(dir, &spec, &upid, &err), ==, -EIO);
    g_assert_null(upid);
}

static TaskRecord *record(char **ret_upid)
{
    const TaskSpec spec = {
        .node = "node1", .type = "clustercreate", .id = "lab", .user = "root@pam"};
    g_autofree char *active = g_build_filename(dir, "active", NULL);
    g_autofree char *text = NULL;
    TaskRecord *t = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(task_record_begin(dir, &spec, &t, &err), ==, 0);
    g_assert_true(g_file_get_contents(active, &text, NULL, NULL));
    g_assert_nonnull(strstr(text, ":clustercreate:lab:root@pam: 0\n"));
    *ret_upid = g_strndup(text, strcspn(text, " "));
    return t;
}

static void a_typed_command_is_a_task_too(void)
{
    g_autofree char *upid = NULL;
    TaskRecord *t = record(&upid);
    g_autofree char *verdict = NULL;
    g_autofree char *log = NULL;
    TaskStatus status = {0};
    gsize size = 0;
    Err err = ERR_INIT;

    task_record_say(t, "one");
    g_assert_cmpint(task_status(dir, upid, &status, &err), ==, 0);
    g_assert_true(status.running);
    task_record_say(t, "two");
    task_record_end(t, NULL);
    verdict = verdict_of(upid);
    g_assert_cmpstr(verdict, ==, "OK");
    g_assert_cmpint(task_log(dir, upid, &log, &size, &err), ==, 0);
    g_assert_cmpstr(log, ==, "one\ntwo\nTASK OK\n");
}

static void a_typed_command_that_fails_says_why(void)
{
    g_autofree char *upid = NULL;
    TaskRecord *t = record(&upid);
    g_autofree char *verdict = NULL;

    task_record_end(t, "no quorum:\nask again");
    verdict = verdict_of(upid);
    g_assert_cmpstr(verdict, ==, "no quorum: ask again");
    task_record_say(NULL, "no record, no harm");
    task_record_end(NULL, NULL);
}

static void what_was_killed_is_active_no_longer(void)
{
    const char *const dead = "UPID:node1:7FFFFFF0:00000001:5F000000:clusterjoin::root@pam:";
    g_autofree char *active = g_build_filename(dir, "active", NULL);
    g_autofree char *line = g_strconcat(dead, " 0\n", NULL);
    g_autofree char *text = NULL;
    g_autofree char *upid = NULL;
    TaskRecord *t;

    g_assert_true(g_file_set_contents(active, line, -1, NULL));
    t = record(&upid);
    g_assert_true(g_file_get_contents(active, &text, NULL, NULL));
    g_assert_null(strstr(text, dead));
    g_assert_nonnull(strstr(text, upid));
    task_record_end(t, NULL);
}

static void a_task_knows_that_it_is_one(void)
{
    g_autofree char *upid = start("test -n \"$" TASK_ENV "\"", NULL);
    g_autofree char *verdict = verdict_of(upid);

    g_assert_cmpstr(verdict, ==, "OK");
}

int main(int argc, char **argv)
{
    int r;

    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("quorate-task.XXXXXX", NULL);
    g_test_add_func("/task/that-succeeds-says-so", a_task_that_succeeds_says_so);
    g_test_add_func("/task/typed-command-is-a-task-too", a_typed_command_is_a_task_too);
    g_test_add_func("/task/typed-command-that-fails-says-why", a_typed_command_that_fails_says_why);
    g_test_add_func("/task/killed-is-active-no-longer", what_was_killed_is_active_no_longer);
    g_test_add_func("/task/knows-that-it-is-one", a_task_knows_that_it_is_one);
    g_test_add_func("/task/that-fails-says-why", a_task_that_fails_says_why);
    g_test_add_func("/task/log-of-any-size-has-its-verdict", a_log_of_any_size_has_its_verdict);
    g_test_add_func("/task/what-it-reads-stands-nowhere", what_it_reads_stands_nowhere);
    g_test_add_func("/task/running-has-no-verdict", a_running_task_has_no_verdict);
    g_test_add_func("/task/unknown-is-told-apart-from-bad-names",
                    unknown_tasks_are_told_apart_from_bad_names);
    g_test_add_func("/task/command-that-does-not-exist", a_command_that_does_not_exist_is_no_task);
    r = g_test_run();
    test_remove_tree(dir);
    g_free(dir);
    return r;
}
