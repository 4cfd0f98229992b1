/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the tree on disk, in the SQLite file that the original also opens (reference chapter 3).
 *
 * Deltas are handed over in the order in which they were applied and written by the store's own
 * thread; everything that waits is committed in one transaction and synced once (group commit),
 * and of several states of one entry in a transaction only the last is written. The owner learns
 * by callback how far the disk has come. A commit that fails (disk full, I/O error) leaves the file
 * as before, drops every delta from the first failed one on, and refuses further ones until the
 * owner has taken them back in memory and calls store_resume: memory never stays ahead of the disk.
 * When a whole batch fails, its deltas are tried one by one first, so that a large change that
 * does not fit takes none of the small ones before it along.
 *
 * While the store is open it holds the write lock of the database: other programs may read the file
 * with plain SQLite, none can write it. After kill -9 or power loss plain SQLite recovers all that
 * was reported as committed. How the bytes get there: docs/decisions/0001-store-format.md.
 *
 * Threads: one owner at a time calls everything but store_backlog_bytes, store_stats and
 * store_lead, which any thread may call; the callbacks come one at a time and with no lock held, on
 * the store's thread or on one that leads.
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
    const char *vfs; /* SQLite VFS name, NULL for the default. With a name the path belongs to that
                        VFS alone (tests): no permission, size or lock is looked at in the real
                        file system */
    bool read_only;  /* for inspection: changes nothing on disk, not even to recover from a crash */
    bool damaged_ok; /* read_only only: do not refuse a file whose pages are damaged */
    bool look_first; /* leaves what is there as it is, byte for byte, until store_take_over */
    /* Bounds that tests make small, 0: the default. */
    size_t checkpoint_bytes; /* WAL content that is folded into the database */
    size_t direct_bytes_min; /* new content from which on a batch goes past the WAL */
    bool idle_at_once;       /* tests: back to WAL as soon as nothing waits */
    /* Called by who writes, in order, never concurrently. `seq`: everything up to and including
     * this delta is committed. */
    void (*on_committed)(void *ctx, uint64_t seq);
    /* All deltas from `first_seq` on are lost; `code` is -ENOSPC, -EDQUOT, -EROFS, -EFBIG or, for
     * all else, -EIO; `text`, borrowed, says what happened. */
    void (*on_failed)(void *ctx, uint64_t first_seq, int code, const char *text);
    void *ctx;
} StoreOptions;

typedef struct StoreStats {
    uint64_t transactions;  /* committed */
    uint64_t deltas;        /* committed */
    uint64_t payload_bytes; /* content in committed deltas */
    uint64_t disk_bytes;    /* handed to the system for database, journal and WAL together */
    uint64_t syncs;         /* fsync and fdatasync calls */
    uint64_t checkpoints;
    uint64_t failures; /* batches that failed for good */
    uint64_t commit_us_total;
} StoreStats;

/* Opens (creates when missing, mode 0600) and checks that the file is ours to use. `ret_fresh`
 * tells that there is no tree in it yet: just created, or its first start was cut short. -EBUSY
 * another process holds it -EBADMSG no usable database: damaged, not SQLite, or a `tree` of another
 * shape; its content is not touched -EFBIG   larger than any database of ours or the errno of the
 * system. */
int store_open(const char *path, const StoreOptions *opt, Store **ret, bool *ret_fresh, Err *err)
    must_check;

/* Reads all rows. `ret_entries`: GPtrArray of Entry* that owns its references, `ret_root` and
 * `ret_has_root`: row 0. Rows that cannot even be made into an Entry are skipped and reported in
 * `faults` (of MemdbFault, may be NULL); a fatal one among them means what it means in memdb_load.
 * More rows or bytes than `limits` allow: -E2BIG. Before store_start only. */
int store_read(Store *s,
               const MemdbLimits *limits,
               GPtrArray **ret_entries,
               MemdbRoot *ret_root,
               bool *ret_has_root,
               GArray *faults,
               Err *err) must_check;

/* Opened with look_first, and what was read is good: from here on the file may be written. -EBUSY
 * when another process changed it meanwhile, or the errno of the system. Before store_start. */
int store_take_over(Store *s, Err *err) must_check;

/* Starts the writer thread. */
int store_start(Store *s, Err *err) must_check;

/* Queues a delta (takes its own reference) and returns its sequence number, also set in the delta;
 * ascending from 1. Never blocks on disk. While failed, the delta is dropped and a number is still
 * given: the owner must not submit between on_failed and store_resume. `more`: another delta is
 * submitted at once, or store_lead follows; the thread is left asleep for that.
 *
 * A CREATE waits up to STORE_LINGER_MS for the WRITE that nearly always follows, so that both cost
 * one commit; any other delta takes it along at once. See store_hurry. */
uint64_t store_submit(Store *s, MemdbDelta *delta, bool more);

/* Somebody waits for `seq`: do not linger. Cheap. `more`: store_lead follows at once. */
void store_hurry(Store *s, uint64_t seq, bool more);

/* Does what is due on the calling thread, which spares both directions of a hand-over; where
 * somebody is at work already, that one goes on with it. Blocks on the disk, for ever when that
 * hangs: for who keeps nobody waiting. Not while or after store_close runs. */
void store_lead(Store *s);

#define STORE_LINGER_MS 20

/* Bytes queued and not yet committed: lets the owner push back on writers. */
size_t store_backlog_bytes(Store *s);

/* After a failure: the owner has undone everything from first_seq on; accept deltas again. */
void store_resume(Store *s);

/* Tries whether the disk takes writes again (space returned): 0 or -errno. May block briefly. */
int store_probe(Store *s, Err *err) must_check;

/* Small values of our own beside the tree (table of our own, ignored by the original): replica
 * history, node identity. Committed together with the next delta, or synced before the call
 * returns when `sync`; a value that could not be written with its batch is tried again with the
 * next, except with `sync`, where the error is returned and the value dropped.
 * -E2BIG beyond STORE_META_* below. */
int store_set_meta(Store *s, const char *key, const void *data, size_t size, bool sync, Err *err)
    must_check;
/* The value set last, committed or not; -ENOENT. The caller gets a reference. */
int store_get_meta(Store *s, const char *key, GBytes **ret, Err *err) must_check;

#define STORE_META_KEYS_MAX  256u            /* far more than we have; bounds a hostile file */
#define STORE_META_KEY_MAX   128u            /* bytes of one key */
#define STORE_META_VALUE_MAX (1024u * 1024u) /* bytes of one value */
#define STORE_META_TOTAL_MAX (8u * 1024u * 1024u)

/* Counters since the start. Any thread; never waits for the disk. */
void store_stats(Store *s, StoreStats *ret);

/* Writes what is queued, folds everything into the one database file, closes and frees. 0 or the
 * errno of the last failure. NULL is allowed. */
int store_close(Store *s);

/* ---- whole files: any thread, no store open on them; block on the disk ------------------- */

/* Moves a database with its WAL and journal out of the way, to
 * PATH.damaged-YYYYMMDDTHHMMSSZ-REASON[-N], so that nothing is lost and a new one can be begun.
 * `reason` is cut to letters, digits and dashes. `ret_name` (may be NULL): the new path. */
int store_set_aside(const char *path, const char *reason, char **ret_name, Err *err) must_check;

/* Writes a tree as a database of its own, mode 0600, complete and synced or not at all: `entries`
 * (of Entry*) and row 0. The name must be free in `dir`: -EEXIST. */
int store_save_tree(const char *dir,
                    const char *name,
                    GPtrArray *entries,
                    const MemdbRoot *root,
                    Err *err) must_check;

#endif
