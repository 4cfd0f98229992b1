/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_rules.h"

#include "ha-manager/core/ha_limits.h"

#include <errno.h>
#include <string.h>

#define COMMENT_MAX  4096
#define PRIORITY_MAX INT32_MAX

static const char *const affinity_words[] = {"positive", "negative", NULL};

static const SectionProp node_props[] = {
    {.name = "resources", .kind = SECTION_LIST, .required = true},
    {.name = "nodes", .kind = SECTION_LIST, .required = true},
    {.name = "strict", .kind = SECTION_BOOL},
    {.name = "disable", .kind = SECTION_BOOL},
    {.name = "comment", .kind = SECTION_TEXT, .max = COMMENT_MAX},
};

static const SectionProp resource_props[] = {
    {.name = "resources", .kind = SECTION_LIST, .required = true},
    {.name = "affinity", .kind = SECTION_WORD, .required = true, .words = affinity_words},
    {.name = "disable", .kind = SECTION_BOOL},
    {.name = "comment", .kind = SECTION_TEXT, .max = COMMENT_MAX},
};

static const SectionType rule_types[] = {
    {"node-affinity", sectionconf_check_configid, node_props, G_N_ELEMENTS(node_props)},
    {"resource-affinity", sectionconf_check_configid, resource_props, G_N_ELEMENTS(resource_props)},
};

const SectionSchema ha_rules_schema = {.types = rule_types, .n_types = G_N_ELEMENTS(rule_types)};

static void rule_free(void *data)
{
    HaRule *rule = data;

    g_free(rule->id);
    strmap_free(rule->resources);
    strmap_free(rule->nodes);
    g_free(rule->comment);
    g_free(rule);
}

HaRules *ha_rules_new(void)
{
    HaRules *rules = g_new0(HaRules, 1);

    rules->by_id = strmap_new(rule_free);
    return rules;
}

void ha_rules_free(HaRules *rules)
{
    if (rules == NULL) {
        return;
    }
    strmap_free(rules->by_id);
    g_free(rules);
}

HaRule *ha_rules_add(HaRules *rules, HaRuleType type, const char *id, int64_t order)
{
    HaRule *rule = g_new0(HaRule, 1);

    rule->type = type;
    rule->id = g_strdup(id);
    rule->order = order;
    rule->resources = strmap_new(NULL);
    rule->nodes = type == HA_RULE_NODE_AFFINITY ? strmap_new(NULL) : NULL;
    rule->strict = -1;
    rule->disable = -1;
    strmap_set(rules->by_id, id, rule);
    return rule;
}

bool ha_rule_is_active(const HaRule *rule)
{
    return rule->disable < 0;
}

/* [a-z]+:\S+ */
static bool is_sid(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz");

    return n > 0 && text[n] == ':' && text[n + 1] != '\0' && strlen(text) <= HA_SID_MAX;
}

static bool is_node_name(const char *text)
{
    bool ok = g_ascii_isalnum(text[0]) && strlen(text) <= HA_SID_MAX;

    for (const char *p = text; ok && *p != '\0'; p++) {
        ok = g_ascii_isalnum(*p) || *p == '-' || *p == '.' || *p == '_';
    }
    return ok;
}

void ha_rules_add_nodes(StrMap *nodes, const char *list)
{
    g_autoptr(GPtrArray) words = sectionconf_split_list(list);

    for (guint i = 0; i < words->len; i++) {
        char *name = g_ptr_array_index(words, i);
        char *colon = strchr(name, ':');
        guint64 priority = 0;

        if (colon != NULL) {
            *colon = '\0';
            if (!g_ascii_string_to_unsigned(colon + 1, 10, 0, PRIORITY_MAX, &priority, NULL)) {
                continue;
            }
        }
        if (is_node_name(name) && strmap_size(nodes) < HA_NODES_MAX) {
            strmap_set(nodes, name, GINT_TO_POINTER((int)priority));
        }
    }
}

static void add_resources(StrMap *set, const char *list)
{
    g_autoptr(GPtrArray) words = sectionconf_split_list(list);

    for (guint i = 0; i < words->len; i++) {
        if (is_sid(g_ptr_array_index(words, i))) {
            strmap_set(set, g_ptr_array_index(words, i), GINT_TO_POINTER(1));
        }
    }
}

static int flag_of(const Section *s, const char *name)
{
    return section_text(s, name) != NULL ? (int)section_bool(s, name, false) : -1;
}

static void rule_from_section(HaRules *rules, const Section *s, int64_t order)
{
    HaRuleType type = strcmp(s->type->name, "node-affinity") == 0 ? HA_RULE_NODE_AFFINITY
                                                                  : HA_RULE_RESOURCE_AFFINITY;
    HaRule *rule = ha_rules_add(rules, type, s->id, order);

    add_resources(rule->resources, section_text(s, "resources"));
    rule->disable = flag_of(s, "disable");
    rule->comment = g_strdup(section_text(s, "comment"));
    if (type == HA_RULE_NODE_AFFINITY) {
        ha_rules_add_nodes(rule->nodes, section_text(s, "nodes"));
        rule->strict = flag_of(s, "strict");
    } else {
        rule->positive = strcmp(section_text(s, "affinity"), "positive") == 0;
    }
}

int ha_rules_parse(const char *text, SectionWarn warn, void *ctx, HaRules **ret_rules, Err *err)
{
    g_autoptr(HaRules) rules = ha_rules_new();
    g_autoptr(SectionConf) conf = NULL;
    int64_t order = 0;
    int r = sectionconf_parse(&ha_rules_schema, text, strlen(text), warn, ctx, &conf, err);

    if (r < 0) {
        return err_wrapf(err, r, "ha/rules.cfg");
    }
    if (conf->sections->len > HA_RULES_MAX) {
        return err_setf(err, -EFBIG, "ha/rules.cfg: more than %d rules", HA_RULES_MAX);
    }
    (void)g_strlcpy(rules->digest, conf->digest, sizeof rules->digest); /* same size */
    for (guint i = 0; i < conf->sections->len; i++) {
        const Section *s = g_ptr_array_index(conf->sections, i);

        if (s->type == NULL) {
            continue;
        }
        order++;
        if (s->complete) {
            rule_from_section(rules, s, order);
        }
    }
    *ret_rules = g_steal_pointer(&rules);
    return 0;
}

static void set_flag(JsonObject *o, const char *name, int flag)
{
    if (flag >= 0) {
        json_object_set_int_member(o, name, flag);
    }
}

static JsonObject *set_to_json(const StrMap *set)
{
    JsonObject *o = json_object_new();

    for (guint i = 0; i < strmap_size(set); i++) {
        json_object_set_int_member(o, strmap_key(set, i), 1);
    }
    return o;
}

static JsonObject *nodes_to_json(const StrMap *nodes)
{
    JsonObject *o = json_object_new();

    for (guint i = 0; i < strmap_size(nodes); i++) {
        JsonObject *node = json_object_new();

        json_object_set_int_member(node, "priority", GPOINTER_TO_INT(strmap_value(nodes, i)));
        json_object_set_object_member(o, strmap_key(nodes, i), node);
    }
    return o;
}

static JsonObject *rule_to_json(const HaRule *rule)
{
    JsonObject *o = json_object_new();

    if (rule->type == HA_RULE_RESOURCE_AFFINITY) {
        json_object_set_string_member(o, "affinity", rule->positive ? "positive" : "negative");
    }
    if (rule->comment != NULL) {
        json_object_set_string_member(o, "comment", rule->comment);
    }
    set_flag(o, "disable", rule->disable);
    if (rule->nodes != NULL) {
        json_object_set_object_member(o, "nodes", nodes_to_json(rule->nodes));
    }
    json_object_set_object_member(o, "resources", set_to_json(rule->resources));
    set_flag(o, "strict", rule->strict);
    json_object_set_string_member(
        o, "type", rule->type == HA_RULE_NODE_AFFINITY ? "node-affinity" : "resource-affinity");
    return o;
}

JsonNode *ha_rules_to_json(const HaRules *rules)
{
    JsonObject *root = json_object_new();
    JsonObject *ids = json_object_new();
    JsonObject *order = json_object_new();
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);

    for (guint i = 0; i < strmap_size(rules->by_id); i++) {
        const HaRule *rule = strmap_value(rules->by_id, i);

        json_object_set_object_member(ids, rule->id, rule_to_json(rule));
        json_object_set_int_member(order, rule->id, rule->order);
    }
    json_object_set_string_member(root, "digest", rules->digest);
    json_object_set_object_member(root, "ids", ids);
    json_object_set_object_member(root, "order", order);
    json_node_take_object(node, root);
    return node;
}

static char *join_set(const StrMap *set)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < strmap_size(set); i++) {
        g_string_append_printf(out, "%s%s", i > 0 ? "," : "", strmap_key(set, i));
    }
    return g_string_free(out, FALSE);
}

/* Sorted by name; the priority only when it says something. */
static char *join_nodes(const StrMap *nodes)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < strmap_size(nodes); i++) {
        int priority = GPOINTER_TO_INT(strmap_value(nodes, i));

        g_string_append_printf(out, "%s%s", i > 0 ? "," : "", strmap_key(nodes, i));
        if (priority != 0) {
            g_string_append_printf(out, ":%d", priority);
        }
    }
    return g_string_free(out, FALSE);
}

static int add_section(SectionConf *conf, const HaRule *rule, Err *err)
{
    bool node_rule = rule->type == HA_RULE_NODE_AFFINITY;
    g_autofree char *resources = join_set(rule->resources);
    g_autofree char *nodes = node_rule ? join_nodes(rule->nodes) : NULL;
    Section *s;
    int r;

    if (sectionconf_get(conf, rule->id) != NULL) {
        return 0; /* an earlier attempt got that far */
    }
    r = sectionconf_add(conf, node_rule ? "node-affinity" : "resource-affinity", rule->id, &s, err);
    if (r == 0) {
        r = section_set(s, "resources", resources, err);
    }
    if (r == 0) {
        r = node_rule ? section_set(s, "nodes", nodes, err)
                      : section_set(s, "affinity", rule->positive ? "positive" : "negative", err);
    }
    if (r == 0 && rule->strict > 0) {
        r = section_set(s, "strict", "1", err);
    }
    if (r == 0 && rule->comment != NULL) {
        r = section_set(s, "comment", rule->comment, err);
    }
    return r;
}

int ha_rules_edit_add(const char *old_text, char **ret_text, void *data, Err *err)
{
    const HaRules *rules = data;
    g_autoptr(SectionConf) conf = NULL;
    int r = sectionconf_parse(&ha_rules_schema, old_text, strlen(old_text), NULL, NULL, &conf, err);

    for (guint i = 0; r == 0 && i < strmap_size(rules->by_id); i++) {
        r = add_section(conf, strmap_value(rules->by_id, i), err);
    }
    if (r < 0) {
        return err_wrapf(err, r, "ha/rules.cfg");
    }
    *ret_text = sectionconf_format(conf);
    return 0;
}
