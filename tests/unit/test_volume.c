/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: volume ids and names resolve to the places of reference guest.md 20 and 21 for every kind
 * of storage, and none leads out of its storage. Method: one storage of each kind, tables of
 * volumes with place or refusal. */
#include "guest/core/machine.h"
#include "guest/core/storage_path.h"
#include "guest/core/volid.h"

#include <errno.h>
#include <string.h>

static const char storages[] =
    "dir: d1\n\tpath /mnt/d1/\n\tcontent images,iso\n"
    "dir: chain\n\tpath /c\n\tsnapshot-as-volume-chain 1\n"
    "dir: moved\n\tpath /m\n\tcontent-dirs iso=cds,images=../../etc\n\tcontent iso,images\n"
    "nfs: nas\n\tserver s\n\texport /e\n"
    "cifs: win\n\tserver s\n\tshare h\n"
    "btrfs: bt\n\tpath /bt\n"
    "btrfs: btn\n\tpath /bt\n\tnocow\n"
    "lvm: vg\n\tvgname vg0\n"
    "lvmthin: thin\n\tvgname vg0\n\tthinpool tp\n"
    "zfspool: zp\n\tpool tank/x\n"
    "zfs: zi\n\tpool tank\n\tportal 10.0.0.1\n\ttarget iqn.x:y\n\tiscsiprovider comstar\n"
    "rbd: ceph\n\tpool p\n\tnamespace ns\n\tmonhost a:6789,[fd00::1] fd00::2\n"
    "rbd: kc\n\tpool p\n\tkrbd\n\tfsid F\n"
    "rbd: kn\n\tpool p\n\tkrbd\n"
    "iscsi: is\n\tportal p\n\ttarget t\n"
    "iscsidirect: id\n\tportal p\n\ttarget t\n"
    "pbs: bk\n\tserver s\n\tdatastore d\n";

typedef struct World {
    StorageCfg *cfg;
    HostFacts host;
} World;

static void setup(World *w, const void *data)
{
    (void)data;
    g_assert_cmpint(storagecfg_parse(storages, strlen(storages), &w->cfg, NULL), ==, 0);
    w->host.storages = w->cfg;
}

static void teardown(World *w, const void *data)
{
    (void)data;
    storagecfg_free(w->cfg);
}

static void test_places(World *w, const void *data)
{
    static const struct {
        const char *volid;
        const char *path;
        const char *format;
        SourceKind kind;
        UringUse uring;
    } cases[] = {
        {"d1:100/vm-100-disk-0.raw", "/mnt/d1/images/100/vm-100-disk-0.raw", "raw", SOURCE_FILE,
         URING_ALWAYS},
        {"d1:100/any.qcow2", "/mnt/d1/images/100/any.qcow2", "qcow2", SOURCE_FILE, URING_ALWAYS},
        {"d1:100/base-100-disk-0.qcow2/101/vm-101-disk-0.qcow2",
         "/mnt/d1/images/101/vm-101-disk-0.qcow2", "qcow2", SOURCE_FILE, URING_ALWAYS},
        {"d1:iso/a b.ISO", "/mnt/d1/template/iso/a b.ISO", "raw", SOURCE_FILE, URING_ALWAYS},
        {"d1:import/x.vmdk", "/mnt/d1/import/x.vmdk", "vmdk", SOURCE_FILE, URING_ALWAYS},
        {"d1:snippets/hook.sh", "/mnt/d1/snippets/hook.sh", "raw", SOURCE_FILE, URING_ALWAYS},
        {"moved:iso/a.iso", "/m/cds/a.iso", "raw", SOURCE_FILE, URING_ALWAYS},
        {"moved:100/x.raw", "/m/images/100/x.raw", "raw", SOURCE_FILE, URING_ALWAYS},
        {"nas:100/x.raw", "/mnt/pve/nas/images/100/x.raw", "raw", SOURCE_FILE, URING_ALWAYS},
        {"win:100/x.raw", "/mnt/pve/win/images/100/x.raw", "raw", SOURCE_FILE, URING_NEVER},
        {"bt:100/x.raw", "/bt/images/100/x/disk.raw", "raw", SOURCE_FILE, URING_ALWAYS},
        {"bt:100/x.qcow2", "/bt/images/100/x.qcow2", "qcow2", SOURCE_FILE, URING_ALWAYS},
        {"vg:vm-100-disk-0", "/dev/vg0/vm-100-disk-0", "raw", SOURCE_HOST_DEVICE, URING_NEVER},
        {"vg:vm-100-disk-0.qcow2", "/dev/vg0/vm-100-disk-0.qcow2", "qcow2", SOURCE_HOST_DEVICE,
         URING_NEVER},
        {"thin:base-100-disk-0", "/dev/vg0/base-100-disk-0", "raw", SOURCE_HOST_DEVICE,
         URING_ALWAYS},
        {"zp:base-100-disk-0/vm-101-disk-0", "/dev/zvol/tank/x/vm-101-disk-0", "raw",
         SOURCE_HOST_DEVICE, URING_ALWAYS},
        {"kc:vm-100-disk-0", "/dev/rbd-pve/F/p/vm-100-disk-0", "raw", SOURCE_HOST_DEVICE,
         URING_DIRECT},
        {"is:0.0.1.scsi-36001405", "/dev/disk/by-id/scsi-36001405", "raw", SOURCE_HOST_DEVICE,
         URING_ALWAYS},
        {"/dev/sdx", "/dev/sdx", "raw", SOURCE_HOST_DEVICE, URING_ALWAYS},
        {"/srv/a.qcow2", "/srv/a.qcow2", "qcow2", SOURCE_FILE, URING_ALWAYS},
        {"cdrom", "/dev/cdrom", "raw", SOURCE_HOST_CDROM, URING_ALWAYS},
    };

    (void)data;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(VolumeSource) s = NULL;
        Err err = ERR_INIT;
        int r = volume_locate(&w->host, cases[i].volid, &s, &err);

        g_test_message("%s: %s", cases[i].volid, err_text(&err));
        g_assert_cmpint(r, ==, 0);
        g_assert_cmpstr(s->path, ==, cases[i].path);
        g_assert_cmpstr(s->format, ==, cases[i].format);
        g_assert_cmpint(s->kind, ==, cases[i].kind);
        g_assert_cmpint(s->uring, ==, cases[i].uring);
    }
}

static bool keyring_exists(void *ctx, const char *path)
{
    return strcmp(path, ctx) == 0;
}

static int lun_seven(void *ctx, const Storage *s, const char *volume)
{
    (void)ctx;
    (void)s;
    return strcmp(volume, "vm-100-disk-0") == 0 ? 7 : -ENOENT;
}

static void test_network_places(World *w, const void *data)
{
    char keyring[] = "/etc/pve/priv/ceph/ceph.keyring";
    g_autoptr(VolumeSource) open = NULL;
    g_autoptr(VolumeSource) keyed = NULL;
    g_autoptr(VolumeSource) zfs = NULL;
    g_autoptr(VolumeSource) direct = NULL;
    VolumeSource *none = NULL;

    (void)data;
    g_assert_cmpint(volume_locate(&w->host, "ceph:vm-100-disk-0", &open, NULL), ==, 0);
    g_assert_cmpint(open->kind, ==, SOURCE_RBD);
    g_assert_cmpstr(open->pool, ==, "p");
    g_assert_cmpstr(open->namespace, ==, "ns");
    g_assert_cmpstr(open->image, ==, "vm-100-disk-0");
    g_assert_cmpuint(open->hosts->len, ==, 3);
    g_assert_null(open->user);
    w->host.lookup = (HostLookup){.ctx = keyring, .exists = keyring_exists, .iscsi_lun = lun_seven};
    g_assert_cmpint(volume_locate(&w->host, "ceph:vm-100-disk-0", &keyed, NULL), ==, 0);
    g_assert_cmpstr(keyed->user, ==, "admin");
    g_assert_cmpstr(keyed->keyring, ==, keyring);
    g_assert_cmpint(volume_locate(&w->host, "zi:vm-100-disk-0", &zfs, NULL), ==, 0);
    g_assert_cmpint(zfs->lun, ==, 7);
    g_assert_cmpstr(zfs->target, ==, "iqn.x:y");
    g_assert_cmpint(volume_locate(&w->host, "zi:vm-100-disk-1", &none, NULL), ==, -ENOENT);
    g_assert_cmpint(volume_locate(&w->host, "id:lun12", &direct, NULL), ==, 0);
    g_assert_cmpint(direct->lun, ==, 12);
    g_assert_null(none);
}

static void test_flags(World *w, const void *data)
{
    g_autoptr(VolumeSource) chain = NULL;
    g_autoptr(VolumeSource) plain = NULL;
    g_autoptr(VolumeSource) cow = NULL;
    g_autoptr(VolumeSource) nocow = NULL;

    (void)data;
    g_assert_cmpint(volume_locate(&w->host, "chain:100/x.qcow2", &chain, NULL), ==, 0);
    g_assert_cmpint(volume_locate(&w->host, "chain:100/x.raw", &plain, NULL), ==, 0);
    g_assert_cmpint(volume_locate(&w->host, "bt:100/x.raw", &cow, NULL), ==, 0);
    g_assert_cmpint(volume_locate(&w->host, "btn:100/x.raw", &nocow, NULL), ==, 0);
    g_assert_true(chain->chain);
    g_assert_false(plain->chain);
    g_assert_true(cow->buffered);
    g_assert_false(nocow->buffered);
    g_assert_cmpuint(chain->owner, ==, 100);
}

static void test_refusals(World *w, const void *data)
{
    static const char *const refused[] = {
        "d1:../x",
        "d1:100/../x.raw",
        "d1:100/./x.raw",
        "d1:/100/x.raw",
        "d1:100/x.raw/",
        "d1:iso/../../etc/passwd",
        "d1:iso/a/b.iso",
        "d1:iso/a.exe",
        "d1:99/x.raw",
        "d1:0100/x.raw",
        "d1:100/x.exe",
        "d1:100/x",
        "d1:100/a/b.raw",
        "d1:100/x y.raw",
        "d1:",
        "d1",
        "",
        ":x",
        "d:100/x.raw",
        "d1:100/x\n.raw",
        "vg:vm-100",
        "vg:vm-1-disk-0",
        "vg:other",
        "vg:a/vm-100-disk-0",
        "vg:vm-100-disk-0/vm-101-disk-0",
        "vg:vm-100-disk-0,x",
        "zp:subvol-100-disk-0",
        "is:0.0.scsi-x",
        "is:0.0.1.a/b",
        "is:0.0.1...",
        "bt:100/.raw",
        "id:lun",
        "id:lun1x",
        "kn:vm-100-disk-0",
        "bk:vm-100-disk-0",
        "nix:vm-100-disk-0",
        "/a/../b",
        "/a//b",
        "none",
    };

    (void)data;
    for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
        VolumeSource *s = NULL;
        Err err = ERR_INIT;
        int r = volume_locate(&w->host, refused[i], &s, &err);

        g_test_message("%s: %s", refused[i], err_text(&err));
        g_assert_cmpint(r, <, 0);
        g_assert_null(s);
        g_assert_cmpstr(err_text(&err), !=, "");
    }
}

static void test_content(World *w, const void *data)
{
    Err err = ERR_INIT;

    (void)data;
    g_assert_cmpint(volume_check_content(&w->host, "d1:iso/a.iso", &err), ==, 0);
    g_assert_cmpint(volume_check_content(&w->host, "/dev/sdx", &err), ==, 0);
    g_assert_cmpint(volume_check_content(&w->host, "chain:iso/a.iso", &err), ==, -EINVAL);
    g_assert_cmpstr(err_text(&err), ==, "storage 'chain' does not support content type 'iso'");
}

static void test_vmids(void)
{
    static const char *const bad[] = {"",     "0",   "99",   "0100", "1000000000",
                                      "-100", "1e3", "100 ", " 100", "99999999999999999999"};
    uint32_t vmid = 0;

    g_assert_cmpint(vmid_parse("100", &vmid, NULL), ==, 0);
    g_assert_cmpint(vmid_parse("999999999", &vmid, NULL), ==, 0);
    g_assert_cmpuint(vmid, ==, 999999999);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_test_message("%s", bad[i]);
        g_assert_cmpint(vmid_parse(bad[i], &vmid, NULL), ==, -EINVAL);
    }
}

static void check_machine(const char *text, MachineFamily family, const char *resolved)
{
    const QemuVersion qemu = {9, 2, 0};
    g_autofree char *type = NULL;
    Machine m;

    g_test_message("%s", text);
    g_assert_cmpint(machine_parse(text, &m, NULL), ==, 0);
    g_assert_cmpint(m.family, ==, family);
    g_assert_cmpint(machine_resolve(&m, &qemu, false, "n1", NULL), ==, 0);
    type = machine_type_text(&m);
    g_assert_cmpstr(type, ==, resolved);
}

static void test_machines(void)
{
    static const char *const bad[] = {
        "",         "pc-",     "pc-q35",         "pc-q35-",
        "pc-q35-7", "q35-7.2", "pc-q35-7.2+pve", "pc-q35-7.2.pxe+pve1",
        "virt-",    "isapc",   "pc-q35-7.2 ",    "pc-q35-99999.0",
        "PC"};
    const QemuVersion qemu = {9, 0, 2};
    const QemuVersion old = {5, 2, 0};
    Err err = ERR_INIT;
    Machine m;

    check_machine("pc", MACHINE_I440FX, "pc-i440fx-9.2");
    check_machine("q35", MACHINE_Q35, "pc-q35-9.2");
    check_machine("virt", MACHINE_VIRT, "virt-9.2");
    check_machine("pc-1.3", MACHINE_I440FX, "pc-i440fx-1.3");
    check_machine("pc-q35-4.0.1", MACHINE_Q35, "pc-q35-4.0");
    check_machine("pc-q35-5.1+pve0.pxe", MACHINE_Q35, "pc-q35-5.1");
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_test_message("%s", bad[i]);
        g_assert_cmpint(machine_parse(bad[i], &m, NULL), ==, -EINVAL);
    }
    g_assert_cmpint(machine_parse("pc-q35-9.2", &m, NULL), ==, 0);
    g_assert_cmpint(machine_resolve(&m, &qemu, false, "n1", &err), ==, -ENOTSUP);
    g_assert_cmpstr(err_text(&err), ==,
                    "machine: QEMU 9.0.2 of node 'n1' is too old for type 'pc-q35-9.2'");
    g_assert_cmpint(machine_parse("pc-q35-9.0+pve1", &m, NULL), ==, 0);
    g_assert_cmpint(machine_resolve(&m, &qemu, false, "n1", &err), ==, -ENOTSUP);
    g_assert_cmpint(machine_parse("pc", &m, NULL), ==, 0);
    g_assert_cmpint(machine_resolve(&m, &old, false, "n1", &err), ==, -ENOTSUP);
    g_assert_cmpint(machine_resolve(&m, &qemu, true, "n1", &err), ==, 0);
    g_assert_true(machine_at_least(&m, 5, 1, 0) && !machine_at_least(&m, 5, 1, 1));
    g_assert_true(machine_at_least(&m, 4, 1, 2) && !machine_at_least(&m, 5, 2, 0));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define CASE(name, function) g_test_add(name, World, NULL, setup, function, teardown)
    CASE("/volume/places", test_places);
    CASE("/volume/places-on-the-network", test_network_places);
    CASE("/volume/what-a-storage-wants", test_flags);
    CASE("/volume/nothing-leaves-its-storage", test_refusals);
    CASE("/volume/content-must-be-allowed", test_content);
    g_test_add_func("/vmid/limits", test_vmids);
    g_test_add_func("/machine/types", test_machines);
    return g_test_run();
}
