/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/cfs/watch.h"

#include "lib/port/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES (64u * 1024u) /* of the feed: two paths and some numbers */
#define OPEN_LINE_MS   5000          /* a new reader is greeted at once */

struct CfsWatch {
    char *pve;
    bool fail_when_gone;
    int fd;          /* of the feed; -1: gone, or none */
    bool polling;    /* the daemon has no feed */
    char *version;   /* polling: newest text of `.version` */
    GString *buffer; /* bytes read; lines are taken from its front */
    uint64_t seq;
};

void cfs_change_clear(CfsChange *c)
{
    g_clear_pointer(&c->op, g_free);
    g_clear_pointer(&c->path, g_free);
    g_clear_pointer(&c->to, g_free);
    g_clear_pointer(&c->line, g_free);
}

static bool below(const char *path, const char *dir)
{
    size_t len = strlen(dir);

    return path != NULL &&
           (len == 0 || (strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0')));
}

bool cfs_change_concerns(const CfsChange *c, const char *path)
{
    return c->kind == CFS_CHANGE_ANYTHING ||
           (c->kind == CFS_CHANGE_ENTRY && (below(c->path, path) || below(c->to, path)));
}

/* ---- lines ---- */

static char *dup_member(JsonObject *o, const char *name)
{
    return g_strdup(json_object_get_string_member_with_default(o, name, NULL));
}

/* Returns 1 for a change, 0 for a line that is none ("open", or kinds not yet invented that have no
 * path). */
static int parse_line(const char *line, CfsChange *ret, Err *err)
{
    g_autoptr(JsonNode) node = json_from_string(line, NULL);
    g_auto(CfsChange) c = {0};
    JsonObject *o;
    gint64 seq;

    if (node == NULL || !JSON_NODE_HOLDS_OBJECT(node)) {
        return err_setf(err, -EBADMSG, ".events: not an event: %.100s", line);
    }
    o = json_node_get_object(node);
    seq = json_object_get_int_member_with_default(o, "seq", 0);
    c.seq = seq > 0 ? (uint64_t)seq : 0;
    c.op = dup_member(o, "op");
    c.path = dup_member(o, "path");
    c.to = dup_member(o, "to");
    c.own = json_object_get_boolean_member_with_default(o, "own", FALSE);
    c.undone = json_object_get_boolean_member_with_default(o, "undone", FALSE);
    c.quorate = json_object_get_boolean_member_with_default(o, "quorate", FALSE);
    c.line = g_strdup(line);
    if (g_strcmp0(c.op, "lost") == 0 || g_strcmp0(c.op, "resync") == 0) {
        c.kind = CFS_CHANGE_ANYTHING;
    } else if (g_strcmp0(c.op, "quorum") == 0) {
        c.kind = CFS_CHANGE_QUORUM;
    } else {
        c.kind = CFS_CHANGE_ENTRY;
    }
    ret->seq = c.seq; /* also of lines that are no change */
    if (c.kind == CFS_CHANGE_ENTRY && c.path == NULL) {
        return 0;
    }
    *ret = c;
    c = (CfsChange){0};
    return 1;
}

/* The first line of the buffer, removed from it; NULL when there is no whole one. */
static char *take_line(CfsWatch *w)
{
    char *nl = memchr(w->buffer->str, '\n', w->buffer->len);
    char *line;

    if (nl == NULL) {
        return NULL;
    }
    line = g_strndup(w->buffer->str, (gsize)(nl - w->buffer->str));
    g_string_erase(w->buffer, 0, nl - w->buffer->str + 1);
    return line;
}

/* 1 when a change was in the buffer. */
static int next_buffered(CfsWatch *w, CfsChange *ret, Err *err)
{
    for (;;) {
        g_autofree char *line = take_line(w);
        CfsChange c = {0};
        int rc;

        if (line == NULL) {
            return w->buffer->len <= LINE_MAX_BYTES
                       ? 0
                       : err_setf(err, -EBADMSG, ".events: a line without end");
        }
        rc = parse_line(line, &c, err);
        if (rc < 0) {
            return rc;
        }
        w->seq = MAX(w->seq, c.seq);
        if (rc > 0) {
            *ret = c;
            return 1;
        }
    }
}

/* ---- the feed ---- */

static int64_t ms_left(MonoTime deadline)
{
    return deadline.us == MONO_NEVER.us ? INT_MAX
                                        : MAX(0, mono_diff_us(deadline, clock_mono()) / US_PER_MS);
}

static int wait_readable(const CfsWatch *w, MonoTime deadline)
{
    struct pollfd p = {.fd = w->fd, .events = POLLIN};
    int64_t ms = ms_left(deadline);
    int rc = poll(&p, 1, deadline.us == MONO_NEVER.us ? -1 : (int)MIN(ms + 1, INT_MAX));

    return rc >= 0 || errno == EINTR ? 0 : -errno;
}

/* 1 bytes came, 0 nothing there now, -errno the feed is gone. */
static int read_some(CfsWatch *w)
{
    char buf[16384];
    ssize_t n = read(w->fd, buf, sizeof buf);

    if (n > 0) {
        g_string_append_len(w->buffer, buf, n);
        return 1;
    }
    return n == 0 ? -ENOTCONN : errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static void close_feed(CfsWatch *w)
{
    if (w->fd >= 0) {
        (void)close(w->fd); /* read only: nothing can be lost */
        w->fd = -1;
    }
    g_string_truncate(w->buffer, 0);
}

static char *read_version(const CfsWatch *w)
{
    g_autofree char *path = g_build_filename(w->pve, ".version", NULL);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

/* Opens the feed behind `since`, or takes to looking at `.version`. */
static int open_feed(CfsWatch *w, uint64_t since)
{
    g_autofree char *path = g_build_filename(w->pve, ".events", NULL);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    w->polling = false;
    if (fd < 0 && errno == ENOENT) {
        char *version = read_version(w);

        if (version == NULL) {
            return -ENOTCONN;
        }
        g_free(w->version);
        w->version = version;
        w->polling = true;
        return 0;
    }
    if (fd < 0) {
        return -errno;
    }
    if (since > 0 && lseek(fd, (off_t)since, SEEK_SET) < 0) {
        int rc = -errno;

        (void)close(fd);
        return rc;
    }
    w->fd = fd;
    return 0;
}

/* The greeting of a reader who did not seek tells the number to come back with. */
static int read_greeting(CfsWatch *w)
{
    MonoTime deadline = mono_add_ms(clock_mono(), OPEN_LINE_MS);
    int rc = 0;

    while (memchr(w->buffer->str, '\n', w->buffer->len) == NULL) {
        rc = ms_left(deadline) == 0 ? -ETIMEDOUT : wait_readable(w, deadline);
        if (rc == 0) {
            rc = read_some(w);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int cfs_watch_open(const char *pve, const CfsWatchOptions *opt, CfsWatch **ret, Err *err)
{
    g_autoptr(CfsWatch) w = g_new0(CfsWatch, 1);
    g_auto(CfsChange) first = {0};
    uint64_t since = opt != NULL ? opt->since : 0;
    int rc;

    w->pve = g_strdup(pve);
    w->fail_when_gone = opt != NULL && opt->fail_when_gone;
    w->fd = -1;
    w->buffer = g_string_new(NULL);
    w->seq = since;
    rc = open_feed(w, since);
    if (rc == 0 && !w->polling && since == 0) {
        rc = read_greeting(w);
    }
    if (rc < 0) {
        return err_setf(err, rc, "'%s/.events': %s", pve, g_strerror(-rc));
    }
    if (w->fd >= 0 && since == 0) {
        g_autofree char *line = take_line(w);

        rc = parse_line(line, &first, err);
        if (rc < 0) {
            return rc;
        }
        w->seq = first.seq;
    }
    *ret = g_steal_pointer(&w);
    return 0;
}

void cfs_watch_close(CfsWatch *w)
{
    if (w == NULL) {
        return;
    }
    close_feed(w);
    g_string_free(w->buffer, TRUE);
    g_free(w->version);
    g_free(w->pve);
    g_free(w);
}

uint64_t cfs_watch_seq(const CfsWatch *w)
{
    return w->polling ? 0 : w->seq;
}

/* ---- waiting ---- */

static void pause_for(int64_t ms, MonoTime deadline)
{
    g_usleep((gulong)(MIN(ms, MAX(ms_left(deadline), 1)) * 1000));
}

/* The file system went away, or was not there: 1 when it is back and something may have been
 * missed, 0 when it is not back yet, or is back without a gap. */
static int come_back(CfsWatch *w, CfsChange *ret)
{
    uint64_t since = w->seq;
    int rc = open_feed(w, since);

    if (rc == -EINVAL || rc == -ESPIPE) { /* a feed that cannot continue there */
        rc = open_feed(w, 0);
        since = 0;
    }
    if (rc < 0 || (since > 0 && !w->polling)) {
        return 0; /* the feed itself tells when lines behind `since` are lost */
    }
    *ret = (CfsChange){.kind = CFS_CHANGE_ANYTHING};
    return 1;
}

static int poll_version(CfsWatch *w, CfsChange *ret)
{
    char *now = read_version(w);
    bool changed = now != NULL && g_strcmp0(now, w->version) != 0;

    if (changed) {
        g_free(w->version);
        w->version = now;
        *ret = (CfsChange){.kind = CFS_CHANGE_ANYTHING};
    } else {
        g_free(now);
    }
    return changed;
}

static int step_feed(CfsWatch *w, MonoTime deadline, CfsChange *ret, Err *err)
{
    int rc = next_buffered(w, ret, err);

    if (rc != 0) {
        return rc;
    }
    rc = wait_readable(w, deadline);
    if (rc == 0) {
        rc = read_some(w);
    }
    if (rc >= 0) {
        return next_buffered(w, ret, err);
    }
    close_feed(w);
    return w->fail_when_gone ? err_setf(err, -ENOTCONN, "'%s': the file system went away", w->pve)
                             : 0;
}

int cfs_watch_next(CfsWatch *w, int64_t timeout_ms, CfsChange *ret, Err *err)
{
    MonoTime deadline =
        timeout_ms < 0 ? MONO_NEVER : mono_add_ms(clock_mono(), MIN(timeout_ms, INT_MAX));
    bool over;
    int rc;

    do {
        over = timeout_ms >= 0 && ms_left(deadline) == 0; /* then one last look */
        if (w->fd >= 0) {
            rc = step_feed(w, deadline, ret, err);
        } else if (w->polling) {
            rc = poll_version(w, ret);
            if (rc == 0 && !over) {
                pause_for(CFS_WATCH_POLL_MS, deadline);
            }
        } else {
            rc = come_back(w, ret);
            if (rc == 0 && w->fd < 0 && !over) {
                pause_for(CFS_WATCH_REOPEN_MS, deadline);
            }
        }
    } while (rc == 0 && !over);
    return rc;
}
