/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_session: a login at a member's REST API with a password, and requests under it. The member is
 * proven by the fingerprint of its certificate before the password is sent. One thread; blocks;
 * each request has its own connection and deadline. docs/wire/login.md.
 */
#ifndef QUORUM_IO_API_SESSION_H
#define QUORUM_IO_API_SESSION_H

#include "lib/base/err.h"
#include "lib/wire/wire_http.h"

#include <stdint.h>

#define API_SESSION_TIMEOUT_MS 60000 /* the member may wait for locks */

typedef struct ApiSession ApiSession;

typedef struct ApiPeer {
    const char *host; /* name or address */
    const char *port;
    const uint8_t *digest; /* SHA-256 of its certificate, 32 bytes */
} ApiPeer;

/* -EKEYREJECTED: another certificate; -EPERM: wrong password; -EOPNOTSUPP: it wants a second
 * factor; errors of connecting. */
int api_session_login(const ApiPeer *peer,
                      const char *user,
                      const char *password,
                      ApiSession **ret,
                      Err *err) must_check;
void api_session_free(ApiSession *s); /* wipes */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ApiSession, api_session_free)

/* `params`: name, value, name, value, ..., NULL; pairs with a NULL value are not possible. 0 and
 * the answer, whatever its status; -errno when there was none. */
int api_session_call(ApiSession *s,
                     const char *method,
                     const char *path, /* below /api2/json, escaped */
                     const char *const *params,
                     HttpAnswer *ret,
                     Err *err) must_check;

/* What an answer other than 200 says: -errno by its status, with its message and its errors. */
int api_session_refusal(const HttpAnswer *a, const char *what, Err *err);

/* The member it talks to; borrowed. */
const char *api_session_host(const ApiSession *s);

#endif
