/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/join_call.h"

#include "lib/base/jsontext.h"
#include "lib/port/clock.h"
#include "lib/port/tls_client.h"
#include "quorum/core/joinjson.h"

#include <errno.h>
#include <string.h>

#define JOIN_TARGET "/api2/json/cluster/config/join2"

static void split_address(const char *address, char **ret_host, const char **ret_port)
{
    const char *end = strchr(address, ']');

    *ret_port = JOIN_PORT;
    if (address[0] == '[' && end != NULL) {
        *ret_host = g_strndup(address + 1, (gsize)(end - address - 1));
        *ret_port = end[1] == ':' ? end + 2 : JOIN_PORT;
    } else if (strchr(address, ':') != NULL && strchr(address, ':') == strrchr(address, ':')) {
        *ret_host = g_strndup(address, strcspn(address, ":"));
        *ret_port = strchr(address, ':') + 1;
    } else {
        *ret_host = g_strdup(address);
    }
}

static void fill_request(Joiner *j, JoinStep step, const char *csr, JoinRequest *q)
{
    q->step = step;
    memcpy(q->id, j->token.id, sizeof q->id);
    q->node = g_strdup(j->node);
    q->csr = g_strdup(csr);
    q->address = g_strdup(j->address);
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        q->link[i] = j->opt->links[i].present ? g_strdup(j->opt->links[i].address) : NULL;
    }
    q->clock = clock_wall();
    q->vmids = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    for (guint i = 0; i < j->guests->len; i++) {
        const JoinerGuest *g = g_ptr_array_index(j->guests, i);
        uint32_t vmid = (uint32_t)g_ascii_strtoull(g->name, NULL, 10);

        g_array_append_val(q->vmids, vmid);
    }
}

static int ask_one(Joiner *j, const char *address, JoinRequest *q, HttpAnswer *ret, Err *err)
{
    uint8_t exporter[JOINTOKEN_EXPORTER_SIZE], key[JOINTOKEN_KEY_SIZE];
    g_autoptr(TlsClient) tls = NULL;
    g_autofree char *host = NULL;
    g_autofree char *body = NULL;
    HttpRequest http = {
        .method = "POST", .target = JOIN_TARGET, .content_type = "application/json"};
    TlsConfig cfg = {
        .trust = TLS_TRUST_CA_KEY, .digest = j->token.ca, .timeout_ms = JOIN_CALL_TIMEOUT_MS};
    int r;

    split_address(address, &host, &cfg.port);
    cfg.host = host;
    if ((r = tls_client_connect(&cfg, &tls, err)) < 0 ||
        (r = tls_client_exporter(tls, JOINTOKEN_EXPORTER, exporter, sizeof exporter, err)) < 0) {
        return r;
    }
    jointoken_derive(j->token.secret, key);
    jointoken_proof(key, exporter, q->node, q->proof);
    explicit_bzero(key, sizeof key);
    body = join_request_format(q);
    http.body = body;
    http.body_size = strlen(body);
    return tls_client_request(tls, &http, ret, err);
}

/* Codes of the API as ours. */
static int errno_of(int status)
{
    switch (status) {
    case 200:
        return 0;
    case 400:
        return -EBADMSG;
    case 401:
    case 403:
        return -EPERM;
    case 409:
        return -EEXIST;
    case 429:
    case 503:
        return -EAGAIN;
    default:
        return -EREMOTEIO;
    }
}

static int refusal(const HttpAnswer *a, Err *err)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    const char *message = NULL;
    gsize size;
    const char *text = g_bytes_get_data(a->body, &size);
    int r = errno_of(a->status);

    if (json_check_outline(text, size, JSON_DEPTH_MAX, NULL) == 0 &&
        json_parser_load_from_data(parser, text, (gssize)size, NULL) &&
        JSON_NODE_HOLDS_OBJECT(json_parser_get_root(parser))) {
        JsonObject *o = json_node_get_object(json_parser_get_root(parser));

        message = joinjson_text(o, "message");
    }
    return err_setf(err, r, "%s%s", r == -EAGAIN ? "" : "the cluster refuses: ",
                    message != NULL     ? message
                    : a->reason != NULL ? a->reason
                                        : "no reason given");
}

static int read_answer(const HttpAnswer *a, JsonParser **ret, Err *err)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    gsize size;
    const char *text = g_bytes_get_data(a->body, &size);

    if (json_check_outline(text, size, JSON_DEPTH_MAX, NULL) < 0 ||
        !json_parser_load_from_data(parser, text, (gssize)size, NULL) ||
        !JSON_NODE_HOLDS_OBJECT(json_parser_get_root(parser))) {
        return err_setf(err, -EBADMSG, "the cluster's answer cannot be read");
    }
    *ret = g_steal_pointer(&parser);
    return 0;
}

/* Asks one member after the other; only one that cannot be reached, or is not able to, sends us on.
 * A member that wants us to wait counts for more than one that is away: -EAGAIN. */
int join_call(Joiner *j, JoinStep step, const char *csr, JsonParser **ret, Err *err)
{
    Err later = ERR_INIT;
    int r = -EHOSTUNREACH;

    for (guint i = 0; i < j->token.addresses->len; i++) {
        g_auto(JoinRequest) q = {0};
        g_auto(HttpAnswer) a = {0};

        fill_request(j, step, csr, &q);
        err_clear(err);
        r = ask_one(j, g_ptr_array_index(j->token.addresses, i), &q, &a, err);
        if (r == 0 && a.status == 200) {
            return read_answer(&a, ret, err);
        }
        if (r == 0) {
            r = refusal(&a, err);
        }
        if (r == -EPERM || r == -EEXIST || r == -EBADMSG || r == -EKEYREJECTED) {
            return r;
        }
        if (r == -EAGAIN) {
            later = *err;
        }
    }
    if (later.code != 0) {
        *err = later;
        r = -EAGAIN;
    }
    return r;
}

JsonObject *join_call_data(JsonParser *parser)
{
    JsonNode *node =
        json_object_get_member(json_node_get_object(json_parser_get_root(parser)), "data");

    return node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

/* Until when is it asked again? 0: the answer is final. The cluster takes in one group of nodes at
 * a time, others wait for their turn; and a member that dies while it holds the cluster's lock
 * leaves it behind for two minutes. A service that died is started again soon; before anything was
 * changed
 * (`hello`) nobody needs to wait for that. */
static gint64 patience(JoinStep step, int r, gint64 began)
{
    switch (r) {
    case -EAGAIN:
        return began + JOIN_CALL_QUEUE_SEC * G_USEC_PER_SEC;
    case -EPERM:
    case -EEXIST:
    case -EBADMSG:
    case -EKEYREJECTED:
    case -EREMOTEIO:
        return 0;
    default: /* no connection */
        return step == JOIN_STEP_HELLO ? 0 : began + JOIN_CALL_AWAY_SEC * G_USEC_PER_SEC;
    }
}

int join_call_patiently(Joiner *j, JoinStep step, const char *csr, JsonParser **ret, Err *err)
{
    gint64 began = g_get_monotonic_time();
    g_autofree char *told = NULL;
    int r;

    while ((r = join_call(j, step, csr, ret, err)) < 0 &&
           g_get_monotonic_time() < patience(step, r, began)) {
        if (g_strcmp0(told, err_text(err)) != 0) {
            joiner_say(j, "waiting: %s", err_text(err));
            g_free(told);
            told = g_strdup(err_text(err));
        }
        g_usleep(JOIN_CALL_RETRY_MS * 1000);
    }
    return r;
}
