/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_client: performs the join plan on the node that joins, by token or under a login at a member
 * that offers only the documented endpoints. One thread; blocks; says what it does. The journal
 * (root only) lets a later `pvecm recover` finish or undo what a killed one began.
 */
#ifndef QUORUM_IO_JOIN_CLIENT_H
#define QUORUM_IO_JOIN_CLIENT_H

#include "quorum/core/join_plan.h"
#include "quorum/io/api_session.h"
#include "quorum/io/cluster_create.h"

#define JOIN_PORT "8006"

typedef struct JoinClientOptions {
    const char *token;   /* the line; not needed to recover */
    ApiSession *session; /* without token: the login at the member; borrowed */
    uint32_t nodeid;     /* with a session: 0: the member chooses */
    int votes;           /* with a session: negative: the member's default */
    bool force;          /* this name may be listed, old keys be here (set aside), a link be dead */
    CorosyncLink links[COROSYNC_LINKS_MAX];
    const char *state_dir; /* /var/lib/pve-cluster */
    bool dry_run;          /* ask, tell the problems, change nothing */
    void (*say)(void *ctx, const char *line);
    void *ctx;
} JoinClientOptions;

/* Joins. JOIN_UNDONE and JOIN_STUCK carry the reason in `err`. */
JoinOutcome join_client_run(const ClusterPaths *paths, const JoinClientOptions *opt, Err *err);

/* Finishes or undoes what an interrupted join left. 0: there was nothing; 1: done, *ret tells what
 * (dry run: what would be done);
 * -errno: the journal cannot be read. */
int join_client_recover(const ClusterPaths *paths,
                        const JoinClientOptions *opt,
                        JoinOutcome *ret,
                        Err *err) must_check;

#endif
