/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster_create: turns a node into a cluster of one (reference join, chapter 6). Either the
 * cluster is there and quorate at the end, or everything is as before. No ssh is touched. Blocks;
 * one thread.
 */
#ifndef QUORUM_IO_CLUSTER_CREATE_H
#define QUORUM_IO_CLUSTER_CREATE_H

#include "lib/base/err.h"
#include "lib/conf/corosync_nodes.h"

#include <stdbool.h>

#define CLUSTER_QUORATE_TIMEOUT_SEC 60

typedef struct ClusterPaths {
    const char *pve;       /* /etc/pve */
    const char *host_conf; /* /etc/corosync/corosync.conf */
    const char *authkey;   /* /etc/corosync/authkey */
    const char *lock_file; /* /var/lock/pvecm.lock */
} ClusterPaths;
extern const ClusterPaths cluster_paths; /* the real ones */

typedef struct ClusterCreate {
    const char *name;
    uint32_t nodeid; /* 0: 1 */
    uint32_t votes;
    CorosyncLink links[COROSYNC_LINKS_MAX]; /* none present: link 0 by the node's address */
    uint32_t token_coefficient;
    uint32_t token_ms; /* 0: not written, corosync's own */
    bool dry_run;      /* only say what would happen */
    void (*say)(void *ctx, const char *line);
    void *ctx;
} ClusterCreate;

/* -EEXIST: this node is in a cluster already; -EINVAL: bad name or link; -EBUSY: another pvecm
 * runs. */
int cluster_create(const ClusterPaths *paths, const ClusterCreate *c, Err *err) must_check;

/* Makes and renews this node's directories, keys and certificates (`pvecm updatecerts`). Number of
 * things made. */
int cluster_update_certs(const ClusterPaths *paths,
                         bool force,
                         void (*say)(void *ctx, const char *line),
                         void *ctx,
                         Err *err) must_check;

/* The same as a dry run: number of things it would make. */
int cluster_preview_certs(const ClusterPaths *paths,
                          bool force,
                          void (*say)(void *ctx, const char *line),
                          void *ctx,
                          Err *err) must_check;

/* The local lock of commands that change the cluster; waits up to 10 s. Descriptor or -errno. */
int cluster_lock(const ClusterPaths *paths, Err *err) must_check;

/* Is this node meant to be in a cluster? One of its own has no configuration of corosync. */
bool cluster_configured(const ClusterPaths *paths);

/* Waits until this node is quorate and the tree is mounted and writable. -ETIMEDOUT. */
int cluster_wait_quorate(const ClusterPaths *paths, unsigned timeout_sec, Err *err) must_check;

/* The same for a node of its own: the tree is mounted and writable. -ETIMEDOUT. */
int cluster_wait_writable(const ClusterPaths *paths, unsigned timeout_sec, Err *err) must_check;

/* Takes corosync.conf out of the tree of a node whose corosync does not run; it is a node without
 * cluster then, mounted and writable. */
int cluster_remove_tree_conf(const ClusterPaths *paths, unsigned timeout_sec, Err *err) must_check;

/* Short name, full name and addresses of this node. Caller frees. */
int cluster_this_node(char **ret_name, char **ret_fqdn, GPtrArray **ret_addresses, Err *err)
    must_check;

/* First address the node's name resolves to that is one of `addresses`. Caller frees.
 * -EADDRNOTAVAIL with a text that says what to do. */
int cluster_own_address(const char *node, const GPtrArray *addresses, char **ret, Err *err)
    must_check;

#endif
