/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster_view: what the REST API tells about the cluster as a whole, made from texts of the
 * mounted tree: `.members`, `.vmlist` and `.rrd` (the last values that nodes broadcast). Pure; any
 * thread. Reference: api, chapter 11; join, chapter 17; pmxcfs, chapters 7, 11, 13.
 */
#ifndef API_CORE_CLUSTER_VIEW_H
#define API_CORE_CLUSTER_VIEW_H

#include "lib/base/jsontree.h"

#define CLUSTER_VIEW_TEXT_MAX (8u * 1024u * 1024u) /* bytes of each text */

typedef struct ClusterFacts {
    const char *node;        /* this one */
    const char *address;     /* its own; may be NULL */
    const JsonTree *members; /* of .members; NULL: unknown */
    const JsonTree *vmlist;  /* of .vmlist; NULL: no guests */
    GHashTable *rrd;         /* id -> value of .rrd, as cluster_view_rrd makes it; NULL: none */
} ClusterFacts;

/* Lines `id:value`. Free with g_hash_table_unref. */
GHashTable *cluster_view_rrd(const char *text, gsize size);

/* May the caller see it? `kind`: "node", "storage", "qemu", "lxc"; `id`: name or number. */
typedef bool (*ClusterMaySee)(void *ctx, const char *kind, const char *id);

/* `GET /cluster/status`. */
JsonTree *cluster_view_status(const ClusterFacts *f);

/* `GET /nodes`: every node; numbers of those the caller may see. */
JsonTree *cluster_view_nodes(const ClusterFacts *f, ClusterMaySee may_see, void *ctx);

/* `GET /cluster/resources`; `type` "vm", "node", "storage", or NULL for all. */
JsonTree *
cluster_view_resources(const ClusterFacts *f, const char *type, ClusterMaySee may_see, void *ctx);

#endif
