/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_tree: the steps of a join in the cluster's mounted tree: it arrives, and this node's
 * certificate and guests are put into it. One thread; blocks.
 */
#ifndef QUORUM_IO_JOIN_TREE_H
#define QUORUM_IO_JOIN_TREE_H

#include "quorum/io/joiner.h"

int join_tree_mount(Joiner *j, Err *err) must_check; /* JOIN_PLAN_MOUNT; -ETIMEDOUT */
int join_tree_fill(Joiner *j, Err *err) must_check;  /* JOIN_PLAN_FILES */
void join_tree_undo_fill(Joiner *j);

#endif
