/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its answer. Also the gate: requests that wait for the engine may fill only so
 * many workers; what comes on top waits in a queue, without a worker, so that there is always one
 * left to read (INV-3, INV-4).
 */
#include "pmxcfs/io/mount_priv.h"

#include <errno.h>

struct MountGate {
    GMutex lock;
    GQueue waiting;  /* of MountTask */
    uint32_t active; /* tasks that run */
    uint32_t most;
};

uint32_t mount_now(void)
{
    return wall_u32((WallTime){g_get_real_time() / G_USEC_PER_SEC});
}

MountCall mount_call(fuse_req_t req, MountOp op)
{
    return (MountCall){fuse_req_userdata(req), req, op, g_get_monotonic_time()};
}

/* Counts first: who gets the answer may look at the counters at once. */
static void count(const MountCall *c, int error)
{
    mount_stats_request(c->m->stats, c->op, -error, g_get_monotonic_time() - c->start_us);
}

/* The results of fuse_reply_* are not looked at unless stated: they fail when the caller was
 * interrupted or the mount is gone, and then nobody waits for the answer. */

void mount_reply(const MountCall *c, int error)
{
    g_assert(error <= 0);
    count(c, error);
    (void)fuse_reply_err(c->req, -error);
}

void mount_reply_attr(const MountCall *c, const struct stat *st, double timeout)
{
    count(c, 0);
    (void)fuse_reply_attr(c->req, st, timeout);
}

void mount_reply_entry(const MountCall *c, const struct fuse_entry_param *e)
{
    Mount *m = c->m; /* the call ends with the reply */
    count(c, e->ino == 0 ? -ENOENT : 0);
    if (fuse_reply_entry(c->req, e) != 0 && e->ino != 0) {
        mount_node_forget(m->nodes, e->ino, 1);
    }
}

bool mount_reply_open(const MountCall *c, const struct fuse_file_info *fi)
{
    count(c, 0);
    return fuse_reply_open(c->req, fi) == 0;
}

bool mount_reply_create(const MountCall *c,
                        const struct fuse_entry_param *e,
                        const struct fuse_file_info *fi)
{
    Mount *m = c->m; /* the call ends with the reply */
    count(c, 0);
    if (fuse_reply_create(c->req, e, fi) == 0) {
        return true;
    }
    mount_node_forget(m->nodes, e->ino, 1);
    return false;
}

void mount_reply_write(const MountCall *c, size_t n)
{
    count(c, 0);
    mount_stats_add(c->m->stats, MOUNT_COUNT_BYTES_WRITTEN, n);
    (void)fuse_reply_write(c->req, n);
}

void mount_reply_buf(const MountCall *c, const void *data, size_t size)
{
    count(c, 0);
    mount_stats_add(c->m->stats, MOUNT_COUNT_BYTES_READ, size);
    (void)fuse_reply_buf(c->req, data, size);
}

bool mount_reply_dir(const MountCall *c, const void *data, size_t size)
{
    count(c, 0);
    return fuse_reply_buf(c->req, data, size) == 0;
}

void mount_reply_zeros(const MountCall *c, size_t size)
{
    static const uint8_t zeros[65536];
    struct iovec iov[MOUNT_WRITE_MAX / sizeof(zeros) + 1];
    int n = 0;
    count(c, 0);
    for (size_t left = MIN(size, (size_t)MOUNT_WRITE_MAX); left > 0; n++) {
        size_t piece = MIN(left, sizeof(zeros));
        iov[n] = (struct iovec){(void *)(uintptr_t)zeros, piece};
        left -= piece;
    }
    (void)fuse_reply_iov(c->req, iov, n);
}

void mount_reply_link(const MountCall *c, const char *target)
{
    count(c, 0);
    (void)fuse_reply_readlink(c->req, target);
}

void mount_reply_poll(const MountCall *c, unsigned events)
{
    count(c, 0);
    (void)fuse_reply_poll(c->req, events);
}

void mount_reply_statfs(const MountCall *c, const struct statvfs *st)
{
    count(c, 0);
    (void)fuse_reply_statfs(c->req, st);
}

MountTask *mount_task_new(
    fuse_req_t req, MountOp op, void (*run)(MountTask *t), uint64_t ino, const char *name)
{
    MountTask *t = g_new0(MountTask, 1);
    t->call = mount_call(req, op);
    t->run = run;
    t->ino = ino;
    t->name = g_strdup(name);
    return t;
}

static void task_run(MountTask *t)
{
    t->run(t);
    g_free(t->name);
    g_free(t->to_name);
    g_free(t->data);
    g_free(t);
}

void mount_task_start(MountTask *t)
{
    MountGate *g = t->call.m->gate;
    g_mutex_lock(&g->lock);
    if (g->active == g->most) {
        g_queue_push_tail(&g->waiting, t);
        g_mutex_unlock(&g->lock);
        return;
    }
    g->active++;
    g_mutex_unlock(&g->lock);
    while (t != NULL) {
        task_run(t);
        g_mutex_lock(&g->lock);
        t = g_queue_pop_head(&g->waiting);
        if (t == NULL) {
            g->active--;
        }
        g_mutex_unlock(&g->lock);
    }
}

MountGate *mount_gate_new(uint32_t most)
{
    MountGate *g = g_new0(MountGate, 1);
    g_mutex_init(&g->lock);
    g_queue_init(&g->waiting);
    g->most = most;
    return g;
}

void mount_gate_free(MountGate *g)
{
    if (g == NULL) {
        return;
    }
    g_assert(g_queue_is_empty(&g->waiting) && g->active == 0);
    g_mutex_clear(&g->lock);
    g_free(g);
}
