/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_manager_status.h"

#include "ha-manager/core/ha_json.h"
#include "ha-manager/core/ha_limits.h"
#include "lib/base/jsontext.h"

#include <string.h>

HaManagerStatus *ha_manager_status_new(void)
{
    HaManagerStatus *ms = g_new0(HaManagerStatus, 1);

    ms->nodes = strmap_new(NULL);
    ms->services = strmap_new(ha_service_free);
    ms->boots = strmap_new(g_free);
    ms->flaps = strmap_new(g_free);
    ms->maintenance = strmap_new(NULL);
    return ms;
}

void ha_manager_status_free(HaManagerStatus *ms)
{
    if (ms == NULL) {
        return;
    }
    g_free(ms->master_node);
    strmap_free(ms->nodes);
    strmap_free(ms->services);
    strmap_free(ms->boots);
    strmap_free(ms->flaps);
    strmap_free(ms->maintenance);
    g_free(ms);
}

/* What a read run carries along. */
typedef struct Loader {
    HaManagerStatus *ms;
    HaStatusWarn warn;
    void *ctx;
} Loader;

static void complain(const Loader *l, const char *section, const char *name, const char *why)
{
    g_autofree char *what = g_strdup_printf("%s.%.64s", section, name);

    if (l->warn != NULL) {
        l->warn(l->ctx, what, why);
    }
}

static void load_node(JsonObject *o, const char *name, JsonNode *node, void *data)
{
    const Loader *l = data;
    const char *state = ha_json_text(o, name);
    int n = state != NULL ? ha_node_state_from_name(state) : -1;

    (void)node;
    if (n < 0) {
        complain(l, "node_status", name, "state is not known, reading it as unknown");
        n = HA_NODE_UNKNOWN;
    }
    if (strmap_size(l->ms->nodes) < HA_NODES_MAX) {
        strmap_set(l->ms->nodes, name, GINT_TO_POINTER(n));
    }
}

static void load_service(JsonObject *o, const char *name, JsonNode *node, void *data)
{
    const Loader *l = data;
    JsonObject *entry = ha_json_object(o, name);
    const char *why = "not an object";
    HaService *s = entry != NULL ? ha_service_from_json(entry, &why) : NULL;

    (void)node;
    if (why != NULL) {
        complain(l, "service_status", name, why);
    }
    if (s == NULL) {
        return;
    }
    if (strmap_size(l->ms->services) >= HA_SERVICES_MAX || strlen(name) > HA_SID_MAX) {
        complain(l, "service_status", name, "too many services or name too long, leaving it out");
        ha_service_free(s);
        return;
    }
    strmap_set(l->ms->services, name, s);
}

static void load_request(JsonObject *o, const char *name, JsonNode *node, void *data)
{
    const Loader *l = data;
    JsonObject *entry = ha_json_object(o, name);

    (void)node;
    if (entry != NULL && ha_json_int(entry, "maintenance", 0) != 0 &&
        strmap_size(l->ms->maintenance) < HA_NODES_MAX) {
        strmap_set(l->ms->maintenance, name, GINT_TO_POINTER(1));
    }
}

static void load_boot(JsonObject *o, const char *name, JsonNode *node, void *data)
{
    const Loader *l = data;
    const char *boot = ha_json_text(o, name);

    (void)node;
    if (boot == NULL || strlen(boot) > HA_BOOT_ID_MAX) {
        complain(l, "node_boot", name, "not a boot id");
    } else if (strmap_size(l->ms->boots) < HA_NODES_MAX) {
        strmap_set(l->ms->boots, name, g_strdup(boot));
    }
}

static void load_flaps(JsonObject *o, const char *name, JsonNode *node, void *data)
{
    const Loader *l = data;
    JsonArray *dates = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    HaFlaps *f;

    (void)o;
    if (dates == NULL || strmap_size(l->ms->flaps) >= HA_NODES_MAX) {
        complain(l, "node_lost", name, "not a list of dates");
        return;
    }
    f = g_new0(HaFlaps, 1);
    for (guint i = 0; i < json_array_get_length(dates) && i < HA_FLAPS_COUNT; i++) {
        JsonNode *date = json_array_get_element(dates, i);

        ha_flaps_note(f, JSON_NODE_HOLDS_VALUE(date) ? MAX(json_node_get_int(date), 0) : 0);
    }
    strmap_set(l->ms->flaps, name, f);
}

static void load_disarm(const Loader *l, JsonObject *o)
{
    const char *mode = ha_json_text(o, "mode");
    int n = mode != NULL ? ha_disarm_mode_from_name(mode) : -1;

    if (n < 0) {
        complain(l, "disarm", "mode", "mode is not known, reading it as freeze");
        n = HA_DISARM_FREEZE;
    }
    l->ms->disarm = true;
    l->ms->disarm_mode = (HaDisarmMode)n;
    l->ms->disarmed = g_strcmp0(ha_json_text(o, "state"), "disarmed") == 0;
}

int ha_manager_status_parse(
    const char *text, HaStatusWarn warn, void *ctx, HaManagerStatus **ret_ms, Err *err)
{
    g_autoptr(HaManagerStatus) ms = ha_manager_status_new();
    g_autoptr(JsonObject) root = NULL;
    Loader l = {ms, warn, ctx};
    JsonObject *part;
    int r;

    r = ha_json_parse_object(text, &root, err);
    if (r < 0) {
        return err_wrapf(err, r, "ha/manager_status");
    }
    ms->master_node = g_strdup(ha_json_text(root, "master_node"));
    ms->timestamp = ha_json_int(root, "timestamp", 0);
    ms->epoch = (uint64_t)MAX(ha_json_int(root, "epoch", 0), 0);
    ms->lease_ms = MAX(ha_json_int(root, "lease_ms", 0), 0);
    part = ha_json_object(root, "node_status");
    if (part != NULL) {
        json_object_foreach_member(part, load_node, &l);
    }
    part = ha_json_object(root, "service_status");
    if (part != NULL) {
        json_object_foreach_member(part, load_service, &l);
    }
    part = ha_json_object(root, "node_request");
    if (part != NULL) {
        json_object_foreach_member(part, load_request, &l);
    }
    part = ha_json_object(root, "node_boot");
    if (part != NULL) {
        json_object_foreach_member(part, load_boot, &l);
    }
    part = ha_json_object(root, "node_lost");
    if (part != NULL) {
        json_object_foreach_member(part, load_flaps, &l);
    }
    ms->no_spare = ha_json_int(root, "no_spare", 0) != 0;
    part = ha_json_object(root, "disarm");
    if (part != NULL) {
        load_disarm(&l, part);
    }
    *ret_ms = g_steal_pointer(&ms);
    return 0;
}

static void put_key(GString *out, guint i, const char *key)
{
    if (i > 0) {
        g_string_append_c(out, ',');
    }
    json_append_string(out, key);
    g_string_append_c(out, ':');
}

static void put_nodes(GString *out, const HaManagerStatus *ms)
{
    g_string_append(out, ",\"node_status\":{");
    for (guint i = 0; i < strmap_size(ms->nodes); i++) {
        put_key(out, i, strmap_key(ms->nodes, i));
        json_append_string(
            out, ha_node_state_name((HaNodeState)GPOINTER_TO_INT(strmap_value(ms->nodes, i))));
    }
    g_string_append(out, "},\"service_status\":{");
    for (guint i = 0; i < strmap_size(ms->services); i++) {
        put_key(out, i, strmap_key(ms->services, i));
        ha_service_append_json(strmap_value(ms->services, i), out);
    }
    g_string_append_c(out, '}');
}

static void put_requests(GString *out, const HaManagerStatus *ms)
{
    if (strmap_size(ms->maintenance) == 0) {
        return;
    }
    g_string_append(out, ",\"node_request\":{");
    for (guint i = 0; i < strmap_size(ms->maintenance); i++) {
        put_key(out, i, strmap_key(ms->maintenance, i));
        g_string_append(out, "{\"maintenance\":1}");
    }
    g_string_append_c(out, '}');
}

static void put_boots(GString *out, const HaManagerStatus *ms)
{
    if (strmap_size(ms->boots) == 0) {
        return;
    }
    g_string_append(out, ",\"node_boot\":{");
    for (guint i = 0; i < strmap_size(ms->boots); i++) {
        put_key(out, i, strmap_key(ms->boots, i));
        json_append_string(out, strmap_value(ms->boots, i));
    }
    g_string_append_c(out, '}');
}

static void put_flaps(GString *out, const HaManagerStatus *ms)
{
    if (strmap_size(ms->flaps) == 0) {
        return;
    }
    g_string_append(out, ",\"node_lost\":{");
    for (guint i = 0; i < strmap_size(ms->flaps); i++) {
        const HaFlaps *f = strmap_value(ms->flaps, i);

        put_key(out, i, strmap_key(ms->flaps, i));
        for (int k = 0; k < HA_FLAPS_COUNT; k++) {
            g_string_append_printf(out, "%c%" G_GINT64_FORMAT, k == 0 ? '[' : ',', f->lost[k]);
        }
        g_string_append_c(out, ']');
    }
    g_string_append_c(out, '}');
}

char *ha_manager_status_format(const HaManagerStatus *ms)
{
    GString *out = g_string_sized_new(256 + 100 * strmap_size(ms->services));

    g_string_append_printf(out, "{\"timestamp\":%" G_GINT64_FORMAT, ms->timestamp);
    if (ms->master_node != NULL) {
        g_string_append(out, ",\"master_node\":");
        json_append_string(out, ms->master_node);
    }
    if (ms->epoch > 0) {
        g_string_append_printf(out, ",\"epoch\":%" G_GUINT64_FORMAT, ms->epoch);
    }
    if (ms->lease_ms > 0) {
        g_string_append_printf(out, ",\"lease_ms\":%" G_GINT64_FORMAT, ms->lease_ms);
    }
    put_nodes(out, ms);
    put_requests(out, ms);
    put_boots(out, ms);
    put_flaps(out, ms);
    if (ms->no_spare) {
        g_string_append(out, ",\"no_spare\":1");
    }
    if (ms->disarm) {
        g_string_append_printf(out, ",\"disarm\":{\"mode\":\"%s\",\"state\":\"%s\"}",
                               ha_disarm_mode_name(ms->disarm_mode),
                               ms->disarmed ? "disarmed" : "disarming");
    }
    g_string_append(out, "}\n");
    return g_string_free(out, FALSE);
}

HaNodeState ha_manager_status_node(const HaManagerStatus *ms, const char *node)
{
    return (HaNodeState)GPOINTER_TO_INT(strmap_get(ms->nodes, node)); /* absent: 0 = unknown */
}

bool ha_manager_status_service_in_fence(const HaManagerStatus *ms, const char *node)
{
    for (guint i = 0; i < strmap_size(ms->services); i++) {
        const HaService *s = strmap_value(ms->services, i);

        if (s->state == HA_SERVICE_FENCE && strcmp(s->node, node) == 0) {
            return true;
        }
    }
    return false;
}

bool ha_manager_status_fence_requested(const HaManagerStatus *ms, const char *node)
{
    return ha_manager_status_node(ms, node) == HA_NODE_FENCE ||
           ha_manager_status_service_in_fence(ms, node);
}

bool ha_service_may_run(HaServiceState state)
{
    return state != HA_SERVICE_STOPPED && state != HA_SERVICE_FREEZE && state != HA_SERVICE_ERROR &&
           state != HA_SERVICE_REQUEST_START;
}

unsigned ha_manager_status_frozen_count(const HaManagerStatus *ms, const char *node)
{
    unsigned n = 0;

    for (guint i = 0; i < strmap_size(ms->services); i++) {
        const HaService *s = strmap_value(ms->services, i);

        n += s->state == HA_SERVICE_FREEZE && strcmp(s->node, node) == 0;
    }
    return n;
}

unsigned ha_manager_status_active_count(const HaManagerStatus *ms, const char *node)
{
    unsigned n = 0;

    for (guint i = 0; i < strmap_size(ms->services); i++) {
        const HaService *s = strmap_value(ms->services, i);

        if (ha_service_may_run(s->state) &&
            (strcmp(s->node, node) == 0 || g_strcmp0(s->target, node) == 0)) {
            n++;
        }
    }
    return n;
}

_Static_assert(HA_NODE_UNKNOWN == 0, "an absent node entry must read as unknown");
