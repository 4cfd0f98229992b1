/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_db: one connection to the database file: opening and distrusting it, reading the rows,
 * writing one batch as one transaction, and choosing how the bytes reach the disk.
 *
 * Two ways of writing (docs/decisions/0001-store-format.md): WAL for the small changes that are the
 * daily bread, one sync each; and for a batch with much new content the rollback journal, where new
 * pages are written once instead of twice.
 *
 * No thread of its own and no lock: one caller at a time. The public face is store.h.
 */
#ifndef PMXCFS_IO_STORE_DB_H
#define PMXCFS_IO_STORE_DB_H

#include "lib/base/err.h"
#include "pmxcfs/io/store_batch.h"

/* A batch with at least this much new content goes past the WAL. */
#define STORE_DIRECT_BYTES_MIN (192u * 1024u)
/* Small batches in a row after which a connection in direct mode goes back to WAL; earlier when
 * idle. */
#define STORE_DIRECT_SMALL_MAX 16u
#define STORE_DIRECT_IDLE_MS   100
/* WAL content that is folded into the database. The larger, the more rewrites of one page meet. */
#define STORE_CHECKPOINT_BYTES (1024u * 1024u)
/* Page size of databases that we create: small pages make small commits. */
#define STORE_PAGE_SIZE 512
/* Largest file that is opened at all: eight times the content that we ever hold. */
#define STORE_FILE_SIZE_MAX (UINT64_C(8) * 1024 * 1024 * 1024)
/* As the original waits for a lock of another process. */
#define STORE_BUSY_MS 10000

typedef struct StoreDb StoreDb;

typedef struct StoreDbOptions {
    const char *vfs; /* as in StoreOptions */
    bool read_only;
    bool damaged_ok; /* do not check the pages, take what can be read (read_only) */
    bool look_first; /* as in StoreOptions */
    bool synced;
    size_t checkpoint_bytes; /* 0: the default */
    size_t direct_bytes_min; /* 0: the default */
} StoreDbOptions;

typedef struct StoreDbStats {
    uint64_t disk_bytes, syncs, checkpoints;
} StoreDbStats;

/* The one translation of SQLite's results into errno: `rc` primary or extended, `sys` the errno of
 * the failed system call or 0. SQLITE_OK, ROW and DONE give 0. */
int store_errno(int rc, int sys);

/* See store_open. */
int store_db_open(const char *path,
                  const StoreDbOptions *opt,
                  StoreDb **ret,
                  bool *ret_fresh,
                  Err *err) must_check;

/* See store_take_over. */
int store_db_take_over(StoreDb *d, Err *err) must_check;

/* See store_read. */
int store_db_read(StoreDb *d,
                  const MemdbLimits *limits,
                  GPtrArray **ret_entries,
                  MemdbRoot *ret_root,
                  bool *ret_has_root,
                  GArray *faults,
                  Err *err) must_check;

/* All own values as they were at opening: key (char*, owned) -> GBytes* (owned). The caller unrefs;
 * once. Empty when opened with damaged_ok. */
GHashTable *store_db_take_meta(StoreDb *d);

/* Writes a sealed batch as one transaction. On failure the file is as before. */
int store_db_write(StoreDb *d, const StoreBatch *b, Err *err) must_check;

/* After each store_db_write, when nobody waits any more: folds the WAL when it has grown. Trouble
 * here is met again, and reported, by a later write. */
void store_db_settle(StoreDb *d);
bool store_db_wants_settle(const StoreDb *d);

/* Nothing was written for STORE_DIRECT_IDLE_MS: goes back to WAL. */
void store_db_idle(StoreDb *d);
bool store_db_wants_idle(const StoreDb *d);

/* Writes and syncs a few bytes. */
int store_db_probe(StoreDb *d, Err *err) must_check;

/* Rewrites the file without free pages and with our page size. Atomic: SQLite does it. */
int store_db_compact(StoreDb *d, Err *err) must_check;

void store_db_stats(const StoreDb *d, StoreDbStats *ret); /* any thread */

/* Folds everything into one file, closes and frees. NULL is allowed. */
int store_db_close(StoreDb *d, Err *err);

/* The connection, for tools that look closer (pmxcfs-db). Borrowed. */
struct sqlite3 *store_db_handle(StoreDb *d);

#endif
