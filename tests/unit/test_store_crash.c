/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever moment the power fails, the program is killed or the disk breaks, the file opens
 * again, holds one whole state of the tree, and that state is not older than what was promised.
 * Method: one workload that goes through every way of writing runs on a disk in memory which stops
 * at the n-th change, for every n; each stop is followed by several restarts that keep different
 * parts of what was not synced. The same with single calls that fail, for every n until none fails.
 */
#include "pmxcfs/io/store_db.h"
#include "tests/lib/crashdisk.h"
#include "tests/lib/storerig.h"
#include "tests/lib/test_seed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DB "/config.db"

static CrashDisk *disk;
static const char vfs_name[] = "crash";
static bool idle_at_once; /* for the workload that runs now */

static StoreOptions options(StoreDurability durability)
{
    /* Small bounds, so that a short workload meets checkpoints and both ways of writing. */
    return (StoreOptions){
        .durability = durability,
        .vfs = vfs_name,
        .checkpoint_bytes = 16 * 1024,
        .direct_bytes_min = 12 * 1024,
        .idle_at_once = idle_at_once,
    };
}

/* ---- the workload ------------------------------------------------------------------------ */

/* The disk right after a failure was reported, and what was promised by then. */
typedef struct Moment {
    CrashState *state;
    uint64_t acked;
} Moment;

typedef struct Run {
    StoreRig *rig;
    uint64_t acked;  /* newest delta that was reported as committed */
    int meta_acked;  /* newest value that was reported as synced */
    int failures;    /* batches that failed */
    int heal_after;  /* failures after which a lasting fault is repaired; 0: not */
    GArray *moments; /* of Moment; NULL: not kept */
} Run;

static void step(Run *run, uint64_t seq)
{
    int rc = storerig_wait(run->rig, seq);

    g_assert_cmpint(rc, !=, -ETIMEDOUT);
    if (rc == 0) {
        run->acked = seq;
        return;
    }
    /* Never the word for a damaged file: nothing is wrong with it. */
    if ((rc != -EIO && rc != -ENOSPC && rc != -EROFS) ||
        strstr(storerig_failure(run->rig), g_strerror(EBADMSG)) != NULL) {
        g_error("a failing disk gives: %s", storerig_failure(run->rig));
    }
    run->acked = storerig_committed(run->rig);
    run->failures++;
    if (run->moments != NULL) {
        Moment m = {crashdisk_save(disk), run->acked};

        g_array_append_val(run->moments, m);
    }
    if (run->failures == run->heal_after) {
        crashdisk_fault(disk, FAULT_NONE, 0, 0);
    }
}

/* Makes sure that the file is there; a step that failed earlier may have taken it back. */
static void want_file(Run *run, const char *path)
{
    Entry *e = NULL;

    if (memdb_lookup(storerig_tree(run->rig), path, &e) < 0) {
        step(run, storerig_create(run->rig, path));
    }
    entry_unref(e);
}

static bool have(Run *run, const char *path)
{
    g_autoptr(Entry) e = NULL;

    return memdb_lookup(storerig_tree(run->rig), path, &e) == 0;
}

static void fill(Run *run, const char *path, size_t size, uint64_t seed)
{
    want_file(run, path);
    if (have(run, path)) {
        step(run, storerig_fill(run->rig, path, size, seed));
    }
}

static void meta(Run *run, int n)
{
    g_autofree char *text = g_strdup_printf("%d", n);

    if (store_set_meta(storerig_store(run->rig), "test.value", text, strlen(text), n % 2 == 0,
                       NULL) == 0 &&
        n % 2 == 0) {
        run->meta_acked = n;
    }
}

/* Several deltas that go into one transaction. */
static void burst(Run *run, int n)
{
    uint64_t last = 0;

    for (int i = 0; i < 4; i++) {
        g_autofree char *path = g_strdup_printf("burst-%d-%d", n, i);

        last = storerig_create(run->rig, path);
        last = storerig_fill(run->rig, path, 700, (uint64_t)i);
    }
    step(run, last);
}

static void workload(Run *run)
{
    for (int i = 1; i < 4; i++) {
        g_autofree char *path = g_strdup_printf("small-%d", i);

        fill(run, path, 900, (uint64_t)i);
        meta(run, i);
    }
    fill(run, "big", 14000, 10); /* goes direct */
    fill(run, "small-3", 900, 11);
    fill(run, "big", 14000, 12); /* same size, direct: new pages */
    if (have(run, "small-1")) {
        step(run, storerig_rename(run->rig, "small-1", "renamed"));
    }
    for (int i = 0; i < (int)STORE_DIRECT_SMALL_MAX + 2; i++) { /* goes back to WAL */
        fill(run, "small-2", 300 + (size_t)i, (uint64_t)i);
    }
    burst(run, 1);
    for (int i = 0; i < 12; i++) { /* fills the WAL: checkpoint */
        fill(run, "medium", 3000 + (size_t)i * 7, (uint64_t)(20 + i));
    }
    if (have(run, "big")) {
        step(run, storerig_delete(run->rig, "big"));
    }
    fill(run, "grown", 20000, 40); /* direct into pages that are free */
    meta(run, 4);
    fill(run, "grown", 100, 41);
}

/* ---- what must hold afterwards ----------------------------------------------------------- */

/* Number of the newest recorded state that equals the one in the file; fails the test when the file
 * does not open or holds something that never was. */
static uint64_t state_in_file(GPtrArray *states, StoreDurability durability, const char *what)
{
    StoreOptions opt = options(durability);
    g_autoptr(GBytes) found = NULL;
    Err err = ERR_INIT;

    if (storerig_checksum(DB, &opt, &found, &err) < 0) {
        g_error("%s: the file does not open: %s", what, err_text(&err));
    }
    for (guint i = states->len; i > 0; i--) {
        GBytes *state = g_ptr_array_index(states, i - 1);

        if (state != NULL && g_bytes_equal(state, found)) {
            return i - 1;
        }
    }
    g_error("%s: the file holds a state that never was", what);
}

static int meta_in_file(StoreDurability durability)
{
    StoreOptions opt = options(durability);
    g_autoptr(GBytes) value = NULL;
    Store *store = NULL;
    int n = 0;

    g_assert_cmpint(store_open(DB, &opt, &store, NULL, NULL), ==, 0);
    if (store_get_meta(store, "test.value", &value, NULL) == 0) {
        g_assert_cmpuint(g_bytes_get_size(value), ==, 1);
        n = ((const char *)g_bytes_get_data(value, NULL))[0] - '0';
    }
    g_assert_cmpint(store_close(store), ==, 0);
    return n;
}

/* A record is in the file exactly when the change is that it came with. */
static void check_record(StoreDurability durability, const char *what)
{
    StoreOptions opt = options(durability);
    g_autoptr(GBytes) value = NULL;
    Store *store = NULL;
    StoreRig *rig;
    uint64_t version = 0;

    g_assert_cmpint(store_open(DB, &opt, &store, NULL, NULL), ==, 0);
    if (store_get_meta(store, MEMDB_RECORD_KEY, &value, NULL) == 0) {
        g_assert_cmpuint(g_bytes_get_size(value), ==, sizeof version);
        memcpy(&version, g_bytes_get_data(value, NULL), sizeof version);
    }
    g_assert_cmpint(store_close(store), ==, 0);
    rig = storerig_open(DB, &opt, NULL);
    g_assert_nonnull(rig);
    if (version != 0 && memdb_root(storerig_tree(rig)).version != version) {
        g_error("%s: record of version %u, tree of version %u", what, (guint)version,
                (guint)memdb_root(storerig_tree(rig)).version);
    }
    storerig_close(rig, NULL);
}

static void check_restarts(Run *run, GPtrArray *states, StoreDurability durability, uint64_t n)
{
    g_autoptr(CrashState) crash = crashdisk_save(disk);

    for (int kind = CRASH_KILL; kind < CRASH_N; kind++) {
        int seeds = kind == CRASH_POWER_TORN ? 3 : 1;

        for (int seed = 0; seed < seeds; seed++) {
            g_autofree char *what =
                g_strdup_printf("stop at %u, restart %d, seed %d", (guint)n, kind, seed);
            uint64_t promised = kind == CRASH_KILL || durability == STORE_SYNCED ? run->acked : 0;
            uint64_t found;

            crashdisk_load(disk, crash);
            crashdisk_restart(disk, (CrashKind)kind, n * 16 + (uint64_t)seed);
            storerig_assert_sound(DB, vfs_name); /* plain SQLite recovers it */
            found = state_in_file(states, durability, what);
            if (found < promised) {
                g_error("%s: change %u was promised, the file holds %u", what, (guint)promised,
                        (guint)found);
            }
            check_record(durability, what);
            if (promised > 0) {
                g_assert_cmpint(meta_in_file(durability), >=, run->meta_acked);
            }
        }
    }
}

/* True while the stop was reached. */
static bool run_with_stop(StoreDurability durability, uint64_t n)
{
    StoreOptions opt = options(durability);
    g_autoptr(GPtrArray) states = NULL;
    Run run = {0};
    Err err = ERR_INIT;
    bool stopped;

    disk = crashdisk_new(vfs_name);
    crashdisk_stop_at(disk, n);
    run.rig = storerig_open(DB, &opt, &err);
    if (run.rig == NULL) {
        g_assert_true(crashdisk_stopped(disk)); /* nothing was promised yet */
        crashdisk_restart(disk, CRASH_POWER_TORN, n);
        run.rig = storerig_open(DB, &opt, &err);
        if (run.rig == NULL) {
            g_error("stop at %u while the file was made: %s", (guint)n, err_text(&err));
        }
        g_assert_true(storerig_fresh(run.rig));
        storerig_close(run.rig, NULL);
        crashdisk_free(disk);
        return true;
    }
    storerig_use_records(run.rig);
    workload(&run);
    /* In the moment of the stop a change was under way that nobody heard of: it may be there. */
    states = storerig_states(run.rig, true);
    storerig_close(run.rig, NULL);
    stopped = crashdisk_stopped(disk);
    check_restarts(&run, states, durability, n);
    crashdisk_free(disk);
    return stopped;
}

/* Every n-th point is tried, from one on that the seed says; QUORATE_TEST_STRIDE=1 tries all of
 * them. */
static uint64_t stride(uint64_t usual)
{
    const char *text = g_getenv("QUORATE_TEST_STRIDE");
    guint64 n = 0;

    return text != NULL && g_ascii_string_to_unsigned(text, 10, 1, 1000, &n, NULL) ? n : usual;
}

static uint64_t first_point(uint64_t step_size)
{
    return 1 + test_seed() % step_size;
}

static void test_stop_synced(void)
{
    uint64_t step_size = stride(3);
    uint64_t n = first_point(step_size);

    while (run_with_stop(STORE_SYNCED, n)) {
        n += step_size;
        idle_at_once = !idle_at_once;
    }
    g_test_message("%u changes", (guint)n);
    g_assert_cmpuint(n, >, 500);
}

static void test_stop_relaxed(void)
{
    uint64_t step_size = stride(7);
    uint64_t n = first_point(step_size);

    while (run_with_stop(STORE_RELAXED, n)) {
        n += step_size;
        idle_at_once = !idle_at_once;
    }
    g_assert_cmpuint(n, >, 500);
}

/* ---- single calls that fail -------------------------------------------------------------- */

static void moment_clear(gpointer p)
{
    crashdisk_state_free(((Moment *)p)->state);
}

/* What a kill right after a reported failure would have left: nothing of what failed. */
static void check_moments(const Run *run, GPtrArray *states, const char *fault)
{
    g_autofree char *what = g_strconcat(fault, ", killed after the failure", NULL);

    for (guint i = 0; i < run->moments->len; i++) {
        const Moment *m = &g_array_index(run->moments, Moment, i);

        crashdisk_load(disk, m->state);
        crashdisk_restart(disk, CRASH_KILL, i);
        g_assert_cmpuint(state_in_file(states, STORE_SYNCED, what), >=, m->acked);
    }
}

static StoreRig *open_after_fault(const char *what)
{
    StoreOptions opt = options(STORE_SYNCED);
    Err err = ERR_INIT;
    StoreRig *rig = storerig_open(DB, &opt, &err);

    if (rig == NULL) {
        /* A healthy file must never be called damaged: it would be set aside. */
        g_assert_true(err.code == -EIO || err.code == -ENOSPC || err.code == -EROFS);
        crashdisk_fault(disk, FAULT_NONE, 0, 0);
        rig = storerig_open(DB, &opt, &err);
        if (rig == NULL) {
            g_error("%s: does not open after the fault is gone: %s", what, err_text(&err));
        }
    }
    return rig;
}

/* True while the fault was met. */
static bool run_with_fault(FaultKind kind, uint64_t n, uint64_t length)
{
    const bool lasting = length == CRASHDISK_LASTING;
    g_autofree char *what = g_strdup_printf("fault %d at call %u, %d calls", kind, (guint)n,
                                            lasting ? -1 : (int)length);
    g_autoptr(GPtrArray) states = NULL;
    Run run = {.heal_after = lasting ? 1 + (int)(n % 4) : 0};
    uint64_t found;
    bool met;

    disk = crashdisk_new(vfs_name);
    crashdisk_fault(disk, kind, n, length);
    run.moments = g_array_new(FALSE, FALSE, sizeof(Moment));
    g_array_set_clear_func(run.moments, moment_clear);
    run.rig = open_after_fault(what);
    workload(&run);
    met = crashdisk_fault_met(disk);
    crashdisk_fault(disk, FAULT_NONE, 0, 0);
    fill(&run, "last", 500, 99); /* it takes writes again */
    g_assert_cmpuint(run.acked, ==, storerig_last(run.rig));
    states = storerig_states(run.rig, false);
    storerig_close(run.rig, NULL);
    storerig_assert_sound(DB, vfs_name);
    found = state_in_file(states, STORE_SYNCED, what);
    g_assert_cmpuint(found, ==, run.acked);
    if (length == 1) {
        check_moments(&run, states, what); /* a disk that stays broken cannot be scrubbed */
    }
    g_array_unref(run.moments);
    crashdisk_free(disk);
    return met;
}

#define BURST 0 /* of two to eight calls: also the one that should make good fails */

/* Once as it comes, and once with a return to WAL in every pause: right after a failure too. */
static void walk_faults(FaultKind kind, uint64_t length, uint64_t usual_stride)
{
    uint64_t step_size = stride(usual_stride);

    for (int at_once = 0; at_once < 2; at_once++) {
        uint64_t n = first_point(step_size);

        idle_at_once = at_once;
        while (run_with_fault(kind, n, length != BURST ? length : 2 + n / step_size % 7)) {
            n += step_size;
        }
        g_test_message("%u calls", (guint)n);
        g_assert_cmpuint(n, >, 50);
    }
    idle_at_once = false;
}

static void test_enospc(void)
{
    walk_faults(FAULT_ENOSPC, 1, 7);
    walk_faults(FAULT_ENOSPC, BURST, 11);
    walk_faults(FAULT_ENOSPC, CRASHDISK_LASTING, 11);
}

static void test_short_write(void)
{
    walk_faults(FAULT_SHORT, 1, 7);
}

static void test_eio(void)
{
    walk_faults(FAULT_EIO, 1, 13);
    walk_faults(FAULT_EIO, BURST, 13);
    walk_faults(FAULT_EIO, CRASHDISK_LASTING, 29);
}

static void test_sync(void)
{
    walk_faults(FAULT_SYNC, 1, 1);
    walk_faults(FAULT_SYNC, CRASHDISK_LASTING, 3);
}

static void test_erofs(void)
{
    walk_faults(FAULT_EROFS, CRASHDISK_LASTING, 11);
}

/* ---- a disk that is full ----------------------------------------------------------------- */

/* The large change that does not fit is refused; the small ones beside it go in, and all is well
 * again when space returns. */
static void test_full_disk(void)
{
    StoreOptions opt = options(STORE_SYNCED);
    StoreRig *rig;
    uint64_t last;

    disk = crashdisk_new(vfs_name);
    rig = storerig_open(DB, &opt, NULL);
    g_assert_nonnull(rig);
    (void)storerig_create(rig, "big");
    (void)storerig_create(rig, "small");
    (void)storerig_fill(rig, "big", 30000, 1);
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    for (int i = 0; i < 10; i++) {
        crashdisk_set_capacity(disk, crashdisk_used(disk) + 16 * 1024);
        last = storerig_fill(rig, "small", 50, (uint64_t)i);
        (void)storerig_fill(rig, "big", 60000, (uint64_t)i);
        (void)storerig_fill(rig, "small", 60, (uint64_t)i);
        g_assert_cmpint(storerig_flush(rig), ==, -ENOSPC);
        g_assert_cmpuint(storerig_last(rig), ==, last); /* the first of the three stays */
        g_assert_cmpuint(storerig_committed(rig), ==, last);
        last = storerig_fill(rig, "small", 70, (uint64_t)i);
        g_assert_cmpint(storerig_wait(rig, last), ==, 0); /* no latch */
    }
    crashdisk_set_capacity(disk, 1);
    for (int i = 0; i < 100 && store_probe(storerig_store(rig), NULL) == 0; i++) {
        (void)storerig_fill(rig, "small", 3000, (uint64_t)i); /* until the WAL would have to grow */
        (void)storerig_flush(rig);
    }
    g_assert_cmpint(store_probe(storerig_store(rig), NULL), ==, -ENOSPC);
    crashdisk_set_capacity(disk, 0);
    g_assert_cmpint(store_probe(storerig_store(rig), NULL), ==, 0);
    (void)storerig_fill(rig, "big", 60000, 1);
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    storerig_close(rig, NULL);
    storerig_assert_sound(DB, vfs_name);
    crashdisk_free(disk);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/store-crash/every-stop-keeps-what-was-synced", test_stop_synced);
    g_test_add_func("/store-crash/relaxed-keeps-all-over-a-kill", test_stop_relaxed);
    g_test_add_func("/store-fault/no-space-at-any-write", test_enospc);
    g_test_add_func("/store-fault/short-write-at-any-write", test_short_write);
    g_test_add_func("/store-fault/io-error-at-any-call", test_eio);
    g_test_add_func("/store-fault/failed-sync-at-any-sync", test_sync);
    g_test_add_func("/store-fault/read-only-at-any-call", test_erofs);
    g_test_add_func("/store-fault/full-disk-takes-what-fits", test_full_disk);
    return g_test_run();
}
