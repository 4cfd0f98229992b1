/* SPDX-License-Identifier: Apache-2.0 */
#include "api/io/api_front.h"

#include "api/core/api_format.h"
#include "api/core/api_guard.h"
#include "api/core/api_route.h"
#include "api/io/api_peer.h"
#include "lib/port/api_socket.h"
#include "lib/port/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPORTER_LABEL "EXPORTER-pve-join-v1"
#define EXPORTER_SIZE  32

struct ApiFront {
    struct MHD_Daemon *daemon;
    char *cert, *key, *run_dir, *pve;
    char *self; /* name of this node */
    Tracer tracer;
    GMutex lock; /* protects guard */
    ApiGuard *guard;
};

typedef struct Call {
    GByteArray *body;
    bool too_large;
    uint32_t refused; /* HTTP status by which the headers alone are refused; 0: go on */
} Call;

/* ---- one request ------------------------------------------------------------------------------
 */

static char *peer_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char text[INET6_ADDRSTRLEN] = "?";

    if (info == NULL) {
        return g_strdup(text);
    }
    if (info->client_addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)info->client_addr;

        (void)inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
    } else if (info->client_addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)info->client_addr;

        (void)inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
    }
    return g_str_has_prefix(text, "::ffff:") ? g_strdup(text + 7) : g_strdup(text);
}

static GBytes *exporter_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    char out[EXPORTER_SIZE];

    if (info == NULL ||
        gnutls_prf_rfc5705(info->tls_session, sizeof EXPORTER_LABEL - 1, EXPORTER_LABEL, 0, NULL,
                           sizeof out, out) != GNUTLS_E_SUCCESS) {
        return NULL;
    }
    return g_bytes_new(out, sizeof out);
}

static enum MHD_Result
add_query(void *ctx, enum MHD_ValueKind kind, const char *key, const char *value)
{
    GString *out = ctx;
    g_autofree char *k = g_uri_escape_string(key, NULL, FALSE);
    g_autofree char *v = value != NULL ? g_uri_escape_string(value, NULL, FALSE) : g_strdup("");

    (void)kind;
    g_string_append_printf(out, "%s%s=%s", out->len > 0 ? "&" : "", k, v);
    return MHD_YES;
}

static void fill_request(struct MHD_Connection *connection,
                         const char *method,
                         const char *path,
                         Call *call,
                         ApiFormat *ret_format,
                         ApiRequest *r)
{
    g_autoptr(GString) query = g_string_new(NULL);

    (void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, add_query, query);
    /* The answer to HEAD is that to GET; the library leaves the body out. */
    r->method = g_strdup(strcmp(method, "HEAD") == 0 ? "GET" : method);
    r->path = api_format_path(path, ret_format);
    r->query = query->len > 0 ? g_strdup(query->str) : NULL;
    r->body = call->body->len > 0 ? g_bytes_new(call->body->data, call->body->len) : NULL;
    r->peer = peer_of(connection);
    r->authorization =
        g_strdup(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization"));
    r->cookie = g_strdup(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Cookie"));
    r->csrf =
        g_strdup(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "CSRFPreventionToken"));
    r->exporter = exporter_of(connection);
}

static int64_t must_wait_ms(ApiFront *f, const char *peer)
{
    int64_t ms;

    g_mutex_lock(&f->lock);
    ms = api_guard_wait_ms(f->guard, peer, clock_mono());
    g_mutex_unlock(&f->lock);
    return ms;
}

/* Whom failures are counted for: the address; of IPv6 the network, which one host owns whole. */
static char *guarded_peer(const char *peer)
{
    struct in6_addr in6;
    char text[INET6_ADDRSTRLEN] = "";

    if (inet_pton(AF_INET6, peer, &in6) != 1) {
        return g_strdup(peer);
    }
    memset(in6.s6_addr + 8, 0, 8);
    (void)inet_ntop(AF_INET6, &in6, text, sizeof text); /* large enough for any */
    return g_strconcat(text, "/64", NULL);
}

/* Did the caller prove himself? Only then does success make up for failures: what everybody may ask
 * for must not wash a guesser clean. */
static bool proves(const ApiRequest *request)
{
    return request->cookie != NULL || request->authorization != NULL ||
           strcmp(request->method, "POST") == 0;
}

static void note_result(ApiFront *f, const char *peer, const ApiRequest *request, uint32_t status)
{
    unsigned failures;

    if (status != 401 && (status != 200 || !proves(request))) {
        return; /* says nothing about who asks */
    }
    g_mutex_lock(&f->lock);
    failures = api_guard_result(f->guard, peer, status == 200, clock_mono());
    g_mutex_unlock(&f->lock);
    if (failures > API_GUARD_FREE) {
        trace(&f->tracer, TRACE_WARNING, "%u failed attempts in a row from %s, slowing it down",
              failures, peer);
    }
}

/* Another node, or the daemon here. False when there was no answer to take anything from. */
static bool
ask(ApiFront *f, const ApiRoute *route, const ApiRequest *request, bool alone, ApiAnswer *answer)
{
    g_autofree char *node = api_peer_node(request->path, f->self);
    g_autofree char *socket = g_build_filename(f->run_dir, route->socket, NULL);
    Err err = ERR_INIT;

    if (node != NULL && alone) {
        api_answer_error(answer, 500, "this is not that node, and it was asked for by another one");
        return false;
    }
    if (node != NULL) {
        api_peer_ask(f->pve, node, request, answer);
        return true;
    }
    if (api_socket_ask(socket, request, answer, &err) < 0) {
        trace(&f->tracer, TRACE_ERR, "%s", err_text(&err));
        api_answer_error(answer, 503, "the daemon behind this path does not answer");
        return false;
    }
    return true;
}

/* `alone`: another node asks for its client; the request must not go further. */
static void forward(ApiFront *f, const ApiRequest *request, bool alone, ApiAnswer *answer)
{
    const ApiRoute *route = api_route_find(request->path);
    g_autofree char *peer = guarded_peer(request->peer);
    gint64 began = g_get_monotonic_time();

    if (route == NULL) {
        const char *path =
            request->path +
            (g_str_has_prefix(request->path, API_PREFIX "/") ? sizeof API_PREFIX - 1 : 0);
        g_autofree char *text =
            g_strdup_printf("Method '%s %.256s' not implemented", request->method, path);

        api_answer_error(answer, 501, text);
        return;
    }
    if (must_wait_ms(f, peer) > 0) {
        api_answer_error(answer, 429, "too many failed attempts; wait a little");
        return;
    }
    if (!ask(f, route, request, alone, answer)) {
        return;
    }
    note_result(f, peer, request, answer->status);
    if (answer->status == 401) {
        /* Every refusal takes the same time: it tells nothing, and guessing is slow. */
        gint64 left = began + API_REFUSE_MS * 1000 - g_get_monotonic_time();

        g_usleep(left > 0 ? (gulong)left : 0);
    }
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, const ApiAnswer *answer)
{
    gsize size;
    const void *data = g_bytes_get_data(answer->body, &size);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, (void *)data, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result r;

    if (response == NULL) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, "Content-Type", "application/json;charset=UTF-8");
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    if (answer->status >= 400) {
        (void)MHD_add_response_header(response, "Connection", "close");
    }
    if (answer->cookie != NULL) {
        (void)MHD_add_response_header(response, "Set-Cookie", answer->cookie);
    }
    r = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return r;
}

/* Takes a piece of the body. One of another kind would be read as what it is not. */
static void take_body(struct MHD_Connection *connection, Call *call, const char *data, size_t size)
{
    const char *coding =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Transfer-Encoding");
    const char *type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Type");

    call->refused = coding != NULL ? 501 : api_format_readable(type) ? 0 : 506;
    call->too_large = call->too_large || call->body->len + size > WIRE_API_BODY_MAX;
    if (!call->too_large && call->refused == 0) {
        g_byte_array_append(call->body, (const guint8 *)data, (guint)size);
    }
}

static void answer_refused(ApiAnswer *answer, uint32_t status)
{
    api_answer_error(answer, status,
                     status == 501 ? "chunked transfer encoding is not supported"
                                   : "the body is neither a form nor JSON");
}

static enum MHD_Result on_request(void *ctx,
                                  struct MHD_Connection *connection,
                                  const char *path,
                                  const char *method,
                                  const char *version,
                                  const char *data,
                                  size_t *size,
                                  void **slot)
{
    ApiFront *f = ctx;
    Call *call = *slot;
    g_auto(ApiRequest) request = {0};
    g_auto(ApiAnswer) answer = {0};
    ApiFormat format = API_FORMAT_JSON;

    (void)version;
    if (call == NULL) {
        call = g_new0(Call, 1);
        call->body = g_byte_array_new();
        *slot = call;
        return MHD_YES; /* headers only; the body follows */
    }
    if (*size > 0) {
        take_body(connection, call, data, *size);
        *size = 0;
        return MHD_YES;
    }
    if (call->refused != 0) {
        answer_refused(&answer, call->refused);
    } else if (call->too_large) {
        api_answer_error(&answer, 413, "the request is too large");
    } else {
        bool alone =
            MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "PVEDisableProxy") != NULL;

        fill_request(connection, method, path, call, &format, &request);
        forward(f, &request, alone, &answer);
    }
    api_format_answer(format, &answer);
    return send_answer(connection, &answer);
}

static void on_done(void *ctx,
                    struct MHD_Connection *connection,
                    void **slot,
                    enum MHD_RequestTerminationCode code)
{
    Call *call = *slot;

    (void)ctx, (void)connection, (void)code;
    if (call != NULL) {
        g_byte_array_unref(call->body);
        g_free(call);
        *slot = NULL;
    }
}

/* ---- life -------------------------------------------------------------------------------------
 */

/* The library does not turn to IPv4 by itself on a kernel that was told to have no IPv6. */
static unsigned families(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool lacks_ipv6 = fd < 0 && errno == EAFNOSUPPORT;

    if (fd >= 0) {
        (void)close(fd); /* only asked whether it can be made */
    }
    return lacks_ipv6 ? 0 : MHD_USE_DUAL_STACK;
}

int api_front_start(const ApiFrontConfig *cfg, ApiFront **ret, Err *err)
{
    ApiFront *f = g_new0(ApiFront, 1);
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_TLS |
                     MHD_USE_POLL | families();

    f->cert = g_strdup(cfg->cert);
    f->key = g_strdup(cfg->key);
    f->run_dir = g_strdup(cfg->run_dir);
    f->pve = g_strdup(cfg->pve);
    f->self = g_strndup(g_get_host_name(), strcspn(g_get_host_name(), "."));
    f->tracer = cfg->tracer != NULL ? *cfg->tracer : (Tracer){0};
    g_mutex_init(&f->lock);
    f->guard = api_guard_new();
    errno = 0;
    f->daemon = MHD_start_daemon(
        flags, cfg->port, NULL, NULL, on_request, f, MHD_OPTION_HTTPS_MEM_CERT, f->cert,
        MHD_OPTION_HTTPS_MEM_KEY, f->key, MHD_OPTION_HTTPS_PRIORITIES,
        "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)API_CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)API_PER_PEER_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)API_IDLE_SEC,
        MHD_OPTION_NOTIFY_COMPLETED, on_done, NULL, MHD_OPTION_END);
    if (f->daemon == NULL) {
        int r = errno != 0 ? -errno : -EBADMSG;

        api_front_stop(f);
        return err_setf(err, r, "serving HTTPS on port %u: %s", cfg->port,
                        r == -EBADMSG ? "certificate or key cannot be used" : strerror(-r));
    }
    *ret = f;
    return 0;
}

void api_front_stop(ApiFront *f)
{
    if (f == NULL) {
        return;
    }
    if (f->daemon != NULL) {
        MHD_stop_daemon(f->daemon);
    }
    api_guard_free(f->guard);
    g_mutex_clear(&f->lock);
    g_free(f->cert);
    if (f->key != NULL) {
        explicit_bzero(f->key, strlen(f->key));
        g_free(f->key);
    }
    g_free(f->run_dir);
    g_free(f->pve);
    g_free(f->self);
    g_free(f);
}
