/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_daemon.h"

#include "ha-manager/core/ha_timing.h"
#include "ha-manager/io/ha_tree.h"
#include "lib/cfs/cfsfile.h"
#include "lib/port/clock.h"
#include "lib/port/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLICE_MS   200 /* a signal is noticed that late at most */
#define GAP_MS     100 /* between two rounds, however much changes */
#define LOOK_MS    100
#define HOST_MAX   256
#define EXIT_DEAD  3 /* of `status`, as of init scripts */
#define EXIT_USAGE 2

static volatile sig_atomic_t asked_to_stop;
static volatile sig_atomic_t child_ended;

static void on_signal(int number)
{
    if (number == SIGCHLD) {
        child_ended = 1;
    } else {
        asked_to_stop = 1;
    }
}

static void catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal}; /* no restart: it wakes the loop */

    (void)sigaction(SIGTERM, &a, NULL);
    (void)sigaction(SIGINT, &a, NULL);
    (void)sigaction(SIGCHLD, &a, NULL);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
}

HaNow ha_daemon_now(void)
{
    return (HaNow){clock_boot(), clock_wall()};
}

/* ---- the loop ---------------------------------------------------------------------------------
 */

/* The feed of changes, opened again when it was lost; NULL while there is none. */
static CfsWatch *need_watch(CfsWatch **watch)
{
    if (*watch == NULL) {
        (void)!cfs_watch_open(HA_TREE_DEFAULT, NULL, watch, NULL); /* then rounds come as planned */
    }
    return *watch;
}

/* Waits for a change, or for the time; true when the daemon cares for it. */
static bool wait_for_change(const HaDaemon *d, const void *self, CfsWatch **watch, int64_t ms)
{
    g_auto(CfsChange) change = {0};
    int r;

    /* A filesystem that is ending, unmounted already, answers nobody any more: not even whether
     * there is news. What had been opened then waits for it, for as long as it takes. */
    if (ha_tree_check(HA_TREE_DEFAULT, NULL) < 0 || need_watch(watch) == NULL) {
        g_usleep((gulong)MIN(ms, SLICE_MS) * 1000);
        return false;
    }
    r = cfs_watch_next(*watch, MIN(ms, SLICE_MS), &change, NULL);
    if (r < 0) {
        g_clear_pointer(watch, cfs_watch_close);
        g_usleep((gulong)MIN(ms, SLICE_MS) * 1000);
    }
    return r == 1 && d->cares(self, &change);
}

static void rest(const HaDaemon *d, void *self, CfsWatch **watch, MonoTime start, int64_t ms)
{
    MonoTime until = mono_add_ms(start, ms);
    MonoTime earliest = mono_add_ms(start, GAP_MS);
    bool cares = false;

    while (!asked_to_stop) {
        MonoTime now = clock_boot();
        MonoTime end = cares ? mono_min(earliest, until) : until;

        if (!mono_before(now, end)) {
            return;
        }
        if (wait_for_change(d, self, watch, mono_diff_us(end, now) / US_PER_MS + 1)) {
            cares = true;
        }
        if (child_ended) {
            child_ended = 0;
            d->child_ended(self, ha_daemon_now());
        }
    }
}

static void run(const HaDaemon *d, void *self)
{
    CfsWatch *watch = NULL;
    bool told = false;
    HaNext next = {0};

    while (!next.exit) {
        HaNow now = ha_daemon_now();

        if (asked_to_stop && !told) {
            d->shutdown(self, now);
            told = true;
        }
        asked_to_stop = 0;
        next = d->round(self, now);
        if (!next.exit) {
            rest(d, self, &watch, now.mono, next.sleep_ms);
        }
    }
    cfs_watch_close(watch);
}

/* ---- the process ------------------------------------------------------------------------------
 */

static char *pid_path(const HaDaemon *d)
{
    return g_strdup_printf("/run/%s.pid", d->name);
}

/* The pid file, locked for as long as we live; -1: another one has it, or an error was printed. */
static int take_pid_file(const HaDaemon *d)
{
    g_autofree char *path = pid_path(d);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0) {
        (void)fprintf(stderr, "%s: %s: %s\n", d->name, path,
                      errno == EWOULDBLOCK ? "runs already" : strerror(errno));
        if (fd >= 0) {
            (void)close(fd); /* nothing was written */
        }
        return -1;
    }
    return fd;
}

static int write_pid(int fd)
{
    g_autofree char *text = g_strdup_printf("%d\n", (int)getpid());

    return ftruncate(fd, 0) < 0 || pwrite(fd, text, strlen(text), 0) < 0 ? -errno : 0;
}

/* The running daemon; 0: none. */
static pid_t running(const HaDaemon *d)
{
    g_autofree char *path = pid_path(d);
    g_autofree char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    pid_t pid = 0;

    if (fd < 0) {
        return 0;
    }
    if (flock(fd, LOCK_SH | LOCK_NB) < 0 && cfsfile_read(path, 32, &text, NULL, NULL) == 0) {
        pid = (pid_t)g_ascii_strtoll(text, NULL, 10);
    }
    (void)close(fd); /* only looked */
    return pid;
}

static void detach(void)
{
    pid_t pid = fork();
    int null;

    if (pid != 0) {
        _exit(pid < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
    }
    (void)setsid(); /* a fresh child is no group leader */
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(null, STDOUT_FILENO);
    (void)dup2(null, STDERR_FILENO);
    log_stop_stderr();
}

static char *short_hostname(void)
{
    char host[HOST_MAX] = "";

    (void)gethostname(host, sizeof host - 1); /* then it is "", which nobody is called */
    host[strcspn(host, ".")] = '\0';
    return g_strdup(host);
}

static int start(const HaDaemon *d, bool foreground, bool debug)
{
    g_autofree char *node = short_hostname();
    int pid_file = take_pid_file(d);
    Err why = ERR_INIT;
    void *self;

    if (pid_file < 0) {
        return EXIT_FAILURE;
    }
    log_init(d->name, foreground);
    log_set_debug(debug);
    (void)umask(022);
    if (chdir("/") < 0) {
        log_line(TRACE_WARNING, "main", "/: %s", strerror(errno));
    }
    if (!foreground) {
        detach();
    }
    catch_signals();
    if (write_pid(pid_file) < 0) {
        log_line(TRACE_WARNING, "main", "cannot write the pid file: %s", strerror(errno));
    }
    for (int i = 0; ha_timing_profiles[i] != NULL; i++) {
        g_assert(ha_timing_is_safe(ha_timing_profiles[i]));
    }
    self = d->begin(node, &why);
    if (self == NULL) {
        log_line(TRACE_ERR, "main", "%s", err_text(&why));
        return EXIT_FAILURE;
    }
    run(d, self);
    d->end(self);
    log_line(TRACE_INFO, "main", "server stopped");
    (void)close(pid_file); /* the lock goes with it */
    return EXIT_SUCCESS;
}

static int stop(const HaDaemon *d)
{
    pid_t pid = running(d);

    if (pid <= 0) {
        return EXIT_SUCCESS;
    }
    if (kill(pid, SIGTERM) < 0) {
        (void)fprintf(stderr, "%s: %d: %s\n", d->name, (int)pid, strerror(errno));
        return EXIT_FAILURE;
    }
    for (unsigned i = 0; i < d->stop_s * 1000 / LOOK_MS; i++) {
        if (running(d) != pid) {
            return EXIT_SUCCESS;
        }
        g_usleep(LOOK_MS * 1000);
    }
    (void)fprintf(stderr, "%s: still running after %u s\n", d->name, d->stop_s);
    return EXIT_FAILURE;
}

static int status(const HaDaemon *d)
{
    pid_t pid = running(d);

    if (pid > 0) {
        (void)printf("running (PID %d)\n", (int)pid);
    } else {
        (void)printf("stopped\n");
    }
    return pid > 0 ? EXIT_SUCCESS : EXIT_DEAD;
}

static int usage(const HaDaemon *d, FILE *out)
{
    (void)fprintf(out,
                  "%s: %s\n\nusage: %s start [--foreground] [--debug] | stop | status\n"
                  "  --foreground  stay, and log to stderr as well\n"
                  "  --debug       the same, with debug lines\n",
                  d->name, d->summary, d->name);
    return out == stdout ? EXIT_SUCCESS : EXIT_USAGE;
}

int ha_daemon_main(const HaDaemon *d, int argc, char **argv)
{
    bool foreground = false;
    bool debug = false;

    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--debug") == 0) {
            debug = true;
        } else if (strcmp(argv[i], "--foreground") != 0 || argc < 2) {
            return usage(d, stderr);
        }
        foreground = true;
    }
    if (argc >= 2 && strcmp(argv[1], "start") == 0) {
        return start(d, foreground, debug);
    }
    if (argc == 2 && strcmp(argv[1], "stop") == 0) {
        return stop(d);
    }
    if (argc == 2 && strcmp(argv[1], "status") == 0) {
        return status(d);
    }
    if (argc == 2 && (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0)) {
        return usage(d, stdout);
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)printf("%s (%s) %s\n", d->name, PACKAGE_NAME, PACKAGE_VERSION);
        return EXIT_SUCCESS;
    }
    return usage(d, stderr);
}
