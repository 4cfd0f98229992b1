/* SPDX-License-Identifier: Apache-2.0 */
/* ha-manager rules ..., group...: reference 2.3, 2.4, 15. */
#include "cli/hamgr_verbs.h"
#include "ha-manager/core/ha_groups.h"
#include "ha-manager/core/ha_rules.h"
#include "lib/base/jsontree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VALUES_MAX   8
#define PRIORITY_MAX INT32_MAX /* as the master reads it */

/* ---- reading ----------------------------------------------------------------------------------
 */

static int
open_file(const Hamgr *h, HaFile file, const SectionSchema *schema, SectionConf **ret, Err *err)
{
    g_autofree char *text = NULL;
    int r = hamgr_read(h, file, NULL, &text, err);

    return r < 0 ? r : sectionconf_parse(schema, text, strlen(text), NULL, NULL, ret, err);
}

static bool have_groups(const Hamgr *h)
{
    g_autoptr(SectionConf) conf = NULL;

    return open_file(h, HA_FILE_GROUPS, &ha_groups_schema, &conf, NULL) == 0 &&
           g_hash_table_size(conf->by_key) > 0;
}

static bool list_has(const char *list, const char *word)
{
    g_autoptr(GPtrArray) words = sectionconf_split_list(list != NULL ? list : "");

    for (guint i = 0; i < words->len; i++) {
        if (strcmp(g_ptr_array_index(words, i), word) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_wanted(const Section *s)
{
    const HamgrOptions *o = &hamgr_options;

    return s->complete && s->type != NULL &&
           (o->type == NULL || strcmp(s->type->name, o->type) == 0) &&
           (o->resource == NULL || list_has(section_text(s, "resources"), o->resource));
}

typedef struct Dropped {
    StrMap *reasons; /* rule id -> char *: messages, one a line */
} Dropped;

/* "Drop rule 'ID', because MESSAGE." */
static void take_reason(void *ctx, const char *line)
{
    Dropped *d = ctx;
    const char *id = strchr(line, '\'');
    const char *end = id != NULL ? strstr(id + 1, "', because ") : NULL;
    g_autofree char *name = NULL;
    const char *before;
    char *message;

    if (end == NULL) {
        return;
    }
    name = g_strndup(id + 1, (gsize)(end - id - 1));
    message = g_strdup(end + strlen("', because "));
    if (g_str_has_suffix(message, ".")) {
        message[strlen(message) - 1] = '\0';
    }
    before = strmap_get(d->reasons, name);
    if (before != NULL) {
        char *both = g_strconcat(before, "\n", message, NULL);

        g_free(message);
        message = both;
    }
    strmap_set(d->reasons, name, message);
}

static guint count_nodes(const Hamgr *h)
{
    g_autoptr(StrMap) members = strmap_new(NULL);

    return ha_cluster_members(h->cluster, members, NULL) == 0 ? strmap_size(members) : 0;
}

/* Which rules of this text would not be used, and why. */
static int check_text(const Hamgr *h, const char *text, Dropped *d, Err *err)
{
    g_autoptr(HaRules) rules = NULL;
    int r = ha_rules_parse(text, NULL, NULL, &rules, err);

    if (r == 0) {
        rules->join_late = true; /* as our master does */
        ha_rules_check(rules, count_nodes(h), take_reason, d);
    }
    return r;
}

/* ---- showing ----------------------------------------------------------------------------------
 */

/* `what`: the name of its name. */
static JsonTree *rule_json(const Section *s, const char *what, const char *digest)
{
    JsonTree *o = jsontree_new_object();

    jsontree_set_text(o, what, s->id);
    jsontree_set_text(o, "type", s->type->name);
    for (guint i = 0; i < strmap_size(s->values); i++) {
        jsontree_set_text(o, strmap_key(s->values, i), strmap_value(s->values, i));
    }
    jsontree_set_text(o, "digest", digest);
    return o;
}

static void print_json(const JsonTree *list)
{
    g_autofree char *text = jsontree_pretty(list);

    (void)fputs(text, stdout);
}

/* Columns as wide as their widest cell. `rows` holds char **, the first one being the heading. */
static void print_table(const GPtrArray *rows)
{
    gsize width[16] = {0};

    for (guint i = 0; i < rows->len; i++) {
        char **cells = g_ptr_array_index(rows, i);

        for (gsize k = 0; cells[k] != NULL; k++) {
            width[k] = MAX(width[k], (gsize)g_utf8_strlen(cells[k], -1));
        }
    }
    for (guint i = 0; i < rows->len; i++) {
        char **cells = g_ptr_array_index(rows, i);

        for (gsize k = 0; cells[k] != NULL; k++) {
            gsize pad = cells[k + 1] == NULL ? 0 : width[k] - (gsize)g_utf8_strlen(cells[k], -1);

            (void)printf("%s%s%*s", k > 0 ? "  " : "", cells[k], (int)pad, "");
        }
        (void)printf("\n");
    }
}

static char *cell(const Section *s, const char *name)
{
    const char *value = section_text(s, name);

    return hamgr_printable(value != NULL ? value : "");
}

static char **list_row(const Section *s)
{
    char **row = g_new0(char *, 9);

    row[0] = g_strdup(s->id);
    row[1] = g_strdup(s->type->name);
    row[2] = cell(s, "resources");
    row[3] = cell(s, "nodes");
    row[4] = cell(s, "strict");
    row[5] = cell(s, "affinity");
    row[6] = cell(s, "disable");
    row[7] = cell(s, "comment");
    return row;
}

static bool is_enabled(const Section *s)
{
    return section_text(s, "disable") == NULL;
}

/* NULL: it is switched off, so there is nothing to say. */
static const char *state_text(const Section *s, const StrMap *reasons)
{
    return !is_enabled(s) ? NULL : strmap_has(reasons, s->id) ? "ignored (conflicts)" : "in use";
}

static char **config_row(const Section *s, const Dropped *d)
{
    const char *state = state_text(s, d->reasons);
    char **row = g_new0(char *, 7);

    row[0] = g_strdup(is_enabled(s) ? "1" : "0");
    row[1] = g_strdup(state != NULL ? state : "");
    row[2] = g_strdup(s->id);
    row[3] = g_strdup(s->type->name);
    row[4] = cell(s, "resources");
    row[5] = cell(s, "comment");
    return row;
}

static char **heading(const char *words)
{
    return g_strsplit(words, " ", -1);
}

static int show_rules(bool states, Err *err)
{
    g_auto(Hamgr) h = {0};
    g_autoptr(SectionConf) conf = NULL;
    g_autoptr(JsonTree) list = jsontree_new_array();
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    g_autoptr(StrMap) reasons = strmap_new(g_free);
    g_autofree char *text = NULL;
    Dropped d = {reasons};
    bool json = false;
    int r = cli_wants_json(&json, err);

    if (r == 0) {
        r = hamgr_check_type(&ha_rules_schema, err);
    }
    if (r == 0) {
        r = hamgr_open(&h, err);
    }
    if (r == 0) {
        r = open_file(&h, HA_FILE_RULES, &ha_rules_schema, &conf, err);
    }
    if (r == 0) {
        r = hamgr_read(&h, HA_FILE_RULES, NULL, &text, err);
    }
    if (r == 0) {
        r = check_text(&h, text, &d, err);
    }
    if (r < 0) {
        return r;
    }
    g_ptr_array_add(rows, heading(states ? "enabled state rule type resources comment"
                                         : "rule type resources nodes strict affinity disable "
                                           "comment"));
    for (guint i = 0; i < conf->sections->len; i++) {
        const Section *s = g_ptr_array_index(conf->sections, i);

        if (is_wanted(s)) {
            JsonTree *o = rule_json(s, "rule", conf->digest);

            jsontree_set_text(o, "state", state_text(s, reasons));
            jsontree_set_text(o, "errors", strmap_get(reasons, s->id));
            jsontree_add(list, o);
            g_ptr_array_add(rows, states ? config_row(s, &d) : list_row(s));
        }
    }
    if (json) {
        print_json(list);
    } else {
        print_table(rows);
    }
    return 0;
}

int hamgr_rules_list(char **operands, Err *err)
{
    (void)operands;
    return show_rules(false, err);
}

int hamgr_rules_config(char **operands, Err *err)
{
    (void)operands;
    return show_rules(true, err);
}

/* ---- changing ---------------------------------------------------------------------------------
 */

/* Sorted and joined by commas, as the file has lists; priorities only when they are not zero. */
static char *normal_list(const char *list)
{
    g_autoptr(GPtrArray) words = sectionconf_split_list(list);
    g_autoptr(StrMap) sorted = strmap_new(NULL);
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < words->len; i++) {
        char *word = g_ptr_array_index(words, i);

        if (g_str_has_suffix(word, ":0")) {
            word[strlen(word) - 2] = '\0';
        }
        strmap_set(sorted, word, NULL);
    }
    for (guint i = 0; i < strmap_size(sorted); i++) {
        g_string_append_printf(out, "%s%s", i > 0 ? "," : "", strmap_key(sorted, i));
    }
    return g_string_free(out, FALSE);
}

/* The words that are not known, as "a, b"; NULL when all are. */
static char *unknown_words(const char *list, const StrMap *known, bool strip)
{
    g_autoptr(GPtrArray) words = sectionconf_split_list(list);
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < words->len; i++) {
        char *word = g_ptr_array_index(words, i);

        if (strip) {
            word[strcspn(word, ":")] = '\0';
        }
        if (!strmap_has(known, word)) {
            g_string_append_printf(out, "%s%s", out->len > 0 ? ", " : "", word);
        }
    }
    return g_string_free(out, out->len == 0);
}

/* NODE[:PRIORITY], each node once: whatever else there is would be left out by the master. */
static int check_node_list(const char *list, Err *err)
{
    g_autoptr(GPtrArray) words = sectionconf_split_list(list != NULL ? list : "");
    g_autoptr(StrMap) seen = strmap_new(NULL);

    for (guint i = 0; i < words->len; i++) {
        char *word = g_ptr_array_index(words, i);
        char *colon = strchr(word, ':');

        if (colon != NULL &&
            !g_ascii_string_to_unsigned(colon + 1, 10, 0, PRIORITY_MAX, NULL, NULL)) {
            return err_setf(err, -EINVAL, "'%s': priority must be a number from 0 to %d", word,
                            PRIORITY_MAX);
        }
        word[strcspn(word, ":")] = '\0';
        if (word[0] == '\0') {
            return err_setf(err, -EINVAL, "a priority without a node in '%s'", list);
        }
        if (strmap_has(seen, word)) {
            return err_setf(err, -EINVAL, "node '%s' is named twice", word);
        }
        strmap_set(seen, word, NULL);
    }
    return 0;
}

static int check_lists(const Hamgr *h, bool adding, bool node_rule, Err *err)
{
    g_autoptr(StrMap) members = strmap_new(NULL);
    g_autofree char *bad = NULL;
    const HamgrOptions *o = &hamgr_options;
    int r;

    if (adding && (o->resources == NULL || *o->resources == '\0')) {
        return err_setf(err, -EINVAL, "no resources were specified");
    }
    if (adding && node_rule && (o->nodes == NULL || *o->nodes == '\0')) {
        return err_setf(err, -EINVAL, "no nodes were specified");
    }
    if (o->resources != NULL) {
        bad = unknown_words(o->resources, h->resources->by_sid, false);
        if (bad != NULL) {
            return err_setf(err, -EINVAL, "cannot use unmanaged resource(s) %s.", bad);
        }
    }
    if (o->nodes == NULL) {
        return 0;
    }
    r = ha_cluster_members(h->cluster, members, err);
    if (r < 0) {
        return r;
    }
    bad = unknown_words(o->nodes, members, true);
    if (bad != NULL) {
        return err_setf(err, -EINVAL, "cannot use non-existent node(s) %s.", bad);
    }
    return check_node_list(o->nodes, err);
}

/* Of this type of rule; one that does not exist is refused later. */
static int check_unset(const char *type, Err *err)
{
    for (size_t i = 0; i < ha_rules_schema.n_types; i++) {
        if (strcmp(ha_rules_schema.types[i].name, type) == 0) {
            return hamgr_check_unset(&ha_rules_schema.types[i], err);
        }
    }
    return 0;
}

/* An edit that also refuses what the master would drop. */
typedef struct RuleEdit {
    const Hamgr *h;
    HaSectionEdit section;
} RuleEdit;

static int edit_rule(const char *old_text, char **ret_text, void *data, Err *err)
{
    const RuleEdit *e = data;
    g_autoptr(StrMap) reasons = strmap_new(g_free);
    g_autofree char *text = NULL;
    HaSectionEdit section = e->section;
    Dropped d = {reasons};
    int r = ha_edit_section(old_text, &text, &section, err);

    if (r == 0) {
        r = check_text(e->h, text, &d, err);
    }
    if (r == 0 && strmap_has(reasons, e->section.id)) {
        return err_setf(err, -EINVAL, "Rule '%s' is invalid.\n  resources: %s", e->section.id,
                        (const char *)strmap_get(reasons, e->section.id));
    }
    if (r == 0) {
        *ret_text = g_steal_pointer(&text);
    }
    return r;
}

static int change_rule(char **operands, HaEditAction action, Err *err)
{
    g_auto(Hamgr) h = {0};
    const HamgrOptions *o = &hamgr_options;
    g_autofree char *resources = o->resources != NULL ? normal_list(o->resources) : NULL;
    g_autofree char *nodes = o->nodes != NULL ? normal_list(o->nodes) : NULL;
    bool off = o->disable != NULL && strcmp(o->disable, "0") == 0;
    g_autofree char *unset =
        g_strdup_printf("%s %s", o->unset != NULL ? o->unset : "", off ? "disable" : "");
    const HaEditValue values[] = {{"resources", resources},
                                  {"nodes", nodes},
                                  {"strict", o->strict},
                                  {"affinity", o->affinity},
                                  {"comment", o->comment},
                                  {"disable", off ? NULL : o->disable},
                                  {NULL, NULL}};
    RuleEdit edit = {&h,
                     {.schema = &ha_rules_schema,
                      .action = action,
                      .type = operands[0],
                      .id = operands[1],
                      .key = operands[1],
                      .values = values,
                      .unset = unset,
                      .digest = o->digest,
                      .what = "HA rule"}};
    int r = hamgr_open(&h, err);

    if (r == 0 && have_groups(&h)) {
        r = err_setf(err, -EBUSY, "cannot %s ha rule: ha groups have not been migrated yet",
                     action == HA_EDIT_ADD ? "create" : "update");
    }
    if (r == 0) {
        r = check_lists(&h, action == HA_EDIT_ADD, strcmp(operands[0], "node-affinity") == 0, err);
    }
    if (r == 0) {
        r = check_unset(operands[0], err);
    }
    return r < 0 ? r : hamgr_update(HA_FILE_RULES, edit_rule, &edit, err);
}

int hamgr_rules_add(char **operands, Err *err)
{
    return change_rule(operands, HA_EDIT_ADD, err);
}

int hamgr_rules_set(char **operands, Err *err)
{
    return change_rule(operands, HA_EDIT_SET, err);
}

int hamgr_rules_remove(char **operands, Err *err)
{
    HaSectionEdit edit = {.schema = &ha_rules_schema,
                          .action = HA_EDIT_REMOVE,
                          .id = operands[0],
                          .key = operands[0],
                          .what = "HA rule"};

    return hamgr_update(HA_FILE_RULES, ha_edit_section, &edit, err);
}

/* ---- groups -----------------------------------------------------------------------------------
 */

static int need_groups(const Hamgr *h, const char *verb, Err *err)
{
    return have_groups(h)
               ? 0
               : err_setf(err, -EINVAL, "cannot %s: ha groups have been migrated to rules", verb);
}

static int change_group(const char *id, HaEditAction action, const char *verb, Err *err)
{
    g_auto(Hamgr) h = {0};
    const HamgrOptions *o = &hamgr_options;
    const HaEditValue values[VALUES_MAX] = {{"nodes", o->nodes},
                                            {"restricted", o->restricted},
                                            {"nofailback", o->nofailback},
                                            {"comment", o->comment},
                                            {NULL, NULL}};
    HaSectionEdit edit = {.schema = &ha_groups_schema,
                          .action = action,
                          .type = "group",
                          .id = id,
                          .key = id,
                          .values = values,
                          .unset = o->unset,
                          .digest = o->digest,
                          .what = "HA group"};
    int r = hamgr_open(&h, err);

    if (r == 0) {
        r = need_groups(&h, verb, err);
    }
    if (r == 0) {
        r = check_node_list(o->nodes, err);
    }
    if (r == 0) {
        r = hamgr_check_unset(&ha_groups_schema.types[0], err);
    }
    return r < 0 ? r : hamgr_update(HA_FILE_GROUPS, ha_edit_section, &edit, err);
}

int hamgr_groupadd(char **operands, Err *err)
{
    return change_group(operands[0], HA_EDIT_ADD, "create group", err);
}

int hamgr_groupset(char **operands, Err *err)
{
    return change_group(operands[0], HA_EDIT_SET, "update group", err);
}

int hamgr_groupremove(char **operands, Err *err)
{
    return change_group(operands[0], HA_EDIT_REMOVE, "delete group", err);
}

int hamgr_groupconfig(char **operands, Err *err)
{
    g_auto(Hamgr) h = {0};
    g_autoptr(SectionConf) conf = NULL;
    g_autoptr(JsonTree) list = jsontree_new_array();
    bool json = false;
    int r = cli_wants_json(&json, err);

    (void)operands;
    if (r == 0) {
        r = hamgr_open(&h, err);
    }
    if (r == 0) {
        r = need_groups(&h, "show groups", err);
    }
    if (r == 0) {
        r = open_file(&h, HA_FILE_GROUPS, &ha_groups_schema, &conf, err);
    }
    for (guint i = 0; r == 0 && i < conf->sections->len; i++) {
        const Section *s = g_ptr_array_index(conf->sections, i);

        if (!s->complete || s->type == NULL) {
            continue;
        }
        if (json) {
            jsontree_add(list, rule_json(s, "group", conf->digest));
            continue;
        }
        (void)printf("group: %s\n", s->id);
        hamgr_print_properties(s->values);
    }
    if (r == 0 && json) {
        print_json(list);
    }
    return r;
}
