/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what is typed is not seen, and a terminal is left as it was, however the asking ends.
 * Method: a child asks at a pseudo terminal, and tells what it got by its exit status; the parent
 * types, sends signals and looks at the terminal's settings.
 */
#include "lib/port/prompt.h"

#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define DEADLINE_S 90
#define QUESTION   "Secret, please: "

enum { GOT_IT = 40, GOT_OTHER, GOT_ERROR };

typedef struct Rig {
    int terminal; /* the side of the person */
    pid_t child;
    GString *seen;
} Rig;

static void ask(void)
{
    char line[12];
    Err err = ERR_INIT;
    int r = prompt_secret(QUESTION, line, sizeof line, &err);

    _exit(r < 0 ? GOT_ERROR : strcmp(line, "sesame") == 0 ? GOT_IT : GOT_OTHER);
}

/* Reads what the terminal shows until `text` stands there `times` times. */
static void await(Rig *r, const char *text, unsigned times)
{
    gint64 end = g_get_monotonic_time() + DEADLINE_S * G_USEC_PER_SEC;
    unsigned n = 0;

    while (n < times) {
        struct pollfd fd = {.fd = r->terminal, .events = POLLIN};
        char data[256];
        ssize_t got;

        g_assert_cmpint(g_get_monotonic_time(), <, end);
        if (poll(&fd, 1, 1000) > 0) {
            got = read(r->terminal, data, sizeof data);
            g_assert_cmpint(got, >, 0);
            g_string_append_len(r->seen, data, got);
        }
        n = 0;
        for (const char *at = r->seen->str; (at = strstr(at, text)) != NULL; at++) {
            n++;
        }
    }
}

static bool echoes(const Rig *r)
{
    struct termios now;

    g_assert_cmpint(tcgetattr(r->terminal, &now), ==, 0);
    return (now.c_lflag & ECHO) != 0;
}

static void await_echo(const Rig *r, bool on)
{
    gint64 end = g_get_monotonic_time() + DEADLINE_S * G_USEC_PER_SEC;

    while (echoes(r) != on) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(5000);
    }
}

static void types(const Rig *r, const char *text)
{
    g_assert_cmpint(write(r->terminal, text, strlen(text)), ==, (ssize_t)strlen(text));
}

static int ended(const Rig *r)
{
    int status;

    g_assert_cmpint(waitpid(r->child, &status, 0), ==, r->child);
    return status;
}

static void set_up(Rig *r, gconstpointer data)
{
    (void)data;
    r->seen = g_string_new(NULL);
    r->child = forkpty(&r->terminal, NULL, NULL, NULL);
    g_assert_cmpint(r->child, >=, 0);
    if (r->child == 0) {
        (void)signal(SIGHUP, SIG_DFL); /* whoever runs the tests may ignore it, as nohup does */
        (void)signal(SIGINT, SIG_DFL);
        (void)signal(SIGTERM, SIG_DFL);
        ask();
    }
    await(r, QUESTION, 1);
    await_echo(r, false);
}

static void tear_down(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_null(strstr(r->seen->str, "sesame"));
    (void)close(r->terminal);
    g_string_free(r->seen, TRUE);
}

static void line_is_taken_unseen(Rig *r, gconstpointer data)
{
    (void)data;
    types(r, "sesame\n");
    await(r, "\n", 1);
    g_assert_cmpint(WEXITSTATUS(ended(r)), ==, GOT_IT);
}

static void too_long_a_line_is_refused(Rig *r, gconstpointer data)
{
    (void)data;
    types(r, "sesame, sesame, sesame\n");
    g_assert_cmpint(WEXITSTATUS(ended(r)), ==, GOT_ERROR);
}

static void end_of_input_is_no_line(Rig *r, gconstpointer data)
{
    (void)data;
    types(r, "\004");
    g_assert_cmpint(WEXITSTATUS(ended(r)), ==, GOT_ERROR);
}

static void signal_ends_with_the_echo_restored(Rig *r, gconstpointer data)
{
    int signal = GPOINTER_TO_INT(data), status;

    types(r, "ses");
    if (signal == SIGINT) {
        types(r, "\003");
    } else {
        g_assert_cmpint(kill(r->child, signal), ==, 0);
    }
    await_echo(r, true);
    status = ended(r);
    g_assert_true(WIFSIGNALED(status));
    g_assert_cmpint(WTERMSIG(status), ==, signal);
}

/* Ctrl-D hands over what was typed so far: the line has not ended, and the wait for its rest can be
 * broken off like the first one. */
static void half_a_line_can_be_broken_off(Rig *r, gconstpointer data)
{
    int status;

    (void)data;
    types(r, "ses\004ame");
    types(r, "\003");
    await_echo(r, true);
    status = ended(r);
    g_assert_true(WIFSIGNALED(status));
    g_assert_cmpint(WTERMSIG(status), ==, SIGINT);
}

static void half_a_line_goes_on(Rig *r, gconstpointer data)
{
    (void)data;
    types(r, "ses\004");
    types(r, "ame\n");
    g_assert_cmpint(WEXITSTATUS(ended(r)), ==, GOT_IT);
}

/* Gone on, it asks again. The session has no other process, so the kernel drops a stop that nobody
 * could undo. */
static void stop_is_not_the_end(Rig *r, gconstpointer data)
{
    int status;

    (void)data;
    g_assert_cmpint(kill(r->child, SIGTSTP), ==, 0);
    await(r, QUESTION, 2);
    await_echo(r, false);
    types(r, "sesame\n");
    status = ended(r);
    g_assert_cmpint(WEXITSTATUS(status), ==, GOT_IT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define CASE(name, fn, data) g_test_add("/prompt/" name, Rig, data, set_up, fn, tear_down)
    CASE("line-is-taken-unseen", line_is_taken_unseen, NULL);
    CASE("too-long-a-line-is-refused", too_long_a_line_is_refused, NULL);
    CASE("end-of-input-is-no-line", end_of_input_is_no_line, NULL);
    CASE("interrupt", signal_ends_with_the_echo_restored, GINT_TO_POINTER(SIGINT));
    CASE("hangup", signal_ends_with_the_echo_restored, GINT_TO_POINTER(SIGHUP));
    CASE("termination", signal_ends_with_the_echo_restored, GINT_TO_POINTER(SIGTERM));
    CASE("half-a-line-can-be-broken-off", half_a_line_can_be_broken_off, NULL);
    CASE("half-a-line-goes-on", half_a_line_goes_on, NULL);
    CASE("stop-is-not-the-end", stop_is_not_the_end, NULL);
    return g_test_run();
}
