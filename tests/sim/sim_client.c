/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that use the file system. Some do anything anywhere. Others keep a record that can be
 * checked: files with a name of their own, which nobody removes; counters, each written by one
 * program that never goes back; locks, which only one may hold.
 *
 * Acknowledged changes must be there at the end in clusters that promise it: where all members
 * speak the native protocol. The documented protocol acknowledges what one node alone may have.
 */
#include "tests/sim/sim.h"

#include "pmxcfs/core/pmxcfs_limits.h"

#include <errno.h>
#include <string.h>

#define CALLERS_MAX 40u
#define COUNTERS    4u
#define LOCKS       3u
/* The longest a caller may wait: the product's deadlines one after the other, and the ticks. */
#define ANSWER_MS_MAX (REPLICA_SEND_MS + REPLICA_ANSWER_MS + REPLICA_DURABLE_MS + 1000)
/* Where all are native and the node knows that it has no quorum: until the new view at most. */
#define REFUSE_MS_MAX 4000

typedef enum CallKind {
    CALL_ANY,
    CALL_UNIQUE,
    CALL_COUNT,
    CALL_LOCK,
    CALL_UNLOCK,
    CALL_POKE,
    CALL_SYNC
} CallKind;

typedef struct Call {
    uint64_t token;
    CallKind kind;
    uint32_t host, index; /* COUNT: which counter; LOCK, UNLOCK: which lock; UNIQUE: number */
    uint64_t value;       /* COUNT */
    MonoTime begin;
} Call;

typedef struct Counter {
    uint32_t file; /* number of the file it writes now */
    uint64_t acked, tried;
    bool busy;
} Counter;

/* A counter whose last write has an unknown outcome is written no more. */
typedef struct Retired {
    uint32_t file;
    uint64_t acked, tried;
} Retired;

typedef struct Lock {
    bool held, busy;
    MonoTime until;  /* held for sure until then */
    uint32_t holder; /* host */
} Lock;

struct SimClients {
    Sim *sim;
    GHashTable *calls; /* &call->token -> Call* */
    uint64_t tokens;
    uint32_t uniques, counter_files;
    GArray *unique_acked; /* of uint32_t */
    Counter counters[COUNTERS];
    GArray *retired; /* of Retired */
    Lock locks[LOCKS];
    uint32_t acknowledged, unknown, refused;
};

SimClients *sim_clients_new(Sim *sim)
{
    SimClients *c = g_new0(SimClients, 1);

    c->sim = sim;
    c->calls = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
    c->unique_acked = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    c->retired = g_array_new(FALSE, FALSE, sizeof(Retired));
    for (uint32_t i = 0; i < COUNTERS; i++) {
        c->counters[i].file = ++c->counter_files;
    }
    return c;
}

void sim_clients_free(SimClients *c)
{
    g_hash_table_unref(c->calls);
    g_array_unref(c->unique_acked);
    g_array_unref(c->retired);
    g_free(c);
}

static bool all_native(const SimClients *c)
{
    const SimOptions *opt = sim_options(c->sim);

    return opt->native && !opt->mixed;
}

/* All members keep what they acknowledge. */
static bool promises_kept(const SimClients *c)
{
    return all_native(c) && !sim_ring_below_majority(sim_ring(c->sim));
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool submit(SimClients *c, Call call, const TreeOp *op)
{
    Call *copy;

    call.token = ++c->tokens;
    call.begin = sim_now(c->sim);
    copy = g_memdup2(&call, sizeof call);
    (void)g_hash_table_insert(c->calls, &copy->token, copy);
    if (!sim_node_submit(sim_node(c->sim, call.host), call.token, op)) {
        (void)g_hash_table_remove(c->calls, &call.token);
        return false;
    }
    return true;
}

static uint32_t any_host(SimClients *c)
{
    return (uint32_t)sim_random(c->sim, 1, sim_options(c->sim)->hosts);
}

static char *any_path(SimClients *c)
{
    switch (sim_random(c->sim, 0, 4)) {
    case 0:
        return g_strdup_printf("d%d/f%d", (int)sim_random(c->sim, 0, 1),
                               (int)sim_random(c->sim, 0, 2));
    case 1:
        return g_strdup_printf("d%d", (int)sim_random(c->sim, 0, 1));
    case 2:
        return g_strdup_printf("nodes/n%d/qemu-server/%d.conf", (int)sim_random(c->sim, 1, 2),
                               (int)sim_random(c->sim, 100, 102));
    default:
        return g_strdup_printf("f%d", (int)sim_random(c->sim, 0, 4));
    }
}

static GBytes *any_content(SimClients *c)
{
    gsize size = (gsize)sim_random(c->sim, 0, sim_chance(c->sim, 1, 50) ? 200000 : 60);
    guint8 *data = g_malloc(size + 1);

    memset(data, 'a' + (int)sim_random(c->sim, 0, 25), size);
    return g_bytes_new_take(data, size);
}

static void ask_any(SimClients *c)
{
    static const TreeOpKind kinds[] = {TREE_OP_WRITE,  TREE_OP_WRITE,  TREE_OP_WRITE,
                                       TREE_OP_MKDIR,  TREE_OP_DELETE, TREE_OP_RENAME,
                                       TREE_OP_CREATE, TREE_OP_CREATE, TREE_OP_MTIME};
    g_autofree char *path = any_path(c);
    g_autofree char *to = any_path(c);
    g_autoptr(GBytes) data = NULL;
    TreeOp op = {.kind = kinds[sim_random(c->sim, 0, G_N_ELEMENTS(kinds) - 1)], .path = path};

    if (op.kind == TREE_OP_WRITE) {
        data = any_content(c);
        op.truncate = sim_chance(c->sim, 1, 2);
        op.offset = sim_chance(c->sim, 1, 4) ? (uint64_t)sim_random(c->sim, 0, 3000) : 0;
        op.data = g_bytes_get_size(data) > 0 ? data : NULL;
    } else if (op.kind == TREE_OP_RENAME) {
        op.to = to;
    } else if (op.kind == TREE_OP_MTIME) {
        op.mtime = (uint32_t)sim_random(c->sim, 0, UINT32_MAX);
    }
    (void)submit(c, (Call){.kind = CALL_ANY, .host = any_host(c)}, &op);
}

static void ask_unique(SimClients *c, uint32_t host)
{
    uint32_t number = ++c->uniques;
    g_autofree char *path = g_strdup_printf("unique/%u", number);
    TreeOp op = {.kind = TREE_OP_CREATE, .path = path};

    (void)submit(c, (Call){.kind = CALL_UNIQUE, .host = host, .index = number}, &op);
}

void sim_clients_sync(SimClients *c, uint32_t host)
{
    Call call = {.token = ++c->tokens, .kind = CALL_SYNC, .host = host, .begin = sim_now(c->sim)};
    Call *copy = g_memdup2(&call, sizeof call);

    (void)g_hash_table_insert(c->calls, &copy->token, copy);
    if (!sim_node_sync(sim_node(c->sim, host), call.token)) {
        (void)g_hash_table_remove(c->calls, &call.token);
    }
}

void sim_clients_burst(SimClients *c, uint32_t host)
{
    for (int64_t i = sim_random(c->sim, 2, 12); i > 0; i--) {
        ask_unique(c, host);
    }
}

char *sim_clients_acknowledged(SimClients *c)
{
    guint n = c->unique_acked->len;

    return n == 0 ? NULL
                  : g_strdup_printf("unique/%u", g_array_index(c->unique_acked, uint32_t,
                                                               sim_random(c->sim, 0, n - 1)));
}

/* Creates the file with its first value, so that one call is one change. */
static void ask_count(SimClients *c)
{
    uint32_t index = (uint32_t)sim_random(c->sim, 0, COUNTERS - 1);
    Counter *counter = &c->counters[index];
    g_autofree char *path = g_strdup_printf("counter/%u", counter->file);
    g_autoptr(GBytes) data = NULL;
    TreeOp op = {.kind = TREE_OP_CREATE, .path = path};
    Call call = {.kind = CALL_COUNT, .host = any_host(c), .index = index};

    if (counter->busy) {
        return;
    }
    call.value = counter->tried + 1;
    if (call.value > 1) {
        g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, call.value);

        data = g_bytes_new(text, strlen(text));
        op = (TreeOp){.kind = TREE_OP_WRITE, .path = path, .truncate = true, .data = data};
    }
    counter->tried = call.value;
    counter->busy = true;
    if (!submit(c, call, &op)) {
        counter->busy = false;
        counter->tried--;
    }
}

static char *lock_path(uint32_t index)
{
    return g_strdup_printf("priv/lock/l%u", index);
}

static void ask_lock(SimClients *c)
{
    uint32_t index = (uint32_t)sim_random(c->sim, 0, LOCKS - 1);
    g_autofree char *path = lock_path(index);
    TreeOp op = {.kind = TREE_OP_MKDIR, .path = path};

    (void)submit(c, (Call){.kind = CALL_LOCK, .host = any_host(c), .index = index}, &op);
}

static void ask_unlock(SimClients *c)
{
    uint32_t index = (uint32_t)sim_random(c->sim, 0, LOCKS - 1);
    Lock *lock = &c->locks[index];
    g_autofree char *path = lock_path(index);
    TreeOp op = {.kind = TREE_OP_DELETE, .path = path};

    if (lock->held &&
        submit(c, (Call){.kind = CALL_UNLOCK, .host = lock->holder, .index = index}, &op)) {
        lock->held = false; /* from the moment of asking on, somebody else may get it */
    }
}

/* Asks for the removal of a lock that looks abandoned, as those do who wait for it. */
static void ask_poke(SimClients *c)
{
    g_autofree char *path = lock_path((uint32_t)sim_random(c->sim, 0, LOCKS - 1));
    uint32_t host = any_host(c);
    SimNode *n = sim_node(c->sim, host);
    g_autoptr(Entry) e = NULL;
    TreeOp op = {.kind = TREE_OP_UNLOCK_REQUEST, .path = path};

    if (!sim_node_running(n) || memdb_lookup(sim_node_db(n), path, &e) < 0) {
        return;
    }
    entry_checksum(e, op.csum);
    (void)submit(c, (Call){.kind = CALL_POKE, .host = host}, &op);
}

static MonoTime latest(MonoTime a, MonoTime b)
{
    return mono_before(a, b) ? b : a;
}

/* Nobody waits longer than promised (INV-4) for a process that runs. */
static void check_deadline(SimClients *c, const Call *call)
{
    const SimNode *n = sim_node(c->sim, call->host);
    MonoTime since = latest(call->begin, sim_node_runs_since(n));
    MonoTime inquorate = sim_node_inquorate_since(n);

    if (sim_node_paused(n)) {
        return;
    }
    if (mono_diff_us(sim_now(c->sim), since) > ANSWER_MS_MAX * US_PER_MS) {
        sim_fail(c->sim, "a caller on host %u (kind %d) waits for %.3f s", call->host,
                 (int)call->kind, (double)mono_diff_us(sim_now(c->sim), since) / 1e6);
    }
    if (inquorate.us != MONO_NEVER.us && all_native(c) &&
        mono_diff_us(sim_now(c->sim), latest(since, inquorate)) > REFUSE_MS_MAX * US_PER_MS) {
        sim_fail(c->sim, "a caller on host %u (kind %d) waits for %.3f s without quorum",
                 call->host, (int)call->kind,
                 (double)mono_diff_us(sim_now(c->sim), latest(since, inquorate)) / 1e6);
    }
}

static void check_deadlines(SimClients *c)
{
    GHashTableIter it;
    gpointer value;

    g_hash_table_iter_init(&it, c->calls);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        check_deadline(c, value);
    }
}

void sim_clients_step(SimClients *c)
{
    check_deadlines(c);
    if (g_hash_table_size(c->calls) >= CALLERS_MAX) {
        return;
    }
    switch (sim_random(c->sim, 0, 12)) {
    case 12:
        sim_clients_sync(c, any_host(c));
        break;
    case 0:
    case 1:
        ask_unique(c, any_host(c));
        break;
    case 2:
    case 3:
        ask_count(c);
        break;
    case 4:
        ask_lock(c);
        break;
    case 5:
        ask_unlock(c);
        break;
    case 6:
        ask_poke(c);
        break;
    default:
        ask_any(c);
    }
}

/* May the change have happened, or happen yet? What our disk refused, others may have. */
static bool is_unknown(int result)
{
    return result == -EBUSY || result == -EPERM || result == -ENOSPC;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void count_answered(SimClients *c, const Call *call, int result)
{
    Counter *counter = &c->counters[call->index];
    Retired old = {counter->file, counter->acked, counter->tried};

    counter->busy = false;
    if (result >= 0) {
        counter->acked = call->value;
    } else if (is_unknown(result)) {
        g_array_append_val(c->retired, old);
        *counter = (Counter){.file = ++c->counter_files};
    } else {
        counter->tried--; /* refused for sure */
    }
}

static void lock_answered(SimClients *c, const Call *call, int result)
{
    Lock *lock = &c->locks[call->index];

    if (result < 0) {
        return;
    }
    if (lock->held && mono_before(sim_now(c->sim), lock->until) && promises_kept(c)) {
        sim_fail(c->sim, "lock %u given to host %u while host %u holds it", call->index, call->host,
                 lock->holder);
    }
    /* From its creation on a lock is safe for the documented time; it was created after `begin`. */
    *lock = (Lock){.held = true,
                   .until = mono_add_sec(call->begin, CFS_LOCK_TIMEOUT_SEC),
                   .holder = call->host};
}

static void answered(SimClients *c, const Call *call, int result)
{
    if (result >= 0) {
        c->acknowledged++;
    } else if (is_unknown(result)) {
        c->unknown++;
    } else {
        c->refused++;
    }
    if (call->kind == CALL_UNIQUE && result >= 0) {
        g_array_append_val(c->unique_acked, call->index);
    } else if (call->kind == CALL_COUNT) {
        count_answered(c, call, result);
    } else if (call->kind == CALL_LOCK) {
        lock_answered(c, call, result);
    }
}

void sim_clients_answer(SimClients *c, uint64_t token, int result)
{
    Call *call = g_hash_table_lookup(c->calls, &token);

    if (call == NULL) {
        sim_fail(c->sim, "token %" G_GUINT64_FORMAT " answered twice or never asked", token);
    }
    check_deadline(c, call);
    answered(c, call, result);
    (void)g_hash_table_remove(c->calls, &token);
}

void sim_clients_node_died(SimClients *c, uint32_t host)
{
    GHashTableIter it;
    gpointer value;

    g_hash_table_iter_init(&it, c->calls);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        if (((const Call *)value)->host == host) {
            answered(c, value, -EBUSY); /* a dead daemon tells its callers nothing */
            g_hash_table_iter_remove(&it);
        }
    }
}

uint32_t sim_clients_waiting(const SimClients *c)
{
    return g_hash_table_size(c->calls);
}

void sim_clients_count(const SimClients *c, SimResult *ret)
{
    ret->acknowledged = c->acknowledged;
    ret->unknown = c->unknown;
    ret->refused = c->refused;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Value in a counter's file; 1 for an empty file, 0 when there is none. */
static uint64_t read_counter(SimNode *n, uint32_t file)
{
    g_autofree char *path = g_strdup_printf("counter/%u", file);
    g_autoptr(Entry) e = NULL;
    char text[32] = "";

    if (memdb_lookup(sim_node_db(n), path, &e) < 0) {
        return 0;
    }
    text[entry_read(e, 0, text, sizeof text - 1)] = '\0';
    return text[0] == '\0' ? 1 : g_ascii_strtoull(text, NULL, 10);
}

static void check_counter(SimClients *c, SimNode *n, uint32_t file, uint64_t acked, uint64_t tried)
{
    uint64_t value = read_counter(n, file);

    if (value > tried || (value < acked && promises_kept(c))) {
        sim_fail(c->sim,
                 "host %u: counter %u is %" G_GUINT64_FORMAT ", acknowledged %" G_GUINT64_FORMAT
                 ", last tried %" G_GUINT64_FORMAT,
                 sim_node_host(n), file, value, acked, tried);
    }
}

void sim_clients_check_end(SimClients *c, SimNode *n)
{
    for (guint i = 0; i < c->unique_acked->len && promises_kept(c); i++) {
        g_autofree char *path =
            g_strdup_printf("unique/%u", g_array_index(c->unique_acked, uint32_t, i));
        g_autoptr(Entry) e = NULL;

        if (memdb_lookup(sim_node_db(n), path, &e) < 0) {
            sim_fail(c->sim, "host %u: %s was acknowledged and is gone", sim_node_host(n), path);
        }
    }
    for (uint32_t i = 0; i < COUNTERS; i++) {
        const Counter *counter = &c->counters[i];

        check_counter(c, n, counter->file, counter->acked, counter->tried);
    }
    for (guint i = 0; i < c->retired->len; i++) {
        const Retired *r = &g_array_index(c->retired, Retired, i);

        check_counter(c, n, r->file, r->acked, r->tried);
    }
}
