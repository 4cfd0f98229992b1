/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/engine.h"

#include "lib/port/clock.h"
#include "lib/port/log.h"
#include "pmxcfs/core/cfspath.h"
#include "pmxcfs/io/engine_priv.h"
#include "pmxcfs/io/metrics.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* ---- queue --------------------------------------------------------------------------------- */

Job *engine_job_new(JobKind kind)
{
    Job *job = g_new0(Job, 1);

    job->kind = kind;
    return job;
}

void engine_job_free(Job *job)
{
    tree_op_free(job->op);
    if (job->kind == JOB_STATUS) {
        statusgroup_update_done(&job->status);
    }
    g_free(job);
}

void engine_push(Engine *e, Job *job)
{
    bool was_empty;

    pthread_mutex_lock(&e->queue_lock);
    was_empty = e->first == NULL;
    *e->last = job;
    e->last = &job->next;
    e->stored = job->kind == JOB_STORED ? job : NULL;
    pthread_mutex_unlock(&e->queue_lock);
    if (was_empty) {
        g_main_context_wakeup(e->context);
    }
}

Job *engine_take_all(Engine *e)
{
    Job *first;

    pthread_mutex_lock(&e->queue_lock);
    first = e->first;
    e->first = NULL;
    e->last = &e->first;
    e->stored = NULL;
    pthread_mutex_unlock(&e->queue_lock);
    return first;
}

bool engine_has_jobs(Engine *e)
{
    bool has;

    pthread_mutex_lock(&e->queue_lock);
    has = e->first != NULL;
    pthread_mutex_unlock(&e->queue_lock);
    return has;
}

/* ---- callers ------------------------------------------------------------------------------- */

static void cond_init_monotonic(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

static struct timespec after_ms(int64_t ms)
{
    MonoTime end = mono_add_ms(clock_mono(), ms);

    return (struct timespec){.tv_sec = end.us / US_PER_SEC, .tv_nsec = end.us % US_PER_SEC * 1000};
}

/* wait_lock held. Who wants to be called goes from the table to the end of a list. */
static void
answer_locked(Engine *e, Waiter *w, int result, uint64_t seq, const char *text, Waiter ***last)
{
    w->done = true;
    w->result = result;
    w->seq = seq;
    g_strlcpy(w->text, text != NULL ? text : "", sizeof w->text);
    if (w->then != NULL) {
        g_hash_table_remove(e->waiters, &w->token);
        **last = w;
        *last = &w->next;
    } else {
        pthread_cond_signal(&w->cond);
    }
}

void engine_answer(Engine *e, uint64_t token, int result, uint64_t seq, const char *text)
{
    Waiter *w;

    pthread_mutex_lock(&e->wait_lock);
    w = g_hash_table_lookup(e->waiters, &token);
    if (w != NULL) {
        answer_locked(e, w, result, seq, text, &e->answered_last);
    }
    pthread_mutex_unlock(&e->wait_lock);
}

void engine_answer_all(Engine *e, int result, const char *text)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;
    Waiter *first = NULL;
    Waiter **last = &first;

    pthread_mutex_lock(&e->wait_lock);
    g_hash_table_iter_init(&iter, e->waiters);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        g_ptr_array_add(all, value);
    }
    for (guint i = 0; i < all->len; i++) {
        Waiter *w = g_ptr_array_index(all, i);
        if (!w->done) {
            answer_locked(e, w, result, 0, text, &last);
        }
    }
    pthread_mutex_unlock(&e->wait_lock);
    engine_call_answered(e, first);
}

static void count_done(bool change, TreeOpKind kind, int result, MonoTime start)
{
    int64_t us = mono_diff_us(clock_mono(), start);

    if (!change) {
        metrics_sync(result, us);
        return;
    }
    metrics_change(kind, result, us);
    if (result < 0) {
        log_line(TRACE_DEBUG, "dcdb", "%s: %s", tree_op_name(kind), strerror(-result));
    }
    if (result > 0) {
        metrics_add(METRIC_BYTES_IN, (uint64_t)result);
    }
}

void engine_call_answered(Engine *e, Waiter *first)
{
    (void)e;
    for (Waiter *w = first, *next; w != NULL; w = next) {
        Err err = ERR_INIT;

        next = w->next;
        if (w->result < 0 && w->text[0] != '\0') {
            (void)err_setf(&err, w->result, "%s", w->text);
        }
        count_done(w->change, w->kind, w->result, w->start);
        w->then(w->ctx, w->result, &err);
        g_free(w);
    }
}

static void give_up(Engine *e, uint64_t token)
{
    Job *job = engine_job_new(JOB_CANCEL);

    job->token = token;
    engine_push(e, job);
    metrics_add(METRIC_DEADLINES, 1);
}

/* In local mode the caller itself does what it asks for; else, and when the engine has ended, the
 * job goes to the cfs thread, which answers it one way or the other. */
static void do_or_push(Engine *e, Job *job)
{
    if (e->local && engine_own(e)) {
        engine_do_job(e, job, false);
        engine_disown(e);
        engine_job_free(job);
    } else {
        engine_push(e, job);
    }
}

/* Until when a caller who would wait until `end` waits. wait_lock held. */
static const struct timespec *wait_end(const Engine *e, const struct timespec *end)
{
    const struct timespec *until = &e->ending_until;
    bool sooner = e->ending && (until->tv_sec < end->tv_sec ||
                                (until->tv_sec == end->tv_sec && until->tv_nsec < end->tv_nsec));

    return sooner ? until : end;
}

static int no_answer(bool ending, Err *err)
{
    if (ending) {
        return err_setf(err, -EBUSY, "the daemon is stopping: %s", REPLICA_TEXT_UNKNOWN);
    }
    return err_setf(err, -EBUSY, "no answer in %d s: %s", ENGINE_ANSWER_MS / 1000,
                    REPLICA_TEXT_UNKNOWN);
}

/* Has `job` done and waits for its answer. */
static int ask_for(Engine *e, Job *job, Waiter *ret, Err *err)
{
    Waiter w = {.result = -EBUSY};
    struct timespec end = after_ms(ENGINE_ANSWER_MS);
    uint64_t token;
    int r = 0;

    pthread_mutex_lock(&e->wait_lock);
    if (e->closed) {
        pthread_mutex_unlock(&e->wait_lock);
        engine_job_free(job);
        return err_setf(err, -EBUSY, "the daemon is stopping");
    }
    cond_init_monotonic(&w.cond);
    token = job->token = ++e->last_token;
    g_hash_table_insert(e->waiters, &token, &w);
    pthread_mutex_unlock(&e->wait_lock);

    do_or_push(e, job);

    pthread_mutex_lock(&e->wait_lock);
    while (!w.done && r == 0) {
        r = pthread_cond_timedwait(&w.cond, &e->wait_lock, wait_end(e, &end));
    }
    g_hash_table_remove(e->waiters, &token);
    bool ending = e->ending;
    pthread_mutex_unlock(&e->wait_lock);
    pthread_cond_destroy(&w.cond);

    if (!w.done) {
        give_up(e, token);
        return no_answer(ending, err);
    }
    if (w.result < 0) {
        return w.text[0] != '\0' ? err_setf(err, w.result, "%s", w.text) : w.result;
    }
    *ret = w;
    return w.result;
}

static int ask(Engine *e, Job *job, uint64_t *ret_seq, Err *err)
{
    Waiter w;
    int r = ask_for(e, job, &w, err);

    if (r >= 0 && ret_seq != NULL) {
        *ret_seq = w.seq;
    }
    return r;
}

/* May this change be asked for at all? */
static int check_change(Engine *e, const TreeOp *op, Err *err)
{
    if (!atomic_load(&e->quorate)) {
        return err_setf(err, -EACCES, "no quorum"); /* whatever the cfs thread does (INV-3) */
    }
    return engine_check_conf(e, op, err);
}

static Job *change_job(const TreeOp *op, ReplicaWait wait)
{
    Job *job = engine_job_new(JOB_SUBMIT);

    job->op = tree_op_copy(op);
    job->wait = wait;
    return job;
}

static Job *sync_job(uint64_t seq)
{
    Job *job = engine_job_new(JOB_SYNC);

    job->seq = seq;
    return job;
}

/* Of private paths not even the names go to a log, which others may read. */
static const char *path_to_tell(const char *path)
{
    return cfspath_is_private(path) ? "(private)" : path;
}

static void tell_asked(const TreeOp *op)
{
    if (log_debug()) {
        log_line(TRACE_DEBUG, "dcdb", "%s '%s'%s%s%s", tree_op_name(op->kind),
                 path_to_tell(op->path), op->to != NULL ? " to '" : "",
                 op->to != NULL ? path_to_tell(op->to) : "", op->to != NULL ? "'" : "");
    }
}

int engine_submit(Engine *e, const TreeOp *op, ReplicaWait wait, uint64_t *ret_seq, Err *err)
{
    MonoTime start = clock_mono();
    int r = check_change(e, op, err);

    tell_asked(op);
    if (r == 0) {
        r = ask(e, change_job(op, wait), ret_seq, err);
    }
    count_done(true, op->kind, r, start);
    return r;
}

int engine_sync(Engine *e, uint64_t seq, Err *err)
{
    MonoTime start = clock_mono();
    int r = 0;

    if (seq != 0) {
        r = ask(e, sync_job(seq), NULL, err);
        count_done(false, TREE_OP_N, r, start);
    }
    return r;
}

/* ---- callers who do not wait --------------------------------------------------------------- */

/* Writes what waits, holding nothing. */
static void lead_store(Engine *e)
{
    bool may;

    pthread_mutex_lock(&e->wait_lock);
    may = !e->store_closes; /* else store_close writes it */
    e->at_store += may;
    pthread_mutex_unlock(&e->wait_lock);
    if (!may) {
        return;
    }
    store_lead(e->store);
    pthread_mutex_lock(&e->wait_lock);
    if (--e->at_store == 0) {
        pthread_cond_signal(&e->at_store_cond);
    }
    pthread_mutex_unlock(&e->wait_lock);
}

static void do_and_lead(Engine *e, Job *job)
{
    if (e->local && engine_own(e)) {
        e->caller_leads = true;
        engine_do_job(e, job, false);
        e->caller_leads = false;
        engine_disown(e);
        engine_job_free(job);
        lead_store(e);
    } else {
        engine_push(e, job);
    }
}

/* Has `job` done; takes both. */
static void ask_then(Engine *e, Job *job, Waiter *w)
{
    bool closed;

    pthread_mutex_lock(&e->wait_lock);
    closed = e->closed;
    if (!closed) {
        w->token = job->token = ++e->last_token;
        g_hash_table_insert(e->waiters, &w->token, w);
    }
    pthread_mutex_unlock(&e->wait_lock);
    if (closed) {
        engine_job_free(job);
        w->result = -EBUSY;
        g_strlcpy(w->text, "the daemon is stopping", sizeof w->text);
        engine_call_answered(e, w);
        return;
    }
    do_and_lead(e, job);
}

static Waiter *waiter_new(EngineThen then, void *ctx)
{
    Waiter *w = g_new(Waiter, 1);

    w->done = false;
    w->then = then;
    w->ctx = ctx;
    w->change = false;
    w->kind = TREE_OP_N;
    w->start = clock_mono();
    w->next = NULL;
    return w;
}

void engine_submit_then(Engine *e, const TreeOp *op, EngineThen then, void *ctx)
{
    Waiter *w = waiter_new(then, ctx);
    Err err = ERR_INIT;
    int r = check_change(e, op, &err);

    tell_asked(op);
    w->change = true;
    w->kind = op->kind;
    if (r < 0) {
        w->result = r;
        g_strlcpy(w->text, err_text(&err), sizeof w->text);
        engine_call_answered(e, w);
        return;
    }
    ask_then(e, change_job(op, REPLICA_WAIT_DURABLE), w);
}

void engine_sync_then(Engine *e, uint64_t seq, EngineThen then, void *ctx)
{
    Err none = ERR_INIT;

    if (seq == 0) {
        then(ctx, 0, &none);
        return;
    }
    ask_then(e, sync_job(seq), waiter_new(then, ctx));
}

void engine_hurry(Engine *e)
{
    if (e->local && engine_own(e)) {
        e->hurried = e->submitted;
        store_hurry(e->store, e->submitted, true);
        engine_disown(e);
        lead_store(e);
    }
}

int engine_lock_poke(Engine *e, const char *path, Err *err)
{
    TreeOp ask_op = {.kind = TREE_OP_UNLOCK_REQUEST, .path = path};
    TreeOp mtime_op = {.kind = TREE_OP_MTIME, .path = path, .mtime = 0};
    g_autoptr(Entry) lock = NULL;
    int r = engine_lookup(e, path, &lock);

    if (r < 0) {
        return r;
    }
    if (lock->type == ENTRY_DIR) {
        entry_checksum(lock, ask_op.csum);
        r = engine_submit(e, &ask_op, REPLICA_WAIT_APPLIED, NULL, NULL);
        if (r < 0) {
            log_line(TRACE_DEBUG, "dcdb", "request to unlock: %s", strerror(-r));
        }
    }
    return engine_submit(e, &mtime_op, REPLICA_WAIT_DURABLE, NULL, err);
}

int engine_verify(Engine *e, char **ret, Err *err)
{
    Waiter w;
    int r = ask_for(e, engine_job_new(JOB_VERIFY), &w, err);

    if (r >= 0) {
        *ret = g_strdup(w.text);
    }
    return r;
}

/* ---- listeners ----------------------------------------------------------------------------- */

void engine_listen(Engine *e, void (*fn)(void *ctx, const EngineNotice *n), void *ctx)
{
    g_assert(e->thread == NULL && e->n_listeners < ENGINE_LISTENERS_MAX);
    e->listeners[e->n_listeners++] = (EngineListener){fn, ctx};
}

void engine_notify(Engine *e, const EngineNotice *n)
{
    for (guint i = 0; i < e->n_listeners; i++) {
        e->listeners[i].fn(e->listeners[i].ctx, n);
    }
}

/* ---- life ---------------------------------------------------------------------------------- */

/* Readers are many and short: a writer that had to wait for a moment without any would starve. */
static void tree_lock_init(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attr;

    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(lock, &attr);
    pthread_rwlockattr_destroy(&attr);
}

Engine *engine_new(const EngineConfig *cfg)
{
    Engine *e = g_new0(Engine, 1);

    e->nodename = g_strdup(cfg->nodename);
    e->database = g_strdup(cfg->database);
    e->host_conf = g_strdup(cfg->host_corosync_conf);
    e->address = g_strdup(cfg->node_address);
    e->vfs = g_strdup(cfg->vfs);
    e->durability = cfg->durability;
    e->native = cfg->native;
    e->local = cfg->local;
    e->start = clock_wall();
    e->log_db = log_tracer("database");
    e->log_dcdb = log_tracer("dcdb");
    e->log_status = log_tracer("status");
    e->log_quorum = log_tracer("quorum");
    e->feed = feed_new(e->start);
    tree_lock_init(&e->tree_lock);
    pthread_mutex_init(&e->owner_lock, NULL);
    pthread_mutex_init(&e->status_lock, NULL);
    pthread_mutex_init(&e->wait_lock, NULL);
    pthread_mutex_init(&e->queue_lock, NULL);
    pthread_mutex_init(&e->seed_lock, NULL);
    cond_init_monotonic(&e->seed_cond);
    cond_init_monotonic(&e->at_store_cond);
    e->waiters = g_hash_table_new(g_int64_hash, g_int64_equal);
    e->answered_last = &e->answered;
    e->last = &e->first;
    e->seeds = g_ptr_array_new_with_free_func((GDestroyNotify)memdb_delta_unref);
    e->closed = true;
    engine_save_init(e);
    engine_loop_init(e);
    return e;
}

int engine_start(Engine *e, Err *err)
{
    int r = store_start(e->store, err);

    if (r == 0) {
        r = engine_write_seeds(e, err);
    }
    if (r < 0) {
        return r;
    }
    pthread_mutex_lock(&e->wait_lock);
    e->closed = false;
    pthread_mutex_unlock(&e->wait_lock);
    e->thread = g_thread_new("cfs", engine_thread, e);
    return 0;
}

/* Waits for who leads; nobody new does. */
static void close_store(Engine *e)
{
    Store *store;
    int r;

    pthread_mutex_lock(&e->wait_lock);
    e->store_closes = true;
    while (e->at_store > 0) {
        pthread_cond_wait(&e->at_store_cond, &e->wait_lock);
    }
    pthread_mutex_unlock(&e->wait_lock);
    pthread_mutex_lock(&e->status_lock); /* `.metrics` looks at it */
    store = g_steal_pointer(&e->store);
    pthread_mutex_unlock(&e->status_lock);
    r = store_close(store);
    if (r < 0) {
        log_line(TRACE_ERR, "database", "closing '%s': %s", e->database, strerror(-r));
    }
}

void engine_ending(Engine *e)
{
    GHashTableIter iter;
    gpointer value;

    pthread_mutex_lock(&e->wait_lock);
    if (!e->ending) {
        e->ending = true;
        e->ending_until = after_ms(ENGINE_ENDING_MS);
        g_hash_table_iter_init(&iter, e->waiters);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
            Waiter *w = value;
            if (w->then == NULL) { /* it waits in `ask`: for less from now on */
                pthread_cond_signal(&w->cond);
            }
        }
    }
    pthread_mutex_unlock(&e->wait_lock);
}

void engine_stop(Engine *e)
{
    pthread_mutex_lock(&e->wait_lock);
    e->closed = true;
    pthread_mutex_unlock(&e->wait_lock);
    if (e->thread != NULL) {
        engine_push(e, engine_job_new(JOB_STOP));
        g_thread_join(g_steal_pointer(&e->thread));
        pthread_mutex_lock(&e->owner_lock); /* behind whoever is at work now */
        e->ended = true;
        pthread_mutex_unlock(&e->owner_lock);
        engine_answer_all(e, -EBUSY, "the daemon is stopping: " REPLICA_TEXT_UNKNOWN);
        feed_shutdown(e->feed);
    }
    if (e->prober != NULL) {
        g_thread_join(g_steal_pointer(&e->prober)); /* it works in the store */
    }
    close_store(e);
    corosync_conf_sync_free(g_steal_pointer(&e->conf_sync));
}

/* Waits until the last caller has left `ask`: their waiters live on their stacks. */
static void await_callers(Engine *e)
{
    guint n = 1;

    for (int i = 0; i < 1000 && n > 0; i++) {
        pthread_mutex_lock(&e->wait_lock);
        n = g_hash_table_size(e->waiters);
        pthread_mutex_unlock(&e->wait_lock);
        if (n > 0) {
            g_usleep(1000);
        }
    }
    g_assert(n == 0);
}

void engine_free(Engine *e)
{
    if (e == NULL) {
        return;
    }
    engine_stop(e);
    await_callers(e);
    engine_loop_done(e);
    for (Job *job = engine_take_all(e), *next; job != NULL; job = next) {
        next = job->next;
        engine_job_free(job);
    }
    replica_free(e->replica);
    statusgroup_free(e->status_group);
    status_free(e->status);
    memdb_free(e->db);
    feed_free(e->feed);
    g_ptr_array_unref(e->seeds);
    g_hash_table_destroy(e->waiters);
    pthread_cond_destroy(&e->at_store_cond);
    pthread_cond_destroy(&e->seed_cond);
    pthread_mutex_destroy(&e->seed_lock);
    pthread_mutex_destroy(&e->queue_lock);
    pthread_mutex_destroy(&e->wait_lock);
    pthread_mutex_destroy(&e->status_lock);
    pthread_mutex_destroy(&e->owner_lock);
    pthread_rwlock_destroy(&e->tree_lock);
    g_free(e->nodename);
    g_free(e->database);
    g_free(e->host_conf);
    g_free(e->address);
    g_free(e->vfs);
    g_free(e);
}
