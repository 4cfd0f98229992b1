/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_plan: the order in which a node joins, and how each step is taken back. Pure: whoever runs
 * it gives the steps' doing and undoing; this decides what comes next. The step under way is
 * recorded before it begins, so that a process that died can be followed by one that finishes or
 * undoes.
 *
 *   CHECK HELLO SAVE STAGE KEYS STOP COROSYNC MOUNT FILES | READY
 *
 * Left of the bar every failure, also the death of the process, leads back to the node as it was.
 * READY is the point of no return: the cluster may have counted the node already, so a plan found
 * there goes forward first, and back only when the cluster says that it does not know the node.
 */
#ifndef QUORUM_CORE_JOIN_PLAN_H
#define QUORUM_CORE_JOIN_PLAN_H

#include "lib/base/err.h"
#include "lib/base/strtab.h"

#define JOIN_PLAN_LIST(X)                                                                          \
    X(JOIN_PLAN_CHECK, "check")       /* this node may join; changes nothing */                    \
    X(JOIN_PLAN_HELLO, "hello")       /* the cluster would take it; changes nothing */             \
    X(JOIN_PLAN_SAVE, "save")         /* own configuration is saved */                             \
    X(JOIN_PLAN_STAGE, "stage")       /* the cluster lists the node, without a vote */             \
    X(JOIN_PLAN_KEYS, "keys")         /* key and corosync.conf are on this host */                 \
    X(JOIN_PLAN_STOP, "stop")         /* the local tree is unmounted, its database set aside */    \
    X(JOIN_PLAN_COROSYNC, "corosync") /* the node is in the cluster's ring and quorate */          \
    X(JOIN_PLAN_MOUNT, "mount")       /* the cluster's tree is mounted and in sync */              \
    X(JOIN_PLAN_FILES, "files")       /* certificate and own guests are in the tree */             \
    X(JOIN_PLAN_READY, "ready")       /* the node has its votes */
typedef enum JoinPlanStep { JOIN_PLAN_LIST(STRTAB_ENUM) JOIN_PLAN_N } JoinPlanStep;
STRTAB_DECLARE(join_plan_step, JoinPlanStep);

typedef struct JoinPlanOps {
    /* Performs one step; 0 or -errno with text. May leave it half done: `undo` follows then. */
    int (*perform)(void *ctx, JoinPlanStep step, Err *err);
    /* Takes a step back, whether it was done, half done, or not begun. */
    int (*undo)(void *ctx, JoinPlanStep step, Err *err);
    /* Remembers durably that `step` begins; JOIN_PLAN_N: nothing is under way any more. */
    int (*record)(void *ctx, JoinPlanStep step, Err *err);
    void *ctx;
} JoinPlanOps;

typedef enum JoinOutcome {
    JOIN_DONE,   /* the node is in */
    JOIN_UNDONE, /* it is as before; `err` says why */
    JOIN_STUCK,  /* undoing failed too; `err` says what; repeat join_plan_recover */
} JoinOutcome;

/* Runs the whole plan. */
JoinOutcome join_plan_run(const JoinPlanOps *ops, Err *err);

/* After a process died while `step` was under way. */
JoinOutcome join_plan_recover(const JoinPlanOps *ops, JoinPlanStep step, Err *err);

#endif
