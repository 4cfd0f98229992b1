/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a QEMU that hangs, closes or talks nonsense costs the others nothing, and its guest is told
 * as unknown. Method: sockets in a temporary directory behind which a process of the test speaks as
 * QEMU does, or does not.
 */
#include "guest/core/stat_limits.h"
#include "guest/core/stat_text.h"
#include "guest/io/stat_monitor.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define GUESTS      40 /* more than are asked at once */
#define HANGING     7  /* every seventh, from 100 on */
#define ANSWERING   (GUESTS - (GUESTS + HANGING - 1) / HANGING)
#define DEADLINE_US (60 * G_USEC_PER_SEC)

static const char greeting[] =
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, "
    "\"package\": \"\"}, \"capabilities\": []}}\r\n";

static char *dir;

static int listen_at(guint vmid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/%u.qmp", dir, vmid);
    (void)g_unlink(address.sun_path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(listen(fd, 8), ==, 0);
    return fd;
}

/* What QEMU says to one line; the text of `id` is repeated as it is. */
static void reply(FILE *out, const char *line)
{
    const char *id = strstr(line, "\"id\":");
    int number = id != NULL ? (int)g_ascii_strtoll(id + 5, NULL, 10) : 0;
    const char *what = "{}";

    if (strstr(line, "query-blockstats") != NULL) {
        what = "[{\"stats\":{\"rd_bytes\":100,\"wr_bytes\":7}},"
               "{\"stats\":{\"rd_bytes\":11,\"wr_bytes\":-5}},{\"stats\":3}]";
    } else if (strstr(line, "qom-get") != NULL) {
        what = "{\"stats\":{\"stat-total-memory\":1000,\"stat-free-memory\":400},"
               "\"last-update\":1764345600}";
    }
    fprintf(out, "{\"return\": %s, \"id\": %d}\r\n", what, number);
    fflush(out);
}

static void serve(int listener)
{
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        FILE *in = fdopen(fd, "r");
        FILE *out = fdopen(dup(fd), "w");
        char line[4096];

        fputs(greeting, out);
        fflush(out);
        while (fgets(line, sizeof line, in) != NULL) {
            reply(out, line);
        }
        fclose(in);
        fclose(out);
    }
}

static pid_t qemu(int listener)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(listener);
        _exit(1);
    }
    return pid;
}

static void wait_for(StatMonitors *m)
{
    gint64 end = g_get_monotonic_time() + DEADLINE_US;

    while (stat_monitors_busy(m) && g_get_monotonic_time() < end) {
        (void)g_main_context_iteration(NULL, TRUE);
    }
    g_assert_false(stat_monitors_busy(m));
}

static void assert_unknown(StatMonitorWords w)
{
    g_assert_cmpint(w.disk_read, ==, STAT_UNKNOWN);
    g_assert_cmpint(w.disk_written, ==, STAT_UNKNOWN);
    g_assert_cmpint(w.mem, ==, STAT_UNKNOWN);
}

/* One round; `known` gets who has answered, and their number is returned. */
static guint ask_all(StatMonitors *m, bool known[GUESTS])
{
    guint count = 0;

    for (guint i = 0; i < GUESTS; i++) {
        stat_monitors_ask(m, 100 + i, 5);
    }
    wait_for(m);
    for (guint i = 0; i < GUESTS; i++) {
        StatMonitorWords w = stat_monitors_get(m, 100 + i);

        if (i % HANGING == 0) {
            assert_unknown(w);
        } else if (w.disk_read != STAT_UNKNOWN && w.mem != STAT_UNKNOWN) {
            g_assert_cmpint(w.disk_read, ==, 111);
            g_assert_cmpint(w.disk_written, ==, 7);
            g_assert_cmpint(w.mem, ==, 600);
            known[i] = true;
        }
        count += known[i];
    }
    return count;
}

static void hanging_ones_hold_up_nobody(void)
{
    g_autoptr(StatMonitors) m = stat_monitors_new(dir);
    gint64 end = g_get_monotonic_time() + DEADLINE_US;
    int listeners[GUESTS];
    pid_t pids[GUESTS] = {0};
    bool known[GUESTS] = {false};
    guint count = 0;

    for (guint i = 0; i < GUESTS; i++) {
        listeners[i] = listen_at(100 + i);
        if (i % HANGING != 0) {
            pids[i] = qemu(listeners[i]);
        }
    }
    /* A machine under load misses the deadline of some: then they are asked again. */
    while (count < ANSWERING && g_get_monotonic_time() < end) {
        count = ask_all(m, known);
    }
    g_assert_cmpuint(count, ==, ANSWERING);
    for (guint i = 0; i < GUESTS; i++) {
        (void)close(listeners[i]);
        if (pids[i] > 0) {
            (void)kill(pids[i], SIGKILL);
            (void)waitpid(pids[i], NULL, 0);
        }
    }
}

/* Rounds until it has answered, or many. */
static StatMonitorWords answer_of(StatMonitors *m, guint vmid, pid_t pid)
{
    StatMonitorWords w = stat_monitors_get(m, vmid);

    for (int i = 0; i < 1000 && w.disk_read == STAT_UNKNOWN; i++) {
        stat_monitors_ask(m, vmid, pid);
        wait_for(m);
        w = stat_monitors_get(m, vmid);
    }
    return w;
}

static void answers_grow_old_and_belong_to_one_process(void)
{
    g_autoptr(StatMonitors) m = stat_monitors_new(dir);
    int listener = listen_at(500);
    pid_t pid = qemu(listener);

    g_assert_cmpint(answer_of(m, 500, 5).disk_read, ==, 111);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    (void)close(listener);
    for (int i = 0; i < STAT_VALUE_ROUNDS; i++) {
        stat_monitors_ask(m, 500, 5);
        wait_for(m);
    }
    assert_unknown(stat_monitors_get(m, 500));
    listener = listen_at(500);
    pid = qemu(listener);
    g_assert_cmpint(answer_of(m, 500, 5).disk_read, ==, 111);
    stat_monitors_ask(m, 500, 6); /* another process of the same guest */
    assert_unknown(stat_monitors_get(m, 500));
    stat_monitors_forget(m, 500); /* while it is asked */
    g_assert_false(stat_monitors_busy(m));
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    (void)close(listener);
}

static void one_without_socket_is_unknown(void)
{
    g_autoptr(StatMonitors) m = stat_monitors_new(dir);

    stat_monitors_ask(m, 900, 5);
    g_assert_false(stat_monitors_busy(m));
    assert_unknown(stat_monitors_get(m, 900));
    assert_unknown(stat_monitors_get(m, 901));
}

int main(int argc, char **argv)
{
    g_autofree char *command = NULL;
    int r;

    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("mon-XXXXXX", NULL);
    g_test_add_func("/stat/monitor/hanging-ones-hold-up-nobody", hanging_ones_hold_up_nobody);
    g_test_add_func("/stat/monitor/answers-grow-old", answers_grow_old_and_belong_to_one_process);
    g_test_add_func("/stat/monitor/no-socket", one_without_socket_is_unknown);
    r = g_test_run();
    command = g_strdup_printf("rm -rf '%s'", dir);
    g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
    g_free(dir);
    return r;
}
