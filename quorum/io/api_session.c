/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/api_session.h"

#include "lib/base/jsontree.h"
#include "lib/port/tls_client.h"

#include <errno.h>
#include <string.h>

#define PREFIX "/api2/json"

struct ApiSession {
    char *host, *port;
    uint8_t digest[TLS_FINGERPRINT_SIZE];
    char *cookie, *csrf;
};

static void wipe(char *text)
{
    if (text != NULL) {
        explicit_bzero(text, strlen(text));
        g_free(text);
    }
}

void api_session_free(ApiSession *s)
{
    if (s != NULL) {
        g_free(s->host);
        g_free(s->port);
        wipe(s->cookie);
        wipe(s->csrf);
        g_free(s);
    }
}

const char *api_session_host(const ApiSession *s)
{
    return s->host;
}

/* "a=b&c=d", escaped. Caller wipes and frees. */
static char *form_of(const char *const *params)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; params != NULL && params[i] != NULL && params[i + 1] != NULL; i += 2) {
        char *value = g_uri_escape_string(params[i + 1], NULL, FALSE);

        g_string_append_printf(out, "%s%s=%s", out->len > 0 ? "&" : "", params[i], value);
        wipe(value);
    }
    return g_string_free(out, FALSE);
}

int api_session_call(ApiSession *s,
                     const char *method,
                     const char *path,
                     const char *const *params,
                     HttpAnswer *ret,
                     Err *err)
{
    bool in_body = strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;
    TlsConfig cfg = {.host = s->host,
                     .port = s->port,
                     .trust = TLS_TRUST_FINGERPRINT,
                     .digest = s->digest,
                     .timeout_ms = API_SESSION_TIMEOUT_MS};
    HttpRequest request = {.method = method, .cookie = s->cookie, .csrf = s->csrf};
    g_autoptr(TlsClient) tls = NULL;
    char *form = form_of(params);
    g_autofree char *target = g_strdup_printf(
        PREFIX "%s%s%s", path, !in_body && *form != '\0' ? "?" : "", in_body ? "" : form);
    int r = tls_client_connect(&cfg, &tls, err);

    request.target = target;
    if (in_body) {
        request.content_type = "application/x-www-form-urlencoded";
        request.body = form;
        request.body_size = strlen(form);
    }
    if (r == 0) {
        r = tls_client_request(tls, &request, ret, err);
    }
    wipe(form);
    return r;
}

static int parse(const HttpAnswer *a, JsonTree **ret, Err *err)
{
    gsize size;
    const char *text = g_bytes_get_data(a->body, &size);

    return jsontree_parse(text != NULL ? text : "", size, ret, err);
}

static int errno_of(int status)
{
    switch (status) {
    case 400:
        return -EINVAL;
    case 401:
    case 403:
        return -EPERM;
    case 424:
        return -ENOENT;
    case 429:
    case 503:
        return -EAGAIN;
    case 501:
        return -ENOSYS;
    default:
        return -EREMOTEIO;
    }
}

int api_session_refusal(const HttpAnswer *a, const char *what, Err *err)
{
    g_autoptr(JsonTree) tree = NULL;
    g_autoptr(GString) more = g_string_new(NULL);
    const JsonTree *errors;
    const char *message;

    (void)parse(a, &tree, NULL); /* no JSON: the reason phrase has to do */
    message = jsontree_get_text(tree, "message");
    errors = jsontree_get(tree, "errors");
    for (guint i = 0; i < jsontree_count(errors); i++) {
        const char *text = jsontree_text(jsontree_at(errors, i));

        g_string_append_printf(more, "; %s: %s", jsontree_key(errors, i), text != NULL ? text : "");
    }
    message = message != NULL && *message != '\0' ? message : a->reason;
    return err_setf(err, errno_of(a->status), "%s: the member answers %d: %.300s%.200s", what,
                    a->status, message != NULL ? message : "no reason given", more->str);
}

static int take_login(ApiSession *s, const HttpAnswer *a, Err *err)
{
    g_autoptr(JsonTree) tree = NULL;
    g_autofree char *escaped = NULL;
    const JsonTree *data;
    const char *ticket, *csrf;

    if (a->status != 200) {
        return api_session_refusal(a, "login", err);
    }
    if (parse(a, &tree, err) < 0) {
        return err_wrapf(err, -EBADMSG, "the member's answer to the login");
    }
    data = jsontree_get(tree, "data");
    if (jsontree_get_int(data, "NeedTFA", 0) != 0) {
        return err_setf(err, -EOPNOTSUPP,
                        "the member asks for a second factor: join by token instead ('pvecm token' "
                        "there)");
    }
    ticket = jsontree_get_text(data, "ticket");
    csrf = jsontree_get_text(data, "CSRFPreventionToken");
    if (ticket == NULL || csrf == NULL) {
        return err_setf(err, -EBADMSG, "the member's answer to the login is incomplete");
    }
    escaped = g_uri_escape_string(ticket, NULL, FALSE);
    s->cookie = g_strconcat("PVEAuthCookie=", escaped, NULL);
    s->csrf = g_strdup(csrf);
    explicit_bzero(escaped, strlen(escaped));
    return 0;
}

int api_session_login(
    const ApiPeer *peer, const char *user, const char *password, ApiSession **ret, Err *err)
{
    const char *const params[] = {"username", user, "password", password, NULL};
    g_autoptr(ApiSession) s = g_new0(ApiSession, 1);
    g_auto(HttpAnswer) a = {0};
    int r;

    s->host = g_strdup(peer->host);
    s->port = g_strdup(peer->port);
    memcpy(s->digest, peer->digest, sizeof s->digest);
    if ((r = api_session_call(s, "POST", "/access/ticket", params, &a, err)) < 0 ||
        (r = take_login(s, &a, err)) < 0) {
        return r;
    }
    *ret = g_steal_pointer(&s);
    return 0;
}
