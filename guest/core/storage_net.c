/* SPDX-License-Identifier: Apache-2.0 */
/* Storages that QEMU itself talks to over the network: RBD, iSCSI in user space, ZFS over iSCSI. An
 * RBD storage with `krbd` is mapped by the kernel and is a block device. */
#include "guest/core/storage_path.h"

#include <errno.h>
#include <string.h>

static int flat_parse(const Storage *s, const char *volume, VolumeName *ret, Err *err)
{
    (void)s; /* names are the same on all of them */
    return volume_name_parse_flat(volume, ret, err);
}

/* ------------------------------------------------------------------- RBD */

#define RBD_USER_DEFAULT "admin"
#define KEYRING_DIR      "/etc/pve/priv/ceph"

static int krbd_locate(const Storage *s, const VolumeName *name, VolumeSource *ret, Err *err)
{
    const char *fsid = storage_prop(s, "fsid");
    const char *pool = storage_prop(s, "pool");
    const char *namespace = storage_prop(s, "namespace");

    if (fsid == NULL || fsid[0] == '\0') {
        return err_setf(err, -EINVAL,
                        "storage '%s': krbd needs the id of its Ceph cluster ('fsid')", s->id);
    }
    ret->kind = SOURCE_HOST_DEVICE;
    ret->path =
        g_strdup_printf("/dev/rbd-pve/%s/%s/%s%s%s", fsid, pool, namespace != NULL ? namespace : "",
                        namespace != NULL ? "/" : "", name->name);
    /* io_uring on krbd hangs with the page cache. */
    ret->uring = URING_DIRECT;
    return 0;
}

static GPtrArray *split_hosts(const char *list)
{
    GPtrArray *hosts = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) parts = g_strsplit_set(list != NULL ? list : "", ",; \t", -1);

    for (char **part = parts; *part != NULL; part++) {
        if (**part != '\0') {
            g_ptr_array_add(hosts, g_strdup(*part));
        }
    }
    return hosts;
}

static int rbd_locate(
    const Storage *s, const VolumeName *name, const HostFacts *host, VolumeSource *ret, Err *err)
{
    g_autofree char *keyring = g_strdup_printf("%s/%s.keyring", KEYRING_DIR, s->id);
    const char *namespace = storage_prop(s, "namespace");
    const char *user = storage_prop(s, "username");

    if (storage_flag(s, "krbd", false)) {
        return krbd_locate(s, name, ret, err);
    }
    ret->kind = SOURCE_RBD;
    ret->pool = g_strdup(storage_prop(s, "pool"));
    ret->namespace = namespace != NULL ? g_strdup(namespace) : NULL;
    ret->image = g_strdup(name->name);
    ret->hosts = split_hosts(storage_prop(s, "monhost"));
    ret->uring = URING_ALWAYS;
    /* A storage has authentication when it has a key. Not knowing means it was not set up here. */
    if (host->lookup.exists != NULL && host_exists(host, keyring)) {
        ret->user = g_strdup(user != NULL ? user : RBD_USER_DEFAULT);
        ret->keyring = g_steal_pointer(&keyring);
    }
    return 0;
}

/* ----------------------------------------------------------------- iSCSI */

static int zfs_locate(
    const Storage *s, const VolumeName *name, const HostFacts *host, VolumeSource *ret, Err *err)
{
    int lun = host_iscsi_lun(host, s, name->name);

    if (lun < 0) {
        return err_setf(err, lun, "storage '%s': no logical unit for volume '%s'", s->id,
                        name->name);
    }
    ret->kind = SOURCE_ISCSI;
    ret->portal = g_strdup(storage_prop(s, "portal"));
    ret->target = g_strdup(storage_prop(s, "target"));
    ret->lun = lun;
    ret->uring = URING_ALWAYS;
    return 0;
}

/* "lun7" */
static int iscsidirect_parse(const Storage *s, const char *volume, VolumeName *ret, Err *err)
{
    const char *digits = volume + strlen("lun");

    (void)s;
    if (!g_str_has_prefix(volume, "lun") || digits[0] == '\0' || strlen(digits) > 5 ||
        digits[strspn(digits, "0123456789")] != '\0') {
        return err_setf(err, -EINVAL, "'%.100s' is not a volume like lun1", volume);
    }
    *ret = (VolumeName){.content = "images", .name = g_strdup(digits), .format = "raw"};
    return 0;
}

static int iscsidirect_locate(
    const Storage *s, const VolumeName *name, const HostFacts *host, VolumeSource *ret, Err *err)
{
    (void)host;
    (void)err;
    ret->kind = SOURCE_ISCSI;
    ret->portal = g_strdup(storage_prop(s, "portal"));
    ret->target = g_strdup(storage_prop(s, "target"));
    ret->lun = (int)g_ascii_strtoll(name->name, NULL, 10);
    ret->uring = URING_ALWAYS;
    return 0;
}

const StorageOps storage_ops_rbd = {"rbd", flat_parse, rbd_locate};
const StorageOps storage_ops_zfs = {"zfs", flat_parse, zfs_locate};
const StorageOps storage_ops_iscsidirect = {"iscsidirect", iscsidirect_parse, iscsidirect_locate};
