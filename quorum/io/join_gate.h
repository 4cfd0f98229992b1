/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_gate: nodes that join at the same time. A ring is formed by nodes with the same node list,
 * so those that ask within a moment are taken in together and get the same corosync.conf. Whoever
 * comes while they are on their way, or finds the group full, waits until they are members. One
 * gate per process; any thread.
 */
#ifndef QUORUM_IO_JOIN_GATE_H
#define QUORUM_IO_JOIN_GATE_H

#include <stdbool.h>

#define JOIN_GATE_QUIET_MS 200  /* nobody else came for so long: the group is complete */
#define JOIN_GATE_SOON_MS  1000 /* from the question whether a node may join to its coming */
#define JOIN_GATE_MAX_MS   5000 /* a group is complete after this in any case */
#define JOIN_GATE_GROUP    4    /* nodes in a group: each gets the whole tree from one member */

/* A node has asked whether it may join, and will probably come. */
void join_gate_announce(void);

/* A request begins; requests pass one at a time from here to join_gate_leave. */
void join_gate_enter(void);

/* The node is in the group that is being collected. */
void join_gate_add(const char *node);

/* The request is done with its changes. */
void join_gate_leave(void);

/* Is that node one of the group that is being collected? Between enter and leave. */
bool join_gate_has(const char *node);

/* Is the group that is being collected as large as it may get? Between enter and leave. */
bool join_gate_full(void);

/* Waits until the group is complete. True for one caller of each group: it tells corosync. */
bool join_gate_wait(void);

#endif
