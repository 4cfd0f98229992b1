/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_batch: what one transaction writes, made from the deltas that wait.
 *
 * Of several states of an entry only the last one matters to the file, so each inode becomes one
 * row operation. Inodes are never used twice and the table has no rule across rows, so the order of
 * the operations is free. No I/O; one owner at a time.
 */
#ifndef PMXCFS_IO_STORE_BATCH_H
#define PMXCFS_IO_STORE_BATCH_H

#include "pmxcfs/core/memdb.h"

typedef struct StoreRow {
    uint64_t inode;
    const Entry *before; /* as in the file before the transaction; NULL: not there */
    const Entry *after;  /* as in the file afterwards; NULL: gone */
    size_t fresh_bytes;  /* content bytes that differ from what the file holds */
    bool empty_blob;     /* a changed directory has a zero length blob, a new one NULL (3.2) */
} StoreRow;

typedef struct StoreBatch {
    GPtrArray *deltas; /* of MemdbDelta*, owned: they keep the entries alive */
    GArray *rows;      /* of StoreRow */
    GHashTable *index; /* inode -> position in rows + 1 */
    GHashTable *meta;  /* key -> GBytes*, both owned; NULL: none */
    GBytes *record;    /* newest record of a delta, borrowed; NULL: none */
    bool has_root;
    MemdbRoot root;
    bool root_from_sync; /* the newest delta is a synchronisation commit: row 0 gets type 4 */
    size_t payload_bytes;
    size_t fresh_bytes; /* sum over rows; valid after store_batch_seal */
} StoreBatch;

void store_batch_init(StoreBatch *b);
void store_batch_done(StoreBatch *b);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(StoreBatch, store_batch_done)

/* Appends a delta (own reference). */
void store_batch_add(StoreBatch *b, MemdbDelta *delta);

/* Call once after the last delta: works out fresh_bytes. */
void store_batch_seal(StoreBatch *b);

/* Sequence number of the first and last delta; 0 when there is none. */
uint64_t store_batch_first(const StoreBatch *b);
uint64_t store_batch_last(const StoreBatch *b);

#endif
