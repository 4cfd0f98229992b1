/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the file holds what the reference says after each operation, opens whatever the original
 * wrote, refuses what was made to hurt, and costs no more bytes than promised.
 * Method: real SQLite files in a temporary directory, looked at through a second, plain connection.
 */
#include "pmxcfs/io/store.h"

#include "pmxcfs/io/store_db.h"
#include "pmxcfs/io/store_wal.h"
#include "tests/lib/storerig.h"
#include "tests/unit/testdata.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const MonoTime no_time = {0};
static const MemdbLimits limits = {
    .file_size_max = 1u << 20,
    .total_size_max = 128u << 20,
    .inodes_max = 262144,
};

/* ---- fixture ----------------------------------------------------------------------------- */

typedef struct Place {
    char *dir;
    char *db; /* DIR/config.db, not there yet */
} Place;

static void place_init(Place *p, gconstpointer unused)
{
    (void)unused;
    p->dir = g_dir_make_tmp("test-store-XXXXXX", NULL);
    g_assert_nonnull(p->dir);
    p->db = g_build_filename(p->dir, "config.db", NULL);
}

static void place_done(Place *p, gconstpointer unused)
{
    GDir *dir = g_dir_open(p->dir, 0, NULL);
    const char *name;

    (void)unused;
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(p->dir, name, NULL);

        g_assert_cmpint(g_unlink(path), ==, 0);
    }
    g_dir_close(dir);
    g_assert_cmpint(g_rmdir(p->dir), ==, 0);
    g_free(p->dir);
    g_free(p->db);
}

static char *beside(const Place *p, const char *suffix)
{
    return g_strconcat(p->db, suffix, NULL);
}

static bool exists(const Place *p, const char *suffix)
{
    g_autofree char *path = beside(p, suffix);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* One value of a plain connection, as SQLite prints it; rows are separated by spaces. */
static char *sql(const char *path, const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    int rc;

    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 2000);
    rc = sqlite3_prepare_v2(db, text, -1, &st, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
            const char *value = (const char *)sqlite3_column_text(st, 0);

            g_string_append_printf(out, "%s%s", out->len > 0 ? " " : "",
                                   value != NULL ? value : "NULL");
        }
    }
    if (rc != SQLITE_DONE) {
        g_string_printf(out, "error %d: %s", rc, sqlite3_errmsg(db));
    }
    sqlite3_finalize(st);
    g_assert_cmpint(sqlite3_close(db), ==, SQLITE_OK);
    return g_string_free(g_steal_pointer(&out), FALSE);
}

#define assert_sql(path, text, expected)                                                           \
    do {                                                                                           \
        g_autofree char *got_ = sql(path, text);                                                   \
        g_assert_cmpstr(got_, ==, expected);                                                       \
    } while (0)

static void exec_many(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    char *msg = NULL;

    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &msg) != SQLITE_OK) {
        g_error("%s: %s", text, msg);
    }
    g_assert_cmpint(sqlite3_close(db), ==, SQLITE_OK);
}

static StoreRig *open_rig(const char *path)
{
    Err err = ERR_INIT;
    StoreRig *rig = storerig_open(path, NULL, &err);

    if (rig == NULL) {
        g_error("%s", err_text(&err));
    }
    return rig;
}

static void close_rig(StoreRig *rig)
{
    int rc = -1;

    g_assert_cmpint(storerig_flush(rig), ==, 0);
    storerig_close(rig, &rc);
    g_assert_cmpint(rc, ==, 0);
}

static int try_open(const char *path, Err *err)
{
    StoreOptions opt = {.durability = STORE_SYNCED};
    Store *s = NULL;
    int rc = store_open(path, &opt, &s, NULL, err);

    if (rc == 0) {
        g_assert_cmpint(store_close(s), ==, 0);
    }
    return rc;
}

/* ---- the file ---------------------------------------------------------------------------- */

static void test_fresh_file(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    struct stat st;

    (void)unused;
    g_assert_true(storerig_fresh(rig));
    (void)storerig_create(rig, "a");
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    for (int i = 0; i < 3; i++) {
        static const char *const suffix[] = {"", "-wal", "-shm"};
        g_autofree char *path = beside(p, suffix[i]);

        g_assert_cmpint(stat(path, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 07777, ==, 0600);
    }
    close_rig(rig);
    g_assert_false(exists(p, "-wal"));
    g_assert_false(exists(p, "-shm"));
    g_assert_false(exists(p, "-journal"));
    assert_sql(p->db, "PRAGMA user_version", "0");
    assert_sql(p->db, "PRAGMA application_id", "0");
    assert_sql(p->db, "PRAGMA encoding", "UTF-8");
    assert_sql(p->db, "PRAGMA auto_vacuum", "0");
    assert_sql(p->db, "PRAGMA journal_mode", "wal"); /* as the original leaves it */
    assert_sql(p->db, "SELECT group_concat(name) FROM sqlite_schema", "tree");
    assert_sql(p->db,
               "SELECT name || ':' || type || ':' || pk || ':' || \"notnull\""
               " FROM pragma_table_info('tree')",
               "inode:INTEGER:1:1 parent:INTEGER:0:1 version:INTEGER:0:1 writer:INTEGER:0:1 "
               "mtime:INTEGER:0:1 type:INTEGER:0:1 name:TEXT:0:1 data:BLOB:0:0");
    g_autofree char *refused =
        sql(p->db, "INSERT INTO tree VALUES (9, 'x', 1, 1, 1, 8, 'n', NULL)");
    g_assert_true(g_str_has_prefix(refused, "error 19"));
    rig = open_rig(p->db);
    g_assert_false(storerig_fresh(rig));
    close_rig(rig);
}

static void test_existing_modes_are_tightened(Place *p, gconstpointer unused)
{
    struct stat st;

    (void)unused;
    close_rig(open_rig(p->db));
    g_assert_cmpint(chmod(p->db, 0644), ==, 0);
    close_rig(open_rig(p->db));
    g_assert_cmpint(stat(p->db, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0600);
}

#define ROW(inode)                                                                                 \
    "SELECT parent || ',' || version || ',' || writer || ',' || mtime || ',' || type || ',' || "   \
    "name || ',' || typeof(data) || ',' || ifnull(hex(data), 'NULL') FROM tree WHERE inode "       \
    "= " inode

/* Row effects of each operation, reference 3.2 and 3.3. */
static void test_rows(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    g_autoptr(GBytes) text = g_bytes_new("hello\n", 6);

    (void)unused;
    (void)storerig_create(rig, "f"); /* inode 2, since a fresh tree starts at 1 */
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    assert_sql(p->db, ROW("2"), "0,2,1,1700000000,8,f,null,");
    assert_sql(p->db, ROW("0"), "0,2,1,1700000000,8,__version__,null,");
    (void)storerig_write(rig, "f", text);
    (void)storerig_mkdir(rig, "d");
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    assert_sql(p->db, ROW("2"), "0,3,1,1700000000,8,f,blob,68656C6C6F0A");
    assert_sql(p->db, ROW("4"), "0,4,1,1700000000,4,d,null,");
    (void)storerig_mtime(rig, "d", 77);
    (void)storerig_mtime(rig, "f", 78);
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    assert_sql(p->db, ROW("4"), "0,5,1,77,4,d,blob,"); /* a zero length blob */
    assert_sql(p->db, ROW("2"), "0,6,1,78,8,f,blob,68656C6C6F0A");
    assert_sql(p->db, ROW("0"), "0,6,1,78,8,__version__,null,"); /* the user's time */
    (void)storerig_create(rig, "g");
    (void)storerig_rename(rig, "f", "g"); /* over an existing file: its row goes */
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    assert_sql(p->db, ROW("2"), "0,8,1,1700000000,8,g,blob,68656C6C6F0A");
    assert_sql(p->db, "SELECT inode FROM tree ORDER BY inode", "0 2 4");
    (void)storerig_fill(rig, "g", 0, 0); /* emptied */
    (void)storerig_delete(rig, "d");
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    assert_sql(p->db, ROW("2"), "0,9,1,1700000000,8,g,null,");
    assert_sql(p->db, "SELECT inode FROM tree ORDER BY inode", "0 2");
    close_rig(rig);
}

/* A synchronisation commit leaves type 4 in row 0; the next change makes it 8 again. */
static void test_sync_commit(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    g_autoptr(MemdbDelta) delta = NULL;
    MemdbRoot root = {.version = 50, .writer = 3, .mtime = 5};

    (void)unused;
    (void)storerig_create(rig, "gone");
    (void)storerig_create(rig, "kept");
    g_ptr_array_add(entries, memdb_get(storerig_tree(rig), 3));
    g_ptr_array_add(entries, entry_new(&(EntryInit){.inode = 40,
                                                    .version = 40,
                                                    .writer = 3,
                                                    .mtime = 4,
                                                    .type = ENTRY_DIR,
                                                    .name = "new"}));
    g_assert_cmpint(memdb_replace(storerig_tree(rig), entries, &root, no_time, &delta, NULL), ==,
                    0);
    (void)storerig_submit(rig, delta);
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    assert_sql(p->db, "SELECT inode FROM tree ORDER BY inode", "0 3 40");
    assert_sql(p->db, ROW("0"), "0,50,3,5,4,__version__,null,");
    assert_sql(p->db, ROW("40"), "0,40,3,4,4,new,null,");
    (void)storerig_delete(rig, "new");
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    assert_sql(p->db, ROW("0"), "0,51,1,1700000000,8,__version__,null,");
    close_rig(rig);
}

/* A node that joins gets the cluster's entries: what was a file may be a directory there. */
static void test_sync_changes_the_kind(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    g_autoptr(MemdbDelta) delta = NULL;
    g_autoptr(GBytes) text = g_bytes_new("hello\n", 6);
    MemdbRoot root = {.version = 50, .writer = 3, .mtime = 5};

    (void)unused;
    (void)storerig_create(rig, "file"); /* inode 2 */
    (void)storerig_mkdir(rig, "dir");   /* inode 3 */
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    g_ptr_array_add(entries, entry_new(&(EntryInit){.inode = 2,
                                                    .version = 40,
                                                    .writer = 3,
                                                    .mtime = 4,
                                                    .type = ENTRY_DIR,
                                                    .name = "nodes"}));
    g_ptr_array_add(entries, entry_new(&(EntryInit){.inode = 3,
                                                    .parent = 2,
                                                    .version = 41,
                                                    .writer = 3,
                                                    .mtime = 4,
                                                    .type = ENTRY_FILE,
                                                    .name = "f",
                                                    .data = text}));
    g_assert_cmpint(memdb_replace(storerig_tree(rig), entries, &root, no_time, &delta, NULL), ==,
                    0);
    (void)storerig_submit(rig, delta);
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    assert_sql(p->db, ROW("2"), "0,40,3,4,4,nodes,null,");
    assert_sql(p->db, ROW("3"), "2,41,3,4,8,f,blob,68656C6C6F0A");
    close_rig(rig);
    close_rig(open_rig(p->db)); /* and it opens again */
}

/* What lands in one transaction must be as if each change had one of its own. */
static void test_one_batch(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    g_autoptr(GBytes) want = NULL;
    g_autoptr(GBytes) found = NULL;
    g_autoptr(GPtrArray) states = NULL;
    StoreStats stats;
    uint64_t last;

    (void)unused;
    (void)storerig_create(rig, "a"); /* lingers: the rest comes in time */
    (void)storerig_create(rig, "b");
    (void)storerig_create(rig, "gone");
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    for (int i = 0; i < 300; i++) {
        (void)storerig_fill(rig, "a", 5000 + (size_t)i, (uint64_t)i);
    }
    (void)storerig_create(rig, "short");
    (void)storerig_delete(rig, "short");
    (void)storerig_mkdir(rig, "d");
    (void)storerig_mtime(rig, "d", 7);
    (void)storerig_rename(rig, "b", "d/b");
    (void)storerig_rename(rig, "a", "d/b");
    last = storerig_delete(rig, "gone");
    g_assert_cmpint(storerig_wait(rig, last), ==, 0);
    store_stats(storerig_store(rig), &stats);
    g_assert_cmpuint(stats.deltas, ==, last);
    g_assert_cmpuint(stats.transactions, <, last / 2);
    g_assert_cmpuint(store_backlog_bytes(storerig_store(rig)), ==, 0);
    states = storerig_states(rig, false);
    close_rig(rig);
    g_assert_cmpint(storerig_checksum(p->db, NULL, &found, NULL), ==, 0);
    want = g_bytes_ref(g_ptr_array_index(states, last));
    g_assert_true(g_bytes_equal(found, want));
}

/* ---- durability and cost ----------------------------------------------------------------- */

static void test_create_and_write_share_a_commit(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    StoreStats before;
    StoreStats after;

    (void)unused;
    (void)storerig_create(rig, "warm");
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    store_stats(storerig_store(rig), &before);
    for (int i = 0; i < 20; i++) {
        g_autofree char *path = g_strdup_printf("f%d", i);

        (void)storerig_create(rig, path);
        g_assert_cmpint(storerig_wait(rig, storerig_fill(rig, path, 100, 1)), ==, 0);
    }
    store_stats(storerig_store(rig), &after);
    g_assert_cmpuint(after.transactions - before.transactions, <=, 22);
    g_assert_cmpuint(after.syncs - before.syncs, <=, 24);
    close_rig(rig);
}

static void assert_written_soon(StoreRig *rig, uint64_t seq)
{
    gint64 until = g_get_monotonic_time() + 90 * G_USEC_PER_SEC;

    while (storerig_committed(rig) < seq && g_get_monotonic_time() < until) {
        g_usleep(2000);
    }
    g_assert_cmpuint(storerig_committed(rig), ==, seq);
}

static void test_lone_create_is_written_soon(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);

    (void)unused;
    assert_written_soon(rig, storerig_create(rig, "alone"));
    close_rig(rig);
}

/* Whether the thread sleeps, looks now and then by itself, or is about to leave the direct mode. */
static void test_lone_create_whenever_it_comes(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);

    (void)unused;
    for (int i = 0; i < 12; i++) {
        g_autofree char *path = g_strdup_printf("file-%d", i);
        g_autofree char *more = g_strdup_printf("more-%d", i);

        (void)storerig_create(rig, path);
        (void)storerig_fill(rig, path, i % 3 == 0 ? STORE_DIRECT_BYTES_MIN : 100, (uint64_t)i);
        g_assert_cmpint(storerig_flush(rig), ==, 0);
        g_usleep((gulong)i * STORE_LINGER_MS * 1000 / 4);
        assert_written_soon(rig, storerig_create(rig, more));
    }
    close_rig(rig);
}

/* INV-2: reported as committed means synced. */
static void test_each_commit_is_synced(Place *p, gconstpointer unused)
{
    StoreOptions relaxed = {.durability = STORE_RELAXED};
    StoreRig *rig = open_rig(p->db);
    StoreStats before;
    StoreStats after;

    (void)unused;
    (void)storerig_create(rig, "f");
    for (int i = 0; i < 10; i++) {
        store_stats(storerig_store(rig), &before);
        g_assert_cmpint(storerig_wait(rig, storerig_fill(rig, "f", 50, (uint64_t)i)), ==, 0);
        store_stats(storerig_store(rig), &after);
        g_assert_cmpuint(after.syncs, >, before.syncs);
    }
    close_rig(rig);
    rig = storerig_open(p->db, &relaxed, NULL);
    g_assert_nonnull(rig);
    g_assert_cmpint(storerig_wait(rig, storerig_fill(rig, "f", 50, 100)), ==, 0);
    store_stats(storerig_store(rig), &before);
    for (int i = 0; i < 10; i++) {
        g_assert_cmpint(storerig_wait(rig, storerig_fill(rig, "f", 50, (uint64_t)i)), ==, 0);
    }
    store_stats(storerig_store(rig), &after);
    g_assert_cmpuint(after.syncs, ==, before.syncs);
    close_rig(rig);
}

/* Bytes to disk per byte of payload, all checkpoints included. */
static void test_cost_of_small_files(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    StoreStats stats;
    double cost;

    (void)unused;
    storerig_forget_states(rig);
    for (int i = 0; i < 2500; i++) {
        g_autofree char *path = g_strdup_printf("file-%d", i);

        (void)storerig_create(rig, path);
        g_assert_cmpint(storerig_wait(rig, storerig_fill(rig, path, 4096, (uint64_t)i)), ==, 0);
    }
    store_stats(storerig_store(rig), &stats);
    cost = (double)stats.disk_bytes / (double)stats.payload_bytes;
    g_test_message("%.2f bytes per byte, %u checkpoints", cost, (guint)stats.checkpoints);
    g_assert_cmpuint(stats.checkpoints, >, 2);
    g_assert_cmpfloat(cost, <, 3.0);
    close_rig(rig);
}

static void check_large(StoreRig *rig, const char *what, double bound)
{
    StoreStats before;
    StoreStats after;
    double cost;

    store_stats(storerig_store(rig), &before);
    g_assert_cmpint(storerig_wait(rig, storerig_fill(rig, "big", 1 << 20, before.deltas)), ==, 0);
    store_stats(storerig_store(rig), &after);
    cost = (double)(after.disk_bytes - before.disk_bytes) / (1 << 20);
    g_test_message("%s: %.2f bytes per byte, %u syncs", what, cost,
                   (guint)(after.syncs - before.syncs));
    g_assert_cmpfloat(cost, <, bound);
}

static void test_cost_of_large_files(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);

    (void)unused;
    (void)storerig_create(rig, "big");
    (void)storerig_create(rig, "small");
    check_large(rig, "new", 1.3);
    check_large(rig, "same size again", 1.3);
    (void)storerig_fill(rig, "small", 100, 1);
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    g_usleep(2 * STORE_DIRECT_IDLE_MS * 1000); /* back in WAL mode */
    (void)storerig_fill(rig, "small", 100, 2);
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    check_large(rig, "same size after small ones", 1.3);
    (void)storerig_fill(rig, "big", 3, 3);
    check_large(rig, "grown into free pages", 1.3);
    close_rig(rig);
    storerig_assert_sound(p->db, NULL);
}

/* What the WAL costs that lives only for the small change between two large ones. */
static void test_cost_of_a_short_wal(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    StoreStats before;
    StoreStats after;
    double cost;

    (void)unused;
    (void)storerig_create(rig, "big");
    (void)storerig_create(rig, "small");
    check_large(rig, "new", 1.3);
    g_usleep(2 * STORE_DIRECT_IDLE_MS * 1000); /* back in WAL mode */
    store_stats(storerig_store(rig), &before);
    (void)storerig_fill(rig, "small", 100, 1);
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    check_large(rig, "behind a small one", 1.3);
    store_stats(storerig_store(rig), &after);
    cost = (double)(after.disk_bytes - before.disk_bytes) / (1 << 20);
    g_test_message("both: %.2f bytes per byte", cost);
    g_assert_cmpfloat(cost, <, 1.15);
    close_rig(rig);
}

/* A changed page of a large file does not cost the whole file. When the WAL was folded just before,
 * it begins anew and grows by its first step. */
static void test_cost_of_small_change(Place *p, gconstpointer unused)
{
    const uint64_t small = 16384 + STORE_WAL_GROWTH_1;
    StoreRig *rig = open_rig(p->db);
    g_autofree uint8_t *buf = g_malloc0(1 << 20);
    StoreStats before;
    StoreStats after;

    (void)unused;
    (void)storerig_create(rig, "big");
    for (int i = 0; i < 2; i++) {
        g_autoptr(GBytes) data = NULL;

        buf[500000] = (uint8_t)i;
        data = g_bytes_new(buf, 1 << 20);
        store_stats(storerig_store(rig), &before);
        g_assert_cmpint(storerig_wait(rig, storerig_write(rig, "big", data)), ==, 0);
        store_stats(storerig_store(rig), &after);
    }
    g_assert_cmpuint(after.disk_bytes - before.disk_bytes, <, small);
    store_stats(storerig_store(rig), &before);
    g_assert_cmpint(storerig_wait(rig, storerig_mtime(rig, "big", 1700000009)), ==, 0);
    store_stats(storerig_store(rig), &after);
    g_assert_cmpuint(after.disk_bytes - before.disk_bytes, <, small);
    close_rig(rig);
}

/* ---- other programs ---------------------------------------------------------------------- */

static void test_others_may_read_but_not_write(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    Err err = ERR_INIT;

    (void)unused;
    (void)storerig_create(rig, "f");
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    assert_sql(p->db, "SELECT name FROM tree WHERE inode = 2", "f");
    for (int i = 0; i < 3; i++) {
        g_autofree char *refused = sql(p->db, "UPDATE tree SET mtime = 1");

        g_assert_true(g_str_has_prefix(refused, "error 5:"));
        (void)storerig_fill(rig, "f", 10 + (size_t)i, 1);
        g_assert_cmpint(storerig_flush(rig), ==, 0);
    }
    g_assert_cmpint(try_open(p->db, &err), ==, -EBUSY);
    g_assert_nonnull(strstr(err_text(&err), "in use by another process"));
    close_rig(rig);
}

/* Tries to get a write transaction for as long as `alive` has a writer; the number of successes. */
static int try_to_write(const char *path, int alive)
{
    struct pollfd fd = {.fd = alive, .events = POLLIN};
    sqlite3 *db = NULL;
    int successes = 0;

    if (sqlite3_open(path, &db) != SQLITE_OK) {
        return 100;
    }
    (void)sqlite3_busy_timeout(db, 3);
    while (poll(&fd, 1, 0) == 0) {
        if (sqlite3_exec(db, "BEGIN IMMEDIATE; COMMIT", NULL, NULL, NULL) == SQLITE_OK) {
            successes++;
        }
        /* Between two tries the connection goes, so that the mode can change. */
        (void)sqlite3_close(db);
        (void)sqlite3_open(path, &db);
        (void)sqlite3_busy_timeout(db, 3);
    }
    (void)sqlite3_close(db);
    return MIN(successes, 99);
}

/* Not in the moment between two commits, nor while the way of writing changes. Another process,
 * since SQLite's locks are those of a process. */
static void test_nobody_writes_in_between(Place *p, gconstpointer unused)
{
    StoreRig *rig;
    int ends[2];
    int status = -1;
    pid_t pid;
    char go;

    (void)unused;
    g_assert_cmpint(pipe(ends), ==, 0);
    pid = fork(); /* before SQLite knows the file in this process */
    if (pid == 0) {
        (void)close(ends[1]);
        _exit(read(ends[0], &go, 1) == 1 ? try_to_write(p->db, ends[0]) : 100);
    }
    (void)close(ends[0]);
    rig = open_rig(p->db);
    g_assert_cmpint(write(ends[1], "g", 1), ==, 1);
    (void)storerig_create(rig, "small");
    (void)storerig_create(rig, "big");
    for (int i = 0; i < 60; i++) {
        (void)storerig_fill(rig, "small", 100, (uint64_t)i);
        g_assert_cmpint(storerig_flush(rig), ==, 0);
        if (i % 20 == 0) {
            (void)storerig_fill(rig, "big", 400000, (uint64_t)i);
            g_assert_cmpint(storerig_flush(rig), ==, 0);
        } else if (i % 20 == 1) {
            g_usleep(2 * STORE_DIRECT_IDLE_MS * 1000);
        }
    }
    (void)close(ends[1]);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    close_rig(rig);
    storerig_assert_sound(p->db, NULL);
}

static void test_moved_file_takes_no_writes(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    g_autofree char *moved = beside(p, ".moved");
    Err err = ERR_INIT;

    (void)unused;
    (void)storerig_create(rig, "f");
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    g_assert_cmpint(rename(p->db, moved), ==, 0);
    (void)storerig_fill(rig, "f", 10, 1);
    g_assert_cmpint(storerig_flush(rig), ==, -EIO);
    g_assert_nonnull(strstr(storerig_failure(rig), "removed or replaced"));
    g_assert_cmpint(store_probe(storerig_store(rig), &err), ==, -ESTALE);
    g_assert_cmpint(rename(moved, p->db), ==, 0);
    (void)storerig_fill(rig, "f", 10, 1);
    close_rig(rig);
}

/* A reader with a long transaction neither stops writers nor large files, and sees one state. */
static void test_long_reader(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    sqlite3 *reader = NULL;
    sqlite3_stmt *st = NULL;

    (void)unused;
    (void)storerig_create(rig, "f");
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    g_assert_cmpint(sqlite3_open(p->db, &reader), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_prepare_v2(reader, "SELECT version FROM tree", -1, &st, NULL), ==,
                    SQLITE_OK);
    g_assert_cmpint(sqlite3_step(st), ==, SQLITE_ROW);
    for (int i = 0; i < 8; i++) {
        (void)storerig_fill(rig, "f", 700000 + (size_t)i, (uint64_t)i);
        g_assert_cmpint(storerig_flush(rig), ==, 0);
    }
    g_assert_cmpint(sqlite3_step(st), ==, SQLITE_ROW);
    g_assert_cmpint(sqlite3_column_int(st, 0), ==, 2);
    sqlite3_finalize(st);
    g_assert_cmpint(sqlite3_close(reader), ==, SQLITE_OK);
    g_assert_cmpint(storerig_wait(rig, storerig_fill(rig, "f", 700000, 99)), ==, 0);
    close_rig(rig);
    g_assert_false(exists(p, "-wal"));
    storerig_assert_sound(p->db, NULL);
}

/* As the original opens it: its pragmas, its statements; and we go on afterwards. */
static void test_original_goes_on(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    g_autoptr(Entry) e = NULL;

    (void)unused;
    (void)storerig_create(rig, "f");
    (void)storerig_fill(rig, "f", 300000, 1);
    g_assert_cmpint(store_set_meta(storerig_store(rig), "k", "v", 1, true, NULL), ==, 0);
    close_rig(rig);
    exec_many(p->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                     "CREATE TABLE IF NOT EXISTS tree (inode INTEGER PRIMARY KEY NOT NULL, x);"
                     "BEGIN; REPLACE INTO tree VALUES (4, 0, 4, 2, 9, 8, 'theirs', x'414243');"
                     "REPLACE INTO tree VALUES (0, 0, 4, 2, 9, 8, '__version__', NULL); COMMIT");
    rig = open_rig(p->db);
    g_assert_cmpint(memdb_lookup(storerig_tree(rig), "theirs", &e), ==, 0);
    g_assert_cmpuint(e->size, ==, 3);
    g_assert_cmpuint(memdb_root(storerig_tree(rig)).version, ==, 4);
    close_rig(rig);
}

/* Page size 4096, as the original makes it. */
static void test_large_pages_stay(Place *p, gconstpointer unused)
{
    StoreRig *rig;

    (void)unused;
    exec_many(p->db, "PRAGMA page_size=4096; PRAGMA journal_mode=WAL;"
                     "CREATE TABLE other (a); INSERT INTO other VALUES (7)");
    rig = open_rig(p->db);
    g_assert_true(storerig_fresh(rig));
    (void)storerig_create(rig, "big");
    (void)storerig_create(rig, "small");
    check_large(rig, "large pages", 1.3);
    (void)storerig_fill(rig, "small", 100, 1);
    close_rig(rig);
    assert_sql(p->db, "PRAGMA page_size", "4096");
    assert_sql(p->db, "SELECT a FROM other", "7"); /* survives */
    storerig_assert_sound(p->db, NULL);
}

/* ---- samples of the original ------------------------------------------------------------- */

static void copy_sample(const char *from, const char *to)
{
    g_autofree char *content = NULL;
    gsize size;

    g_assert_true(g_file_get_contents(from, &content, &size, NULL));
    g_assert_true(g_file_set_contents(to, content, (gssize)size, NULL));
}

static void check_sample(Place *p, const char *name, const char *state)
{
    g_autofree char *relative = g_strconcat("reference/pmxcfs-samples/", name, NULL);
    g_autofree char *from = testdata_path(relative);
    g_autoptr(GBytes) message = from != NULL ? testdata_sample(state) : NULL;
    g_autoptr(GBytes) index = NULL;
    g_autoptr(GPtrArray) all = NULL;
    g_autoptr(GBytes) again = NULL;
    uint8_t csum[ENTRY_DIGEST_SIZE];
    StoreRig *rig;
    MemdbRoot root;

    if (message == NULL) {
        return; /* marked as skipped */
    }
    copy_sample(from, p->db);
    rig = open_rig(p->db);
    g_assert_false(storerig_fresh(rig));
    index = memdb_index(storerig_tree(rig));
    g_autoptr(GBytes) payload = g_bytes_new_from_bytes(message, 32, g_bytes_get_size(message) - 32);
    g_assert_true(g_bytes_equal(index, payload));
    /* Written back as a database of its own, it is the same tree. */
    memdb_checksum(storerig_tree(rig), csum);
    all = memdb_all(storerig_tree(rig));
    root = memdb_root(storerig_tree(rig));
    g_assert_cmpint(store_save_tree(p->dir, "saved.db", all, &root, NULL), ==, 0);
    g_autofree char *saved = g_build_filename(p->dir, "saved.db", NULL);
    g_assert_cmpint(storerig_checksum(saved, NULL, &again, NULL), ==, 0);
    g_assert_cmpmem(g_bytes_get_data(again, NULL), g_bytes_get_size(again), csum, sizeof(csum));
    storerig_assert_sound(saved, NULL);
    assert_sql(saved, "PRAGMA page_size", "512");
    /* And every row has the same values as in the original's file. */
    g_autofree char *attach =
        g_strdup_printf("ATTACH '%s' AS o; CREATE TEMP TABLE diff AS SELECT * FROM main.tree"
                        " EXCEPT SELECT * FROM o.tree; CREATE TABLE result AS SELECT count(*) AS n"
                        " FROM diff",
                        p->db);
    close_rig(rig);
    exec_many(saved, attach);
    assert_sql(saved, "SELECT n FROM result", "0");
}

static void test_sample_a(Place *p, gconstpointer unused)
{
    (void)unused;
    check_sample(p, "config-a.db", "wire-dcdb-state-2.hex");
}

static void test_sample_b(Place *p, gconstpointer unused)
{
    (void)unused;
    check_sample(p, "config-b.db", "wire-dcdb-state-1.hex");
}

/* ---- refused files ----------------------------------------------------------------------- */

static void assert_refused(Place *p, int code, const char *word)
{
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    gsize size_before;
    gsize size_after;
    Err err = ERR_INIT;

    g_assert_true(g_file_get_contents(p->db, &before, &size_before, NULL));
    g_assert_cmpint(try_open(p->db, &err), ==, code);
    if (strstr(err_text(&err), word) == NULL || strstr(err_text(&err), p->db) == NULL) {
        g_error("\"%s\" names neither the file nor \"%s\"", err_text(&err), word);
    }
    g_assert_true(g_file_get_contents(p->db, &after, &size_after, NULL));
    g_assert_cmpmem(before, size_before, after, size_after); /* not touched */
}

#define GOOD_COLUMNS                                                                               \
    "parent INTEGER NOT NULL, version INTEGER NOT NULL, writer INTEGER NOT NULL,"                  \
    " mtime INTEGER NOT NULL, type INTEGER NOT NULL, name TEXT NOT NULL, data BLOB"

static void test_refuses(Place *p, gconstpointer unused)
{
    static const struct {
        const char *sql, *word;
    } cases[] = {
        {"CREATE TABLE t (a); CREATE VIEW tree AS SELECT 1 AS inode, 0 AS parent", "is a view"},
        {"CREATE VIRTUAL TABLE tree USING fts5(inode, parent, version)", "is a virtual"},
        {"CREATE TABLE tree (inode INTEGER PRIMARY KEY, parent)", "lacks the column version"},
        {"CREATE TABLE tree (inode TEXT PRIMARY KEY, " GOOD_COLUMNS ")", "integer primary key"},
        {"CREATE TABLE tree (inode INTEGER, " GOOD_COLUMNS ")", "integer primary key"},
        {"CREATE TABLE tree (inode INTEGER PRIMARY KEY, " GOOD_COLUMNS ") WITHOUT ROWID",
         "without rowid"},
        {"CREATE TABLE tree (inode INTEGER PRIMARY KEY, extra TEXT, " GOOD_COLUMNS ")",
         "unknown column extra"},
        {"CREATE TABLE tree (inode INTEGER PRIMARY KEY, parent INTEGER, version INTEGER, writer"
         " INTEGER, mtime INTEGER, type INTEGER, name TEXT, data BLOB AS (zeroblob(9)))",
         "computed"},
        {"CREATE TABLE tree (inode INTEGER PRIMARY KEY, " GOOD_COLUMNS ");"
         "CREATE UNIQUE INDEX i ON tree (parent, name)",
         "unique index"},
        {"CREATE TABLE tree (inode INTEGER PRIMARY KEY, " GOOD_COLUMNS ");"
         "CREATE TABLE t (a); CREATE VIEW quorate_meta AS SELECT 1",
         "is a view"},
        {"CREATE TABLE tree (inode INTEGER PRIMARY KEY, " GOOD_COLUMNS ");"
         "CREATE TABLE quorate_meta (key TEXT, value BLOB);"
         "INSERT INTO quorate_meta VALUES ('k', zeroblob(9000000))",
         "not ours"},
    };

    (void)unused;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        (void)g_unlink(p->db);
        exec_many(p->db, cases[i].sql);
        assert_refused(p, -EBADMSG, cases[i].word);
    }
}

static void test_refuses_what_is_no_database(Place *p, gconstpointer unused)
{
    g_autofree char *path = NULL;
    Err err = ERR_INIT;

    (void)unused;
    g_assert_true(g_file_set_contents(p->db, "hello, this is no database at all\n", -1, NULL));
    assert_refused(p, -EBADMSG, "not a database");
    g_assert_cmpint(g_unlink(p->db), ==, 0);
    g_assert_cmpint(try_open(p->dir, &err), ==, -EISDIR);
    path = g_build_filename(p->dir, "no", "such", "dir", NULL);
    g_assert_cmpint(try_open(path, &err), ==, -ENOENT);
    g_assert_cmpint(mkfifo(p->db, 0600), ==, 0);
    g_assert_cmpint(try_open(p->db, &err), ==, -EINVAL);
}

static void test_refuses_sparse_giant(Place *p, gconstpointer unused)
{
    Err err = ERR_INIT;
    int fd = open(p->db, O_RDWR | O_CREAT, 0600);

    (void)unused;
    g_assert_cmpint(ftruncate(fd, (off_t)STORE_FILE_SIZE_MAX + 1), ==, 0);
    g_assert_cmpint(close(fd), ==, 0);
    g_assert_cmpint(try_open(p->db, &err), ==, -EFBIG);
}

/* Each damaged page is found at the start; nothing is written to the file. */
static void test_refuses_damaged_pages(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    g_autofree char *content = NULL;
    gsize size;
    unsigned refused = 0;

    (void)unused;
    for (int i = 0; i < 40; i++) {
        g_autofree char *path = g_strdup_printf("f%d", i);

        (void)storerig_create(rig, path);
        (void)storerig_fill(rig, path, 1500, (uint64_t)i);
    }
    close_rig(rig);
    g_assert_true(g_file_get_contents(p->db, &content, &size, NULL));
    for (gsize page = 512; page < size; page += 512 * 7) {
        g_autofree char *bad = g_memdup2(content, size);
        Err err = ERR_INIT;
        int rc;

        memset(bad + page, 0xff, 8); /* the head of a node, or the link of an overflow page */
        g_assert_true(g_file_set_contents(p->db, bad, (gssize)size, NULL));
        rc = try_open(p->db, &err);
        g_assert_true(rc == 0 || rc == -EBADMSG);
        refused += rc == -EBADMSG;
    }
    g_assert_cmpuint(refused, >, size / 512 / 7 / 2);
}

/* Rows that break a rule are named; the others are read. */
static void test_row_faults(Place *p, gconstpointer unused)
{
    static const struct {
        const char *row;
        MemdbFaultKind kind;
    } cases[] = {
        {"(2, 0, 2, 0, 1, 8, '', NULL)", MEMDB_FAULT_NAME_EMPTY},
        {"(3, 0, 2, 0, 1, 7, 'n', NULL)", MEMDB_FAULT_TYPE},
        {"(4, 0, 2, 0, 1, 4, 'd', x'00')", MEMDB_FAULT_DIR_DATA},
        {"(5, 0, 2, 0, 1, 8, CAST(x'61006200' AS TEXT), NULL)", MEMDB_FAULT_NAME_INVALID},
        {"(6, 0, 2, 0, 1, 8, 'large', zeroblob(1048577))", MEMDB_FAULT_FILE_SIZE},
        {"(7, 0, 2, 0, 1, 8, 'number', 5)", MEMDB_FAULT_FILE_SIZE},
        {"(8, 0, 'x', 0, 1, 8, 'n', NULL)", MEMDB_FAULT_TYPE},
        {"(0, 0, 2, 0, 1, 8, 'version', NULL)", MEMDB_FAULT_ROOT_NAME},
        {"(9, 0, 2, 0, 1, 8, hex(zeroblob(3000)), NULL)", MEMDB_FAULT_NAME_INVALID},
    };
    g_autoptr(GArray) faults = g_array_new(FALSE, TRUE, sizeof(MemdbFault));
    g_autoptr(GPtrArray) entries = NULL;
    StoreOptions opt = {.read_only = true};
    Store *s = NULL;
    MemdbRoot root;
    bool has_root;

    (void)unused;
    exec_many(p->db, "CREATE TABLE tree (inode INTEGER PRIMARY KEY, " GOOD_COLUMNS ");"
                     "INSERT INTO tree VALUES (11, 0, 2, -1, -1, 264, 'text', 'typed as text'),"
                     " (12, 11, 2, 0, 1, 8, '..', NULL)");
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strconcat("INSERT INTO tree VALUES ", cases[i].row, NULL);

        exec_many(p->db, text);
    }
    g_assert_cmpint(store_open(p->db, &opt, &s, NULL, NULL), ==, 0);
    g_assert_cmpint(store_read(s, &limits, &entries, &root, &has_root, faults, NULL), ==, 0);
    g_assert_cmpuint(faults->len, ==, G_N_ELEMENTS(cases));
    for (guint i = 0; i < faults->len; i++) {
        const MemdbFault *f = &g_array_index(faults, MemdbFault, i);
        guint at = f->inode == 0 ? 7 : (guint)f->inode - (f->inode == 9 ? 1 : 2);

        g_assert_true(f->fatal);
        g_assert_cmpint(f->kind, ==, (int)cases[at].kind);
    }
    g_assert_false(has_root);
    g_assert_cmpuint(entries->len, ==, 2); /* what is only odd is the tree's to judge */
    const Entry *e = g_ptr_array_index(entries, 0);
    g_assert_cmpuint(e->size, ==, 13); /* text is read like a blob; type modulo 256 */
    g_assert_cmpuint(e->type, ==, ENTRY_FILE);
    g_assert_cmpuint(e->writer, ==, UINT32_MAX);
    g_assert_cmpint(store_close(s), ==, 0);
}

static void test_read_is_bounded(Place *p, gconstpointer unused)
{
    MemdbLimits tight[] = {limits, limits};
    StoreOptions opt = {.read_only = true};

    (void)unused;
    exec_many(p->db, "CREATE TABLE tree (inode INTEGER PRIMARY KEY, " GOOD_COLUMNS ");"
                     "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n LIMIT 100)"
                     " INSERT INTO tree SELECT i, 0, i, 0, 1, 8, 'f' || i, zeroblob(1000) FROM n");
    tight[0].inodes_max = 99;
    tight[1].total_size_max = 99999;
    for (size_t i = 0; i < G_N_ELEMENTS(tight); i++) {
        g_autoptr(GPtrArray) entries = NULL;
        Store *s = NULL;
        MemdbRoot root;
        bool has_root;
        Err err = ERR_INIT;

        g_assert_cmpint(store_open(p->db, &opt, &s, NULL, NULL), ==, 0);
        g_assert_cmpint(store_read(s, &tight[i], &entries, &root, &has_root, NULL, &err), ==,
                        -E2BIG);
        g_assert_null(entries);
        g_assert_cmpint(store_close(s), ==, 0);
    }
}

/* Triggers of a file from elsewhere never run. */
static void test_triggers_are_dead(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);

    (void)unused;
    (void)storerig_create(rig, "f");
    close_rig(rig);
    exec_many(p->db, "CREATE TRIGGER t AFTER INSERT ON tree BEGIN DELETE FROM tree; END;"
                     "CREATE TRIGGER u AFTER UPDATE ON tree BEGIN DELETE FROM tree; END");
    rig = open_rig(p->db);
    (void)storerig_create(rig, "g");
    (void)storerig_fill(rig, "f", 10, 1);
    close_rig(rig);
    assert_sql(p->db, "SELECT count(*) FROM tree", "3");
}

/* ---- reading without touching ------------------------------------------------------------ */

static void test_read_only_leaves_a_crashed_file_alone(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    g_autofree char *copy = g_build_filename(p->dir, "crashed.db", NULL);
    g_autofree char *copy_wal = g_strconcat(copy, "-wal", NULL);
    g_autofree char *wal = beside(p, "-wal");
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    g_autoptr(GBytes) found = NULL;
    g_autoptr(GPtrArray) states = NULL;
    StoreOptions opt = {.read_only = true};
    gsize size_before;
    gsize size_after;
    uint64_t last;

    (void)unused;
    (void)storerig_create(rig, "f");
    last = storerig_fill(rig, "f", 5000, 1);
    g_assert_cmpint(storerig_wait(rig, last), ==, 0);
    copy_sample(p->db, copy); /* as kill -9 would leave it */
    copy_sample(wal, copy_wal);
    states = storerig_states(rig, false);
    close_rig(rig);
    g_assert_true(g_file_get_contents(copy_wal, &before, &size_before, NULL));
    g_assert_cmpint(storerig_checksum(copy, &opt, &found, NULL), ==, 0);
    g_assert_true(g_bytes_equal(found, g_ptr_array_index(states, last))); /* with the WAL */
    g_assert_true(g_file_get_contents(copy_wal, &after, &size_after, NULL));
    g_assert_cmpmem(before, size_before, after, size_after);
    g_autofree char *shm = g_strconcat(copy, "-shm", NULL);
    g_assert_false(g_file_test(shm, G_FILE_TEST_EXISTS));
}

static void test_read_only_refuses_changes(Place *p, gconstpointer unused)
{
    StoreOptions opt = {.read_only = true};
    Store *s = NULL;
    Err err = ERR_INIT;

    (void)unused;
    g_assert_cmpint(store_open(p->db, &opt, &s, NULL, &err), ==, -ENOENT);
    g_assert_false(exists(p, ""));
    close_rig(open_rig(p->db));
    g_assert_cmpint(store_open(p->db, &opt, &s, NULL, &err), ==, 0);
    g_assert_cmpint(store_start(s, NULL), ==, -EROFS);
    g_assert_cmpint(store_set_meta(s, "k", "v", 1, true, NULL), ==, -EROFS);
    g_assert_cmpint(store_probe(s, NULL), ==, -EROFS);
    g_assert_cmpint(try_open(p->db, &err), ==, -EBUSY); /* and keeps writers out meanwhile */
    g_assert_cmpint(store_close(s), ==, 0);
    StoreRig *rig = open_rig(p->db);
    g_assert_cmpint(store_open(p->db, &opt, &s, NULL, &err), ==, -EBUSY);
    close_rig(rig);
}

/* ---- own values -------------------------------------------------------------------------- */

static void assert_meta(Store *s, const char *key, const char *expected)
{
    g_autoptr(GBytes) value = NULL;

    if (expected == NULL) {
        g_assert_cmpint(store_get_meta(s, key, &value, NULL), ==, -ENOENT);
        return;
    }
    g_assert_cmpint(store_get_meta(s, key, &value, NULL), ==, 0);
    g_assert_cmpmem(g_bytes_get_data(value, NULL), g_bytes_get_size(value), expected,
                    strlen(expected));
}

static void test_meta(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    Store *s = storerig_store(rig);
    g_autofree char *large = g_malloc0(STORE_META_VALUE_MAX + 1);
    g_autofree char *longkey = g_strnfill(STORE_META_KEY_MAX + 1, 'k');

    (void)unused;
    assert_meta(s, "a", NULL);
    g_assert_cmpint(store_set_meta(s, "a", "1", 1, true, NULL), ==, 0);
    assert_sql(p->db, "SELECT key || '=' || value FROM quorate_meta", "a=1"); /* at once */
    g_assert_cmpint(store_set_meta(s, "a", "22", 2, false, NULL), ==, 0);
    g_assert_cmpint(store_set_meta(s, "empty", NULL, 0, false, NULL), ==, 0);
    assert_meta(s, "a", "22");
    assert_meta(s, "empty", "");
    assert_sql(p->db, "SELECT key || '=' || value FROM quorate_meta", "a=1"); /* not yet */
    (void)storerig_mkdir(rig, "d");
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    assert_sql(p->db, "SELECT key || '=' || value FROM quorate_meta", "a=22 empty=");
    g_assert_cmpint(store_set_meta(s, "late", "x", 1, false, NULL), ==, 0);
    g_assert_cmpint(store_set_meta(s, "l", large, STORE_META_VALUE_MAX + 1, false, NULL), ==,
                    -E2BIG);
    g_assert_cmpint(store_set_meta(s, longkey, "x", 1, false, NULL), ==, -E2BIG);
    g_assert_cmpint(store_set_meta(s, "", "x", 1, false, NULL), ==, -E2BIG);
    for (int i = 0; i < 8; i++) {
        g_autofree char *key = g_strdup_printf("l%d", i);
        int rc = store_set_meta(s, key, large, STORE_META_VALUE_MAX, false, NULL);

        g_assert_cmpint(rc, ==, i < 7 ? 0 : -E2BIG);
    }
    close_rig(rig);
    rig = open_rig(p->db);
    assert_meta(storerig_store(rig), "a", "22");
    assert_meta(storerig_store(rig), "empty", "");
    assert_meta(storerig_store(rig), "late", "x"); /* written at the end at the latest */
    assert_meta(storerig_store(rig), "l", NULL);
    close_rig(rig);
}

static void test_meta_before_start(Place *p, gconstpointer unused)
{
    StoreOptions opt = {.durability = STORE_SYNCED};
    Store *s = NULL;

    (void)unused;
    g_assert_cmpint(store_open(p->db, &opt, &s, NULL, NULL), ==, 0);
    g_assert_cmpint(store_set_meta(s, "a", "1", 1, true, NULL), ==, 0);
    g_assert_cmpint(store_close(s), ==, 0);
    assert_sql(p->db, "SELECT key || '=' || value FROM quorate_meta", "a=1");
}

static void test_probe(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    StoreStats before;
    StoreStats after;

    (void)unused;
    for (int i = 0; i < 3; i++) {
        store_stats(storerig_store(rig), &before);
        g_assert_cmpint(store_probe(storerig_store(rig), NULL), ==, 0);
        store_stats(storerig_store(rig), &after);
        g_assert_cmpuint(after.syncs, >, before.syncs); /* it really writes, every time */
        g_assert_cmpuint(after.disk_bytes, >, before.disk_bytes);
    }
    (void)storerig_create(rig, "f");
    close_rig(rig);
}

/* ---- whole files ------------------------------------------------------------------------- */

static GPtrArray *names_with(const Place *p, const char *part)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(p->dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir)) != NULL) {
        if (strstr(name, part) != NULL) {
            g_ptr_array_add(names, g_strdup(name));
        }
    }
    g_dir_close(dir);
    return names;
}

static void test_set_aside(Place *p, gconstpointer unused)
{
    g_autofree char *wal = beside(p, "-wal");
    g_autofree char *first = NULL;
    g_autofree char *second = NULL;

    (void)unused;
    for (int i = 0; i < 2; i++) { /* twice in one second: two names */
        char **name = i == 0 ? &first : &second;

        g_assert_true(g_file_set_contents(p->db, "damaged", -1, NULL));
        g_assert_true(g_file_set_contents(wal, "its wal", -1, NULL));
        g_assert_cmpint(store_set_aside(p->db, "bad page/../x", name, NULL), ==, 0);
        g_assert_false(exists(p, ""));
        g_assert_false(exists(p, "-wal"));
        g_autofree char *moved_wal = g_strconcat(*name, "-wal", NULL);
        g_autofree char *content = NULL;
        g_assert_true(g_file_get_contents(moved_wal, &content, NULL, NULL));
        g_assert_cmpstr(content, ==, "its wal");
    }
    g_assert_cmpstr(first, !=, second);
    g_assert_true(
        g_regex_match_simple("/config\\.db\\.damaged-\\d{8}T\\d{6}Z-bad-page----x$", first, 0, 0));
    g_assert_cmpint(store_set_aside(p->db, "x", NULL, NULL), ==, -ENOENT);
}

/* SQLite would silently throw away the WAL of a lost database. */
static void test_stray_wal_is_kept(Place *p, gconstpointer unused)
{
    g_autofree char *wal = beside(p, "-wal");
    g_autoptr(GPtrArray) names = NULL;

    (void)unused;
    g_assert_true(g_file_set_contents(wal, "changes nobody folded in", -1, NULL));
    close_rig(open_rig(p->db));
    names = names_with(p, "-wal.damaged-");
    g_assert_cmpuint(names->len, ==, 1);
    g_autofree char *kept = g_build_filename(p->dir, g_ptr_array_index(names, 0), NULL);
    g_autofree char *content = NULL;
    g_assert_true(g_file_get_contents(kept, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "changes nobody folded in");
}

static void test_save_tree(Place *p, gconstpointer unused)
{
    StoreRig *rig = open_rig(p->db);
    g_autoptr(GPtrArray) all = NULL;
    g_autoptr(GPtrArray) left = NULL;
    g_autoptr(GBytes) saved = NULL;
    g_autofree char *path = g_build_filename(p->dir, "losing.db", NULL);
    uint8_t csum[ENTRY_DIGEST_SIZE];
    struct stat st;
    MemdbRoot root;
    Err err = ERR_INIT;

    (void)unused;
    (void)storerig_mkdir(rig, "d");
    for (int i = 0; i < 50; i++) {
        g_autofree char *name = g_strdup_printf("d/f%d", i);

        (void)storerig_create(rig, name);
        (void)storerig_fill(rig, name, (size_t)i * 400, (uint64_t)i);
    }
    all = memdb_all(storerig_tree(rig));
    root = memdb_root(storerig_tree(rig));
    memdb_checksum(storerig_tree(rig), csum);
    g_assert_cmpint(store_save_tree(p->dir, "losing.db", all, &root, NULL), ==, 0);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0600);
    g_assert_cmpint(storerig_checksum(path, NULL, &saved, NULL), ==, 0);
    g_assert_cmpmem(g_bytes_get_data(saved, NULL), g_bytes_get_size(saved), csum, sizeof(csum));
    g_assert_cmpint(store_save_tree(p->dir, "losing.db", all, &root, &err), ==, -EEXIST);
    g_assert_cmpint(store_save_tree("/nonexistent", "x.db", all, &root, &err), ==, -ENOENT);
    close_rig(rig);
    left = names_with(p, "losing");
    g_assert_cmpuint(left->len, ==, 1); /* no temporary file, no journal */
}

/* ---- errno ------------------------------------------------------------------------------- */

static void test_errno(void)
{
    static const struct {
        int rc, sys, code;
    } cases[] = {
        {SQLITE_OK, EIO, 0},
        {SQLITE_ROW, 0, 0},
        {SQLITE_DONE, 0, 0},
        {SQLITE_FULL, 0, -ENOSPC},
        {SQLITE_IOERR, 0, -EIO},
        {SQLITE_IOERR_WRITE, ENOSPC, -ENOSPC},
        {SQLITE_IOERR_WRITE, EDQUOT, -EDQUOT},
        {SQLITE_IOERR_WRITE, EROFS, -EROFS},
        {SQLITE_IOERR_WRITE, EFBIG, -EFBIG},
        {SQLITE_IOERR_WRITE, ENOENT, -EIO}, /* left over from another call */
        {SQLITE_IOERR_FSYNC, EIO, -EIO},
        {SQLITE_IOERR_NOMEM, 0, -ENOMEM},
        {SQLITE_IOERR_SHORT_READ, ENOENT, -EIO},
        {SQLITE_CANTOPEN, EACCES, -EACCES},
        {SQLITE_CANTOPEN, EISDIR, -EISDIR},
        {SQLITE_CANTOPEN, EMFILE, -EMFILE},
        {SQLITE_CANTOPEN, 0, -EIO},
        {SQLITE_READONLY, 0, -EROFS},
        {SQLITE_READONLY_DBMOVED, 0, -EROFS},
        {SQLITE_PERM, 0, -EACCES},
        {SQLITE_AUTH, 0, -EACCES},
        {SQLITE_BUSY, 0, -EBUSY},
        {SQLITE_BUSY_SNAPSHOT, 0, -EBUSY},
        {SQLITE_LOCKED, 0, -EBUSY},
        {SQLITE_PROTOCOL, 0, -EBUSY},
        {SQLITE_NOMEM, 0, -ENOMEM},
        {SQLITE_INTERRUPT, 0, -ECANCELED},
        {SQLITE_ABORT, 0, -ECANCELED},
        {SQLITE_TOOBIG, 0, -EFBIG},
        {SQLITE_NOLFS, 0, -EFBIG},
        {SQLITE_CORRUPT, 0, -EBADMSG},
        {SQLITE_CORRUPT_VTAB, 0, -EBADMSG},
        {SQLITE_NOTADB, 0, -EBADMSG},
        {SQLITE_FORMAT, 0, -EBADMSG},
        {SQLITE_SCHEMA, 0, -EBADMSG},
        {SQLITE_CONSTRAINT, 0, -EBADMSG},
        {SQLITE_MISMATCH, 0, -EBADMSG},
        {SQLITE_ERROR, 0, -EBADMSG},
        {SQLITE_MISUSE, 0, -EINVAL},
        {SQLITE_INTERNAL, 0, -EINVAL},
        {SQLITE_RANGE, 0, -EINVAL},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpint(store_errno(cases[i].rc, cases[i].sys), ==, cases[i].code);
    }
    for (int rc = 1; rc < 100; rc++) { /* no failure is ever taken for success */
        g_assert_cmpint(store_errno(rc, 0), <, 0);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, fn) g_test_add("/store/" name, Place, NULL, place_init, fn, place_done)
    ADD("fresh-file-has-the-documented-shape", test_fresh_file);
    ADD("existing-modes-are-tightened", test_existing_modes_are_tightened);
    ADD("rows-are-those-of-the-reference", test_rows);
    ADD("sync-commit-marks-row-0", test_sync_commit);
    ADD("sync-may-change-the-kind-of-an-entry", test_sync_changes_the_kind);
    ADD("one-batch-equals-single-changes", test_one_batch);
    ADD("create-and-write-share-a-commit", test_create_and_write_share_a_commit);
    ADD("lone-create-is-written-soon", test_lone_create_is_written_soon);
    ADD("lone-create-whenever-it-comes", test_lone_create_whenever_it_comes);
    ADD("each-commit-is-synced-unless-relaxed", test_each_commit_is_synced);
    ADD("cost/small-files-at-most-3", test_cost_of_small_files);
    ADD("cost/large-files-at-most-1.3", test_cost_of_large_files);
    ADD("cost/short-wal", test_cost_of_a_short_wal);
    ADD("cost/small-change-of-a-large-file", test_cost_of_small_change);
    ADD("others-may-read-but-not-write", test_others_may_read_but_not_write);
    ADD("nobody-writes-in-between", test_nobody_writes_in_between);
    ADD("moved-file-takes-no-writes", test_moved_file_takes_no_writes);
    ADD("long-reader-stops-nothing", test_long_reader);
    ADD("original-goes-on-with-the-file", test_original_goes_on);
    ADD("large-pages-stay", test_large_pages_stay);
    ADD("sample-a-matches", test_sample_a);
    ADD("sample-b-matches", test_sample_b);
    ADD("refuses/foreign-schemas", test_refuses);
    ADD("refuses/what-is-no-database", test_refuses_what_is_no_database);
    ADD("refuses/sparse-giant", test_refuses_sparse_giant);
    ADD("refuses/damaged-pages", test_refuses_damaged_pages);
    ADD("row-faults-are-named", test_row_faults);
    ADD("read-is-bounded", test_read_is_bounded);
    ADD("triggers-are-dead", test_triggers_are_dead);
    ADD("read-only/leaves-a-crashed-file-alone", test_read_only_leaves_a_crashed_file_alone);
    ADD("read-only/refuses-changes", test_read_only_refuses_changes);
    ADD("meta/is-committed-with-deltas-or-at-once", test_meta);
    ADD("meta/before-the-start", test_meta_before_start);
    ADD("probe-writes", test_probe);
    ADD("file/set-aside-keeps-everything", test_set_aside);
    ADD("file/stray-wal-is-kept", test_stray_wal_is_kept);
    ADD("file/saved-tree-is-complete", test_save_tree);
    g_test_add_func("/store/errno-value-by-value", test_errno);
    return g_test_run();
}
