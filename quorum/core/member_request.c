/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/core/member_request.h"

#include "lib/base/hextext.h"
#include "lib/base/jsontext.h"
#include "lib/conf/corosync_nodes.h"
#include "quorum/core/joinjson.h"

#include <errno.h>
#include <json-glib/json-glib.h>
#include <string.h>

STRTAB_DEFINE(member_step, MemberStep, MEMBER_STEP_LIST, MEMBER_STEP_N)

void member_request_done(MemberRequest *r)
{
    g_clear_pointer(&r->node, g_free);
}

static int read_object(JsonObject *o, MemberRequest *r, Err *err)
{
    const char *step = joinjson_text(o, "step");
    const char *node = joinjson_text(o, "node");
    int64_t version = -1;
    int64_t id = -1; /* what is missing is refused below */
    int64_t keep = 0, config = -1;
    int at = step != NULL ? member_step_from_name(step) : -1;

    (void)joinjson_number(o, "nodeid", &id);
    if (!joinjson_number(o, "version", &version) || version != MEMBER_VERSION) {
        return err_setf(err, -EBADMSG, "this cluster speaks version %d of the member protocol",
                        MEMBER_VERSION);
    }
    if (at < 0 || node == NULL || !corosync_valid_name(node) ||
        id < (at == MEMBER_STEP_DOOR ? 0 : 1) || id > UINT32_MAX ||
        !hextext_parse(joinjson_text(o, "proof"), r->proof, sizeof r->proof)) {
        return err_setf(err, -EBADMSG, "the request lacks step, node, nodeid or proof");
    }
    r->step = (MemberStep)at;
    r->node = g_strdup(node);
    r->nodeid = (uint32_t)id;
    r->keep_guests = joinjson_number(o, "keep_guests", &keep) && keep == 1;
    r->config =
        joinjson_number(o, "config", &config) && config >= 0 ? (uint64_t)config : UINT64_MAX;
    return 0;
}

int member_request_parse(const char *json, gsize size, MemberRequest *ret, Err *err)
{
    g_auto(MemberRequest) r = {0};
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    JsonNode *root;
    int rc;

    if (size > MEMBER_BODY_MAX || json_check_outline(json, size, JSON_DEPTH_MAX, NULL) < 0 ||
        !json_parser_load_from_data(parser, json, (gssize)size, NULL) ||
        (root = json_parser_get_root(parser)) == NULL || !JSON_NODE_HOLDS_OBJECT(root)) {
        return err_setf(err, -EBADMSG, "the request is no JSON object of a sensible size");
    }
    if ((rc = read_object(json_node_get_object(root), &r, err)) < 0) {
        return rc;
    }
    *ret = r;
    r = (MemberRequest){0};
    return 0;
}

char *member_request_format(const MemberRequest *r)
{
    g_autofree char *proof = hextext_format(r->proof, sizeof r->proof);
    GString *out = g_string_new(NULL);

    g_string_append_printf(out, "{\"version\":%d,\"step\":\"%s\",\"nodeid\":%u,\"keep_guests\":%d",
                           MEMBER_VERSION, member_step_name(r->step), r->nodeid, r->keep_guests);
    if (r->config <= INT64_MAX) {
        g_string_append_printf(out, ",\"config\":%" G_GUINT64_FORMAT, r->config);
    }
    g_string_append(out, ",\"node\":");
    json_append_string(out, r->node);
    g_string_append_printf(out, ",\"proof\":\"%s\"}", proof);
    return g_string_free(out, FALSE);
}

/* The key of the messaging layer serves here through a digest under a label of its own, and a
 * second one in jointoken_derive: nothing that is sent tells anything about it. */
void member_proof(const void *authkey,
                  gsize authkey_size,
                  const uint8_t exporter[JOINTOKEN_EXPORTER_SIZE],
                  const char *node,
                  uint8_t ret_proof[JOINTOKEN_KEY_SIZE])
{
    static const char label[] = "quorate-member-key-v1";
    g_autoptr(GHmac) hmac = g_hmac_new(G_CHECKSUM_SHA256, authkey, authkey_size);
    uint8_t secret[JOINTOKEN_SECRET_SIZE], key[JOINTOKEN_KEY_SIZE];
    gsize size = sizeof secret;

    g_hmac_update(hmac, (const guchar *)label, sizeof label);
    g_hmac_get_digest(hmac, secret, &size);
    jointoken_derive(secret, key);
    jointoken_proof(key, exporter, node, ret_proof);
    explicit_bzero(secret, sizeof secret);
    explicit_bzero(key, sizeof key);
}
