/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_tree: what the cluster's tree holds of one node, and taking it out: guests, directories,
 * keys, tombstones. Any thread; blocks.
 */
#ifndef QUORUM_IO_NODE_TREE_H
#define QUORUM_IO_NODE_TREE_H

#include "lib/base/err.h"
#include "lib/conf/corosync_nodes.h"
#include "quorum/core/tombstone.h"

/* The cluster's corosync.conf. -ENOENT: no cluster, with a text that says so. */
int node_tree_conf(const char *pve, CorosyncConf **ret, Err *err) must_check;

/* "qemu-server/100.conf", ... of a node (GPtrArray of char*, sorted). */
GPtrArray *node_tree_guests(const char *pve, const char *node);

/* Which of them HA manages: "vm:100", ... */
GPtrArray *node_tree_ha_guests(const char *pve, const GPtrArray *guests);

/* The same for people: "100, 101 (lxc)". */
GPtrArray *node_tree_guest_names(const GPtrArray *guests);

/* Removes a file, or a directory with all in it; missing is fine. */
int node_tree_delete(const char *path, Err *err) must_check;

/* Moves a directory with all in it, file by file: the tree renames no directory that has something
 * in it. Can be repeated until it is done. */
int node_tree_move(const char *from, const char *to, Err *err) must_check;

/* Takes the lines of a node out of priv/authorized_keys and priv/known_hosts. How many, or -errno.
 */
int node_tree_forget_keys(const char *pve, const char *node, Err *err) must_check;

/* Where other files still name the node: "storage.cfg, line 12" (GPtrArray of char*). */
GPtrArray *node_tree_mentions(const char *pve, const char *node);

/* 0 or -ENOENT, others with text. */
int node_tree_tombstone(const char *pve, const char *node, Tombstone *ret, Err *err) must_check;
int node_tree_bury(const char *pve, const Tombstone *t, Err *err) must_check;
int node_tree_unbury(const char *pve, const char *node, Err *err) must_check;

#endif
