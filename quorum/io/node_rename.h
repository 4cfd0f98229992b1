/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_rename: gives this node another name: `pvecm rename`. The node must have no guests. Steps:
 * quorum/core/node_plans.h. Blocks; one thread.
 */
#ifndef QUORUM_IO_NODE_RENAME_H
#define QUORUM_IO_NODE_RENAME_H

#include "quorum/io/node_job.h"

/* As node_job_run. -EALREADY: that is its name. */
int node_rename(const NodeChange *change, const char *to, Err *err) must_check;

#endif
