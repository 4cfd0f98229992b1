/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a database file: opened for writing as the daemon does, and, where that is refused,
 * read as the tools do with a damaged one. On a disk in memory, with tight limits.
 */
#include "tests/fuzz/fuzz.h"

#include "pmxcfs/io/store.h"
#include "tests/lib/crashdisk.h"

#include <errno.h>

#define DB "/fuzz.db"

static const MemdbLimits limits = {
    .file_size_max = 64u << 10,
    .total_size_max = 256u << 10,
    .inodes_max = 1000,
};

static void open_and_read(bool damaged)
{
    StoreOptions opt = {.vfs = "fuzz", .read_only = damaged, .damaged_ok = damaged};
    g_autoptr(GPtrArray) entries = NULL;
    g_autoptr(GArray) faults = g_array_new(FALSE, TRUE, sizeof(MemdbFault));
    Store *s = NULL;
    MemdbRoot root;
    bool has_root;
    Err err = ERR_INIT;
    int rc = store_open(DB, &opt, &s, NULL, &err);

    if (rc < 0) {
        g_assert_cmpstr(err_text(&err), !=, "");
        if (!damaged) {
            open_and_read(true);
        }
        return;
    }
    rc = store_read(s, &limits, &entries, &root, &has_root, faults, &err);
    if (rc == 0) {
        g_autoptr(Memdb) tree = memdb_new(NULL, NULL);

        (void)!memdb_load(tree, entries, has_root ? &root : NULL, (MonoTime){0}, faults, NULL);
    } else {
        g_assert_true(rc == -EBADMSG || rc == -E2BIG || rc == -EFBIG || rc == -EIO);
    }
    (void)store_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static CrashDisk *disk; /* one VFS for the whole run */
    g_autoptr(GBytes) bytes = g_bytes_new(data, size);

    if (disk == NULL) {
        disk = crashdisk_new("fuzz");
    }
    crashdisk_format(disk);
    crashdisk_put(disk, DB, bytes);
    open_and_read(false);
    return 0;
}
