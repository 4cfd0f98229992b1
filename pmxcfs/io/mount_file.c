/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open, read, close (reference 5.4).
 *
 * A handle that only reads is nothing here: `fh` 0, pages kept by the kernel, no flush. The others
 * are MountHandles and bypass the page cache: those that may write, and those that read while
 * something is written that is no change yet, or soon after the content changed (MOUNT_BUSY_US).
 */
#include "pmxcfs/io/mount_priv.h"

#include <errno.h>
#include <fcntl.h>

MountHandle *mount_handle_of(const struct fuse_file_info *fi)
{
    return fi != NULL ? (MountHandle *)(uintptr_t)fi->fh : NULL;
}

/* ---- handles ------------------------------------------------------------------------------- */

MountHandle *mount_handle_new(Mount *m, uint64_t ino, bool writes, pid_t pid)
{
    MountHandle *h = g_new0(MountHandle, 1);
    h->node = mount_node_get(m->nodes, ino);
    h->writes = writes;
    h->direct = writes;
    h->pid = pid;
    h->fresh = writes;
    g_mutex_lock(&h->node->lock);
    mount_file_hold(h->node);
    h->node->file->open = g_slist_prepend(h->node->file->open, h);
    g_mutex_unlock(&h->node->lock);
    return h;
}

void mount_handle_free(Mount *m, MountHandle *h)
{
    MountNode *n = h->node;
    g_mutex_lock(&n->lock);
    n->file->open = g_slist_remove(n->file->open, h);
    n->file->cuts -= h->cuts;
    mount_file_drop(m, n);
    g_mutex_unlock(&n->lock);
    mount_node_put(m->nodes, n);
    g_free(h);
}

void mount_handle_applied(Mount *m, MountHandle *h, uint64_t seq)
{
    g_mutex_lock(&h->node->lock);
    mount_applied_locked(m, h->node, seq);
    g_mutex_unlock(&h->node->lock);
}

void mount_handle_cut(MountHandle *h)
{
    MountFile *f = h->node->file;
    f->cuts += !h->cuts;
    f->mtime = mount_now();
    h->cuts = true;
    h->unsaved = true;
}

void mount_handle_refused(MountHandle *h, int error)
{
    g_mutex_lock(&h->node->lock);
    if (h->cuts) {
        h->node->file->cuts--;
        h->cuts = false;
        h->error = error;
    }
    g_mutex_unlock(&h->node->lock);
}

int mount_handle_error(const MountHandle *h)
{
    return h->error < 0 ? h->error : h->lost;
}

int mount_handle_result(MountHandle *h, int r)
{
    g_mutex_lock(&h->node->lock);
    r = r < 0 ? r : mount_handle_error(h);
    h->error = 0;
    g_mutex_unlock(&h->node->lock);
    return r;
}

void mount_handle_fill(MountHandle *h, struct fuse_file_info *fi)
{
    fi->fh = (uint64_t)(uintptr_t)h;
    fi->keep_cache = 1;
    fi->direct_io = h->direct;
    fi->noflush = h->direct && !h->writes;
}

/* ---- open ---------------------------------------------------------------------------------- */

/* Takes part in the page cache, unless the content is another one with each read, or the kernel is
 * about to be told of another one: then what it reads and what the kernel believes of the size
 * would be of two moments, and a handle is needed. Node lock held. */
static bool open_cached_locked(MountNode *n)
{
    bool cached = mount_view_cached(n) && n->previous == NULL && n->settling == 0;
    n->cached_opens += cached;
    return cached;
}

static void close_cached(Mount *m, uint64_t ino)
{
    MountNode *n = mount_node_find(m->nodes, ino);
    if (n == NULL) {
        return;
    }
    g_mutex_lock(&n->lock);
    n->cached_opens -= MIN(n->cached_opens, 1);
    if (n->file != NULL) {
        mount_file_wake(n);
    }
    bool last = n->cached_opens == 0 && n->previous != NULL;
    g_mutex_unlock(&n->lock);
    if (last) {
        mount_notify_data(m->notify, ino); /* waited for this */
    }
    mount_node_put(m->nodes, n);
}

static void open_writer(const MountCall *c, uint64_t ino, bool writes, struct fuse_file_info *fi)
{
    Mount *m = c->m; /* the call ends with the reply */
    MountHandle *h = mount_handle_new(m, ino, writes, fuse_req_ctx(c->req)->pid);
    h->direct = true;
    mount_handle_fill(h, fi);
    if (!mount_reply_open(c, fi)) {
        mount_handle_free(m, h);
    }
}

static void open_reader(const MountCall *c, uint64_t ino, bool cached, struct fuse_file_info *fi)
{
    Mount *m = c->m; /* the call ends with the reply */
    if (!cached) {
        open_writer(c, ino, false, fi);
        return;
    }
    fi->fh = 0;
    fi->keep_cache = 1;
    fi->noflush = 1;
    if (!mount_reply_open(c, fi)) {
        close_cached(m, ino);
    }
}

void mount_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    MountCall c = mount_call(req, MOUNT_OP_OPEN);
    int special = mount_special_of(ino);
    if (special >= 0) {
        mount_special_open(&c, (CfsSpecial)special, fi);
        return;
    }
    if ((fi->flags & O_ACCMODE) != O_RDONLY) {
        open_writer(&c, ino, true, fi);
        return;
    }
    MountNode *n = mount_node_get(c.m->nodes, ino);
    g_mutex_lock(&n->lock);
    bool cached = open_cached_locked(n);
    g_mutex_unlock(&n->lock);
    mount_node_put(c.m->nodes, n);
    open_reader(&c, ino, cached, fi);
}

/* ---- read ---------------------------------------------------------------------------------- */

void mount_op_read(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    MountCall c = mount_call(req, MOUNT_OP_READ);
    int special = mount_special_of(ino);
    if (special >= 0) {
        mount_special_read(&c, (CfsSpecial)special, size, off, fi);
        return;
    }
    MountHandle *h = mount_handle_of(fi);
    bool direct = h != NULL && h->direct;
    pid_t pid = direct ? fuse_req_ctx(req)->pid : 0; /* what the page cache gets is for all */
    MountNode *n = mount_node_get(c.m->nodes, ino);
    g_autoptr(Entry) e = mount_entry_and_lock(c.m, n, direct, NULL);
    if (e != NULL && (h == NULL || !h->writes)) {
        mount_shown_locked(n, &e, direct);
    }
    g_autofree uint8_t *composed = NULL;
    uint32_t len = 0;
    uint32_t end = e != NULL ? mount_view_size(n, e, pid, h) : 0;
    if (off >= 0 && (uint64_t)off < end) {
        len = (uint32_t)MIN(size, end - (uint64_t)off);
    }
    if (len > 0 && mount_view_differs(n)) {
        composed = mount_view_compose(n, e, (uint32_t)off, len);
    }
    n->pages_cached = n->pages_cached || !direct;
    g_mutex_unlock(&n->lock);
    mount_node_put(c.m->nodes, n);

    if (e == NULL) {
        mount_reply(&c, -ESTALE);
    } else if (composed != NULL || len == 0) {
        mount_reply_buf(&c, composed, len);
    } else if (e->data == NULL) {
        mount_reply_zeros(&c, len); /* a size without content, from a foreign member */
    } else {
        mount_reply_buf(&c, (const uint8_t *)g_bytes_get_data(e->data, NULL) + off, len);
    }
}

/* ---- close --------------------------------------------------------------------------------- */

static void run_release(MountTask *t)
{
    Mount *m = t->call.m;
    MountHandle *h = mount_handle_of(&t->fi);
    g_mutex_lock(&h->node->lock);
    bool cuts = h->cuts;
    g_mutex_unlock(&h->node->lock);
    /* Normally nothing is left after the flush of each close. Nobody waits for this result; what is
     * lost is logged. */
    (void)mount_commit(m, h->node, REPLICA_WAIT_DURABLE, cuts, NULL);
    mount_handle_free(m, h);
    mount_reply(&t->call, 0);
}

void mount_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    MountCall c = mount_call(req, MOUNT_OP_RELEASE);
    MountHandle *h = mount_handle_of(fi);
    if (mount_special_of(ino) >= 0) {
        mount_special_release(&c, (CfsSpecial)mount_special_of(ino), fi);
    } else if (h == NULL) {
        close_cached(c.m, ino);
        mount_reply(&c, 0);
    } else if (!mount_handle_has_work(h, true)) {
        mount_handle_free(c.m, h);
        mount_reply(&c, 0);
    } else {
        MountTask *t = mount_task_new(req, MOUNT_OP_RELEASE, run_release, ino, NULL);
        t->fi = *fi;
        mount_task_start(t);
    }
}
