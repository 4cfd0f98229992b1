/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness_setup: gives the cluster a witness (a corosync-qnetd host that votes when the nodes are
 * split in two equal halves), and takes it away. Nothing goes from node to node but files of the
 * tree; each node follows by witness_sync. Blocks; one thread. Reference: join chapter 14.
 */
#ifndef QUORUM_IO_WITNESS_SETUP_H
#define QUORUM_IO_WITNESS_SETUP_H

#include "quorum/core/witness.h"
#include "quorum/io/cluster_create.h"

#define WITNESS_CONNECT_TIMEOUT_SEC 10
#define WITNESS_VOTE_TIMEOUT_SEC    60 /* until the witness votes on this node */
#define WITNESS_ALL_TIMEOUT_SEC     60 /* and on the others */

/* How the witness host is reached. */
typedef struct WitnessPeer {
    const char *host; /* address of corosync-qnetd */
    int (*ca)(void *ctx, const char *cluster, guint8 **ret, gsize *ret_size, Err *err);
    int (*sign)(void *ctx,
                const char *cluster,
                const guint8 *crq,
                gsize crq_size,
                guint8 **ret,
                gsize *ret_size,
                Err *err);
    void *ctx;
} WitnessPeer;

typedef struct WitnessSetup {
    const ClusterPaths *paths;
    bool force;   /* replace one that is there; an odd number of nodes */
    bool dry_run; /* only say what stands against it */
    void (*say)(void *ctx, const char *line);
    void *ctx;
} WitnessSetup;

/* All or nothing: when the witness does not vote in the end, the cluster is as it was. */
int witness_setup(const WitnessSetup *s, const WitnessPeer *peer, Err *err) must_check;

/* -ENOENT: there is none. */
int witness_remove(const WitnessSetup *s, Err *err) must_check;

/* A peer reached by token (`pvecm witness token` there); `ctx` is the token. */
WitnessPeer witness_peer_by_token(const WitnessToken *token);

/* A peer reached by ssh as root, for hosts with nothing but Debian's corosync-qnetd: two commands,
 * no key is copied, ssh asks for what it needs. `ctx` is the host. */
WitnessPeer witness_peer_by_ssh(const char *host);

#endif
