/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/sim/hasim_check.h"

#include "ha-manager/core/ha_affinity.h"
#include "ha-manager/core/ha_fence.h"
#include "ha-manager/core/ha_rules.h"
#include "lib/base/jsontext.h"

#include <glib.h>
#include <string.h>

static const char *const check_nodes[] = {"node1", "node2", "node3"};

static void append_line(void *ctx, const char *line)
{
    g_string_append_printf(ctx, "%s\n", line);
}

/* The value as indented text with members in the order of their names. */
static void append_value(GString *out, JsonNode *node, int depth)
{
    g_autoptr(GList) names = NULL;

    if (!JSON_NODE_HOLDS_OBJECT(node)) {
        g_autofree char *text = json_to_string(node, FALSE);

        g_string_append(out, text);
        return;
    }
    names = json_object_get_members(json_node_get_object(node));
    if (names == NULL) {
        g_string_append(out, "{}");
        return;
    }
    names = g_list_sort(names, (GCompareFunc)(void (*)(void))strcmp);
    g_string_append(out, "{\n");
    for (const GList *l = names; l != NULL; l = l->next) {
        JsonNode *member = json_object_get_member(json_node_get_object(node), l->data);

        g_string_append_printf(out, "%*s", 3 * (depth + 1), "");
        json_append_string(out, l->data);
        g_string_append(out, " : ");
        append_value(out, member, depth + 1);
        g_string_append(out, l->next != NULL ? ",\n" : "\n");
    }
    g_string_append_printf(out, "%*s}", 3 * depth, "");
}

static void append_json(GString *out, JsonNode *node)
{
    append_value(out, node, 0);
    g_string_append_c(out, '\n');
}

int hasim_check_rules(const char *text, char **ret_report, Err *err)
{
    g_autoptr(GString) out = g_string_new("--- Log ---\n");
    g_autoptr(HaRules) rules = NULL;
    g_autoptr(HaAffinity) affinity = NULL;
    g_autoptr(StrMap) nodes = strmap_new(NULL);
    g_autoptr(JsonNode) config = NULL;
    g_autoptr(JsonNode) compiled = NULL;
    int r;

    for (size_t i = 0; i < G_N_ELEMENTS(check_nodes); i++) {
        strmap_set(nodes, check_nodes[i], GINT_TO_POINTER(1));
    }
    r = ha_rules_parse(text, NULL, NULL, &rules, err);
    if (r < 0) {
        return r;
    }
    ha_rules_check(rules, strmap_size(nodes), append_line, out);
    r = ha_rules_transform(rules, err);
    if (r == 0) {
        r = ha_affinity_compile(rules, nodes, &affinity, err);
    }
    if (r < 0) {
        return r;
    }
    config = ha_rules_to_json(rules);
    compiled = ha_affinity_to_json(affinity);
    g_string_append(out, "--- Config ---\n");
    append_json(out, config);
    g_string_append(out, "--- Compiled Config ---\n");
    append_json(out, compiled);
    *ret_report = g_string_free(g_steal_pointer(&out), FALSE);
    return 0;
}

/* The commands of one level; true when there is any. */
static bool append_level(GString *out, const HaFence *fence, guint level)
{
    bool any = false;

    g_string_append_printf(out, "[try] %u\n", level);
    for (size_t i = 0; i < G_N_ELEMENTS(check_nodes); i++) {
        g_autoptr(GPtrArray) commands = ha_fence_commands(fence, check_nodes[i], level);

        for (guint k = 0; k < commands->len; k++) {
            g_autofree char *line = ha_fence_command_text(g_ptr_array_index(commands, k));

            g_string_append_printf(out, "[%s-cmd] %s\n", check_nodes[i], line);
            any = true;
        }
        if (commands->len == 0) {
            g_string_append_printf(out, "[%s-cmd] none\n", check_nodes[i]);
        }
    }
    return any;
}

char *hasim_check_fence(const char *text, const char *file)
{
    g_autoptr(HaFence) fence = NULL;
    g_autofree char *errors = NULL;
    GString *out;
    guint level = 0;

    if (ha_fence_parse(text, file, NULL, NULL, &fence, &errors) < 0) {
        return g_strdup_printf("[FenceConfig] %s\n", errors);
    }
    out = g_string_new(NULL);
    while (append_level(out, fence, level)) {
        level++;
    }
    return g_string_free(out, FALSE);
}
