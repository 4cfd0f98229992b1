/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: programs run without a shell, with bounded output and a deadline that also ends what they
 * started.
 * Method: small programs of the system, with arguments a shell would change. */
#include "lib/port/process.h"

#include "lib/port/clock.h"
#include "lib/port/secrecy.h"
#include "lib/port/stdfds.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLEEP_S 200

static void test_output_and_status(void)
{
    const char *const argv[] = {"printf", "%s|", "a b", "$HOME", "*", ";", NULL};
    const char *const failing[] = {"sh", "-c", "echo out; echo err >&2; exit 7", NULL};
    const char *const killed[] = {"sh", "-c", "kill -9 $$", NULL};
    const char *const input[] = {"cat", NULL};
    g_auto(ProcessResult) a = {0};
    g_auto(ProcessResult) b = {0};
    g_auto(ProcessResult) c = {0};
    g_auto(ProcessResult) d = {0};

    g_assert_cmpint(process_run(argv, NULL, &a, NULL), ==, 0);
    g_assert_cmpint(a.status, ==, 0);
    g_assert_cmpstr(a.out, ==, "a b|$HOME|*|;|");
    g_assert_cmpint(process_run(failing, NULL, &b, NULL), ==, 0);
    g_assert_cmpint(b.status, ==, 7);
    g_assert_cmpstr(b.out, ==, "out\n");
    g_assert_cmpstr(b.err, ==, "err\n");
    g_assert_cmpint(process_run(killed, NULL, &c, NULL), ==, 0);
    g_assert_cmpint(c.status, ==, 128 + SIGKILL);
    g_assert_cmpint(process_run(input, NULL, &d, NULL), ==, 0);
    g_assert_cmpstr(d.out, ==, "");
}

static void test_errors(void)
{
    const char *const missing[] = {"/no/such/program", NULL};
    const char *const failing[] = {"sh", "-c", "echo first >&2; echo ' last ' >&2; exit 1", NULL};
    const char *const named[] = {"sh", "-c", "echo 'sh: why' >&2; exit 1", NULL};
    const char *const silent[] = {"false", NULL};
    g_auto(ProcessResult) r = {0};
    char *out = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(process_run(missing, NULL, &r, &err), ==, -ENOENT);
    g_assert_nonnull(strstr(err_text(&err), "/no/such/program"));
    g_assert_cmpint(process_check(failing, NULL, &out, &err), ==, -EIO);
    g_assert_cmpstr(err_text(&err), ==, "sh last");
    g_assert_cmpint(process_check(named, NULL, &out, &err), ==, -EIO);
    g_assert_cmpstr(err_text(&err), ==, "sh: why");
    g_assert_cmpint(process_check(silent, NULL, &out, &err), ==, -EIO);
    g_assert_null(out);
}

static void test_output_is_bounded(void)
{
    const char *const argv[] = {"head", "-c", "3000000", "/dev/zero", NULL};
    const char *const text[] = {"sh", "-c", "yes | head -c 300000", NULL};
    ProcessOptions small = {.output_max = 1000};
    g_auto(ProcessResult) zeroes = {0};
    g_auto(ProcessResult) r = {0};

    g_assert_cmpint(process_run(argv, NULL, &zeroes, NULL), ==, 0);
    g_assert_cmpint(process_run(text, &small, &r, NULL), ==, 0);
    g_assert_cmpint(r.status, ==, 0);
    g_assert_cmpuint(strlen(r.out), ==, 1000);
}

/* The deadline ends a child of the child as well, even when it keeps the pipe open. A busy machine
 * may not have started that one by then: once more, with more time. */
static void test_deadline(void)
{
    g_autofree char *dir = g_dir_make_tmp("process-XXXXXX", NULL);
    g_autofree char *file = g_build_filename(dir, "pid", NULL);
    g_autofree char *script = g_strdup_printf("sleep %d & echo $! >%s; wait", SLEEP_S, file);
    const char *const argv[] = {"sh", "-c", script, NULL};
    ProcessOptions quick = {.timeout_ms = 300};
    g_autofree char *pid = NULL;
    ProcessResult r = {0};
    bool gone = false;

    for (; pid == NULL || strchr(pid, '\n') == NULL; quick.timeout_ms *= 4) {
        MonoTime start = clock_mono();

        g_clear_pointer(&pid, g_free);
        g_assert_cmpint(quick.timeout_ms, <, 60000);
        g_assert_cmpint(process_run(argv, &quick, &r, NULL), ==, -ETIMEDOUT);
        g_assert_cmpint(mono_diff_us(clock_mono(), start), <, SLEEP_S * US_PER_SEC);
        (void)g_file_get_contents(file, &pid, NULL, NULL); /* else it stays NULL */
    }
    for (int i = 0; i < 9000 && !gone; i++) {
        g_autofree char *state = NULL;
        g_autofree char *path =
            g_strdup_printf("/proc/%d/stat", (int)g_ascii_strtoll(pid, NULL, 10));
        gone = !g_file_get_contents(path, &state, NULL, NULL) || strstr(state, ") Z ") != NULL;
        g_usleep(10000);
    }
    g_assert_true(gone);
    g_assert_cmpint(unlink(file), ==, 0);
    g_assert_cmpint(rmdir(dir), ==, 0);
}

static void collect(void *ctx, const char *line)
{
    g_string_append_printf(ctx, "[%s]", line);
}

static void test_lines(void)
{
    const char *const argv[] = {"printf", "a\nb\r\rc\n\npart", NULL};
    g_autoptr(GString) lines = g_string_new(NULL);
    ProcessOptions options = {.line = collect, .ctx = lines};
    g_auto(ProcessResult) r = {0};

    g_assert_cmpint(process_run(argv, &options, &r, NULL), ==, 0);
    g_assert_cmpstr(lines->str, ==, "[a][b][c]");
}

static void test_only_the_named_descriptor_is_inherited(void)
{
    const char *const argv[] = {"ls", "/proc/self/fd", NULL};
    ProcessOptions options = {.keep_fd = 201};
    g_auto(ProcessResult) r = {0};

    g_assert_cmpint(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 200), ==, 200);
    g_assert_cmpint(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 201), ==, 201);
    g_assert_cmpint(process_run(argv, &options, &r, NULL), ==, 0);
    g_auto(GStrv) names = g_strsplit(r.out, "\n", -1);
    g_assert_true(g_strv_contains((const char *const *)names, "201"));
    g_assert_false(g_strv_contains((const char *const *)names, "200"));
    g_assert_cmpint(fcntl(201, F_GETFD), ==, FD_CLOEXEC);
    (void)close(200);
    (void)close(201);
}

/* Builds with a sanitizer know the second way only. */
static void test_hidden_memory(void)
{
    struct rlimit limit;
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        secrecy_hide_memory();
        _exit(prctl(PR_GET_DUMPABLE) == 0 ||
                      (getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0)
                  ? 0
                  : 1);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

/* In the child: whether all three are open after each combination of closed ones. */
static bool streams_are_filled(void)
{
    for (int closed = 0; closed < 8; closed++) {
        int next;

        for (int fd = 0; fd < 3; fd++) {
            if ((closed >> fd & 1) != 0) {
                (void)close(fd);
            }
        }
        if (stdfds_fill() < 0 || (next = dup(STDIN_FILENO)) <= STDERR_FILENO || close(next) < 0) {
            return false;
        }
    }
    return true;
}

static void test_closed_streams(void)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(streams_are_filled() ? 0 : 1);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/process/output-and-status", test_output_and_status);
    g_test_add_func("/process/errors", test_errors);
    g_test_add_func("/process/output-is-bounded", test_output_is_bounded);
    g_test_add_func("/process/deadline-ends-all-it-started", test_deadline);
    g_test_add_func("/process/lines", test_lines);
    g_test_add_func("/process/closed-streams-are-filled", test_closed_streams);
    g_test_add_func("/process/memory-can-be-hidden", test_hidden_memory);
    g_test_add_func("/process/only-the-named-descriptor-is-inherited",
                    test_only_the_named_descriptor_is_inherited);
    return g_test_run();
}
