/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster_log: an entry in the log that all nodes show (`/etc/pve/.clusterlog`), from a command
 * that changed something. A daemon that does not run, or a node without quorum, is no reason to
 * fail: what was done was done. Any thread; waits at most CLUSTER_LOG_TIMEOUT_MS.
 */
#ifndef QUORUM_IO_CLUSTER_LOG_H
#define QUORUM_IO_CLUSTER_LOG_H

#define CLUSTER_LOG_TIMEOUT_MS 3000

/* `priority` as in syslog (LOG_NOTICE, ...). Never a secret (INV-8). */
void cluster_log(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
