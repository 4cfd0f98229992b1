/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member_request: what a node that is, or was, a member says to one that is. It proves itself by
 * the key of the messaging layer, which only nodes of the cluster have, over the TLS channel. Pure;
 * any thread. Format: docs/wire/member.md.
 */
#ifndef QUORUM_CORE_MEMBER_REQUEST_H
#define QUORUM_CORE_MEMBER_REQUEST_H

#include "lib/base/err.h"
#include "lib/base/strtab.h"
#include "quorum/core/jointoken.h"

#define MEMBER_VERSION  1
#define MEMBER_BODY_MAX 4096u /* bytes of a request */

#define MEMBER_STEP_LIST(X)                                                                        \
    X(MEMBER_STEP_DOOR, "door")     /* am I still one of you? changes nothing */                   \
    X(MEMBER_STEP_ASK, "ask")       /* may I leave? changes nothing */                             \
    X(MEMBER_STEP_REMOVE, "remove") /* I have stopped: take me out */
typedef enum MemberStep { MEMBER_STEP_LIST(STRTAB_ENUM) MEMBER_STEP_N } MemberStep;
STRTAB_DECLARE(member_step, MemberStep);

typedef struct MemberRequest {
    MemberStep step;
    char *node;
    uint32_t nodeid;  /* DOOR: 0 when the caller's own list does not name it */
    uint64_t config;  /* DOOR: version of the caller's corosync.conf; UINT64_MAX: not told */
    bool keep_guests; /* REMOVE, ASK: the node takes its guests along */
    uint8_t proof[JOINTOKEN_KEY_SIZE];
} MemberRequest;

void member_request_done(MemberRequest *r);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MemberRequest, member_request_done)

/* -EBADMSG with what is wrong. */
int member_request_parse(const char *json, gsize size, MemberRequest *ret, Err *err) must_check;
char *member_request_format(const MemberRequest *r); /* JSON; caller frees */

/* Proof of the caller: it has the messaging layer's key, for one channel and one node. */
void member_proof(const void *authkey,
                  gsize authkey_size,
                  const uint8_t exporter[JOINTOKEN_EXPORTER_SIZE],
                  const char *node,
                  uint8_t ret_proof[JOINTOKEN_KEY_SIZE]);

#endif
