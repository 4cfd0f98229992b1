/* SPDX-License-Identifier: Apache-2.0 */
/* pve-ha-crm: the cluster resource manager daemon. */
#include "ha-manager/core/ha_crm.h"
#include "ha-manager/io/ha_alerts.h"
#include "ha-manager/io/ha_daemon.h"
#include "ha-manager/io/ha_node.h"
#include "ha-manager/io/ha_whatif.h"
#include "lib/cfs/cfsfile.h"
#include "lib/port/log.h"

#include <errno.h>
#include <string.h>

#define SPARE_TAG      "redundancy"
#define SPARE_FILE     "/run/pve-ha-redundancy" /* from the child that finds out */
#define SPARE_EVERY_MS 60000
#define SPARE_TEXT_MAX 4096

typedef struct CrmDaemon {
    HaNode *node;
    HaCrm *crm;
    HaAlerts *alerts;
    char *spare;      /* why the loss of a node could not be carried; NULL: it could */
    bool spare_known; /* as master found out since it is one */
    MonoTime spare_asked;
} CrmDaemon;

static void *begin(const char *name, Err *err)
{
    HaNodeOptions options = {.domain = "crm"};
    CrmDaemon *c = g_new0(CrmDaemon, 1);

    (void)err;
    c->node = ha_node_new(&options, name);
    c->crm = ha_crm_new(&c->node->env);
    c->alerts = ha_alerts_new();
    return c;
}

static void notify(void *ctx, const HaNotice *notice)
{
    ha_node_notify(ctx, notice);
}

/* In a child: it thinks through the loss of every node. */
static int find_spare(void *data)
{
    CrmDaemon *c = data;
    g_autofree char *why = NULL;
    const char *text;

    if (ha_whatif_spare(c->node->cluster, &why, NULL) < 0) {
        return 1;
    }
    text = why != NULL ? why : "";
    return cfsfile_write(SPARE_FILE, text, strlen(text), NULL) < 0 ? 1 : 0;
}

static void ask_spare(CrmDaemon *c, const HaManagerStatus *ms, HaNow now)
{
    if (strmap_size(ms->services) == 0 || ms->disarm ||
        ha_workers_busy(c->node->workers, SPARE_TAG) ||
        mono_diff_us(now.mono, c->spare_asked) < SPARE_EVERY_MS * US_PER_MS) {
        return;
    }
    c->spare_asked = now.mono;
    (void)!ha_workers_start(c->node->workers, SPARE_TAG, find_spare, c); /* else next time */
}

static void take_spare(CrmDaemon *c)
{
    g_autofree char *text = NULL;

    if (cfsfile_read(SPARE_FILE, SPARE_TEXT_MAX, &text, NULL, NULL) == 0) {
        g_free(c->spare);
        c->spare = *text != '\0' ? g_steal_pointer(&text) : NULL;
        c->spare_known = true;
    }
}

static void reap(CrmDaemon *c)
{
    g_autofree char *tag = NULL;
    int status;

    while (ha_workers_reap(c->node->workers, &tag, &status) == 1) {
        if (strcmp(tag, SPARE_TAG) == 0 && status == 0) {
            take_spare(c);
        }
        g_clear_pointer(&tag, g_free);
    }
    ha_fencing_poll(c->node->fencing);
}

static void look_at_spare(CrmDaemon *c, const HaManagerStatus *ms)
{
    if (c->spare_known) {
        ha_crm_note_no_spare(c->crm,
                             ha_alerts_look_at_spare(ms->no_spare, c->spare, notify, c->node));
    }
}

static HaNext do_round(void *self, HaNow now)
{
    CrmDaemon *c = self;
    bool was_master = ha_crm_manager_status(c->crm) != NULL;
    const HaManagerStatus *ms;
    HaNext next;

    reap(c);
    ha_node_prepare_round(c->node);
    next = ha_crm_round(c->crm, now);
    ms = ha_crm_status_read(c->crm);
    if (!was_master && ms != NULL) {
        ha_alerts_observe(c->alerts, ms);
    }
    if (!was_master) {
        c->spare_known = false; /* that was another time */
    }
    ms = ha_crm_manager_status(c->crm);
    if (ms != NULL) {
        ask_spare(c, ms, now);
        ha_alerts_look(c->alerts, ms, notify, c->node);
        look_at_spare(c, ms);
    }
    return next;
}

static void request_shutdown(void *self, HaNow now)
{
    CrmDaemon *c = self;

    (void)now;
    ha_crm_request_shutdown(c->crm);
}

static void child_ended(void *self, HaNow now)
{
    (void)now;
    reap(self);
}

/* A master looks at once when somebody asks for something or a node comes or goes. */
static bool cares(const void *self, const CfsChange *change)
{
    const CrmDaemon *c = self;

    if (ha_crm_state(c->crm) != HA_CRM_MASTER) {
        return change->kind == CFS_CHANGE_QUORUM;
    }
    if (change->kind != CFS_CHANGE_ENTRY) {
        return change->kind == CFS_CHANGE_QUORUM;
    }
    return !change->own && (cfs_change_concerns(change, "ha/crm_commands") ||
                            cfs_change_concerns(change, "ha/resources.cfg") ||
                            cfs_change_concerns(change, "ha/rules.cfg") ||
                            cfs_change_concerns(change, "ha/groups.cfg"));
}

static void end(void *self)
{
    CrmDaemon *c = self;

    ha_crm_free(c->crm);
    ha_alerts_free(c->alerts);
    g_free(c->spare);
    ha_node_free(c->node);
    g_free(c);
}

int main(int argc, char **argv)
{
    static const HaDaemon daemon = {
        .name = "pve-ha-crm",
        .summary = "decides where HA services run (ha-manager(8))",
        .stop_s = 60,
        .begin = begin,
        .round = do_round,
        .shutdown = request_shutdown,
        .child_ended = child_ended,
        .cares = cares,
        .end = end,
    };

    return ha_daemon_main(&daemon, argc, argv);
}
