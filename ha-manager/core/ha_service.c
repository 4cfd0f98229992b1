/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_service.h"

#include "ha-manager/core/ha_json.h"
#include "ha-manager/core/ha_limits.h"
#include "lib/base/jsontext.h"

#include <string.h>

static const char *const pending_names[] = {
    [HA_PENDING_NONE] = "",
    [HA_PENDING_MIGRATE] = "migrate",
    [HA_PENDING_RELOCATE] = "relocate",
    [HA_PENDING_STOP] = "stop",
};

const char *ha_pending_name(HaPending pending)
{
    return pending_names[pending];
}

HaService *ha_service_new(HaServiceState state, const char *node)
{
    HaService *s = g_new0(HaService, 1);

    s->state = state;
    s->node = g_strdup(node);
    s->timeout_s = -1;
    return s;
}

void ha_service_free(void *data)
{
    HaService *s = data;

    if (s == NULL) {
        return;
    }
    g_free(s->node);
    g_free(s->target);
    g_free(s->maintenance_node);
    g_free(s->proof);
    g_free(s->pending_target);
    g_clear_pointer(&s->failed_nodes, g_ptr_array_unref);
    g_free(s);
}

void ha_service_new_uid(HaService *s, Prng *prng)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t bits = 0;

    for (int i = 0; i < HA_UID_LENGTH; i++) {
        if (i % 10 == 0) {
            bits = prng_u64(prng); /* 60 of its bits give ten digits */
        }
        s->uid[i] = digits[bits & 63];
        bits >>= 6;
    }
    s->uid[HA_UID_LENGTH] = '\0';
}

void ha_service_clear_pending(HaService *s)
{
    s->pending = HA_PENDING_NONE;
    s->pending_timeout_s = 0;
    g_clear_pointer(&s->pending_target, g_free);
}

void ha_service_prune(HaService *s)
{
    ha_service_clear_pending(s);
    g_clear_pointer(&s->target, g_free);
    s->timeout_s = -1;
    s->running = false;
    s->frozen_since_us = 0;
    s->alerted = false;
}

void ha_service_add_failed_node(HaService *s, const char *node)
{
    if (s->failed_nodes == NULL) {
        s->failed_nodes = g_ptr_array_new_with_free_func(g_free);
    }
    g_ptr_array_add(s->failed_nodes, g_strdup(node));
}

void ha_service_clear_failed_nodes(HaService *s)
{
    g_clear_pointer(&s->failed_nodes, g_ptr_array_unref);
}

bool ha_service_has_failed_on(const HaService *s, const char *node)
{
    return s->failed_nodes != NULL &&
           g_ptr_array_find_with_equal_func(s->failed_nodes, node, g_str_equal, NULL);
}

char *ha_service_failed_nodes_text(const HaService *s)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; s->failed_nodes != NULL && i < s->failed_nodes->len; i++) {
        g_string_append_printf(out, "%s%s", i > 0 ? ", " : "",
                               (const char *)g_ptr_array_index(s->failed_nodes, i));
    }
    return g_string_free(out, FALSE);
}

static void read_pending(HaService *s, JsonObject *o)
{
    JsonArray *cmd = ha_json_array(o, "cmd");
    JsonNode *verb;
    JsonNode *arg;

    if (cmd == NULL || json_array_get_length(cmd) != 2) {
        return;
    }
    verb = json_array_get_element(cmd, 0);
    arg = json_array_get_element(cmd, 1);
    if (!JSON_NODE_HOLDS_VALUE(verb) || !JSON_NODE_HOLDS_VALUE(arg)) {
        return;
    }
    for (int i = HA_PENDING_MIGRATE; i <= HA_PENDING_STOP; i++) {
        if (g_strcmp0(json_node_get_string(verb), pending_names[i]) == 0) {
            s->pending = (HaPending)i;
        }
    }
    if (s->pending == HA_PENDING_STOP) {
        const char *text = json_node_get_string(arg);

        s->pending_timeout_s =
            text != NULL ? g_ascii_strtoll(text, NULL, 10) : json_node_get_int(arg);
    } else if (s->pending != HA_PENDING_NONE) {
        s->pending_target = g_strdup(json_node_get_string(arg));
        if (s->pending_target == NULL) {
            ha_service_clear_pending(s);
        }
    }
}

static void read_failed_nodes(HaService *s, JsonObject *o)
{
    JsonArray *a = ha_json_array(o, "failed_nodes");
    guint n = a != NULL ? MIN(json_array_get_length(a), HA_FAILED_NODES_MAX) : 0;

    for (guint i = 0; i < n; i++) {
        JsonNode *node = json_array_get_element(a, i);
        const char *name = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;

        if (name != NULL) {
            ha_service_add_failed_node(s, name);
        }
    }
}

HaService *ha_service_from_json(JsonObject *o, const char **ret_why)
{
    const char *state_name = ha_json_text(o, "state");
    const char *node = ha_json_text(o, "node");
    const char *uid = ha_json_text(o, "uid");
    int state;
    HaService *s;

    *ret_why = NULL;
    if (state_name == NULL || node == NULL || node[0] == '\0') {
        *ret_why = "state or node is missing";
        return NULL;
    }
    state = ha_service_state_from_name(state_name);
    if (state < 0) {
        *ret_why = "state is not known, treating the service as frozen";
        state = HA_SERVICE_FREEZE;
    }
    s = ha_service_new((HaServiceState)state, node);
    if (uid != NULL) {
        (void)g_strlcpy(s->uid, uid, sizeof s->uid); /* a cut uid matches no result: harmless */
    }
    s->target = g_strdup(ha_json_text(o, "target"));
    s->maintenance_node = g_strdup(ha_json_text(o, "maintenance_node"));
    s->proof = g_strdup(ha_json_text(o, "proof"));
    s->timeout_s = ha_json_int(o, "timeout", -1);
    s->running = ha_json_int(o, "running", 0) != 0;
    s->alerted = ha_json_int(o, "alerted", 0) != 0;
    read_pending(s, o);
    read_failed_nodes(s, o);
    return s;
}

static void put_text(GString *out, const char *name, const char *value)
{
    if (value != NULL) {
        g_string_append_printf(out, ",\"%s\":", name);
        json_append_string(out, value);
    }
}

static void put_pending(GString *out, const HaService *s)
{
    if (s->pending == HA_PENDING_NONE) {
        return;
    }
    g_string_append_printf(out, ",\"cmd\":[\"%s\",", pending_names[s->pending]);
    if (s->pending == HA_PENDING_STOP) {
        g_string_append_printf(out, "%" G_GINT64_FORMAT, s->pending_timeout_s);
    } else {
        json_append_string(out, s->pending_target);
    }
    g_string_append_c(out, ']');
}

void ha_service_append_json(const HaService *s, GString *out)
{
    g_string_append(out, "{\"node\":");
    json_append_string(out, s->node);
    put_text(out, "state", ha_service_state_name(s->state));
    put_text(out, "uid", s->uid);
    put_text(out, "target", s->target);
    put_text(out, "maintenance_node", s->maintenance_node);
    put_text(out, "proof", s->proof);
    put_pending(out, s);
    if (s->timeout_s >= 0) {
        g_string_append_printf(out, ",\"timeout\":%" G_GINT64_FORMAT, s->timeout_s);
    }
    if (s->running) {
        g_string_append(out, ",\"running\":1");
    }
    if (s->alerted) {
        g_string_append(out, ",\"alerted\":1");
    }
    for (guint i = 0; s->failed_nodes != NULL && i < s->failed_nodes->len; i++) {
        g_string_append(out, i == 0 ? ",\"failed_nodes\":[" : ",");
        json_append_string(out, g_ptr_array_index(s->failed_nodes, i));
        if (i + 1 == s->failed_nodes->len) {
            g_string_append_c(out, ']');
        }
    }
    g_string_append_c(out, '}');
}
