/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_wal: what SQLite appends to the WAL, collected and written in whole sectors when it is
 * synced.
 *
 * SQLite hands over a commit in some twenty small writes. Through the page cache the device then
 * sees whole pages, and the page with the end of the WAL once more for each commit. Collected, a
 * commit is one write past the page cache, where the file system allows that, and costs the device
 * what it holds, rounded to sectors. docs/decisions/0001-store-format.md.
 *
 * A sync after a write that made the file longer costs about twice as much, since the file system
 * has to write down its new size, too. So the file grows by larger steps, of zeros, and most
 * commits are written to where it has blocks. SQLite reads zeros as the end of the WAL.
 *
 * Only for a WAL that is synced at each commit: nothing is in the file before, so a program that
 * dies loses what it has not synced, and other programs see a commit no earlier than SQLite tells
 * them of it, which is after the sync.
 *
 * One object per open WAL, used by the thread that uses the connection. Functions return result
 * codes of SQLite; `error` then is the errno, or 0 to ask the base VFS.
 */
#ifndef PMXCFS_IO_STORE_WAL_H
#define PMXCFS_IO_STORE_WAL_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_WAL_SECTOR   512
#define STORE_WAL_HELD_MAX (1024 * 1024) /* more is written before its sync */
#define STORE_WAL_GROWTH   (256 * 1024)  /* the file ends at a multiple of this */
#define STORE_WAL_GROWTH_1 (16 * 1024)   /* or, up to the first, of this: it may not live long */

typedef struct StoreWal {
    sqlite3_file *base; /* the file through the base VFS */
    int direct;         /* the same past the page cache; -1: not possible */
    int error;
    _Atomic uint64_t *written; /* counts bytes */
    uint8_t *held;             /* a stretch of the file, aligned in memory; NULL: nothing yet */
    size_t room, size;
    sqlite3_int64 at;      /* where it begins: at a sector */
    size_t clean;          /* so much of it is in the file as it is here */
    sqlite3_int64 highest; /* end of what this generation of the WAL has; 0: not known */
    sqlite3_int64 length;  /* of the file */
} StoreWal;

/* `name`: of the file, opened a second time to write past the page cache; NULL: never do. `base`
 * and `written` are borrowed. Cannot fail. */
void store_wal_init(StoreWal *w, sqlite3_file *base, const char *name, _Atomic uint64_t *written);

/* What was not flushed is dropped. */
void store_wal_done(StoreWal *w);

/* Takes `size` bytes for place `at` of the file; SQLITE_OK or an error code of SQLite. */
int store_wal_write(StoreWal *w, const void *data, size_t size, sqlite3_int64 at);

/* All of it to the file; to be followed by a sync of `base`, or by a call that looks at the file.
 * After a failure nothing is held any more: the transaction has failed. */
int store_wal_flush(StoreWal *w);

/* Another program may write now: nothing that is in the file is known any more. */
void store_wal_forget(StoreWal *w);

#endif
