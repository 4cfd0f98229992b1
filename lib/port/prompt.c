/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/port/prompt.h"

#include <errno.h>
#include <glib.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const int stoppers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};

static volatile sig_atomic_t caught;
static volatile sig_atomic_t reading;
static sigjmp_buf away; /* from the read; valid while `reading` */

/* An end is not forgotten over a stop that follows it. */
static void note(int signal)
{
    if (caught == 0 || caught == SIGTSTP) {
        caught = signal;
    }
    if (reading) {
        siglongjmp(away, 1);
    }
}

/* What has to be put back when the question is over. */
typedef struct Before {
    struct sigaction actions[G_N_ELEMENTS(stoppers)];
    sigset_t mask;
} Before;

/* From here on these signals are held back, but for the read: that they break off. What is ignored
 * stays so. */
static void hold_signals(Before *before)
{
    struct sigaction action = {.sa_handler = note};
    sigset_t held;

    caught = 0;
    (void)sigemptyset(&action.sa_mask); /* valid sets, valid signals: none of these can fail */
    (void)sigemptyset(&held);
    for (size_t i = 0; i < G_N_ELEMENTS(stoppers); i++) {
        (void)sigaddset(&held, stoppers[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &held, &before->mask);
    for (size_t i = 0; i < G_N_ELEMENTS(stoppers); i++) {
        (void)sigaction(stoppers[i], NULL, &before->actions[i]);
        if (before->actions[i].sa_handler != SIG_IGN) {
            (void)sigaction(stoppers[i], &action, NULL);
        }
    }
}

/* What came meanwhile is noted now; what comes later does what it did before. */
static void release_signals(const Before *before)
{
    (void)sigprocmask(SIG_SETMASK, &before->mask, NULL); /* as it was: cannot fail */
    for (size_t i = 0; i < G_N_ELEMENTS(stoppers); i++) {
        (void)sigaction(stoppers[i], &before->actions[i], NULL);
    }
}

static int end_line(char *line, size_t size, Err *err)
{
    size_t n = strcspn(line, "\r\n");

    if (line[n] == '\0' && n + 1 == size) {
        explicit_bzero(line, size);
        return err_setf(err, -EINVAL, "more than %zu characters", size - 2);
    }
    line[n] = '\0';
    return 0;
}

/* One line of what is no terminal. */
static int read_line(char *ret, size_t size, Err *err)
{
    if (fgets(ret, (int)size, stdin) == NULL) {
        return err_setf(err, -EINVAL, "there is no line to read");
    }
    return end_line(ret, size, err);
}

/* read(2), broken off by the signals that are not in `mask`. A look at `caught` before it would not
 * do: the signal may come between the two, and take what was to be read with it (the terminal drops
 * its input at Ctrl-C), so that the read sleeps. Hence the jump, out of calls that allow it. */
static ssize_t read_some(const sigset_t *mask, char *ret, size_t size)
{
    sigset_t held;
    ssize_t got;
    int error;

    if (sigsetjmp(away, 1) != 0) {
        reading = 0;
        return -EINTR;
    }
    reading = 1;
    (void)sigprocmask(SIG_SETMASK, mask, &held); /* what was held back jumps from here */
    got = read(STDIN_FILENO, ret, size);
    error = errno;
    (void)sigprocmask(SIG_SETMASK, &held, NULL);
    reading = 0;
    return got < 0 ? -error : got;
}

/* One line of the terminal. */
static int read_typed(const sigset_t *mask, char *ret, size_t size, Err *err)
{
    size_t used = 0;

    ret[0] = '\0';
    while (used + 1 < size && memchr(ret, '\n', used) == NULL) {
        ssize_t got = read_some(mask, ret + used, size - 1 - used);

        if (got == -EINTR && caught != 0) {
            return err_setf(err, -EINTR, "broken off");
        }
        if (got < 0 && got != -EINTR) {
            return err_setf(err, -EIO, "the terminal: %s", g_strerror((int)-got));
        }
        if (got == 0) {
            return err_setf(err, -EINVAL, "there is no line to read");
        }
        used += got > 0 ? (size_t)got : 0;
        ret[used] = '\0';
    }
    return end_line(ret, size, err);
}

static int ask_once(const char *question, const sigset_t *mask, char *ret, size_t size, Err *err)
{
    struct termios seen, unseen;
    int r;

    if (tcgetattr(STDIN_FILENO, &seen) < 0) {
        return err_setf(err, -EIO, "the terminal: %s", g_strerror(errno));
    }
    unseen = seen;
    unseen.c_lflag &= ~(tcflag_t)ECHO;
    fprintf(stderr, "%s", question);
    (void)tcflush(STDIN_FILENO, TCIFLUSH); /* typed too early, and seen: no reason to stop */
    if (tcsetattr(STDIN_FILENO, TCSANOW, &unseen) < 0) {
        return err_setf(err, -EIO, "the terminal would show what is typed");
    }
    r = read_typed(mask, ret, size, err);
    if (r < 0) {
        (void)tcflush(STDIN_FILENO, TCIFLUSH); /* nor is half a secret for the shell */
    }
    while (tcsetattr(STDIN_FILENO, TCSANOW, &seen) < 0 && errno == EINTR) {
    }
    fputc('\n', stderr);
    return r;
}

int prompt_secret(const char *question, char *ret, size_t size, Err *err)
{
    Before before;
    int r, signal;

    if (!isatty(STDIN_FILENO)) {
        return read_line(ret, size, err);
    }
    do {
        err_clear(err);
        hold_signals(&before);
        r = ask_once(question, &before.mask, ret, size, err);
        release_signals(&before);
        signal = caught;
        if (signal != 0) {
            explicit_bzero(ret, size);
            (void)raise(signal); /* ends or stops us here, unless the program handles it */
            r = err_setf(err, -EINTR, "broken off");
        }
    } while (signal == SIGTSTP);
    return r;
}
