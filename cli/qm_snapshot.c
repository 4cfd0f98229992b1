/* SPDX-License-Identifier: Apache-2.0 */
/* qm_snapshot: snapshots: taking, going back, removing, listing. */
#include "cli/qm_run.h"

#include "guest/core/snapplan.h"
#include "guest/io/guest_edit.h"
#include "guest/io/guest_snapshot.h"
#include "lib/base/jsontree.h"

#include <errno.h>
#include <stdio.h>

int qm_snapshot(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    GuestSnapshotOptions options = {
        .name = operands[1], .description = qm_run.description, .memory = qm_run.vmstate != 0};
    uint32_t vmid;
    int r = qm_run_change(operands, &h, &vmid, err);

    return r < 0 ? r : guest_snapshot_take(h, vmid, &options, err);
}

int qm_rollback(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    uint32_t vmid;
    int r = qm_run_change(operands, &h, &vmid, err);

    return r < 0 ? r : guest_snapshot_rollback(h, vmid, operands[1], qm_run.start_after != 0, err);
}

int qm_delsnapshot(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    uint32_t vmid;
    int r = qm_run_change(operands, &h, &vmid, err);

    return r < 0 ? r : guest_snapshot_remove(h, vmid, operands[1], qm_run.force != 0, err);
}

static char *local_time(int64_t sec)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(sec);

    return time != NULL ? g_date_time_format(time, "%Y-%m-%d %H:%M:%S") : g_strdup("");
}

static JsonTree *json_list(const VmConf *conf)
{
    JsonTree *list = jsontree_new_array();

    for (guint i = 0; i < conf->sections->len; i++) {
        const VmSection *s = conf->sections->pdata[i];
        const char *time = vmsection_get(s, "snaptime");
        JsonTree *entry;
        if (s->kind != VM_SECTION_SNAPSHOT) {
            continue;
        }
        entry = jsontree_new_object();
        jsontree_set_text(entry, "name", s->name);
        jsontree_set_text(entry, "parent", vmsection_get(s, "parent"));
        jsontree_set_text(entry, "description", s->description);
        jsontree_set_text(entry, "snapstate", vmsection_get(s, "snapstate"));
        jsontree_set_int(entry, "vmstate", vmsection_get(s, "vmstate") != NULL);
        if (time != NULL) {
            jsontree_set_int(entry, "snaptime", g_ascii_strtoll(time, NULL, 10));
        }
        jsontree_add(list, entry);
    }
    return list;
}

int qm_listsnapshot(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    g_autoptr(VmConf) conf = NULL;
    g_autofree char *text = NULL;
    bool json = false;
    uint32_t vmid;
    int r = cli_wants_json(&json, err);

    if (r == 0) {
        r = qm_run_begin(operands, &h, &vmid, err);
    }
    if (r == 0) {
        r = guest_conf_read(h->tree, NULL, vmid, NULL, NULL, &conf, err);
    }
    if (r < 0) {
        return r;
    }
    if (json) {
        g_autoptr(JsonTree) list = json_list(conf);
        text = jsontree_pretty(list);
    } else {
        text = snapplan_tree(conf, local_time);
    }
    printf("%s", text);
    return 0;
}
