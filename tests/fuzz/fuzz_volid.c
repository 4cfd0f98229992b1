/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a volume id, on one storage of each kind: what resolves stays inside its storage. */
#include "guest/core/storage_path.h"
#include "guest/core/volid.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static const char storages[] = "dir: d1\n\tpath /mnt/d1\n"
                               "btrfs: bt\n\tpath /mnt/bt\n"
                               "cifs: win\n\tserver s\n\tshare h\n"
                               "lvm: vg\n\tvgname vg0\n"
                               "zfspool: zp\n\tpool tank\n"
                               "zfs: zi\n\tpool t\n\tportal p\n\ttarget t\n\tiscsiprovider i\n"
                               "rbd: ceph\n\tpool p\n"
                               "iscsi: is\n\tportal p\n\ttarget t\n"
                               "iscsidirect: id\n\tportal p\n\ttarget t\n";

static const char *const inside[] = {"/mnt/d1/",    "/mnt/bt/",        "/mnt/pve/win/",
                                     "/dev/vg0/",   "/dev/zvol/tank/", "/dev/disk/by-id/",
                                     "/var/lib/vz/"};

static bool is_inside(const char *path)
{
    for (size_t i = 0; i < G_N_ELEMENTS(inside); i++) {
        if (g_str_has_prefix(path, inside[i])) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static StorageCfg *cfg;
    g_autofree char *text = g_strndup(size > 0 ? (const char *)data : "", size);
    g_autoptr(VolumeSource) s = NULL;
    HostFacts host = {0};
    Err err = ERR_INIT;
    Volid v;

    if (cfg == NULL) {
        g_assert_cmpint(storagecfg_parse(storages, strlen(storages), &cfg, NULL), ==, 0);
    }
    host.storages = cfg;
    if (volume_locate(&host, text, &s, &err) < 0) {
        g_assert_cmpstr(err_text(&err), !=, "");
        return 0;
    }
    g_assert_cmpint(volid_parse(text, &v, NULL), ==, 0);
    if (s->path != NULL) {
        g_assert_true(volume_is_inside(s->path + 1));
        g_assert_true(v.kind != VOLID_VOLUME || is_inside(s->path));
    } else {
        g_assert_true(s->kind == SOURCE_RBD || s->kind == SOURCE_ISCSI);
    }
    return 0;
}
