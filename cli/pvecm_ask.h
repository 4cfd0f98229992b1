/* SPDX-License-Identifier: Apache-2.0 */
/* pvecm_ask: what a person is asked when joining with a password. Main thread only. */
#ifndef CLI_PVECM_ASK_H
#define CLI_PVECM_ASK_H

#include "quorum/io/api_session.h"

/* Root's password of `host`: from the terminal without echo, or the first line of standard input.
 * -EINVAL when there is none. */
int pvecm_ask_password(const char *host, char **ret, Err *err) must_check;
void pvecm_free_password(char *password); /* wipes; NULL is allowed */

/* Shows the fingerprint of the certificate that `peer` shows (its `digest` is not used) and asks
 * whether it is right. -EKEYREJECTED: no; -EINVAL: nobody to ask. */
int pvecm_ask_fingerprint(const ApiPeer *peer, uint8_t ret[32], Err *err) must_check;

#endif
