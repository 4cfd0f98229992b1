/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_plans: how a node is removed, leaves, gets another name or another address: the steps, in
 * order, with the point of no return, and what stands against beginning. Pure; any thread.
 * Performed by quorum/io/node_remove, node_leave, node_rename and node_readdress.
 *
 *   remove    check guests tombstone | list files
 *   leave     check save votes stop | remove local start
 *   rename    check dirs list stop hostname start | files
 *   readdress check list verify |
 */
#ifndef QUORUM_CORE_NODE_PLANS_H
#define QUORUM_CORE_NODE_PLANS_H

#include "lib/base/strtab.h"
#include "lib/conf/corosync_nodes.h"
#include "quorum/core/step_plan.h"

/* On a remaining member. */
#define REMOVE_STEPS(X)                                                                            \
    X(REMOVE_STEP_CHECK, "check")         /* it may be removed; changes nothing */                 \
    X(REMOVE_STEP_GUESTS, "guests")       /* its guests' configurations are where they shall be */ \
    X(REMOVE_STEP_TOMBSTONE, "tombstone") /* the cluster remembers that it was removed */          \
    X(REMOVE_STEP_LIST, "list")           /* it is in corosync.conf no more */                     \
    X(REMOVE_STEP_FILES, "files")         /* its files and keys are out of the tree */
typedef enum RemoveStep { REMOVE_STEPS(STRTAB_ENUM) REMOVE_STEP_N } RemoveStep;
STRTAB_DECLARE(remove_step, RemoveStep);

/* On the node that leaves. */
#define LEAVE_STEPS(X)                                                                             \
    X(LEAVE_STEP_CHECK, "check")   /* it may leave; changes nothing */                             \
    X(LEAVE_STEP_SAVE, "save")     /* its configuration is saved */                                \
    X(LEAVE_STEP_VOTES, "votes")   /* the cluster counts it no more, so that it can do without */  \
    X(LEAVE_STEP_STOP, "stop")     /* corosync and the tree are stopped on this node */            \
    X(LEAVE_STEP_REMOVE, "remove") /* a member has taken it out */                                 \
    X(LEAVE_STEP_LOCAL, "local")   /* nothing of the cluster is left in its own tree */            \
    X(LEAVE_STEP_START, "start")   /* it runs as a node without cluster */
typedef enum LeaveStep { LEAVE_STEPS(STRTAB_ENUM) LEAVE_STEP_N } LeaveStep;
STRTAB_DECLARE(leave_step, LeaveStep);

/* On the node that gets another name. */
#define RENAME_STEPS(X)                                                                            \
    X(RENAME_STEP_CHECK, "check")       /* it may be renamed; changes nothing */                   \
    X(RENAME_STEP_DIRS, "dirs")         /* the directories of the new name are there */            \
    X(RENAME_STEP_LIST, "list")         /* corosync.conf has the new name */                       \
    X(RENAME_STEP_STOP, "stop")         /* the tree is stopped on this node */                     \
    X(RENAME_STEP_HOSTNAME, "hostname") /* host name, /etc/hostname and /etc/hosts are new */      \
    X(RENAME_STEP_START, "start")       /* the tree is mounted under the new name */               \
    X(RENAME_STEP_FILES, "files")       /* new certificate; the old directories are gone */
typedef enum RenameStep { RENAME_STEPS(STRTAB_ENUM) RENAME_STEP_N } RenameStep;
STRTAB_DECLARE(rename_step, RenameStep);

/* On any member. */
#define READDRESS_STEPS(X)                                                                         \
    X(READDRESS_STEP_CHECK, "check")   /* the address is the node's; changes nothing */            \
    X(READDRESS_STEP_LIST, "list")     /* corosync.conf has the new address */                     \
    X(READDRESS_STEP_VERIFY, "verify") /* everybody who was there sees everybody again */
typedef enum ReaddressStep { READDRESS_STEPS(STRTAB_ENUM) READDRESS_STEP_N } ReaddressStep;
STRTAB_DECLARE(readdress_step, ReaddressStep);

#define NODE_PLAN_LIST(X)                                                                          \
    X(NODE_PLAN_REMOVE, "remove")                                                                  \
    X(NODE_PLAN_LEAVE, "leave")                                                                    \
    X(NODE_PLAN_RENAME, "rename")                                                                  \
    X(NODE_PLAN_READDRESS, "readdress")
typedef enum NodePlanKind { NODE_PLAN_LIST(STRTAB_ENUM) NODE_PLAN_N } NodePlanKind;
STRTAB_DECLARE(node_plan_kind, NodePlanKind);

/* Steps, their names and the point of no return of a plan. Static. */
const StepPlan *node_plan(NodePlanKind kind);

/* Index of the step of that name, or -1. */
int node_plan_step(NodePlanKind kind, const char *name);

/* ---- interrupted kick ------------------------------------------------------------------------ */

/* A job that had told a node to leave the ring, without which the others have no quorum, died
 * before its votes were expected no more. */
typedef struct KickFacts {
    bool listed;       /* the node is in corosync.conf still */
    bool online;       /* it is in the ring */
    uint32_t others;   /* votes of what is in the ring, without it */
    uint32_t quorum;   /* votes that are needed now */
    uint32_t expected; /* votes that are expected now */
} KickFacts;

typedef enum KickResume {
    KICK_RESUME_NOTHING, /* the others decide, or it is out of the list */
    KICK_RESUME_AGAIN,   /* it is there, perhaps about to go: tell it again, then as below */
    KICK_RESUME_WITHOUT, /* it is gone: its votes are not expected any more */
    KICK_RESUME_WAIT,    /* the rest may decide without us: not before it is seen */
} KickResume;

/* What whoever finds a kick that was begun is to do. Pure. */
KickResume kick_resume(const KickFacts *f);

/* ---- may it go? ------------------------------------------------------------------------------ */

typedef struct DepartFacts {
    const char *node;         /* name */
    const CorosyncConf *conf; /* of the cluster */
    const GArray *online;     /* of uint32_t: ids of the members that are up */
    bool quorate;
    const GPtrArray *guests;    /* of char*: "100 (qemu-server)": configured on the node */
    const GPtrArray *ha_guests; /* of char*: those of them that HA manages */
    const char *guests_remedy;  /* what to do with guests; NULL: they may be there */
} DepartFacts;

/* What stands against taking the node out: texts for people, each with its remedy. */
GPtrArray *depart_problems(const DepartFacts *f);

/* Guests in the way only (also part of depart_problems): text, or NULL. Caller frees. */
char *depart_guest_problem(const DepartFacts *f);

#endif
