/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member_server: what members answer to nodes that are, or were, in the cluster: whether they still
 * belong to it, and their wish to leave. docs/wire/member.md. Any thread; blocks.
 */
#ifndef QUORUM_IO_MEMBER_SERVER_H
#define QUORUM_IO_MEMBER_SERVER_H

#include "quorum/io/join_server.h"

#define MEMBER_PATH "/api2/json/cluster/config/member2"

/* Answers one request; errors are answers, too. */
void member_server_handle(JoinServer *s, const ApiRequest *request, ApiAnswer *ret);

#endif
