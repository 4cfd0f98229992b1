/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_store: what a change costs on disk: bytes per byte of content, and commits a second, beside
 * SQLite used as the original uses it and beside the bare disk.
 *
 *     tests/bench/bench_store [DIR]
 *
 * One line per case: name, commits a second, bytes that were written to files and bytes of pages
 * that went to the block device, both per byte of content (/proc/self/io: wchar, write_bytes).
 * Everything is counted until the file is closed, so that no checkpoint is left out.
 */
#include "lib/base/prng.h"
#include "tests/lib/storerig.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SMALL_FILES 2000u
#define SMALL_BYTES 4096u
#define LARGE_FILES 20u
#define LARGE_BYTES (1024u * 1024u)
#define GROUP       32u /* changes that wait together */

typedef struct Io {
    guint64 wchar, write_bytes;
    gint64 us;
} Io;

static guint64 field(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at != NULL ? g_ascii_strtoull(at + strlen(name), NULL, 10) : 0;
}

static Io io_now(void)
{
    g_autofree char *text = NULL;
    Io io = {0};

    if (g_file_get_contents("/proc/self/io", &text, NULL, NULL)) {
        io.wchar = field(text, "wchar: ");
        io.write_bytes = field(text, "\nwrite_bytes: ");
    }
    io.us = g_get_monotonic_time();
    return io;
}

static void report(const char *name, Io begin, Io end, double commits, double content)
{
    printf("%-34s %8.0f commits/s  %6.2f written  %6.2f to disk\n", name,
           commits * G_USEC_PER_SEC / (double)(end.us - begin.us),
           (double)(end.wchar - begin.wchar) / content,
           (double)(end.write_bytes - begin.write_bytes) / content);
    (void)fflush(stdout);
}

static void fill(guint8 *buf, gsize size, Prng *prng)
{
    for (gsize i = 0; i + 8 <= size; i += 8) {
        guint64 v = prng_u64(prng);

        memcpy(buf + i, &v, 8);
    }
}

static void remove_db(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};

    for (gsize i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *name = g_strconcat(path, suffixes[i], NULL);

        (void)g_unlink(name);
    }
}

/* ---- our store --------------------------------------------------------------------------- */

typedef struct Case {
    const char *name;
    StoreDurability durability;
    guint files, bytes, group;
    bool same_file; /* overwrite one file again and again */
} Case;

static void run_store(const char *path, const Case *c)
{
    StoreOptions opt = {.durability = c->durability};
    g_autofree guint8 *buf = g_malloc(c->bytes);
    StoreRig *rig;
    uint64_t last = 0;
    Prng prng;
    Io begin;
    int rc = 0;

    remove_db(path);
    prng_init(&prng, 1);
    rig = storerig_open(path, &opt, NULL);
    g_assert_nonnull(rig);
    storerig_forget_states(rig);
    last = storerig_create(rig, "same");
    g_assert_cmpint(storerig_wait(rig, last), ==, 0);
    begin = io_now();
    for (guint i = 0; i < c->files; i++) {
        g_autofree char *name = c->same_file ? g_strdup("same") : g_strdup_printf("file%u", i);
        g_autoptr(GBytes) data = NULL;

        fill(buf, c->bytes, &prng);
        data = g_bytes_new(buf, c->bytes);
        if (!c->same_file) {
            (void)storerig_create(rig, name);
        }
        last = storerig_write(rig, name, data);
        if ((i + 1) % c->group == 0) {
            rc = storerig_wait(rig, last);
            g_assert_cmpint(rc, ==, 0);
        }
    }
    g_assert_cmpint(storerig_wait(rig, last), ==, 0);
    storerig_close(rig, &rc);
    g_assert_cmpint(rc, ==, 0);
    report(c->name, begin, io_now(), c->files, (double)c->files * c->bytes);
    remove_db(path);
}

/* ---- SQLite as the original uses it ------------------------------------------------------ */

static void sql(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK) {
        g_error("%s: %s", text, sqlite3_errmsg(db));
    }
}

static void put(sqlite3 *db,
                sqlite3_stmt *st,
                gint64 inode,
                const char *name,
                const void *data,
                int size,
                gint64 version)
{
    (void)sqlite3_bind_int64(st, 1, inode);
    (void)sqlite3_bind_int64(st, 2, version);
    (void)sqlite3_bind_text(st, 3, name, -1, SQLITE_STATIC);
    if (data != NULL) {
        (void)sqlite3_bind_blob(st, 4, data, size, SQLITE_STATIC);
    } else {
        (void)sqlite3_bind_null(st, 4);
    }
    if (sqlite3_step(st) != SQLITE_DONE) {
        g_error("%s", sqlite3_errmsg(db));
    }
    (void)sqlite3_reset(st);
}

/* Create and write are one transaction each; large files arrive in pieces of 128 KiB (reference
 * pmxcfs 3.3 and 18.2). */
static void
run_sqlite(const char *path, const char *name, const char *sync, guint files, guint bytes)
{
    g_autofree guint8 *buf = g_malloc(bytes);
    g_autofree char *pragma =
        g_strdup_printf("PRAGMA journal_mode=WAL; PRAGMA synchronous=%s", sync);
    const guint piece = MIN(bytes, 128u * 1024u);
    sqlite3_stmt *st = NULL;
    sqlite3 *db = NULL;
    gint64 version = 1;
    Prng prng;
    Io begin;

    remove_db(path);
    prng_init(&prng, 1);
    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    sql(db, pragma);
    sql(db, "CREATE TABLE tree (inode INTEGER PRIMARY KEY NOT NULL, parent INTEGER NOT NULL,"
            " version INTEGER NOT NULL, writer INTEGER NOT NULL, mtime INTEGER NOT NULL,"
            " type INTEGER NOT NULL, name TEXT NOT NULL, data BLOB)");
    g_assert_cmpint(sqlite3_prepare_v2(db,
                                       "REPLACE INTO tree VALUES (?1, 0, ?2, 1, 1700000000, 8, ?3,"
                                       " ?4)",
                                       -1, &st, NULL),
                    ==, SQLITE_OK);
    begin = io_now();
    for (guint i = 0; i < files; i++) {
        g_autofree char *file = g_strdup_printf("file%u", i);
        gint64 inode = ++version;

        fill(buf, bytes, &prng);
        for (guint end = 0; end <= bytes; end += piece) {
            sql(db, "BEGIN");
            put(db, st, inode, file, end > 0 ? buf : NULL, (int)end, version++);
            put(db, st, 0, "__version__", NULL, 0, version);
            sql(db, "COMMIT");
        }
    }
    sqlite3_finalize(st);
    g_assert_cmpint(sqlite3_close(db), ==, SQLITE_OK);
    report(name, begin, io_now(), files, (double)files * bytes);
    remove_db(path);
}

/* ---- the bare disk ----------------------------------------------------------------------- */

static void run_raw(const char *path, const char *name, guint files, guint bytes)
{
    g_autofree guint8 *buf = g_malloc(bytes);
    int fd;
    Prng prng;
    Io begin;

    remove_db(path);
    prng_init(&prng, 1);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(posix_fallocate(fd, 0, (off_t)files * bytes), ==, 0);
    g_assert_cmpint(fsync(fd), ==, 0);
    begin = io_now();
    for (guint i = 0; i < files; i++) {
        fill(buf, bytes, &prng);
        g_assert_cmpint(pwrite(fd, buf, bytes, (off_t)i * bytes), ==, (gssize)bytes);
        g_assert_cmpint(fdatasync(fd), ==, 0);
    }
    g_assert_cmpint(close(fd), ==, 0);
    report(name, begin, io_now(), files, (double)files * bytes);
    remove_db(path);
}

int main(int argc, char **argv)
{
    static const Case cases[] = {
        {"store 4 KiB", STORE_SYNCED, SMALL_FILES, SMALL_BYTES, 1, false},
        {"store 4 KiB, 32 waiting", STORE_SYNCED, SMALL_FILES, SMALL_BYTES, GROUP, false},
        {"store 4 KiB relaxed", STORE_RELAXED, SMALL_FILES, SMALL_BYTES, 1, false},
        {"store 4 KiB overwritten", STORE_SYNCED, SMALL_FILES, SMALL_BYTES, 1, true},
        {"store 1 MiB", STORE_SYNCED, LARGE_FILES, LARGE_BYTES, 1, false},
        {"store 1 MiB overwritten", STORE_SYNCED, LARGE_FILES, LARGE_BYTES, 1, true},
        {"store 1 MiB relaxed", STORE_RELAXED, LARGE_FILES, LARGE_BYTES, 1, false},
    };
    g_autofree char *path =
        g_build_filename(argc > 1 ? argv[1] : g_get_tmp_dir(), "bench-store.db", NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        run_store(path, &cases[i]);
    }
    run_sqlite(path, "sqlite 4 KiB, NORMAL (original)", "NORMAL", SMALL_FILES, SMALL_BYTES);
    run_sqlite(path, "sqlite 4 KiB, FULL", "FULL", SMALL_FILES, SMALL_BYTES);
    run_sqlite(path, "sqlite 1 MiB, NORMAL (original)", "NORMAL", LARGE_FILES, LARGE_BYTES);
    run_sqlite(path, "sqlite 1 MiB, FULL", "FULL", LARGE_FILES, LARGE_BYTES);
    run_raw(path, "pwrite + fdatasync 4 KiB", SMALL_FILES, SMALL_BYTES);
    run_raw(path, "pwrite + fdatasync 1 MiB", LARGE_FILES, LARGE_BYTES);
    return 0;
}
