/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memdb_priv: what the files of memdb share: memdb.c (structure, reading, committing a delta),
 * memdb_apply.c (the rules of each change), memdb_load.c (checking and swapping whole trees).
 */
#ifndef PMXCFS_CORE_MEMDB_PRIV_H
#define PMXCFS_CORE_MEMDB_PRIV_H

#include "pmxcfs/core/locks.h"
#include "pmxcfs/core/memdb.h"
#include "pmxcfs/core/tracked.h"
#include "pmxcfs/core/vmlist.h"

typedef struct MemdbTree {
    Entry *root;        /* made from the version record; not in `inodes` */
    GHashTable *inodes; /* set of Entry* by inode; holds the references */
    GHashTable *dirs;   /* inode -> MemdbDir, for directories that have children */
    uint64_t content_bytes;
} MemdbTree;

/* Children of one directory. */
typedef struct MemdbDir {
    uint64_t inode;
    GHashTable *children; /* name (of the entry itself) -> Entry, borrowed from `inodes` */
} MemdbDir;

struct Memdb {
    Tracer tracer;
    MemdbGuard guard;
    MemdbLimits limits;
    MemdbTree tree;
    Vmlist *guests;
    Tracked tracked;
    LockTable *locks;
    GBytes *index; /* cache, NULL after a change */
    bool has_checksum;
    uint8_t checksum[ENTRY_DIGEST_SIZE];
};

/* ---- tree: no rules, no guard ---- */

void memdb_tree_init(MemdbTree *t, const MemdbRoot *root);
void memdb_tree_done(MemdbTree *t);
Entry *memdb_tree_get(const MemdbTree *t, uint64_t inode);                      /* borrowed */
Entry *memdb_tree_child(const MemdbTree *t, uint64_t parent, const char *name); /* borrowed */
bool memdb_tree_is_empty_dir(const MemdbTree *t, const Entry *dir);
/* Puts `e` (takes a reference) in place of the entry with its inode, if any. */
void memdb_tree_put(MemdbTree *t, Entry *e);
void memdb_tree_remove(MemdbTree *t, uint64_t inode);
void memdb_tree_set_root(MemdbTree *t, const MemdbRoot *root);
MemdbRoot memdb_tree_root(const MemdbTree *t);
/* NULL when unknown or cut off from the root. Caller frees. */
char *memdb_tree_path(const MemdbTree *t, uint64_t inode);

/* Borrowed entry at the canonical `path` or NULL with -ENOENT or -ENOTDIR in *ret_code. */
Entry *memdb_tree_resolve(const MemdbTree *t, const char *path, int *ret_code);

/* ---- deltas ---- */

MemdbDelta *memdb_delta_new(const MemdbRoot *before, const MemdbRoot *after);
/* Takes references of the entries and ownership of the strings. */
void memdb_delta_add(
    MemdbDelta *d, Entry *before, char *path_before, Entry *after, char *path_after);

/* Inside the guard: makes the tree what the delta says. */
void memdb_commit_edits(Memdb *db, const MemdbDelta *d);

/* Around each swap of entries: the guard that keeps readers out. */
void memdb_enter(Memdb *db);
void memdb_leave(Memdb *db); /* also drops cached digests of the whole tree */

/* Registers the guest that lives at `path` if that is a guest config; inside the guard. */
void memdb_guest_add(Memdb *db, const char *path);

/* (Re)starts the timer of the lock `e` at `path`. */
void memdb_lock_start(Memdb *db, const char *path, const Entry *e, MonoTime now);

/* Guest list, counters and timers for a tree that was swapped in. `old_guests` and `old_locks`
 * may be NULL. */
Vmlist *memdb_build_guests(const MemdbTree *t,
                           const MemdbTree *old_tree,
                           const Vmlist *old_guests,
                           GArray *faults);
LockTable *memdb_build_locks(const MemdbTree *t, const LockTable *old_locks, MonoTime now);

#endif
