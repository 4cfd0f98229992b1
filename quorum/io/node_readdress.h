/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_readdress: gives another node other addresses on links it has: `pvecm readdress`. The node
 * must already have the new address beside the old one. corosync changes no address of a link in
 * use, so the node leaves the ring for a moment; it gets the new configuration at the door
 * (door.h). Steps: quorum/core/node_plans.h. Blocks; one thread.
 */
#ifndef QUORUM_IO_NODE_READDRESS_H
#define QUORUM_IO_NODE_READDRESS_H

#include "quorum/io/node_job.h"

#define READDRESS_TIMEOUT_SEC 90 /* until corosync runs with the new address and sees everybody */

/* As node_job_run. -EALREADY: it has these addresses. */
int node_readdress(const NodeChange *change,
                   const char *node,
                   const CorosyncLink links[COROSYNC_LINKS_MAX],
                   Err *err) must_check;

#endif
