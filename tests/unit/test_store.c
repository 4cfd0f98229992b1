/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the file holds what the reference says after each operation, goes on with what the original
 * wrote, shares it with readers only, and costs no more bytes than promised.
 * Method: real SQLite files in a temporary directory, looked at through a second, plain connection.
 */
#include "pmxcfs/io/store.h"

#include "pmxcfs/io/store_db.h"
#include "pmxcfs/io/store_wal.h"
#include "tests/lib/storeplace.h"
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
/* ---- the file ---------------------------------------------------------------------------- */

static void test_fresh_file(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);
    struct stat st;

    (void)unused;
    g_assert_true(storerig_fresh(rig));
    (void)storerig_create(rig, "a");
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    for (int i = 0; i < 3; i++) {
        static const char *const suffix[] = {"", "-wal", "-shm"};
        g_autofree char *path = place_path(p, suffix[i]);

        g_assert_cmpint(stat(path, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 07777, ==, 0600);
    }
    place_close(rig);
    g_assert_false(place_has(p, "-wal"));
    g_assert_false(place_has(p, "-shm"));
    g_assert_false(place_has(p, "-journal"));
    place_assert_sql(p->db, "PRAGMA user_version", "0");
    place_assert_sql(p->db, "PRAGMA application_id", "0");
    place_assert_sql(p->db, "PRAGMA encoding", "UTF-8");
    place_assert_sql(p->db, "PRAGMA auto_vacuum", "0");
    place_assert_sql(p->db, "PRAGMA journal_mode", "wal"); /* as the original leaves it */
    place_assert_sql(p->db, "SELECT group_concat(name) FROM sqlite_schema", "tree");
    place_assert_sql(p->db,
                     "SELECT name || ':' || type || ':' || pk || ':' || \"notnull\""
                     " FROM pragma_table_info('tree')",
                     "inode:INTEGER:1:1 parent:INTEGER:0:1 version:INTEGER:0:1 writer:INTEGER:0:1 "
                     "mtime:INTEGER:0:1 type:INTEGER:0:1 name:TEXT:0:1 data:BLOB:0:0");
    g_autofree char *refused =
        place_sql(p->db, "INSERT INTO tree VALUES (9, 'x', 1, 1, 1, 8, 'n', NULL)");
    g_assert_true(g_str_has_prefix(refused, "error 19"));
    rig = place_open(p->db);
    g_assert_false(storerig_fresh(rig));
    place_close(rig);
}

static void test_existing_modes_are_tightened(Place *p, gconstpointer unused)
{
    struct stat st;

    (void)unused;
    place_close(place_open(p->db));
    g_assert_cmpint(chmod(p->db, 0644), ==, 0);
    place_close(place_open(p->db));
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
    StoreRig *rig = place_open(p->db);
    g_autoptr(GBytes) text = g_bytes_new("hello\n", 6);

    (void)unused;
    (void)storerig_create(rig, "f"); /* inode 2, since a fresh tree starts at 1 */
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    place_assert_sql(p->db, ROW("2"), "0,2,1,1700000000,8,f,null,");
    place_assert_sql(p->db, ROW("0"), "0,2,1,1700000000,8,__version__,null,");
    (void)storerig_write(rig, "f", text);
    (void)storerig_mkdir(rig, "d");
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    place_assert_sql(p->db, ROW("2"), "0,3,1,1700000000,8,f,blob,68656C6C6F0A");
    place_assert_sql(p->db, ROW("4"), "0,4,1,1700000000,4,d,null,");
    (void)storerig_mtime(rig, "d", 77);
    (void)storerig_mtime(rig, "f", 78);
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    place_assert_sql(p->db, ROW("4"), "0,5,1,77,4,d,blob,"); /* a zero length blob */
    place_assert_sql(p->db, ROW("2"), "0,6,1,78,8,f,blob,68656C6C6F0A");
    place_assert_sql(p->db, ROW("0"), "0,6,1,78,8,__version__,null,"); /* the user's time */
    (void)storerig_create(rig, "g");
    (void)storerig_rename(rig, "f", "g"); /* over an existing file: its row goes */
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    place_assert_sql(p->db, ROW("2"), "0,8,1,1700000000,8,g,blob,68656C6C6F0A");
    place_assert_sql(p->db, "SELECT inode FROM tree ORDER BY inode", "0 2 4");
    (void)storerig_fill(rig, "g", 0, 0); /* emptied */
    (void)storerig_delete(rig, "d");
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    place_assert_sql(p->db, ROW("2"), "0,9,1,1700000000,8,g,null,");
    place_assert_sql(p->db, "SELECT inode FROM tree ORDER BY inode", "0 2");
    place_close(rig);
}

/* A synchronisation commit leaves type 4 in row 0; the next change makes it 8 again. */
static void test_sync_commit(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);
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
    place_assert_sql(p->db, "SELECT inode FROM tree ORDER BY inode", "0 3 40");
    place_assert_sql(p->db, ROW("0"), "0,50,3,5,4,__version__,null,");
    place_assert_sql(p->db, ROW("40"), "0,40,3,4,4,new,null,");
    (void)storerig_delete(rig, "new");
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    place_assert_sql(p->db, ROW("0"), "0,51,1,1700000000,8,__version__,null,");
    place_close(rig);
}

/* A node that joins gets the cluster's entries: what was a file may be a directory there. */
static void test_sync_changes_the_kind(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);
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
    place_assert_sql(p->db, ROW("2"), "0,40,3,4,4,nodes,null,");
    place_assert_sql(p->db, ROW("3"), "2,41,3,4,8,f,blob,68656C6C6F0A");
    place_close(rig);
    place_close(place_open(p->db)); /* and it opens again */
}

/* What lands in one transaction must be as if each change had one of its own. */
static void test_one_batch(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);
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
    place_close(rig);
    g_assert_cmpint(storerig_checksum(p->db, NULL, &found, NULL), ==, 0);
    want = g_bytes_ref(g_ptr_array_index(states, last));
    g_assert_true(g_bytes_equal(found, want));
}

/* ---- durability and cost ----------------------------------------------------------------- */

static void test_create_and_write_share_a_commit(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);
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
    place_close(rig);
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
    StoreRig *rig = place_open(p->db);

    (void)unused;
    assert_written_soon(rig, storerig_create(rig, "alone"));
    place_close(rig);
}

/* Whether the thread sleeps, looks now and then by itself, or is about to leave the direct mode. */
static void test_lone_create_whenever_it_comes(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);

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
    place_close(rig);
}

/* INV-2: reported as committed means synced. */
static void test_each_commit_is_synced(Place *p, gconstpointer unused)
{
    StoreOptions relaxed = {.durability = STORE_RELAXED};
    StoreRig *rig = place_open(p->db);
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
    place_close(rig);
    rig = storerig_open(p->db, &relaxed, NULL);
    g_assert_nonnull(rig);
    g_assert_cmpint(storerig_wait(rig, storerig_fill(rig, "f", 50, 100)), ==, 0);
    store_stats(storerig_store(rig), &before);
    for (int i = 0; i < 10; i++) {
        g_assert_cmpint(storerig_wait(rig, storerig_fill(rig, "f", 50, (uint64_t)i)), ==, 0);
    }
    store_stats(storerig_store(rig), &after);
    g_assert_cmpuint(after.syncs, ==, before.syncs);
    place_close(rig);
}

/* Bytes to disk per byte of payload, all checkpoints included. */
static void test_cost_of_small_files(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);
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
    place_close(rig);
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
    StoreRig *rig = place_open(p->db);

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
    place_close(rig);
    storerig_assert_sound(p->db, NULL);
}

/* What the WAL costs that lives only for the small change between two large ones. */
static void test_cost_of_a_short_wal(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);
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
    place_close(rig);
}

/* A changed page of a large file does not cost the whole file. When the WAL was folded just before,
 * it begins anew and grows by its first step. */
static void test_cost_of_small_change(Place *p, gconstpointer unused)
{
    const uint64_t small = 16384 + STORE_WAL_GROWTH_1;
    StoreRig *rig = place_open(p->db);
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
    place_close(rig);
}

/* ---- other programs ---------------------------------------------------------------------- */

static void test_others_may_read_but_not_write(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);
    Err err = ERR_INIT;

    (void)unused;
    (void)storerig_create(rig, "f");
    g_assert_cmpint(storerig_flush(rig), ==, 0);
    place_assert_sql(p->db, "SELECT name FROM tree WHERE inode = 2", "f");
    for (int i = 0; i < 3; i++) {
        g_autofree char *refused = place_sql(p->db, "UPDATE tree SET mtime = 1");

        g_assert_true(g_str_has_prefix(refused, "error 5:"));
        (void)storerig_fill(rig, "f", 10 + (size_t)i, 1);
        g_assert_cmpint(storerig_flush(rig), ==, 0);
    }
    g_assert_cmpint(place_try_open(p->db, &err), ==, -EBUSY);
    g_assert_nonnull(strstr(err_text(&err), "in use by another process"));
    place_close(rig);
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
    rig = place_open(p->db);
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
    place_close(rig);
    storerig_assert_sound(p->db, NULL);
}

static void test_moved_file_takes_no_writes(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);
    g_autofree char *moved = place_path(p, ".moved");
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
    place_close(rig);
}

/* A reader with a long transaction neither stops writers nor large files, and sees one state. */
static void test_long_reader(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);
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
    place_close(rig);
    g_assert_false(place_has(p, "-wal"));
    storerig_assert_sound(p->db, NULL);
}

/* As the original opens it: its pragmas, its statements; and we go on afterwards. */
static void test_original_goes_on(Place *p, gconstpointer unused)
{
    StoreRig *rig = place_open(p->db);
    g_autoptr(Entry) e = NULL;

    (void)unused;
    (void)storerig_create(rig, "f");
    (void)storerig_fill(rig, "f", 300000, 1);
    g_assert_cmpint(store_set_meta(storerig_store(rig), "k", "v", 1, true, NULL), ==, 0);
    place_close(rig);
    place_exec(p->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                      "CREATE TABLE IF NOT EXISTS tree (inode INTEGER PRIMARY KEY NOT NULL, x);"
                      "BEGIN; REPLACE INTO tree VALUES (4, 0, 4, 2, 9, 8, 'theirs', x'414243');"
                      "REPLACE INTO tree VALUES (0, 0, 4, 2, 9, 8, '__version__', NULL); COMMIT");
    rig = place_open(p->db);
    g_assert_cmpint(memdb_lookup(storerig_tree(rig), "theirs", &e), ==, 0);
    g_assert_cmpuint(e->size, ==, 3);
    g_assert_cmpuint(memdb_root(storerig_tree(rig)).version, ==, 4);
    place_close(rig);
}

/* Page size 4096, as the original makes it. */
static void test_large_pages_stay(Place *p, gconstpointer unused)
{
    StoreRig *rig;

    (void)unused;
    place_exec(p->db, "PRAGMA page_size=4096; PRAGMA journal_mode=WAL;"
                      "CREATE TABLE other (a); INSERT INTO other VALUES (7)");
    rig = place_open(p->db);
    g_assert_true(storerig_fresh(rig));
    (void)storerig_create(rig, "big");
    (void)storerig_create(rig, "small");
    check_large(rig, "large pages", 1.3);
    (void)storerig_fill(rig, "small", 100, 1);
    place_close(rig);
    place_assert_sql(p->db, "PRAGMA page_size", "4096");
    place_assert_sql(p->db, "SELECT a FROM other", "7"); /* survives */
    storerig_assert_sound(p->db, NULL);
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
    return g_test_run();
}
