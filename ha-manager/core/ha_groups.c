/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_groups.h"

#include "ha-manager/core/ha_limits.h"

#include <errno.h>
#include <string.h>

#define COMMENT_MAX 4096

static const SectionProp group_props[] = {
    {.name = "nodes", .kind = SECTION_LIST, .required = true},
    {.name = "restricted", .kind = SECTION_BOOL},
    {.name = "nofailback", .kind = SECTION_BOOL},
    {.name = "comment", .kind = SECTION_TEXT, .max = COMMENT_MAX},
};

static const SectionType group_types[] = {
    {"group", sectionconf_check_configid, group_props, G_N_ELEMENTS(group_props)},
};

const SectionSchema ha_groups_schema = {.types = group_types, .n_types = 1};

static void group_free(void *data)
{
    HaGroup *group = data;

    strmap_free(group->nodes);
    g_free(group->comment);
    g_free(group);
}

void ha_groups_free(HaGroups *groups)
{
    if (groups == NULL) {
        return;
    }
    strmap_free(groups->by_id);
    g_free(groups);
}

int ha_groups_parse(const char *text, SectionWarn warn, void *ctx, HaGroups **ret_groups, Err *err)
{
    g_autoptr(SectionConf) conf = NULL;
    HaGroups *groups;
    int r = sectionconf_parse(&ha_groups_schema, text, strlen(text), warn, ctx, &conf, err);

    if (r < 0) {
        return err_wrapf(err, r, "ha/groups.cfg");
    }
    if (conf->sections->len > HA_RULES_MAX) {
        return err_setf(err, -EFBIG, "ha/groups.cfg: more than %d groups", HA_RULES_MAX);
    }
    groups = g_new0(HaGroups, 1);
    groups->by_id = strmap_new(group_free);
    (void)g_strlcpy(groups->digest, conf->digest, sizeof groups->digest); /* same size */
    for (guint i = 0; i < conf->sections->len; i++) {
        const Section *s = g_ptr_array_index(conf->sections, i);
        HaGroup *group;

        if (!s->complete) {
            continue;
        }
        group = g_new0(HaGroup, 1);
        group->nodes = strmap_new(NULL);
        ha_rules_add_nodes(group->nodes, section_text(s, "nodes"));
        group->restricted = section_bool(s, "restricted", false);
        group->nofailback = section_bool(s, "nofailback", false);
        group->comment = g_strdup(section_text(s, "comment"));
        strmap_set(groups->by_id, s->id, group);
    }
    *ret_groups = groups;
    return 0;
}

void ha_groups_apply_failback(const HaGroups *groups, HaResources *resources)
{
    for (guint i = 0; i < strmap_size(resources->by_sid); i++) {
        HaResource *res = strmap_value(resources->by_sid, i);

        if (res->group != NULL) {
            const HaGroup *group = strmap_get(groups->by_id, res->group);

            res->failback = group == NULL || !group->nofailback;
        }
    }
}

static HaRule *rule_of_group(const char *id, const HaGroup *group, HaRules *rules)
{
    g_autofree char *rule_id = g_strdup_printf("ha-group-%s", id);
    HaRule *rule = strmap_get(rules->by_id, rule_id);

    if (rule != NULL) {
        return rule;
    }
    rule =
        ha_rules_add(rules, HA_RULE_NODE_AFFINITY, rule_id, (int64_t)strmap_size(rules->by_id) + 1);
    rule->strict = group->restricted ? 1 : -1;
    rule->comment = group->comment != NULL ? g_strdup(group->comment)
                                           : g_strdup_printf("Generated from HA group '%s'.", id);
    for (guint i = 0; i < strmap_size(group->nodes); i++) {
        strmap_set(rule->nodes, strmap_key(group->nodes, i), strmap_value(group->nodes, i));
    }
    return rule;
}

void ha_groups_add_rules(const HaGroups *groups, const HaResources *resources, HaRules *rules)
{
    for (guint i = 0; i < strmap_size(resources->by_sid); i++) {
        const HaResource *res = strmap_value(resources->by_sid, i);
        const HaGroup *group = res->group != NULL ? strmap_get(groups->by_id, res->group) : NULL;

        if (group != NULL) {
            HaRule *rule = rule_of_group(res->group, group, rules);

            strmap_set(rule->resources, strmap_key(resources->by_sid, i), GINT_TO_POINTER(1));
        }
    }
}

/* One number of a version; advances *p behind it. -1 when there is none. */
static int take_number(const char **p)
{
    char *end;
    guint64 n;

    if (!g_ascii_isdigit(**p)) {
        return -1;
    }
    n = g_ascii_strtoull(*p, &end, 10);
    *p = end;
    return n > 100000 ? 100000 : (int)n;
}

/* major.minor(.|-)patch[~rev] against 9.0.0~16 */
bool ha_groups_version_ok(const char *version)
{
    const int wanted[3] = {9, 0, 0};
    const char *p = version;

    for (int i = 0; i < 3; i++) {
        int n = take_number(&p);

        if (n < 0 || n < wanted[i]) {
            return false;
        }
        if (n > wanted[i]) {
            return true;
        }
        if (i < 2 && *p != '.' && !(i == 1 && *p == '-')) {
            return false;
        }
        p += i < 2;
    }
    if (*p == '~') {
        p++;
        return take_number(&p) >= 16;
    }
    return true;
}
