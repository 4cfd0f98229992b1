/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/port/process.h"

#include "lib/port/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define REAP_PAUSE_MS 5

typedef struct Stream {
    int fd;
    GString *text; /* kept */
    GString *line; /* started, not complete; NULL when nobody listens */
} Stream;

typedef struct Run {
    const ProcessOptions *options;
    gsize output_max;
    pid_t pid;
    Stream streams[2]; /* out, err */
    MonoTime deadline;
} Run;

void process_result_clear(ProcessResult *r)
{
    g_clear_pointer(&r->out, g_free);
    g_clear_pointer(&r->err, g_free);
}

/* ---------------------------------------------------------------- starting */

/* To itself: this takes the close-on-exec flag away, in the child only. */
static int keep_open(posix_spawn_file_actions_t *files, int fd)
{
    return fd > STDERR_FILENO ? posix_spawn_file_actions_adddup2(files, fd, fd) : 0;
}

static int
prepare_files(posix_spawn_file_actions_t *files, int out, int err, const ProcessOptions *options)
{
    int r = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

    if (r == 0) {
        r = posix_spawn_file_actions_adddup2(files, out, STDOUT_FILENO);
    }
    if (r == 0) {
        r = posix_spawn_file_actions_adddup2(files, err, STDERR_FILENO);
    }
    if (r == 0) {
        r = keep_open(files, options->keep_fd);
    }
    for (gsize i = 0; r == 0 && i < options->n_keep_fds; i++) {
        r = keep_open(files, options->keep_fds[i]);
    }
    return r;
}

/* In a process group of its own, with the signals as a fresh program expects them. */
static int prepare_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t all;
    int r = posix_spawnattr_setpgroup(attributes, 0);

    (void)sigemptyset(&none); /* cannot fail on valid sets */
    (void)sigfillset(&all);
    if (r == 0) {
        r = posix_spawnattr_setsigmask(attributes, &none);
    }
    if (r == 0) {
        r = posix_spawnattr_setsigdefault(attributes, &all);
    }
    if (r == 0) {
        r = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                     POSIX_SPAWN_SETSIGDEF);
    }
    return r;
}

static int
spawn(const char *const *argv, int out, int err, const ProcessOptions *options, pid_t *ret)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int r = posix_spawn_file_actions_init(&files);

    if (r != 0) {
        return -r;
    }
    r = posix_spawnattr_init(&attributes);
    if (r == 0) {
        r = prepare_files(&files, out, err, options);
        if (r == 0) {
            r = prepare_attributes(&attributes);
        }
        if (r == 0) {
            r = posix_spawnp(ret, argv[0], &files, &attributes, (char *const *)argv, environ);
        }
        (void)posix_spawnattr_destroy(&attributes);
    }
    (void)posix_spawn_file_actions_destroy(&files);
    return -r;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd); /* pipes: nothing to lose */
        *fd = -1;
    }
}

/* Both pipes and the child; on failure nothing is left. */
static int start(Run *run, const char *const *argv)
{
    int out[2] = {-1, -1};
    int err[2] = {-1, -1};
    int r = pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 ? -errno : 0;

    if (r == 0) {
        r = spawn(argv, out[1], err[1], run->options, &run->pid);
    }
    close_fd(&out[1]);
    close_fd(&err[1]);
    if (r < 0) {
        close_fd(&out[0]);
        close_fd(&err[0]);
        return r;
    }
    run->streams[0].fd = out[0];
    run->streams[1].fd = err[0];
    return 0;
}

/* ----------------------------------------------------------------- reading */

static void hand_out(Run *run, Stream *s, const char *bytes, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        if (bytes[i] == '\n' || bytes[i] == '\r') {
            if (s->line->len > 0) {
                run->options->line(run->options->ctx, s->line->str);
                g_string_truncate(s->line, 0);
            }
        } else if (s->line->len < run->output_max) {
            g_string_append_c(s->line, bytes[i]);
        }
    }
}

static void take(Run *run, Stream *s)
{
    char piece[4096];
    ssize_t n = read(s->fd, piece, sizeof piece);

    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (n <= 0) {
        close_fd(&s->fd);
        return;
    }
    g_string_append_len(s->text, piece, MIN(n, (gssize)(run->output_max - s->text->len)));
    if (s->line != NULL) {
        hand_out(run, s, piece, (gsize)n);
    }
}

static int left_ms(const Run *run)
{
    int64_t us = mono_diff_us(run->deadline, clock_mono());

    return us <= 0 ? 0 : (int)MIN(us / US_PER_MS + 1, G_MAXINT);
}

static bool is_cancelled(const Run *run)
{
    return run->options->cancel != NULL && *run->options->cancel != 0;
}

/* Until both streams end. -ETIMEDOUT, -ECANCELED. */
static int read_all(Run *run)
{
    while (run->streams[0].fd >= 0 || run->streams[1].fd >= 0) {
        struct pollfd fds[2] = {{.fd = run->streams[0].fd, .events = POLLIN},
                                {.fd = run->streams[1].fd, .events = POLLIN}};
        int left = left_ms(run);
        int wait = run->options->cancel != NULL ? MIN(left, PROCESS_CANCEL_MS) : left;
        int n = left > 0 ? poll(fds, 2, wait) : 0;

        if (is_cancelled(run)) {
            return -ECANCELED;
        }
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (left == 0) {
            return -ETIMEDOUT;
        }
        if (n <= 0) {
            continue; /* nothing can be read; the next round sees whether time is over */
        }
        for (int i = 0; i < 2; i++) {
            if (run->streams[i].fd >= 0 && fds[i].revents != 0) {
                take(run, &run->streams[i]);
            }
        }
    }
    return 0;
}

/* Its output has ended; itself may take a moment longer. -ETIMEDOUT. */
static int reap(Run *run, int *ret_status)
{
    int status;

    for (;;) {
        pid_t pid = waitpid(run->pid, &status, WNOHANG);
        if (pid == run->pid) {
            *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            return 0;
        }
        if (pid < 0 && errno != EINTR) {
            return -errno;
        }
        if (is_cancelled(run)) {
            return -ECANCELED;
        }
        if (left_ms(run) == 0) {
            return -ETIMEDOUT;
        }
        g_usleep(REAP_PAUSE_MS * 1000);
    }
}

static void kill_group(Run *run)
{
    int status;

    (void)kill(-run->pid, SIGKILL); /* it may have gone meanwhile */
    while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR) {
    }
}

int process_run(const char *const *argv,
                const ProcessOptions *options,
                ProcessResult *ret,
                Err *err)
{
    static const ProcessOptions defaults;
    Run run = {.options = options != NULL ? options : &defaults};
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(GString) errors = g_string_new(NULL);
    g_autoptr(GString) line = g_string_new(NULL);
    unsigned timeout = run.options->timeout_ms > 0 ? run.options->timeout_ms : PROCESS_TIMEOUT_MS;
    int status = 0;
    int r;

    run.output_max = run.options->output_max > 0 ? run.options->output_max : PROCESS_OUTPUT_MAX;
    run.streams[0] = (Stream){-1, out, run.options->line != NULL ? line : NULL};
    run.streams[1] = (Stream){-1, errors, NULL};
    run.deadline = mono_add_ms(clock_mono(), timeout);
    r = start(&run, argv);
    if (r < 0) {
        return err_setf(err, r, "%s: %s", argv[0], g_strerror(-r));
    }
    r = read_all(&run);
    if (r == 0) {
        r = reap(&run, &status);
    }
    close_fd(&run.streams[0].fd);
    close_fd(&run.streams[1].fd);
    if (r < 0) {
        kill_group(&run);
        return err_setf(err, r, "%s: %s", argv[0],
                        r == -ETIMEDOUT   ? "took too long and was ended"
                        : r == -ECANCELED ? "was ended: interrupted"
                                          : g_strerror(-r));
    }
    ret->status = status;
    ret->out = g_string_free(g_steal_pointer(&out), FALSE);
    ret->err = g_string_free(g_steal_pointer(&errors), FALSE);
    return 0;
}

/* The last line that is not empty; "" when there is none. Caller frees. */
static char *last_line(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    const char *last = "";

    for (char **line = lines; *line != NULL; line++) {
        g_strstrip(*line);
        last = **line != '\0' ? *line : last;
    }
    return g_strdup(last);
}

int process_check(const char *const *argv, const ProcessOptions *options, char **ret_out, Err *err)
{
    g_auto(ProcessResult) result = {0};
    int r = process_run(argv, options, &result, err);

    if (r < 0) {
        return r;
    }
    if (result.status != 0) {
        g_autofree char *said = last_line(result.err);
        g_autofree char *name = g_path_get_basename(
            options != NULL && options->name != NULL ? options->name : argv[0]);
        gsize n = strlen(name);

        if (strncmp(said, name, n) == 0 && (said[n] == ':' || said[n] == ' ')) {
            return err_setf(err, -EIO, "%s", said); /* many programs begin with their name */
        }
        return err_setf(err, -EIO, "%s %s", name,
                        said[0] != '\0' ? said : "failed and did not say why");
    }
    if (ret_out != NULL) {
        *ret_out = g_steal_pointer(&result.out);
    }
    return 0;
}
