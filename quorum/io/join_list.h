/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_list: this node's place in the cluster's list of nodes: taken in without a vote, given its
 * votes, or taken out again; by token, or by join_login. One thread; blocks.
 */
#ifndef QUORUM_IO_JOIN_LIST_H
#define QUORUM_IO_JOIN_LIST_H

#include "quorum/io/joiner.h"

/* JOIN_PLAN_STAGE: the node is listed; the joiner has key, configuration and certificate then. */
int join_list_stage(Joiner *j, Err *err) must_check;

/* The same again by token, for the configuration that is in force by now. */
int join_list_stage_again(Joiner *j, Err *err) must_check;

/* Before corosync is stopped on the way back. */
void join_list_undo_early(Joiner *j);

/* Never fails: when no member can be told, the cluster forgets the node by itself. */
int join_list_undo_stage(Joiner *j, Err *err) must_check;

/* JOIN_PLAN_READY: the votes. -EPERM, -ENOENT: the cluster does not know this node. */
int join_list_ready(Joiner *j, Err *err) must_check;

#endif
