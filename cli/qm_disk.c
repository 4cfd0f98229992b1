/* SPDX-License-Identifier: Apache-2.0 */
/* qm_disk: resize, move, import, rescan, unlink. */
#include "cli/qm_store.h"

#include "guest/core/volid.h"
#include "guest/io/disk_work.h"
#include "guest/io/guest_make.h"

#include <errno.h>

int qm_disk_resize(char **operands, Err *err)
{
    DiskResize how = {.disk = operands[1],
                      .size = operands[2],
                      .digest = qm_store.digest,
                      .skiplock = qm_store.skiplock == 1};
    g_autoptr(GuestStore) store = NULL;
    uint32_t vmid = 0;
    int r = qm_store_begin(operands, &store, &vmid, err);

    return r == 0 ? disk_resize(store, vmid, &how, err) : r;
}

int qm_disk_move(char **operands, Err *err)
{
    DiskMove how = {.disk = operands[1],
                    .storage = operands[2] != NULL ? operands[2] : qm_store.storage,
                    .format = qm_store.format,
                    .target_vmid = (uint32_t)MAX(qm_store.target_vmid, 0),
                    .target_disk = qm_store.target_disk,
                    .delete_source = qm_store.delete_source == 1,
                    .digest = qm_store.digest,
                    .skiplock = qm_store.skiplock == 1};
    g_autoptr(GuestStore) store = NULL;
    uint32_t vmid = 0;
    int r = qm_store_begin(operands, &store, &vmid, err);

    return r == 0 ? disk_move(store, vmid, &how, err) : r;
}

int qm_disk_import(char **operands, Err *err)
{
    DiskImport how = {.source = operands[1],
                      .storage = operands[2],
                      .format = qm_store.format,
                      .target_disk = qm_store.target_disk,
                      .skiplock = qm_store.skiplock == 1};
    g_autofree char *absolute = NULL;
    g_autoptr(GuestStore) store = NULL;
    uint32_t vmid = 0;
    Volid v;
    int r = 0;

    if (volid_parse(operands[1], &v, NULL) < 0 || v.kind == VOLID_NONE || v.kind == VOLID_CDROM) {
        absolute = g_canonicalize_filename(operands[1], NULL); /* a file as people name it */
        how.source = absolute;
    }
    r = qm_store_begin(operands, &store, &vmid, err);
    return r == 0 ? disk_import(store, vmid, &how, err) : r;
}

int qm_disk_rescan(char **operands, Err *err)
{
    g_autoptr(GuestStore) store = NULL;
    int r = qm_store_open(&store, err);

    (void)operands;
    if (r == 0 && qm_store.vmid != 0 && qm_store.vmid < VMID_MIN) {
        r = err_setf(err, -EINVAL, "--vmid %d is no VMID", qm_store.vmid);
    }
    return r == 0 ? disk_rescan(store, (uint32_t)qm_store.vmid, qm_store.dryrun == 1, err) : r;
}

int qm_disk_unlink(char **operands, Err *err)
{
    g_autoptr(GPtrArray) remove = qm_words(qm_store.idlist);
    g_autoptr(GPtrArray) revert = g_ptr_array_new();
    g_autoptr(GHashTable) none = g_hash_table_new(g_str_hash, g_str_equal);
    GuestSet set = {.skiplock = qm_store.skiplock == 1};
    g_autoptr(GuestStore) store = NULL;
    uint32_t vmid = 0;
    int r = remove->len > 0 ? 0 : err_setf(err, -EINVAL, "--idlist: which disks?");

    if (r == 0) {
        r = qm_store_begin(operands, &store, &vmid, err);
    }
    set.change = (GuestChange){
        .set = none, .remove = remove, .revert = revert, .force = qm_store.force == 1};
    return r == 0 ? guest_set(store, vmid, &set, err) : r;
}
