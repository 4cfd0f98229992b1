/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_call: the requests of a joining node that has a token (docs/wire/join.md). Members are asked
 * one after the other; both sides are proven on each connection. One thread; blocks.
 */
#ifndef QUORUM_IO_JOIN_CALL_H
#define QUORUM_IO_JOIN_CALL_H

#include "quorum/core/join_request.h"
#include "quorum/io/joiner.h"

#include <json-glib/json-glib.h>

#define JOIN_CALL_TIMEOUT_MS 30000 /* of one request */
#define JOIN_CALL_QUEUE_SEC  300   /* until other nodes that join at the same time are members */
#define JOIN_CALL_AWAY_SEC   90    /* until a member that could be reached before can be again */
#define JOIN_CALL_RETRY_MS   700

/* `csr`: for JOIN_STEP_STAGE, NULL otherwise. -EPERM, -EEXIST: refused, with the reason; -EAGAIN:
 * not now; others: nobody could be asked. */
int join_call(Joiner *j, JoinStep step, const char *csr, JsonParser **ret, Err *err) must_check;

/* The same, and asks again while the answer is "not now", for JOIN_CALL_QUEUE_SEC, and, but for
 * JOIN_STEP_HELLO, while no member can be reached, for JOIN_CALL_AWAY_SEC. */
int join_call_patiently(Joiner *j, JoinStep step, const char *csr, JsonParser **ret, Err *err)
    must_check;

/* The `data` of an answer; NULL when it has none. Borrowed. */
JsonObject *join_call_data(JsonParser *parser);

#endif
