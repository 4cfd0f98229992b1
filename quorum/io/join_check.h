/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_check: what stands against joining, on this node and in the cluster. Changes nothing. One
 * thread; blocks.
 */
#ifndef QUORUM_IO_JOIN_CHECK_H
#define QUORUM_IO_JOIN_CHECK_H

#include "quorum/io/joiner.h"

/* JOIN_PLAN_CHECK. Also reads the guests that come along. -EPERM: there are problems, all told. */
int join_check_node(Joiner *j, Err *err) must_check;

/* JOIN_PLAN_HELLO. -EPERM, -EEXIST: the cluster would not take this node, with all reasons. */
int join_check_cluster(Joiner *j, Err *err) must_check;

#endif
