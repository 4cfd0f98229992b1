/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of ha-manager share. */
#include "cli/hamgr_verbs.h"
#include "ha-manager/core/ha_groups.h"
#include "ha-manager/io/ha_agents.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int hamgr_read(const Hamgr *h, HaFile file, const char *node, char **ret, Err *err)
{
    return ha_cluster_read(h->cluster, file, node, ret, err);
}

static int load(Hamgr *h, Err *err)
{
    g_autoptr(StrMap) guests = strmap_new(ha_guest_free);
    g_autofree char *status = NULL;
    g_autofree char *resources = NULL;
    int r = ha_cluster_refresh(h->cluster, err);

    if (r < 0) {
        return err_wrapf(err, r, "cluster filesystem");
    }
    r = hamgr_read(h, HA_FILE_MANAGER_STATUS, NULL, &status, err);
    if (r == 0) {
        r = ha_manager_status_parse(status, NULL, NULL, &h->ms, err);
        if (r < 0) {
            r = err_wrapf(err, r, "see DAMAGED FILES in ha-manager(8)");
        }
    }
    if (r == 0) {
        r = hamgr_read(h, HA_FILE_RESOURCES, NULL, &resources, err);
    }
    if (r == 0) {
        r = ha_cluster_guests(h->cluster, guests, err);
    }
    if (r == 0) {
        r = ha_resources_parse(ha_agent_types, resources, guests, NULL, NULL, &h->resources, err);
    }
    return r;
}

int hamgr_open(Hamgr *h, Err *err)
{
    char host[256] = "";
    int r;

    (void)gethostname(host, sizeof host - 1); /* then it is "" */
    host[strcspn(host, ".")] = '\0';
    h->node = g_strdup(host);
    h->cluster = ha_cluster_new(HA_TREE_DEFAULT, h->node);
    r = load(h, err);
    if (r < 0) {
        hamgr_close(h);
    }
    return r;
}

void hamgr_close(Hamgr *h)
{
    g_clear_pointer(&h->cluster, ha_cluster_free);
    g_clear_pointer(&h->ms, ha_manager_status_free);
    g_clear_pointer(&h->resources, ha_resources_free);
    g_clear_pointer(&h->node, g_free);
}

int hamgr_sid(const Hamgr *h, const char *word, char **ret, Err *err)
{
    static const char *const types[] = {"vm", "ct"};

    if (strchr(word, ':') != NULL) {
        *ret = g_strdup(word);
        return 0;
    }
    if (!ha_is_vmid(word)) {
        return err_setf(err, -EINVAL, "'%s' is no service: expected TYPE:NAME or a VMID", word);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
        g_autofree char *sid = g_strdup_printf("%s:%s", types[i], word);
        g_autofree char *node = ha_cluster_guest_node(h->cluster, sid);

        if (node != NULL) {
            *ret = g_steal_pointer(&sid);
            return 0;
        }
    }
    return err_setf(err, -ENOENT, "unable to detect SID from VMID - VM/CT %s does not exist", word);
}

int hamgr_update(HaFile file, HaEdit edit, const void *data, Err *err)
{
    return ha_tree_update(HA_TREE_DEFAULT, file, edit, (void *)(uintptr_t)data, HA_LOCK_WAIT_MS,
                          err);
}

int hamgr_check_motion(const Hamgr *h, const char *sid, Err *err)
{
    const HaService *s = strmap_get(h->ms->services, sid);

    if (ha_resources_get(h->resources, sid) == NULL) {
        return err_setf(err, -ENOENT, "resource '%s' is not HA managed", sid);
    }
    if (s != NULL && s->state == HA_SERVICE_ERROR) {
        return err_setf(err, -EBUSY,
                        "service '%s' in error state, must be disabled and fixed first", sid);
    }
    return 0;
}

static StrMap *all_nodes(const Hamgr *h)
{
    StrMap *nodes = strmap_new(NULL);

    (void)!ha_cluster_members(h->cluster, nodes, NULL); /* then only those of the status */
    for (guint i = 0; i < strmap_size(h->ms->nodes); i++) {
        strmap_set(nodes, strmap_key(h->ms->nodes, i), GINT_TO_POINTER(1));
    }
    return nodes;
}

static void ignore_line(void *ctx, const char *line)
{
    (void)ctx;
    (void)line;
}

int hamgr_affinity(const Hamgr *h, HaAffinity **ret, Err *err)
{
    g_autofree char *text = NULL;
    g_autofree char *group_text = NULL;
    g_autoptr(HaRules) rules = NULL;
    g_autoptr(StrMap) nodes = all_nodes(h);
    HaGroups *groups = NULL;
    int r = hamgr_read(h, HA_FILE_RULES, NULL, &text, err);

    if (r == 0) {
        r = hamgr_read(h, HA_FILE_GROUPS, NULL, &group_text, err);
    }
    if (r == 0) {
        r = ha_rules_parse(text, NULL, NULL, &rules, err);
    }
    if (r == 0) {
        r = ha_groups_parse(group_text, NULL, NULL, &groups, err);
    }
    if (r < 0) {
        return r;
    }
    rules->join_late = true; /* as our master does */
    ha_groups_add_rules(groups, h->resources, rules);
    ha_groups_free(groups);
    ha_rules_check(rules, strmap_size(nodes), ignore_line, NULL);
    r = ha_rules_transform(rules, err);
    return r < 0 ? r : ha_affinity_compile(rules, nodes, ret, err);
}

int hamgr_check_unset(const SectionType *type, Err *err)
{
    const char *list = hamgr_options.unset != NULL ? hamgr_options.unset : "";
    g_autoptr(GPtrArray) words = sectionconf_split_list(list);

    for (guint i = 0; i < words->len; i++) {
        const char *word = g_ptr_array_index(words, i);
        size_t k = 0;

        while (k < type->n_props && strcmp(type->props[k].name, word) != 0) {
            k++;
        }
        if (k == type->n_props) {
            return err_setf(err, -EINVAL, "cannot delete '%s': unknown property", word);
        }
    }
    return 0;
}

int hamgr_check_type(const SectionSchema *schema, Err *err)
{
    const char *type = hamgr_options.type;

    for (size_t i = 0; type != NULL && i < schema->n_types; i++) {
        if (strcmp(schema->types[i].name, type) == 0) {
            return 0;
        }
    }
    return type == NULL ? 0 : err_setf(err, -EINVAL, "unknown type '%s'", type);
}

char *hamgr_printable(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *out = g_string_new(NULL);

    for (const char *p = valid; *p != '\0'; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        g_string_append_unichar(out, g_unichar_isspace(c) ? ' ' : g_unichar_iscntrl(c) ? '?' : c);
    }
    return g_string_free(out, FALSE);
}

void hamgr_print_properties(const StrMap *values)
{
    for (guint i = 0; i < strmap_size(values); i++) {
        g_autofree char *value = hamgr_printable(strmap_value(values, i));

        (void)printf("\t%s %s\n", strmap_key(values, i), value);
    }
    (void)printf("\n");
}

const char *hamgr_shown_state(const Hamgr *h, const char *sid)
{
    const HaService *s = strmap_get(h->ms->services, sid);
    const HaResource *res = ha_resources_get(h->resources, sid);

    if (res == NULL) {
        return "deleting";
    }
    if (res->request == HA_REQUEST_IGNORED) {
        return "ignored";
    }
    if (res->node == NULL) {
        return "not found";
    }
    if (s == NULL) {
        return "queued";
    }
    if (s->state == HA_SERVICE_STOPPED) {
        return res->request == HA_REQUEST_STARTED    ? "starting"
               : res->request == HA_REQUEST_DISABLED ? "disabled"
                                                     : "stopped";
    }
    if (s->state == HA_SERVICE_STARTED) {
        return !s->running ? "starting"
               : res->request == HA_REQUEST_STOPPED || res->request == HA_REQUEST_DISABLED
                   ? "stopping"
                   : "started";
    }
    if (s->state == HA_SERVICE_ERROR && res->request == HA_REQUEST_DISABLED) {
        return "clearing error flag";
    }
    return ha_service_state_name(s->state);
}
