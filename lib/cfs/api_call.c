/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/cfs/api_call.h"

#include "lib/base/jsontext.h"
#include "lib/port/clock.h"

#include <errno.h>
#include <string.h>

#define PART_MAX 256u /* bytes of one component of a path */

/* ---- answers ----------------------------------------------------------------------------------
 */

static void set_body(ApiAnswer *ret, uint32_t status, GString *body)
{
    gsize size = body->len;

    ret->status = status;
    if (ret->body != NULL) {
        g_bytes_unref(ret->body);
    }
    ret->body = g_bytes_new_take(g_string_free(body, FALSE), size);
}

static void fail(ApiAnswer *ret, uint32_t status, const char *text, const char *errors)
{
    GString *body = g_string_new("{\"data\":null,\"message\":");

    json_append_string(body, text);
    if (errors != NULL) {
        g_string_append_printf(body, ",\"errors\":%s", errors);
    }
    g_string_append_c(body, '}');
    set_body(ret, status, body);
}

static uint32_t status_of(int code)
{
    switch (code) {
    case -EBADMSG:
    case -EINVAL:
    case -E2BIG:
        return 400;
    case -EPERM:
        return 403;
    case -ENOTCONN:
    case -ETIMEDOUT:
    case -EACCES: /* of the tree: no quorum */
        return 503;
    default:
        return 500;
    }
}

static void succeed(ApiCall *c, ApiAnswer *ret)
{
    GString *body = g_string_new("{\"data\":");

    if (c->raw != NULL) {
        g_string_append(body, c->raw);
    } else if (c->data != NULL) {
        jsontree_append(body, c->data);
    } else {
        g_string_append(body, "null");
    }
    if (c->total >= 0) {
        g_string_append_printf(body, ",\"total\":%" G_GINT64_FORMAT, c->total);
    }
    g_string_append_c(body, '}');
    set_body(ret, 200, body);
    ret->cookie = g_steal_pointer(&c->cookie);
}

/* ---- finding ----------------------------------------------------------------------------------
 */

bool api_call_match(const char *pattern, const char *path, char **ret_parts)
{
    g_auto(GStrv) want = g_strsplit(pattern, "/", 16);
    g_auto(GStrv) have = g_strsplit(path, "/", 16);
    guint n = 0;
    guint count = g_strv_length(want);

    if (g_strv_length(have) != count) {
        return false;
    }
    for (guint i = 0; i < count; i++) {
        bool variable = want[i][0] == '{';

        if (variable ? *have[i] == '\0' || strlen(have[i]) > PART_MAX
                     : strcmp(want[i], have[i]) != 0) {
            return false;
        }
    }
    for (guint i = 0; ret_parts != NULL && i < count; i++) {
        if (want[i][0] == '{' && n < API_CALL_PARTS_MAX) {
            ret_parts[n++] = g_strdup(have[i]);
        }
    }
    return true;
}

static const ApiEndpoint *find(const ApiTable *table, const ApiRequest *request, char **parts)
{
    const char *path = request->path;
    g_autofree char *trimmed = NULL;

    if (!g_str_has_prefix(path, API_CALL_PREFIX)) {
        return NULL;
    }
    trimmed = g_strdup(path + sizeof API_CALL_PREFIX - 1);
    while (g_str_has_suffix(trimmed, "/") && strlen(trimmed) > 1) {
        trimmed[strlen(trimmed) - 1] = '\0';
    }
    for (const ApiEndpoint *e = table->endpoints; e->method != NULL; e++) {
        if (strcmp(e->method, request->method) == 0 && api_call_match(e->path, trimmed, parts)) {
            return e;
        }
    }
    return NULL;
}

/* ---- running ----------------------------------------------------------------------------------
 */

/* 0 or the HTTP status to refuse with. */
static uint32_t prove(ApiCall *c, const ApiEndpoint *e, Err *err)
{
    int r;

    if (e->need == API_NEED_WORLD) {
        return 0;
    }
    r = api_auth_caller(c->pve, c->request, clock_wall(), &c->caller, err);
    if (r == -EACCES) {
        /* The caller learns only that; the reason is for us. */
        trace(c->tracer, TRACE_INFO, "%s %s from %s is refused: %s", c->request->method,
              c->request->path, c->request->peer, err_text(err));
        err_clear(err);
        (void)err_setf(err, r, "%s",
                       c->request->cookie != NULL || c->request->authorization != NULL
                           ? "permission denied - invalid PVE ticket"
                           : "No ticket");
        return 401;
    }
    if (r < 0) {
        return 500;
    }
    if (e->need == API_NEED_ROOT) {
        r = api_auth_need_root(&c->caller, err);
    } else if (e->need == API_NEED_PRIV) {
        r = api_auth_need(&c->caller, e->priv_path, e->privs, err);
    }
    return r < 0 ? 403 : 0;
}

/* Clients send the variables of the path once more; when they say something else it is an error. */
static int drop_repeated(ApiCall *c, const ApiEndpoint *e, Err *err)
{
    g_auto(GStrv) words = g_strsplit(e->path, "/", 16);
    guint n = 0;

    for (guint i = 0; words[i] != NULL && n < API_CALL_PARTS_MAX; i++) {
        char *end = words[i][0] == '{' ? strchr(words[i], '}') : NULL;

        if (end == NULL) {
            continue;
        }
        *end = '\0';
        if (!params_drop_repeated(c->params, words[i] + 1, c->part[n++])) {
            c->errors = g_strdup_printf("{\"%s\":\"differs from the path\"}", words[i] + 1);
            return err_setf(err, -EINVAL, "Parameter verification failed.");
        }
    }
    return 0;
}

static int read_params(ApiCall *c, const ApiEndpoint *e, Err *err)
{
    static const ParamSpec none[] = {{0}};
    gsize size = 0;
    const void *body = c->request->body != NULL ? g_bytes_get_data(c->request->body, &size) : NULL;
    bool reads =
        strcmp(c->request->method, "GET") == 0 || strcmp(c->request->method, "DELETE") == 0;
    int r;

    if (reads && size > 0) {
        c->status = 501;
        return err_setf(err, -EBADMSG, "Unexpected content for method '%s'", c->request->method);
    }
    if ((r = params_parse(c->request->query, body, size, &c->params, err)) < 0 ||
        (r = drop_repeated(c, e, err)) < 0) {
        return r;
    }
    c->errors = params_check(c->params, e->params != NULL ? e->params : none);
    return c->errors != NULL ? err_setf(err, -EINVAL, "Parameter verification failed.") : 0;
}

static void call_done(ApiCall *c)
{
    api_caller_done(&c->caller);
    params_free(c->params);
    jsontree_free(c->data);
    if (c->raw != NULL) {
        explicit_bzero(c->raw, strlen(c->raw));
        g_free(c->raw);
    }
    g_free(c->cookie);
    g_free(c->errors);
    for (guint i = 0; i < API_CALL_PARTS_MAX; i++) {
        g_free(c->part[i]);
    }
}

static void run(ApiCall *c, const ApiEndpoint *e, ApiAnswer *ret)
{
    Err err = ERR_INIT;
    uint32_t status = prove(c, e, &err);
    int r;

    if (status != 0) {
        fail(ret, status, err_text(&err), NULL);
        return;
    }
    r = read_params(c, e, &err);
    if (r == 0) {
        r = e->run(c, &err);
    }
    if (r == 0) {
        succeed(c, ret);
        return;
    }
    err.code = err.code != 0 ? err.code : r; /* a bare number still has its text */
    trace(c->tracer, TRACE_INFO, "%s %s by '%s' from %s: %s", e->method, c->request->path,
          c->caller.who != NULL ? c->caller.who : "", c->request->peer, err_text(&err));
    fail(ret, c->status != 0 ? c->status : status_of(r), err_text(&err), c->errors);
}

void api_call_serve(const ApiTable *table, const ApiRequest *request, ApiAnswer *ret)
{
    ApiCall c = {.ctx = table->ctx,
                 .pve = table->pve,
                 .tracer = table->tracer,
                 .request = request,
                 .total = -1};
    const ApiEndpoint *e = find(table, request, c.part);

    if (e == NULL) {
        const char *path = g_str_has_prefix(request->path, API_CALL_PREFIX)
                               ? request->path + sizeof API_CALL_PREFIX - 1
                               : request->path;
        g_autofree char *text =
            g_strdup_printf("Method '%s %.256s' not implemented", request->method, path);

        fail(ret, 501, text, NULL);
    } else {
        run(&c, e, ret);
    }
    call_done(&c);
}
