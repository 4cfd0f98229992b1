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
        g_cond_wait(&n->file->cond, &n->lock);
    }
    n->file->busy = true;
}

static void release_locked(Mount *m, MountNode *n)
{
    n->file->busy = false;
    g_cond_broadcast(&n->file->cond);
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

/* Submits what take_locked prepared, and drops its reference. Node lock not held, `busy` ours. */
static int commit_inflight(Mount *m, MountNode *n, TreeOp *op, ReplicaWait wait, Err *err)
{
    MountFile *f = n->file;
    uint64_t seq = 0;
    bool gone = false;
    int r = submit(m, n, op, wait, &seq, &gone, err);
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

/* Waits for what was only applied before, `seq`, and looks at what that and `r` mean for those who
 * wrote it. `busy` ours. */
static int sync_applied(Mount *m, MountNode *n, uint64_t seq, int r, Err *err)
{
    Err sync_err = ERR_INIT;
    int s = seq > 0 ? engine_sync(m->engine, seq, &sync_err) : 0;
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
        *err = sync_err;
    }
    return r;
}

int mount_commit(Mount *m, MountNode *n, ReplicaWait wait, bool all, Err *err)
{
    Err none = ERR_INIT;
    TreeOp op = {0};
    int r = 0;
    err = err != NULL ? err : &none;

    g_mutex_lock(&n->lock);
    if (n->file == NULL) {
        g_mutex_unlock(&n->lock);
        return 0;
    }
    hold_locked(n);
    bool work = take_locked(m, n, all, &op);
    uint64_t seq = n->file->seq;
    g_mutex_unlock(&n->lock);

    if (work) {
        r = commit_inflight(m, n, &op, wait, err);
    }
    if (wait == REPLICA_WAIT_DURABLE) {
        r = sync_applied(m, n, seq, r, err);
    }
    mount_path_release(m, n);
    return r;
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
