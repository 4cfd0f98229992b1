/* SPDX-License-Identifier: Apache-2.0 */
/*
 * package_conf: the example corosync.conf that Debian's corosync package installs, and starts. A
 * pmxcfs that finds it takes it for this node's cluster, which it is not: no other node can reach
 * it. Making or joining a cluster clears it away first. Blocks; one thread, under the lock of
 * commands that change the cluster.
 */
#ifndef QUORUM_IO_PACKAGE_CONF_H
#define QUORUM_IO_PACKAGE_CONF_H

#include "quorum/io/cluster_create.h"

#define PACKAGE_CONF_KEPT     ".example" /* after the name of the host's copy */
#define PACKAGE_CONF_WAIT_SEC 60         /* until the tree is mounted again */

/* Is there the example, and nothing else that says that this node is in a cluster? */
bool package_conf_found(const ClusterPaths *paths);

/* Stops its corosync, keeps the host's copy beside, and takes it out of the tree. Nothing is done
 * when there is none. May be repeated after it failed or was killed. */
int package_conf_clear(const ClusterPaths *paths,
                       void (*say)(void *ctx, const char *line),
                       void *ctx,
                       Err *err) must_check;

#endif
