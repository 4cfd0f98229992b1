/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/member_client.h"

#include "lib/base/jsontext.h"
#include "lib/cfs/cfsfile.h"
#include "lib/conf/corosync_nodes.h"
#include "lib/port/tls_client.h"
#include "quorum/io/certs.h"
#include "quorum/io/corosync_key.h"

#include <errno.h>
#include <string.h>

#define MEMBER_PORT   "8006"
#define MEMBER_TARGET "/api2/json/cluster/config/member2"

struct MemberPeers {
    char *self;
    uint32_t nodeid;
    uint64_t config;      /* version of this node's corosync.conf */
    GPtrArray *addresses; /* of char* */
    uint8_t ca[TLS_FINGERPRINT_SIZE];
    char *authkey;
    gsize authkey_size;
};

void member_peers_free(MemberPeers *p)
{
    if (p == NULL) {
        return;
    }
    if (p->authkey != NULL) {
        explicit_bzero(p->authkey, p->authkey_size);
    }
    g_free(p->authkey);
    g_free(p->self);
    g_clear_pointer(&p->addresses, g_ptr_array_unref);
    g_free(p);
}

static int take_nodes(MemberPeers *p, const char *text, gsize size, Err *err)
{
    g_autoptr(CorosyncConf) conf = NULL;
    g_autoptr(GPtrArray) nodes = NULL;
    const CorosyncNode *own;
    int r = corosync_conf_parse(text, size, &conf, err);

    if (r < 0) {
        return r;
    }
    nodes = corosync_nodes(conf);
    own = corosync_nodes_find(nodes, p->self);
    p->nodeid = own != NULL ? own->nodeid : 0;
    p->config = corosync_conf_version(conf);
    /* Link 0 of everybody before the other links: most members are asked when one is away. */
    for (unsigned n = 0; n < COROSYNC_LINKS_MAX; n++) {
        for (guint i = 0; i < nodes->len; i++) {
            const CorosyncNode *node = g_ptr_array_index(nodes, i);

            if (node != own && node->link[n] != NULL) {
                g_ptr_array_add(p->addresses, g_strdup(node->link[n]));
            }
        }
    }
    return 0;
}

int member_peers_read(const char *conf_path,
                      const char *ca_path,
                      const char *key_path,
                      const char *self,
                      MemberPeers **ret,
                      Err *err)
{
    g_autoptr(MemberPeers) p = g_new0(MemberPeers, 1);
    g_autofree char *conf = NULL;
    g_autofree char *ca = NULL;
    gsize size = 0;
    int r;

    p->self = g_strdup(self);
    p->addresses = g_ptr_array_new_with_free_func(g_free);
    if ((r = cfsfile_read(conf_path, COROSYNC_CONF_SIZE_MAX, &conf, &size, err)) < 0 ||
        (r = take_nodes(p, conf, size, err)) < 0 ||
        (r = cfsfile_read(ca_path, CERTS_PEM_SIZE_MAX, &ca, NULL, err)) < 0 ||
        (r = certs_key_digest(ca, p->ca, err)) < 0 ||
        (r = cfsfile_read(key_path, COROSYNC_KEY_MAX, &p->authkey, &p->authkey_size, err)) < 0) {
        return r;
    }
    *ret = g_steal_pointer(&p);
    return 0;
}

static int ask_one(MemberPeers *p, const char *address, MemberRequest *q, HttpAnswer *ret, Err *err)
{
    uint8_t exporter[JOINTOKEN_EXPORTER_SIZE];
    g_autoptr(TlsClient) tls = NULL;
    g_autofree char *body = NULL;
    HttpRequest http = {
        .method = "POST", .target = MEMBER_TARGET, .content_type = "application/json"};
    TlsConfig cfg = {.host = address,
                     .port = MEMBER_PORT,
                     .trust = TLS_TRUST_CA_KEY,
                     .digest = p->ca,
                     .timeout_ms = q->step == MEMBER_STEP_REMOVE ? MEMBER_REMOVE_TIMEOUT_MS
                                                                 : MEMBER_TIMEOUT_MS};
    int r;

    if ((r = tls_client_connect(&cfg, &tls, err)) < 0 ||
        (r = tls_client_exporter(tls, JOINTOKEN_EXPORTER, exporter, sizeof exporter, err)) < 0) {
        return r;
    }
    member_proof(p->authkey, p->authkey_size, exporter, p->self, q->proof);
    body = member_request_format(q);
    http.body = body;
    http.body_size = strlen(body);
    return tls_client_request(tls, &http, ret, err);
}

/* The answer's object; NULL when it has none of that name. */
static JsonObject *object_of(JsonParser *parser, const char *name)
{
    JsonNode *root = json_parser_get_root(parser);
    JsonNode *node = root != NULL && JSON_NODE_HOLDS_OBJECT(root)
                         ? json_object_get_member(json_node_get_object(root), name)
                         : NULL;

    return node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static int refusal(const HttpAnswer *a, JsonParser *parser, Err *err)
{
    JsonNode *root = json_parser_get_root(parser);
    const char *message = NULL;

    if (root != NULL && JSON_NODE_HOLDS_OBJECT(root)) {
        message =
            json_object_get_string_member_with_default(json_node_get_object(root), "message", NULL);
    }
    /* 4xx is a member's clear word; 5xx means that it could not do it now. */
    return err_setf(err, a->status == 403 || a->status == 409 ? -EPERM : -EREMOTEIO, "%s",
                    message != NULL ? message : "the member gives no reason");
}

int member_ask(MemberPeers *p,
               MemberStep step,
               bool keep_guests,
               JsonParser **ret,
               JsonObject **ret_data,
               Err *err)
{
    MemberRequest q = {.step = step,
                       .node = p->self,
                       .nodeid = p->nodeid,
                       .config = p->config,
                       .keep_guests = keep_guests};
    Err answered = ERR_INIT; /* by one that cannot do it: it says more than one that is away */
    int r = err_setf(err, -EHOSTUNREACH, "there is no other node to ask");

    if (p->nodeid == 0 && step != MEMBER_STEP_DOOR) {
        return err_setf(err, -ENOENT, "node '%s' is not in this node's corosync.conf", p->self);
    }
    for (guint i = 0; i < p->addresses->len; i++) {
        g_autoptr(JsonParser) parser = json_parser_new();
        g_auto(HttpAnswer) a = {0};
        const char *address = g_ptr_array_index(p->addresses, i);
        const char *text;
        gsize size;

        err_clear(err);
        if ((r = ask_one(p, address, &q, &a, err)) < 0) {
            continue;
        }
        text = g_bytes_get_data(a.body, &size);
        if (json_check_outline(text, size, JSON_DEPTH_MAX, NULL) < 0 ||
            !json_parser_load_from_data(parser, text, (gssize)size, NULL)) {
            r = err_setf(err, -EBADMSG, "%s: the answer cannot be read", address);
        } else if (a.status != 200) {
            r = refusal(&a, parser, err);
        } else if ((*ret_data = object_of(parser, "data")) == NULL) {
            r = err_setf(err, -EBADMSG, "%s: the answer has no data", address);
        } else {
            *ret = g_steal_pointer(&parser);
            return 0;
        }
        if (r == -EPERM) {
            return r;
        }
        (void)err_wrapf(err, r, "%s", address);
        answered = *err;
    }
    if (answered.code != 0) {
        *err = answered;
        r = answered.code;
    }
    return r;
}
