/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual file `.events`: reads wait until something changed. A request that waits takes no
 * worker: it is put on a list and answered by a thread of this module, which the feed wakes. What
 * is read is the feed's matter (feed.h).
 */
#include "pmxcfs/io/mount_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>

typedef struct Reader {
    GMutex lock; /* guards the cursor */
    FeedCursor cursor;
    struct fuse_pollhandle *poll; /* who polls, or NULL; guarded by the hub's lock */
} Reader;

typedef struct Parked {
    MountCall call;
    Reader *reader;
    size_t size;
    uint64_t off;
    bool ready;       /* may be answered */
    bool interrupted; /* shall be */
} Parked;

struct MountEvents {
    Feed *feed;
    GThread *thread;

    GMutex lock;        /* guards the next two */
    GQueue parked;      /* of Parked */
    GSList *readers;    /* of Reader: open files */
    _Atomic guint open; /* how many: without any, news wake nobody */

    GMutex wake_lock; /* guards all below; held for nothing else, as the appender takes it */
    GCond cond;
    bool news; /* look at everybody who waits */
    bool stop; /* nobody waits any more: a read gives its end */
    bool quit;
};

static void wake(MountEvents *ev)
{
    g_mutex_lock(&ev->wake_lock);
    ev->news = true;
    g_cond_signal(&ev->cond);
    g_mutex_unlock(&ev->wake_lock);
}

/* On the appender's thread. Who opens the file later begins behind this. */
static void on_news(void *ctx)
{
    MountEvents *ev = ctx;
    if (atomic_load(&ev->open) > 0) {
        wake(ev);
    }
}

/* By libfuse, which holds a lock of the request: only looks for it here and wakes. */
static void on_interrupt(fuse_req_t req, void *ctx)
{
    MountEvents *ev = ctx;
    g_mutex_lock(&ev->lock);
    for (GList *l = ev->parked.head; l != NULL; l = l->next) {
        Parked *p = l->data;
        p->interrupted = p->interrupted || p->call.req == req;
    }
    g_mutex_unlock(&ev->lock);
    wake(ev);
}

/* Answers when there is something to read. */
static bool try_read(MountEvents *ev, const MountCall *c, Reader *r, uint64_t off, size_t size)
{
    g_autofree char *buf = g_malloc(size);
    g_mutex_lock(&r->lock);
    size_t n = feed_read(ev->feed, &r->cursor, off, buf, size);
    g_mutex_unlock(&r->lock);
    if (n > 0) {
        mount_reply_buf(c, buf, n);
    }
    return n > 0;
}

/* Answers a parked request if it is time to. Hub's lock not held. */
static bool answer(MountEvents *ev, Parked *p, bool interrupted, bool stop)
{
    if (try_read(ev, &p->call, p->reader, p->off, p->size)) {
        return true;
    }
    if (stop) {
        mount_reply_buf(&p->call, NULL, 0);
    } else if (interrupted) {
        mount_reply(&p->call, -EINTR);
    }
    return stop || interrupted;
}

/* One look at all who wait. Only this thread takes requests out of the list. */
static void serve_parked(MountEvents *ev, bool stop)
{
    g_mutex_lock(&ev->lock);
    for (guint i = g_queue_get_length(&ev->parked); i > 0; i--) {
        Parked *p = g_queue_pop_head(&ev->parked);
        /* It stays on the list while it is looked at: an interruption must find it. */
        g_queue_push_tail(&ev->parked, p);
        if (!p->ready) {
            continue;
        }
        bool interrupted = p->interrupted;
        g_mutex_unlock(&ev->lock);
        bool done = answer(ev, p, interrupted, stop);
        g_mutex_lock(&ev->lock);
        if (done) {
            g_queue_remove(&ev->parked, p);
            g_free(p);
        }
    }
    g_mutex_unlock(&ev->lock);
}

/* Tells those who poll and have something to read now. */
static void serve_polls(MountEvents *ev, bool stop)
{
    g_mutex_lock(&ev->lock);
    for (GSList *l = ev->readers; l != NULL; l = l->next) {
        Reader *r = l->data;
        if (r->poll == NULL) {
            continue;
        }
        g_mutex_lock(&r->lock);
        bool ready = stop || feed_ready(ev->feed, &r->cursor);
        g_mutex_unlock(&r->lock);
        if (ready) {
            struct fuse_pollhandle *handle = g_steal_pointer(&r->poll);
            (void)fuse_lowlevel_notify_poll(handle); /* fails when nobody polls any more */
            fuse_pollhandle_destroy(handle);
        }
    }
    g_mutex_unlock(&ev->lock);
}

static gpointer events_main(gpointer data)
{
    MountEvents *ev = data;
    bool quit = false;
    while (!quit) {
        g_mutex_lock(&ev->wake_lock);
        while (!ev->news && !ev->quit) {
            g_cond_wait(&ev->cond, &ev->wake_lock);
        }
        ev->news = false;
        bool stop = ev->stop;
        quit = ev->quit;
        g_mutex_unlock(&ev->wake_lock);
        serve_parked(ev, stop);
        serve_polls(ev, stop);
    }
    return NULL;
}

/* ---- requests ------------------------------------------------------------------------------ */

static void reader_free(MountEvents *ev, Reader *r)
{
    g_mutex_lock(&ev->lock);
    ev->readers = g_slist_remove(ev->readers, r);
    g_mutex_unlock(&ev->lock);
    if (r->poll != NULL) {
        fuse_pollhandle_destroy(r->poll);
    }
    atomic_fetch_sub(&ev->open, 1);
    feed_cursor_done(&r->cursor);
    g_mutex_clear(&r->lock);
    g_free(r);
}

void mount_events_open(const MountCall *c, struct fuse_file_info *fi)
{
    MountEvents *ev = c->m->events;
    WallTime now = {g_get_real_time() / G_USEC_PER_SEC};
    Reader *r = g_new0(Reader, 1);
    g_mutex_init(&r->lock);
    atomic_fetch_add(&ev->open, 1);
    feed_cursor_init(&r->cursor, ev->feed, fuse_req_ctx(c->req)->uid == 0, now);
    fi->fh = (uint64_t)(uintptr_t)r;
    fi->direct_io = 1;
    fi->noflush = 1;
    g_mutex_lock(&ev->lock);
    ev->readers = g_slist_prepend(ev->readers, r);
    g_mutex_unlock(&ev->lock);
    if (!mount_reply_open(c, fi)) {
        reader_free(ev, r);
    }
}

void mount_events_close(Mount *m, const struct fuse_file_info *fi)
{
    reader_free(m->events, (Reader *)(uintptr_t)fi->fh);
}

void mount_events_read(const MountCall *c, size_t size, off_t off, const struct fuse_file_info *fi)
{
    MountEvents *ev = c->m->events;
    Reader *r = (Reader *)(uintptr_t)fi->fh;
    size = MIN(size, (size_t)MOUNT_WRITE_MAX);
    if (off < 0) {
        mount_reply(c, -EINVAL);
        return;
    }
    if (try_read(ev, c, r, (uint64_t)off, size)) {
        return;
    }
    if ((fi->flags & O_NONBLOCK) != 0) {
        mount_reply(c, -EAGAIN);
        return;
    }
    /* On the list before libfuse may tell of an interruption, answered only after that. */
    Parked *p = g_new0(Parked, 1);
    *p = (Parked){.call = *c, .reader = r, .size = size, .off = (uint64_t)off};
    g_mutex_lock(&ev->lock);
    g_queue_push_tail(&ev->parked, p);
    g_mutex_unlock(&ev->lock);
    fuse_req_interrupt_func(c->req, on_interrupt, ev);
    g_mutex_lock(&ev->lock);
    p->ready = true;
    g_mutex_unlock(&ev->lock);
    wake(ev); /* something may have come while it was put on the list */
}

void mount_op_poll(fuse_req_t req,
                   fuse_ino_t ino,
                   struct fuse_file_info *fi,
                   struct fuse_pollhandle *ph)
{
    MountCall c = mount_call(req, MOUNT_OP_POLL);
    MountEvents *ev = c.m->events;
    unsigned ready = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    if (mount_special_of(ino) == CFS_SPECIAL_EVENTS) {
        Reader *r = (Reader *)(uintptr_t)fi->fh;
        g_mutex_lock(&ev->lock);
        struct fuse_pollhandle *old = r->poll;
        r->poll = ph != NULL ? ph : old;
        g_mutex_lock(&r->lock);
        ready = feed_ready(ev->feed, &r->cursor) ? POLLIN | POLLRDNORM : 0;
        g_mutex_unlock(&r->lock);
        g_mutex_unlock(&ev->lock);
        if (ph != NULL && old != NULL) {
            fuse_pollhandle_destroy(old);
        }
    } else if (ph != NULL) {
        fuse_pollhandle_destroy(ph);
    }
    mount_reply_poll(&c, ready);
}

/* ---- life ---------------------------------------------------------------------------------- */

MountEvents *mount_events_new(Mount *m)
{
    MountEvents *ev = g_new0(MountEvents, 1);
    ev->feed = engine_feed(m->engine);
    g_mutex_init(&ev->lock);
    g_mutex_init(&ev->wake_lock);
    g_cond_init(&ev->cond);
    g_queue_init(&ev->parked);
    feed_set_listener(ev->feed, on_news, ev);
    return ev;
}

void mount_events_start(MountEvents *ev)
{
    ev->thread = g_thread_new("events", events_main, ev);
}

static void end(MountEvents *ev, bool quit)
{
    g_mutex_lock(&ev->wake_lock);
    ev->stop = true;
    ev->quit = ev->quit || quit; /* mount_stop may come after mount_run has asked for the end */
    ev->news = true;
    g_cond_signal(&ev->cond);
    g_mutex_unlock(&ev->wake_lock);
}

void mount_events_stop(MountEvents *ev)
{
    end(ev, false);
}

void mount_events_join(MountEvents *ev)
{
    if (ev->thread != NULL) {
        end(ev, true);
        g_thread_join(g_steal_pointer(&ev->thread));
    }
}

void mount_events_free(MountEvents *ev)
{
    if (ev == NULL) {
        return;
    }
    g_assert(ev->thread == NULL && g_queue_is_empty(&ev->parked));
    while (ev->readers != NULL) { /* open when the device was closed: no release came */
        reader_free(ev, ev->readers->data);
    }
    g_cond_clear(&ev->cond);
    g_mutex_clear(&ev->wake_lock);
    g_mutex_clear(&ev->lock);
    g_free(ev);
}
