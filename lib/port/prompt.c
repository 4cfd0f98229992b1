/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/port/prompt.h"

#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const int stoppers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};

static volatile sig_atomic_t caught;

static void note(int signal)
{
    caught = signal;
}

/* From here on these signals only break off the read. What is ignored stays so. */
static void catch_signals(struct sigaction before[])
{
    struct sigaction action = {.sa_handler = note};

    caught = 0;
    (void)sigemptyset(&action.sa_mask); /* cannot fail */
    for (size_t i = 0; i < G_N_ELEMENTS(stoppers); i++) {
        (void)sigaction(stoppers[i], NULL, &before[i]); /* valid signals: cannot fail */
        if (before[i].sa_handler != SIG_IGN) {
            (void)sigaction(stoppers[i], &action, NULL);
        }
    }
}

static void restore_signals(const struct sigaction before[])
{
    for (size_t i = 0; i < G_N_ELEMENTS(stoppers); i++) {
        (void)sigaction(stoppers[i], &before[i], NULL); /* as it was: cannot fail */
    }
}

/* One line of standard input. Without one: -EINTR when a signal broke it off, else -EINVAL. */
static int read_line(char *ret, size_t size, Err *err)
{
    size_t n;

    if (fgets(ret, (int)size, stdin) == NULL) {
        bool broken = ferror(stdin) && errno == EINTR;

        clearerr(stdin);
        return err_setf(err, broken ? -EINTR : -EINVAL,
                        broken ? "broken off" : "there is no line to read");
    }
    n = strcspn(ret, "\r\n");
    if (ret[n] == '\0' && n + 1 == size) {
        explicit_bzero(ret, size);
        return err_setf(err, -EINVAL, "more than %zu characters", size - 2);
    }
    ret[n] = '\0';
    return 0;
}

static int ask_once(const char *question, const struct termios *seen, char *ret, size_t size,
                    Err *err)
{
    struct termios unseen = *seen;
    int r;

    unseen.c_lflag &= ~(tcflag_t)ECHO;
    fprintf(stderr, "%s", question);
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &unseen) < 0) {
        return caught != 0 ? err_setf(err, -EINTR, "broken off")
                           : err_setf(err, -EIO, "the terminal would show what is typed");
    }
    r = caught != 0 ? err_setf(err, -EINTR, "broken off") : read_line(ret, size, err);
    while (tcsetattr(STDIN_FILENO, TCSANOW, seen) < 0 && errno == EINTR) {
    }
    fputc('\n', stderr);
    return r;
}

int prompt_secret(const char *question, char *ret, size_t size, Err *err)
{
    struct sigaction before[G_N_ELEMENTS(stoppers)];
    struct termios seen;
    int r, signal;

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &seen) < 0) {
        return read_line(ret, size, err);
    }
    do {
        catch_signals(before);
        r = ask_once(question, &seen, ret, size, err);
        restore_signals(before);
        signal = caught;
        if (signal != 0) {
            explicit_bzero(ret, size);
            (void)raise(signal); /* ends or stops us here, unless the program handles it */
            r = err_setf(err, -EINTR, "broken off");
        }
    } while (signal == SIGTSTP);
    return r;
}
