/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Truncate, times, chmod, chown (reference 5.4, 5.5).
 *
 * A file has one time: modification, access and change time are the same. Setting the modification
 * time sets it; setting the access time alone sets it too, rather than doing nothing and saying
 * that it was done.
 */
#include "pmxcfs/io/mount_priv.h"

#include <errno.h>
#include <sys/stat.h>

#define TIMES                                                                                      \
    (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW)

/* Modes and owners follow from the path: only what is true already can be set. */
static int check_owner(Mount *m, const MountTask *t, bool is_private)
{
    if ((t->to_set & FUSE_SET_ATTR_MODE) != 0 &&
        (t->attr.st_mode & 07777) != (is_private ? 0600 : 0640)) {
        return -EPERM;
    }
    if ((t->to_set & FUSE_SET_ATTR_UID) != 0 && t->attr.st_uid != 0) {
        return -EPERM;
    }
    if ((t->to_set & FUSE_SET_ATTR_GID) != 0 && t->attr.st_gid != m->opt.gid) {
        return -EPERM;
    }
    return 0;
}

/* ---- size ---------------------------------------------------------------------------------- */

/* The handle whose O_TRUNC this is: the kernel opens first and then sets the size, without saying
 * through which handle. NULL: it is a truncate by name. Node lock held. */
static MountHandle *opening_handle(const MountFile *f, pid_t pid)
{
    for (GSList *l = f->open; l != NULL; l = l->next) {
        MountHandle *h = l->data;
        if (h->fresh && h->pid == pid) {
            return h;
        }
    }
    return NULL;
}

/* Changes the size as handles see it. A handle that cuts a file with nothing else unsaved to zero
 * is about to write it anew: others go on seeing the old content until it does. Node lock held. */
static int resize_locked(Mount *m, MountNode *n, MountHandle *h, uint64_t size)
{
    uint64_t used = 0;
    uint32_t entries = 0;
    MemdbLimits limits = {0};
    engine_usage(m->engine, &used, &entries, &limits);
    g_autoptr(Entry) base = mount_entry_locked(m, n, NULL);
    if (base == NULL) {
        return -ESTALE;
    }
    mount_settle_locked(n);
    if (base->type == ENTRY_DIR) {
        return -EISDIR;
    }
    if (h != NULL && mount_handle_error(h) < 0) {
        return mount_handle_error(h);
    }
    if (size > limits.file_size_max) {
        return -EFBIG;
    }
    if (size > base->size && used + (size - base->size) > limits.total_size_max) {
        return -ENOSPC;
    }
    mount_changed_locked(n, base);
    if (h != NULL && size == 0 && overlay_is_empty(&n->file->overlay)) {
        mount_handle_cut(h);
    } else {
        mount_truncate_locked(m, n, base, (uint32_t)size);
        if (h != NULL) {
            h->unsaved = true;
        }
    }
    return 0;
}

static int set_size(MountTask *t, MountNode *n)
{
    Mount *m = t->call.m;
    MountHandle *h = (MountHandle *)(uintptr_t)t->fi.fh;
    uint64_t size = (uint64_t)t->attr.st_size;
    if (!engine_quorate(m->engine)) {
        return -EACCES;
    }
    if (t->attr.st_size < 0) {
        return -EFBIG;
    }
    g_mutex_lock(&n->lock);
    mount_file_hold(n);
    if (h == NULL && size == 0) {
        h = opening_handle(n->file, fuse_req_ctx(t->call.req)->pid);
    }
    int r = resize_locked(m, n, h, size);
    bool drop = r == 0 && n->pages_cached && n->file->cuts == 0;
    if (h != NULL) {
        h->fresh = false;
    }
    if (drop) {
        n->pages_cached = false;
        n->settling++;
    }
    g_mutex_unlock(&n->lock);
    if (drop) {
        mount_inval_settling(m, n);
    }
    if (r == 0 && h == NULL) {
        r = mount_commit(m, n, REPLICA_WAIT_DURABLE, true, NULL); /* no close will follow */
    }
    g_mutex_lock(&n->lock);
    mount_file_drop(m, n);
    g_mutex_unlock(&n->lock);
    return r;
}

/* ---- times --------------------------------------------------------------------------------- */

static uint32_t wanted_time(const MountTask *t)
{
    bool by_mtime = (t->to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) != 0;
    int now = by_mtime ? FUSE_SET_ATTR_MTIME_NOW : FUSE_SET_ATTR_ATIME_NOW;
    if ((t->to_set & now) != 0) {
        return mount_now();
    }
    return wall_u32((WallTime){by_mtime ? t->attr.st_mtim.tv_sec : t->attr.st_atim.tv_sec});
}

/* A lock that is perhaps expired: ask for its removal. The kernel does not know that its name and
 * the listing it is in may be gone by then. */
static int poke_lock(Mount *m, const Entry *e, const char *path)
{
    int r = engine_lock_poke(m->engine, path, NULL);
    if (r == -ENOENT) {
        mount_inval_data_now(m, mount_ino_of(e->parent));
    }
    return r;
}

static int set_time(MountTask *t, MountNode *n, const Entry *e)
{
    Mount *m = t->call.m;
    uint32_t time = wanted_time(t);
    if (e->inode == 0) {
        return -EACCES;
    }
    /* The time set is the last word: what was written before shall not change it at close. */
    int r = mount_commit(m, n, REPLICA_WAIT_APPLIED, true, NULL);
    g_autofree char *path = r < 0 ? NULL : engine_path(m->engine, e->inode);
    if (r < 0 || path == NULL) {
        return r < 0 ? r : -ENOENT;
    }
    if (e->type == ENTRY_DIR && time == 0 && cfspath_is_below_lock(path)) {
        return poke_lock(m, e, path);
    }
    g_mutex_lock(&n->lock);
    bool drop = n->previous != NULL;
    mount_settle_locked(n);
    n->settling += drop;
    g_mutex_unlock(&n->lock);
    if (drop) {
        mount_inval_settling(m, n);
    }
    TreeOp op = {.kind = TREE_OP_MTIME, .path = path, .mtime = time};
    mount_path_hold(n);
    r = mount_submit(m, &op, REPLICA_WAIT_DURABLE, NULL, NULL);
    mount_path_release(m, n);
    return MIN(r, 0);
}

/* ---- the request --------------------------------------------------------------------------- */

static int set_all(MountTask *t, MountNode *n)
{
    Mount *m = t->call.m;
    g_autoptr(Entry) e = mount_entry_and_lock(m, n, false, NULL);
    g_mutex_unlock(&n->lock);
    if (e == NULL) {
        return -ENOENT;
    }
    g_autofree char *path = engine_path(m->engine, e->inode);
    int r = check_owner(m, t, path != NULL && cfspath_is_private(path));
    if (r == 0 && (t->to_set & FUSE_SET_ATTR_SIZE) != 0) {
        r = set_size(t, n); /* the kernel adds a time that nobody asked for */
    } else if (r == 0 && (t->to_set & TIMES) != 0) {
        r = set_time(t, n, e);
    }
    return r;
}

static void run_setattr(MountTask *t)
{
    Mount *m = t->call.m;
    MountNode *n = mount_node_get(m->nodes, t->ino);
    int r = set_all(t, n);
    struct stat st = {0};
    double keep = 0;
    if (r == 0) {
        g_autoptr(Entry) e = mount_entry_and_lock(m, n, false, NULL);
        if (e != NULL) {
            /* Not as the caller sees the size: the kernel would make that the size for all. */
            keep = mount_attr_locked(m, n, e, 0, NULL, &st);
        } else {
            r = -ENOENT;
        }
        g_mutex_unlock(&n->lock);
    }
    mount_node_put(m->nodes, n);
    if (r < 0) {
        mount_reply(&t->call, r);
    } else {
        mount_reply_attr(&t->call, &st, keep);
    }
}

static void setattr_special(MountTask *t, CfsSpecial s)
{
    Mount *m = t->call.m;
    int r = check_owner(m, t, false);
    if (r == 0 && (t->to_set & FUSE_SET_ATTR_SIZE) != 0) {
        r = s == CFS_SPECIAL_DEBUG ? 0 : -EIO;
    } else if (r == 0 && (t->to_set & TIMES) != 0) {
        r = -EACCES;
    }
    struct stat st;
    if (r < 0) {
        mount_reply(&t->call, r);
        return;
    }
    mount_attr_special(m, s, &st);
    mount_reply_attr(&t->call, &st, 0);
}

static void run_setattr_special(MountTask *t)
{
    setattr_special(t, (CfsSpecial)mount_special_of(t->ino));
}

void mount_op_setattr(
    fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
    bool special = mount_special_of(ino) >= 0;
    MountTask *t = mount_task_new(req, MOUNT_OP_SETATTR,
                                  special ? run_setattr_special : run_setattr, ino, NULL);
    t->attr = *attr;
    t->to_set = to_set;
    if (fi != NULL) {
        t->fi = *fi;
    }
    mount_task_start(t);
}
