/* SPDX-License-Identifier: Apache-2.0 */
/* The status store: set from any thread, told to the other nodes by the cfs thread. */
#include "lib/port/clock.h"
#include "pmxcfs/io/engine_priv.h"

#include <unistd.h>

void engine_on_rrd(Engine *e, void (*fn)(void *ctx, const char *id, GBytes *value), void *ctx)
{
    g_assert(e->thread == NULL);
    e->rrd = fn;
    e->rrd_ctx = ctx;
}

/* ---- on the cfs thread --------------------------------------------------------------------- */

static void perform(Engine *e, const StatusGroupAction *a)
{
    switch (a->kind) {
    case STATUSGROUP_ACT_SEND:
        group_cpg_send(e->status_cpg, a->bytes);
        break;
    case STATUSGROUP_ACT_JOIN:
        group_cpg_join(e->status_cpg, a->at);
        break;
    case STATUSGROUP_ACT_LEAVE:
        group_cpg_leave(e->status_cpg);
        break;
    case STATUSGROUP_ACT_TIMER:
        loop_timer_set(e->status_tick, a->at);
        break;
    case STATUSGROUP_ACT_RRD:
        if (e->rrd != NULL) {
            e->rrd(e->rrd_ctx, a->id, a->bytes);
        }
        break;
    case STATUSGROUP_ACT_N:
        g_assert_not_reached();
    }
}

void engine_status_perform(Engine *e, const StatusGroupUpdate *up)
{
    EngineNotice n = {.kind = ENGINE_NOTICE_STATUS, .quorate = atomic_load(&e->quorate)};
    uint64_t generation;

    for (guint i = 0; up->actions != NULL && i < up->actions->len; i++) {
        perform(e, &g_array_index(up->actions, StatusGroupAction, i));
    }
    pthread_mutex_lock(&e->status_lock);
    generation = status_generation(e->status);
    pthread_mutex_unlock(&e->status_lock);
    if (generation != e->status_seen && engine_own(e)) { /* listeners hear one thing at a time */
        e->status_seen = generation;
        engine_notify(e, &n);
        engine_disown(e);
    }
}

void engine_status_event(void *ctx, const GroupEvent *ev)
{
    Engine *e = ctx;
    g_auto(StatusGroupUpdate) up;

    statusgroup_update_init(&up);
    pthread_mutex_lock(&e->status_lock);
    statusgroup_event(e->status_group, ev, clock_mono(), clock_wall(), &up);
    pthread_mutex_unlock(&e->status_lock);
    engine_status_perform(e, &up);
}

void engine_status_tick(void *ctx)
{
    Engine *e = ctx;
    g_auto(StatusGroupUpdate) up;

    statusgroup_update_init(&up);
    pthread_mutex_lock(&e->status_lock);
    statusgroup_tick(e->status_group, clock_mono(), clock_wall(), &up);
    pthread_mutex_unlock(&e->status_lock);
    engine_status_perform(e, &up);
}

void engine_status_start(Engine *e)
{
    g_auto(StatusGroupUpdate) up;

    statusgroup_update_init(&up);
    pthread_mutex_lock(&e->status_lock);
    statusgroup_start(e->status_group, clock_mono(), clock_wall(), &up);
    pthread_mutex_unlock(&e->status_lock);
    engine_status_perform(e, &up);
}

void engine_status_init(Engine *e)
{
    StatusGroupConfig cfg = {
        .local = e->local,
        .node_address = e->local ? NULL : e->address,
        .seed = (uint64_t)clock_mono().us ^ ((uint64_t)getpid() << 32),
    };

    e->status = status_new(e->nodename, (uint32_t)getpid(), e->start, &e->log_status);
    status_set_quorate(e->status, e->local);
    e->status_group = statusgroup_new(&cfg, e->status, &e->log_status);
}

/* ---- any thread ---------------------------------------------------------------------------- */

/* Leaves the actions of a call to the cfs thread. Under status_lock, so that they keep the order of
 * the calls; the queue's own lock is the innermost of all. */
static void queue_actions(Engine *e, Job *job, int result)
{
    if (result >= 0) {
        engine_push(e, job);
    } else {
        engine_job_free(job); /* what is refused here is told to nobody (reference 18.1.23) */
    }
}

int engine_status_set(Engine *e, const char *key, const void *value, size_t size, Err *err)
{
    Job *job = engine_job_new(JOB_STATUS);
    int r;

    statusgroup_update_init(&job->status);
    pthread_mutex_lock(&e->status_lock);
    r = statusgroup_set(e->status_group, key, value, size, clock_mono(), clock_wall(), &job->status,
                        err);
    queue_actions(e, job, r);
    pthread_mutex_unlock(&e->status_lock);
    return r;
}

int engine_log(Engine *e,
               uint8_t priority,
               const char *ident,
               const char *tag,
               uint32_t pid,
               const char *text,
               Err *err)
{
    Job *job = engine_job_new(JOB_STATUS);
    int r;

    statusgroup_update_init(&job->status);
    pthread_mutex_lock(&e->status_lock);
    r = statusgroup_log(e->status_group, priority, ident, tag, pid, text, clock_mono(),
                        clock_wall(), &job->status, err);
    queue_actions(e, job, r);
    pthread_mutex_unlock(&e->status_lock);
    return r;
}

int engine_status_get(Engine *e, const char *node, const char *key, GBytes **ret)
{
    pthread_mutex_lock(&e->status_lock);
    int r = status_get(e->status, node, key, ret);
    pthread_mutex_unlock(&e->status_lock);
    return r;
}

int engine_clusterlog(Engine *e, const char *user, uint32_t max, GString **ret)
{
    GString *out = g_string_new(NULL);

    pthread_mutex_lock(&e->status_lock);
    status_format_clusterlog(e->status, user, max, out);
    pthread_mutex_unlock(&e->status_lock);
    *ret = out;
    return 0;
}
