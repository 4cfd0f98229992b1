/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_classic: the documented endpoints of a member as a joining node uses them. One thread;
 * blocks. Reference: join chapters 8 and 10.
 */
#ifndef QUORUM_IO_JOIN_CLASSIC_H
#define QUORUM_IO_JOIN_CLASSIC_H

#include "lib/conf/corosync_nodes.h"
#include "quorum/core/join_info.h"
#include "quorum/io/api_session.h"

#include <stdbool.h>

/* Does the member offer joining by token as well? 1, 0, -errno. */
int join_classic_has_tokens(ApiSession *s, Err *err) must_check;

/* A token for this node, made by the member. Free it with jointoken_free_line. */
int join_classic_token(ApiSession *s, const char *node, unsigned votes, char **ret, Err *err)
    must_check;

/* Version of the member's join API; a member without is 0. */
int join_classic_version(ApiSession *s, Err *err) must_check;

/* Guest ids in the member's cluster (GArray of uint32_t); -ENOSYS: it does not tell. */
int join_classic_vmids(ApiSession *s, GArray **ret, Err *err) must_check;

/* Addresses by which the member's cluster lists `node`; *ret NULL: it does not. */
int join_classic_addresses(ApiSession *s, const char *node, GPtrArray **ret, Err *err) must_check;

/* Nodes and links of the member's cluster (join_info_conf). */
int join_classic_conf(ApiSession *s, CorosyncConf **ret, Err *err) must_check;

typedef struct JoinClassicAdd {
    const char *node;
    int version;     /* of the member */
    uint32_t nodeid; /* 0: the member chooses */
    int votes;       /* negative: the member's default */
    bool force;
    const char *address;       /* own one, used without links */
    const CorosyncLink *links; /* COROSYNC_LINKS_MAX of them */
} JoinClassicAdd;

/* Has the member take the node in. */
int join_classic_add(ApiSession *s, const JoinClassicAdd *add, JoinClassicAnswer *ret, Err *err)
    must_check;

/* Has the member take it out again. */
int join_classic_remove(ApiSession *s, const char *node, Err *err) must_check;

#endif
