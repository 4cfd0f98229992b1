/* SPDX-License-Identifier: Apache-2.0 */
/* What is collected for a WAL ends in the file as if it had been written piece by piece. */
#include "pmxcfs/io/store_wal.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FRAME      536 /* of a page of 512 bytes: header and page */
#define MODEL_SIZE (4 * 1024 * 1024)

typedef struct Rig {
    char *path;
    sqlite3_file *base;
    _Atomic uint64_t written;
    StoreWal wal;
    uint8_t *model; /* what the file has to have, up to `end` */
    size_t end;
} Rig;

static void rig_init(Rig *rig, const char *dir, bool direct)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_DB;

    memset(rig, 0, sizeof *rig);
    rig->path = g_malloc0(PATH_MAX); /* SQLite looks for more strings behind the first */
    g_snprintf(rig->path, PATH_MAX / 2, "%s/test-wal-%d", dir, (int)getpid());
    rig->base = g_malloc0((gsize)vfs->szOsFile);
    rig->model = g_malloc0(MODEL_SIZE);
    g_assert_cmpint(vfs->xOpen(vfs, rig->path, rig->base, flags, NULL), ==, SQLITE_OK);
    store_wal_init(&rig->wal, rig->base, direct ? rig->path : NULL, &rig->written);
}

static void rig_done(Rig *rig)
{
    store_wal_done(&rig->wal);
    g_assert_cmpint(rig->base->pMethods->xClose(rig->base), ==, SQLITE_OK);
    g_assert_cmpint(g_unlink(rig->path), ==, 0);
    g_free(rig->base);
    g_free(rig->model);
    g_free(rig->path);
}

static void write_at(Rig *rig, size_t at, size_t size, uint8_t byte)
{
    g_autofree uint8_t *data = g_malloc(size);

    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(byte + i);
    }
    g_assert_cmpint(store_wal_write(&rig->wal, data, size, (sqlite3_int64)at), ==, SQLITE_OK);
    memcpy(rig->model + at, data, size);
    rig->end = at == 0 ? size : MAX(rig->end, at + size);
}

static void flush_and_compare(Rig *rig)
{
    g_autofree char *content = NULL;
    gsize size = 0;

    g_assert_cmpint(store_wal_flush(&rig->wal), ==, SQLITE_OK);
    g_assert_true(g_file_get_contents(rig->path, &content, &size, NULL));
    g_assert_cmpuint(size, >=, rig->end);
    g_assert_true(memcmp(content, rig->model, rig->end) == 0);
}

static void commits_cost_what_they_hold(void)
{
    Rig rig;
    size_t at = 32;

    rig_init(&rig, ".", true);
    g_assert_cmpint(rig.base->pMethods->xTruncate(rig.base, 2 * STORE_WAL_GROWTH), ==, SQLITE_OK);
    store_wal_forget(&rig.wal); /* the file has its length already */
    write_at(&rig, 0, 32, 1);
    flush_and_compare(&rig);
    for (int commit = 0; commit < 50; commit++) {
        uint64_t before = rig.written;

        for (int frame = 0; frame < 11; frame++, at += FRAME) {
            write_at(&rig, at, 24, (uint8_t)commit);
            write_at(&rig, at + 24, FRAME - 24, (uint8_t)frame);
        }
        g_assert_cmpuint(rig.written, ==, before); /* nothing before the sync */
        flush_and_compare(&rig);
        g_assert_cmpuint(rig.written - before, <=, 11 * FRAME + 2 * STORE_WAL_SECTOR);
    }
    rig_done(&rig);
}

static size_t file_size(const Rig *rig)
{
    struct stat st;

    g_assert_cmpint(g_stat(rig->path, &st), ==, 0);
    return (size_t)st.st_size;
}

/* In steps, of zeros, each written once; and anew when it was cut. */
static void grow_by_steps(const char *dir)
{
    Rig rig;
    uint64_t steps;

    rig_init(&rig, dir, true);
    write_at(&rig, 0, 32, 1);
    flush_and_compare(&rig);
    g_assert_cmpuint(file_size(&rig), ==, STORE_WAL_GROWTH_1);
    g_assert_cmpuint(rig.written, ==, STORE_WAL_GROWTH_1);
    for (size_t at = 32; at < 2 * STORE_WAL_GROWTH; at += FRAME) {
        write_at(&rig, at, FRAME, 7);
        flush_and_compare(&rig);
        steps = file_size(&rig) > STORE_WAL_GROWTH ? STORE_WAL_GROWTH : STORE_WAL_GROWTH_1;
        g_assert_cmpuint(file_size(&rig) % steps, ==, 0);
    }
    steps = file_size(&rig) / STORE_WAL_GROWTH;
    g_assert_cmpuint(steps, ==, 3);
    g_assert_cmpuint(rig.written, <=,
                     (2 * steps * STORE_WAL_GROWTH) / FRAME * 2 * STORE_WAL_SECTOR);
    g_assert_cmpint(rig.base->pMethods->xTruncate(rig.base, 0), ==, SQLITE_OK);
    store_wal_forget(&rig.wal);
    write_at(&rig, 0, 32, 2);
    flush_and_compare(&rig);
    g_assert_cmpuint(file_size(&rig), ==, STORE_WAL_GROWTH_1);
    rig_done(&rig);
}

static void grows_by_steps(void)
{
    grow_by_steps(".");
    grow_by_steps("/dev/shm");
}

static void frames_are_rewritten(void)
{
    Rig rig;

    rig_init(&rig, ".", true);
    write_at(&rig, 0, 32, 1);
    write_at(&rig, 32, 20 * FRAME, 2);
    write_at(&rig, 32 + 3 * FRAME, 24, 7); /* still held */
    flush_and_compare(&rig);
    write_at(&rig, 32 + 5 * FRAME, 24, 9); /* in the file: what follows stays */
    write_at(&rig, 32 + 20 * FRAME, FRAME, 3);
    write_at(&rig, 32 + 20 * FRAME - 8, 24, 5); /* across the end of what was there */
    flush_and_compare(&rig);
    rig_done(&rig);
}

static void the_wal_begins_anew(void)
{
    Rig rig;

    rig_init(&rig, ".", true);
    write_at(&rig, 0, 32, 1);
    write_at(&rig, 32, 30 * FRAME, 2);
    flush_and_compare(&rig);
    write_at(&rig, 32 + 30 * FRAME, 4 * FRAME, 3); /* taken back: never synced */
    write_at(&rig, 0, 32, 4);
    write_at(&rig, 32, 2 * FRAME, 5);
    flush_and_compare(&rig);
    write_at(&rig, 32 + 2 * FRAME, FRAME, 6);
    flush_and_compare(&rig);
    rig_done(&rig);
}

static void others_may_write_between(void)
{
    Rig rig;
    uint8_t bytes[FRAME];
    size_t at = 32 + 3 * FRAME;

    rig_init(&rig, ".", true);
    write_at(&rig, 0, 32, 1);
    write_at(&rig, 32, 3 * FRAME, 2);
    flush_and_compare(&rig);
    memset(bytes, 0xee, sizeof bytes);
    g_assert_cmpint(rig.base->pMethods->xWrite(rig.base, bytes, FRAME, (sqlite3_int64)at), ==,
                    SQLITE_OK);
    memcpy(rig.model + at, bytes, FRAME);
    store_wal_forget(&rig.wal);
    write_at(&rig, at + FRAME, FRAME, 3); /* begins with their bytes in its first sector */
    flush_and_compare(&rig);
    rig_done(&rig);
}

/* A random walk over what SQLite may do, beside a plain copy. */
static void walk(const char *dir, bool direct)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(4711);
    Rig rig;

    rig_init(&rig, dir, direct);
    write_at(&rig, 0, 32, 0);
    for (int step = 0; step < 3000; step++) {
        int what = g_rand_int_range(rand, 0, 100);
        uint8_t byte = (uint8_t)g_rand_int_range(rand, 0, 256);

        if (what < 3 || rig.end > MODEL_SIZE / 2) {
            write_at(&rig, 0, 32, byte);
        } else if (what < 70) {
            write_at(&rig, rig.end, (size_t)g_rand_int_range(rand, 1, 20000), byte);
        } else if (what < 80 && rig.end > 100) {
            size_t at = (size_t)g_rand_int_range(rand, 1, (gint32)rig.end - 32);

            write_at(&rig, at, 24, byte);
        } else if (what < 85 && rig.wal.clean == rig.wal.size) {
            store_wal_forget(&rig.wal);
            rig.wal.highest = (sqlite3_int64)rig.end; /* as after a look at the file */
        } else {
            flush_and_compare(&rig);
        }
    }
    rig_done(&rig);
}

static void walk_past_the_cache(void)
{
    walk(".", true);
}

static void walk_through_the_cache(void)
{
    walk(".", false);
}

static void walk_in_memory(void)
{
    walk("/dev/shm", true); /* where nothing goes past the cache */
}

static void a_full_disk_is_told(void)
{
    Rig rig;
    uint8_t bytes[FRAME] = {0};

    rig_init(&rig, ".", false);
    rig.wal.direct = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (rig.wal.direct < 0) {
        rig_done(&rig);
        g_test_skip("no /dev/full here");
        return;
    }
    g_assert_cmpint(store_wal_write(&rig.wal, bytes, sizeof bytes, 0), ==, SQLITE_OK);
    g_assert_cmpint(store_wal_flush(&rig.wal), ==, SQLITE_FULL);
    g_assert_cmpint(rig.wal.error, ==, ENOSPC);
    g_assert_cmpuint(rig.wal.size, ==, 0); /* the transaction has failed: nothing is left of it */
    g_assert_cmpint(store_wal_flush(&rig.wal), ==, SQLITE_OK);
    rig_done(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/store-wal/commits-cost-what-they-hold", commits_cost_what_they_hold);
    g_test_add_func("/store-wal/grows-by-steps", grows_by_steps);
    g_test_add_func("/store-wal/frames-are-rewritten", frames_are_rewritten);
    g_test_add_func("/store-wal/begins-anew", the_wal_begins_anew);
    g_test_add_func("/store-wal/others-may-write-between", others_may_write_between);
    g_test_add_func("/store-wal/walk-past-the-cache", walk_past_the_cache);
    g_test_add_func("/store-wal/walk-through-the-cache", walk_through_the_cache);
    g_test_add_func("/store-wal/walk-in-memory", walk_in_memory);
    g_test_add_func("/store-wal/full-disk", a_full_disk_is_told);
    return g_test_run();
}
