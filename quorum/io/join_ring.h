/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_ring: the step of a join in which corosync of this node finds the others. One thread;
 * blocks.
 */
#ifndef QUORUM_IO_JOIN_RING_H
#define QUORUM_IO_JOIN_RING_H

#include "quorum/io/joiner.h"

/* JOIN_PLAN_COROSYNC: started, quorate, and every link has reached every member that is up.
 * -ETIMEDOUT, -EHOSTUNREACH with what is not reached. */
int join_ring_enter(Joiner *j, Err *err) must_check;

#endif
