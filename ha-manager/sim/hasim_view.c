/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/sim/hasim_view.h"

#include "ha-manager/core/ha_manager_status.h"
#include "ha-manager/core/ha_resources.h"

#include <string.h>

/* The status file and the configuration, as far as they can be read. */
typedef struct Files {
    HaManagerStatus *ms;
    HaResources *resources; /* NULL: cannot be read */
} Files;

static Files read_files(const HaSimWorld *w)
{
    Files f = {NULL, NULL};

    if (ha_manager_status_parse(hasim_world_file(w, HA_FILE_MANAGER_STATUS), NULL, NULL, &f.ms,
                                NULL) < 0) {
        f.ms = ha_manager_status_new();
    }
    if (ha_resources_parse((const char *const *)w->types, hasim_world_file(w, HA_FILE_RESOURCES),
                           NULL, NULL, NULL, &f.resources, NULL) < 0) {
        f.resources = NULL;
    }
    return f;
}

static const HaSimNode *master_of(const HaSimWorld *w)
{
    for (guint i = 0; i < strmap_size(w->nodes); i++) {
        const HaSimNode *n = strmap_value(w->nodes, i);

        if (n->crm.crm != NULL && ha_crm_state(n->crm.crm) == HA_CRM_MASTER) {
            return n;
        }
    }
    return NULL;
}

static void append_head(GString *out, const HaSimWorld *w, const HaManagerStatus *ms)
{
    const HaSimNode *master = master_of(w);
    const char *arm = !ms->disarm ? "armed" : ms->disarmed ? "disarmed" : "disarming";

    g_string_append_printf(out, "time %" G_GINT64_FORMAT " s   quorum %s   master %s   HA %s%s%s\n",
                           w->time, hasim_world_quorate(w) ? "OK" : "LOST",
                           master != NULL ? master->name : "none", arm, ms->disarm ? ", " : "",
                           ms->disarm ? ha_disarm_mode_name(ms->disarm_mode) : "");
}

/* Seconds until the first watchdog of the node would reset it; -1: none is open. */
static int64_t watchdog_left(const HaSimWorld *w, const HaSimNode *n)
{
    int64_t left = -1;

    for (guint i = 0; i < n->watchdogs->len; i++) {
        int64_t fed = g_array_index(n->watchdogs, HaSimWatchdog, i).fed;
        int64_t l = MAX(HASIM_WATCHDOG_LIFE - (w->time - fed), 0);

        left = left < 0 ? l : MIN(left, l);
    }
    return left;
}

static void
append_node(GString *out, const HaSimWorld *w, const HaSimNode *n, const HaManagerStatus *ms)
{
    g_autofree char *lrm =
        n->lrm.lrm != NULL ? g_strdup_printf("%s (%s)", ha_lrm_state_name(ha_lrm_state(n->lrm.lrm)),
                                             ha_lrm_mode_name(ha_lrm_mode(n->lrm.lrm)))
                           : g_strdup("-");
    int64_t left = watchdog_left(w, n);
    g_autofree char *watchdog =
        left >= 0 ? g_strdup_printf("%" G_GINT64_FORMAT " s", left) : g_strdup("-");

    g_string_append_printf(
        out, "%-10s %-6s%-8s%-12s %-16s %-32s %-9s", n->name, n->power ? "on" : "OFF",
        n->network ? "on" : "OFF", ha_node_state_name(ha_manager_status_node(ms, n->name)),
        n->crm.crm != NULL ? ha_crm_state_name(ha_crm_state(n->crm.crm)) : "-", lrm, watchdog);
    for (guint i = 0; i < strmap_size(n->running); i++) {
        g_string_append_printf(out, " %s", strmap_key(n->running, i));
    }
    g_string_append_c(out, '\n');
}

/* Where it runs: two nodes would be what HA is there to prevent. */
static char *runs_on(const HaSimWorld *w, const char *sid)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < strmap_size(w->nodes); i++) {
        const HaSimNode *n = strmap_value(w->nodes, i);

        if (strmap_has(n->running, sid)) {
            g_string_append_printf(out, "%s%s", out->len > 0 ? " AND " : "", n->name);
        }
    }
    return g_string_free(out, FALSE);
}

static void append_service(GString *out, const HaSimWorld *w, const char *sid, const Files *f)
{
    const HaService *s = strmap_get(f->ms->services, sid);
    g_autofree char *runs = runs_on(w, sid);
    const char *request =
        f->resources == NULL ? "?" : ha_request_name(ha_resources_request(f->resources, sid));

    g_string_append_printf(
        out, "%-12s %-9s %-22s %-10s %-10s %s\n", sid, request,
        s != NULL ? ha_service_state_name(s->state) : "-", s != NULL ? s->node : "-",
        s != NULL && s->target != NULL ? s->target : "", runs[0] != '\0' ? runs : "-");
}

char *hasim_view(const HaSimWorld *w)
{
    GString *out = g_string_new(NULL);
    Files f = read_files(w);

    append_head(out, w, f.ms);
    g_string_append_printf(out, "\n%-10s %-6s%-8s%-12s %-16s %-32s %-9s %s\n", "NODE", "POWER",
                           "NETWORK", "STATE", "CRM", "LRM", "WATCHDOG", "RUNNING");
    for (guint i = 0; i < strmap_size(w->nodes); i++) {
        append_node(out, w, strmap_value(w->nodes, i), f.ms);
    }
    g_string_append_printf(out, "\n%-12s %-9s %-22s %-10s %-10s %s\n", "SERVICE", "WANTED", "STATE",
                           "NODE", "TARGET", "RUNS ON");
    for (guint i = 0; i < strmap_size(w->guests); i++) {
        append_service(out, w, strmap_key(w->guests, i), &f);
    }
    ha_manager_status_free(f.ms);
    ha_resources_free(f.resources);
    return g_string_free(out, FALSE);
}
