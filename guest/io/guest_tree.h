/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_tree: where guests are written down in the cluster's tree, and who owns them. A guest
 * belongs to the node in whose directory its file is (INV-5); only that node may run or change it.
 * Reference: guest.md section 1. Main thread; reads the tree anew at each call.
 */
#ifndef GUEST_IO_GUEST_TREE_H
#define GUEST_IO_GUEST_TREE_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define GUEST_LOCK_DIR  "/var/lock/qemu-server"
#define GUEST_NEXT_LOW  100     /* the next free id is looked for from here */
#define GUEST_NEXT_HIGH 1000000 /* up to here, not included */

typedef struct GuestTree {
    char *root;     /* "/etc/pve" */
    char *node;     /* this node's name: what `local` points to */
    char *lock_dir; /* local locks of configurations */
} GuestTree;

/* `root` NULL: CLUSTER_ROOT; `lock_dir` NULL: GUEST_LOCK_DIR. -ENOENT when the tree is not there or
 * does not say which node this is. */
int guest_tree_open(const char *root, const char *lock_dir, GuestTree **ret, Err *err) must_check;
void guest_tree_free(GuestTree *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestTree, guest_tree_free)

/* ROOT/nodes/NODE/qemu-server/VMID.conf; `node` NULL: this one. Caller frees. */
char *guest_tree_path(const GuestTree *t, const char *node, uint32_t vmid);

/* -EACCES when changes are refused because the cluster has no quorum (INV-3). To be asked before
 * work outside the tree (volumes) begins; the tree itself refuses anyway. */
int guest_tree_check_quorum(const GuestTree *t, Err *err) must_check;

typedef struct GuestPlace {
    char *node;
    bool container;
} GuestPlace;

void guest_place_clear(GuestPlace *p);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GuestPlace, guest_place_clear)

/* Where a VMID is. -ENOENT when it is free. */
int guest_tree_find(const GuestTree *t, uint32_t vmid, GuestPlace *ret, Err *err) must_check;

/* 0 when the guest is a VM of this node; -ENOENT naming the node that has it otherwise. */
int guest_tree_check_here(const GuestTree *t, uint32_t vmid, Err *err) must_check;

/* VMIDs (uint32_t, ascending) of the VMs of a node (NULL: this one). Caller frees. */
int guest_tree_list(const GuestTree *t, const char *node, GArray **ret, Err *err) must_check;

/* The smallest id of [low, high) that no guest of the cluster has. -ENOSPC. */
int guest_tree_next_id(const GuestTree *t, uint32_t low, uint32_t high, uint32_t *ret, Err *err)
    must_check;

#endif
