/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open, read, write, close (reference 5.4, 5.5).
 *
 * A handle that only reads is nothing here: `fh` 0, pages kept by the kernel, no flush. A handle
 * that may write is a MountHandle; its reads and writes bypass the page cache. When a write meets
 * pages that the kernel may have from other handles, these are dropped before it is answered.
 */
#include "pmxcfs/io/mount_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Open files of one process looked through at a flush; more are taken for "yes". */
#define FDINFO_MAX 512

static MountHandle *handle_of(const struct fuse_file_info *fi)
{
    return fi != NULL ? (MountHandle *)(uintptr_t)fi->fh : NULL;
}

/* ---- handles ------------------------------------------------------------------------------- */

MountHandle *mount_handle_new(Mount *m, uint64_t ino, bool writes, pid_t pid)
{
    MountHandle *h = g_new0(MountHandle, 1);
    h->node = mount_node_get(m->nodes, ino);
    h->writes = writes;
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
}

void mount_handle_fill(MountHandle *h, struct fuse_file_info *fi)
{
    fi->fh = (uint64_t)(uintptr_t)h;
    fi->keep_cache = 1;
    fi->direct_io = h->writes;
}

/* ---- what readers see ---------------------------------------------------------------------- */

bool mount_view_differs(const MountNode *n)
{
    const MountFile *f = n->file;
    return f != NULL && (f->has_inflight || f->cuts > 0 || !overlay_is_empty(&f->overlay));
}

static bool sees_cut(const MountFile *f, pid_t pid, const void *handle)
{
    for (GSList *l = f->cuts > 0 ? f->open : NULL; l != NULL; l = l->next) {
        const MountHandle *h = l->data;
        if (h->cuts && (handle != NULL ? handle == h : pid != 0 && pid == h->pid)) {
            return true;
        }
    }
    return false;
}

uint32_t mount_view_size(const MountNode *n, const Entry *base, pid_t pid, const void *handle)
{
    const MountFile *f = n->file;
    uint32_t size = base->size;
    if (f == NULL) {
        return size;
    }
    if (sees_cut(f, pid, handle)) {
        return 0;
    }
    return overlay_size(&f->overlay, mount_below_locked(n, base));
}

uint32_t mount_below_locked(const MountNode *n, const Entry *base)
{
    const MountFile *f = n->file;
    return f->has_inflight ? overlay_op_size(&f->inflight, base->size) : base->size;
}

void mount_cut_locked(Mount *m, MountNode *n, const Entry *base)
{
    MountFile *f = n->file;
    if (f->cuts == 0) {
        return;
    }
    size_t before = overlay_bytes(&f->overlay);
    overlay_truncate(&f->overlay, mount_below_locked(n, base), 0);
    atomic_fetch_sub(&m->pending, before - overlay_bytes(&f->overlay));
    for (GSList *l = f->open; l != NULL; l = l->next) {
        ((MountHandle *)l->data)->cuts = false;
    }
    f->cuts = 0;
}

void mount_truncate_locked(Mount *m, MountNode *n, const Entry *base, uint32_t size)
{
    MountFile *f = n->file;
    mount_cut_locked(m, n, base);
    size_t before = overlay_bytes(&f->overlay);
    overlay_truncate(&f->overlay, mount_below_locked(n, base), size);
    atomic_fetch_sub(&m->pending, before - overlay_bytes(&f->overlay));
    f->mtime = mount_now();
}

/* Bytes of `base` in [off, off + len), zeros where it has none. */
static void copy_base(const Entry *base, uint32_t off, uint32_t len, uint8_t *buf)
{
    uint32_t have = off < base->size ? MIN(len, base->size - off) : 0;
    if (base->data == NULL) {
        have = 0;
    }
    if (have > 0) {
        memcpy(buf, (const uint8_t *)g_bytes_get_data(base->data, NULL) + off, have);
    }
    memset(buf + have, 0, len - have);
}

/* The bytes as the layers show them. Node lock held. */
static uint8_t *compose(const MountNode *n, const Entry *base, uint32_t off, uint32_t len)
{
    const MountFile *f = n->file;
    uint8_t *buf = g_malloc(len);
    uint32_t below = base->size;
    copy_base(base, off, len, buf);
    if (f->has_inflight) {
        overlay_op_apply(&f->inflight, below, off, len, buf);
        below = overlay_op_size(&f->inflight, below);
    }
    overlay_apply(&f->overlay, below, off, len, buf);
    return buf;
}

void mount_op_read(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    MountCall c = mount_call(req, MOUNT_OP_READ);
    int special = mount_special_of(ino);
    if (special >= 0) {
        mount_special_read(&c, (CfsSpecial)special, size, off, fi);
        return;
    }
    MountHandle *h = handle_of(fi);
    MountNode *n = mount_node_get(c.m->nodes, ino);
    g_autoptr(Entry) e = mount_entry_and_lock(c.m, n);
    g_autofree uint8_t *composed = NULL;
    uint32_t len = 0;
    uint32_t end = e != NULL ? mount_view_size(n, e, 0, h) : 0;
    if (off >= 0 && (uint64_t)off < end) {
        len = (uint32_t)MIN(size, end - (uint64_t)off);
    }
    if (len > 0 && mount_view_differs(n)) {
        composed = compose(n, e, (uint32_t)off, len);
    }
    n->pages_cached = n->pages_cached || h == NULL || !h->writes;
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

/* ---- open ---------------------------------------------------------------------------------- */

void mount_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    MountCall c = mount_call(req, MOUNT_OP_OPEN);
    Mount *m = c.m;
    int special = mount_special_of(ino);
    if (special >= 0) {
        mount_special_open(&c, (CfsSpecial)special, fi);
        return;
    }
    if ((fi->flags & O_ACCMODE) != O_RDONLY) {
        MountHandle *h = mount_handle_new(m, ino, true, fuse_req_ctx(req)->pid);
        mount_handle_fill(h, fi);
        if (!mount_reply_open(&c, fi)) {
            mount_handle_free(m, h);
        }
        return;
    }
    fi->fh = 0;
    fi->keep_cache = 1;
    fi->noflush = 1;
    (void)mount_reply_open(&c, fi); /* nothing to take back */
}

/* ---- write --------------------------------------------------------------------------------- */

/* Puts the bytes into the overlay. Returns the count taken or -errno. Node lock held. */
static int
write_locked(Mount *m, MountHandle *h, const char *data, size_t size, uint64_t off, bool append)
{
    MountNode *n = h->node;
    MountFile *f = n->file;
    uint64_t used = 0;
    uint32_t entries = 0;
    MemdbLimits limits = {0};
    engine_usage(m->engine, &used, &entries, &limits);
    g_autoptr(Entry) base = mount_entry_locked(m, n, NULL);
    if (base == NULL) {
        return -ESTALE;
    }
    if (append) {
        /* Where the file ends now; the kernel's idea of that may be older. */
        off = f->cuts > 0 ? 0 : mount_view_size(n, base, 0, h);
    }
    if (off >= limits.file_size_max) {
        return -EFBIG;
    }
    uint32_t len = (uint32_t)MIN(size, limits.file_size_max - off);
    uint64_t end = off + len;
    if (end > base->size && used + (end - base->size) > limits.total_size_max) {
        return -ENOSPC;
    }
    h->fresh = false;
    mount_cut_locked(m, n, base);
    size_t before = overlay_bytes(&f->overlay);
    overlay_write(&f->overlay, (uint32_t)off, data, len);
    atomic_fetch_add(&m->pending, overlay_bytes(&f->overlay) - before);
    f->mtime = mount_now();
    return (int)len;
}

/* The slow end of a write: pages to drop, or too much uncommitted. */
static void run_write(MountTask *t)
{
    Mount *m = t->call.m;
    int r = 0;
    mount_inval_data_now(m, t->ino);
    if (atomic_load(&m->pending) > MOUNT_PENDING_MAX) {
        r = mount_commit(m, handle_of(&t->fi)->node, REPLICA_WAIT_APPLIED, true, NULL);
    }
    if (r < 0) {
        mount_reply(&t->call, r);
    } else {
        mount_reply_write(&t->call, t->size);
    }
}

static void write_file(
    const MountCall *c, const char *data, size_t size, off_t off, const struct fuse_file_info *fi)
{
    Mount *m = c->m;
    MountHandle *h = handle_of(fi);
    if (h == NULL || !h->writes || off < 0) {
        mount_reply(c, -EBADF);
        return;
    }
    if (size == 0) {
        mount_reply_write(c, 0);
        return;
    }
    if (!engine_quorate(m->engine)) {
        mount_reply(c, -EACCES);
        return;
    }
    MountNode *n = h->node;
    g_mutex_lock(&n->lock);
    int r = write_locked(m, h, data, size, (uint64_t)off, (fi->flags & O_APPEND) != 0);
    bool slow = r > 0 && (n->pages_cached || atomic_load(&m->pending) > MOUNT_PENDING_MAX);
    if (slow) {
        n->pages_cached = false;
    }
    g_mutex_unlock(&n->lock);
    if (r < 0) {
        mount_reply(c, r);
    } else if (!slow) {
        mount_reply_write(c, (size_t)r);
    } else {
        MountTask *t = mount_task_new(c->req, MOUNT_OP_WRITE, run_write, n->ino, NULL);
        t->fi = *fi;
        t->size = (size_t)r;
        mount_task_start(t);
    }
}

void mount_op_write(fuse_req_t req,
                    fuse_ino_t ino,
                    const char *data,
                    size_t size,
                    off_t off,
                    struct fuse_file_info *fi)
{
    MountCall c = mount_call(req, MOUNT_OP_WRITE);
    int special = mount_special_of(ino);
    if (special >= 0) {
        mount_special_write(&c, (CfsSpecial)special, data, size, off);
    } else {
        write_file(&c, data, size, off, fi);
    }
}

/* ---- sync and close ------------------------------------------------------------------------ */

/* Value of the line "`key`: value" of an fdinfo text, in `base`; G_MAXUINT64 when there is none. */
static uint64_t fdinfo_value(const char *text, const char *key, guint base)
{
    const char *at = strstr(text, key);
    return at != NULL ? g_ascii_strtoull(at + strlen(key), NULL, base) : G_MAXUINT64;
}

/* Does process `pid` have the file open for writing? Asked when a descriptor is closed of a handle
 * that cut the file and wrote nothing. A shell that redirects into a file opens it, moves the
 * descriptor and closes the first one before anything is written, and a child closes what it
 * inherited: the truncation shall wait for the text. A wrong answer does no harm: the truncation is
 * committed now, as its own change, or at the latest when the last descriptor is closed. */
static bool open_elsewhere(pid_t pid, uint64_t ino)
{
    char dir_path[64];
    g_snprintf(dir_path, sizeof(dir_path), "/proc/%d/fdinfo", (int)pid);
    DIR *dir = opendir(dir_path);
    if (dir == NULL) {
        return false;
    }
    bool found = false;
    int seen = 0;
    for (struct dirent *d = readdir(dir); d != NULL && !found; d = readdir(dir)) {
        char path[64 + sizeof(d->d_name)];
        char text[512] = "";
        g_snprintf(path, sizeof(path), "%s/%s", dir_path, d->d_name);
        int fd = d->d_name[0] == '.' ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            ssize_t len = read(fd, text, sizeof(text) - 1);
            close(fd);
            text[MAX(len, 0)] = '\0';
            found = fdinfo_value(text, "ino:\t", 10) == ino &&
                    (fdinfo_value(text, "flags:\t", 8) & O_ACCMODE) != O_RDONLY;
        }
        found = found || ++seen > FDINFO_MAX;
    }
    closedir(dir);
    return found;
}

static void run_flush(MountTask *t)
{
    MountHandle *h = handle_of(&t->fi);
    MountNode *n = h->node;
    g_mutex_lock(&n->lock);
    bool cuts = h->cuts;
    h->fresh = false;
    g_mutex_unlock(&n->lock);
    if (cuts) {
        pid_t pid = fuse_req_ctx(t->call.req)->pid;
        cuts = !open_elsewhere(pid, n->ino) && (pid == h->pid || !open_elsewhere(h->pid, n->ino));
    }
    mount_reply(&t->call, mount_commit(t->call.m, n, REPLICA_WAIT_DURABLE, cuts, NULL));
}

static void run_fsync(MountTask *t)
{
    Mount *m = t->call.m;
    MountNode *n = mount_node_get(m->nodes, t->ino);
    int r = mount_commit(m, n, REPLICA_WAIT_DURABLE, true, NULL);
    uint64_t seq = atomic_load(&m->last_seq);
    if (r == 0 && seq > 0) {
        r = engine_sync(m->engine, seq, NULL); /* also what was made and never closed */
    }
    mount_node_put(m->nodes, n);
    mount_reply(&t->call, MIN(r, 0));
}

static void run_release(MountTask *t)
{
    Mount *m = t->call.m;
    MountHandle *h = handle_of(&t->fi);
    g_mutex_lock(&h->node->lock);
    bool cuts = h->cuts;
    g_mutex_unlock(&h->node->lock);
    /* Normally nothing is left after the flush of each close. Nobody waits for this result; what is
     * lost is logged. */
    (void)mount_commit(m, h->node, REPLICA_WAIT_DURABLE, cuts, NULL);
    mount_handle_free(m, h);
    mount_reply(&t->call, 0);
}

/* Is there anything that a flush or release of this handle must do? */
static bool has_work(const MountHandle *h, bool release)
{
    g_mutex_lock(&h->node->lock);
    const MountFile *f = h->node->file;
    bool work = f->busy || mount_view_differs(h->node) || (!release && f->seq > 0);
    g_mutex_unlock(&h->node->lock);
    return work;
}

void mount_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    MountCall c = mount_call(req, MOUNT_OP_FLUSH);
    MountHandle *h = mount_special_of(ino) < 0 ? handle_of(fi) : NULL;
    if (h == NULL || !has_work(h, false)) {
        mount_reply(&c, 0);
        return;
    }
    MountTask *t = mount_task_new(req, MOUNT_OP_FLUSH, run_flush, ino, NULL);
    t->fi = *fi;
    mount_task_start(t);
}

void mount_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync;
    (void)fi;
    if (mount_special_of(ino) >= 0) {
        MountCall c = mount_call(req, MOUNT_OP_FSYNC);
        mount_reply(&c, 0);
        return;
    }
    mount_task_start(mount_task_new(req, MOUNT_OP_FSYNC, run_fsync, ino, NULL));
}

void mount_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync;
    (void)fi;
    mount_task_start(mount_task_new(req, MOUNT_OP_FSYNCDIR, run_fsync, ino, NULL));
}

void mount_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    MountCall c = mount_call(req, MOUNT_OP_RELEASE);
    MountHandle *h = handle_of(fi);
    if (mount_special_of(ino) >= 0) {
        mount_special_release(&c, (CfsSpecial)mount_special_of(ino), fi);
    } else if (h == NULL) {
        mount_reply(&c, 0);
    } else if (!has_work(h, true)) {
        mount_handle_free(c.m, h);
        mount_reply(&c, 0);
    } else {
        MountTask *t = mount_task_new(req, MOUNT_OP_RELEASE, run_release, ino, NULL);
        t->fi = *fi;
        mount_task_start(t);
    }
}
