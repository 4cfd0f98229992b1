/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_vfs: a thin layer between SQLite and the system that counts what goes to disk and keeps the
 * errno of the newest failed call, which SQLite's own interface loses. It also keeps two locks
 * longer than SQLite does, so that no other program can write between our transactions, and can
 * have the WAL written in whole sectors.
 *
 * One object per store. The counters may be read from any thread; the rest belongs to the thread
 * that uses the database connection.
 */
#ifndef PMXCFS_IO_STORE_VFS_H
#define PMXCFS_IO_STORE_VFS_H

#include "lib/base/err.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct StoreVfs StoreVfs;

/* Registers a VFS on top of the one named `base` (NULL: SQLite's default). -ENOENT: no such VFS. */
int store_vfs_new(const char *base, StoreVfs **ret, Err *err) must_check;

/* No file may be open through it any more. NULL is allowed. */
void store_vfs_free(StoreVfs *v);

/* The name for sqlite3_open_v2; borrowed. */
const char *store_vfs_name(const StoreVfs *v);

/* While set, the WAL's write lock stays ours once SQLite has taken it; other programs can still
 * read. It ends with the WAL. */
void store_vfs_keep_write_lock(StoreVfs *v, bool keep);

/* While set, an exclusive lock on the database file stays ours once SQLite has taken it. Bridges
 * changes of the journal mode; clearing it releases what SQLite does not hold itself. */
void store_vfs_keep_exclusive(StoreVfs *v, bool keep);
bool store_vfs_keeps_exclusive(const StoreVfs *v);

/* From now on a WAL that is opened is collected and written in whole sectors (store_wal.h). Not for
 * connections whose commits are not synced. */
void store_vfs_collect_wal(StoreVfs *v);

uint64_t store_vfs_bytes(const StoreVfs *v); /* written to database, journal and WAL */
uint64_t store_vfs_syncs(const StoreVfs *v);
/* Reads that the system refused, and the errno of the newest failed call of any kind. */
uint64_t store_vfs_read_failures(const StoreVfs *v);
int store_vfs_errno(const StoreVfs *v);

#endif
