/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/storage_path.h"

#include "guest/core/volid.h"

#include <errno.h>
#include <string.h>

static const StorageOps *const all_ops[] = {
    &storage_ops_btrfs, &storage_ops_cephfs,      &storage_ops_cifs, &storage_ops_dir,
    &storage_ops_iscsi, &storage_ops_iscsidirect, &storage_ops_lvm,  &storage_ops_lvmthin,
    &storage_ops_nfs,   &storage_ops_rbd,         &storage_ops_zfs,  &storage_ops_zfspool,
};

void volume_name_clear(VolumeName *n)
{
    g_clear_pointer(&n->name, g_free);
    g_clear_pointer(&n->base, g_free);
}

void volume_source_free(VolumeSource *s)
{
    if (s == NULL) {
        return;
    }
    g_free(s->path);
    g_free(s->pool);
    g_free(s->namespace);
    g_free(s->image);
    if (s->hosts != NULL) {
        g_ptr_array_unref(s->hosts);
    }
    g_free(s->user);
    g_free(s->keyring);
    g_free(s->portal);
    g_free(s->target);
    g_free(s);
}

const StorageOps *storage_ops(const Storage *s)
{
    for (size_t i = 0; i < G_N_ELEMENTS(all_ops); i++) {
        if (strcmp(all_ops[i]->type, s->type) == 0) {
            return all_ops[i];
        }
    }
    return NULL;
}

static int find_ops(const Storage *s, const StorageOps **ret, Err *err)
{
    const StorageOps *ops = storage_ops(s);

    if (ops == NULL) {
        return err_setf(err, -ENOTSUP, "storage '%s': type '%s' holds no disks", s->id, s->type);
    }
    *ret = ops;
    return 0;
}

int volume_name_parse(const Storage *s, const char *volume, VolumeName *ret, Err *err)
{
    const StorageOps *ops = NULL;
    int r = find_ops(s, &ops, err);

    if (r < 0) {
        return r;
    }
    if (!volume_is_inside(volume)) {
        return err_setf(err, -EINVAL, "volume '%.100s' leaves its storage", volume);
    }
    r = ops->parse(s, volume, ret, err);
    if (r < 0) {
        return err_wrapf(err, r, "storage '%s' (%s)", s->id, s->type);
    }
    return 0;
}

/* Digits at *at, moved past, as a VMID; 0 when there is none. */
static uint32_t take_vmid(const char **at)
{
    g_autofree char *digits = g_strndup(*at, strspn(*at, "0123456789"));
    uint32_t vmid = 0;

    if (vmid_parse(digits, &vmid, NULL) < 0) {
        return 0;
    }
    *at += strlen(digits);
    return vmid;
}

static const char *const flat_prefixes[] = {"vm-", "base-", "subvol-", "basevol-"};

/* "vm-100-disk-0": true with the owner and whether it is a base. */
static bool parse_flat_leaf(const char *leaf, uint32_t *ret_owner, bool *ret_base)
{
    for (size_t i = 0; i < G_N_ELEMENTS(flat_prefixes); i++) {
        const char *at = leaf;
        if (g_str_has_prefix(leaf, flat_prefixes[i])) {
            at += strlen(flat_prefixes[i]);
            *ret_owner = take_vmid(&at);
            *ret_base = leaf[0] == 'b';
            return *ret_owner != 0 && at[0] == '-' && at[1] != '\0' && strchr(at, '/') == NULL;
        }
    }
    return false;
}

int volume_name_parse_flat(const char *volume, VolumeName *ret, Err *err)
{
    const char *slash = strchr(volume, '/');
    const char *leaf = slash != NULL ? slash + 1 : volume;
    g_autofree char *base = slash != NULL ? g_strndup(volume, (gsize)(slash - volume)) : NULL;
    uint32_t base_owner;
    uint32_t owner;
    bool base_is_base;
    bool is_base;

    if (!parse_flat_leaf(leaf, &owner, &is_base) ||
        (base != NULL && (!parse_flat_leaf(base, &base_owner, &base_is_base) || !base_is_base)) ||
        strpbrk(volume, " \t,") != NULL) {
        return err_setf(err, -EINVAL, "'%.100s' is not a volume name like vm-100-disk-0", volume);
    }
    *ret = (VolumeName){.content = "images",
                        .owner = owner,
                        .name = g_strdup(leaf),
                        .format = strstr(leaf, "vol-") != NULL && leaf[0] != 'v' ? "subvol" : "raw",
                        .base = g_steal_pointer(&base),
                        .is_base = is_base};
    return 0;
}

/* ---------------------------------------------------------------- locate */

static int locate_path(const char *path, VolumeSource **ret)
{
    VolumeSource *s = g_new0(VolumeSource, 1);

    s->kind = g_str_has_prefix(path, "/dev/") ? SOURCE_HOST_DEVICE : SOURCE_FILE;
    s->content = "images";
    s->format = g_str_has_suffix(path, ".qcow2")  ? "qcow2"
                : g_str_has_suffix(path, ".vmdk") ? "vmdk"
                                                  : "raw";
    s->path = g_strdup(path);
    *ret = s;
    return 0;
}

static int locate_on(
    const HostFacts *host, const Storage *storage, const char *volume, VolumeSource **ret, Err *err)
{
    g_autoptr(VolumeSource) s = g_new0(VolumeSource, 1);
    g_auto(VolumeName) name = {0};
    int r = volume_name_parse(storage, volume, &name, err);

    if (r < 0) {
        return r;
    }
    s->content = name.content;
    s->format = name.format != NULL ? name.format : "raw";
    s->owner = name.owner;
    if (strcmp(s->format, "subvol") == 0) {
        return err_setf(err, -EINVAL, "volume '%.100s' is a file tree, not a disk", volume);
    }
    r = storage_ops(storage)->locate(storage, &name, host, s, err);
    if (r < 0) {
        return r;
    }
    *ret = g_steal_pointer(&s);
    return 0;
}

int volume_locate(const HostFacts *host, const char *volid, VolumeSource **ret, Err *err)
{
    const Storage *storage = NULL;
    Volid v;
    int r = volid_parse(volid, &v, err);

    if (r < 0) {
        return r;
    }
    switch (v.kind) {
    case VOLID_PATH:
        return locate_path(v.rest, ret);
    case VOLID_CDROM:
        r = locate_path("/dev/cdrom", ret);
        if (r == 0) {
            (*ret)->kind = SOURCE_HOST_CDROM;
        }
        return r;
    case VOLID_NONE:
        return err_setf(err, -EINVAL, "'none' is no volume");
    case VOLID_VOLUME:
        break;
    }
    if (host->storages == NULL) {
        return err_setf(err, -ENOENT, "there are no storages (storage.cfg)");
    }
    r = storagecfg_get(host->storages, v.storage, &storage, err);
    if (r < 0) {
        return r;
    }
    return locate_on(host, storage, v.rest, ret, err);
}

int volume_check_content(const HostFacts *host, const char *volid, Err *err)
{
    const Storage *storage = NULL;
    g_auto(VolumeName) name = {0};
    Volid v;
    int r = volid_parse(volid, &v, err);

    if (r < 0 || v.kind != VOLID_VOLUME || host->storages == NULL) {
        return r;
    }
    r = storagecfg_get(host->storages, v.storage, &storage, err);
    if (r < 0) {
        return r;
    }
    r = storage_check_node(storage, host->node, err);
    if (r == 0) {
        r = volume_name_parse(storage, v.rest, &name, err);
    }
    if (r < 0) {
        return r;
    }
    if (!storage_has_content(storage, name.content)) {
        return err_setf(err, -EINVAL, "storage '%s' does not support content type '%s'",
                        storage->id, name.content);
    }
    return 0;
}
