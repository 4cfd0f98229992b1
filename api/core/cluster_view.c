/* SPDX-License-Identifier: Apache-2.0 */
#include "api/core/cluster_view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- broadcast values --------------------------------------------------------------------------
 */

typedef enum ValueKind { VALUE_INT, VALUE_REAL, VALUE_TEXT } ValueKind;

typedef struct Column {
    unsigned at; /* in the colon separated value */
    const char *name;
    ValueKind kind;
} Column;

/* Two live columns (uptime, level), then time and the stored ones. */
static const Column node_columns[] = {
    {0, "uptime", VALUE_INT}, {4, "maxcpu", VALUE_INT}, {5, "cpu", VALUE_REAL},
    {7, "maxmem", VALUE_INT}, {8, "mem", VALUE_INT},    {11, "maxdisk", VALUE_INT},
    {12, "disk", VALUE_INT},  {1, "level", VALUE_TEXT},
};

/* Four live columns (uptime, name, status, template), then time and the stored ones. */
static const Column guest_columns[] = {
    {0, "uptime", VALUE_INT},    {1, "name", VALUE_TEXT},
    {2, "status", VALUE_TEXT},   {3, "template", VALUE_INT},
    {5, "maxcpu", VALUE_INT},    {6, "cpu", VALUE_REAL},
    {7, "maxmem", VALUE_INT},    {8, "mem", VALUE_INT},
    {9, "maxdisk", VALUE_INT},   {10, "disk", VALUE_INT},
    {11, "netin", VALUE_INT},    {12, "netout", VALUE_INT},
    {13, "diskread", VALUE_INT}, {14, "diskwrite", VALUE_INT},
    {15, "memhost", VALUE_INT}, /* told by newer formats */
};

static const Column storage_columns[] = {{1, "maxdisk", VALUE_INT}, {2, "disk", VALUE_INT}};

GHashTable *cluster_view_rrd(const char *text, gsize size)
{
    GHashTable *out = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

    for (gsize at = 0; at < size;) {
        const char *line = text + at;
        const char *end = memchr(line, '\n', size - at);
        gsize n = end != NULL ? (gsize)(end - line) : size - at;
        const char *colon = memchr(line, ':', n);

        if (colon != NULL && colon > line && memchr(line, '\0', n) == NULL) {
            g_hash_table_replace(out, g_strndup(line, (gsize)(colon - line)),
                                 g_strndup(colon + 1, n - (gsize)(colon + 1 - line)));
        }
        at += n + 1;
    }
    return out;
}

static void add_column(JsonTree *out, const Column *c, const char *text)
{
    double v;
    char *end;

    if (c->kind == VALUE_TEXT) {
        if (g_utf8_validate(text, -1, NULL)) {
            jsontree_set_text(out, c->name, text);
        }
        return;
    }
    v = g_ascii_strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(v) || fabs(v) > 9e15) {
        return; /* "U", or nothing that is a number */
    }
    if (c->kind == VALUE_INT) {
        jsontree_set_int(out, c->name, (int64_t)v);
    } else {
        jsontree_set(out, c->name, jsontree_new_real(v));
    }
}

/* The value of the first of `prefixes` that has one for `id`; NULL: none. */
static const char *value_of(const ClusterFacts *f, const char *const *prefixes, const char *id)
{
    const char *value = NULL;

    for (; f->rrd != NULL && value == NULL && *prefixes != NULL; prefixes++) {
        g_autofree char *key = g_strdup_printf("%s/%s", *prefixes, id);

        value = g_hash_table_lookup(f->rrd, key);
    }
    return value;
}

static void add_values(JsonTree *out, const char *value, const Column *columns, guint n)
{
    g_auto(GStrv) fields = NULL;
    guint count;

    if (value == NULL) {
        return;
    }
    fields = g_strsplit(value, ":", 64);
    count = g_strv_length(fields);
    for (guint i = 0; i < n; i++) {
        if (columns[i].at < count) {
            add_column(out, &columns[i], fields[columns[i].at]);
        }
    }
}

static const char *const node_prefixes[] = {"pve-node-9.0", "pve2-node", NULL};
static const char *const guest_prefixes[] = {"pve-vm-9.0", "pve2.3-vm", NULL};
static const char *const storage_prefixes[] = {"pve-storage-9.0", "pve2-storage", NULL};

/* ---- nodes -------------------------------------------------------------------------------------
 */

static const JsonTree *node_list(const ClusterFacts *f)
{
    return jsontree_get(f->members, "nodelist");
}

static bool is_online(const ClusterFacts *f, const char *node)
{
    const JsonTree *list = node_list(f);

    return list == NULL ? strcmp(node, f->node) == 0
                        : jsontree_get_int(jsontree_get(list, node), "online", 0) != 0;
}

static JsonTree *status_of_node(const ClusterFacts *f, const char *name, const JsonTree *node)
{
    JsonTree *one = jsontree_new_object();
    g_autofree char *id = g_strconcat("node/", name, NULL);
    const char *ip = jsontree_get_text(node, "ip");
    bool local = strcmp(name, f->node) == 0;

    jsontree_set_text(one, "id", id);
    jsontree_set_text(one, "type", "node");
    jsontree_set_text(one, "name", name);
    jsontree_set_int(one, "nodeid", jsontree_get_int(node, "id", 0));
    jsontree_set_text(one, "ip", ip != NULL ? ip : local ? f->address : NULL);
    jsontree_set_int(one, "local", local);
    jsontree_set_int(one, "online", is_online(f, name));
    jsontree_set_text(one, "level", "");
    return one;
}

JsonTree *cluster_view_status(const ClusterFacts *f)
{
    const JsonTree *cluster = jsontree_get(f->members, "cluster");
    const JsonTree *list = node_list(f);
    JsonTree *out = jsontree_new_array();

    if (cluster == NULL || list == NULL) {
        jsontree_add(out, status_of_node(f, f->node, NULL));
        return out;
    }
    {
        JsonTree *one = jsontree_new_object();

        jsontree_set_text(one, "id", "cluster");
        jsontree_set_text(one, "type", "cluster");
        jsontree_set_text(one, "name", jsontree_get_text(cluster, "name"));
        jsontree_set_int(one, "version", jsontree_get_int(cluster, "version", 0));
        jsontree_set_int(one, "nodes", jsontree_get_int(cluster, "nodes", 0));
        jsontree_set_int(one, "quorate", jsontree_get_int(cluster, "quorate", 0));
        jsontree_add(out, one);
    }
    for (guint i = 0; i < jsontree_count(list); i++) {
        jsontree_add(out, status_of_node(f, jsontree_key(list, i), jsontree_at(list, i)));
    }
    return out;
}

static JsonTree *one_node(const ClusterFacts *f, const char *name, bool numbers)
{
    JsonTree *one = jsontree_new_object();
    g_autofree char *id = g_strconcat("node/", name, NULL);
    bool online = is_online(f, name);

    jsontree_set_text(one, "id", id);
    jsontree_set_text(one, "node", name);
    jsontree_set_text(one, "type", "node");
    jsontree_set_text(one, "status", online ? "online" : "offline");
    if (numbers && online) { /* what a node said before it died is not its state */
        add_values(one, value_of(f, node_prefixes, name), node_columns, G_N_ELEMENTS(node_columns));
    }
    return one;
}

JsonTree *cluster_view_nodes(const ClusterFacts *f, ClusterMaySee may_see, void *ctx)
{
    const JsonTree *list = node_list(f);
    JsonTree *out = jsontree_new_array();

    if (list == NULL) {
        jsontree_add(out, one_node(f, f->node, may_see(ctx, "node", f->node)));
    }
    for (guint i = 0; i < jsontree_count(list); i++) {
        const char *name = jsontree_key(list, i);

        jsontree_add(out, one_node(f, name, may_see(ctx, "node", name)));
    }
    return out;
}

/* ---- resources ---------------------------------------------------------------------------------
 */

static JsonTree *one_guest(const ClusterFacts *f, const char *vmid, const JsonTree *guest)
{
    const char *node = jsontree_get_text(guest, "node");
    const char *type = jsontree_get_text(guest, "type");
    g_autofree char *id = g_strdup_printf("%s/%s", type, vmid);
    JsonTree *one = jsontree_new_object();

    jsontree_set_text(one, "id", id);
    jsontree_set_text(one, "type", type);
    jsontree_set_int(one, "vmid", g_ascii_strtoll(vmid, NULL, 10));
    jsontree_set_text(one, "node", node);
    jsontree_set_text(one, "status", "unknown");
    jsontree_set_int(one, "template", 0);
    if (is_online(f, node)) {
        add_values(one, value_of(f, guest_prefixes, vmid), guest_columns,
                   G_N_ELEMENTS(guest_columns));
    }
    return one;
}

static void add_guests(const ClusterFacts *f, JsonTree *out, ClusterMaySee may_see, void *ctx)
{
    const JsonTree *ids = jsontree_get(f->vmlist, "ids");

    for (guint i = 0; i < jsontree_count(ids); i++) {
        const JsonTree *guest = jsontree_at(ids, i);
        const char *type = jsontree_get_text(guest, "type");

        if (type != NULL && jsontree_get_text(guest, "node") != NULL &&
            may_see(ctx, type, jsontree_key(ids, i))) {
            jsontree_add(out, one_guest(f, jsontree_key(ids, i), guest));
        }
    }
}

static gint by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Storages are known by what their nodes broadcast. */
static void add_storages(const ClusterFacts *f, JsonTree *out, ClusterMaySee may_see, void *ctx)
{
    g_autoptr(GPtrArray) keys = g_ptr_array_new();
    GHashTableIter iter;
    gpointer key;

    if (f->rrd == NULL) {
        return;
    }
    g_hash_table_iter_init(&iter, f->rrd);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        g_ptr_array_add(keys, key);
    }
    g_ptr_array_sort(keys, by_text);
    for (guint i = 0; i < keys->len; i++) {
        const char *slash = strchr(g_ptr_array_index(keys, i), '/');
        g_auto(GStrv) parts = NULL;
        g_autofree char *id = NULL;
        JsonTree *one;

        if (slash == NULL || !g_str_has_prefix(g_ptr_array_index(keys, i), "pve-storage-9.0/")) {
            continue;
        }
        parts = g_strsplit(slash + 1, "/", 3);
        if (g_strv_length(parts) != 2 || !may_see(ctx, "storage", parts[1])) {
            continue;
        }
        one = jsontree_new_object();
        id = g_strdup_printf("storage/%s/%s", parts[0], parts[1]);
        jsontree_set_text(one, "id", id);
        jsontree_set_text(one, "type", "storage");
        jsontree_set_text(one, "storage", parts[1]);
        jsontree_set_text(one, "node", parts[0]);
        jsontree_set_text(one, "status", is_online(f, parts[0]) ? "available" : "unknown");
        add_values(one, value_of(f, storage_prefixes, slash + 1), storage_columns,
                   G_N_ELEMENTS(storage_columns));
        jsontree_add(out, one);
    }
}

static void add_nodes(const ClusterFacts *f, JsonTree *out, ClusterMaySee may_see, void *ctx)
{
    g_autoptr(JsonTree) nodes = cluster_view_nodes(f, may_see, ctx);

    for (guint i = 0; i < jsontree_count(nodes); i++) {
        jsontree_add(out, jsontree_copy(jsontree_at(nodes, i)));
    }
}

JsonTree *
cluster_view_resources(const ClusterFacts *f, const char *type, ClusterMaySee may_see, void *ctx)
{
    JsonTree *out = jsontree_new_array();

    if (type == NULL || strcmp(type, "vm") == 0) {
        add_guests(f, out, may_see, ctx);
    }
    if (type == NULL || strcmp(type, "node") == 0) {
        add_nodes(f, out, may_see, ctx);
    }
    if (type == NULL || strcmp(type, "storage") == 0) {
        add_storages(f, out, may_see, ctx);
    }
    return out;
}
