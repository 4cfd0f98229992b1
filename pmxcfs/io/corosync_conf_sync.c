/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/corosync_conf_sync.h"

#include "lib/conf/corosync_check.h"
#include "lib/port/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct CorosyncConfSync {
    char *host_path;
    char *reload;
    Tracer tracer;
    GThread *thread;
    GMutex lock; /* protects what follows */
    GCond wake;
    GBytes *next; /* newest text not yet handled */
    bool next_notify;
    bool stop;
};

/* ---- deciding ------------------------------------------------------------------------------- */

CorosyncConfVerdict
corosync_conf_verdict(const char *text, gsize size, const char *host, gsize host_size, Err *err)
{
    uint64_t version = 0, host_version = 0;

    if (size == 0 || (host != NULL && host_size == size && memcmp(host, text, size) == 0)) {
        return COROSYNC_CONF_SAME;
    }
    if (!corosync_text_version(text, size, &version)) {
        (void)err_setf(err, -EINVAL, "no config_version in it");
        return COROSYNC_CONF_BAD;
    }
    if (host != NULL && corosync_text_version(host, host_size, &host_version) &&
        host_version > version) {
        (void)err_setf(err, -ESTALE,
                       "local corosync.conf is newer (%" G_GUINT64_FORMAT " > %" G_GUINT64_FORMAT
                       ")",
                       host_version, version);
        return COROSYNC_CONF_OLDER;
    }
    return corosync_check_text(text, size, NULL, 0, err) < 0 ? COROSYNC_CONF_BAD
                                                             : COROSYNC_CONF_INSTALL;
}

/* ---- writing -------------------------------------------------------------------------------- */

static int write_all(int fd, const char *text, gsize size)
{
    while (size > 0) {
        ssize_t n = write(fd, text, size);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        text += n;
        size -= (gsize)n;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static int sync_directory(const char *path)
{
    g_autofree char *dir = g_path_get_dirname(path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;

    if (fd >= 0) {
        (void)close(fd); /* nothing was written through it */
    }
    return r;
}

int corosync_conf_install(const char *path, const char *text, gsize size, Err *err)
{
    g_autofree char *temp = g_strdup_printf("%s.tmp.%d", path, (int)getpid());
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    int r = fd < 0 ? -errno : write_all(fd, text, size);

    if (fd >= 0 && fchmod(fd, 0644) < 0 && r == 0) {
        r = -errno;
    }
    if (fd >= 0 && close(fd) < 0 && r == 0) {
        r = -errno;
    }
    if (r == 0 && rename(temp, path) < 0) {
        r = -errno;
    }
    if (r < 0) {
        (void)unlink(temp);
        return err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    r = sync_directory(path);
    return r < 0 ? err_setf(err, r, "%s: %s", path, strerror(-r)) : 0;
}

/* ---- thread --------------------------------------------------------------------------------- */

static void tell_corosync(CorosyncConfSync *s)
{
    const char *const argv[] = {s->reload, "-R", NULL};
    /* It may be between two memberships; the next configuration must not wait for that. */
    const ProcessOptions opt = {.timeout_ms = COROSYNC_RELOAD_TIMEOUT_MS};
    Err err = ERR_INIT;

    g_usleep(COROSYNC_RELOAD_DELAY_MS * 1000);
    if (process_check(argv, &opt, NULL, &err) < 0) {
        trace(&s->tracer, TRACE_ERR, "corosync.conf: %s -R failed: %s", s->reload, err_text(&err));
    }
}

static void handle(CorosyncConfSync *s, GBytes *bytes, bool notify)
{
    gsize size = 0, host_size = 0;
    const char *text = g_bytes_get_data(bytes, &size);
    g_autofree char *host = NULL;
    uint64_t version = 0;
    Err err = ERR_INIT;

    if (!g_file_get_contents(s->host_path, &host, &host_size, NULL)) {
        g_clear_pointer(&host, g_free); /* missing or unreadable: it will be written anew */
        host_size = 0;
    }
    switch (corosync_conf_verdict(text, size, host, host_size, &err)) {
    case COROSYNC_CONF_SAME:
        return;
    case COROSYNC_CONF_OLDER:
    case COROSYNC_CONF_BAD:
        trace(&s->tracer, TRACE_ERR, "corosync.conf of the cluster is not taken over: %s",
              err_text(&err));
        return;
    case COROSYNC_CONF_INSTALL:
        break;
    }
    if (corosync_conf_install(s->host_path, text, size, &err) < 0) {
        trace(&s->tracer, TRACE_ERR, "writing the host's corosync.conf failed: %s", err_text(&err));
        return;
    }
    trace(&s->tracer, TRACE_NOTICE, "wrote new %s", s->host_path);
    if (notify && host != NULL && corosync_text_version(host, host_size, &version)) {
        tell_corosync(s);
    }
}

static gpointer run(gpointer data)
{
    CorosyncConfSync *s = data;

    g_mutex_lock(&s->lock);
    while (!s->stop || s->next != NULL) {
        if (s->next == NULL) {
            g_cond_wait(&s->wake, &s->lock);
            continue;
        }
        GBytes *bytes = g_steal_pointer(&s->next);
        bool notify = s->next_notify;

        s->next_notify = false;
        g_mutex_unlock(&s->lock);
        handle(s, bytes, notify);
        g_bytes_unref(bytes);
        g_mutex_lock(&s->lock);
    }
    g_mutex_unlock(&s->lock);
    return NULL;
}

CorosyncConfSync *
corosync_conf_sync_new(const char *host_path, const char *reload, const Tracer *tracer)
{
    CorosyncConfSync *s = g_new0(CorosyncConfSync, 1);

    s->host_path = g_strdup(host_path);
    s->reload = g_strdup(reload != NULL ? reload : "corosync-cfgtool");
    s->tracer = tracer != NULL ? *tracer : (Tracer){0};
    g_mutex_init(&s->lock);
    g_cond_init(&s->wake);
    s->thread = g_thread_new("conf-sync", run, s);
    return s;
}

void corosync_conf_sync_push(CorosyncConfSync *s, GBytes *text, bool notify)
{
    g_mutex_lock(&s->lock);
    g_clear_pointer(&s->next, g_bytes_unref);
    s->next = g_bytes_ref(text);
    /* A skipped text that wanted corosync told still wants that for its successor. */
    s->next_notify = s->next_notify || notify;
    g_cond_signal(&s->wake);
    g_mutex_unlock(&s->lock);
}

void corosync_conf_sync_free(CorosyncConfSync *s)
{
    if (s == NULL) {
        return;
    }
    g_mutex_lock(&s->lock);
    s->stop = true;
    g_cond_signal(&s->wake);
    g_mutex_unlock(&s->lock);
    (void)g_thread_join(s->thread);
    g_clear_pointer(&s->next, g_bytes_unref);
    g_mutex_clear(&s->lock);
    g_cond_clear(&s->wake);
    g_free(s->host_path);
    g_free(s->reload);
    g_free(s);
}
