/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/store.h"

#include "lib/base/timeval.h"
#include "pmxcfs/io/store_db.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

/* One transaction holds at most this much, so that a backlog neither makes callers wait for all of
 * it nor keeps all of it twice in memory. */
#define BATCH_DELTAS_MAX 4096u
#define BATCH_BYTES_MAX  (32u * 1024u * 1024u)
/* What a queued delta costs beside its content, roughly. */
#define DELTA_BYTES 512u

struct Store {
    StoreOptions opt;
    StoreDb *db;
    pthread_mutex_t
        db_lock; /* around each use of `db`; taken inside `lock` only before the start */

    pthread_mutex_t lock;     /* everything below */
    pthread_cond_t wake;      /* the store thread: something to do */
    pthread_cond_t meta_cond; /* store_set_meta: a batch is done */
    pthread_t thread;
    bool started, stop, failed;
    bool busy;        /* somebody writes: the thread, or a caller in store_lead */
    bool settle;      /* a caller left more to do in the file than its commit */
    bool idle_wanted; /* store_db_idle, when nothing was written until `idle_at` */
    MonoTime idle_at;
    int last_error;
    GQueue queue; /* of MemdbDelta*, owned */
    size_t backlog_bytes;
    uint64_t last_seq;
    bool urgent;            /* do not linger: somebody waits for what is queued */
    MonoTime linger_until;  /* of the oldest queued CREATE */
    MonoTime submitted_at;  /* newest delta */
    MonoTime wakes_at;      /* when the sleeping thread looks by itself; 0: it is awake */
    GHashTable *meta;       /* key -> GBytes: what store_get_meta answers */
    GHashTable *meta_dirty; /* the part that is not committed; NULL: nothing */
    GBytes *waited;         /* the value in meta_dirty that store_set_meta waits for, borrowed;
                               NULL: nobody waits (there is one owner thread) */
    int wait_result;
    char wait_error[ERR_TEXT_MAX];
    StoreStats stats;
};

static MonoTime now_mono(void)
{
    return (MonoTime){g_get_monotonic_time()};
}

static GHashTable *meta_table(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
}

/* ---- opening ----------------------------------------------------------------------------- */

static void store_init(Store *s, const StoreOptions *opt, StoreDb *db)
{
    pthread_condattr_t attr;

    s->opt = *opt;
    s->opt.vfs = NULL; /* borrowed for the call */
    s->db = db;
    s->meta = store_db_take_meta(db);
    s->meta = s->meta != NULL ? s->meta : meta_table();
    g_queue_init(&s->queue);
    (void)pthread_mutex_init(&s->db_lock, NULL); /* cannot fail with these attributes on Linux */
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->wake, &attr);
    (void)pthread_cond_init(&s->meta_cond, &attr);
    (void)pthread_condattr_destroy(&attr);
}

static void store_free(Store *s)
{
    g_clear_pointer(&s->meta, g_hash_table_unref);
    g_clear_pointer(&s->meta_dirty, g_hash_table_unref);
    g_queue_clear_full(&s->queue, (GDestroyNotify)memdb_delta_unref);
    (void)pthread_cond_destroy(&s->wake);
    (void)pthread_cond_destroy(&s->meta_cond);
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_mutex_destroy(&s->db_lock);
    g_free(s);
}

int store_open(const char *path, const StoreOptions *opt, Store **ret, bool *ret_fresh, Err *err)
{
    StoreDbOptions db_opt = {
        .vfs = opt->vfs,
        .read_only = opt->read_only,
        .damaged_ok = opt->damaged_ok,
        .look_first = opt->look_first,
        .synced = opt->durability == STORE_SYNCED,
        .checkpoint_bytes = opt->checkpoint_bytes,
        .direct_bytes_min = opt->direct_bytes_min,
    };
    StoreDb *db = NULL;
    Store *s;
    bool fresh = false;
    int rc = store_db_open(path, &db_opt, &db, &fresh, err);

    if (rc < 0) {
        return rc;
    }
    s = g_new0(Store, 1);
    store_init(s, opt, db);
    *ret = s;
    if (ret_fresh != NULL) {
        *ret_fresh = fresh;
    }
    return 0;
}

int store_read(Store *s,
               const MemdbLimits *limits,
               GPtrArray **ret_entries,
               MemdbRoot *ret_root,
               bool *ret_has_root,
               GArray *faults,
               Err *err)
{
    int rc;

    g_assert(!s->started);
    (void)pthread_mutex_lock(&s->db_lock);
    rc = store_db_read(s->db, limits, ret_entries, ret_root, ret_has_root, faults, err);
    (void)pthread_mutex_unlock(&s->db_lock);
    return rc;
}

int store_take_over(Store *s, Err *err)
{
    int rc;

    g_assert(!s->started);
    (void)pthread_mutex_lock(&s->db_lock);
    rc = store_db_take_over(s->db, err);
    (void)pthread_mutex_unlock(&s->db_lock);
    return rc;
}

/* ---- writing: the store's thread, or a caller who leads ----------------------------------- */

static int write_batch(Store *s, StoreBatch *b, Err *err)
{
    MonoTime begin = now_mono();
    int rc;

    store_batch_seal(b);
    (void)pthread_mutex_lock(&s->db_lock);
    rc = store_db_write(s->db, b, err);
    (void)pthread_mutex_unlock(&s->db_lock);
    if (rc < 0) {
        return rc;
    }
    (void)pthread_mutex_lock(&s->lock);
    s->stats.transactions++;
    s->stats.deltas += b->deltas->len;
    s->stats.payload_bytes += b->payload_bytes;
    s->stats.commit_us_total += (uint64_t)mono_diff_us(now_mono(), begin);
    (void)pthread_mutex_unlock(&s->lock);
    if (b->deltas->len > 0 && s->opt.on_committed != NULL) {
        s->opt.on_committed(s->opt.ctx, store_batch_last(b));
    }
    return 0;
}

/* What a caller of write() may see: the text tells the rest. */
static int caller_errno(int code)
{
    switch (code) {
    case -ENOSPC:
    case -EDQUOT:
    case -EROFS:
    case -EFBIG:
        return code;
    default:
        return -EIO;
    }
}

/* Everything from `first_seq` on is lost until the owner says that it has taken it back. */
static void fail_from(Store *s, uint64_t first_seq, const Err *err)
{
    int code = caller_errno(err->code);

    (void)pthread_mutex_lock(&s->lock);
    s->failed = true;
    s->last_error = code;
    s->stats.failures++;
    g_queue_clear_full(&s->queue, (GDestroyNotify)memdb_delta_unref);
    s->backlog_bytes = 0;
    s->urgent = false;
    (void)pthread_mutex_unlock(&s->lock);
    if (s->opt.on_failed != NULL) {
        s->opt.on_failed(s->opt.ctx, first_seq, code, err_text(err));
    }
}

/* The batch did not go in as a whole: its deltas one by one, so that what fits goes in. */
static int write_singly(Store *s, StoreBatch *b, Err *err)
{
    int rc = 0;

    for (guint i = 0; rc == 0 && i < b->deltas->len; i++) {
        g_auto(StoreBatch) one;

        store_batch_init(&one);
        store_batch_add(&one, g_ptr_array_index(b->deltas, i));
        if (i == 0 && b->meta != NULL) {
            one.meta = g_hash_table_ref(b->meta);
        }
        rc = write_batch(s, &one, err);
        if (rc < 0) {
            fail_from(s, store_batch_first(&one), err);
            return i == 0 ? rc : 0; /* what became of the values in `meta` */
        }
    }
    return rc;
}

/* Values that were not written go with the next batch, unless a newer one waits already. The one
 * that somebody waits for does not: its owner hears the error. */
static void keep_meta(Store *s, GHashTable *meta)
{
    GHashTableIter iter;
    gpointer key;
    gpointer value;

    if (s->stop) {
        return;
    }
    if (s->meta_dirty == NULL) {
        s->meta_dirty = meta_table();
    }
    g_hash_table_iter_init(&iter, meta);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (value != s->waited && !g_hash_table_contains(s->meta_dirty, key)) {
            g_hash_table_insert(s->meta_dirty, g_strdup(key), g_bytes_ref(value));
        }
    }
}

/* Under `lock`: the batch with the value somebody waits for is through. */
static void answer_waiter(Store *s, const StoreBatch *b, int rc, const Err *err)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, b->meta);
    while (s->waited != NULL && g_hash_table_iter_next(&iter, NULL, &value)) {
        if (value == s->waited) {
            s->waited = NULL;
            s->wait_result = rc;
            (void)g_strlcpy(s->wait_error, err_text(err), sizeof(s->wait_error));
            (void)pthread_cond_signal(&s->meta_cond);
        }
    }
}

static void run_batch(Store *s, StoreBatch *b)
{
    Err err = ERR_INIT;
    int rc = write_batch(s, b, &err);

    if (rc < 0 && b->deltas->len > 1) {
        rc = write_singly(s, b, &err);
    } else if (rc < 0 && b->deltas->len == 1) {
        fail_from(s, store_batch_first(b), &err);
    }
    if (b->meta != NULL) {
        (void)pthread_mutex_lock(&s->lock);
        if (rc < 0) {
            keep_meta(s, b->meta);
        }
        answer_waiter(s, b, rc, &err);
        (void)pthread_mutex_unlock(&s->lock);
    }
}

/* Under `lock`: moves what waits into the batch. */
static void take_batch(Store *s, StoreBatch *b)
{
    while (b->deltas->len < BATCH_DELTAS_MAX && b->payload_bytes < BATCH_BYTES_MAX) {
        g_autoptr(MemdbDelta) delta = g_queue_pop_head(&s->queue);

        if (delta == NULL) {
            break;
        }
        s->backlog_bytes -= delta->payload_bytes + DELTA_BYTES;
        store_batch_add(b, delta);
    }
    if (g_queue_is_empty(&s->queue)) {
        s->urgent = false;
    }
    b->meta = g_steal_pointer(&s->meta_dirty);
}

/* Under `lock`: is it time to write? Else *ret_until says until when to sleep. */
static bool ready(Store *s, MonoTime now, MonoTime *ret_until)
{
    *ret_until = s->idle_wanted ? s->idle_at : MONO_NEVER;
    if (s->stop || s->settle || (s->waited != NULL && s->meta_dirty != NULL)) {
        return true;
    }
    if (g_queue_is_empty(&s->queue)) {
        return false;
    }
    *ret_until = mono_min(*ret_until, s->linger_until);
    return s->urgent || !mono_before(now, s->linger_until);
}

/* Under `lock`: must the thread be woken, or does it look in time by itself, or does somebody who
 * writes look when that is done? A wake-up costs the caller more than handing over its change does.
 */
static bool must_wake(Store *s)
{
    MonoTime until;

    return !s->busy && (ready(s, now_mono(), &until) || mono_before(until, s->wakes_at));
}

static void sleep_until(Store *s, MonoTime until)
{
    struct timespec at = {until.us / US_PER_SEC, (until.us % US_PER_SEC) * 1000};

    s->wakes_at = until;
    if (until.us == MONO_NEVER.us) {
        (void)pthread_cond_wait(&s->wake, &s->lock);
    } else {
        (void)pthread_cond_timedwait(&s->wake, &s->lock, &at);
    }
    s->wakes_at = (MonoTime){0};
}

static MonoTime idle_from(const Store *s, int64_t after_ms)
{
    return s->opt.idle_at_once ? now_mono() : mono_add_ms(now_mono(), after_ms);
}

/* Under `lock`, which is given up meanwhile: writes what waits. `self`: the store's thread, which
 * also does what may come after the answers. */
static void work(Store *s, bool self)
{
    StoreBatch batch;
    bool settle;
    bool wants_idle;

    store_batch_init(&batch);
    take_batch(s, &batch);
    s->busy = true;
    (void)pthread_mutex_unlock(&s->lock);
    if (batch.deltas->len > 0 || batch.meta != NULL) {
        run_batch(s, &batch);
    }
    store_batch_done(&batch);
    (void)pthread_mutex_lock(&s->db_lock);
    if (self) {
        store_db_settle(s->db);
    }
    settle = store_db_wants_settle(s->db);
    wants_idle = store_db_wants_idle(s->db);
    (void)pthread_mutex_unlock(&s->db_lock);
    (void)pthread_mutex_lock(&s->lock);
    s->busy = false;
    s->settle = settle;
    s->idle_wanted = wants_idle;
    s->idle_at = idle_from(s, STORE_DIRECT_IDLE_MS);
}

/* Under `lock`, which is given up meanwhile. Where it fails: again, but not at once. */
static void go_idle(Store *s)
{
    bool wanted;

    s->busy = true;
    (void)pthread_mutex_unlock(&s->lock);
    (void)pthread_mutex_lock(&s->db_lock);
    store_db_idle(s->db);
    wanted = store_db_wants_idle(s->db);
    (void)pthread_mutex_unlock(&s->db_lock);
    (void)pthread_mutex_lock(&s->lock);
    s->busy = false;
    s->idle_wanted = wanted;
    s->idle_at = mono_add_ms(now_mono(), 10 * STORE_DIRECT_IDLE_MS);
}

/* ---- the store's thread ------------------------------------------------------------------ */

static void *store_thread(void *ctx)
{
    Store *s = ctx;
    bool wants_idle;

    (void)pthread_mutex_lock(&s->db_lock);
    wants_idle = store_db_wants_idle(s->db);
    (void)pthread_mutex_unlock(&s->db_lock);
    (void)pthread_mutex_lock(&s->lock);
    s->idle_wanted = wants_idle;
    s->idle_at = idle_from(s, STORE_DIRECT_IDLE_MS);
    for (;;) {
        MonoTime now = now_mono();
        MonoTime until = MONO_NEVER; /* while a caller is at work: until that one is done */

        if (!s->busy && ready(s, now, &until)) {
            if (s->stop && g_queue_is_empty(&s->queue) && s->meta_dirty == NULL) {
                break;
            }
            work(s, true);
        } else if (!s->busy && s->idle_wanted && !mono_before(now, s->idle_at)) {
            go_idle(s);
        } else {
            if (mono_diff_us(now, s->submitted_at) < STORE_LINGER_MS * US_PER_MS) {
                /* More will come: looking by itself spares each of them a wake-up. */
                until = mono_min(until, mono_add_ms(now, STORE_LINGER_MS));
            }
            sleep_until(s, until);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

int store_start(Store *s, Err *err)
{
    int code;

    g_assert(!s->started);
    if (s->opt.read_only) {
        return err_setf(err, -EROFS, "the database is open for reading only");
    }
    (void)pthread_mutex_lock(&s->lock);
    code = pthread_create(&s->thread, NULL, store_thread, s);
    s->started = code == 0;
    (void)pthread_mutex_unlock(&s->lock);
    if (code != 0) {
        return err_setf(err, -code, "cannot start the store thread: %s", g_strerror(code));
    }
    return 0;
}

/* ---- what the owner calls ---------------------------------------------------------------- */

/* Gives up `lock` first: who is woken wants it. */
static void unlock_and_wake(Store *s, bool wake)
{
    (void)pthread_mutex_unlock(&s->lock);
    if (wake) {
        (void)pthread_cond_signal(&s->wake);
    }
}

uint64_t store_submit(Store *s, MemdbDelta *delta, bool more)
{
    bool lingers = delta->kind == TREE_OP_CREATE && !delta->replaces_tree;
    bool wake = false;
    uint64_t seq;

    (void)pthread_mutex_lock(&s->lock);
    seq = delta->seq = ++s->last_seq;
    if (!s->failed) {
        s->submitted_at = now_mono();
        if (g_queue_is_empty(&s->queue)) {
            s->linger_until = mono_add_ms(s->submitted_at, STORE_LINGER_MS);
        }
        g_queue_push_tail(&s->queue, memdb_delta_ref(delta));
        s->backlog_bytes += delta->payload_bytes + DELTA_BYTES;
        s->urgent = s->urgent || !lingers;
        wake = !more && must_wake(s);
    }
    unlock_and_wake(s, wake);
    return seq;
}

void store_hurry(Store *s, uint64_t seq, bool more)
{
    const MemdbDelta *oldest;
    bool wake = false;

    (void)pthread_mutex_lock(&s->lock);
    oldest = g_queue_peek_head(&s->queue);
    if (oldest != NULL && oldest->seq <= seq && !s->urgent) {
        s->urgent = true;
        wake = !more && must_wake(s);
    }
    unlock_and_wake(s, wake);
}

void store_lead(Store *s)
{
    MonoTime until;

    (void)pthread_mutex_lock(&s->lock);
    /* What was left to the thread comes first, or callers who hurry would keep it off for ever. */
    if (s->started && !s->busy && !s->stop && !s->settle && ready(s, now_mono(), &until)) {
        work(s, false);
    }
    unlock_and_wake(s, s->started && must_wake(s));
}

size_t store_backlog_bytes(Store *s)
{
    size_t bytes;

    (void)pthread_mutex_lock(&s->lock);
    bytes = s->backlog_bytes;
    (void)pthread_mutex_unlock(&s->lock);
    return bytes;
}

void store_resume(Store *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->failed = false;
    (void)pthread_mutex_unlock(&s->lock);
}

int store_probe(Store *s, Err *err)
{
    int rc;

    (void)pthread_mutex_lock(&s->db_lock);
    rc = store_db_probe(s->db, err);
    if (rc == 0) {
        store_db_settle(s->db);
    }
    (void)pthread_mutex_unlock(&s->db_lock);
    return rc;
}

/* ---- own values -------------------------------------------------------------------------- */

static int check_meta(Store *s, const char *key, size_t size, Err *err)
{
    GHashTableIter iter;
    gpointer value;
    gpointer each;
    size_t total = size;

    if (key[0] == '\0' || strlen(key) > STORE_META_KEY_MAX || size > STORE_META_VALUE_MAX) {
        return err_setf(err, -E2BIG, "value %s of %zu bytes is too large", key, size);
    }
    g_hash_table_iter_init(&iter, s->meta);
    while (g_hash_table_iter_next(&iter, &each, &value)) {
        total += strcmp(each, key) != 0 ? g_bytes_get_size(value) : 0;
    }
    if (total > STORE_META_TOTAL_MAX || (!g_hash_table_contains(s->meta, key) &&
                                         g_hash_table_size(s->meta) >= STORE_META_KEYS_MAX)) {
        return err_setf(err, -E2BIG, "value %s: too many or too large altogether", key);
    }
    return 0;
}

static void set_or_remove(GHashTable *table, const char *key, GBytes *value)
{
    if (value != NULL) {
        g_hash_table_replace(table, g_strdup(key), g_bytes_ref(value));
    } else {
        (void)g_hash_table_remove(table, key);
    }
}

/* Under `lock`: waits until the value just queued is written. */
static int wait_for_meta(Store *s, GBytes *value, Err *err)
{
    s->waited = value;
    if (must_wake(s)) {
        (void)pthread_cond_signal(&s->wake);
    }
    while (s->waited != NULL) {
        (void)pthread_cond_wait(&s->meta_cond, &s->lock);
    }
    return s->wait_result < 0 ? err_setf(err, s->wait_result, "%s", s->wait_error) : 0;
}

/* Before the thread runs: at once, on the caller's thread. */
static int write_meta_now(Store *s, GBytes *value, Err *err)
{
    g_auto(StoreBatch) batch;
    int rc;

    store_batch_init(&batch);
    batch.meta = g_steal_pointer(&s->meta_dirty);
    (void)pthread_mutex_lock(&s->db_lock);
    rc = store_db_write(s->db, &batch, err);
    store_db_settle(s->db);
    (void)pthread_mutex_unlock(&s->db_lock);
    if (rc < 0) {
        s->waited = value;
        keep_meta(s, batch.meta);
        s->waited = NULL;
    }
    return rc;
}

int store_set_meta(Store *s, const char *key, const void *data, size_t size, bool sync, Err *err)
{
    g_autoptr(GBytes) value = g_bytes_new(data, size);
    g_autoptr(GBytes) old = NULL;
    int rc;

    if (s->opt.read_only) {
        return err_setf(err, -EROFS, "the database is open for reading only");
    }
    (void)pthread_mutex_lock(&s->lock);
    rc = check_meta(s, key, size, err);
    if (rc == 0) {
        old = g_hash_table_lookup(s->meta, key);
        old = old != NULL ? g_bytes_ref(old) : NULL;
        if (s->meta_dirty == NULL) {
            s->meta_dirty = meta_table();
        }
        set_or_remove(s->meta, key, value);
        set_or_remove(s->meta_dirty, key, value);
    }
    if (rc == 0 && sync) {
        rc = s->started ? wait_for_meta(s, value, err) : write_meta_now(s, value, err);
        if (rc < 0) {
            set_or_remove(s->meta, key, old);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return rc;
}

int store_get_meta(Store *s, const char *key, GBytes **ret, Err *err)
{
    GBytes *value;

    (void)pthread_mutex_lock(&s->lock);
    value = g_hash_table_lookup(s->meta, key);
    value = value != NULL ? g_bytes_ref(value) : NULL;
    (void)pthread_mutex_unlock(&s->lock);
    if (value == NULL) {
        return err_setf(err, -ENOENT, "no value %s", key);
    }
    *ret = value;
    return 0;
}

/* ---- figures and the end ----------------------------------------------------------------- */

void store_stats(Store *s, StoreStats *ret)
{
    StoreDbStats db;

    store_db_stats(s->db, &db);
    (void)pthread_mutex_lock(&s->lock);
    *ret = s->stats;
    (void)pthread_mutex_unlock(&s->lock);
    ret->disk_bytes = db.disk_bytes;
    ret->syncs = db.syncs;
    ret->checkpoints = db.checkpoints;
}

int store_close(Store *s)
{
    int rc;

    if (s == NULL) {
        return 0;
    }
    if (s->started) {
        (void)pthread_mutex_lock(&s->lock);
        s->stop = true;
        (void)pthread_cond_signal(&s->wake);
        (void)pthread_mutex_unlock(&s->lock);
        (void)pthread_join(s->thread, NULL);
    }
    g_assert(!s->busy);
    rc = store_db_close(s->db, NULL);
    if (rc == 0 && s->failed) {
        rc = s->last_error;
    }
    store_free(s);
    return rc;
}
