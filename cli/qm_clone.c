/* SPDX-License-Identifier: Apache-2.0 */
/* qm_clone: clone, template. */
#include "cli/qm_store.h"

#include "guest/core/volid.h"
#include "guest/io/guest_clone.h"

#include <errno.h>

int qm_clone(char **operands, Err *err)
{
    GuestClone how = {.full = qm_store.full == 1,
                      .linked = qm_store.full == 0,
                      .name = qm_store.name,
                      .description = qm_store.description,
                      .snapname = qm_store.snapname,
                      .storage = qm_store.storage,
                      .format = qm_store.format,
                      .target = qm_store.target};
    g_autoptr(GuestStore) store = NULL;
    uint32_t vmid = 0;
    int r = vmid_parse(operands[1], &how.newid, err);

    if (r == 0 && qm_store.pool != NULL) {
        r = err_setf(err, -ENOTSUP, "--pool: pools are not part of this version");
    }
    if (r == 0) {
        r = qm_store_begin(operands, &store, &vmid, err);
    }
    return r == 0 ? guest_clone(store, vmid, &how, err) : r;
}

int qm_template(char **operands, Err *err)
{
    g_autoptr(GuestStore) store = NULL;
    uint32_t vmid = 0;
    int r = qm_store_begin(operands, &store, &vmid, err);

    return r == 0 ? guest_template(store, vmid, qm_store.disk, err) : r;
}
