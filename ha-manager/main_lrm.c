/* SPDX-License-Identifier: Apache-2.0 */
/* pve-ha-lrm: the local resource manager daemon. */
#include "ha-manager/core/ha_lrm.h"
#include "ha-manager/core/ha_lrm_status.h"
#include "ha-manager/io/ha_blackbox.h"
#include "ha-manager/io/ha_daemon.h"
#include "ha-manager/io/ha_node.h"
#include "ha-manager/io/ha_node_end.h"
#include "ha-manager/io/ha_report.h"
#include "lib/port/log.h"

#include <errno.h>
#include <string.h>

#define WAIT_MS 1000 /* for the cluster filesystem, at the start */

typedef struct LrmDaemon {
    HaNode *node;
    HaLrm *lrm;
    char *boot_id;
    bool asked_to_end;
    bool looked_back;  /* read what the process before left behind */
    bool other_boot;   /* ... which was in another boot: its lock is void */
    HaLrmState before; /* after the last round */
} LrmDaemon;

static void *begin(const char *name, Err *err)
{
    HaNodeOptions options = {.domain = "lrm", .lrm = true};
    LrmDaemon *l = g_new0(LrmDaemon, 1);

    (void)err;
    (void)g_setenv(HA_AGENT_ENV, "1", TRUE); /* for the guest tools that our workers run */
    l->boot_id = ha_blackbox_boot_id();
    l->node = ha_node_new(&options, name);
    l->lrm = ha_lrm_new(&l->node->env, l->boot_id);
    l->before = ha_lrm_state(l->lrm);
    return l;
}

/* Before our own first word: did the one before us speak from this boot? */
static bool look_back(LrmDaemon *l)
{
    HaNode *n = l->node;
    g_autoptr(HaLrmStatus) ls = NULL;
    g_autofree char *text = NULL;

    if (n->env.ops->refresh(n) < 0 ||
        n->env.ops->read(n, HA_FILE_LRM_STATUS, n->name, &text, NULL) < 0) {
        return false;
    }
    if (ha_lrm_status_parse(text, &ls, NULL) == 0 && ls->boot_id != NULL && l->boot_id != NULL) {
        l->other_boot = strcmp(ls->boot_id, l->boot_id) != 0;
    }
    return true;
}

/* The lock of the boot before guards nothing any more: a node that is back need not wait for it. */
static void drop_old_lock(LrmDaemon *l)
{
    g_autofree char *lock = ha_agent_lock_name(l->node->name);
    int r;

    if (!l->other_boot || !l->node->all_ours || !l->node->env.ops->quorate(l->node)) {
        return;
    }
    r = ha_leases_drop_own(l->node->leases, lock);
    if (r == 0) {
        log_line(TRACE_INFO, "lrm", "this is another boot: gave back the lock of the one before");
        l->other_boot = false;
    }
}

static void note_loss(LrmDaemon *l)
{
    HaLrmState now = ha_lrm_state(l->lrm);

    if (now == HA_LRM_LOST_AGENT_LOCK && l->before != now) {
        ha_report_blackbox(l->node, "lost-agent-lock");
    } else if (l->before == HA_LRM_LOST_AGENT_LOCK && now != l->before) {
        ha_report_blackbox(l->node, "agent-lock-is-back");
    }
    l->before = now;
}

static HaNext do_round(void *self, HaNow now)
{
    LrmDaemon *l = self;
    HaNext next;

    if (!l->looked_back) {
        l->looked_back = look_back(l);
    }
    ha_node_prepare_round(l->node);
    if (l->looked_back) {
        drop_old_lock(l);
        next = ha_lrm_round(l->lrm, now);
    } else {
        next = (HaNext){.exit = l->asked_to_end, .sleep_ms = WAIT_MS};
    }
    note_loss(l);
    return next;
}

static void request_shutdown(void *self, HaNow now)
{
    LrmDaemon *l = self;

    l->asked_to_end = true;
    ha_lrm_request_shutdown(l->lrm, ha_node_end_ask(), now);
}

static void child_ended(void *self, HaNow now)
{
    LrmDaemon *l = self;

    (void)ha_lrm_poll(l->lrm, now); /* what is left is looked at next round */
}

/* What the master has decided is done at once. */
static bool cares(const void *self, const CfsChange *change)
{
    (void)self;
    return change->kind == CFS_CHANGE_QUORUM ||
           (change->kind == CFS_CHANGE_ENTRY && cfs_change_concerns(change, "ha/manager_status"));
}

static void end(void *self)
{
    LrmDaemon *l = self;

    ha_lrm_free(l->lrm);
    ha_node_free(l->node);
    g_free(l->boot_id);
    g_free(l);
}

int main(int argc, char **argv)
{
    static const HaDaemon daemon = {
        .name = "pve-ha-lrm",
        .summary = "runs the HA services of this node (ha-manager(8))",
        .stop_s = 3600,
        .begin = begin,
        .round = do_round,
        .shutdown = request_shutdown,
        .child_ended = child_ended,
        .cares = cares,
        .end = end,
    };

    return ha_daemon_main(&daemon, argc, argv);
}
