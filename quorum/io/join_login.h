/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_login: the steps of a join that differ under a login, at a member that offers only the
 * documented endpoints (reference join, chapters 8 and 10; join_classic.h). One thread; blocks.
 */
#ifndef QUORUM_IO_JOIN_LOGIN_H
#define QUORUM_IO_JOIN_LOGIN_H

#include "quorum/io/joiner.h"

/* Would the cluster take this node? -EEXIST, -EINVAL, -EPERM with the reason. */
int join_login_check(Joiner *j, Err *err) must_check;

/* The member lists the node; key and configuration come with its answer. */
int join_login_stage(Joiner *j, Err *err) must_check;

/* Key and certificate: the node has the authority's key now and signs for itself. */
int join_login_files(Joiner *j, Err *err) must_check;

/* Has the member take the node out again, unless it was listed before: first before corosync is
 * stopped, since a node that has its votes already would take the quorum of a small cluster with
 * it; then once more, if need be, which says when it could not. */
void join_login_unstage_early(Joiner *j);
void join_login_unstage(Joiner *j);

#endif
