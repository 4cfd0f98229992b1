/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the tree on disk, in the SQLite file that the original also opens (reference chapter 3).
 *
 * Deltas are handed over in the order in which they were applied and written by the store's own
 * thread; everything that waits is committed in one transaction and synced once (group commit). The
 * owner learns by callback how far the disk has come. A commit that fails (disk full, I/O error)
 * leaves the file as before that batch, drops every delta from the first failed one on, and refuses
 * further ones until the owner has taken them back in memory and calls store_resume: memory never
 * stays ahead of the disk.
 */
#ifndef PMXCFS_IO_STORE_H
#define PMXCFS_IO_STORE_H

#include "lib/base/err.h"
#include "pmxcfs/core/memdb.h"

typedef struct Store Store;

typedef enum StoreDurability {
    STORE_SYNCED,  /* committed means: survives power loss */
    STORE_RELAXED, /* committed means: survives kill -9 of the daemon */
} StoreDurability;

typedef struct StoreOptions {
    StoreDurability durability;
    const char *vfs;   /* SQLite VFS name, NULL for the default; tests install a faulty one */
    bool read_only;    /* for inspection */
    /* Called on the store's thread, in order, never concurrently. `seq`: everything up to and
     * including this delta is committed. */
    void (*on_committed)(void *ctx, uint64_t seq);
    /* All deltas from `first_seq` on are lost; `code` is -ENOSPC, -EROFS, -EIO ...; `text`
     * borrowed. */
    void (*on_failed)(void *ctx, uint64_t first_seq, int code, const char *text);
    void *ctx;
} StoreOptions;

typedef struct StoreStats {
    uint64_t transactions, deltas, payload_bytes, disk_bytes /* written to file, journal and WAL */,
        syncs, failures;
    uint64_t commit_us_total;
} StoreStats;

/* Opens (creates when missing, mode 0600) and checks that the file is ours to use: -EBUSY when
 * another process holds it, -EBADMSG when it is no usable database (the file is not touched), or
 * the errno of the system. `ret_fresh` tells whether the file was created by this call. */
int store_open(const char *path, const StoreOptions *opt, Store **ret, bool *ret_fresh,
               Err *err) must_check;

/* Reads all rows. `ret_entries`: GPtrArray of Entry* (caller owns), `ret_root`/`ret_has_root`: row
 * 0. Rows that cannot even be made into an Entry are reported as MemdbFault in `faults` (as in
 * memdb_load) and skipped. Bounded by the limits given. Before store_start only. */
int store_read(Store *s, const MemdbLimits *limits, GPtrArray **ret_entries, MemdbRoot *ret_root,
               bool *ret_has_root, GArray *faults, Err *err) must_check;

/* Starts the writer thread. */
int store_start(Store *s, Err *err) must_check;

/* Queues a delta (takes its own reference) and returns its sequence number, also set in the delta;
 * ascending from 1. Never blocks on disk. Owner thread only. While failed, the delta is dropped and
 * a number is still given: the owner must not submit between on_failed and store_resume. */
uint64_t store_submit(Store *s, MemdbDelta *delta);

/* Bytes queued and not yet committed: lets the owner push back on writers. */
size_t store_backlog_bytes(const Store *s);

/* After a failure: the owner has undone everything from first_seq on; accept deltas again. */
void store_resume(Store *s);

/* Tries whether the disk takes writes again (space returned): 0 or -errno. May block briefly. */
int store_probe(Store *s) must_check;

/* Small values of our own beside the tree (table of our own, ignored by the original): replica
 * history, node identity. Committed together with the next delta, synced before the call returns
 * when `sync`. */
int store_set_meta(Store *s, const char *key, const void *data, size_t size, bool sync,
                   Err *err) must_check;
int store_get_meta(Store *s, const char *key, GBytes **ret, Err *err) must_check; /* -ENOENT */

void store_stats(const Store *s, StoreStats *ret);

/* Writes what is queued, folds everything into the one database file, closes. 0 or the errno of the
 * last failure. NULL is allowed. */
int store_close(Store *s);

#endif
