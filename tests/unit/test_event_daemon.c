/* SPDX-License-Identifier: Apache-2.0 */
/* The event daemon when it may open no more files: it rests, and sees who waits later. What it does
 * with guests is tested with QEMU (it_52). */
#include "guest/io/event_daemon.h"
#include "tests/lib/test_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WAIT_US (60 * G_USEC_PER_SEC)

static int connect_to(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    g_assert_cmpint(fd, >=, 0);
    (void)g_strlcpy(a.sun_path, path, sizeof a.sun_path);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&a, sizeof a), ==, 0);
    return fd;
}

/* A process that is no QEMU is sent away: its connection ends. */
static bool sent_away(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void test_no_more_files(void)
{
    g_autofree char *dir = g_dir_make_tmp("event-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "sock", NULL);
    EventDaemonOptions options = {.socket = path, .run_dir = dir, .qm = (char *)"false"};
    gint64 until = g_get_monotonic_time() + WAIT_US;
    EventDaemon *d = NULL;
    struct rlimit usual, none;
    Err err = ERR_INIT;
    int turns = 0;
    int fd;

    g_assert_cmpint(event_daemon_new(&options, &d, &err), ==, 0);
    fd = connect_to(path);
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &usual), ==, 0);
    none = (struct rlimit){3, usual.rlim_max}; /* what is open stays so */
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
    while (g_main_context_iteration(NULL, FALSE)) {
        g_assert_cmpint(++turns, <, 100); /* without a rest each turn finds the same again */
    }
    g_assert_false(sent_away(fd));
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &usual), ==, 0);
    while (!sent_away(fd) && g_get_monotonic_time() < until) {
        (void)g_main_context_iteration(NULL, FALSE);
        g_usleep(10 * 1000);
    }
    g_assert_true(sent_away(fd));
    (void)close(fd); /* ended already */
    event_daemon_free(d);
    test_remove_tree(dir);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/event-daemon/no-more-files/it-rests-and-sees-who-waits-later",
                    test_no_more_files);
    return g_test_run();
}
