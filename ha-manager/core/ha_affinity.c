/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_affinity.h"

#include "ha-manager/core/ha_limits.h"

#include <errno.h>
#include <string.h>

struct HaAffinity {
    StrMap *nodes;    /* sid -> StrMap (of `node_maps`) */
    StrMap *together; /* sid -> GPtrArray of const char * */
    StrMap *apart;
    GPtrArray *node_maps; /* StrMap *: one per rule, shared by its services */
    GStringChunk *sids;   /* the texts the arrays point to */
    GPtrArray *none;      /* the empty answer */
};

HaAffinity *ha_affinity_new_empty(void)
{
    HaAffinity *a = g_new0(HaAffinity, 1);

    a->nodes = strmap_new(NULL);
    a->together = strmap_new((GDestroyNotify)g_ptr_array_unref);
    a->apart = strmap_new((GDestroyNotify)g_ptr_array_unref);
    a->node_maps = g_ptr_array_new_with_free_func((GDestroyNotify)strmap_free);
    a->sids = g_string_chunk_new(4096);
    a->none = g_ptr_array_new();
    return a;
}

void ha_affinity_free(HaAffinity *a)
{
    if (a == NULL) {
        return;
    }
    strmap_free(a->nodes);
    strmap_free(a->together);
    strmap_free(a->apart);
    g_ptr_array_unref(a->node_maps);
    g_string_chunk_free(a->sids);
    g_ptr_array_unref(a->none);
    g_free(a);
}

/* A rule that is not strict allows the other nodes, too, below everything it names. */
static void compile_node_rule(HaAffinity *a, const HaRule *rule, const StrMap *all_nodes)
{
    StrMap *map = strmap_new(NULL);

    for (guint i = 0; rule->strict <= 0 && i < strmap_size(all_nodes); i++) {
        strmap_set(map, strmap_key(all_nodes, i), GINT_TO_POINTER(-1));
    }
    for (guint i = 0; i < strmap_size(rule->nodes); i++) {
        strmap_set(map, strmap_key(rule->nodes, i), strmap_value(rule->nodes, i));
    }
    g_ptr_array_add(a->node_maps, map);
    for (guint i = 0; i < strmap_size(rule->resources); i++) {
        strmap_set(a->nodes, strmap_key(rule->resources, i), map);
    }
}

/* Adds to each service of the rule all others. The sum of squares is what HA_RELATIONS_MAX bounds.
 */
static int compile_resource_rule(HaAffinity *a, const HaRule *rule, guint64 *budget, Err *err)
{
    StrMap *relations = rule->positive ? a->together : a->apart;
    guint64 n = strmap_size(rule->resources);

    if (n * n > *budget) {
        return err_setf(err, -EFBIG, "rules relate more than %d pairs", HA_RELATIONS_MAX);
    }
    *budget -= n * n;
    for (guint i = 0; i < n; i++) {
        const char *sid = strmap_key(rule->resources, i);
        GPtrArray *list = strmap_get(relations, sid);

        if (list == NULL) {
            list = g_ptr_array_new();
            strmap_set(relations, sid, list);
        }
        for (guint k = 0; k < n; k++) {
            if (k != i) {
                g_ptr_array_add(
                    list, g_string_chunk_insert_const(a->sids, strmap_key(rule->resources, k)));
            }
        }
    }
    return 0;
}

static gint by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Several rules may name the same pair: sort, and keep one of each. */
static void settle(StrMap *relations)
{
    for (guint i = 0; i < strmap_size(relations); i++) {
        GPtrArray *list = strmap_value(relations, i);
        guint kept = 0;

        g_ptr_array_sort(list, by_text);
        for (guint k = 0; k < list->len; k++) {
            /* texts are stored once, so equal texts are equal pointers */
            if (kept == 0 || list->pdata[kept - 1] != list->pdata[k]) {
                list->pdata[kept++] = list->pdata[k];
            }
        }
        g_ptr_array_set_size(list, (gint)kept);
    }
}

int ha_affinity_compile(const HaRules *rules,
                        const StrMap *nodes,
                        HaAffinity **ret_affinity,
                        Err *err)
{
    g_autoptr(HaAffinity) a = ha_affinity_new_empty();
    guint64 budget = HA_RELATIONS_MAX;

    for (guint i = 0; rules != NULL && i < strmap_size(rules->by_id); i++) {
        const HaRule *rule = strmap_value(rules->by_id, i);
        int r = 0;

        if (!ha_rule_is_active(rule)) {
            continue;
        }
        if (rule->type == HA_RULE_NODE_AFFINITY) {
            compile_node_rule(a, rule, nodes);
        } else {
            r = compile_resource_rule(a, rule, &budget, err);
        }
        if (r < 0) {
            return r;
        }
    }
    settle(a->together);
    settle(a->apart);
    *ret_affinity = g_steal_pointer(&a);
    return 0;
}

const StrMap *ha_affinity_nodes(const HaAffinity *a, const char *sid)
{
    return strmap_get(a->nodes, sid);
}

const GPtrArray *ha_affinity_together(const HaAffinity *a, const char *sid)
{
    const GPtrArray *list = strmap_get(a->together, sid);

    return list != NULL ? list : a->none;
}

const GPtrArray *ha_affinity_apart(const HaAffinity *a, const char *sid)
{
    const GPtrArray *list = strmap_get(a->apart, sid);

    return list != NULL ? list : a->none;
}

static JsonObject *relations_to_json(const StrMap *relations)
{
    JsonObject *o = json_object_new();

    for (guint i = 0; i < strmap_size(relations); i++) {
        const GPtrArray *list = strmap_value(relations, i);
        JsonObject *set = json_object_new();

        for (guint k = 0; k < list->len; k++) {
            json_object_set_int_member(set, g_ptr_array_index(list, k), 1);
        }
        json_object_set_object_member(o, strmap_key(relations, i), set);
    }
    return o;
}

static JsonObject *nodes_to_json(const StrMap *map)
{
    JsonObject *service = json_object_new();
    JsonObject *nodes = json_object_new();

    for (guint i = 0; i < strmap_size(map); i++) {
        JsonObject *node = json_object_new();

        json_object_set_int_member(node, "priority", GPOINTER_TO_INT(strmap_value(map, i)));
        json_object_set_object_member(nodes, strmap_key(map, i), node);
    }
    json_object_set_object_member(service, "nodes", nodes);
    return service;
}

JsonNode *ha_affinity_to_json(const HaAffinity *a)
{
    JsonObject *root = json_object_new();
    JsonObject *by_node = json_object_new();
    JsonObject *by_resource = json_object_new();
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);

    for (guint i = 0; i < strmap_size(a->nodes); i++) {
        json_object_set_object_member(by_node, strmap_key(a->nodes, i),
                                      nodes_to_json(strmap_value(a->nodes, i)));
    }
    json_object_set_object_member(root, "node-affinity", by_node);
    json_object_set_object_member(by_resource, "negative", relations_to_json(a->apart));
    json_object_set_object_member(by_resource, "positive", relations_to_json(a->together));
    json_object_set_object_member(root, "resource-affinity", by_resource);
    json_node_take_object(node, root);
    return node;
}
