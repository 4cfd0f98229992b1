/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_request: what a node that wants to join says, and whether the cluster can take it. The
 * member's side of the decision; performing it is quorum/io/join_server's business. Pure; any
 * thread. Format: docs/wire/join.md. Reference: join chapters 5, 10, 19.
 */
#ifndef QUORUM_CORE_JOIN_REQUEST_H
#define QUORUM_CORE_JOIN_REQUEST_H

#include "lib/base/strtab.h"
#include "lib/conf/corosync_nodes.h"
#include "quorum/core/jointoken.h"

#define JOIN_VERSION        1
#define JOIN_BODY_MAX       (64u * 1024u) /* bytes of a request */
#define JOIN_CLOCK_SKEW_SEC 30            /* more than this between joiner and member is refused */
#define JOIN_PENDING_SEC    300 /* a staged node that is not ready after this is taken out again */
#define JOIN_BUSY_SEC       60  /* others wait so long for a staged node */
#define JOIN_VMIDS_MAX      10000u

#define JOIN_STEP_LIST(X)                                                                          \
    X(JOIN_STEP_HELLO, "hello") /* may I? changes nothing */                                       \
    X(JOIN_STEP_STAGE, "stage") /* take me in without a vote, give me the keys */                  \
    X(JOIN_STEP_READY, "ready") /* I am in sync: give me my votes */                               \
    X(JOIN_STEP_ABORT, "abort") /* take me out again */
typedef enum JoinStep { JOIN_STEP_LIST(STRTAB_ENUM) JOIN_STEP_N } JoinStep;
STRTAB_DECLARE(join_step, JoinStep);

typedef struct JoinRequest {
    JoinStep step;
    int64_t version;
    uint8_t id[JOINTOKEN_ID_SIZE];
    uint8_t proof[JOINTOKEN_KEY_SIZE];
    char *node;
    char *csr;                      /* STAGE: PEM */
    char *address;                  /* the joiner's own, for single-link clusters; may be NULL */
    char *link[COROSYNC_LINKS_MAX]; /* may be NULL */
    WallTime clock;                 /* the joiner's */
    GArray *vmids;                  /* of uint32_t: guests it brings along */
} JoinRequest;

void join_request_done(JoinRequest *r);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(JoinRequest, join_request_done)

/* -EBADMSG with what is wrong. */
int join_request_parse(const char *json, gsize size, JoinRequest *ret, Err *err) must_check;
char *join_request_format(const JoinRequest *r); /* JSON; caller frees */

/* What stands against taking the node in: texts for people, each with its remedy. Empty: nothing.
 * `used_vmids`: guests of the cluster. `staged`: this node was staged with this token before. */
GPtrArray *join_problems(const JoinRequest *r,
                         const CorosyncConf *conf,
                         const GArray *used_vmids,
                         bool staged,
                         bool quorate,
                         WallTime now);

/* The configuration with the node in it, without votes; repeating it for a staged node changes
 * nothing. -E... as corosync_conf_add_node. */
int join_stage(CorosyncConf *conf,
               const JoinRequest *r,
               bool staged,
               uint32_t *ret_nodeid,
               Err *err) must_check;

#endif
