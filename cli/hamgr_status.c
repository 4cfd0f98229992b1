/* SPDX-License-Identifier: Apache-2.0 */
/* ha-manager status: reference 15.1. */
#include "cli/hamgr_verbs.h"
#include "ha-manager/core/ha_lrm_status.h"
#include "ha-manager/core/ha_settings.h"
#include "ha-manager/io/ha_agents.h"
#include "ha-manager/io/ha_whatif.h"
#include "lib/base/jsontree.h"
#include "lib/port/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define OLD_S   30
#define AHEAD_S 2

static const char *age_text(int64_t timestamp)
{
    int64_t now = clock_wall().sec;

    if (timestamp < now - OLD_S) {
        return "old timestamp - dead?";
    }
    return timestamp > now + AHEAD_S ? "detected time drift!" : NULL;
}

static char *date_text(int64_t timestamp)
{
    time_t t = (time_t)timestamp;
    struct tm tm;
    char text[64] = "";

    if (localtime_r(&t, &tm) != NULL) {
        (void)strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", &tm); /* fits */
    }
    return g_strdup(text);
}

/* A line, and the record that the API gives for it. */
typedef struct Line {
    const char *type;
    char *text;
    JsonTree *record;
} Line;

static void line_free(void *data)
{
    Line *line = data;

    g_free(line->text);
    jsontree_free(line->record);
    g_free(line);
}

/* `text` is taken. The record is for the caller to add to. */
static JsonTree *
add_line(GPtrArray *lines, const char *type, const char *id, const char *node, char *text)
{
    Line *line = g_new0(Line, 1);

    line->type = type;
    line->text = text;
    line->record = jsontree_new_object();
    jsontree_set_text(line->record, "id", id);
    jsontree_set_text(line->record, "type", type);
    jsontree_set_text(line->record, "node", node);
    jsontree_set_text(line->record, "status", text);
    g_ptr_array_add(lines, line);
    return line->record;
}

static char *disarm_text(const HaManagerStatus *ms)
{
    return g_strdup_printf("%s, resource mode: %s", ms->disarmed ? "disarmed" : "disarming",
                           ha_disarm_mode_name(ms->disarm_mode));
}

static void add_disarm(JsonTree *record, const HaManagerStatus *ms)
{
    if (ms->disarm) {
        jsontree_set_text(record, "resource_mode", ha_disarm_mode_name(ms->disarm_mode));
    }
}

static bool add_quorum(const Hamgr *h, GPtrArray *lines)
{
    bool quorate = ha_cluster_quorate(h->cluster);
    JsonTree *record =
        add_line(lines, "quorum", "quorum", h->node,
                 quorate ? g_strdup("OK") : g_strdup_printf("No quorum on node '%s'!", h->node));

    jsontree_set_bool(record, "quorate", quorate);
    return quorate;
}

static void add_master(const Hamgr *h, bool quorate, GPtrArray *lines)
{
    const HaManagerStatus *ms = h->ms;
    g_autofree char *date = date_text(ms->timestamp);
    g_autofree char *disarm = ms->disarm ? disarm_text(ms) : NULL;
    g_autofree char *settings_text = NULL;
    const char *age = age_text(ms->timestamp);
    HaSettings settings;
    bool idle = quorate && age != NULL && strmap_size(h->resources->by_sid) == 0;
    GString *text;
    JsonTree *record;

    if (ms->master_node == NULL || ms->timestamp == 0) {
        return;
    }
    ha_settings_init(&settings);
    if (hamgr_read(h, HA_FILE_DATACENTER, NULL, &settings_text, NULL) == 0) {
        ha_settings_parse(settings_text, &settings);
    }
    text = g_string_new(NULL);
    g_string_append_printf(text, "%s (%s, %s)", ms->master_node,
                           idle          ? "idle"
                           : age != NULL ? age
                                         : "active",
                           date);
    if (disarm != NULL) {
        g_string_append_printf(text, " - %s", disarm);
    }
    if (strcmp(settings.scheduler, ha_scheduler_name(HA_SCHEDULER_BASIC)) != 0) {
        g_string_append_printf(text, " - %s load CRS", settings.scheduler);
    }
    record = add_line(lines, "master", "master", ms->master_node, g_string_free(text, FALSE));
    jsontree_set_int(record, "timestamp", ms->timestamp);
}

static void add_fencing(const Hamgr *h, GPtrArray *lines)
{
    const HaManagerStatus *ms = h->ms;
    bool active = ms->timestamp > 0 && age_text(ms->timestamp) == NULL;
    g_autofree char *disarm = ms->disarm ? disarm_text(ms) : NULL;
    char *text = disarm != NULL ? g_strdup_printf("%s (CRM watchdog %s)", disarm,
                                                  ms->disarmed ? "released" : "active")
                 : active       ? g_strdup("armed (CRM watchdog active)")
                                : g_strdup("standby (CRM watchdog standby)");
    JsonTree *record = add_line(lines, "fencing", "fencing", ms->master_node, text);

    jsontree_set_text(record, "armed-state",
                      ms->disarm ? (ms->disarmed ? "disarmed" : "disarming")
                      : active   ? "armed"
                                 : "standby");
    add_disarm(record, ms);
}

static char *lrm_text(const Hamgr *h, const char *node, const HaLrmStatus *ls)
{
    const char *age = age_text(ls->timestamp);
    g_autofree char *date = date_text(ls->timestamp);
    g_autofree char *mode = g_strdup_printf("%s mode", ha_lrm_mode_name(ls->mode));
    const char *state = ls->has_state ? ha_lrm_state_name(ls->state) : "unknown";
    const char *dog = "watchdog standby";
    bool works = ls->state == HA_LRM_ACTIVE || ls->state == HA_LRM_MAINTENANCE;

    if (age == NULL && ls->mode != HA_MODE_ACTIVE) {
        state = mode;
    } else if (age == NULL && ls->state == HA_LRM_WAIT_FOR_AGENT_LOCK &&
               ha_manager_status_active_count(h->ms, node) == 0) {
        state = "idle";
    } else if (age != NULL) {
        state = ls->mode == HA_MODE_MAINTENANCE || ls->mode == HA_MODE_DISARM ? mode : age;
    }
    if (ls->mode == HA_MODE_DISARM) {
        dog = "watchdog released";
    } else if (age == NULL && works) {
        dog = "watchdog active";
    }
    return g_strdup_printf("%s (%s, %s, %s)", node, state, dog, date);
}

static void add_lrm(const Hamgr *h, const char *node, GPtrArray *lines)
{
    g_autoptr(HaLrmStatus) ls = NULL;
    g_autofree char *id = g_strdup_printf("lrm:%s", node);
    g_autofree char *text = NULL;
    JsonTree *record;

    if (hamgr_read(h, HA_FILE_LRM_STATUS, node, &text, NULL) < 0 || text[0] == '\0' ||
        ha_lrm_status_parse(text, &ls, NULL) < 0) {
        (void)add_line(lines, "lrm", id, node,
                       g_strdup_printf("%s (unable to read lrm status)", node));
        return;
    }
    record = add_line(lines, "lrm", id, node, lrm_text(h, node, ls));
    jsontree_set_int(record, "timestamp", ls->timestamp);
}

static void add_service(const Hamgr *h, const char *sid, GPtrArray *lines)
{
    const HaService *s = strmap_get(h->ms->services, sid);
    const HaResource *res = ha_resources_get(h->resources, sid);
    bool ignored = h->ms->disarm && h->ms->disarm_mode == HA_DISARM_IGNORE;
    const char *state = ignored ? "ignore" : hamgr_shown_state(h, sid);
    const char *node = s != NULL ? s->node : res != NULL ? res->node : NULL;
    g_autofree char *id = g_strdup_printf("service:%s", sid);
    JsonTree *record =
        add_line(lines, "service", id, node,
                 g_strdup_printf("%s (%s, %s)", sid, node != NULL ? node : "---", state));

    jsontree_set_text(record, "sid", sid);
    jsontree_set_text(record, "state", state);
    if (s != NULL) {
        jsontree_set_text(record, "crm_state", ha_service_state_name(s->state));
    }
    if (res != NULL) {
        jsontree_set_text(record, "request_state", ha_request_name(res->request));
        jsontree_set_int(record, "max_restart", res->max_restart);
        jsontree_set_int(record, "max_relocate", res->max_relocate);
        jsontree_set_bool(record, "failback", res->failback);
        jsontree_set_text(record, "group", res->group);
    }
}

static void add_services(const Hamgr *h, GPtrArray *lines)
{
    for (guint i = 0; i < strmap_size(h->ms->services); i++) {
        add_service(h, strmap_key(h->ms->services, i), lines);
    }
    for (guint i = 0; i < strmap_size(h->resources->by_sid); i++) {
        const char *sid = strmap_key(h->resources->by_sid, i);

        if (!strmap_has(h->ms->services, sid)) {
            add_service(h, sid, lines);
        }
    }
}

/* What people wrote down about services; the parsed configuration has no use for it. */
static void add_comments(const Hamgr *h, const GPtrArray *lines)
{
    SectionSchema schema = ha_resources_schema(ha_agent_types);
    g_autofree void *owned = (void *)schema.types;
    g_autoptr(SectionConf) conf = NULL;
    g_autofree char *text = NULL;

    (void)owned;
    if (hamgr_read(h, HA_FILE_RESOURCES, NULL, &text, NULL) < 0 ||
        sectionconf_parse(&schema, text, strlen(text), NULL, NULL, &conf, NULL) < 0) {
        return; /* then there are none */
    }
    for (guint i = 0; i < lines->len; i++) {
        const Line *line = g_ptr_array_index(lines, i);
        const char *sid = jsontree_get_text(line->record, "sid");
        const Section *s = sid != NULL ? g_hash_table_lookup(conf->by_key, sid) : NULL;

        if (s != NULL) {
            jsontree_set_text(line->record, "comment", section_text(s, "comment"));
        }
    }
}

/* Our own lines: nodes that come and go, and get nothing for a while. */
static void add_quarantine(const Hamgr *h, GPtrArray *lines)
{
    for (guint i = 0; i < strmap_size(h->ms->flaps); i++) {
        const char *node = strmap_key(h->ms->flaps, i);
        int64_t until = ha_flaps_until(strmap_value(h->ms->flaps, i), clock_wall().sec);
        g_autofree char *id = g_strdup_printf("quarantine:%s", node);
        g_autofree char *date = NULL;
        JsonTree *record;

        if (until == 0) {
            continue;
        }
        date = date_text(until);
        record = add_line(lines, "quarantine", id, node,
                          g_strdup_printf("%s (lost %d times, gets no services until %s)", node,
                                          HA_FLAPS_COUNT, date));
        jsontree_set_int(record, "until", until);
    }
}

/* Our own line: can the rest carry the loss of any one node? */
static void add_redundancy(const Hamgr *h, GPtrArray *lines)
{
    g_autofree char *why = NULL;

    if (h->ms->disarm) {
        (void)add_line(lines, "redundancy", "redundancy", NULL,
                       g_strdup("none (HA is disarmed: nothing is done when a node is lost)"));
        return;
    }
    if (strmap_size(h->ms->services) == 0 || ha_whatif_spare(h->cluster, &why, NULL) < 0) {
        return;
    }
    (void)add_line(lines, "redundancy", "redundancy", NULL,
                   why == NULL ? g_strdup("OK (the loss of any one node can be carried)")
                               : g_strdup_printf("lost (%s)", why));
}

static void print_full_state(const Hamgr *h, const StrMap *nodes)
{
    g_autoptr(JsonTree) all = jsontree_new_object();
    JsonTree *quorum = jsontree_new_object();
    JsonTree *lrms = jsontree_new_object();
    g_autofree char *text = NULL;
    g_autofree char *shown = NULL;
    JsonTree *tree = NULL;

    if (hamgr_read(h, HA_FILE_MANAGER_STATUS, NULL, &text, NULL) == 0 &&
        jsontree_parse(text, strlen(text), &tree, NULL) == 0) {
        jsontree_set(all, "manager_status", tree);
    }
    for (guint i = 0; i < strmap_size(nodes); i++) {
        g_autofree char *lrm = NULL;

        tree = NULL;
        if (hamgr_read(h, HA_FILE_LRM_STATUS, strmap_key(nodes, i), &lrm, NULL) == 0 &&
            jsontree_parse(lrm, strlen(lrm), &tree, NULL) == 0) {
            jsontree_set(lrms, strmap_key(nodes, i), tree);
        }
    }
    jsontree_set(all, "lrm_status", lrms);
    jsontree_set_text(quorum, "node", h->node);
    jsontree_set_int(quorum, "quorate", ha_cluster_quorate(h->cluster));
    jsontree_set(all, "quorum", quorum);
    shown = jsontree_pretty(all);
    (void)printf("full cluster state:\n%s", shown);
}

int hamgr_status(char **operands, Err *err)
{
    g_auto(Hamgr) h = {0};
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(line_free);
    g_autoptr(StrMap) nodes = strmap_new(NULL);
    g_autoptr(JsonTree) list = jsontree_new_array();
    bool json = false;
    bool quorate;
    int r = cli_wants_json(&json, err);

    (void)operands;
    if (r == 0) {
        r = hamgr_open(&h, err);
    }
    if (r == 0) {
        r = ha_cluster_members(h.cluster, nodes, err);
    }
    if (r < 0) {
        return r;
    }
    quorate = add_quorum(&h, lines);
    add_master(&h, quorate, lines);
    add_fencing(&h, lines);
    for (guint i = 0; i < strmap_size(nodes); i++) {
        add_lrm(&h, strmap_key(nodes, i), lines);
    }
    add_services(&h, lines);
    add_quarantine(&h, lines);
    add_redundancy(&h, lines);
    if (json) {
        add_comments(&h, lines);
    }
    for (guint i = 0; i < lines->len; i++) {
        Line *line = g_ptr_array_index(lines, i);

        if (json) {
            jsontree_add(list, g_steal_pointer(&line->record));
        } else {
            g_autofree char *text = hamgr_printable(line->text);

            (void)printf("%s %s\n", line->type, text);
        }
    }
    if (json) {
        g_autofree char *text = jsontree_pretty(list);

        (void)fputs(text, stdout);
    } else if (hamgr_options.verbose) {
        print_full_state(&h, nodes);
    }
    return 0;
}
