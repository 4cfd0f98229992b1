/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_job: runs one of the plans of quorum/core/node_plans.h on this node, with a journal (root
 * only, below state_dir) that lets `pvecm recover` finish or undo what a killed command began. A
 * job's parameters are texts by name; they are in the journal too, so that each step knows all it
 * needs after a death. Blocks; one thread.
 */
#ifndef QUORUM_IO_NODE_JOB_H
#define QUORUM_IO_NODE_JOB_H

#include "quorum/core/node_plans.h"
#include "quorum/io/cluster_create.h"

#define NODE_JOURNAL          "node-journal"
#define NODE_JOURNAL_SIZE_MAX 65536u

typedef struct NodeChange {
    const ClusterPaths *paths;
    const char *state_dir; /* /var/lib/pve-cluster */
    bool dry_run;          /* check, say what would be done, change nothing */
    void (*say)(void *ctx, const char *line);
    void *ctx;
} NodeChange;

typedef struct NodeJob NodeJob;
typedef struct NodeJobType {
    NodePlanKind kind;
    int (*perform)(NodeJob *job, unsigned step, Err *err);
    int (*undo)(NodeJob *job, unsigned step, Err *err);
    const char *const *texts; /* what is said when a step begins */
} NodeJobType;

extern const NodeJobType node_remove_type, node_leave_type, node_rename_type, node_readdress_type;

struct NodeJob {
    const NodeChange *change;
    const NodeJobType *type;
    GHashTable *values; /* char* to char* */
    bool journal;       /* keep one; false on a member that works for another node */
    unsigned step;      /* under way */
};

void node_job_init(NodeJob *job, const NodeChange *change, const NodeJobType *type);
void node_job_done(NodeJob *job);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(NodeJob, node_job_done)

/* Sets a value of the job in memory; NULL changes nothing. Both are copied. */
void node_job_set(NodeJob *job, const char *name, const char *value);
const char *node_job_get(const NodeJob *job, const char *name); /* NULL: absent; borrowed */
/* Sets a value (NULL: takes it away) in the middle of a step, so that whoever recovers the job
 * knows it. Nothing is set when the journal cannot be written. */
int node_job_note(NodeJob *job, const char *name, const char *value, Err *err) must_check;

/* One line for the person who asked; NULL in the change: nobody hears. */
void node_job_say(const NodeJob *job, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* quorum_wait, which says so. */
bool node_job_wait_quorum(NodeJob *job);

/* Takes the local lock and runs the plan (dry run: its first step). 0: done; -EBUSY: another
 * command runs, or was interrupted; -ECANCELED: undone, `err` says why; -EINPROGRESS: stuck
 * between. */
int node_job_run(NodeJob *job, Err *err) must_check;

/* Finishes or undoes what an interrupted job left. 0: there was nothing; 1: it is finished; 2: it
 * was taken back (dry run: would be); -EINPROGRESS and others as above. *ret_kind tells which. */
int node_job_recover(const NodeChange *change, NodePlanKind *ret_kind, Err *err) must_check;

/* Is there a journal of an interrupted job? */
bool node_job_pending(const char *state_dir);

#endif
