/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_report.h"

#include "ha-manager/io/ha_blackbox.h"
#include "lib/port/log.h"
#include "lib/port/process.h"

#include <errno.h>
#include <string.h>

#define LINKS_MS 1000

typedef struct Report {
    HaNode *n;
    const char *event;
} Report;

/* The view of corosync itself: which links to which nodes are connected. */
static void add_links(JsonTree *facts)
{
    const char *const argv[] = {"corosync-cfgtool", "-n", NULL};
    ProcessOptions options = {.timeout_ms = LINKS_MS, .output_max = 8192};
    g_autofree char *text = NULL;
    Err why = ERR_INIT;

    if (process_check(argv, &options, &text, &why) < 0) {
        jsontree_set_text(facts, "links", err_text(&why));
    } else {
        jsontree_set_text(facts, "links", g_strstrip(text));
    }
}

static void add_members(HaNode *n, JsonTree *facts)
{
    g_autoptr(StrMap) members = strmap_new(NULL);
    JsonTree *list = jsontree_new_object();

    if (ha_cluster_refresh(n->cluster, NULL) < 0) {
        jsontree_set_text(facts, "cluster_filesystem", "does not answer; members as last known");
    }
    if (ha_cluster_members(n->cluster, members, NULL) == 0) {
        for (guint i = 0; i < strmap_size(members); i++) {
            jsontree_set_text(list, strmap_key(members, i),
                              strmap_value(members, i) != NULL ? "online" : "offline");
        }
    }
    jsontree_set(facts, "members", list);
    jsontree_set_bool(facts, "quorate", ha_cluster_quorate(n->cluster));
}

static void add_leases(HaNode *n, JsonTree *facts)
{
    g_autofree char *lock = ha_agent_lock_name(n->name);

    jsontree_set_text(facts, "lock", lock);
    jsontree_set_int(facts, "lock_age_ms", ha_leases_age_ms(n->leases, lock));
    jsontree_set_int(facts, "lease_ms", n->env.timing->lease_ms);
    jsontree_set_int(facts, "reset_within_ms", ha_timing_reset_ms(n->env.timing));
    jsontree_set_text(facts, "timing", n->env.timing->name);
}

static int write_report(void *data)
{
    const Report *report = data;
    HaNode *n = report->n;
    JsonTree *facts = jsontree_new_object();
    g_autofree char *line = NULL;
    Err why = ERR_INIT;
    int r;

    add_leases(n, facts);
    add_members(n, facts);
    add_links(facts);
    line = g_strdup_printf("black box: node '%s': %s", n->name, report->event);
    ha_cluster_log(n->cluster, TRACE_CRIT, "pve-ha-lrm", line);
    r = ha_blackbox_add(HA_BLACKBOX_FILE, report->event, facts, &why);
    if (r < 0) {
        log_line(TRACE_ERR, "lrm", "black box: %s", err_text(&why));
    }
    return r < 0 ? 1 : 0;
}

void ha_report_blackbox(HaNode *n, const char *event)
{
    Report report = {n, event};
    int r = ha_workers_start(n->workers, "blackbox", write_report, &report);

    if (r < 0) {
        log_line(TRACE_ERR, "lrm", "black box: %s", strerror(-r));
    }
}
