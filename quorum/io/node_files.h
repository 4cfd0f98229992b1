/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_files: what a node keeps in the cluster's tree: its directories, the cluster's CA, the
 * node's key and certificate, the keys that sign login tickets. Makes what is missing, renews what
 * is due, touches nothing else; safe to repeat. Reference: join chapters 3 and 13. Any thread;
 * blocks.
 */
#ifndef QUORUM_IO_NODE_FILES_H
#define QUORUM_IO_NODE_FILES_H

#include "lib/base/err.h"
#include "lib/base/timeval.h"

#include <glib.h>
#include <stdbool.h>

typedef struct NodeFilesPlan {
    const char *pve;      /* "/etc/pve" */
    const char *node;     /* short name */
    const char *fqdn;     /* may equal node */
    GPtrArray *addresses; /* of char*: every address of the node; may be empty */
    bool force;           /* make a new node certificate in any case */
    WallTime now;
    unsigned ca_bits, node_bits;              /* 0: the documented sizes */
    void (*say)(void *ctx, const char *line); /* one line for each thing done; may be NULL */
    void *ctx;
} NodeFilesPlan;

/* Number of things made or renewed, or -errno with text. */
int node_files_update(const NodeFilesPlan *plan, Err *err) must_check;

/* Says what node_files_update would make, and makes nothing. Number of things, or -errno. */
int node_files_preview(const NodeFilesPlan *plan, Err *err) must_check;

/* Only `nodes/NODE/{qemu-server,lxc,openvz,priv}` and `priv`, `priv/lock`. */
int node_files_directories(const char *pve, const char *node, Err *err) must_check;

#endif
