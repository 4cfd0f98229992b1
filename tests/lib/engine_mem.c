/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/engine_mem.h"

#include "pmxcfs/core/cfspath.h"

#include <errno.h>
#include <string.h>

#define REMOTE_WRITER 2u

typedef struct Listener {
    void (*fn)(void *ctx, const EngineNotice *n);
    void *ctx;
} Listener;

struct Engine {
    char *nodename;
    Memdb *db;
    GRWLock tree;   /* the guard of the tree: readers and pointer swaps */
    GMutex changes; /* one change at a time, with its notices: the engine's thread */
    GArray *listeners;
    Feed *feed;
    gint quorate, fail_code;
    int lose_code;    /* 0: none is to be lost */
    MemdbDelta *lost; /* applied, and to be taken back */
    GCond let_go;
    bool hold;
    guint held; /* changes that wait for it */
    gint64 advance_us;
    guint64 applied;
};

static void guard_enter(void *ctx)
{
    g_rw_lock_writer_lock(&((Engine *)ctx)->tree);
}

static void guard_leave(void *ctx)
{
    g_rw_lock_writer_unlock(&((Engine *)ctx)->tree);
}

static MonoTime now(const Engine *e)
{
    return (MonoTime){g_get_monotonic_time() + e->advance_us};
}

static WallTime wall_now(void)
{
    return (WallTime){g_get_real_time() / G_USEC_PER_SEC};
}

Engine *engine_mem_new(const char *nodename)
{
    Engine *e = g_new0(Engine, 1);
    e->nodename = g_strdup(nodename);
    e->quorate = 1;
    g_rw_lock_init(&e->tree);
    g_mutex_init(&e->changes);
    g_cond_init(&e->let_go);
    e->listeners = g_array_new(FALSE, FALSE, sizeof(Listener));
    e->feed = feed_new(wall_now());
    MemdbGuard guard = {guard_enter, guard_leave, e};
    e->db = memdb_new(NULL, &guard);
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    MemdbRoot root = {.version = 1, .mtime = 1};
    if (memdb_load(e->db, none, &root, now(e), NULL, NULL) < 0) {
        g_error("an empty tree does not load");
    }
    return e;
}

void engine_free(Engine *e)
{
    if (e == NULL) {
        return;
    }
    memdb_delta_unref(e->lost);
    memdb_free(e->db);
    g_array_unref(e->listeners);
    feed_free(e->feed);
    g_mutex_clear(&e->changes);
    g_cond_clear(&e->let_go);
    g_rw_lock_clear(&e->tree);
    g_free(e->nodename);
    g_free(e);
}

/* ---- reading ----------------------------------------------------------------------------- */

Entry *engine_get(Engine *e, uint64_t inode)
{
    g_rw_lock_reader_lock(&e->tree);
    Entry *r = memdb_get(e->db, inode);
    g_rw_lock_reader_unlock(&e->tree);
    return r;
}

Entry *engine_child(Engine *e, uint64_t parent, const char *name)
{
    g_rw_lock_reader_lock(&e->tree);
    Entry *r = memdb_child(e->db, parent, name);
    g_rw_lock_reader_unlock(&e->tree);
    return r;
}

int engine_lookup(Engine *e, const char *path, Entry **ret)
{
    g_rw_lock_reader_lock(&e->tree);
    int r = memdb_lookup(e->db, path, ret);
    g_rw_lock_reader_unlock(&e->tree);
    return r;
}

GPtrArray *engine_list(Engine *e, uint64_t dir)
{
    g_rw_lock_reader_lock(&e->tree);
    GPtrArray *r = memdb_list(e->db, dir);
    g_rw_lock_reader_unlock(&e->tree);
    return r;
}

char *engine_path(Engine *e, uint64_t inode)
{
    g_rw_lock_reader_lock(&e->tree);
    char *r = memdb_path(e->db, inode);
    g_rw_lock_reader_unlock(&e->tree);
    return r;
}

void engine_usage(Engine *e, uint64_t *ret_bytes, uint32_t *ret_entries, MemdbLimits *ret_limits)
{
    g_rw_lock_reader_lock(&e->tree);
    *ret_bytes = memdb_content_bytes(e->db);
    *ret_entries = memdb_count(e->db);
    *ret_limits = *memdb_limits(e->db);
    g_rw_lock_reader_unlock(&e->tree);
}

bool engine_quorate(Engine *e)
{
    return g_atomic_int_get(&e->quorate) != 0;
}

const char *engine_nodename(const Engine *e)
{
    return e->nodename;
}

bool engine_is_local(const Engine *e)
{
    (void)e;
    return true;
}

Feed *engine_feed(Engine *e)
{
    return e->feed;
}

int engine_view(Engine *e, const char *name, GString **ret)
{
    static int serial;
    if (cfs_special_from_name(name) < 0 || strcmp(name, ".events") == 0) {
        return -ENOENT;
    }
    GString *text = g_string_new(NULL);
    if (strcmp(name, ".vmlist") == 0) {
        g_rw_lock_reader_lock(&e->tree);
        memdb_format_vmlist(e->db, text);
        g_rw_lock_reader_unlock(&e->tree);
    } else if (strcmp(name, ".debug") == 0) {
        g_string_append(text, "0\n");
    } else if (strcmp(name, ".metrics") != 0) {
        /* Each text differs from the one before, in length too now and then. */
        g_string_append_printf(text, "{\"serial\": %d}\n", g_atomic_int_add(&serial, 1));
    }
    *ret = text;
    return 0;
}

/* ---- changing ---------------------------------------------------------------------------- */

static void notify(Engine *e, const EngineNotice *n)
{
    for (guint i = 0; i < e->listeners->len; i++) {
        const Listener *l = &g_array_index(e->listeners, Listener, i);
        l->fn(l->ctx, n);
    }
}

static void notify_delta(Engine *e, const MemdbDelta *d, bool own)
{
    EngineNotice n = {
        .kind = ENGINE_NOTICE_DELTA, .delta = d, .own = own, .quorate = engine_quorate(e)};
    notify(e, &n);
    feed_append_delta(e->feed, d, own, wall_now());
}

/* Lock held. */
static void take_back(Engine *e, const MemdbDelta *d)
{
    g_autoptr(MemdbDelta) back = NULL;
    memdb_undo(e->db, d, now(e), &back);
    notify_delta(e, back, false);
    e->applied--;
}

/* What was to be lost is taken back: the code for it. Lock held. */
static int lose(Engine *e)
{
    int code = e->lose_code;
    take_back(e, e->lost);
    g_clear_pointer(&e->lost, memdb_delta_unref);
    e->lose_code = 0;
    return code;
}

/* Lock held. */
static int change(Engine *e, const TreeOp *op, bool own, ReplicaWait wait)
{
    TreeOrigin from = {own ? 0 : REMOTE_WRITER, (uint32_t)(g_get_real_time() / G_USEC_PER_SEC)};
    g_autoptr(MemdbDelta) d = NULL;
    int r = memdb_apply(e->db, op, from, false, now(e), &d);
    if (r < 0) {
        return r;
    }
    notify_delta(e, d, own);
    e->applied++;
    int fail = own ? g_atomic_int_exchange(&e->fail_code, 0) : 0;
    if (fail != 0) {
        take_back(e, d);
        r = fail;
    } else if (wait == REPLICA_WAIT_APPLIED && e->lose_code != 0 && e->lost == NULL) {
        e->lost = g_steal_pointer(&d);
    } else if (own && wait == REPLICA_WAIT_DURABLE && e->lost != NULL) {
        take_back(e, d); /* what came after it goes with it */
        r = lose(e);
    }
    return r;
}

/* With the changes locked; they are let go meanwhile. */
static void wait_for_disk(Engine *e)
{
    e->held++;
    while (e->hold) {
        g_cond_wait(&e->let_go, &e->changes);
    }
    e->held--;
}

int engine_submit(Engine *e, const TreeOp *op, ReplicaWait wait, uint64_t *ret_seq, Err *err)
{
    if (!engine_quorate(e)) {
        return -EACCES;
    }
    g_mutex_lock(&e->changes);
    int r = change(e, op, true, wait);
    uint64_t seq = e->applied;
    if (wait == REPLICA_WAIT_DURABLE) {
        wait_for_disk(e);
    }
    g_mutex_unlock(&e->changes);
    if (r >= 0 && ret_seq != NULL) {
        *ret_seq = seq;
    }
    return r == -EIO ? err_setf(err, r, "the disk failed") : r;
}

int engine_sync(Engine *e, uint64_t seq, Err *err)
{
    (void)seq;
    (void)err;
    int r = 0;
    g_mutex_lock(&e->changes);
    if (e->lost != NULL) {
        r = lose(e);
    }
    wait_for_disk(e);
    g_mutex_unlock(&e->changes);
    return r;
}

void engine_submit_then(Engine *e, const TreeOp *op, EngineThen then, void *ctx)
{
    Err err = ERR_INIT;
    int r = engine_submit(e, op, REPLICA_WAIT_DURABLE, NULL, &err);
    then(ctx, r, &err);
}

void engine_sync_then(Engine *e, uint64_t seq, EngineThen then, void *ctx)
{
    Err err = ERR_INIT;
    int r = engine_sync(e, seq, &err);
    then(ctx, r, &err);
}

void engine_hurry(Engine *e)
{
    (void)e; /* there is no disk */
}

void engine_ending(Engine *e)
{
    (void)e; /* what is held here, the test lets go */
}

/* As in local mode: an expired lock goes, a live one refuses the time 0. */
int engine_lock_poke(Engine *e, const char *path, Err *err)
{
    g_autoptr(Entry) lock = NULL;
    (void)err;
    if (!engine_quorate(e)) {
        return -EACCES;
    }
    int r = engine_lookup(e, path, &lock);
    if (r < 0) {
        return r;
    }
    TreeOp op = {.kind = TREE_OP_MTIME, .path = path, .mtime = 0};
    entry_checksum(lock, op.csum);
    g_mutex_lock(&e->changes);
    bool expired = memdb_lock_expired(e->db, path, op.csum, now(e));
    if (expired) {
        op.kind = TREE_OP_UNLOCK;
    }
    r = change(e, &op, true, REPLICA_WAIT_DURABLE);
    g_mutex_unlock(&e->changes);
    return r < 0 ? r : expired ? -ENOENT : 0;
}

void engine_listen(Engine *e, void (*fn)(void *ctx, const EngineNotice *n), void *ctx)
{
    Listener l = {fn, ctx};
    g_array_append_val(e->listeners, l);
}

/* ---- what tests do ----------------------------------------------------------------------- */

int engine_mem_remote(Engine *e, const TreeOp *op)
{
    g_mutex_lock(&e->changes);
    int r = change(e, op, false, REPLICA_WAIT_DURABLE);
    g_mutex_unlock(&e->changes);
    return r;
}

int engine_mem_replace(Engine *e, const char *name, const char *text)
{
    g_mutex_lock(&e->changes);
    MemdbRoot root = memdb_root(e->db);
    GPtrArray *entries = memdb_all(e->db);
    for (guint i = 0; i < entries->len; i++) {
        if (((const Entry *)g_ptr_array_index(entries, i))->inode == 0) {
            g_ptr_array_remove_index(entries, i);
            break;
        }
    }
    root.version++;
    g_autoptr(GBytes) data = g_bytes_new(text, strlen(text));
    EntryInit init = {.inode = root.version,
                      .version = root.version,
                      .writer = REMOTE_WRITER,
                      .mtime = 1000,
                      .type = ENTRY_FILE,
                      .name = name,
                      .data = data};
    g_ptr_array_add(entries, entry_new(&init));
    g_autoptr(MemdbDelta) d = NULL;
    int r = memdb_replace(e->db, entries, &root, now(e), &d, NULL);
    if (r == 0) {
        notify_delta(e, d, false);
    }
    g_mutex_unlock(&e->changes);
    g_ptr_array_unref(entries);
    return r;
}

void engine_mem_set_quorate(Engine *e, bool quorate)
{
    g_mutex_lock(&e->changes);
    g_atomic_int_set(&e->quorate, quorate);
    EngineNotice n = {.kind = ENGINE_NOTICE_QUORUM, .quorate = quorate};
    notify(e, &n);
    g_mutex_unlock(&e->changes);
}

void engine_mem_fail_next(Engine *e, int code)
{
    g_atomic_int_set(&e->fail_code, code);
}

void engine_mem_lose_next(Engine *e, int code)
{
    g_mutex_lock(&e->changes);
    e->lose_code = code;
    g_mutex_unlock(&e->changes);
}

void engine_mem_hold(Engine *e, bool hold)
{
    g_mutex_lock(&e->changes);
    e->hold = hold;
    g_cond_broadcast(&e->let_go);
    g_mutex_unlock(&e->changes);
}

guint engine_mem_held(Engine *e)
{
    g_mutex_lock(&e->changes);
    guint held = e->held;
    g_mutex_unlock(&e->changes);
    return held;
}

void engine_mem_advance(Engine *e, int64_t sec)
{
    g_mutex_lock(&e->changes);
    e->advance_us += sec * G_USEC_PER_SEC;
    g_mutex_unlock(&e->changes);
}

uint64_t engine_mem_changes(Engine *e)
{
    g_mutex_lock(&e->changes);
    uint64_t n = e->applied;
    g_mutex_unlock(&e->changes);
    return n;
}
