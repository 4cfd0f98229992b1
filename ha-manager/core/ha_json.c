/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_json.h"

#include "ha-manager/core/ha_limits.h"
#include "lib/base/jsontext.h"

#include <errno.h>
#include <math.h>
#include <string.h>

int ha_json_parse(const char *text, JsonNode **ret_node, Err *err)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(GError) gerr = NULL;
    size_t len = strlen(text);
    JsonNode *root;
    int r;

    if (len > HA_TEXT_MAX) {
        return err_setf(err, -EFBIG, "%zu bytes are too large", len);
    }
    r = json_check_outline(text, len, HA_JSON_DEPTH_MAX, err);
    if (r < 0) {
        return r;
    }
    if (!json_parser_load_from_data(parser, text, (gssize)len, &gerr)) {
        return err_setf(err, -EBADMSG, "%s", gerr->message);
    }
    root = json_parser_get_root(parser);
    if (root == NULL) {
        return err_setf(err, -EBADMSG, "no JSON value");
    }
    *ret_node = json_node_ref(root);
    return 0;
}

int ha_json_parse_object(const char *text, JsonObject **ret_object, Err *err)
{
    g_autoptr(JsonNode) node = NULL;
    int r;

    if (text[strspn(text, " \t\r\n")] == '\0') {
        *ret_object = json_object_new();
        return 0;
    }
    r = ha_json_parse(text, &node, err);
    if (r < 0) {
        return r;
    }
    if (!JSON_NODE_HOLDS_OBJECT(node)) {
        return err_setf(err, -EBADMSG, "not a JSON object");
    }
    *ret_object = json_node_dup_object(node);
    return 0;
}

static JsonNode *member(JsonObject *o, const char *name)
{
    return json_object_get_member(o, name);
}

const char *ha_json_text(JsonObject *o, const char *name)
{
    JsonNode *n = member(o, name);

    return n != NULL && JSON_NODE_HOLDS_VALUE(n) && json_node_get_value_type(n) == G_TYPE_STRING
               ? json_node_get_string(n)
               : NULL;
}

JsonObject *ha_json_object(JsonObject *o, const char *name)
{
    JsonNode *n = member(o, name);

    return n != NULL && JSON_NODE_HOLDS_OBJECT(n) ? json_node_get_object(n) : NULL;
}

JsonArray *ha_json_array(JsonObject *o, const char *name)
{
    JsonNode *n = member(o, name);

    return n != NULL && JSON_NODE_HOLDS_ARRAY(n) ? json_node_get_array(n) : NULL;
}

int64_t ha_json_int(JsonObject *o, const char *name, int64_t fallback)
{
    double d = ha_json_double(o, name, NAN);

    /* Beyond 2^53 a double no longer tells neighbours apart: no number of ours is that large. */
    return isnan(d) || d < -9007199254740992.0 || d > 9007199254740992.0 ? fallback : (int64_t)d;
}

double ha_json_double(JsonObject *o, const char *name, double fallback)
{
    JsonNode *n = member(o, name);
    const char *text;
    char *end;
    double d;

    if (n == NULL || !JSON_NODE_HOLDS_VALUE(n)) {
        return fallback;
    }
    if (json_node_get_value_type(n) == G_TYPE_BOOLEAN) {
        return json_node_get_boolean(n) ? 1.0 : 0.0;
    }
    if (json_node_get_value_type(n) != G_TYPE_STRING) {
        return json_node_get_double(n);
    }
    text = json_node_get_string(n);
    d = g_ascii_strtod(text, &end);
    return end != text && *end == '\0' && isfinite(d) ? d : fallback;
}

char *ha_json_scalar(JsonObject *o, const char *name)
{
    JsonNode *n = member(o, name);

    if (n == NULL || !JSON_NODE_HOLDS_VALUE(n)) {
        return NULL;
    }
    if (json_node_get_value_type(n) == G_TYPE_STRING) {
        return g_strdup(json_node_get_string(n));
    }
    if (json_node_get_value_type(n) == G_TYPE_INT64) {
        return g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(n));
    }
    if (json_node_get_value_type(n) == G_TYPE_BOOLEAN) {
        return g_strdup(json_node_get_boolean(n) ? "1" : "0");
    }
    return g_strdup_printf("%.17g", json_node_get_double(n));
}
