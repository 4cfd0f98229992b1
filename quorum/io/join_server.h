/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_server: the member's side of a join, behind the API worker. Proves the token, takes the node
 * in without a vote, gives it its votes when it is in sync, takes it out again when it gives up or
 * is never heard of again. Every step can be repeated. docs/wire/join.md.
 */
#ifndef QUORUM_IO_JOIN_SERVER_H
#define QUORUM_IO_JOIN_SERVER_H

#include "lib/base/tracer.h"
#include "lib/wire/wire_api.h"

typedef struct JoinServer {
    const char *pve;     /* /etc/pve */
    const char *authkey; /* /etc/corosync/authkey */
    Tracer tracer;
} JoinServer;

/* Handles one request of the API worker; any thread. */
void join_server_handle(JoinServer *s, const ApiRequest *request, ApiAnswer *ret);

/* Takes out nodes that were staged long ago and never became ready. Returns how many, or -errno. To
 * be called now and then on every member: the lock makes it safe. */
int join_server_reap(JoinServer *s, Err *err) must_check;

typedef struct JoinTokenOptions {
    unsigned ttl_sec, uses, votes;
    const char *node;                         /* NULL: any name */
    void (*say)(void *ctx, const char *line); /* that quorum is waited for; may be NULL */
    void *ctx;
} JoinTokenOptions;

/* Makes a token and its record (`pvecm token`). The line is freed with jointoken_free_line.
 * -EACCES: no quorum, after QUORUM_WAIT_SEC. */
int join_token_create(const char *pve, const JoinTokenOptions *opt, char **ret_line, Err *err)
    must_check;

#endif
