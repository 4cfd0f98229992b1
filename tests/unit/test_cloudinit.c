/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a guest finds in its cloud-init data what its configuration says, in the three formats, and
 * no value can become YAML or shell of its own. Method: whole golden texts; hostile values. New
 * identities: what must be new is new, what must stay stays. */
#include "guest/core/cloudinit.h"
#include "guest/core/guest_fresh.h"

#include <errno.h>
#include <string.h>

typedef struct Rig {
    VmConf *conf;
    GPtrArray *warnings;
    GuestConf *gc;
} Rig;

static void open_rig(Rig *rig, const char *text)
{
    Err err = ERR_INIT;

    g_assert_cmpint(vmconf_parse(text, strlen(text), &(VmConfParse){0}, &rig->conf, NULL), ==, 0);
    rig->warnings = g_ptr_array_new_with_free_func(g_free);
    if (guestconf_new(vmconf_main(rig->conf), 100, rig->warnings, &rig->gc, &err) < 0) {
        g_error("%s", err.text);
    }
}

static void close_rig(Rig *rig)
{
    guestconf_free(rig->gc);
    g_ptr_array_unref(rig->warnings);
    vmconf_free(rig->conf);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Rig, close_rig)

static const char full[] = "name: web.example.com\n"
                           "ciuser: admin\n"
                           "cipassword: $6$salt$hash\n"
                           "sshkeys: ssh-ed25519%20AAAA%20me%40here%0Assh-rsa%20BBBB\n"
                           "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0\n"
                           "ipconfig0: ip=10.0.0.2/22,gw=10.0.0.1,ip6=fd00::2/64,gw6=fd00::1\n"
                           "net1: e1000=BC:24:11:00:00:02\n"
                           "net2: virtio=BC:24:11:00:00:03\n"
                           "ipconfig2: ip6=auto\n"
                           "nameserver: 10.0.0.53 fd00::53\n"
                           "searchdomain: example.com\n";

static void test_user(void)
{
    g_auto(Rig) rig = {0};
    CloudinitParams none = {0};
    g_autofree char *text = NULL;

    open_rig(&rig, full);
    text = cloudinit_user(rig.gc, &none);
    g_assert_cmpstr(text, ==,
                    "#cloud-config\n"
                    "hostname: web\n"
                    "manage_etc_hosts: true\n"
                    "fqdn: web.example.com\n"
                    "user: admin\n"
                    "password: '$6$salt$hash'\n"
                    "ssh_authorized_keys:\n"
                    "  - 'ssh-ed25519 AAAA me@here'\n"
                    "  - 'ssh-rsa BBBB'\n"
                    "chpasswd:\n"
                    "  expire: False\n"
                    "users:\n"
                    "  - default\n"
                    "package_upgrade: true\n");
}

static void test_network(void)
{
    g_auto(Rig) rig = {0};
    CloudinitParams none = {0};
    g_autofree char *text = NULL;

    open_rig(&rig, full);
    text = cloudinit_network(rig.gc, &none);
    g_assert_cmpstr(text, ==,
                    "version: 1\n"
                    "config:\n"
                    "    - type: physical\n"
                    "      name: eth0\n"
                    "      mac_address: 'bc:24:11:00:00:01'\n"
                    "      subnets:\n"
                    "      - type: static\n"
                    "        address: '10.0.0.2'\n"
                    "        netmask: '255.255.252.0'\n"
                    "        gateway: '10.0.0.1'\n"
                    "      - type: static6\n"
                    "        address: 'fd00::2/64'\n"
                    "        gateway: 'fd00::1'\n"
                    "    - type: physical\n"
                    "      name: eth1\n"
                    "      mac_address: 'bc:24:11:00:00:02'\n"
                    "      subnets:\n"
                    "      - type: dhcp4\n"
                    "    - type: physical\n"
                    "      name: eth2\n"
                    "      mac_address: 'bc:24:11:00:00:03'\n"
                    "      subnets:\n"
                    "      - type: ipv6_slaac\n"
                    "    - type: nameserver\n"
                    "      address:\n"
                    "      - '10.0.0.53'\n"
                    "      - 'fd00::53'\n"
                    "      search:\n"
                    "      - 'example.com'\n");
}

static const char *file_text(const GPtrArray *files, const char *path)
{
    for (guint i = 0; i < files->len; i++) {
        const CloudinitFile *f = files->pdata[i];
        if (strcmp(f->path, path) == 0) {
            return f->text;
        }
    }
    return NULL;
}

static void test_formats(void)
{
    static const struct {
        const char *conf;
        const char *label;
        const char *file;
        const char *holds;
    } cases[] = {
        {"name: a\n", "cidata", "meta-data", "instance-id: "},
        {"name: a\n", "cidata", "vendor-data", ""},
        {"name: a\nostype: win10\n", "config-2", "openstack/latest/user_data", "hostname: a"},
        {"citype: configdrive2\nnet0: virtio=BC:24:11:00:00:01\n", "config-2",
         "openstack/content/0000", "iface eth0 inet dhcp"},
        {"citype: configdrive2\n", "config-2", "openstack/latest/meta_data.json",
         "\"content_path\": \"/content/0000\""},
        {"citype: opennebula\nname: a\nnet0: virtio=BC:24:11:00:00:01\nipconfig0: ip=10.0.0.2/24\n",
         "CONTEXT", "context.sh", "ETH0_MASK='255.255.255.0'\n"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(Rig) rig = {0};
        CloudinitParams none = {0};
        g_autoptr(GPtrArray) files = NULL;

        open_rig(&rig, cases[i].conf);
        files = cloudinit_files(rig.gc, &none);
        g_assert_cmpstr(cloudinit_label(cloudinit_format(rig.gc)), ==, cases[i].label);
        g_assert_nonnull(file_text(files, cases[i].file));
        g_assert_nonnull(strstr(file_text(files, cases[i].file), cases[i].holds));
    }
}

static void test_hostile(void)
{
    g_auto(Rig) rig = {0};
    CloudinitParams none = {0};
    g_autofree char *user = NULL;
    g_autoptr(GPtrArray) files = NULL;

    open_rig(&rig, "citype: opennebula\nciuser: a'; reboot; '\n"
                   "sshkeys: k1%0Aruncmd:%0A%20-%20reboot\n");
    user = cloudinit_user(rig.gc, &none);
    files = cloudinit_files(rig.gc, &none);
    g_assert_nonnull(strstr(user, "user: 'a''; reboot; '''\n"));
    g_assert_null(strstr(user, "\nruncmd:"));
    g_assert_nonnull(strstr(user, "  - 'runcmd:'\n"));
    g_assert_nonnull(strstr(file_text(files, "context.sh"), "USERNAME='a'\\''; reboot; '\\'''\n"));
}

static void test_custom(void)
{
    g_auto(Rig) rig = {0};
    CloudinitParams own = {.user = "U", .network = "N", .meta = "M", .vendor = "V"};
    g_autoptr(GPtrArray) files = NULL;

    open_rig(&rig, "name: a\n");
    files = cloudinit_files(rig.gc, &own);
    g_assert_cmpstr(file_text(files, "user-data"), ==, "U");
    g_assert_cmpstr(file_text(files, "network-config"), ==, "N");
    g_assert_cmpstr(file_text(files, "meta-data"), ==, "M");
    g_assert_cmpstr(file_text(files, "vendor-data"), ==, "V");
}

/* ---------------------------------------------------------------- identity */

static void count_up(void *ctx, uint8_t *buf, size_t n)
{
    uint8_t *next = ctx;

    for (size_t i = 0; i < n; i++) {
        buf[i] = (*next)++;
    }
}

static void test_fresh_create(void)
{
    uint8_t next = 0;
    FreshSource f = {.random = count_up, .ctx = &next, .qemu = "7.2.22", .now_sec = 1000};
    g_autoptr(VmConf) conf = NULL;
    static const char text[] = "ide2: none,media=cdrom\n"
                               "net0: virtio,bridge=vmbr0,tag=5\n"
                               "net1: e1000=AA:AA:AA:AA:AA:AA\n"
                               "scsi0: local:100/vm-100-disk-0.raw\n"
                               "smbios1: serial=x\n";
    VmSection *s;

    g_assert_cmpint(vmconf_parse(text, strlen(text), &(VmConfParse){0}, &conf, NULL), ==, 0);
    s = vmconf_main(conf);
    g_assert_cmpint(fresh_create(&f, s, NULL), ==, 0);
    g_assert_cmpstr(vmsection_get(s, "net0"), ==, "virtio=BC:24:11:03:04:05,bridge=vmbr0,tag=5");
    g_assert_cmpstr(vmsection_get(s, "net1"), ==, "e1000=AA:AA:AA:AA:AA:AA");
    g_assert_cmpstr(vmsection_get(s, "boot"), ==, "order=scsi0;ide2;net0");
    g_assert_cmpstr(vmsection_get(s, "meta"), ==, "creation-qemu=7.2.22,ctime=1000");
    g_assert_nonnull(strstr(vmsection_get(s, "smbios1"), "serial=x"));
    g_assert_nonnull(strstr(vmsection_get(s, "smbios1"), "uuid="));
    g_assert_cmpuint(strlen(vmsection_get(s, "vmgenid")), ==, 36);
}

static void test_fresh_clone(void)
{
    uint8_t next = 0;
    FreshSource f = {.random = count_up, .ctx = &next, .mac_prefix = "02:AB", .now_sec = 7};
    g_autoptr(VmConf) conf = NULL;
    static const char text[] = "lock: backup\n"
                               "name: a\n"
                               "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0\n"
                               "parent: s1\n"
                               "smbios1: uuid=96f6a38f-0443-46e3-827a-7c039cd05e53,serial=x\n"
                               "template: 1\n"
                               "unused0: local:100/vm-100-disk-1.raw\n"
                               "unused1: local:100/vm-100-disk-2.raw\n"
                               "vmgenid: 467a7b9b-4db6-4680-bd73-bb7abf44a2e8\n";
    g_autofree char *out = NULL;

    g_assert_cmpint(vmconf_parse(text, strlen(text), &(VmConfParse){0}, &conf, NULL), ==, 0);
    g_assert_cmpint(fresh_clone(&f, vmconf_main(conf), NULL), ==, 0);
    out = vmconf_format(conf);
    g_assert_null(strstr(out, "unused"));
    g_assert_null(strstr(out, "lock"));
    g_assert_null(strstr(out, "parent"));
    g_assert_null(strstr(out, "template"));
    g_assert_null(strstr(out, "96f6a38f"));
    g_assert_null(strstr(out, "467a7b9b"));
    g_assert_nonnull(strstr(out, "net0: virtio=02:AB:02:03:04:05,bridge=vmbr0\n"));
    g_assert_nonnull(strstr(out, "serial=x"));
    g_assert_nonnull(strstr(out, "vmgenid: "));
}

static void test_prefix(void)
{
    static const char *const bad[] = {"", "BC:24:11:00:00:00", "B", "BC:2", "01", "GG", "BC-24"};
    g_autofree char *tags = fresh_tags("B;a, b;A");

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_cmpint(fresh_check_prefix(bad[i], NULL), ==, -EINVAL);
    }
    g_assert_cmpint(fresh_check_prefix("02:00", NULL), ==, 0);
    g_assert_cmpstr(tags, ==, "a;b");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cloudinit/user-data", test_user);
    g_test_add_func("/cloudinit/network", test_network);
    g_test_add_func("/cloudinit/formats", test_formats);
    g_test_add_func("/cloudinit/values-stay-values", test_hostile);
    g_test_add_func("/cloudinit/own-files-replace", test_custom);
    g_test_add_func("/fresh/create-fills-in", test_fresh_create);
    g_test_add_func("/fresh/clone-is-another", test_fresh_clone);
    g_test_add_func("/fresh/prefix-and-tags", test_prefix);
    return g_test_run();
}
