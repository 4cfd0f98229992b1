/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member_client: asks another member over HTTPS (docs/wire/member.md). Both sides are proven: the
 * member by the cluster's authority, this node by the key of the messaging layer. Works without
 * quorum and without a mounted tree: what it needs is read before. Blocks; one thread per object.
 */
#ifndef QUORUM_IO_MEMBER_CLIENT_H
#define QUORUM_IO_MEMBER_CLIENT_H

#include "quorum/core/member_request.h"

#include <json-glib/json-glib.h>

#define MEMBER_TIMEOUT_MS        5000 /* of connecting and of one question */
#define MEMBER_REMOVE_TIMEOUT_MS 60000

typedef struct MemberPeers MemberPeers;

/* Reads the list of nodes from `conf_path`, the authority from `ca_path`, the key from `key_path`.
 * `self`: this node's name as the list has it. A list that does not name it serves for the door. */
int member_peers_read(const char *conf_path,
                      const char *ca_path,
                      const char *key_path,
                      const char *self,
                      MemberPeers **ret,
                      Err *err) must_check;
void member_peers_free(MemberPeers *p); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemberPeers, member_peers_free)

/* Asks one after the other until one answers. 0 and the `data` of the answer; -EPERM: refused, the
 * text says why; -ENOENT: this node is not in its own list; others: nobody could be asked, or the
 * fate is unknown. */
int member_ask(MemberPeers *p,
               MemberStep step,
               bool keep_guests,
               JsonParser **ret,
               JsonObject **ret_data, /* borrowed from *ret */
               Err *err) must_check;

#endif
