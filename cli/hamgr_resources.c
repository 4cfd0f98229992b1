/* SPDX-License-Identifier: Apache-2.0 */
/* ha-manager add, set, remove, config, managed. */
#include "cli/hamgr_verbs.h"
#include "ha-manager/core/ha_groups.h"
#include "ha-manager/io/ha_agents.h"
#include "lib/base/jsontree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VALUES_MAX 8
/* Of a generic service; it is the name of a file. */
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-."

static void resource_values(HaEditValue ret[VALUES_MAX])
{
    const HamgrOptions *o = &hamgr_options;
    const HaEditValue values[VALUES_MAX] = {
        {"state", o->state},
        {"group", o->group},
        {"failback", o->failback},
        {"max_restart", o->max_restart},
        {"max_relocate", o->max_relocate},
        {"comment", o->comment},
        {NULL, NULL},
    };

    memcpy(ret, values, sizeof values);
}

/* A generic service without an owner comes to this node: that its program is here is enough. */
static int adopt_generic(const Hamgr *h, const char *sid, Err *err)
{
    const char *name = strchr(sid, ':') + 1;
    g_autofree char *owner = ha_cluster_guest_node(h->cluster, sid);
    g_autofree char *program = g_build_filename(HA_GENERIC_FOLDER, name, NULL);
    g_autofree char *path = ha_tree_guest_path(HA_TREE_DEFAULT, sid, h->node);
    g_autofree char *dir = g_path_get_dirname(path);
    int fd;

    if (name[0] == '\0' || name[0] == '.' || strspn(name, NAME_CHARS) != strlen(name)) {
        return err_setf(err, -EINVAL,
                        "invalid name '%s': expected letters, digits, '_', '-' and '.'", name);
    }
    if (owner != NULL) {
        return 0;
    }
    if (access(program, X_OK) < 0) {
        return err_setf(err, -ENOENT, "resource '%s' does not exist: no program %s", sid, program);
    }
    (void)g_mkdir_with_parents(dir, 0755); /* else opening says why */
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || close(fd) < 0) {
        int r = -errno;

        return err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    return 0;
}

static int check_guest(const Hamgr *h, const char *sid, Err *err)
{
    bool vm = g_str_has_prefix(sid, "vm:");
    bool ct = g_str_has_prefix(sid, "ct:");
    const char *id = strchr(sid, ':') + 1;
    g_autofree char *node = ha_cluster_guest_node(h->cluster, sid);
    g_autofree char *other = g_strdup_printf("%s:%s", vm ? "ct" : "vm", id);
    g_autofree char *other_node = ha_cluster_guest_node(h->cluster, other);

    if (g_str_has_prefix(sid, "exec:")) {
        return adopt_generic(h, sid, err);
    }
    if (!vm && !ct) {
        return err_setf(err, -EINVAL, "'%s': type must be vm, ct or exec", sid);
    }
    if (node == NULL && other_node != NULL) {
        return err_setf(err, -EINVAL, "resource '%s' - guest with ID %s is not a %s", sid, id,
                        vm ? "VM" : "container");
    }
    return node != NULL ? 0
                        : err_setf(err, -ENOENT, "resource '%s' does not exist in cluster", sid);
}

static int check_group(const Hamgr *h, Err *err)
{
    const char *group = hamgr_options.group;
    g_autofree char *text = NULL;
    g_autoptr(SectionConf) conf = NULL;
    int r = group == NULL ? 0 : hamgr_read(h, HA_FILE_GROUPS, NULL, &text, err);

    if (r < 0 || group == NULL) {
        return r;
    }
    if (text[0] == '\0') {
        return err_setf(err, -EINVAL, "cannot use group: ha groups have been migrated to rules");
    }
    r = sectionconf_parse(&ha_groups_schema, text, strlen(text), NULL, NULL, &conf, err);
    if (r == 0 && sectionconf_get(conf, group) == NULL) {
        r = err_setf(err, -ENOENT, "HA group '%s' does not exist", group);
    }
    return r;
}

static int change(const char *sid, HaEditAction action, Err *err)
{
    SectionSchema schema = ha_resources_schema(ha_agent_types);
    g_autofree void *owned = (void *)schema.types;
    g_autofree char *type = ha_sid_type(sid);
    HaEditValue values[VALUES_MAX];
    HaSectionEdit edit = {.schema = &schema,
                          .action = action,
                          .type = type,
                          .id = strchr(sid, ':') + 1,
                          .key = sid,
                          .values = values,
                          .unset = hamgr_options.unset,
                          .digest = hamgr_options.digest,
                          .what = "resource ID"};

    int r = hamgr_check_unset(&schema.types[0], err); /* all types have the same */

    (void)owned;
    if (r < 0) {
        return r;
    }
    resource_values(values);
    return hamgr_update(HA_FILE_RESOURCES, ha_edit_section, &edit, err);
}

static int full_sid(const Hamgr *h, const char *word, char **ret, Err *err)
{
    if (strchr(word, ':') == NULL && hamgr_options.type != NULL) {
        *ret = g_strdup_printf("%s:%s", hamgr_options.type, word);
        return 0;
    }
    return hamgr_sid(h, word, ret, err);
}

int hamgr_add(char **operands, Err *err)
{
    g_auto(Hamgr) h = {0};
    g_autofree char *sid = NULL;
    int r = hamgr_open(&h, err);

    if (r == 0) {
        r = full_sid(&h, operands[0], &sid, err);
    }
    if (r == 0) {
        r = check_guest(&h, sid, err);
    }
    if (r == 0) {
        r = check_group(&h, err);
    }
    return r < 0 ? r : change(sid, HA_EDIT_ADD, err);
}

/* While HA is disarmed or the service is frozen, nothing will happen for now: say so. */
static void hint(const Hamgr *h, const char *sid)
{
    const HaService *s = strmap_get(h->ms->services, sid);

    if (h->ms->disarm) {
        (void)fprintf(stderr,
                      "note: HA is disarmed; this takes effect after 'crm-command arm-ha'\n");
    } else if (s != NULL && s->state == HA_SERVICE_FREEZE) {
        (void)fprintf(stderr, "note: the service is frozen; this takes effect when it thaws\n");
    }
}

int hamgr_set(char **operands, Err *err)
{
    g_auto(Hamgr) h = {0};
    g_autofree char *sid = NULL;
    const HaService *s;
    int r = hamgr_open(&h, err);

    if (r == 0) {
        r = full_sid(&h, operands[0], &sid, err);
    }
    if (r < 0) {
        return r;
    }
    s = strmap_get(h.ms->services, sid);
    if (s != NULL && s->state == HA_SERVICE_ERROR &&
        g_strcmp0(hamgr_options.state, "disabled") != 0) {
        return hamgr_check_motion(&h, sid, err);
    }
    r = check_group(&h, err);
    if (r == 0) {
        r = change(sid, HA_EDIT_SET, err);
    }
    if (r == 0) {
        hint(&h, sid);
    }
    return r;
}

int hamgr_remove(char **operands, Err *err)
{
    g_auto(Hamgr) h = {0};
    g_autofree char *sid = NULL;
    int r = hamgr_open(&h, err);

    if (r == 0) {
        r = strchr(operands[0], ':') != NULL ? 0 : hamgr_sid(&h, operands[0], &sid, err);
    }
    if (r < 0) {
        return r;
    }
    sid = sid != NULL ? sid : g_strdup(operands[0]);
    if (ha_resources_get(h.resources, sid) == NULL) {
        return err_setf(err, -ENOENT, "cannot delete service '%s', not HA managed!", sid);
    }
    r = change(sid, HA_EDIT_REMOVE, err);
    if (r == 0 && hamgr_options.purge) {
        r = hamgr_update(HA_FILE_RULES, ha_edit_purge_rules, sid, err);
    }
    return r;
}

static int open_config(const Hamgr *h, const SectionSchema *schema, SectionConf **ret, Err *err)
{
    g_autofree char *text = NULL;
    int r = hamgr_read(h, HA_FILE_RESOURCES, NULL, &text, err);

    return r < 0 ? r : sectionconf_parse(schema, text, strlen(text), NULL, NULL, ret, err);
}

static void print_section(const Section *s)
{
    g_autofree char *key = hamgr_printable(s->key);

    (void)printf("%s\n", key);
    hamgr_print_properties(s->values);
}

static JsonTree *section_json(const Section *s, const char *digest)
{
    JsonTree *o = jsontree_new_object();

    jsontree_set_text(o, "sid", s->key);
    jsontree_set_text(o, "type", s->type->name);
    for (guint i = 0; i < strmap_size(s->values); i++) {
        jsontree_set_text(o, strmap_key(s->values, i), strmap_value(s->values, i));
    }
    jsontree_set_text(o, "digest", digest);
    return o;
}

int hamgr_config(char **operands, Err *err)
{
    g_auto(Hamgr) h = {0};
    SectionSchema schema = ha_resources_schema(ha_agent_types);
    g_autofree void *owned = (void *)schema.types;
    g_autoptr(SectionConf) conf = NULL;
    g_autoptr(StrMap) sorted = strmap_new(NULL);
    g_autoptr(JsonTree) list = jsontree_new_array();
    bool json = false;
    int r = cli_wants_json(&json, err);

    (void)operands;
    (void)owned;
    if (r == 0) {
        r = hamgr_check_type(&schema, err);
    }
    if (r == 0) {
        r = hamgr_open(&h, err);
    }
    if (r == 0) {
        r = open_config(&h, &schema, &conf, err);
    }
    for (guint i = 0; r == 0 && i < conf->sections->len; i++) {
        Section *s = g_ptr_array_index(conf->sections, i);

        if (s->complete && s->type != NULL &&
            (hamgr_options.type == NULL || strcmp(hamgr_options.type, s->type->name) == 0)) {
            strmap_set(sorted, s->key, s);
        }
    }
    for (guint i = 0; r == 0 && i < strmap_size(sorted); i++) {
        if (json) {
            jsontree_add(list, section_json(strmap_value(sorted, i), conf->digest));
        } else {
            print_section(strmap_value(sorted, i));
        }
    }
    if (r == 0 && json) {
        g_autofree char *text = jsontree_pretty(list);

        (void)fputs(text, stdout);
    }
    return r;
}

int hamgr_managed(char **operands, Err *err)
{
    g_auto(Hamgr) h = {0};
    g_autofree char *sid = NULL;
    const HaResource *res;
    int r = hamgr_open(&h, err);

    if (r == 0) {
        r = hamgr_sid(&h, operands[0], &sid, err);
    }
    if (r < 0) {
        (void)fprintf(stderr, "ha-manager managed: %s\n", err_text(err));
        return CLI_EXIT_USAGE; /* neither yes nor no */
    }
    res = ha_resources_get(h.resources, sid);
    if (res == NULL || res->request == HA_REQUEST_IGNORED ||
        (h.ms->disarm && h.ms->disarm_mode == HA_DISARM_IGNORE)) {
        return CLI_EXIT_FAILED;
    }
    (void)printf("%s\n", ha_request_name(res->request));
    return 0;
}
