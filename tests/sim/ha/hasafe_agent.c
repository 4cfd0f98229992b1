/* SPDX-License-Identifier: Apache-2.0 */
/* Guests and what acts on them: workers are processes of their own, each with its pace. */
#include "ha-manager/core/ha_agent.h"
#include "tests/sim/ha/hasafe.h"

#include <errno.h>
#include <string.h>

#define SEC       US_PER_SEC
#define LOCK_WAIT (10 * SEC) /* GUEST_EDIT_TIMEOUT_MS */

static bool runs(const HaSafeCaller *c, const char *sid)
{
    return c->d->node->runs[hasafe_service(sid)];
}

int hasafe_agent_running(void *ctx, const char *sid)
{
    HaSafeCaller *c = ctx;
    HaSafe *s = c->d->s;

    hasafe_call(c);
    if (!hasafe_alive(c)) {
        return -EIO;
    }
    if (s->opt.defect == HASAFE_FORGET && hasafe_service(sid) == 0 && s->calm) {
        return 1;
    }
    return runs(c, sid);
}

/* Time goes by as the guest tool works; now and then it takes very long. */
static void work(HaSafeCaller *c, int64_t most)
{
    HaSafe *s = c->d->s;
    bool slow = !s->calm && hasafe_chance(s, 1, 30);

    hasafe_sleep(s, slow ? hasafe_random(s, 0, 2 * s->timing.lease_ms * US_PER_MS)
                         : hasafe_random(s, SEC / 20, most));
}

/* The lock of all who work on a guest of this node: a start that takes long is not overtaken by a
 * move (guest_edit.h, mig_tree.h). 0: not to be had. */
static uint64_t lock_guest(HaSafeCaller *c, unsigned service)
{
    HaSafeNode *n = c->d->node;
    HaSafe *s = n->s;
    int64_t limit = hasafe_now(s) + LOCK_WAIT;

    while (hasafe_alive(c) && n->guest_lock[service] != 0 && hasafe_now(s) < limit) {
        hasafe_sleep(s, SEC / 10);
    }
    if (!hasafe_alive(c) || n->guest_lock[service] != 0) {
        return 0;
    }
    n->guest_lock[service] = ++s->guest_locks;
    return s->guest_locks;
}

static void unlock_guest(HaSafeCaller *c, unsigned service, uint64_t lock)
{
    uint64_t *held = &c->d->node->guest_lock[service];

    *held = *held == lock ? 0 : *held; /* it went with the power else */
}

/* A guest whose configuration is not here is not started (INV-5). */
void hasafe_agent_start(void *ctx, const char *sid)
{
    HaSafeCaller *c = ctx;
    HaSafeNode *n = c->d->node;
    unsigned i = (unsigned)hasafe_service(sid);
    uint64_t lock;

    hasafe_call(c);
    lock = lock_guest(c, i);
    if (lock == 0) {
        return;
    }
    if (n->quorate && hasafe_view(n)->where[i] == n->index) {
        work(c, 2 * SEC);
        if (hasafe_alive(c)) {
            hasafe_set_running(n, i, true, "started");
        }
    }
    unlock_guest(c, i, lock);
}

void hasafe_agent_stop(void *ctx, const char *sid, int64_t timeout_s)
{
    HaSafeCaller *c = ctx;

    hasafe_call(c);
    if (!hasafe_alive(c)) {
        return;
    }
    hasafe_sleep(c->d->s, hasafe_random(c->d->s, SEC / 20, timeout_s == 0 ? SEC : 5 * SEC));
    if (hasafe_alive(c)) {
        hasafe_set_running(c->d->node, (unsigned)hasafe_service(sid), false, "stopped");
    }
}

/* The hand-over is the move of the configuration; memory goes with it at that moment, as the
 * migration agents have it. Without it the guest stays where it was. */
static int migrate(HaSafeCaller *c, const char *sid, const char *target, bool online)
{
    HaSafe *s = c->d->s;
    HaSafeNode *n = c->d->node;
    HaSafeNode *to = hasafe_node_by_name(s, target);
    unsigned i = (unsigned)hasafe_service(sid);
    unsigned boot = to->boot;
    bool was;

    hasafe_call(c);
    if (!hasafe_alive(c)) {
        return -EIO;
    }
    if (!online) {
        hasafe_agent_stop(c, sid, -1);
    }
    work(c, 10 * SEC);
    if (!hasafe_alive(c) || !to->up || to->boot != boot || to->part != n->part ||
        !hasafe_cfs_write(c) || s->tree.where[i] != n->index || !to->up || to->boot != boot) {
        return -EIO;
    }
    was = n->runs[i];
    if (was && online && !to->clients[1].open) {
        return -EPERM; /* the target refuses: its LRM has no lease under a watchdog */
    }
    hasafe_set_running(n, i, false, "migrated away");
    s->tree.where[i] = to->index;
    if (was && online) {
        hasafe_set_running(to, i, true, "migrated");
    }
    s->result.moves++;
    return 0;
}

int hasafe_agent_migrate(void *ctx, const char *sid, const char *target, bool online)
{
    HaSafeCaller *c = ctx;
    unsigned i = (unsigned)hasafe_service(sid);
    uint64_t lock = lock_guest(c, i);
    int r = lock != 0 ? migrate(c, sid, target, online) : -EIO;

    unlock_guest(c, i, lock);
    return r;
}

static void worker_main(HaSafe *s, void *data)
{
    HaSafeWorker *w = data;
    HaSafeCaller c;

    (void)s;
    hasafe_caller_init(&c, w->lrm, w);
    c.boot = w->boot;
    if (hasafe_alive(&c)) {
        w->code = (int)ha_agent_run(&c.env, &w->job, true);
    }
    w->done = true;
    if (w->orphan) {
        hasafe_worker_free(w);
    }
}

void hasafe_worker_free(HaSafeWorker *w)
{
    g_free(w->job.sid);
    g_free(w->job.uid);
    g_free(w->job.target);
    g_free(w);
}

int hasafe_worker_reap(void *ctx, HaWorkerExit *ret_exit)
{
    HaSafeCaller *c = ctx;
    GPtrArray *workers = c->d->node->workers;

    hasafe_call(c);
    for (guint i = 0; hasafe_alive(c) && i < workers->len; i++) {
        HaSafeWorker *w = workers->pdata[i];

        if (w->done) {
            *ret_exit = (HaWorkerExit){.sid = g_strdup(w->job.sid), .code = w->code, .ran = true};
            g_ptr_array_remove_index_fast(workers, i);
            hasafe_worker_free(w);
            return 1;
        }
    }
    return 0;
}

int hasafe_worker_start(void *ctx, const HaJob *job)
{
    HaSafeCaller *c = ctx;
    HaSafeWorker *w;

    hasafe_call(c);
    if (!hasafe_alive(c)) {
        return -EIO;
    }
    w = g_new0(HaSafeWorker, 1);
    w->lrm = c->d;
    w->boot = c->boot;
    w->job = *job;
    w->job.sid = g_strdup(job->sid);
    w->job.uid = g_strdup(job->uid);
    w->job.target = g_strdup(job->target);
    g_ptr_array_add(c->d->node->workers, w);
    hasafe_spawn(c->d->s, worker_main, w);
    return 0;
}
