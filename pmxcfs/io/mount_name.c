/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that work on names: look up, make, remove, rename (reference 5.2, 5.4, 5.5). */
#include "pmxcfs/io/mount_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1u << 0) /* of the kernel's renameat2 */
#endif

/* ---- own changes --------------------------------------------------------------------------- */

/* A change of names that is with the engine and that the kernel will know of from our answer. The
 * listener compares what it hears with these. */
typedef struct MountExpect {
    TreeOpKind kind;
    const char *path, *to;
} MountExpect;

static bool same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* The edit is what was asked for, in that direction: an undo goes the other way. */
static bool expects(const MountExpect *x, const MemdbEdit *edit)
{
    bool forward =
        edit->before == NULL || edit->after == NULL || edit->after->version > edit->before->version;

    switch (x->kind) {
    case TREE_OP_CREATE:
    case TREE_OP_MKDIR:
        return edit->before == NULL && same(edit->path_after, x->path);
    case TREE_OP_DELETE:
        return edit->after == NULL && same(edit->path_before, x->path);
    case TREE_OP_RENAME: /* the entry itself, and the one it replaces */
        return forward && (edit->after == NULL
                               ? same(edit->path_before, x->to)
                               : same(edit->path_before, x->path) && same(edit->path_after, x->to));
    case TREE_OP_MTIME:
        return forward && same(edit->path_after, x->path);
    default:
        return false;
    }
}

bool mount_expected(Mount *m, TreeOpKind kind, const MemdbEdit *edit)
{
    bool found = false;
    g_mutex_lock(&m->expect_lock);
    for (GSList *l = m->expect; l != NULL && !found; l = l->next) {
        const MountExpect *x = l->data;
        found = x->kind == kind && expects(x, edit);
    }
    g_mutex_unlock(&m->expect_lock);
    return found;
}

int mount_submit(Mount *m, const TreeOp *op, ReplicaWait wait, uint64_t *ret_seq, Err *err)
{
    MountExpect x = {op->kind, op->path, op->to};
    GSList link = {&x, NULL};

    g_mutex_lock(&m->expect_lock);
    link.next = m->expect;
    m->expect = &link;
    g_mutex_unlock(&m->expect_lock);
    int r = engine_submit(m->engine, op, wait, ret_seq, err);
    g_mutex_lock(&m->expect_lock);
    m->expect = g_slist_remove_link(m->expect, &link);
    g_mutex_unlock(&m->expect_lock);
    return r;
}

/* Errors that a person should hear of beside the caller's errno: the engine explains those. */
static void explain(Mount *m, const char *what, const char *path, int r, const Err *err)
{
    if (r < 0 && err->code != 0 && (r == -EIO || r == -EBUSY || r == -ENOSPC || r == -EROFS)) {
        trace(&m->tracer, TRACE_ERR, "mount: %s failed: %s%s", what, err_text(err),
              cfspath_is_private(path) ? " (private path)" : "");
    }
}

/* ---- look up ------------------------------------------------------------------------------- */

void mount_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    MountCall c = mount_call(req, MOUNT_OP_LOOKUP);
    struct fuse_entry_param e;
    int special = mount_special_child(parent, name);
    if (special >= 0) {
        mount_entry_fill_special(c.m, (CfsSpecial)special, &e);
        mount_reply_entry(&c, &e);
        return;
    }
    int r = mount_entry_fill(c.m, parent, name, &e);
    if (r == 0 || e.entry_timeout > 0) {
        mount_reply_entry(&c, &e); /* inode 0: missing, and the kernel may remember that */
    } else {
        mount_reply(&c, r);
    }
}

static void forget(Mount *m, uint64_t ino, uint64_t n)
{
    if (mount_special_of(ino) < 0 && ino != FUSE_ROOT_ID) {
        mount_node_forget(m->nodes, ino, n);
    }
}

void mount_op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
    MountCall c = mount_call(req, MOUNT_OP_FORGET);
    forget(c.m, ino, n);
    mount_stats_request(c.m->stats, c.op, 0, 0);
    fuse_reply_none(req);
}

void mount_op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    MountCall c = mount_call(req, MOUNT_OP_FORGET);
    for (size_t i = 0; i < count; i++) {
        forget(c.m, forgets[i].ino, forgets[i].nlookup);
    }
    mount_stats_request(c.m->stats, c.op, 0, 0);
    fuse_reply_none(req);
}

void mount_op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    MountCall c = mount_call(req, MOUNT_OP_READLINK);
    int special = mount_special_of(ino);
    if (special < 0 || !cfs_special_is_link((CfsSpecial)special)) {
        mount_reply(&c, -EINVAL);
        return;
    }
    g_autofree char *target = cfs_special_target((CfsSpecial)special, engine_nodename(c.m->engine));
    mount_reply_link(&c, target);
}

/* ---- make ---------------------------------------------------------------------------------- */

/* Makes `t->name` in directory `t->ino`; on success fills the entry. */
static int make(MountTask *t,
                TreeOpKind kind,
                ReplicaWait wait,
                uint64_t *ret_seq,
                struct fuse_entry_param *ret)
{
    Mount *m = t->call.m;
    Err err = ERR_INIT;
    if (mount_special_child(t->ino, t->name) >= 0) {
        return -EEXIST;
    }
    if (!cfspath_name_ok(t->name)) {
        return -ENAMETOOLONG; /* the kernel hands on no other bad name */
    }
    g_autofree char *path = NULL;
    int r = mount_child_path(m, t->ino, t->name, &path);
    if (r == 0) {
        TreeOp op = {.kind = kind, .path = path};
        r = mount_submit(m, &op, wait, ret_seq, &err);
        explain(m, tree_op_name(kind), path, r, &err);
    }
    return r < 0 ? r : mount_entry_fill(m, t->ino, t->name, ret);
}

static void make_and_reply(MountTask *t, TreeOpKind kind)
{
    struct fuse_entry_param e;
    int r = make(t, kind, REPLICA_WAIT_DURABLE, NULL, &e);
    if (r == 0) {
        mount_reply_entry(&t->call, &e);
    } else {
        mount_reply(&t->call, r);
    }
}

static void run_mkdir(MountTask *t)
{
    make_and_reply(t, TREE_OP_MKDIR);
}

static void run_mknod(MountTask *t)
{
    make_and_reply(t, TREE_OP_CREATE);
}

void mount_op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)mode; /* follows from the path */
    mount_task_start(mount_task_new(req, MOUNT_OP_MKDIR, run_mkdir, parent, name));
}

void mount_op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    (void)rdev;
    if (!S_ISREG(mode)) {
        MountCall c = mount_call(req, MOUNT_OP_MKNOD);
        mount_reply(&c, -ENOSYS);
        return;
    }
    mount_task_start(mount_task_new(req, MOUNT_OP_MKNOD, run_mknod, parent, name));
}

static MountHandle *new_handle(MountTask *t, uint64_t ino)
{
    bool writes = (t->fi.flags & O_ACCMODE) != O_RDONLY;
    return mount_handle_new(t->call.m, ino, writes, fuse_req_ctx(t->call.req)->pid);
}

/* Opens what is there already: another node was faster and the caller did not insist. */
static int open_existing(MountTask *t, struct fuse_entry_param *ret, MountHandle **ret_h)
{
    Mount *m = t->call.m;
    int r = mount_entry_fill(m, t->ino, t->name, ret);
    if (r < 0) {
        return r;
    }
    if (!S_ISREG(ret->attr.st_mode)) {
        mount_node_forget(m->nodes, ret->ino, 1);
        return -EISDIR;
    }
    *ret_h = new_handle(t, ret->ino);
    if ((t->fi.flags & O_TRUNC) != 0) {
        g_mutex_lock(&(*ret_h)->node->lock);
        mount_handle_cut(*ret_h);
        g_mutex_unlock(&(*ret_h)->node->lock);
        ret->attr_timeout = 0;
    }
    return 0;
}

static void run_create(MountTask *t)
{
    Mount *m = t->call.m;
    struct fuse_entry_param e;
    uint64_t seq = 0;
    MountHandle *h = NULL;
    int r = make(t, TREE_OP_CREATE, REPLICA_WAIT_APPLIED, &seq, &e);
    if (r == 0) {
        h = new_handle(t, e.ino);
        mount_handle_applied(m, h, seq);
    } else if (r == -EEXIST && (t->fi.flags & O_EXCL) == 0) {
        r = open_existing(t, &e, &h);
        r = r == -ENOENT ? -EEXIST : r; /* what exists is the guest, elsewhere */
    }
    if (r < 0) {
        mount_reply(&t->call, r);
        return;
    }
    mount_handle_fill(h, &t->fi);
    if (!mount_reply_create(&t->call, &e, &t->fi)) {
        mount_handle_free(m, h);
    } else if (seq > 0 && atomic_load(&m->lone_creates) >= MOUNT_LONE_MIN) {
        engine_hurry(m->engine);
    }
}

void mount_op_create(
    fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
    (void)mode; /* follows from the path */
    MountTask *t = mount_task_new(req, MOUNT_OP_CREATE, run_create, parent, name);
    t->fi = *fi;
    mount_task_start(t);
}

/* ---- remove -------------------------------------------------------------------------------- */

static void run_remove(MountTask *t)
{
    Mount *m = t->call.m;
    Err err = ERR_INIT;
    g_autofree char *path = NULL;
    g_autoptr(Entry) e = engine_child(m->engine, mount_tree_of(t->ino), t->name);
    int r = e == NULL ? -ENOENT : mount_child_path(m, t->ino, t->name, &path);
    if (r == 0 && t->call.op == MOUNT_OP_RMDIR && e->type != ENTRY_DIR) {
        r = -ENOTDIR;
    } else if (r == 0 && t->call.op == MOUNT_OP_UNLINK && e->type == ENTRY_DIR) {
        r = -EISDIR;
    }
    if (r == 0) {
        TreeOp op = {.kind = TREE_OP_DELETE, .path = path};
        MountNode *n = mount_node_get(m->nodes, mount_ino_of(e->inode));
        mount_path_hold(n);
        r = mount_submit(m, &op, REPLICA_WAIT_DURABLE, NULL, &err);
        mount_path_release(m, n);
        mount_node_put(m->nodes, n);
        explain(m, "remove", path, r, &err);
    }
    mount_reply(&t->call, MIN(r, 0));
}

static void remove_name(fuse_req_t req, MountOp kind, uint64_t parent, const char *name)
{
    if (mount_special_child(parent, name) >= 0) {
        MountCall c = mount_call(req, kind);
        mount_reply(&c, -EACCES);
        return;
    }
    mount_task_start(mount_task_new(req, kind, run_remove, parent, name));
}

void mount_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    remove_name(req, MOUNT_OP_UNLINK, parent, name);
}

void mount_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    remove_name(req, MOUNT_OP_RMDIR, parent, name);
}

/* ---- rename -------------------------------------------------------------------------------- */

/* The kernel moved its name itself: follow. */
static void node_moved(MountNode *n, uint64_t parent, const char *name)
{
    g_mutex_lock(&n->lock);
    g_free(n->name);
    n->parent = parent;
    n->name = g_strdup(name);
    g_mutex_unlock(&n->lock);
}

/* `n`: what is renamed; `over`: what it replaces, or NULL. No write to either may be on its way
 * with a path that means another file afterwards. */
static int rename_nodes(MountTask *t, MountNode *n, MountNode *over, const TreeOp *op)
{
    Mount *m = t->call.m;
    Err err = ERR_INIT;
    /* What was written or cut off through open handles goes first: others shall not see the new
     * name with the old content, and what they write to it is not cut off by a close later on. */
    int r = mount_commit(m, n, REPLICA_WAIT_APPLIED, true, &err);
    if (r == 0) {
        /* In one order, whatever the direction of the rename. */
        MountNode *first = over != NULL && over->ino < n->ino ? over : n;
        MountNode *second = first == n ? over : n;
        mount_path_hold(first);
        mount_path_hold(second);
        r = mount_submit(m, op, REPLICA_WAIT_DURABLE, NULL, &err);
        mount_path_release(m, second);
        mount_path_release(m, first);
    }
    if (r >= 0) {
        node_moved(n, t->to_ino, t->to_name);
        /* Modification time and, by path, the mode are new; the kernel does not know. */
        mount_inval_attr_now(m, n->ino);
    }
    explain(m, "rename", op->path, r, &err);
    return r;
}

static int rename_paths(MountTask *t, const Entry *e, const char *from, const char *to)
{
    Mount *m = t->call.m;
    TreeOp op = {.kind = TREE_OP_RENAME,
                 .path = from,
                 .to = to,
                 .noreplace = (t->flags & RENAME_NOREPLACE) != 0};
    g_autoptr(Entry) old = engine_child(m->engine, mount_tree_of(t->to_ino), t->to_name);
    MountNode *n = mount_node_get(m->nodes, mount_ino_of(e->inode));
    MountNode *over = NULL;
    if (old != NULL && old->inode != e->inode) {
        over = mount_node_get(m->nodes, mount_ino_of(old->inode));
    }
    int r = rename_nodes(t, n, over, &op);
    mount_node_put(m->nodes, over);
    mount_node_put(m->nodes, n);
    return r;
}

static void run_rename(MountTask *t)
{
    Mount *m = t->call.m;
    g_autofree char *from = NULL;
    g_autofree char *to = NULL;
    g_autoptr(Entry) e = engine_child(m->engine, mount_tree_of(t->ino), t->name);
    int r = e == NULL ? -ENOENT : mount_child_path(m, t->ino, t->name, &from);
    if (r == 0) {
        r = cfspath_name_ok(t->to_name) ? mount_child_path(m, t->to_ino, t->to_name, &to)
                                        : -ENAMETOOLONG;
    }
    if (r == 0) {
        r = rename_paths(t, e, from, to);
    }
    mount_reply(&t->call, MIN(r, 0));
}

void mount_op_rename(fuse_req_t req,
                     fuse_ino_t parent,
                     const char *name,
                     fuse_ino_t to_parent,
                     const char *to_name,
                     unsigned int flags)
{
    int r = 0;
    if ((flags & ~RENAME_NOREPLACE) != 0) {
        r = -EINVAL;
    } else if (mount_special_child(parent, name) >= 0 ||
               mount_special_child(to_parent, to_name) >= 0) {
        r = -EACCES;
    }
    if (r < 0) {
        MountCall c = mount_call(req, MOUNT_OP_RENAME);
        mount_reply(&c, r);
        return;
    }
    MountTask *t = mount_task_new(req, MOUNT_OP_RENAME, run_rename, parent, name);
    t->to_ino = to_parent;
    t->to_name = g_strdup(to_name);
    t->flags = flags;
    mount_task_start(t);
}

/* ---- what the tree cannot hold ------------------------------------------------------------- */

void mount_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t to_parent, const char *to_name)
{
    MountCall c = mount_call(req, MOUNT_OP_LINK);
    (void)ino;
    (void)to_parent;
    (void)to_name;
    mount_reply(&c, -EPERM);
}

void mount_op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    MountCall c = mount_call(req, MOUNT_OP_SYMLINK);
    (void)target;
    (void)parent;
    (void)name;
    mount_reply(&c, -ENOSYS);
}
