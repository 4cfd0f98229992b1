/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/core/member_request.h"

#include "lib/base/jsontext.h"
#include "lib/conf/corosync_nodes.h"

#include <errno.h>
#include <json-glib/json-glib.h>
#include <string.h>

STRTAB_DEFINE(member_step, MemberStep, MEMBER_STEP_LIST, MEMBER_STEP_N)

void member_request_done(MemberRequest *r)
{
    g_clear_pointer(&r->node, g_free);
}

static const char *text_of(JsonObject *o, const char *name)
{
    JsonNode *node = json_object_get_member(o, name);

    return node != NULL && json_node_get_value_type(node) == G_TYPE_STRING
               ? json_node_get_string(node)
               : NULL;
}

static int64_t number_of(JsonObject *o, const char *name)
{
    JsonNode *node = json_object_get_member(o, name);

    return node != NULL && json_node_get_value_type(node) == G_TYPE_INT64 ? json_node_get_int(node)
                                                                          : -1;
}

static bool read_proof(const char *text, uint8_t ret[JOINTOKEN_KEY_SIZE])
{
    if (text == NULL || strlen(text) != 2 * (size_t)JOINTOKEN_KEY_SIZE) {
        return false;
    }
    for (size_t i = 0; i < JOINTOKEN_KEY_SIZE; i++) {
        int hi = g_ascii_xdigit_value(text[2 * i]);
        int lo = g_ascii_xdigit_value(text[2 * i + 1]);

        if (hi < 0 || lo < 0) {
            return false;
        }
        ret[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

static int read_object(JsonObject *o, MemberRequest *r, Err *err)
{
    const char *step = text_of(o, "step");
    const char *node = text_of(o, "node");
    int64_t id = number_of(o, "nodeid");
    int at = step != NULL ? member_step_from_name(step) : -1;

    if (number_of(o, "version") != MEMBER_VERSION) {
        return err_setf(err, -EBADMSG, "this cluster speaks version %d of the member protocol",
                        MEMBER_VERSION);
    }
    if (at < 0 || node == NULL || !corosync_valid_name(node) || id < 1 || id > UINT32_MAX ||
        !read_proof(text_of(o, "proof"), r->proof)) {
        return err_setf(err, -EBADMSG, "the request lacks step, node, nodeid or proof");
    }
    r->step = (MemberStep)at;
    r->node = g_strdup(node);
    r->nodeid = (uint32_t)id;
    r->keep_guests = number_of(o, "keep_guests") == 1;
    return 0;
}

int member_request_parse(const char *json, gsize size, MemberRequest *ret, Err *err)
{
    g_auto(MemberRequest) r = {0};
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    JsonNode *root;
    int rc;

    if (size > MEMBER_BODY_MAX || !json_parser_load_from_data(parser, json, (gssize)size, NULL) ||
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
    GString *out = g_string_new(NULL);

    g_string_append_printf(out, "{\"version\":%d,\"step\":\"%s\",\"nodeid\":%u,\"keep_guests\":%d",
                           MEMBER_VERSION, member_step_name(r->step), r->nodeid, r->keep_guests);
    g_string_append(out, ",\"node\":");
    json_append_string(out, r->node);
    g_string_append(out, ",\"proof\":\"");
    for (size_t i = 0; i < JOINTOKEN_KEY_SIZE; i++) {
        g_string_append_printf(out, "%02x", r->proof[i]);
    }
    g_string_append(out, "\"}");
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
