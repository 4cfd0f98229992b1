/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/storerig.h"

#include "lib/base/prng.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

#define WAIT_SECONDS 60

struct StoreRig {
    Memdb *tree;
    Store *store;
    bool fresh, forgets;
    GPtrArray *deltas; /* submitted and not undone */
    GPtrArray *states; /* by sequence number */
    GArray *undone;    /* of uint64_t: numbers */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    uint64_t committed;
    uint64_t failed_first;
    int failed_code;
    char failed_text[ERR_TEXT_MAX];
    unsigned order_errors; /* callbacks out of order */
    bool records;
};

static const MonoTime no_time = {0};
static const MemdbLimits wide = {
    .file_size_max = 64u << 20,
    .total_size_max = UINT64_C(1) << 32,
    .inodes_max = 1u << 20,
};

static void on_committed(void *ctx, uint64_t seq)
{
    StoreRig *r = ctx;

    (void)pthread_mutex_lock(&r->lock);
    r->order_errors += seq <= r->committed || r->failed_code != 0;
    r->committed = seq;
    (void)pthread_cond_broadcast(&r->cond);
    (void)pthread_mutex_unlock(&r->lock);
}

static void on_failed(void *ctx, uint64_t first_seq, int code, const char *text)
{
    StoreRig *r = ctx;

    (void)pthread_mutex_lock(&r->lock);
    r->order_errors += first_seq <= r->committed || code >= 0 || text[0] == '\0';
    r->failed_first = first_seq;
    r->failed_code = code;
    (void)g_strlcpy(r->failed_text, text, sizeof(r->failed_text));
    (void)pthread_cond_broadcast(&r->cond);
    (void)pthread_mutex_unlock(&r->lock);
}

static void unref_bytes(gpointer p)
{
    if (p != NULL) {
        g_bytes_unref(p);
    }
}

static GBytes *checksum_of(Memdb *tree)
{
    uint8_t csum[ENTRY_DIGEST_SIZE];

    memdb_checksum(tree, csum);
    return g_bytes_new(csum, sizeof(csum));
}

static int load(Store *store, Memdb *tree, Err *err)
{
    g_autoptr(GPtrArray) entries = NULL;
    g_autoptr(GArray) faults = g_array_new(FALSE, TRUE, sizeof(MemdbFault));
    MemdbRoot root;
    bool has_root;
    int rc = store_read(store, &wide, &entries, &root, &has_root, faults, err);

    for (guint i = 0; rc == 0 && i < faults->len; i++) {
        const MemdbFault *f = &g_array_index(faults, MemdbFault, i);

        if (f->fatal) {
            rc = err_setf(err, -EBADMSG, "%s", f->text);
        }
    }
    return rc < 0 ? rc : memdb_load(tree, entries, has_root ? &root : NULL, no_time, NULL, err);
}

StoreRig *storerig_open(const char *path, const StoreOptions *opt, Err *err)
{
    StoreRig *r = g_new0(StoreRig, 1);
    StoreOptions o = opt != NULL ? *opt : (StoreOptions){.durability = STORE_SYNCED};
    int rc;

    o.on_committed = on_committed;
    o.on_failed = on_failed;
    o.ctx = r;
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_cond_init(&r->cond, NULL);
    r->tree = memdb_new(NULL, NULL);
    memdb_set_limits(r->tree, &wide);
    r->deltas = g_ptr_array_new_with_free_func((GDestroyNotify)memdb_delta_unref);
    r->states = g_ptr_array_new_with_free_func(unref_bytes);
    r->undone = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    rc = store_open(path, &o, &r->store, &r->fresh, err);
    rc = rc < 0 ? rc : load(r->store, r->tree, err);
    rc = rc < 0 ? rc : store_start(r->store, err);
    if (rc < 0) {
        storerig_close(r, NULL);
        return NULL;
    }
    g_ptr_array_add(r->states, checksum_of(r->tree));
    return r;
}

void storerig_close(StoreRig *r, int *ret_close)
{
    int rc;

    if (r == NULL) {
        return;
    }
    rc = store_close(r->store);
    if (ret_close != NULL) {
        *ret_close = rc;
    }
    g_assert_cmpuint(r->order_errors, ==, 0);
    memdb_free(r->tree);
    g_ptr_array_unref(r->deltas);
    g_ptr_array_unref(r->states);
    g_array_unref(r->undone);
    (void)pthread_cond_destroy(&r->cond);
    (void)pthread_mutex_destroy(&r->lock);
    g_free(r);
}

Memdb *storerig_tree(StoreRig *r)
{
    return r->tree;
}

Store *storerig_store(StoreRig *r)
{
    return r->store;
}

bool storerig_fresh(StoreRig *r)
{
    return r->fresh;
}

/* ---- changes ----------------------------------------------------------------------------- */

void storerig_use_records(StoreRig *r)
{
    r->records = true;
}

uint64_t storerig_submit(StoreRig *r, MemdbDelta *delta)
{
    uint64_t seq;

    if (r->records && delta->record == NULL) {
        delta->record = g_bytes_new(&delta->root_after.version, sizeof delta->root_after.version);
    }
    seq = store_submit(r->store, delta, false);

    g_assert_cmpuint(seq, ==, delta->seq);
    g_assert_cmpuint(seq, >=, r->states->len);
    g_ptr_array_add(r->deltas, memdb_delta_ref(delta));
    g_ptr_array_set_size(r->states, (gint)seq); /* numbers that were lost leave NULL */
    g_ptr_array_add(r->states, r->forgets ? NULL : checksum_of(r->tree));
    return seq;
}

static uint64_t apply(StoreRig *r, const TreeOp *op)
{
    g_autoptr(MemdbDelta) delta = NULL;
    int rc = memdb_apply(r->tree, op, (TreeOrigin){1, 1700000000}, false, no_time, &delta);

    if (rc < 0) {
        g_error("%s %s: %s", tree_op_name(op->kind), op->path, g_strerror(-rc));
    }
    return storerig_submit(r, delta);
}

uint64_t storerig_create(StoreRig *r, const char *path)
{
    return apply(r, &(TreeOp){.kind = TREE_OP_CREATE, .path = path});
}

uint64_t storerig_mkdir(StoreRig *r, const char *path)
{
    return apply(r, &(TreeOp){.kind = TREE_OP_MKDIR, .path = path});
}

uint64_t storerig_write(StoreRig *r, const char *path, GBytes *data)
{
    return apply(r, &(TreeOp){.kind = TREE_OP_WRITE, .path = path, .data = data, .truncate = true});
}

uint64_t storerig_fill(StoreRig *r, const char *path, size_t size, uint64_t seed)
{
    g_autofree uint8_t *buf = g_malloc(size + 8);
    g_autoptr(GBytes) data = NULL;
    Prng prng;

    prng_init(&prng, seed);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t v = prng_u64(&prng);

        memcpy(buf + i, &v, 8);
    }
    data = g_bytes_new(buf, size);
    return storerig_write(r, path, data);
}

uint64_t storerig_delete(StoreRig *r, const char *path)
{
    return apply(r, &(TreeOp){.kind = TREE_OP_DELETE, .path = path});
}

uint64_t storerig_rename(StoreRig *r, const char *from, const char *to)
{
    return apply(r, &(TreeOp){.kind = TREE_OP_RENAME, .path = from, .to = to});
}

uint64_t storerig_mtime(StoreRig *r, const char *path, uint32_t mtime)
{
    return apply(r, &(TreeOp){.kind = TREE_OP_MTIME, .path = path, .mtime = mtime});
}

/* As the engine does it after a failure. */
static void take_back(StoreRig *r, uint64_t first)
{
    while (r->deltas->len > 0) {
        MemdbDelta *delta = g_ptr_array_index(r->deltas, r->deltas->len - 1);
        g_autoptr(MemdbDelta) back = NULL;

        if (delta->seq < first) {
            break;
        }
        memdb_undo(r->tree, delta, no_time, &back);
        g_array_append_val(r->undone, delta->seq);
        g_ptr_array_set_size(r->deltas, (gint)r->deltas->len - 1);
    }
    store_resume(r->store);
}

int storerig_wait(StoreRig *r, uint64_t seq)
{
    struct timespec until;
    uint64_t first = 0;
    int code = 0;
    int timed_out = 0;

    store_hurry(r->store, seq, false);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_SECONDS;
    (void)pthread_mutex_lock(&r->lock);
    while (r->committed < seq && r->failed_code == 0 && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&r->cond, &r->lock, &until);
    }
    if (r->failed_code != 0) {
        code = r->failed_code;
        first = r->failed_first;
        r->failed_code = 0;
    }
    (void)pthread_mutex_unlock(&r->lock);
    if (code != 0) {
        take_back(r, first);
        return code;
    }
    return timed_out != 0 ? -ETIMEDOUT : 0;
}

int storerig_flush(StoreRig *r)
{
    return storerig_wait(r, storerig_last(r));
}

const char *storerig_failure(StoreRig *r)
{
    return r->failed_text;
}

uint64_t storerig_committed(StoreRig *r)
{
    uint64_t seq;

    (void)pthread_mutex_lock(&r->lock);
    seq = r->committed;
    (void)pthread_mutex_unlock(&r->lock);
    return seq;
}

uint64_t storerig_last(StoreRig *r)
{
    return r->deltas->len > 0
               ? ((MemdbDelta *)g_ptr_array_index(r->deltas, r->deltas->len - 1))->seq
               : 0;
}

/* ---- states ------------------------------------------------------------------------------ */

GPtrArray *storerig_states(StoreRig *r, bool with_undone)
{
    GPtrArray *states = g_ptr_array_new_with_free_func(unref_bytes);

    for (guint i = 0; i < r->states->len; i++) {
        GBytes *state = g_ptr_array_index(r->states, i);

        g_ptr_array_add(states, state != NULL ? g_bytes_ref(state) : NULL);
    }
    for (guint i = 0; !with_undone && i < r->undone->len; i++) {
        guint at = (guint)g_array_index(r->undone, uint64_t, i);

        g_clear_pointer((GBytes **)&g_ptr_array_index(states, at), g_bytes_unref);
    }
    return states;
}

void storerig_forget_states(StoreRig *r)
{
    r->forgets = true;
}

int storerig_checksum(const char *path, const StoreOptions *opt, GBytes **ret, Err *err)
{
    StoreOptions o = opt != NULL ? *opt : (StoreOptions){.durability = STORE_SYNCED};
    g_autoptr(Memdb) tree = memdb_new(NULL, NULL);
    Store *store = NULL;
    int rc = store_open(path, &o, &store, NULL, err);

    if (rc == 0) {
        memdb_set_limits(tree, &wide);
        rc = load(store, tree, err);
    }
    if (rc == 0) {
        *ret = checksum_of(tree);
    }
    (void)store_close(store);
    return rc;
}

void storerig_assert_sound(const char *path, const char *vfs)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;

    g_assert_cmpint(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, vfs), ==, SQLITE_OK);
    if (sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL) != SQLITE_OK) {
        g_error("the file cannot be checked: %s (%d)", sqlite3_errmsg(db),
                sqlite3_extended_errcode(db));
    }
    g_assert_cmpint(sqlite3_step(st), ==, SQLITE_ROW);
    g_assert_cmpstr((const char *)sqlite3_column_text(st, 0), ==, "ok");
    sqlite3_finalize(st);
    g_assert_cmpint(sqlite3_close(db), ==, SQLITE_OK);
}
