/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main: the daemon pmxcfs. Reads the command line, goes to the background, brings the parts up in
 * order and takes them down in the reverse. Reference: pmxcfs chapter 2; man page pmxcfs(8).
 *
 * The fork comes first: a database connection must not be carried across it. The parent waits for
 * one byte from the child and leaves with the child's fate as its exit status.
 */
#include "lib/port/log.h"
#include "lib/port/secrecy.h"
#include "lib/port/stdfds.h"
#include "pmxcfs/io/engine.h"
#include "pmxcfs/io/instance.h"
#include "pmxcfs/io/ipc_server.h"
#include "pmxcfs/io/mount.h"
#include "pmxcfs/io/rrd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_USAGE  1   /* unknown option */
#define EXIT_FAILED 255 /* everything else, as users of the original expect */

typedef struct Options {
    gboolean debug, foreground, local, documented, version;
    char *durability, *mountpoint, *database, *state_dir, *run_dir, *pid_file, *host_conf, *group;
    char *rrd_dir;
} Options;

static Options options;

static GOptionEntry entries[] = {
    {"debug", 'd', 0, G_OPTION_ARG_NONE, &options.debug, "Write debug lines to the log", NULL},
    {"foreground", 'f', 0, G_OPTION_ARG_NONE, &options.foreground,
     "Stay in the foreground and log to stderr too", NULL},
    {"local", 'l', 0, G_OPTION_ARG_NONE, &options.local,
     "Local mode: ignore corosync.conf, behave as quorate", NULL},
    {"durability", 0, 0, G_OPTION_ARG_STRING, &options.durability,
     "When is a change done: quorum (default), local, relaxed", "MODE"},
    {"documented-protocol", 0, 0, G_OPTION_ARG_NONE, &options.documented,
     "Never use the native protocol", NULL},
    {"mountpoint", 0, 0, G_OPTION_ARG_FILENAME, &options.mountpoint, "Default /etc/pve", "DIR"},
    {"state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options.state_dir, "Default /var/lib/pve-cluster",
     "DIR"},
    {"database", 0, 0, G_OPTION_ARG_FILENAME, &options.database, "Default STATE-DIR/config.db",
     "FILE"},
    {"run-dir", 0, 0, G_OPTION_ARG_FILENAME, &options.run_dir, "Default /run/pve-cluster", "DIR"},
    {"pid-file", 0, 0, G_OPTION_ARG_FILENAME, &options.pid_file, "Default /run/pve-cluster.pid",
     "FILE"},
    {"corosync-conf", 0, 0, G_OPTION_ARG_FILENAME, &options.host_conf,
     "Default /etc/corosync/corosync.conf", "FILE"},
    {"rrd-dir", 0, 0, G_OPTION_ARG_FILENAME, &options.rrd_dir,
     "Keep RRD files there, and write them without rrdcached", "DIR"},
    {"group", 0, 0, G_OPTION_ARG_STRING, &options.group, "Group of the files, default www-data",
     "NAME"},
    {"version", 0, 0, G_OPTION_ARG_NONE, &options.version, "Print the version and exit", NULL},
    {0},
};

typedef struct Daemon {
    InstancePaths paths;
    ReplicaDurability durability;
    gid_t gid;
    int lock_fd, ready_fd; /* ready_fd: pipe to the waiting parent, -1 in the foreground */
    char *nodename, *address;
    Engine *engine;
    Mount *mount;
    IpcServer *ipc;
    RrdWriter *rrd;
    GThread *signals;
    gint stopping;
    Tracer tracer;
} Daemon;

/* ---- command line -----------------------------------------------------------------------------
 */

static const char *or_default(const char *value, const char *fallback)
{
    return value != NULL ? value : fallback;
}

static int parse_durability(ReplicaDurability *ret)
{
    const char *mode = or_default(options.durability, "quorum");

    if (strcmp(mode, "quorum") == 0) {
        *ret = REPLICA_DURABILITY_QUORUM;
    } else if (strcmp(mode, "local") == 0) {
        *ret = REPLICA_DURABILITY_LOCAL;
    } else if (strcmp(mode, "relaxed") == 0) {
        *ret = REPLICA_DURABILITY_RELAXED;
    } else {
        fprintf(stderr, "pmxcfs: --durability %s: expected quorum, local or relaxed\n", mode);
        return -EINVAL;
    }
    return 0;
}

/* -1: go on; otherwise the exit status. */
static int parse_command_line(int argc, char **argv, Daemon *d)
{
    g_autoptr(GOptionContext) context = g_option_context_new("- cluster file system");
    g_autoptr(GError) gerror = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &gerror)) {
        fprintf(stderr, "pmxcfs: %s\nSee 'pmxcfs --help'.\n", gerror->message);
        return EXIT_USAGE;
    }
    if (options.version) {
        printf("pmxcfs (%s) %s\n", PACKAGE_NAME, PACKAGE_VERSION);
        return 0;
    }
    if (argc > 1) {
        fprintf(stderr, "pmxcfs: takes no operands, got '%s'\nSee 'pmxcfs --help'.\n", argv[1]);
        return EXIT_FAILED;
    }
    if (parse_durability(&d->durability) < 0) {
        return EXIT_USAGE;
    }
    d->paths = (InstancePaths){
        .state_dir = or_default(options.state_dir, "/var/lib/pve-cluster"),
        .run_dir = or_default(options.run_dir, "/run/pve-cluster"),
        .pid_file = or_default(options.pid_file, "/run/pve-cluster.pid"),
    };
    if (options.database == NULL) {
        options.database = g_build_filename(d->paths.state_dir, "config.db", NULL);
    }
    return -1;
}

/* ---- going to the background ----------------------------------------------------------------- */

/* The parent's part: waits until the child is ready or gone. */
static int await_child(int fd, pid_t pid)
{
    char byte = 0;
    int status = 0;
    ssize_t n;

    do {
        n = read(fd, &byte, 1);
    } while (n < 0 && errno == EINTR);
    if (n == 1 && byte == '1') {
        return 0;
    }
    (void)waitpid(pid, &status, 0); /* it said why on stderr */
    return EXIT_FAILED;
}

/* In the child: 0; in the parent: does not return. */
static int go_background(Daemon *d)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
        fprintf(stderr, "pmxcfs: going to the background: %s\n", strerror(errno));
        return -errno;
    }
    if (pid > 0) {
        (void)close(fds[1]); /* so that the child's death ends the read */
        _exit(await_child(fds[0], pid));
    }
    (void)close(fds[0]); /* the parent's end */
    (void)setsid();      /* a fresh child is never a group leader: cannot fail */
    d->ready_fd = fds[1];
    return 0;
}

/* Everything runs: let go of the terminal and of the parent. */
static int report_ready(Daemon *d, Err *err)
{
    int fd;

    if (d->ready_fd < 0) {
        return 0;
    }
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0) {
        int r = -errno;

        return err_setf(err, r, "/dev/null: %s", strerror(-r));
    }
    log_stop_stderr();
    (void)close(fd);
    (void)!write(d->ready_fd, "1", 1); /* a parent that is gone needs no answer */
    (void)close(d->ready_fd);
    d->ready_fd = -1;
    return 0;
}

/* ---- signals -----------------------------------------------------------------------------------
 */

static void block_signals(sigset_t *ret_set)
{
    (void)signal(SIGPIPE, SIG_IGN); /* valid signals: cannot fail */
    (void)signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is an errno of the disk */
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGTERM);
    sigaddset(ret_set, SIGINT);
    sigaddset(ret_set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, ret_set, NULL); /* before any thread: all inherit it */
}

static gpointer wait_for_signal(gpointer data)
{
    Daemon *d = data;
    sigset_t set;
    int signo = 0;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    (void)sigwait(&set, &signo); /* the set is valid: cannot fail */
    if (g_atomic_int_compare_and_exchange(&d->stopping, 0, 1)) {
        log_line(TRACE_NOTICE, "main", "stopping on signal %d", signo);
        mount_stop(d->mount);
    }
    return NULL;
}

/* ---- up ----------------------------------------------------------------------------------------
 */

static int identify(Daemon *d, Err *err)
{
    int r;

    if ((r = instance_nodename(&d->nodename, err)) < 0 ||
        (r = instance_address(d->nodename, &d->address, err)) < 0 ||
        (r = instance_group(or_default(options.group, "www-data"), &d->gid, err)) < 0) {
        return r;
    }
    (void)umask(027);
    if ((r = instance_directories(&d->paths, d->gid, err)) < 0) {
        return r;
    }
    return instance_lock(&d->paths, &d->lock_fd, err);
}

static void set_debug(void *ctx, bool on)
{
    (void)ctx;
    log_set_debug(on);
}

static void keep_rrd(void *ctx, const char *id, GBytes *value)
{
    rrd_writer_push(ctx, id, value);
}

static void start_rrd(Daemon *d)
{
    /* rrdcached knows one folder only: another one is written directly. */
    const RrdWriterConfig rrd = {.base_dir = options.rrd_dir,
                                 .cached_socket = options.rrd_dir != NULL ? "" : NULL,
                                 .tracer = &d->tracer};

    d->rrd = rrd_writer_start(&rrd);
    engine_on_rrd(d->engine, keep_rrd, d->rrd);
}

static int bring_up(Daemon *d, Err *err)
{
    EngineConfig config = {
        .nodename = d->nodename,
        .database = options.database,
        .host_corosync_conf = or_default(options.host_conf, "/etc/corosync/corosync.conf"),
        .local = options.local,
        .durability = d->durability,
        .native = !options.documented,
        .node_address = d->address,
    };
    MountOptions mount = {.gid = d->gid, .set_debug = set_debug};
    IpcServerConfig ipc = {.read_only_gid = d->gid, .tracer = &d->tracer};
    int r;

    if ((r = engine_open(&config, &d->engine, err)) < 0) {
        return r;
    }
    start_rrd(d);
    if ((r = mount_new(d->engine, or_default(options.mountpoint, "/etc/pve"), &mount, &d->tracer,
                       &d->mount, err)) < 0 ||
        (r = mount_attach(d->mount, err)) < 0 || (r = engine_start(d->engine, err)) < 0) {
        return r;
    }
    ipc.engine = d->engine;
    if ((r = ipc_server_start(&ipc, &d->ipc, err)) < 0 ||
        (r = instance_write_pid(&d->paths, getpid(), err)) < 0) {
        return r;
    }
    instance_clear_restart_flag(&d->paths);
    d->signals = g_thread_new("signals", wait_for_signal, d);
    return report_ready(d, err);
}

/* ---- down -------------------------------------------------------------------------------------
 */

static void end_signal_thread(Daemon *d)
{
    if (d->signals == NULL) {
        return;
    }
    if (g_atomic_int_compare_and_exchange(&d->stopping, 0, 1)) {
        (void)kill(getpid(), SIGTERM); /* blocked everywhere: only wakes the waiting thread */
    }
    (void)g_thread_join(g_steal_pointer(&d->signals));
}

static void take_down(Daemon *d)
{
    end_signal_thread(d);
    ipc_server_stop(d->ipc);
    /* The engine and its feed tell the mount of changes until they have stopped. */
    if (d->engine != NULL) {
        engine_stop(d->engine);
    }
    mount_free(d->mount);
    engine_free(d->engine);
    rrd_writer_stop(d->rrd);
    if (d->lock_fd >= 0) {
        instance_remove_pid(&d->paths);
        (void)close(d->lock_fd); /* ends the lock */
    }
    g_free(d->nodename);
    g_free(d->address);
}

static int serve(Daemon *d, Err *err)
{
    int r = bring_up(d, err);

    if (r < 0) {
        return r;
    }
    log_line(TRACE_NOTICE, "main", "ready: node '%s', %s", d->nodename,
             engine_is_local(d->engine) ? "local mode" : "cluster mode");
    r = mount_run(d->mount, err);
    instance_set_restart_flag(&d->paths, d->gid);
    return r;
}

int main(int argc, char **argv)
{
    Daemon d = {.lock_fd = -1, .ready_fd = -1};
    Err err = ERR_INIT;
    sigset_t set;
    int r;

    if (stdfds_fill() < 0) {
        return EXIT_FAILED;
    }
    r = parse_command_line(argc, argv, &d);
    if (r >= 0) {
        return r;
    }
    if (!options.foreground && go_background(&d) < 0) {
        return EXIT_FAILED;
    }
    log_init("pmxcfs", true);
    log_set_debug(options.debug);
    d.tracer = log_tracer("main");
    secrecy_hide_memory(); /* what is in priv/ (INV-8) */
    block_signals(&set);
    if (chdir("/") < 0) {
        log_line(TRACE_ERR, "main", "chdir /: %s", strerror(errno));
        return EXIT_FAILED;
    }
    r = identify(&d, &err);
    if (r == 0) {
        r = serve(&d, &err);
    }
    if (r < 0) {
        log_line(TRACE_CRIT, "main", "%s", err.code != 0 ? err_text(&err) : strerror(-r));
    }
    take_down(&d);
    log_line(TRACE_NOTICE, "main", "ended");
    return r < 0 ? EXIT_FAILED : 0;
}
