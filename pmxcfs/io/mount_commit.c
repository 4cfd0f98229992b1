/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was written through handles becomes one change of the tree.
 *
 * The state of a file with handles that write:
 *
 *   tree  <-  inflight  <-  overlay  (<-  truncations nobody wrote after)
 *
 * Readers of this node see all layers. `inflight` is one operation that is with the engine. It
 * leaves when the listener hears that it was applied: before that the layers show its bytes, from
 * then on the tree does, and no reader sees a moment without them. A later change by another node
 * is heard of later, so it is never hidden by a layer that is done.
 *
 * `busy` says that an operation which names the file is with the engine. One at a time, so that a
 * write never lands in another file that was renamed to the same path meanwhile. (A file's path
 * changes only by a rename of the file itself: directories are renamed only when empty.)
 */
#include "pmxcfs/io/mount_priv.h"

#include <errno.h>

/* A path that another node changed between our look at it and the change is looked up again. */
#define PATH_TRIES 4

static void hold_locked(MountNode *n)
{
    mount_file_hold(n);
    while (n->file->busy) {
        (void)mount_file_wait(n, 0);
    }
    n->file->busy = true;
}

static void release_locked(Mount *m, MountNode *n)
{
    n->file->busy = false;
    mount_file_wake(n);
    mount_file_drop(m, n);
}

void mount_path_hold(MountNode *n)
{
    if (n != NULL) {
        g_mutex_lock(&n->lock);
        hold_locked(n);
        g_mutex_unlock(&n->lock);
    }
}

void mount_path_release(Mount *m, MountNode *n)
{
    if (n != NULL) {
        g_mutex_lock(&n->lock);
        release_locked(m, n);
        g_mutex_unlock(&n->lock);
    }
}

/* Moves what was written into `n->file->inflight`, and into *ret as a change, with a reference to
 * the bytes: the listener clears the former when it hears of a change of the file by this node,
 * which may be that of a writer whose file another node renamed to this path. False when there is
 * nothing to submit: all is in the tree, or the file is gone and its bytes are for those who have
 * it open. Node lock held. */
static bool take_locked(Mount *m, MountNode *n, bool all, TreeOp *ret)
{
    MountFile *f = n->file;
    bool gone = false;
    g_autoptr(Entry) base = mount_entry_locked(m, n, &gone);
    if (base == NULL) {
        return false;
    }
    if (all) {
        mount_cut_locked(m, n, base); /* also for who has a removed file open */
    }
    if (gone || overlay_is_empty(&f->overlay)) {
        return false;
    }
    const uint8_t *data = base->data != NULL ? g_bytes_get_data(base->data, NULL) : NULL;
    atomic_fetch_sub(&m->pending, overlay_bytes(&f->overlay));
    overlay_take_op(&f->overlay, data, base->size, &f->inflight);
    f->has_inflight = true;
    *ret = (TreeOp){.kind = TREE_OP_WRITE,
                    .offset = f->inflight.offset,
                    .truncate = f->inflight.truncate,
                    .data = f->inflight.data != NULL ? g_bytes_ref(f->inflight.data) : NULL};
    return true;
}

/* Submits `op` under the path that the file has now. 0 and *ret_gone when it has none any more:
 * what was written to it goes with it. */
static int submit(Mount *m,
                  MountNode *n,
                  TreeOp *op,
                  ReplicaWait wait,
                  uint64_t *ret_seq,
                  bool *ret_gone,
                  Err *err)
{
    int r = -ENOENT;
    for (int i = 0; i < PATH_TRIES && (r == -ENOENT || r == -ENOTDIR); i++) {
        g_autofree char *path = engine_path(m->engine, mount_tree_of(n->ino));
        if (path == NULL) {
            *ret_gone = true;
            return 0;
        }
        op->path = path;
        err_clear(err);
        r = engine_submit(m->engine, op, wait, ret_seq, err);
    }
    return r;
}

static void lost(Mount *m, MountNode *n, int r, const Err *err)
{
    g_autofree char *path = engine_path(m->engine, mount_tree_of(n->ino));
    bool named = path != NULL && !cfspath_is_private(path);
    mount_stats_add(m->stats, MOUNT_COUNT_COMMITS_LOST, 1);
    trace(&m->tracer, TRACE_WARNING, "mount: dropped unsaved data of %s: %s",
          named          ? path
          : path != NULL ? "a private file"
                         : "a removed file",
          err->code != 0 && named ? err_text(err) : g_strerror(-r));
}

void mount_applied_locked(Mount *m, MountNode *n, uint64_t seq)
{
    uint_fast64_t last = atomic_load(&m->last_seq);
    while (last < seq && !atomic_compare_exchange_weak(&m->last_seq, &last, seq)) {
        /* `last` was refreshed */
    }
    n->file->seq = MAX(n->file->seq, seq);
}

/* Drops everything unsaved of the file, and tells each handle that has a part in it. Node lock
 * held; the caller drops the pages then, for which `settling` is counted. */
static void drop_locked(Mount *m, MountNode *n, int r)
{
    MountFile *f = n->file;
    atomic_fetch_sub(&m->pending, overlay_bytes(&f->overlay));
    overlay_clear(&f->overlay);
    f->cuts = 0;
    for (GSList *l = f->open; l != NULL; l = l->next) {
        MountHandle *h = l->data;
        h->error = h->unsaved ? r : h->error;
        h->unsaved = false;
        h->cuts = false;
    }
    n->settling++;
}

/* What was only applied before is lost. When the file is gone with it, then because its making was
 * taken back, and not because somebody removed it: nothing that is written to it can be kept. Node
 * lock held. */
static void lost_locked(Mount *m, MountNode *n, int r)
{
    bool gone = true;
    entry_unref(mount_entry_locked(m, n, &gone));
    drop_locked(m, n, r);
    for (GSList *l = gone ? n->file->open : NULL; l != NULL; l = l->next) {
        ((MountHandle *)l->data)->lost = r;
    }
}

/* All that the handles wrote is durable, if nothing came meanwhile. Node lock held. */
static void saved_locked(MountNode *n)
{
    if (!mount_view_differs(n)) {
        for (GSList *l = n->file->open; l != NULL; l = l->next) {
            ((MountHandle *)l->data)->unsaved = false;
        }
    }
}

/* Submits what take_locked prepared, or looks at what came of that already: `r`, where it is not
 * that the path was another one. Drops the reference of `op`. Node lock not held, `busy` ours. */
static int commit_inflight(Mount *m, MountNode *n, TreeOp *op, ReplicaWait wait, int r, Err *err)
{
    MountFile *f = n->file;
    uint64_t seq = 0;
    bool gone = false;
    if (r == -ENOENT || r == -ENOTDIR) {
        r = submit(m, n, op, wait, &seq, &gone, err);
    }
    g_clear_pointer(&op->data, g_bytes_unref);
    mount_stats_add(m->stats, MOUNT_COUNT_COMMITS, 1);

    g_mutex_lock(&n->lock);
    if (!gone) {
        overlay_op_clear(&f->inflight);
        f->has_inflight = false;
    }
    if (wait == REPLICA_WAIT_APPLIED && r >= 0) {
        mount_applied_locked(m, n, seq);
    }
    if (r < 0) {
        drop_locked(m, n, r);
    }
    bool overtakes = r >= 0 && n->overtaken;
    if (overtakes) {
        mount_settle_locked(n);
        n->settling++;
    }
    g_mutex_unlock(&n->lock);
    if (r < 0) {
        lost(m, n, r, err);
    }
    if (r < 0 || overtakes) {
        /* The kernel has pages with what was dropped, or of before a change that came earlier. */
        mount_inval_settling(m, n);
    }
    return MIN(r, 0);
}

/* What was only applied before, `seq`, ended with `s`: what that and `r` mean for those who wrote
 * it. `busy` ours. */
static int end_applied(Mount *m, MountNode *n, uint64_t seq, int s, const Err *why, int r, Err *err)
{
    g_mutex_lock(&n->lock);
    if (n->file->seq == seq) {
        n->file->seq = 0;
    }
    if (s < 0) {
        lost_locked(m, n, s);
    } else if (r == 0) {
        saved_locked(n);
    }
    g_mutex_unlock(&n->lock);
    if (s < 0) {
        mount_inval_settling(m, n);
    }
    if (s < 0 && r == 0) {
        r = s;
        *err = *why;
    }
    return r;
}

static int sync_applied(Mount *m, MountNode *n, uint64_t seq, int r, Err *err)
{
    Err why = ERR_INIT;
    int s = seq > 0 ? engine_sync(m->engine, seq, &why) : 0;
    return end_applied(m, n, seq, s, &why, r, err);
}

/* A commit that has `busy`. */
typedef struct Commit {
    Mount *m;
    MountNode *node;
    bool work; /* there is a change */
    TreeOp op;
    uint64_t seq; /* of what was only applied before, or 0 */
    /* Of one that no thread waits for: */
    char *path;
    int result;
    Err err;
    void (*then)(void *ctx, int r);
    void *ctx;
} Commit;

/* A file that was just made is closed, or synced: with something written, or not? */
static void count_lone(Mount *m, bool work)
{
    unsigned n = atomic_load(&m->lone_creates);
    if (work && n > 0) {
        atomic_store(&m->lone_creates, 0);
    } else if (!work && n < MOUNT_LONE_MIN) {
        atomic_store(&m->lone_creates, n + 1);
    }
}

/* False when there is no file to commit. */
static bool commit_begin(Commit *c, Mount *m, MountNode *n, bool all)
{
    c->m = m;
    c->node = n;
    c->op = (TreeOp){0};
    g_mutex_lock(&n->lock);
    bool there = n->file != NULL;
    if (there) {
        hold_locked(n);
        c->work = take_locked(m, n, all, &c->op);
        c->seq = n->file->seq;
    }
    g_mutex_unlock(&n->lock);
    if (there && c->seq > 0) {
        count_lone(m, c->work);
    }
    return there;
}

int mount_commit(Mount *m, MountNode *n, ReplicaWait wait, bool all, Err *err)
{
    Err none = ERR_INIT;
    Commit c;
    int r = 0;
    err = err != NULL ? err : &none;

    if (!commit_begin(&c, m, n, all)) {
        return 0;
    }
    if (c.work) {
        r = commit_inflight(m, n, &c.op, wait, -ENOENT, err);
    }
    if (wait == REPLICA_WAIT_DURABLE) {
        r = sync_applied(m, n, c.seq, r, err);
    }
    mount_path_release(m, n);
    return r;
}

/* ---- commits that no thread waits for ------------------------------------------------------ */

static void commit_end(Commit *c, int r)
{
    Mount *m = c->m;
    c->then(c->ctx, r);
    g_free(c->path);
    g_free(c);
    g_mutex_lock(&m->later_lock);
    if (--m->later == 0 && m->later_awaited) {
        g_cond_broadcast(&m->later_cond);
    }
    g_mutex_unlock(&m->later_lock);
}

/* All went well, and no pages of before are to be dropped: nothing to wait for. Who wrote after
 * what was only applied has that, too, on the disk. */
static bool end_quickly(Commit *c)
{
    MountNode *n = c->node;
    MountFile *f = n->file;
    g_mutex_lock(&n->lock);
    bool quick = c->result >= 0 && !(c->work && n->overtaken);
    if (quick && c->work) {
        overlay_op_clear(&f->inflight);
        f->has_inflight = false;
        mount_stats_add(c->m->stats, MOUNT_COUNT_COMMITS, 1);
    }
    if (quick) {
        f->seq = f->seq == c->seq ? 0 : f->seq;
        saved_locked(n);
        release_locked(c->m, n);
    }
    g_mutex_unlock(&n->lock);
    if (quick) {
        g_clear_pointer(&c->op.data, g_bytes_unref);
    }
    return quick;
}

static gpointer end_slowly(gpointer data)
{
    Commit *c = data;
    int r = 0;
    if (c->work) {
        r = commit_inflight(c->m, c->node, &c->op, REPLICA_WAIT_DURABLE, c->result, &c->err);
        r = sync_applied(c->m, c->node, c->seq, r, &c->err);
    } else {
        r = end_applied(c->m, c->node, c->seq, c->result, &c->err, 0, &c->err);
    }
    mount_path_release(c->m, c->node);
    commit_end(c, r);
    return NULL;
}

/* The engine has the outcome. This thread must not wait; where there is no other, it has to. */
static void on_outcome(void *ctx, int result, const Err *err)
{
    Commit *c = ctx;
    c->result = result;
    if (end_quickly(c)) {
        commit_end(c, 0);
        return;
    }
    c->err = *err;
    GThread *thread = g_thread_try_new("commit", end_slowly, c, NULL);
    if (thread == NULL) {
        (void)end_slowly(c);
        return;
    }
    g_thread_unref(thread);
}

void mount_commit_then(Mount *m, MountNode *n, bool all, void (*then)(void *ctx, int r), void *ctx)
{
    Commit *c = g_new(Commit, 1);
    c->then = then;
    c->ctx = ctx;
    c->path = NULL;
    g_mutex_lock(&m->later_lock);
    m->later++;
    g_mutex_unlock(&m->later_lock);
    if (!commit_begin(c, m, n, all)) {
        commit_end(c, 0);
        return;
    }
    c->path = c->work ? engine_path(m->engine, mount_tree_of(n->ino)) : NULL;
    if (!engine_is_local(m->engine) || (c->work && c->path == NULL)) {
        Err err = ERR_INIT;
        int r = c->work ? commit_inflight(m, n, &c->op, REPLICA_WAIT_DURABLE, -ENOENT, &err) : 0;
        r = sync_applied(m, n, c->seq, r, &err);
        mount_path_release(m, n);
        commit_end(c, r);
    } else if (c->work) {
        c->op.path = c->path;
        engine_submit_then(m->engine, &c->op, on_outcome, c);
    } else {
        engine_sync_then(m->engine, c->seq, on_outcome, c);
    }
}

void mount_commit_await(Mount *m)
{
    g_mutex_lock(&m->later_lock);
    m->later_awaited = true;
    while (m->later > 0) {
        g_cond_wait(&m->later_cond, &m->later_lock);
    }
    g_mutex_unlock(&m->later_lock);
}

void mount_commit_all(Mount *m)
{
    g_autoptr(GArray) list = mount_nodes_list(m->nodes);
    for (guint i = 0; i < list->len; i++) {
        MountNode *n = mount_node_find(m->nodes, g_array_index(list, uint64_t, i));
        if (n != NULL) {
            /* Nobody waits for the result; what is lost is logged. */
            (void)mount_commit(m, n, REPLICA_WAIT_DURABLE, true, NULL);
            mount_node_put(m->nodes, n);
        }
    }
}

void mount_handles_free(Mount *m)
{
    g_autoptr(GArray) list = mount_nodes_list(m->nodes);
    for (guint i = 0; i < list->len; i++) {
        MountNode *n = mount_node_find(m->nodes, g_array_index(list, uint64_t, i));
        while (n->file != NULL && n->file->open != NULL) {
            mount_handle_free(m, n->file->open->data);
        }
        mount_node_put(m->nodes, n);
    }
}
