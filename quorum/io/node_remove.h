/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_remove: takes another node out of the cluster: `pvecm delnode`, and the member's part of
 * `pvecm leave`. Steps: quorum/core/node_plans.h. Safe to repeat. Blocks; one thread.
 */
#ifndef QUORUM_IO_NODE_REMOVE_H
#define QUORUM_IO_NODE_REMOVE_H

#include "quorum/io/conf_edit.h"
#include "quorum/io/node_job.h"

#define REMOVE_COUNT_TIMEOUT_SEC 15 /* until corosync expects the new number of votes */

typedef enum RemoveGuests {
    REMOVE_GUESTS_REFUSE,  /* a node with guests is not removed */
    REMOVE_GUESTS_ADOPT,   /* another node gets their configurations */
    REMOVE_GUESTS_ARCHIVE, /* they go to priv/removed/NODE-DATE/ */
    REMOVE_GUESTS_LEAVE,   /* they stay where they are, as the original leaves them */
} RemoveGuests;

typedef struct RemoveOptions {
    const char *node; /* name or address */
    RemoveGuests guests;
    const char *adopt_to; /* node name for REMOVE_GUESTS_ADOPT */
    bool left;            /* it has asked for it, and has stopped */
} RemoveOptions;

/* As node_job_run. -EALREADY: it had been removed before (what may have been left is cleaned up).
 * `journal`: as in NodeJob. */
int node_remove(const NodeChange *change, const RemoveOptions *opt, bool journal, Err *err)
    must_check;

/* May the node leave? Problems as in depart_problems; NULL with `err`. */
GPtrArray *node_remove_problems(const char *pve, const RemoveOptions *opt, Err *err);

/* Can the others decide without `node`, which is up? Waits for quorum. -EPERM with what stands
 * against it; guests do not. */
int node_may_go(NodeJob *job, const char *node, Err *err) must_check;

/* Takes the job's node out of the list that is being edited, and writes it. One that is up is told
 * to leave the ring first; failures of that are said, and only make it leave later. Where the
 * others have quorum only among what is left, its votes are not expected any more. */
int node_kick_out(NodeJob *job, ConfEdit *edit, Err *err) must_check;

/* Before a killed job that may have kicked is gone on with: when the others lost quorum by that,
 * its votes are not expected any more, as they would not have been. 0 also when there is nothing to
 * do; otherwise what is in the way. */
int node_kick_resume(NodeJob *job, Err *err) must_check;

/* conf_edit_begin for a job that may be gone on with after a death: the ring is just being formed,
 * and quorum that was there may go once more before it stays. */
int node_edit_begin(NodeJob *job, ConfEdit *edit, Err *err) must_check;

/* conf_edit_commit, which for the same reason waits for quorum; well within the lock's life. */
int node_edit_commit(const NodeJob *job, ConfEdit *edit, Err *err) must_check;

/* The node that was kicked is out of the list: there is nothing to resume any more. */
int node_kick_over(NodeJob *job, Err *err) must_check;

/* Waits until corosync expects as many votes as `conf` says. -ETIMEDOUT. */
int node_wait_expected(const CorosyncConf *conf, unsigned timeout_sec, Err *err) must_check;

#endif
