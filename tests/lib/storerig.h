/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storerig: a tree in memory and its store, wired as the engine does it, with a record of what
 * every state was, so that a test can say which of them a reopened file holds. One owner thread.
 */
#ifndef TESTS_LIB_STORERIG_H
#define TESTS_LIB_STORERIG_H

#include "pmxcfs/core/memdb.h"
#include "pmxcfs/io/store.h"

typedef struct StoreRig StoreRig;

/* Opens, loads and starts. NULL options: synced, default VFS. NULL with the reason in `err` when
 * the store cannot be opened or loaded. */
StoreRig *storerig_open(const char *path, const StoreOptions *opt, Err *err);
/* From now on each change has its tree version as a record. */
void storerig_use_records(StoreRig *r);

/* Closes the store (its result in *ret_close, may be NULL) and frees. */
void storerig_close(StoreRig *r, int *ret_close);

Memdb *storerig_tree(StoreRig *r);
Store *storerig_store(StoreRig *r);
bool storerig_fresh(StoreRig *r);

/* Applies and submits; the number of the delta, or 0 when the tree refused (then the test fails).
 */
uint64_t storerig_create(StoreRig *r, const char *path);
uint64_t storerig_mkdir(StoreRig *r, const char *path);
uint64_t storerig_write(StoreRig *r, const char *path, GBytes *data);
uint64_t storerig_fill(StoreRig *r, const char *path, size_t size, uint64_t seed); /* whole file */
uint64_t storerig_delete(StoreRig *r, const char *path);
uint64_t storerig_rename(StoreRig *r, const char *from, const char *to);
uint64_t storerig_mtime(StoreRig *r, const char *path, uint32_t mtime);
uint64_t storerig_submit(StoreRig *r, MemdbDelta *delta);

/* Waits until `seq` is committed: 0. When the store failed meanwhile: everything from the failed
 * delta on is undone, the store resumed, and the errno returned; -ETIMEDOUT after a minute. */
int storerig_wait(StoreRig *r, uint64_t seq);
/* The same with the newest delta. */
int storerig_flush(StoreRig *r);

const char *storerig_failure(StoreRig *r); /* text of the newest on_failed */
uint64_t storerig_committed(StoreRig *r);  /* as reported by on_committed */
uint64_t storerig_last(StoreRig *r);       /* newest delta that was not undone */

/* ---- states ------------------------------------------------------------------------------ */

/* Checksums of the tree, of GBytes*: at position n after delta n; position 0 as opened. NULL where
 * there is none, and, unless `with_undone`, where the change was taken back. Caller unrefs. */
GPtrArray *storerig_states(StoreRig *r, bool with_undone);

/* From now on no states are recorded: a checksum of the whole tree for each change is slow. */
void storerig_forget_states(StoreRig *r);

/* Checksum of the tree that the file holds, or an error. */
int storerig_checksum(const char *path, const StoreOptions *opt, GBytes **ret, Err *err);

/* Fails the test unless SQLite itself, by another connection, finds the file in order. */
void storerig_assert_sound(const char *path, const char *vfs);

#endif
