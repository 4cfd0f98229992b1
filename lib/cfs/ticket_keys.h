/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ticket_keys: signs and verifies login tickets with the cluster's key pair (priv/authkey.key,
 * authkey.pub, authkey.pub.old) and renews the pair once a day. By OpenSSL: RSA, PKCS #1 v1.5,
 * SHA-1, as the deployed peers do. Any thread; blocks on the tree. Reference: api, chapter 5.
 */
#ifndef LIB_CFS_TICKET_KEYS_H
#define LIB_CFS_TICKET_KEYS_H

#include "lib/base/timeval.h"
#include "lib/wire/wire_ticket.h"

#define TICKET_KEYS_ROTATE_SEC 86400
#define TICKET_KEYS_BITS       2048

/* A new ticket for `user`. Renews the key pair before when it is a day old and the tree can be
 * written. -ENOENT with what to do when there is no key. Caller frees. */
int ticket_keys_sign(const char *pve, const char *user, WallTime now, char **ret, Err *err)
    must_check;

/* Is it signed by the cluster and still in time? 0 and the user; -EACCES with the reason (for
 * logs). Caller frees. */
int ticket_keys_verify(const char *pve, const char *text, WallTime now, char **ret_user, Err *err)
    must_check;

#endif
