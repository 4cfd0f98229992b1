/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_add: lists a node that joins by the documented ways (reference join, chapter 10): the
 * endpoint, and `pvecm addnode`. It has no votes until it has shown up in corosync's membership
 * (config_api_promote), so that a join that goes wrong cannot take quorum away. Blocks; any thread.
 */
#ifndef QUORUM_IO_NODE_ADD_H
#define QUORUM_IO_NODE_ADD_H

#include "lib/base/tracer.h"
#include "lib/conf/corosync_nodes.h"

#define NODE_ADD_API_VERSION 1 /* of the join by the documented endpoints */

typedef struct NodeAdd {
    const char *pve;
    const Tracer *tracer;
    const char *by;       /* "by 'root@pam' from 10.0.0.1", for the logs */
    CorosyncAddNode node; /* links as people write them: [address=]ADDRESS[,priority=N] */
    int64_t apiversion;   /* of the joining node; 0: an old one */
    bool dry_run;         /* check, change nothing */
} NodeAdd;

/* *ret_conf: the configuration with the node. *ret_problems (of CorosyncProblem): faults of the
 * configuration before; set as soon as they are known, also on failure; with errors among them
 * nothing is done (-EINVAL). -EACCES: no quorum, after QUORUM_WAIT_SEC. The caller frees both. */
int node_add(const NodeAdd *add, CorosyncConf **ret_conf, GPtrArray **ret_problems, Err *err)
    must_check;

#endif
