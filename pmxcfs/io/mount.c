/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life of the mount. The file system is mounted by mount(2) itself rather than by libfuse: the
 * entry in /proc/mounts is then the documented one, and each error can be named.
 */
#include "pmxcfs/io/mount_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define FUSE_DEVICE "/dev/fuse"

/* Wakes the thread that waits in libfuse's loop; nothing else uses it. */
#define WAKE_SIGNAL   (SIGRTMIN + 3)
#define WAKE_EVERY_US 10000

/* Stale mounts on top of each other that are detached. */
#define STALE_MAX 16

/* ---- what the kernel is asked for ---------------------------------------------------------- */

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    const unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS |
                            FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA |
                            FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
                            FUSE_CAP_NO_OPENDIR_SUPPORT;
    (void)userdata;
    /* Not asked for, on purpose: atomic O_TRUNC (the kernel would show the file empty at once),
     * write-back (errors would come after close), automatic invalidation (we say when), splicing
     * (its pipes cost more than the copy of a small file), remote locks. */
    conn->want = conn->capable & wanted;
    conn->max_write = MOUNT_WRITE_MAX;
    conn->max_readahead = MOUNT_WRITE_MAX;
}

static const struct fuse_lowlevel_ops operations = {
    .init = op_init,
    .lookup = mount_op_lookup,
    .forget = mount_op_forget,
    .forget_multi = mount_op_forget_multi,
    .getattr = mount_op_getattr,
    .setattr = mount_op_setattr,
    .readlink = mount_op_readlink,
    .mknod = mount_op_mknod,
    .mkdir = mount_op_mkdir,
    .unlink = mount_op_unlink,
    .rmdir = mount_op_rmdir,
    .rename = mount_op_rename,
    .link = mount_op_link,
    .symlink = mount_op_symlink,
    .create = mount_op_create,
    .open = mount_op_open,
    .read = mount_op_read,
    .write = mount_op_write,
    .flush = mount_op_flush,
    .fsync = mount_op_fsync,
    .release = mount_op_release,
    .opendir = mount_op_opendir,
    .readdir = mount_op_readdir,
    .readdirplus = mount_op_readdirplus,
    .fsyncdir = mount_op_fsyncdir,
    .statfs = mount_op_statfs,
    .poll = mount_op_poll,
};

/* ---- make ---------------------------------------------------------------------------------- */

static uint32_t threads_of(const Mount *m)
{
    uint32_t n = m->opt.threads_max != 0 ? m->opt.threads_max : MOUNT_THREADS_MAX;
    return MAX(n, MOUNT_THREADS_MIN);
}

void mount_format_metrics(Mount *m, GString *out)
{
    mount_stats_format(m->stats, out);
    g_string_append_printf(out,
                           "# HELP pmxcfs_mount_unsaved_bytes Written and not yet committed.\n"
                           "# TYPE pmxcfs_mount_unsaved_bytes gauge\n"
                           "pmxcfs_mount_unsaved_bytes %zu\n",
                           atomic_load(&m->pending));
}

int mount_new(Engine *engine,
              const char *mountpoint,
              const MountOptions *opt,
              const Tracer *tracer,
              Mount **ret,
              Err *err)
{
    if (!g_path_is_absolute(mountpoint)) {
        return err_setf(err, -EINVAL, "mount: '%s' is not an absolute path", mountpoint);
    }
    Mount *m = g_new0(Mount, 1);
    m->engine = engine;
    m->mountpoint = g_strdup(mountpoint);
    m->opt = *opt;
    if (tracer != NULL) {
        m->tracer = *tracer;
    }
    m->nodes = mount_nodes_new();
    m->stats = mount_stats_new();
    m->gate = mount_gate_new(threads_of(m) - MOUNT_THREADS_FREE);
    g_mutex_init(&m->expect_lock);
    g_mutex_init(&m->views_lock);
    g_mutex_init(&m->later_lock);
    g_cond_init(&m->later_cond);
    g_mutex_init(&m->run_lock);
    g_cond_init(&m->run_cond);
    m->notify = mount_notify_new(m);
    /* The kernel knows the root from the start and never forgets it. */
    MountNode *root = mount_node_get(m->nodes, FUSE_ROOT_ID);
    mount_node_told(m->nodes, root);
    mount_node_put(m->nodes, root);
    m->events = mount_events_new(m);
    m->linger = mount_linger_new(m);
    engine_listen(engine, mount_notify_listen, m);
    *ret = m;
    return 0;
}

/* ---- mount --------------------------------------------------------------------------------- */

/* A field of mountinfo with its \ooo escapes undone. */
static char *unescape(const char *field)
{
    return g_strcompress(field); /* knows octal escapes; the kernel writes no others */
}

/* Type and source of the topmost mount at `path`; false when nothing is mounted there. */
static bool find_mount(const char *path, char **ret_type, char **ret_source)
{
    g_autofree char *text = NULL;
    bool found = false;
    if (!g_file_get_contents("/proc/self/mountinfo", &text, NULL, NULL)) {
        return false;
    }
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        g_auto(GStrv) fields = g_strsplit(*line, " ", -1);
        guint n = g_strv_length(fields);
        guint dash = 6; /* after the optional fields */
        while (dash < n && strcmp(fields[dash], "-") != 0) {
            dash++;
        }
        g_autofree char *at = n > dash + 2 ? unescape(fields[4]) : NULL;
        if (at != NULL && strcmp(at, path) == 0) {
            g_free(*ret_type);
            g_free(*ret_source);
            *ret_type = unescape(fields[dash + 1]);
            *ret_source = unescape(fields[dash + 2]);
            found = true; /* a later line is a later mount, on top */
        }
    }
    return found;
}

/* Detaches what a crash left at the mount point. Whoever holds the instance lock may: a FUSE mount
 * there has nobody behind it any more. It is never touched by a path lookup, which could hang. */
static int detach_stale(Mount *m, Err *err)
{
    for (int i = 0; i < STALE_MAX; i++) {
        g_autofree char *type = NULL;
        g_autofree char *source = NULL;
        if (!find_mount(m->mountpoint, &type, &source)) {
            return 0;
        }
        if (strcmp(type, "fuse") != 0 || strcmp(source, FUSE_DEVICE) != 0) {
            return err_setf(err, -EBUSY, "mount: a file system (%s, type %s) is mounted at '%s'",
                            source, type, m->mountpoint);
        }
        trace(&m->tracer, TRACE_NOTICE, "mount: detaching a stale mount at '%s'", m->mountpoint);
        if (umount2(m->mountpoint, MNT_DETACH) != 0) {
            int e = errno;
            return err_setf(err, -e, "mount: cannot detach the stale mount at '%s': %s",
                            m->mountpoint, g_strerror(e));
        }
    }
    return err_setf(err, -EBUSY, "mount: too many mounts at '%s'", m->mountpoint);
}

/* The mount point in the spelling of the kernel: links in the directories above resolved. */
static int resolve_mountpoint(Mount *m, Err *err)
{
    g_autofree char *dir = g_path_get_dirname(m->mountpoint);
    g_autofree char *base = g_path_get_basename(m->mountpoint);
    char *real = realpath(dir, NULL);
    if (real == NULL) {
        int e = errno;
        return err_setf(err, -e, "mount: '%s': %s", dir, g_strerror(e));
    }
    g_free(m->mountpoint);
    m->mountpoint = g_build_filename(real, base, NULL);
    free(real);
    return 0;
}

static int prepare_mountpoint(Mount *m, Err *err)
{
    struct stat st;
    int r = resolve_mountpoint(m, err);
    if (r == 0) {
        r = detach_stale(m, err);
    }
    if (r < 0) {
        return r;
    }
    if (mkdir(m->mountpoint, 0750) != 0 && errno != EEXIST) {
        int e = errno;
        return err_setf(err, -e, "mount: cannot make '%s': %s", m->mountpoint, g_strerror(e));
    }
    if (lstat(m->mountpoint, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return err_setf(err, -ENOTDIR, "mount: '%s' is not a directory", m->mountpoint);
    }
    return 0;
}

static int open_device(Err *err)
{
    int fd = open(FUSE_DEVICE, O_RDWR | O_CLOEXEC);
    int e = errno;
    if (fd >= 0) {
        return fd;
    }
    const char *hint = e == ENOENT || e == ENODEV || e == ENXIO
                           ? " (is the kernel module 'fuse' loaded?)"
                       : e == EACCES || e == EPERM ? " (root is needed)"
                                                   : "";
    return err_setf(err, -e, "mount: cannot open " FUSE_DEVICE ": %s%s", g_strerror(e), hint);
}

static int open_session(Mount *m, Err *err)
{
    char name[] = "pmxcfs";
    char *argv[] = {name, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);
    m->session = fuse_session_new(&args, &operations, sizeof(operations), m);
    fuse_opt_free_args(&args);
    return m->session != NULL ? 0 : err_setf(err, -EINVAL, "mount: libfuse refused to start");
}

int mount_attach(Mount *m, Err *err)
{
    int r = prepare_mountpoint(m, err);
    int fd = r < 0 ? r : open_device(err);
    if (fd < 0) {
        return fd;
    }
    r = open_session(m, err);
    g_autofree char *options = g_strdup_printf(
        "fd=%d,rootmode=40755,user_id=0,group_id=0,default_permissions,allow_other", fd);
    if (r == 0 && mount(FUSE_DEVICE, m->mountpoint, "fuse", MS_NOSUID | MS_NODEV, options) != 0) {
        int e = errno;
        r = err_setf(err, -e, "mount: cannot mount at '%s': %s%s", m->mountpoint, g_strerror(e),
                     e == EPERM ? " (root is needed)" : "");
    }
    if (r < 0) {
        close(fd);
        return r;
    }
    m->mounted = true;
    /* libfuse takes the descriptor over when it is given in this form. */
    char at[32];
    g_snprintf(at, sizeof(at), "/dev/fd/%d", fd);
    if (fuse_session_mount(m->session, at) != 0) {
        return err_setf(err, -EIO, "mount: libfuse did not take the mounted device");
    }
    mount_guard_start(m);
    return 0;
}

/* `force`: nobody answers requests any more, those that wait shall fail. */
static void detach(Mount *m, bool force)
{
    g_mutex_lock(&m->run_lock);
    bool mounted = m->mounted;
    m->mounted = false;
    g_mutex_unlock(&m->run_lock);
    int flags = MNT_DETACH | (force ? MNT_FORCE : 0);
    if (mounted && umount2(m->mountpoint, flags) != 0 && errno != EINVAL) {
        trace(&m->tracer, TRACE_WARNING, "mount: cannot unmount '%s': %s", m->mountpoint,
              g_strerror(errno));
    }
}

/* ---- serve --------------------------------------------------------------------------------- */

static void on_wake(int signal_number)
{
    (void)signal_number; /* to interrupt a wait is all it is for */
}

static int serve(Mount *m)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    fuse_loop_cfg_set_clone_fd(config, 0);
    fuse_loop_cfg_set_max_threads(config, threads_of(m));
    fuse_loop_cfg_set_idle_threads(config, MOUNT_THREADS_IDLE);
    atomic_store(&m->serving, true);
    int r = fuse_session_loop_mt(m->session, config);
    mount_commit_await(m);
    atomic_store(&m->serving, false);
    fuse_loop_cfg_destroy(config);
    return r;
}

int mount_run(Mount *m, Err *err)
{
    struct sigaction wake = {.sa_handler = on_wake};
    g_assert(m->mounted);
    sigemptyset(&wake.sa_mask);
    (void)sigaction(WAKE_SIGNAL, &wake, NULL); /* cannot fail: the number is valid */

    g_mutex_lock(&m->run_lock);
    m->loop = pthread_self();
    m->running = !m->stopping;
    bool run = m->running;
    g_mutex_unlock(&m->run_lock);
    int r = 0;
    if (run) {
        mount_notify_start(m->notify);
        mount_events_start(m->events);
        mount_linger_start(m->linger);
        r = serve(m);
    }
    g_mutex_lock(&m->run_lock);
    bool stopped = m->stopping;
    m->running = false;
    g_cond_broadcast(&m->run_cond);
    g_mutex_unlock(&m->run_lock);
    detach(m, true);
    engine_ending(m->engine);
    mount_notify_stop(m->notify);
    mount_events_join(m->events);
    mount_guard_stop(m);
    mount_linger_stop(m->linger);
    mount_commit_all(m);
    g_clear_pointer(&m->session, fuse_session_destroy); /* what the kernel still waits for, fails */
    mount_handles_free(m);
    mount_special_free_all(m);
    if (r < 0) {
        return err_setf(err, r, "mount: reading requests failed: %s", g_strerror(-r));
    }
    return stopped ? 0 : err_setf(err, -ENOTCONN, "mount: '%s' was unmounted", m->mountpoint);
}

void mount_stop(Mount *m)
{
    g_mutex_lock(&m->run_lock);
    m->stopping = true;
    g_mutex_unlock(&m->run_lock);
    engine_ending(m->engine); /* a request that waits for a quorum does not hold us up longer */
    detach(m, false);         /* nobody new comes in */
    mount_events_stop(m->events);
    /* The notifiers end while requests are still answered: what they wait for may be one. */
    mount_notify_stop(m->notify);
    g_mutex_lock(&m->run_lock);
    while (m->running) {
        fuse_session_exit(m->session);
        (void)pthread_kill(m->loop, WAKE_SIGNAL); /* the thread is there while `running` */
        gint64 until = g_get_monotonic_time() + WAKE_EVERY_US;
        (void)g_cond_wait_until(&m->run_cond, &m->run_lock, until);
    }
    g_mutex_unlock(&m->run_lock);
}

void mount_free(Mount *m)
{
    if (m == NULL) {
        return;
    }
    g_assert(!m->running);
    detach(m, true);
    mount_guard_stop(m);
    g_clear_pointer(&m->session, fuse_session_destroy);
    mount_notify_free(m->notify);
    mount_events_free(m->events);
    mount_linger_free(m->linger);
    mount_gate_free(m->gate);
    mount_nodes_free(m->nodes);
    mount_stats_free(m->stats);
    g_mutex_clear(&m->expect_lock);
    g_mutex_clear(&m->views_lock);
    g_mutex_clear(&m->later_lock);
    g_cond_clear(&m->later_cond);
    g_mutex_clear(&m->run_lock);
    g_cond_clear(&m->run_cond);
    g_free(m->mountpoint);
    g_free(m);
}
