/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/event_daemon.h"

#include "guest/io/guest_host.h"
#include "guest/io/guest_proc.h"
#include "lib/port/log.h"
#include "lib/port/qmp.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DOMAIN    "qmeventd"
#define BACKLOG   64
#define TERM_MS   60000u /* flushing the disks of a large guest */
#define PEERS_MAX 4096   /* guests of one host; more is an attack or a leak */
#define DIR_MODE  0755
#define RETRY_MS  1000 /* to the next look at who waits, when this process may open no more files */

/* One guest's process. */
typedef struct Watched {
    EventDaemon *daemon;
    uint32_t vmid;
    char *run_dir;
    GuestProc proc;
    GSource *death; /* its pidfd */
    guint kill_timer;
    QmpClient *qmp; /* NULL between two connections */
    bool clean;     /* it said that it is shutting down */
    bool by_guest;  /* the guest asked for it */
} Watched;

struct EventDaemon {
    char *socket_path;
    char *run_dir;
    char *qm;
    char *root; /* may be NULL */
    unsigned term_ms;
    int fd;
    GSource *input;
    GHashTable *guests; /* pid -> Watched * */
    GCancellable *cancel;
};

/* --------------------------------------------------------------- one guest */

static void watched_free(void *data)
{
    Watched *w = data;

    if (w->death != NULL) {
        g_source_destroy(w->death);
        g_source_unref(w->death);
    }
    if (w->kill_timer != 0) {
        (void)g_source_remove(w->kill_timer);
    }
    qmp_client_free(w->qmp);
    guest_proc_clear(&w->proc);
    g_free(w->run_dir);
    g_free(w);
}

static void on_cleaned(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autofree char *name = data;
    g_autoptr(GError) error = NULL;

    if (!g_subprocess_wait_check_finish(G_SUBPROCESS(source), result, &error) &&
        !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        log_line(TRACE_ERR, DOMAIN, "%s: %s; 'qm status' and the next start put it right", name,
                 error->message);
    }
}

static void
run_cleanup(EventDaemon *d, uint32_t vmid, const char *run_dir, bool clean, bool by_guest)
{
    g_autofree char *id = g_strdup_printf("%u", vmid);
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autoptr(GError) error = NULL;
    GSubprocess *process;

    g_ptr_array_add(argv, d->qm);
    g_ptr_array_add(argv, (void *)(uintptr_t) "cleanup");
    g_ptr_array_add(argv, id);
    g_ptr_array_add(argv, (void *)(uintptr_t)(clean ? "1" : "0"));
    g_ptr_array_add(argv, (void *)(uintptr_t)(by_guest ? "1" : "0"));
    g_ptr_array_add(argv, (void *)(uintptr_t) "--run-dir");
    g_ptr_array_add(argv, (void *)(uintptr_t)run_dir);
    if (d->root != NULL) {
        g_ptr_array_add(argv, (void *)(uintptr_t) "--root");
        g_ptr_array_add(argv, d->root);
    }
    g_ptr_array_add(argv, NULL);
    log_line(TRACE_NOTICE, DOMAIN, "vmid=%u ended, %s", vmid,
             clean ? by_guest ? "turned off by the guest" : "shut down" : "without a word");
    process = g_subprocess_newv((const char *const *)argv->pdata, G_SUBPROCESS_FLAGS_NONE, &error);
    if (process == NULL) {
        log_line(TRACE_ERR, DOMAIN, "vmid=%u: %s: %s", vmid, d->qm, error->message);
        return;
    }
    g_subprocess_wait_check_async(process, d->cancel, on_cleaned,
                                  g_strdup_printf("qm cleanup %u", vmid));
    g_object_unref(process);
}

static gboolean on_death(int fd, GIOCondition condition, void *data)
{
    Watched *w = data;
    EventDaemon *d = w->daemon;

    (void)fd;
    (void)condition;
    run_cleanup(d, w->vmid, w->run_dir, w->clean, w->by_guest);
    (void)g_hash_table_remove(d->guests, GINT_TO_POINTER(w->proc.pid));
    return G_SOURCE_REMOVE;
}

static gboolean on_stuck(gpointer data)
{
    Watched *w = data;

    w->kill_timer = 0;
    log_line(TRACE_WARNING, DOMAIN, "vmid=%u does not end, killing process %d", w->vmid,
             (int)w->proc.pid);
    guest_proc_signal(&w->proc, SIGKILL);
    return G_SOURCE_REMOVE;
}

/* The guest is off; its QEMU waits to be ended. */
static void is_off(Watched *w, bool by_guest)
{
    if (w->clean) {
        return;
    }
    w->clean = true;
    w->by_guest = by_guest;
    guest_proc_signal(&w->proc, SIGTERM);
    w->kill_timer = g_timeout_add(w->daemon->term_ms, on_stuck, w);
}

static void on_event(void *ctx, const WireQmp *event)
{
    Watched *w = ctx;

    if (strcmp(event->name, "SHUTDOWN") == 0) {
        is_off(w, jsontree_get_bool(event->data, "guest", false));
    } else if (strcmp(event->name, "GUEST_PANICKED") == 0 || strcmp(event->name, "WATCHDOG") == 0 ||
               strcmp(event->name, "BLOCK_IO_ERROR") == 0) {
        g_autoptr(GString) text = g_string_new(NULL);
        if (event->data != NULL) {
            jsontree_append(text, event->data);
        }
        log_line(TRACE_WARNING, DOMAIN, "vmid=%u %s %.200s", w->vmid, event->name, text->str);
    }
}

/* A guest that turned itself off while nobody was connected. */
static void on_status(void *ctx, int r, const JsonTree *value, const Err *err)
{
    Watched *w = ctx;

    (void)err;
    if (r == 0 && g_strcmp0(jsontree_get_text(value, "status"), "shutdown") == 0) {
        is_off(w, true);
    }
}

static void on_closed(void *ctx, const Err *why)
{
    Watched *w = ctx;
    QmpClient *qmp = w->qmp;

    (void)why; /* the process tells by its end; if it lives, QEMU connects again */
    w->qmp = NULL;
    qmp_client_free(qmp);
}

/* ------------------------------------------------------------------ arrival */

/* Takes over `proc`. */
static Watched *watch(EventDaemon *d, uint32_t vmid, const char *run_dir, GuestProc *proc)
{
    Watched *w = g_hash_table_lookup(d->guests, GINT_TO_POINTER(proc->pid));

    if (w != NULL) {
        return w;
    }
    w = g_new0(Watched, 1);
    w->daemon = d;
    w->vmid = vmid;
    w->run_dir = g_strdup(run_dir);
    w->proc = *proc;
    *proc = (GuestProc)GUEST_PROC_INIT;
    w->death = g_unix_fd_source_new(w->proc.fd, G_IO_IN);
    g_source_set_callback(w->death, G_SOURCE_FUNC(on_death), w, NULL);
    (void)g_source_attach(w->death, NULL);
    (void)g_hash_table_insert(d->guests, GINT_TO_POINTER(w->proc.pid), w);
    return w;
}

static int check_peer(int fd, pid_t *ret, Err *err)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
        return err_setf(err, -errno, "peer: %s", g_strerror(errno));
    }
    if (peer.uid != geteuid() && peer.uid != 0) {
        return err_setf(err, -EPERM, "process %d of user %u may not connect", (int)peer.pid,
                        (unsigned)peer.uid);
    }
    *ret = peer.pid;
    return 0;
}

static int welcome(EventDaemon *d, int fd, Err *err)
{
    g_auto(GuestProc) proc = GUEST_PROC_INIT;
    g_autofree char *run_dir = NULL;
    uint32_t vmid = 0;
    pid_t pid = 0;
    Watched *w;
    int r = check_peer(fd, &pid, err);

    if (r == 0) {
        r = guest_proc_identify(pid, &proc, &vmid, &run_dir, err);
    }
    if (r == 0 && g_hash_table_size(d->guests) >= PEERS_MAX) {
        r = err_setf(err, -EMFILE, "more than %d guests", PEERS_MAX);
    }
    if (r < 0) {
        (void)close(fd); /* nothing was said yet */
        return r;
    }
    w = watch(d, vmid, run_dir, &proc);
    qmp_client_free(w->qmp); /* it has connected anew */
    w->qmp = NULL;
    r = qmp_client_new_fd(NULL, fd, &(QmpHandlers){on_event, on_closed, w}, &w->qmp, err);
    if (r == 0) {
        qmp_execute(w->qmp, "query-status", NULL, 0, on_status, w);
    }
    return r;
}

static void drop_input(EventDaemon *d)
{
    if (d->input != NULL) {
        g_source_destroy(d->input);
        g_source_unref(d->input);
        d->input = NULL;
    }
}

static void take_input(EventDaemon *d, GSource *source, GSourceFunc call)
{
    drop_input(d);
    d->input = source;
    g_source_set_callback(source, call, d, NULL);
    (void)g_source_attach(source, NULL);
}

static gboolean listen_again(gpointer data);

static gboolean on_connect(int listener, GIOCondition condition, void *data)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    Err err = ERR_INIT;

    (void)condition;
    if (fd >= 0) {
        if (welcome(data, fd, &err) < 0) {
            log_line(TRACE_WARNING, DOMAIN, "%s", err_text(&err));
        }
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        log_line(TRACE_ERR, DOMAIN, "guests wait to be seen: %s", g_strerror(errno));
        take_input(data, g_timeout_source_new(RETRY_MS), listen_again);
        return G_SOURCE_REMOVE; /* who waits would wake us at once, and again */
    } else if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED) {
        log_line(TRACE_ERR, DOMAIN, "accept: %s", g_strerror(errno));
    }
    return G_SOURCE_CONTINUE;
}

static gboolean listen_again(gpointer data)
{
    EventDaemon *d = data;

    take_input(d, g_unix_fd_source_new(d->fd, G_IO_IN), G_SOURCE_FUNC(on_connect));
    return G_SOURCE_REMOVE;
}

/* --------------------------------------------------------------- life cycle */

/* Guests that run since before this daemon, and those whose end it has missed. */
static void look_around(EventDaemon *d)
{
    GDir *dir = g_dir_open(d->run_dir, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_auto(GuestProc) proc = GUEST_PROC_INIT;
        gint64 vmid = g_ascii_strtoll(name, NULL, 10);
        g_autofree char *note = g_strdup_printf("%" G_GINT64_FORMAT ".run", vmid);
        Err err = ERR_INIT;
        if (vmid <= 0 || vmid > UINT32_MAX || strcmp(note, name) != 0) {
            continue;
        }
        int r = guest_proc_find(d->run_dir, (uint32_t)vmid, &proc, &err);
        if (r < 0) {
            log_line(TRACE_WARNING, DOMAIN, "%s", err_text(&err));
        } else if (r == 1) {
            (void)watch(d, (uint32_t)vmid, d->run_dir, &proc);
        } else {
            run_cleanup(d, (uint32_t)vmid, d->run_dir, false, false);
        }
    }
    if (dir != NULL) {
        g_dir_close(dir);
    }
}

/* A socket file that nobody listens to any more is a leftover. */
static int remove_leftover(const struct sockaddr_un *addr, Err *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = 0;

    if (fd < 0) {
        return err_setf(err, -errno, "socket: %s", g_strerror(errno));
    }
    if (connect(fd, (const struct sockaddr *)addr, sizeof *addr) == 0) {
        r = err_setf(err, -EADDRINUSE, "%s: another event daemon runs", addr->sun_path);
    } else if (errno == ECONNREFUSED) {
        (void)unlink(addr->sun_path); /* bind tells when it stays */
    }
    (void)close(fd); /* nothing was said */
    return r;
}

static int listen_at(EventDaemon *d, Err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    g_autofree char *dir = g_path_get_dirname(d->socket_path);
    int r;

    if (strlen(d->socket_path) >= sizeof addr.sun_path) {
        return err_setf(err, -ENAMETOOLONG, "%s: too long for a socket", d->socket_path);
    }
    memcpy(addr.sun_path, d->socket_path, strlen(d->socket_path) + 1);
    r = remove_leftover(&addr, err);
    if (r < 0) {
        return r;
    }
    (void)g_mkdir_with_parents(dir, DIR_MODE); /* bind says what is wrong with it */
    d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (d->fd < 0 || bind(d->fd, (const struct sockaddr *)&addr, sizeof addr) < 0 ||
        chmod(d->socket_path, 0600) < 0 || listen(d->fd, BACKLOG) < 0) {
        return err_setf(err, -errno, "%s: %s", d->socket_path, g_strerror(errno));
    }
    (void)listen_again(d);
    return 0;
}

void event_daemon_free(EventDaemon *d)
{
    if (d == NULL) {
        return;
    }
    if (d->input != NULL) {
        drop_input(d);
        (void)unlink(d->socket_path); /* the next one would remove it as well */
    }
    if (d->fd >= 0) {
        (void)close(d->fd); /* a listener */
    }
    g_cancellable_cancel(d->cancel);
    g_object_unref(d->cancel);
    g_hash_table_unref(d->guests);
    g_free(d->socket_path);
    g_free(d->run_dir);
    g_free(d->qm);
    g_free(d->root);
    g_free(d);
}

int event_daemon_new(const EventDaemonOptions *options, EventDaemon **ret, Err *err)
{
    g_autoptr(EventDaemon) d = g_new0(EventDaemon, 1);
    int r;

    d->socket_path = g_strdup(options->socket != NULL ? options->socket : EVENT_DAEMON_SOCKET);
    d->run_dir = g_strdup(options->run_dir != NULL ? options->run_dir : GUEST_RUN_DIR);
    d->qm = g_strdup(options->qm != NULL ? options->qm : "qm");
    d->root = g_strdup(options->root);
    d->term_ms = options->term_ms > 0 ? options->term_ms : TERM_MS;
    d->fd = -1;
    d->guests = g_hash_table_new_full(NULL, NULL, NULL, watched_free);
    d->cancel = g_cancellable_new();
    r = listen_at(d, err);
    if (r < 0) {
        return r;
    }
    look_around(d);
    *ret = g_steal_pointer(&d);
    return 0;
}
