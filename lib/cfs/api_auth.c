/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/cfs/api_auth.h"

#include "lib/cfs/cfsfile.h"
#include "lib/cfs/ticket_keys.h"

#include <errno.h>
#include <string.h>

#define WWW_KEY_MAX    16384
#define TOKEN_FILE_MAX (1024u * 1024u)

void api_caller_done(ApiCaller *c)
{
    g_clear_pointer(&c->who, g_free);
    g_clear_pointer(&c->user, g_free);
    g_clear_pointer(&c->cfg, usercfg_free);
}

int api_auth_read_users(const char *pve, UserCfg **ret, Err *err)
{
    g_autofree char *path = g_build_filename(pve, "user.cfg", NULL);
    g_autofree char *text = NULL;
    gsize size = 0;
    int r = cfsfile_read(path, USERCFG_SIZE_MAX, &text, &size, err);

    if (r == -ENOENT) {
        err_clear(err);
        return usercfg_parse("", 0, ret, err);
    }
    return r < 0 ? r : usercfg_parse(text, size, ret, err);
}

int api_auth_www_key(const char *pve, char **ret, Err *err)
{
    g_autofree char *path = g_build_filename(pve, "pve-www.key", NULL);

    return cfsfile_read(path, WWW_KEY_MAX, ret, NULL, err);
}

static int
check_csrf(const char *pve, const ApiRequest *request, const char *user, WallTime now, Err *err)
{
    g_autofree char *www_key = NULL;
    int r;

    if (strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0) {
        return 0;
    }
    if (request->csrf == NULL) {
        return err_setf(err, -EACCES, "no CSRFPreventionToken");
    }
    if ((r = api_auth_www_key(pve, &www_key, err)) < 0) {
        return r;
    }
    r = wire_csrf_check(request->csrf, www_key, user, now, err);
    explicit_bzero(www_key, strlen(www_key));
    return r;
}

static int by_ticket(const char *pve,
                     const ApiRequest *request,
                     const char *ticket,
                     WallTime now,
                     ApiCaller *ret,
                     Err *err)
{
    g_autofree char *user = NULL;
    int r;

    if ((r = ticket_keys_verify(pve, ticket, now, &user, err)) < 0 ||
        (r = usercfg_check_user(ret->cfg, user, now, err)) < 0 ||
        (r = check_csrf(pve, request, user, now, err)) < 0) {
        return r;
    }
    ret->who = g_strdup(user);
    ret->user = g_steal_pointer(&user);
    return 0;
}

/* Lines `ID SECRET`. */
static bool secret_is(const char *text, const char *id, const char *secret)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    bool good = false;

    for (guint i = 0; lines[i] != NULL; i++) {
        gsize n = strlen(id);

        if (strncmp(lines[i], id, n) == 0 && lines[i][n] == ' ') {
            good = wire_ticket_same_text(g_strstrip(lines[i] + n), secret);
        }
        explicit_bzero(lines[i], strlen(lines[i]));
    }
    return good;
}

static int by_token(
    const char *pve, const char *id, const char *secret, WallTime now, ApiCaller *ret, Err *err)
{
    g_autofree char *path = g_build_filename(pve, "priv", "token.cfg", NULL);
    char *text = NULL;
    gsize size = 0;
    int r;

    if ((r = usercfg_check_token(ret->cfg, id, now, err)) < 0 ||
        (r = cfsfile_read(path, TOKEN_FILE_MAX, &text, &size, err)) < 0) {
        return -EACCES;
    }
    r = secret_is(text, id, secret) ? 0 : -EACCES;
    explicit_bzero(text, size);
    g_free(text);
    if (r < 0) {
        return err_setf(err, r, "API token '%s': wrong secret", id);
    }
    ret->who = g_strdup(id);
    ret->user = g_strndup(id, strcspn(id, "!"));
    return 0;
}

int api_auth_caller(
    const char *pve, const ApiRequest *request, WallTime now, ApiCaller *ret, Err *err)
{
    g_auto(ApiCaller) c = {0};
    g_autofree char *ticket = wire_ticket_from_cookie(request->cookie);
    g_autofree char *id = NULL;
    char *secret = NULL;
    int r = api_auth_read_users(pve, &c.cfg, err);

    if (r < 0) {
        return r;
    }
    if (ticket == NULL) {
        ticket = wire_ticket_from_authorization(request->authorization);
    }
    if (ticket != NULL) {
        r = by_ticket(pve, request, ticket, now, &c, err);
    } else if (wire_api_token_parse(request->authorization, &id, &secret)) {
        r = by_token(pve, id, secret, now, &c, err);
        explicit_bzero(secret, strlen(secret));
        g_free(secret);
    } else {
        r = err_setf(err, -EACCES, "no ticket");
    }
    if (r < 0) {
        return r;
    }
    *ret = c;
    c = (ApiCaller){0};
    return 0;
}

int api_auth_need(const ApiCaller *c, const char *path, const char *privs, Err *err)
{
    g_auto(GStrv) names = g_strsplit(privs, "|", -1);
    PrivSet have = usercfg_privileges(c->cfg, c->who, path);

    for (guint i = 0; names[i] != NULL; i++) {
        if (have & usercfg_priv(names[i])) {
            return 0;
        }
    }
    return err_setf(err, -EPERM, "Permission check failed (%s, %s)", path, privs);
}

int api_auth_need_root(const ApiCaller *c, Err *err)
{
    return strcmp(c->who, USERCFG_ROOT) == 0
               ? 0
               : err_setf(err, -EPERM, "Permission check failed (user != root@pam)");
}
