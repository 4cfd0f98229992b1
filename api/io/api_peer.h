/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_peer: a request whose path names another node goes to that node's API, with the caller's own
 * credentials: this worker has none. The other node proves itself by the certificate that the tree
 * has of it. Any thread; blocks. Reference: api, chapter 1.
 */
#ifndef API_IO_API_PEER_H
#define API_IO_API_PEER_H

#include "lib/wire/wire_api.h"

#define API_PEER_TIMEOUT_MS 30000

/* The node that a path is about, when it is not `self`; NULL: the request stays here. Caller frees.
 */
char *api_peer_node(const char *path, const char *self);

/* Asks that node; `pve`: "/etc/pve". Fills the answer in any case: 595 when the node cannot be
 * reached, 596 when it does not prove itself or does not answer. */
void api_peer_ask(const char *pve, const char *node, const ApiRequest *request, ApiAnswer *ret);

#endif
