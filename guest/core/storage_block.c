/* SPDX-License-Identifier: Apache-2.0 */
/* Storages whose volumes are block devices of the host: LVM, thin LVM, ZFS, iSCSI logged in by the
 * kernel. */
#include "guest/core/storage_path.h"

#include <errno.h>
#include <string.h>

static int flat_parse(const Storage *s, const char *volume, VolumeName *ret, Err *err)
{
    (void)s; /* names are the same on all of them */
    return volume_name_parse_flat(volume, ret, err);
}

/* On plain LVM a volume may hold a qcow2 image, so that snapshots can be chained. */
static int lvm_parse(const Storage *s, const char *volume, VolumeName *ret, Err *err)
{
    int r = flat_parse(s, volume, ret, err);

    if (r == 0 && g_str_has_suffix(ret->name, ".qcow2")) {
        ret->format = "qcow2";
    }
    return r;
}

static int lvm_locate(
    const Storage *s, const VolumeName *name, const HostFacts *host, VolumeSource *ret, Err *err)
{
    (void)host;
    (void)err;
    ret->kind = SOURCE_HOST_DEVICE;
    ret->path = g_strdup_printf("/dev/%s/%s", storage_prop(s, "vgname"), name->name);
    ret->chain = strcmp(ret->format, "qcow2") == 0;
    /* io_uring on LVM hangs with the page cache, and now and then without. */
    ret->uring = URING_NEVER;
    return 0;
}

static int lvmthin_locate(
    const Storage *s, const VolumeName *name, const HostFacts *host, VolumeSource *ret, Err *err)
{
    int r = lvm_locate(s, name, host, ret, err);

    ret->uring = URING_ALWAYS;
    return r;
}

static int zfspool_locate(
    const Storage *s, const VolumeName *name, const HostFacts *host, VolumeSource *ret, Err *err)
{
    (void)host;
    (void)err;
    ret->kind = SOURCE_HOST_DEVICE;
    ret->path = g_strdup_printf("/dev/zvol/%s/%s", storage_prop(s, "pool"), name->name);
    ret->uring = URING_ALWAYS;
    return 0;
}

/* "HOST.CHANNEL.ID.LUN-OR-NAME": three numbers, then the name below /dev/disk/by-id. */
static int iscsi_parse(const Storage *s, const char *volume, VolumeName *ret, Err *err)
{
    const char *at = volume;

    (void)s;
    for (int i = 0; i < 3; i++) {
        size_t digits = strspn(at, "0123456789");
        if (digits == 0 || at[digits] != '.') {
            return err_setf(err, -EINVAL, "'%.100s' is not a volume like 0.0.1.scsi-ID", volume);
        }
        at += digits + 1;
    }
    /* "..": the text was checked as a whole, but this part of it becomes a name of its own. */
    if (at[0] == '\0' || at[0] == '.' || strpbrk(at, "/ ") != NULL) {
        return err_setf(err, -EINVAL, "'%.100s' is not a volume like 0.0.1.scsi-ID", volume);
    }
    *ret = (VolumeName){.content = "images", .name = g_strdup(at), .format = "raw"};
    return 0;
}

static int iscsi_locate(
    const Storage *s, const VolumeName *name, const HostFacts *host, VolumeSource *ret, Err *err)
{
    (void)s;
    (void)host;
    (void)err;
    ret->kind = SOURCE_HOST_DEVICE;
    ret->path = g_strdup_printf("/dev/disk/by-id/%s", name->name);
    ret->uring = URING_ALWAYS;
    return 0;
}

const StorageOps storage_ops_lvm = {"lvm", lvm_parse, lvm_locate};
const StorageOps storage_ops_lvmthin = {"lvmthin", flat_parse, lvmthin_locate};
const StorageOps storage_ops_zfspool = {"zfspool", flat_parse, zfspool_locate};
const StorageOps storage_ops_iscsi = {"iscsi", iscsi_parse, iscsi_locate};
