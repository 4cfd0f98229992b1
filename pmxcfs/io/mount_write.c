/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing through handles: pieces collect over the file until one change is made of them
 * (mount_commit.c). These handles bypass the page cache; when a write meets pages that the kernel
 * may have from other handles, they are dropped before it is answered.
 */
#include "pmxcfs/io/mount_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Open files of one process looked through at a flush; more are taken for "yes". */
#define FDINFO_MAX 512

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
    if (mount_handle_error(h) < 0) {
        return mount_handle_error(h);
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
    h->unsaved = true;
    mount_settle_locked(n);
    mount_changed_locked(n, base);
    mount_cut_locked(m, n, base);
    size_t before = overlay_bytes(&f->overlay);
    overlay_write(&f->overlay, (uint32_t)off, data, len);
    atomic_fetch_add(&m->pending, overlay_bytes(&f->overlay) - before);
    f->mtime = mount_now();
    mount_linger_wrote(m, f);
    return (int)len;
}

/* The end of a write that has to wait: pages to drop, or too much uncommitted. */
static void write_end(const MountCall *c, MountHandle *h, size_t count)
{
    int r = 0;
    mount_inval_settling(c->m, h->node);
    if (atomic_load(&c->m->pending) > MOUNT_PENDING_MAX) {
        r = mount_commit(c->m, h->node, REPLICA_WAIT_APPLIED, true, NULL);
    }
    if (r < 0) {
        mount_reply(c, r);
    } else {
        mount_reply_write(c, count);
    }
}

static void run_write_end(MountTask *t)
{
    write_end(&t->call, mount_handle_of(&t->fi), t->size);
}

/* The first bytes after a truncation to nothing: who opened the file before and is about to read it
 * gets the old content whole. Most readers are gone by the time the writer gets here. */
static void await_readers(MountNode *n)
{
    gint64 until = g_get_monotonic_time() + MOUNT_READERS_WAIT_US;
    bool in_time = true;
    while (n->file->cuts > 0 && n->cached_opens > 0 && in_time) {
        in_time = mount_file_wait(n, until);
    }
}

static void run_write(MountTask *t)
{
    MountHandle *h = mount_handle_of(&t->fi);
    MountNode *n = h->node;
    bool append = (t->fi.flags & O_APPEND) != 0;
    g_mutex_lock(&n->lock);
    await_readers(n);
    int r = write_locked(t->call.m, h, t->data, t->size, (uint64_t)t->off, append);
    n->pages_cached = n->pages_cached && r <= 0;
    n->settling += r >= 0;
    g_mutex_unlock(&n->lock);
    if (r < 0) {
        mount_reply(&t->call, r);
    } else {
        write_end(&t->call, h, (size_t)r);
    }
}

static void
write_file(MountHandle *h, const MountCall *c, const char *data, size_t size, off_t off, int flags)
{
    Mount *m = c->m;
    MountNode *n = h->node;
    struct fuse_file_info fi = {.flags = flags, .fh = (uint64_t)(uintptr_t)h};
    MountTask *t = NULL;
    int r = 0;
    g_mutex_lock(&n->lock);
    if (n->file->cuts > 0 && n->cached_opens > 0) {
        t = mount_task_new(c->req, MOUNT_OP_WRITE, run_write, n->ino, NULL);
        t->data = g_memdup2(data, size);
        t->size = size;
        t->off = off;
    } else {
        r = write_locked(m, h, data, size, (uint64_t)off, (flags & O_APPEND) != 0);
    }
    if (r > 0 && (n->pages_cached || atomic_load(&m->pending) > MOUNT_PENDING_MAX)) {
        n->pages_cached = false;
        n->settling++;
        t = mount_task_new(c->req, MOUNT_OP_WRITE, run_write_end, n->ino, NULL);
        t->size = (size_t)r;
    }
    g_mutex_unlock(&n->lock);
    if (t != NULL) {
        t->fi = fi;
        mount_task_start(t);
    } else if (r < 0) {
        mount_reply(c, r);
    } else {
        mount_reply_write(c, (size_t)r);
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
        return;
    }
    MountHandle *h = mount_handle_of(fi);
    if (h == NULL || !h->writes || off < 0) {
        mount_reply(&c, -EBADF);
    } else if (size == 0) {
        mount_reply_write(&c, 0);
    } else if (!engine_quorate(c.m->engine)) {
        mount_handle_refused(h, -EACCES);
        mount_reply(&c, -EACCES);
    } else {
        write_file(h, &c, data, size, off, fi->flags);
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

/* A flush that may end after its task. The handle lasts until it is answered. */
typedef struct Flush {
    MountCall call;
    MountHandle *handle;
} Flush;

static void flush_end(void *ctx, int r)
{
    Flush *f = ctx;
    mount_reply(&f->call, mount_handle_result(f->handle, r));
    g_free(f);
}

static void run_flush(MountTask *t)
{
    MountHandle *h = mount_handle_of(&t->fi);
    MountNode *n = h->node;
    g_mutex_lock(&n->lock);
    bool cuts = h->cuts;
    h->fresh = false;
    g_mutex_unlock(&n->lock);
    if (cuts) {
        pid_t pid = fuse_req_ctx(t->call.req)->pid;
        cuts = !open_elsewhere(pid, n->ino) && (pid == h->pid || !open_elsewhere(h->pid, n->ino));
    }
    Flush *f = g_new(Flush, 1);
    *f = (Flush){t->call, h};
    mount_commit_then(t->call.m, n, cuts, flush_end, f);
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
    MountHandle *h = mount_handle_of(&t->fi); /* of a file that is open for writing */
    r = h != NULL ? mount_handle_result(h, MIN(r, 0)) : r;
    mount_reply(&t->call, MIN(r, 0));
}

bool mount_handle_has_work(const MountHandle *h, bool release)
{
    g_mutex_lock(&h->node->lock);
    const MountFile *f = h->node->file;
    bool work = h->writes && (f->busy || mount_view_differs(h->node));
    work = work || (!release && (f->seq > 0 || mount_handle_error(h) < 0));
    g_mutex_unlock(&h->node->lock);
    return work;
}

void mount_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    MountCall c = mount_call(req, MOUNT_OP_FLUSH);
    MountHandle *h = mount_special_of(ino) < 0 ? mount_handle_of(fi) : NULL;
    if (h == NULL || !mount_handle_has_work(h, false)) {
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
    if (mount_special_of(ino) >= 0) {
        MountCall c = mount_call(req, MOUNT_OP_FSYNC);
        mount_reply(&c, 0);
        return;
    }
    MountTask *t = mount_task_new(req, MOUNT_OP_FSYNC, run_fsync, ino, NULL);
    t->fi = *fi;
    mount_task_start(t);
}

void mount_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync;
    (void)fi;
    mount_task_start(mount_task_new(req, MOUNT_OP_FSYNCDIR, run_fsync, ino, NULL));
}
