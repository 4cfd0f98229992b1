/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_cluster: what the cluster filesystem's IPC service tells about the cluster: members, quorum,
 * guests, their load, files as they are at this moment (past any cache of the kernel). Every call
 * has a deadline. One thread at a time; a child after fork may go on using its copy.
 */
#ifndef HA_MANAGER_IO_HA_CLUSTER_H
#define HA_MANAGER_IO_HA_CLUSTER_H

#include "ha-manager/core/ha_env.h"

typedef struct HaCluster HaCluster;

/* `pve`: the mounted tree. `node`: this node's name. Strings are copied. */
HaCluster *ha_cluster_new(const char *pve, const char *node);
void ha_cluster_free(HaCluster *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaCluster, ha_cluster_free)

/* Looks again at members and guests. */
int ha_cluster_refresh(HaCluster *c, Err *err) must_check;
/* Asks now; false when that cannot be told. */
bool ha_cluster_quorate(HaCluster *c);

/* As of the last refresh. */
int ha_cluster_members(const HaCluster *c, StrMap *ret_online, Err *err) must_check;
int ha_cluster_guests(const HaCluster *c, StrMap *ret_guests, Err *err) must_check;
char *ha_cluster_guest_node(const HaCluster *c, const char *sid); /* NULL: no such guest */

/* Content of a file of the tree, as the daemon has it; a missing one reads as "". */
int ha_cluster_read(HaCluster *c, HaFile file, const char *node, char **ret_text, Err *err)
    must_check;

/* What a scheduler weighs (ha_loads.h). Dynamic: a node that broadcasts nothing is left out, and
 * the core falls back to basic; a guest without values counts as its configuration allows it. */
int ha_cluster_loads(HaCluster *c, HaScheduler mode, HaLoads *loads, Err *err) must_check;
/* Version of the manager on that node, NULL when it does not tell. Caller frees. */
char *ha_cluster_version(HaCluster *c, const char *node);

/* A line in the cluster log, for all nodes to read; best effort. */
void ha_cluster_log(HaCluster *c, TraceLevel level, const char *ident, const char *text);

/* Milliseconds that corosync takes to agree that a member is gone, by corosync.conf; 0: there is no
 * corosync. */
int ha_cluster_detection_ms(HaCluster *c, int64_t *ret, Err *err) must_check;

#endif
