/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_tree: what a migration reads and changes in the cluster's tree: members and quorum, the place
 * of a guest's configuration, its lock word, the claim. Any thread; blocks as long as the mount.
 */
#ifndef MIGRATION_IO_MIG_TREE_H
#define MIGRATION_IO_MIG_TREE_H

#include "lib/base/err.h"
#include "lib/base/jsontree.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct MigTree {
    const char *pve;      /* /etc/pve */
    const char *node;     /* own name */
    const char *lock_dir; /* /var/lock/qemu-server */
} MigTree;

/* 1, 0, or -errno when the tree is not mounted. A node outside any cluster is quorate. */
int mig_tree_quorate(const MigTree *t, Err *err) must_check;

/* Address of a member. -ENOENT no such member, -EHOSTDOWN known but not online. */
int mig_tree_member(const MigTree *t, const char *name, char **ret_address, Err *err) must_check;

/* Text of VMID.conf in `node`'s directory. */
int mig_tree_read(const MigTree *t, const char *node, uint32_t vmid, char **ret, Err *err)
    must_check;

typedef enum MigPlace {
    MIG_PLACE_OWN,   /* in this node's directory */
    MIG_PLACE_PEER,  /* in that of the node given */
    MIG_PLACE_OTHER, /* anywhere else, or nowhere */
} MigPlace;
/* Where the configuration is; -EAGAIN without quorum, because then nobody can tell. */
int mig_tree_place(const MigTree *t, const char *peer, uint32_t vmid, Err *err) must_check;

/* Sets `lock: migrate`; -EALREADY when there is a lock word, with it in the text. */
int mig_tree_lock(const MigTree *t, uint32_t vmid, Err *err) must_check;
/* It is here and has `lock: migrate`. */
bool mig_tree_is_locked(const MigTree *t, uint32_t vmid);
/* Some node has it with `lock: migrate`, as far as is known; without quorum that may always be. */
bool mig_tree_moves(const MigTree *t, uint32_t vmid);
/* Takes `lock: migrate` away (`unlock`); another word stays. `pairs` (may be NULL): volumes {old,
 * new} that get their new names in the same step. A configuration that is not here is fine, but
 * to unlock it the node must be able to write then: another may not have seen yet that it came. */
int mig_tree_settle(const MigTree *t, uint32_t vmid, const JsonTree *pairs, bool unlock, Err *err)
    must_check;

/* From the directory of `from` to that of `to`. */
int mig_tree_rename(const MigTree *t, uint32_t vmid, const char *from, const char *to, Err *err)
    must_check;

/* The right to run a guest without an order, given once in the whole cluster: -EEXIST when the
 * other side has it. */
int mig_tree_claim(const MigTree *t, const char *id, Err *err) must_check;
void mig_tree_drop_claim(const MigTree *t, const char *id);

/* Property string `key` of datacenter.cfg; NULL when there is none. Caller frees. */
char *mig_tree_datacenter(const MigTree *t, const char *key);

#endif
