/* SPDX-License-Identifier: Apache-2.0 */
/* qm_destroy: the end of a guest. */
#include "cli/qm_store.h"

#include "guest/io/guest_destroy.h"

int qm_destroy(char **operands, Err *err)
{
    GuestDestroy how = {.skiplock = qm_store.skiplock == 1,
                        .purge = qm_store.purge == 1,
                        .unreferenced = qm_store.unreferenced == 1};
    g_autoptr(GuestStore) store = NULL;
    uint32_t vmid = 0;
    int r = qm_store_begin(operands, &store, &vmid, err);

    return r == 0 ? guest_destroy(store, vmid, &how, err) : r;
}
