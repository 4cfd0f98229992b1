/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes, entries and file system totals, as chapter 5.3 of the reference has them. */
#include "pmxcfs/io/mount_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* The listener hears of a change at once after it became visible; this only bounds the wait. */
#define NEWS_WAIT_TRIES 1000
#define NEWS_WAIT_US    100

/* A lookup is repeated when the name moved between two looks at the tree. */
#define LOOKUP_TRIES 8

Entry *mount_entry_locked(Mount *m, MountNode *n, bool *ret_gone)
{
    Entry *e = engine_get(m->engine, mount_tree_of(n->ino));
    bool gone = e == NULL;
    if (gone && n->orphan != NULL) {
        e = entry_ref(n->orphan);
    }
    if (e != NULL && ret_gone != NULL) {
        *ret_gone = gone;
    }
    return e;
}

Entry *mount_entry_and_lock(Mount *m, MountNode *n, bool settled, bool *ret_gone)
{
    for (int i = 0;; i++) {
        g_mutex_lock(&n->lock);
        Entry *e = mount_entry_locked(m, n, ret_gone);
        /* Only of files: the root's version moves with every change of the tree. */
        bool news = e == NULL ||
                    (e->type == ENTRY_FILE && n->heard != 0 && e->version > n->heard);
        if ((!news && !(settled && n->settling > 0)) || i == NEWS_WAIT_TRIES) {
            n->heard = e != NULL ? e->version : n->heard;
            return e;
        }
        g_mutex_unlock(&n->lock);
        entry_unref(e);
        g_usleep(NEWS_WAIT_US);
    }
}

static void fill_common(Mount *m, uint64_t ino, mode_t mode, uint64_t size, struct stat *st)
{
    *st = (struct stat){0};
    st->st_ino = ino;
    st->st_mode = mode;
    st->st_nlink = S_ISDIR(mode) ? 2 : 1;
    st->st_gid = m->opt.gid;
    st->st_size = (off_t)size;
    st->st_blksize = CFS_BLOCK_SIZE;
    st->st_blocks = (blkcnt_t)((size + CFS_BLOCK_SIZE - 1) / CFS_BLOCK_SIZE);
}

/* Permission bits; what is gone keeps those of the place it was in, or none for others when that
 * place is gone too. */
static mode_t entry_mode(Mount *m, const Entry *e, bool gone)
{
    g_autofree char *path = NULL;
    if (!gone) {
        path = engine_path(m->engine, e->inode);
    }
    if (path == NULL) {
        g_autofree char *dir = engine_path(m->engine, e->parent);
        path = dir != NULL ? g_build_path("/", dir, e->name, NULL) : g_strdup("priv/gone");
    }
    bool is_dir = e->type == ENTRY_DIR;
    return (is_dir ? S_IFDIR : S_IFREG) | cfspath_mode(path, is_dir, engine_quorate(m->engine));
}

static double
attr_of(Mount *m, MountNode *n, const Entry *e, pid_t pid, const void *handle, struct stat *ret)
{
    bool gone = n->orphan != NULL;
    bool settled = !mount_view_differs(n);
    uint32_t size = mount_view_size(n, e, pid, handle);
    uint32_t mtime = e->mtime;
    if (!settled && n->file->mtime > mtime) {
        mtime = n->file->mtime;
    }
    fill_common(m, n->ino, entry_mode(m, e, gone), size, ret);
    if (e->inode != 0) {
        ret->st_mtim.tv_sec = mtime;
        ret->st_atim = ret->st_ctim = ret->st_mtim;
    }
    if (gone) {
        ret->st_nlink = 0;
    }
    return settled ? mount_view_keep(n) : 0;
}

double mount_attr_locked(
    Mount *m, MountNode *n, const Entry *e, pid_t pid, const void *handle, struct stat *ret)
{
    g_autoptr(Entry) shown = entry_ref((Entry *)(uintptr_t)e);
    mount_shown_locked(n, &shown, false);
    return attr_of(m, n, shown, pid, handle, ret);
}

void mount_attr_special(Mount *m, CfsSpecial s, struct stat *ret)
{
    mode_t mode = cfs_special_mode(s, engine_quorate(m->engine));
    uint64_t size = 0;
    if (cfs_special_is_link(s)) {
        g_autofree char *target = cfs_special_target(s, engine_nodename(m->engine));
        size = strlen(target);
        mode |= S_IFLNK;
    } else {
        GString *text = mount_special_text(m, s);
        if (text != NULL) {
            size = text->len;
            g_string_free(text, TRUE);
        }
        mode |= S_IFREG;
    }
    fill_common(m, mount_ino_of_special(s), mode, size, ret);
}

int mount_child_path(Mount *m, uint64_t parent, const char *name, char **ret)
{
    g_autofree char *dir = engine_path(m->engine, mount_tree_of(parent));
    if (dir == NULL) {
        return -ENOENT;
    }
    if (strlen(dir) + strlen(name) + 2 > CFS_PATH_MAX) {
        return -ENAMETOOLONG;
    }
    *ret = *dir == '\0' ? g_strdup(name) : g_strconcat(dir, "/", name, NULL);
    return 0;
}

/* Where the kernel was told to find the node: needed to take back a name that changed unseen. Node
 * lock held. */
static void node_name(Mount *m, MountNode *n, uint64_t parent, const char *name)
{
    if (n->name == NULL || n->parent != parent || strcmp(n->name, name) != 0) {
        if (n->name != NULL) {
            mount_notify_name(m->notify, n->parent, n->name);
        }
        g_free(n->name);
        n->parent = parent;
        n->name = g_strdup(name);
    }
}

/* Names in the lock directory come and go behind the kernel's back, by expiry, in the middle of a
 * caller's own mkdir and utime: they are asked for each time. */
static double name_timeout(Mount *m, uint64_t parent, const char *name)
{
    g_autofree char *path = NULL;
    if (mount_child_path(m, parent, name, &path) < 0) {
        return 0;
    }
    return cfspath_is_lock(path) ? 0 : MOUNT_KEEP_SEC;
}

int mount_entry_fill(Mount *m, uint64_t parent, const char *name, struct fuse_entry_param *ret)
{
    for (int i = 0; i < LOOKUP_TRIES; i++) {
        *ret = (struct fuse_entry_param){.entry_timeout = name_timeout(m, parent, name)};
        g_autoptr(Entry) seen = engine_child(m->engine, mount_tree_of(parent), name);
        if (seen == NULL) {
            return -ENOENT;
        }
        /* The node must be there before the state that is told is read: look again. */
        MountNode *n = mount_node_get(m->nodes, mount_ino_of(seen->inode));
        mount_node_told(m->nodes, n);
        bool gone = true;
        g_autoptr(Entry) e = mount_entry_and_lock(m, n, true, &gone);
        bool same = !gone && e->parent == seen->parent && strcmp(e->name, name) == 0;
        if (same) {
            node_name(m, n, parent, name);
            ret->ino = n->ino;
            ret->attr_timeout = mount_attr_locked(m, n, e, 0, NULL, &ret->attr);
        }
        g_mutex_unlock(&n->lock);
        if (!same) {
            mount_node_forget(m->nodes, n->ino, 1);
        }
        mount_node_put(m->nodes, n);
        if (same) {
            return 0;
        }
    }
    ret->entry_timeout = 0;
    return -ENOENT;
}

void mount_entry_fill_special(Mount *m, CfsSpecial s, struct fuse_entry_param *ret)
{
    *ret =
        (struct fuse_entry_param){.ino = mount_ino_of_special(s), .entry_timeout = MOUNT_KEEP_SEC};
    mount_attr_special(m, s, &ret->attr);
    ret->attr_timeout = cfs_special_is_link(s) ? MOUNT_KEEP_SEC : 0;
}

void mount_op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    MountCall c = mount_call(req, MOUNT_OP_GETATTR);
    struct stat st;
    int special = mount_special_of(ino);
    if (special >= 0) {
        mount_attr_special(c.m, (CfsSpecial)special, &st);
        bool link = cfs_special_is_link((CfsSpecial)special);
        mount_reply_attr(&c, &st, link ? MOUNT_KEEP_SEC : 0);
        return;
    }
    MountNode *n = mount_node_get(c.m->nodes, ino);
    const void *handle = fi != NULL ? (const void *)(uintptr_t)fi->fh : NULL;
    g_autoptr(Entry) e = mount_entry_and_lock(c.m, n, true, NULL);
    double keep = 0;
    if (e != NULL) {
        keep = mount_attr_locked(c.m, n, e, fuse_req_ctx(req)->pid, handle, &st);
    }
    g_mutex_unlock(&n->lock);
    mount_node_put(c.m->nodes, n);
    if (e == NULL) {
        mount_reply(&c, -ENOENT);
    } else {
        mount_reply_attr(&c, &st, keep);
    }
}

void mount_op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    MountCall c = mount_call(req, MOUNT_OP_STATFS);
    uint64_t bytes = 0;
    uint32_t entries = 0;
    MemdbLimits limits = {0};
    engine_usage(c.m->engine, &bytes, &entries, &limits);
    uint64_t total = limits.total_size_max / CFS_BLOCK_SIZE;
    uint64_t used = (bytes + CFS_BLOCK_SIZE - 1) / CFS_BLOCK_SIZE;
    struct statvfs st = {
        .f_bsize = CFS_BLOCK_SIZE,
        .f_frsize = CFS_BLOCK_SIZE,
        .f_blocks = total,
        .f_bfree = total - MIN(used, total),
        .f_bavail = total - MIN(used, total),
        .f_files = limits.inodes_max,
        .f_ffree = limits.inodes_max - MIN(entries, limits.inodes_max),
        .f_favail = limits.inodes_max - MIN(entries, limits.inodes_max),
        .f_namemax = CFS_NAME_REPORTED, /* reference 5.3; longer ones work */
    };
    (void)ino; /* one file system, one answer */
    mount_reply_statfs(&c, &st);
}
