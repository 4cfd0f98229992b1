/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/core/join_request.h"

#include "lib/base/hextext.h"
#include "lib/base/jsontext.h"
#include "quorum/core/joinjson.h"

#include <errno.h>
#include <json-glib/json-glib.h>
#include <string.h>

STRTAB_DEFINE(join_step, JoinStep, JOIN_STEP_LIST, JOIN_STEP_N)

void join_request_done(JoinRequest *r)
{
    g_clear_pointer(&r->node, g_free);
    g_clear_pointer(&r->csr, g_free);
    g_clear_pointer(&r->address, g_free);
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        g_clear_pointer(&r->link[i], g_free);
    }
    g_clear_pointer(&r->vmids, g_array_unref);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int read_links(JsonObject *o, JoinRequest *r, Err *err)
{
    JsonNode *node = json_object_get_member(o, "links");
    JsonObject *links;

    if (node == NULL) {
        return 0;
    }
    if (!JSON_NODE_HOLDS_OBJECT(node)) {
        return err_setf(err, -EBADMSG, "'links' is no object");
    }
    links = json_node_get_object(node);
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        char name[2] = {(char)('0' + i), '\0'};

        r->link[i] = g_strdup(joinjson_text(links, name));
    }
    return 0;
}

static int read_vmids(JsonObject *o, JoinRequest *r, Err *err)
{
    JsonNode *node = json_object_get_member(o, "vmids");
    JsonArray *array;

    r->vmids = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    if (node == NULL) {
        return 0;
    }
    array = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    if (array == NULL || json_array_get_length(array) > JOIN_VMIDS_MAX) {
        return err_setf(err, -EBADMSG, "'vmids' is no list of at most %u numbers", JOIN_VMIDS_MAX);
    }
    for (guint i = 0; i < json_array_get_length(array); i++) {
        JsonNode *item = json_array_get_element(array, i);
        int64_t v = json_node_get_value_type(item) == G_TYPE_INT64 ? json_node_get_int(item) : 0;
        uint32_t vmid = (uint32_t)v;

        if (v < 1 || v > UINT32_MAX) {
            return err_setf(err, -EBADMSG, "'vmids' holds something that is no guest id");
        }
        g_array_append_val(r->vmids, vmid);
    }
    return 0;
}

static int read_object(JsonObject *o, JoinRequest *r, Err *err)
{
    const char *step = joinjson_text(o, "step");
    const char *node = joinjson_text(o, "node");
    int at = step != NULL ? join_step_from_name(step) : -1;

    if (!joinjson_number(o, "version", &r->version) || r->version != JOIN_VERSION) {
        return err_setf(err, -EBADMSG, "this cluster speaks version %d of the join protocol",
                        JOIN_VERSION);
    }
    if (at < 0 || node == NULL || !corosync_valid_name(node) ||
        !hextext_parse(joinjson_text(o, "id"), r->id, sizeof r->id) ||
        !hextext_parse(joinjson_text(o, "proof"), r->proof, sizeof r->proof) ||
        !joinjson_number(o, "clock", &r->clock.sec)) {
        return err_setf(err, -EBADMSG, "the request lacks step, node, id, proof or clock");
    }
    r->step = (JoinStep)at;
    r->node = g_strdup(node);
    r->csr = g_strdup(joinjson_text(o, "csr"));
    r->address = g_strdup(joinjson_text(o, "address"));
    if (r->step == JOIN_STEP_STAGE && r->csr == NULL) {
        return err_setf(err, -EBADMSG, "the request lacks the certificate request (csr)");
    }
    at = read_links(o, r, err);
    return at < 0 ? at : read_vmids(o, r, err);
}

int join_request_parse(const char *json, gsize size, JoinRequest *ret, Err *err)
{
    g_auto(JoinRequest) r = {0};
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    JsonNode *root;
    int rc;

    if (size > JOIN_BODY_MAX || json_check_outline(json, size, JSON_DEPTH_MAX, NULL) < 0 ||
        !json_parser_load_from_data(parser, json, (gssize)size, NULL) ||
        (root = json_parser_get_root(parser)) == NULL || !JSON_NODE_HOLDS_OBJECT(root)) {
        return err_setf(err, -EBADMSG, "the request is no JSON object of a sensible size");
    }
    rc = read_object(json_node_get_object(root), &r, err);
    if (rc < 0) {
        return rc;
    }
    *ret = r;
    r = (JoinRequest){0};
    return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void add_hex(GString *out, const char *name, const uint8_t *data, size_t n)
{
    g_autofree char *hex = hextext_format(data, n);

    g_string_append_printf(out, ",\"%s\":\"%s\"", name, hex);
}

static void add_text(GString *out, const char *name, const char *value)
{
    if (value != NULL) {
        g_string_append_printf(out, ",\"%s\":", name);
        json_append_string(out, value);
    }
}

char *join_request_format(const JoinRequest *r)
{
    GString *out = g_string_new(NULL);
    bool first = true;

    g_string_append_printf(out, "{\"version\":%d,\"step\":\"%s\",\"clock\":%" G_GINT64_FORMAT,
                           JOIN_VERSION, join_step_name(r->step), r->clock.sec);
    add_hex(out, "id", r->id, sizeof r->id);
    add_hex(out, "proof", r->proof, sizeof r->proof);
    add_text(out, "node", r->node);
    add_text(out, "csr", r->csr);
    add_text(out, "address", r->address);
    g_string_append(out, ",\"links\":{");
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        if (r->link[i] != NULL) {
            g_string_append_printf(out, "%s\"%u\":", first ? "" : ",", i);
            json_append_string(out, r->link[i]);
            first = false;
        }
    }
    g_string_append(out, "},\"vmids\":[");
    for (guint i = 0; r->vmids != NULL && i < r->vmids->len; i++) {
        g_string_append_printf(out, "%s%u", i > 0 ? "," : "", g_array_index(r->vmids, uint32_t, i));
    }
    g_string_append(out, "]}");
    return g_string_free(out, FALSE);
}

/* ---- deciding ---------------------------------------------------------------------------------
 */

static bool contains(const GArray *vmids, uint32_t vmid)
{
    for (guint i = 0; i < vmids->len; i++) {
        if (g_array_index(vmids, uint32_t, i) == vmid) {
            return true;
        }
    }
    return false;
}

static void check_vmids(const JoinRequest *r, const GArray *used, GPtrArray *problems)
{
    g_autoptr(GString) taken = g_string_new(NULL);

    for (guint i = 0; i < r->vmids->len; i++) {
        uint32_t vmid = g_array_index(r->vmids, uint32_t, i);

        if (contains(used, vmid)) {
            g_string_append_printf(taken, "%s%u", taken->len > 0 ? ", " : "", vmid);
        }
    }
    if (taken->len > 0) {
        problems_add(problems,
                     "guest ids of the joining node are taken in the cluster: %s (rename their "
                     "configuration files, or remove the guests, before joining)",
                     taken->str);
    }
}

static CorosyncAddNode add_of(const JoinRequest *r, bool staged)
{
    CorosyncAddNode add = {
        .name = r->node, .votes = 0, .fallback_address = r->address, .force = staged};

    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        add.link[i] = r->link[i];
    }
    return add;
}

static void
check_conf(const JoinRequest *r, const CorosyncConf *conf, bool staged, GPtrArray *problems)
{
    g_autofree char *text = corosync_conf_format(conf);
    g_autoptr(CorosyncConf) copy = NULL;
    Err err = ERR_INIT;
    uint32_t id = 0;

    /* Tried on a copy: the rules of adding are in one place. */
    if (corosync_conf_parse(text, strlen(text), &copy, &err) < 0 ||
        join_stage(copy, r, staged, &id, &err) < 0) {
        problems_add(problems, "%s", err_text(&err));
    }
}

GPtrArray *join_problems(const JoinRequest *r,
                         const CorosyncConf *conf,
                         const GArray *used_vmids,
                         bool staged,
                         bool quorate,
                         WallTime now)
{
    GPtrArray *problems = g_ptr_array_new_with_free_func(g_free);
    int64_t skew = r->clock.sec - now.sec;

    if (!quorate) {
        problems_add(problems, "the cluster has no quorum: bring its nodes up first");
    }
    if (skew > JOIN_CLOCK_SKEW_SEC || skew < -JOIN_CLOCK_SKEW_SEC) {
        problems_add(problems,
                     "the clocks differ by %" G_GINT64_FORMAT " s: set the joining node's clock "
                     "(chrony or systemd-timesyncd keeps it right)",
                     skew < 0 ? -skew : skew);
    }
    check_conf(r, conf, staged, problems);
    check_vmids(r, used_vmids, problems);
    return problems;
}

int join_stage(
    CorosyncConf *conf, const JoinRequest *r, bool staged, uint32_t *ret_nodeid, Err *err)
{
    g_autoptr(GPtrArray) nodes = corosync_nodes(conf);
    const CorosyncNode *old = corosync_nodes_find(nodes, r->node);
    CorosyncAddNode add = add_of(r, staged);

    if (staged && old != NULL) {
        *ret_nodeid = old->nodeid; /* a retry: it is in already */
        return 0;
    }
    return corosync_conf_add_node(conf, &add, ret_nodeid, err);
}
