/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_api: the documented endpoints below /cluster/config, as administrators' tools and nodes
 * that join with a password call them. Any thread; blocks. Reference: join chapters 7, 8, 10, 17.
 *
 * A node that is added this way is listed without a vote first and gets its votes when it has shown
 * up in corosync's membership: a join that goes wrong cannot take quorum from the cluster. One that
 * does not show up in time is taken out again.
 */
#ifndef QUORUM_IO_CONFIG_API_H
#define QUORUM_IO_CONFIG_API_H

#include "lib/base/jsontree.h"
#include "quorum/io/join_server.h"

/* Answers in any case. */
void config_api_handle(JoinServer *s, const ApiRequest *request, ApiAnswer *ret);

/* Gives votes to added nodes that have shown up. Number of nodes, or -errno. */
int config_api_promote(JoinServer *s, Err *err) must_check;

/* Data of `GET /cluster/config/join`; `node` NULL: this node is the preferred one. -ENOENT: no
 * cluster, or no such node. */
int config_api_join_info(const char *pve, const char *node, JsonTree **ret, Err *err) must_check;

#endif
