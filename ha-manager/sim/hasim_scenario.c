/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/sim/hasim_scenario.h"

#include "ha-manager/core/ha_json.h"
#include "ha-manager/core/ha_limits.h"
#include "ha-manager/core/ha_resources.h"

#include <errno.h>
#include <string.h>

/* The file's text; NULL, and 0, when there is none. */
static int read_text(const char *dir, const char *name, char **ret_text, Err *err)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autoptr(GError) gerr = NULL;
    char *text;
    gsize len;

    *ret_text = NULL;
    if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        return 0;
    }
    if (!g_file_get_contents(path, &text, &len, &gerr)) {
        return err_setf(err, -EIO, "%s", gerr->message);
    }
    if (len > HA_TEXT_MAX || strlen(text) != len) {
        g_free(text);
        return err_setf(err, -EBADMSG, "%s: too large or not a text", name);
    }
    *ret_text = text;
    return 0;
}

/* The object in a JSON file; NULL, and 0, when there is none. */
static int read_object(const char *dir, const char *name, JsonObject **ret_object, Err *err)
{
    g_autofree char *text = NULL;
    int r = read_text(dir, name, &text, err);

    *ret_object = NULL;
    if (r == 0 && text != NULL) {
        r = ha_json_parse_object(text, ret_object, err);
    }
    return r < 0 ? err_wrapf(err, r, "%s", name) : 0;
}

static int require_object(const char *dir, const char *name, JsonObject **ret_object, Err *err)
{
    int r = read_object(dir, name, ret_object, err);

    if (r == 0 && *ret_object == NULL) {
        return err_setf(err, -ENOENT, "%s/%s is missing", dir, name);
    }
    return r;
}

static int load_hardware(HaSimWorld *w, const char *dir, Err *err)
{
    g_autoptr(JsonObject) root = NULL;
    g_autoptr(GList) names = NULL;
    int r = require_object(dir, "hardware_status", &root, err);

    if (r < 0) {
        return r;
    }
    names = json_object_get_members(root);
    for (const GList *l = names; l != NULL; l = l->next) {
        JsonObject *o = ha_json_object(root, l->data);
        HaSimNode *n;

        if (o == NULL || strmap_size(w->nodes) >= HA_NODES_MAX) {
            return err_setf(err, -EBADMSG, "hardware_status: node '%s'", (const char *)l->data);
        }
        n = hasim_world_add_node(w, l->data);
        n->power = g_strcmp0(ha_json_text(o, "power"), "on") == 0;
        n->network = g_strcmp0(ha_json_text(o, "network"), "on") == 0;
        n->maxcpu = ha_json_double(o, "maxcpu", 0);
        n->maxmem = ha_json_double(o, "maxmem", 0);
        if (ha_json_text(o, "pve-manager-version") != NULL) {
            g_free(n->version);
            n->version = g_strdup(ha_json_text(o, "pve-manager-version"));
        }
    }
    return 0;
}

/* The types that are used beside vm and ct, so that all of them can be configured. */
static void add_types(HaSimWorld *w, const GList *sids)
{
    g_autoptr(StrMap) types = strmap_new(NULL);
    char **list;

    strmap_set(types, "fa", GINT_TO_POINTER(1));
    for (const GList *l = sids; l != NULL; l = l->next) {
        g_autofree char *type = ha_sid_type(l->data);

        if (strcmp(type, "vm") != 0 && strcmp(type, "ct") != 0) {
            strmap_set(types, type, GINT_TO_POINTER(1));
        }
    }
    list = g_new0(char *, strmap_size(types) + 1);
    for (guint i = 0; i < strmap_size(types); i++) {
        list[i] = g_strdup(strmap_key(types, i));
    }
    g_strfreev(w->types);
    w->types = list;
}

static void append_property(GString *out, JsonObject *o, const char *name)
{
    g_autofree char *value = ha_json_scalar(o, name);

    if (value != NULL && value[0] != '\0') {
        g_string_append_printf(out, "\t%s %s\n", name, value);
    }
}

/* One service as a section of resources.cfg. In a scenario, no state means disabled. */
static void append_section(GString *out, const char *sid, JsonObject *o)
{
    const char *colon = strchr(sid, ':');
    g_autofree char *type = ha_sid_type(sid);

    g_string_append_printf(out, "%s: %s\n", type, colon + 1);
    if (ha_json_text(o, "state") == NULL) {
        g_string_append(out, "\tstate disabled\n");
    }
    append_property(out, o, "state");
    append_property(out, o, "group");
    append_property(out, o, "failback");
    append_property(out, o, "max_restart");
    append_property(out, o, "max_relocate");
    g_string_append_c(out, '\n');
}

static int load_services(HaSimWorld *w, const char *dir, Err *err)
{
    g_autoptr(JsonObject) root = NULL;
    g_autoptr(GList) sids = NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    int r = require_object(dir, "service_config", &root, err);

    if (r < 0) {
        return r;
    }
    sids = g_list_sort(json_object_get_members(root), (GCompareFunc)(void (*)(void))strcmp);
    add_types(w, sids);
    for (const GList *l = sids; l != NULL; l = l->next) {
        const char *sid = l->data;
        JsonObject *o = ha_json_object(root, sid);
        const char *node = o != NULL ? ha_json_text(o, "node") : NULL;
        const char *colon = strchr(sid, ':');
        HaSimGuest *g;

        if (node == NULL || colon == NULL || colon[1] == '\0') {
            return err_setf(err, -EBADMSG, "service_config: service '%s' or its node", sid);
        }
        g = hasim_world_add_guest(w, sid, node);
        g->lock = ha_json_scalar(o, "lock");
        append_section(text, sid, o);
    }
    hasim_world_set_file(w, HA_FILE_RESOURCES, text->str);
    return 0;
}

static int load_running(HaSimWorld *w, const char *dir, Err *err)
{
    for (guint i = 0; i < strmap_size(w->nodes); i++) {
        HaSimNode *n = strmap_value(w->nodes, i);
        g_autofree char *name = g_strdup_printf("service_status_%s", n->name);
        g_autoptr(JsonObject) root = NULL;
        g_autoptr(GList) sids = NULL;
        int r = read_object(dir, name, &root, err);

        if (r < 0) {
            return r;
        }
        sids = root != NULL ? json_object_get_members(root) : NULL;
        for (const GList *l = sids; l != NULL; l = l->next) {
            if (ha_json_int(root, l->data, 0) != 0) {
                strmap_set(n->running, l->data, GINT_TO_POINTER(1));
            }
        }
    }
    return 0;
}

static int load_stats(HaSimWorld *w, const char *dir, bool is_static, Err *err)
{
    const char *name = is_static ? "static_service_stats" : "dynamic_service_stats";
    g_autoptr(JsonObject) root = NULL;
    int r = read_object(dir, name, &root, err);

    if (r < 0) {
        return r;
    }
    if (is_static) {
        w->default_static = root == NULL;
    } else {
        w->default_dynamic = root == NULL;
    }
    for (guint i = 0; root != NULL && i < strmap_size(w->guests); i++) {
        JsonObject *o = ha_json_object(root, strmap_key(w->guests, i));
        HaSimGuest *g = strmap_value(w->guests, i);

        if (o == NULL) {
            continue;
        }
        if (is_static) {
            g->has_static = true;
            g->load.maxcpu = ha_json_double(o, "maxcpu", 0);
            g->load.maxmem = ha_json_double(o, "maxmem", 0);
        } else {
            g->load.cpu = ha_json_double(o, "cpu", 0);
            g->load.mem = ha_json_double(o, "mem", 0);
        }
    }
    return 0;
}

static void append_list(GString *out, JsonObject *root, const char *key)
{
    JsonObject *o = ha_json_object(root, key);
    g_autoptr(GList) names = o != NULL ? json_object_get_members(o) : NULL;

    for (const GList *l = names; l != NULL; l = l->next) {
        g_autofree char *value = ha_json_scalar(o, l->data);

        if (value != NULL) {
            g_string_append_printf(out, "%s%s=%s", l == names ? "" : ",", (const char *)l->data,
                                   value);
        }
    }
}

/* Here datacenter.cfg is JSON; the core reads its usual form. */
static int load_datacenter(HaSimWorld *w, const char *dir, Err *err)
{
    g_autoptr(JsonObject) root = NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    int r = read_object(dir, "datacenter.cfg", &root, err);

    if (r < 0 || root == NULL) {
        return r;
    }
    g_string_append(text, "ha: ");
    append_list(text, root, "ha");
    g_string_append(text, "\ncrs: ");
    append_list(text, root, "crs");
    g_string_append_c(text, '\n');
    hasim_world_set_file(w, HA_FILE_DATACENTER, text->str);
    return 0;
}

static int load_texts(HaSimWorld *w, const char *dir, Err *err)
{
    static const struct {
        const char *name;
        HaFile file;
    } files[] = {
        {"manager_status", HA_FILE_MANAGER_STATUS},
        {"rules_config", HA_FILE_RULES},
        {"groups", HA_FILE_GROUPS},
        {"fence.cfg", HA_FILE_FENCE},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *text = NULL;
        int r = read_text(dir, files[i].name, &text, err);

        if (r < 0) {
            return r;
        }
        if (text != NULL) {
            hasim_world_set_file(w, files[i].file, text);
        }
    }
    return 0;
}

static char **list_of(JsonNode *node)
{
    JsonArray *a = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
    guint n = a != NULL ? json_array_get_length(a) : 0;
    char **list = g_new0(char *, n + 1);

    for (guint i = 0; i < n; i++) {
        JsonNode *item = json_array_get_element(a, i);

        list[i] = g_strdup(JSON_NODE_HOLDS_VALUE(item) && json_node_get_string(item) != NULL
                               ? json_node_get_string(item)
                               : "");
    }
    return list;
}

static int load_commands(const char *dir, GPtrArray **ret_lists, Err *err)
{
    g_autoptr(GPtrArray) lists = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    g_autofree char *text = NULL;
    g_autoptr(JsonNode) node = NULL;
    JsonArray *a;
    int r = read_text(dir, "cmdlist", &text, err);

    if (r == 0 && text == NULL) {
        r = err_setf(err, -ENOENT, "%s/cmdlist is missing", dir);
    }
    if (r == 0) {
        r = ha_json_parse(text, &node, err);
    }
    if (r < 0) {
        return err_wrapf(err, r, "cmdlist");
    }
    if (!JSON_NODE_HOLDS_ARRAY(node)) {
        return err_setf(err, -EBADMSG, "cmdlist: not a list");
    }
    a = json_node_get_array(node);
    for (guint i = 0; i < json_array_get_length(a); i++) {
        g_ptr_array_add(lists, list_of(json_array_get_element(a, i)));
    }
    *ret_lists = g_steal_pointer(&lists);
    return 0;
}

int hasim_scenario_load(HaSimWorld *w, const char *dir, GPtrArray **ret_lists, Err *err)
{
    int r = load_hardware(w, dir, err);

    if (r == 0) {
        r = load_services(w, dir, err);
    }
    if (r == 0) {
        r = load_running(w, dir, err);
    }
    if (r == 0) {
        r = load_stats(w, dir, true, err);
    }
    if (r == 0) {
        r = load_stats(w, dir, false, err);
    }
    for (guint i = 0; r == 0 && i < strmap_size(w->guests); i++) {
        hasim_world_default_load(w, strmap_value(w->guests, i));
    }
    if (r == 0) {
        r = load_datacenter(w, dir, err);
    }
    if (r == 0) {
        r = load_texts(w, dir, err);
    }
    if (r == 0 && ret_lists != NULL) {
        r = load_commands(dir, ret_lists, err);
    }
    return r;
}
