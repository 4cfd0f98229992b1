/* SPDX-License-Identifier: Apache-2.0 */
/* qm_cloudinit: dump, pending, update. */
#include "cli/qm_store.h"

#include "guest/core/volid.h"
#include "guest/io/guest_cloudinit.h"
#include "guest/io/guest_edit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int qm_cloudinit_dump(char **operands, Err *err)
{
    g_autoptr(GuestStore) store = NULL;
    g_autoptr(VmConf) conf = NULL;
    g_autofree char *text = NULL;
    uint32_t vmid = 0;
    int r = qm_store_begin(operands, &store, &vmid, err);

    if (r == 0) {
        r = guest_conf_read(store->host->tree, NULL, vmid, NULL, NULL, &conf, err);
    }
    if (r == 0) {
        r = guest_cloudinit_text(store->set, vmid, conf, operands[1], &text, err);
    }
    if (r == 0) {
        fputs(text, stdout);
    }
    return r;
}

int qm_cloudinit_pending(char **operands, Err *err)
{
    g_autoptr(GuestStore) store = NULL;
    g_autoptr(VmConf) conf = NULL;
    g_autoptr(GArray) list = NULL;
    uint32_t vmid = 0;
    int r = qm_store_begin(operands, &store, &vmid, err);

    if (r == 0) {
        r = guest_conf_read(store->host->tree, NULL, vmid, NULL, NULL, &conf, err);
    }
    if (r < 0) {
        return r;
    }
    list = guest_cloudinit_pending(conf);
    for (guint i = 0; i < list->len; i++) {
        const CloudinitPending *p = &g_array_index(list, CloudinitPending, i);
        if (p->made != NULL && p->now != NULL) {
            printf("cur %s: %s\n", p->key, qm_shown_value(p->key, p->made));
        }
        printf("%s %s: %s\n", p->now != NULL ? "new" : "del", p->key,
               qm_shown_value(p->key, p->now != NULL ? p->now : p->made));
    }
    return 0;
}

int qm_cloudinit_update(char **operands, Err *err)
{
    g_autoptr(GuestStore) store = NULL;
    g_autoptr(GuestEdit) edit = NULL;
    uint32_t vmid = 0;
    int r = qm_store_begin(operands, &store, &vmid, err);

    if (r == 0) {
        r = guest_edit_begin(store->host->tree, vmid, NULL, &edit, err);
    }
    if (r == 0) {
        r = guest_store_check_off(store, vmid, "gets new cloud-init data when it starts next", err);
    }
    if (r == 0) {
        r = guest_cloudinit_update(store->set, vmid, guest_edit_conf(edit), true, err);
    }
    if (r == 0) {
        return err_setf(err, -ENOENT, "guest %u has no cloud-init drive", vmid);
    }
    return r > 0 ? guest_edit_commit(edit, err) : r;
}
