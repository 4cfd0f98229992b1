/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs and events into the replica, its actions out to disk, group and callers. */
#include "lib/port/clock.h"
#include "lib/port/log.h"
#include "pmxcfs/core/cfspath.h"
#include "pmxcfs/core/locks.h"
#include "pmxcfs/io/engine_priv.h"
#include "pmxcfs/io/metrics.h"

#include <errno.h>
#include <string.h>

#define CONF_NAME "corosync.conf"

/* ---- corosync.conf (14.3) ------------------------------------------------------------------ */

static void push_conf(Engine *e, bool notify)
{
    g_autoptr(Entry) conf = memdb_child(e->db, 0, CONF_NAME);

    if (e->conf_sync != NULL && conf != NULL && conf->data != NULL) {
        corosync_conf_sync_push(e->conf_sync, conf->data, notify);
    }
}

/* Did this delta write, create, or rename to corosync.conf? A mere new time is none of these. */
static bool touches_conf(const MemdbDelta *d)
{
    for (guint i = 0; i < d->edits->len && d->kind != TREE_OP_MTIME; i++) {
        if (g_strcmp0(g_array_index(d->edits, MemdbEdit, i).path_after, CONF_NAME) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- actions ------------------------------------------------------------------------------- */

static void notice_delta(Engine *e, const ReplicaAction *a)
{
    EngineNotice n = {
        .kind = ENGINE_NOTICE_DELTA,
        .delta = a->delta,
        .own = a->own,
        .quorate = atomic_load(&e->quorate),
    };

    if (a->delta->root_after.version < a->delta->root_before.version) {
        metrics_add(METRIC_UNDONE, 1);
    }
    feed_append_delta(e->feed, a->delta, a->own, clock_wall());
    engine_notify(e, &n);
    if (a->delta->replaces_tree) {
        push_conf(e, false);
    } else if (touches_conf(a->delta)) {
        push_conf(e, a->own);
    }
}

/* ---- timers -------------------------------------------------------------------------------- */

static void on_tick(void *ctx)
{
    Engine *e = ctx;

    if (engine_own(e)) {
        engine_step(e, &(ReplicaEvent){.kind = REPLICA_EV_TICK});
        engine_disown(e);
    }
}

static gpointer probe_thread(gpointer data)
{
    Engine *e = data;
    Job *job = engine_job_new(JOB_PROBED);
    Err err = ERR_INIT;

    job->code = store_probe(e->store, &err);
    log_line(job->code == 0 ? TRACE_NOTICE : TRACE_DEBUG, "database", "'%s': %s", e->database,
             job->code == 0 ? "the disk takes changes again" : err_text(&err));
    engine_push(e, job);
    return NULL;
}

static void on_probe(void *ctx)
{
    Engine *e = ctx;

    if (e->prober != NULL) {
        g_thread_join(e->prober); /* has reported: the replica asks for one at a time */
    }
    e->prober = g_thread_new("probe", probe_thread, e);
}

/* ---- performing ---------------------------------------------------------------------------- */

/* Is there another delta for the store in this update? One behind a copy has to wait for that. */
static bool store_follows(const ReplicaUpdate *up, guint i)
{
    for (i++; i < up->actions->len; i++) {
        ReplicaActionKind kind = g_array_index(up->actions, ReplicaAction, i).kind;

        if (kind == REPLICA_ACT_STORE || kind == REPLICA_ACT_SAVE_LOSING_TREE) {
            return kind == REPLICA_ACT_STORE;
        }
    }
    return false;
}

static void perform(Engine *e, const ReplicaUpdate *up, guint i)
{
    const ReplicaAction *a = &g_array_index(up->actions, ReplicaAction, i);

    switch (a->kind) {
    case REPLICA_ACT_STORE:
        engine_store(e, a, store_follows(up, i));
        break;
    case REPLICA_ACT_NOTICE:
        notice_delta(e, a);
        break;
    case REPLICA_ACT_ANSWER:
        engine_answer(e, a->token, a->result, a->seq, a->text);
        break;
    case REPLICA_ACT_TIMER:
        loop_timer_set(e->tick, a->at);
        break;
    case REPLICA_ACT_STORE_RESUME:
        store_resume(e->store);
        break;
    case REPLICA_ACT_STORE_PROBE:
        loop_timer_set(e->probe, a->at);
        break;
    case REPLICA_ACT_SAVE_LOSING_TREE:
        engine_save_losing_tree(e, a);
        break;
    case REPLICA_ACT_SEND:
        group_cpg_send(e->config_cpg, a->bytes);
        break;
    case REPLICA_ACT_JOIN:
        group_cpg_join(e->config_cpg, a->at);
        break;
    case REPLICA_ACT_LEAVE:
        group_cpg_leave(e->config_cpg);
        break;
    case REPLICA_ACT_N:
        g_assert_not_reached();
    }
}

bool engine_own(Engine *e)
{
    pthread_mutex_lock(&e->owner_lock);
    if (!e->ended) {
        return true;
    }
    pthread_mutex_unlock(&e->owner_lock);
    return false;
}

void engine_disown(Engine *e)
{
    Waiter *answered = e->answered;

    e->answered = NULL;
    e->answered_last = &e->answered;
    pthread_mutex_unlock(&e->owner_lock);
    engine_call_answered(e, answered);
}

/* The store may hold back a change that more will follow; not while somebody waits for it. */
static void hurry_store(Engine *e, const ReplicaStatus *now)
{
    if (now->waiting > 0 && e->submitted > e->hurried) {
        e->hurried = e->submitted;
        store_hurry(e->store, e->submitted, e->caller_leads);
    }
}

/* One event to the replica, all that follows from it, and the copy of its state for the views. */
void engine_step(Engine *e, ReplicaEvent *ev)
{
    g_auto(ReplicaUpdate) up;
    ReplicaStatus now;

    ev->now = clock_mono();
    ev->wall = clock_wall();
    replica_update_init(&up);
    replica_step(e->replica, ev, &up);
    for (guint i = 0; i < up.actions->len; i++) {
        perform(e, &up, i);
    }
    replica_status(e->replica, &now);
    hurry_store(e, &now);
    pthread_mutex_lock(&e->status_lock);
    e->shown = now;
    pthread_mutex_unlock(&e->status_lock);
}

/* ---- jobs ---------------------------------------------------------------------------------- */

/* What the clock would show had it never been set back since this process saw it first. */
static int64_t steady_clock(Engine *e, WallTime now)
{
    int64_t boot = clock_boot().us / US_PER_SEC;

    e->clock_lead = e->clock_known ? MAX(e->clock_lead, now.sec - boot) : now.sec - boot;
    e->clock_known = true;
    return boot + e->clock_lead;
}

static void fix_renewal(Engine *e, TreeOp *op)
{
    g_autoptr(Entry) lock = NULL;
    WallTime now = clock_wall();
    int64_t steady = steady_clock(e, now); /* with every change, so that a step is noticed */

    if (op->kind == TREE_OP_MTIME && cfspath_is_lock(op->path) &&
        memdb_lookup(e->db, op->path, &lock) == 0 && lock->type == ENTRY_DIR) {
        op->mtime = locks_renewal_time(op->mtime, lock->mtime, wall_u32(now), steady);
    }
}

static void on_submit(Engine *e, const Job *job, bool more)
{
    fix_renewal(e, job->op);
    engine_step(e, &(ReplicaEvent){.kind = REPLICA_EV_SUBMIT,
                                   .token = job->token,
                                   .op = job->op,
                                   .wait = job->wait,
                                   .more = more});
}

/* The replica's event of a job of this kind; REPLICA_EV_N: there is none. */
static ReplicaEventKind event_of(JobKind kind)
{
    switch (kind) {
    case JOB_SUBMIT:
        return REPLICA_EV_SUBMIT;
    case JOB_SYNC:
        return REPLICA_EV_SYNC;
    case JOB_CANCEL:
        return REPLICA_EV_CANCEL;
    case JOB_VERIFY:
        return REPLICA_EV_VERIFY;
    case JOB_STORED:
        return REPLICA_EV_STORED;
    case JOB_STORE_FAILED:
        return REPLICA_EV_STORE_FAILED;
    case JOB_PROBED:
        return REPLICA_EV_PROBED;
    case JOB_SAVED:
    case JOB_STATUS:
    case JOB_STOP:
        break;
    }
    return REPLICA_EV_N;
}

void engine_do_job(Engine *e, const Job *job, bool more)
{
    ReplicaEvent ev = {.kind = event_of(job->kind),
                       .token = job->token,
                       .seq = job->seq,
                       .code = job->code,
                       .more = more};

    if (job->kind == JOB_SUBMIT) {
        on_submit(e, job, more);
    } else if (job->kind == JOB_SAVED) {
        engine_saved(e, job->code);
    } else {
        g_assert(ev.kind != REPLICA_EV_N); /* STATUS and STOP are the cfs thread's own */
        engine_step(e, &ev);
    }
}

/* ---- the queue as a source of the main loop ------------------------------------------------ */

typedef struct QueueSource {
    GSource source;
    Engine *engine;
} QueueSource;

static gboolean queue_prepare(GSource *source, gint *timeout)
{
    *timeout = -1;
    return engine_has_jobs(((QueueSource *)source)->engine);
}

static gboolean queue_check(GSource *source)
{
    return engine_has_jobs(((QueueSource *)source)->engine);
}

static gboolean queue_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    Engine *e = ((QueueSource *)source)->engine;
    Job *job = engine_take_all(e);

    (void)callback;
    (void)data;
    while (job != NULL) {
        Job *next = job->next;
        if (job->kind == JOB_STATUS) {
            engine_status_perform(e, &job->status);
        } else if (job->kind == JOB_STOP) {
            g_main_loop_quit(e->loop);
        } else if (engine_own(e)) {
            engine_do_job(e, job, next != NULL && event_of(next->kind) != REPLICA_EV_N);
            engine_disown(e);
        }
        engine_job_free(job);
        job = next;
    }
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs queue_funcs = {
    .prepare = queue_prepare, .check = queue_check, .dispatch = queue_dispatch};

void engine_loop_init(Engine *e)
{
    e->context = g_main_context_new();
    e->loop = g_main_loop_new(e->context, FALSE);
    e->queue_source = g_source_new(&queue_funcs, sizeof(QueueSource));
    ((QueueSource *)e->queue_source)->engine = e;
    g_source_attach(e->queue_source, e->context);
    e->tick = loop_timer_new(e->context, on_tick, e);
    e->status_tick = loop_timer_new(e->context, engine_status_tick, e);
    e->probe = loop_timer_new(e->context, on_probe, e);
}

void engine_loop_done(Engine *e)
{
    engine_save_done(e);
    g_source_destroy(e->queue_source);
    g_source_unref(e->queue_source);
    loop_timer_free(e->tick);
    loop_timer_free(e->status_tick);
    loop_timer_free(e->probe);
    g_main_loop_unref(e->loop);
    g_main_context_unref(e->context);
}

gpointer engine_thread(gpointer data)
{
    Engine *e = data;

    g_main_context_push_thread_default(e->context);
    if (!e->local) {
        engine_cluster_start(e);
    }
    if (engine_own(e)) {
        if (!e->disowned) {
            push_conf(e, true); /* else it would reach all of corosync before ours comes back */
        }
        engine_step(e, &(ReplicaEvent){.kind = REPLICA_EV_START});
        engine_disown(e);
    }
    engine_status_start(e);
    g_main_loop_run(e->loop);
    if (!e->local) {
        engine_cluster_stop(e);
    }
    g_main_context_pop_thread_default(e->context);
    return NULL;
}
