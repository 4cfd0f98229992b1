/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_auth: who calls the REST API and what he may do. For the root daemons behind the API worker.
 * Proof is a login ticket (cookie or Authorization field, with the CSRF field for everything but
 * GET) or an API token. Any thread; blocks on the tree. Reference: api, chapters 5 to 9.
 */
#ifndef LIB_CFS_API_AUTH_H
#define LIB_CFS_API_AUTH_H

#include "lib/base/timeval.h"
#include "lib/conf/usercfg.h"
#include "lib/wire/wire_api.h"

typedef struct ApiCaller {
    char *who;  /* user, or USER!TOKEN */
    char *user; /* without token */
    UserCfg *cfg;
} ApiCaller;
void api_caller_done(ApiCaller *c);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ApiCaller, api_caller_done)

/* Proves the caller. -EACCES: nobody we know (401); the text says why and is for the log, not for
 * the caller. */
int api_auth_caller(
    const char *pve, const ApiRequest *request, WallTime now, ApiCaller *ret, Err *err) must_check;

/* One of `privs` ("Sys.Audit" or "VM.Audit|Sys.Audit") at `path`? -EPERM with the text for the
 * caller (403). */
int api_auth_need(const ApiCaller *c, const char *path, const char *privs, Err *err) must_check;

/* Only root@pam itself, logged in by ticket. -EPERM as above. */
int api_auth_need_root(const ApiCaller *c, Err *err) must_check;

/* user.cfg of the tree; without the file: root@pam alone. */
int api_auth_read_users(const char *pve, UserCfg **ret, Err *err) must_check;

/* Content of pve-www.key, for CSRF texts. Caller wipes and frees. */
int api_auth_www_key(const char *pve, char **ret, Err *err) must_check;

#endif
