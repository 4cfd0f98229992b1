/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_leave: this node leaves its cluster and goes on as one without: `pvecm leave`. Also the way
 * of a node that was removed while it was away: it forgets its old cluster, without asking anybody.
 * Steps: quorum/core/node_plans.h. Blocks; one thread.
 */
#ifndef QUORUM_IO_NODE_LEAVE_H
#define QUORUM_IO_NODE_LEAVE_H

#include "quorum/io/node_job.h"

#define LEAVE_COUNT_TIMEOUT_SEC 20 /* until corosync counts this node's votes no more */

typedef struct LeaveOptions {
    bool keep_guests; /* guests of this node go with it */
    bool removed;     /* the cluster took it out before: nobody is asked */
} LeaveOptions;

/* As node_job_run. */
int node_leave(const NodeChange *change, const LeaveOptions *opt, Err *err) must_check;

/* Before this node joins a cluster: when it was removed from another one, or from the same, while
 * it was away, it forgets that one first. 0: there was nothing to forget (it may still be a
 * member); 1: done (dry run: said); -errno as node_job_run. */
int node_forget_removed(const NodeChange *change, Err *err) must_check;

#endif
