/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: the table of options is sound, finds every key, and checks values (reference guest.md 3,
 * 4). Method: properties of the whole table; tables of values that must pass or be refused. */
#include "guest/core/confprops.h"
#include "guest/core/confschema.h"
#include "guest/core/guestconf.h"
#include "lib/conf/vmconf.h"

#include <errno.h>
#include <string.h>

static void check_key(const PropKey *key, const char *where)
{
    g_test_message("%s %s", where, key->name);
    g_assert_true(key->kind != PROP_WORD || key->words != NULL);
    g_assert_true(key->kind != PROP_INT || key->max > key->min);
    g_assert_true(key->kind != PROP_NUMBER || key->max > key->min);
    g_assert_true(key->alias != NULL || key->text != NULL);
    if (key->fallback != NULL) {
        g_autofree char *stored = NULL;
        Err err = ERR_INIT;
        g_assert_cmpint(propkey_check(key, key->fallback, &stored, &err), ==, 0);
        g_assert_cmpstr(stored, ==, key->fallback);
    }
}

static void test_table_is_sound(void)
{
    for (size_t i = 0; i < confschema_count(); i++) {
        const ConfOption *o = confschema_at(i);
        int defaults = 0;

        check_key(&o->value, "option");
        if (i > 0) {
            int order = strcmp(confschema_at(i - 1)->value.name, o->value.name);
            g_assert_true(order < 0 || (order == 0 && o->count > 0));
        }
        g_assert_true(!(o->flags & CONF_DISK) || (o->flags & CONF_VOLUME));
        if (o->props == NULL) {
            continue;
        }
        g_assert_cmpuint(o->props->n_keys, <=, PROPSTRING_KEYS_MAX);
        for (size_t k = 0; k < o->props->n_keys; k++) {
            check_key(&o->props->keys[k], o->value.name);
            defaults += (o->props->keys[k].flags & PROP_DEFAULT_KEY) != 0;
        }
        g_assert_cmpint(defaults, <=, 1);
    }
}

static void test_every_key_is_found(void)
{
    static const char *const absent[] = {
        "",        "net",    "net32",  "net01",     "cores1", "numa8", "scsi31",
        "smbios0", "smbios", "audio1", "unused256", "x",      "Net0",  "net9999999999999"};
    int index = 7;

    for (size_t i = 0; i < confschema_count(); i++) {
        const ConfOption *o = confschema_at(i);

        if (o->count == 0) {
            g_assert_true(confschema_find(o->value.name, &index) == o);
            g_assert_cmpint(index, ==, -1);
        }
        for (int n = o->first; n < o->first + o->count; n++) {
            g_autofree char *key = g_strdup_printf("%s%d", o->value.name, n);
            g_assert_true(confschema_find(key, &index) == o);
            g_assert_cmpint(index, ==, n);
            g_assert_cmpint(vmconf_check_key(key, NULL), ==, 0);
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(absent); i++) {
        g_test_message("%s", absent[i]);
        g_assert_null(confschema_find(absent[i], NULL));
    }
}

static const char *const good[][2] = {
    {"acpi", "yes"},
    {"affinity", "0-3,8"},
    {"agent", "1,fstrim_cloned_disks=1,freeze-fs-on-backup=0"},
    {"boot", "order=scsi0;net0"},
    {"boot", "cdn"},
    {"boot", ""},
    {"cpu", "host,flags=+aes;-pcid,phys-bits=host"},
    {"cpu", "custom-mine"},
    {"cpulimit", "1.5"},
    {"hostpci0", "0000:01:00.0;02:00,pcie=1"},
    {"hotplug", "network,disk"},
    {"hotplug", "0"},
    {"ide2", "none,media=cdrom"},
    {"ipconfig0", "ip=10.0.0.2/24,gw=10.0.0.1,ip6=auto"},
    {"machine", "pc-q35-9.2+pve1,viommu=virtio"},
    {"machine", "type=q35"},
    {"memory", "2048"},
    {"name", "web-1.example.org"},
    {"net31", "virtio=BC:24:11:0A:0B:0C,bridge=vmbr0,trunks=10-20;30"},
    {"net0", "e1000"},
    {"numa0", "cpus=0-3;8,memory=1024,hostnodes=0,policy=bind"},
    {"scsi0", "local:100/vm-100-disk-0.raw,size=32G,mbps_rd=10.5,iothread=1"},
    {"scsi0", "/dev/disk/by-id/x,serial=a%20b"},
    {"serial0", "socket"},
    {"smbios1", "uuid=5c0c4a52-9a9f-4a9d-a1b6-2f3f1a7d1c11,base64=1"},
    {"startdate", "2006-06-17T16:01:21"},
    {"startup", "2,up=30"},
    {"tags", "a;b-c"},
    {"usb0", "host=1234:abcd,usb3=1"},
    {"usb0", "spice"},
    {"usb0", "1-2.3"},
    {"vmgenid", "1"},
};

static const char *const bad[][3] = {
    {"acpi", "maybe", "acpi: 'maybe' is not 0 or 1"},
    {"affinity", "3-1", "a list of CPU numbers"},
    {"balloon", "-1", "balloon: '-1' is not a whole number"},
    {"boot", "cdnac", "up to four of the letters"},
    {"bootdisk", "net0", "the name of a disk"},
    {"cores", "0", "1..8192"},
    {"cpu", "host,flags=aes", "a list of +flag and -flag"},
    {"cpulimit", "129", "0..128"},
    {"hostpci0", "1:0.0", "a list of PCI addresses"},
    {"hostpci0", "01:00.0,romfile=../x", "a plain file name"},
    {"ide2", "media=cdrom", "'file' is missing"},
    {"ipconfig0", "ip=10.0.0.2", "an IPv4 address with its prefix length"},
    {"machine", "pc-q35-", "is not a machine type"},
    {"memory", "15", "16..67108864"},
    {"name", "-a", "a DNS name"},
    {"name", "a..b", "a DNS name"},
    {"net0", "virtio=01:24:11:0A:0B:0C", "unicast"},
    {"net0", "virtio,bridge=averyverylongname", "at most 15 characters"},
    {"net0", "virtio,tag=4095", "1..4094"},
    {"numa0", "memory=1024", "'cpus' is missing"},
    {"ostype", "win12", "one of other, wxp"},
    {"scsi0", "local:../../etc/passwd", "must not be empty nor have '..'"},
    {"scsi0", "local:100//x", "empty parts"},
    {"scsi0", "/dev/../etc/passwd", "must not have '..'"},
    {"scsi0", "/a\tb", "control character"},
    {"scsi0", "x", "is not a volume"},
    {"scsi0", "-x:y", "is not a storage name"},
    {"scsi0", "local:x,cache=fast", "one of none, writethrough"},
    {"serial0", "/etc/passwd", "'socket' or a device below /dev"},
    {"serial0", "/dev/../etc/passwd", "'socket' or a device below /dev"},
    {"smbios1", "uuid=5c0c4a52", "a UUID"},
    {"startdate", "2006-6-17", "'now', a date"},
    {"tags", "a;;b", "a list of tags"},
    {"usb0", "host=12:34", "VENDOR:PRODUCT"},
    {"vmgenid", "2", "a UUID, 1"},
};

/* What the file keeps: 1 and 0; the default key first and bare, then required ones, then the rest.
 */
static void test_stored_form(void)
{
    static const char *const cases[][3] = {
        {"onboot", "yes", "1"},
        {"onboot", "off", "0"},
        {"agent", "fstrim_cloned_disks=on,enabled=true", "1,fstrim_cloned_disks=1"},
        {"cpu", "flags=+aes,hidden=no,cputype=host", "host,flags=+aes,hidden=0"},
        {"net1", "tag=7,macaddr=BC:24:11:0A:0B:0C,model=virtio", "virtio=BC:24:11:0A:0B:0C,tag=7"},
        {"numa0", "policy=bind,memory=64,hostnodes=0,cpus=0-1",
         "cpus=0-1,hostnodes=0,memory=64,policy=bind"},
        {"boot", "order=scsi0;net0", "order=scsi0;net0"},
        {"boot", "", ""},
        {"memory", "current=2048", "2048"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *stored = NULL;

        g_assert_cmpint(confschema_check(cases[i][0], cases[i][1], NULL, &stored, NULL), ==, 0);
        g_assert_cmpstr(stored, ==, cases[i][2]);
    }
}

static void test_values(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autofree char *stored = NULL;
        Err err = ERR_INIT;
        int r = confschema_check(good[i][0], good[i][1], NULL, &stored, &err);

        g_test_message("%s: %s: %s", good[i][0], good[i][1], err_text(&err));
        g_assert_cmpint(r, ==, 0);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        char *stored = NULL;
        Err err = ERR_INIT;
        int r = confschema_check(bad[i][0], bad[i][1], NULL, &stored, &err);

        g_test_message("%s: %s: %s", bad[i][0], bad[i][1], err_text(&err));
        g_assert_cmpint(r, ==, -EINVAL);
        g_assert_true(g_str_has_prefix(err_text(&err), bad[i][0]));
        g_assert_nonnull(strstr(err_text(&err), bad[i][2]));
        g_assert_null(stored);
    }
    char *stored = NULL;
    g_assert_cmpint(confschema_check("colour", "red", NULL, &stored, NULL), ==, -ENOENT);
}

static void test_guestconf(void)
{
    static const char text[] = "balloon: 0\nfuture: x\nnet0: virtio,newer=1\nostype: win10\n"
                               "onboot: yes\nhotplug: 1\n";
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(VmConf) conf = NULL;
    g_autoptr(GuestConf) gc = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(vmconf_parse(text, strlen(text), NULL, &conf, NULL), ==, 0);
    g_assert_cmpint(guestconf_new(vmconf_main(conf), 100, warnings, &gc, &err), ==, 0);
    g_assert_cmpuint(warnings->len, ==, 2);
    g_assert_cmpstr(warnings->pdata[0], ==, "line 2: unknown option 'future', ignored");
    g_assert_cmpstr(warnings->pdata[1], ==, "line 3: net0: unknown property 'newer', ignored");
    g_assert_true(guestconf_has(gc, "balloon"));
    g_assert_false(guestconf_has(gc, "cores"));
    g_assert_cmpint(guestconf_int(gc, "cores"), ==, 1);
    g_assert_true(guestconf_bool(gc, "onboot"));
    g_assert_cmpint(guestconf_windows(gc), ==, 10);
    g_assert_cmpstr(guestconf_name(gc), ==, "vm100");
    g_assert_true(guestconf_hotplug(gc, "usb"));
    g_assert_false(guestconf_hotplug(gc, "cpu"));
    g_assert_null(guestconf_props(gc, "net1"));
    g_assert_cmpstr(propstring_text(guestconf_props_at(gc, "net", 0), "model"), ==, "virtio");
}

static void test_guestconf_names_the_line(void)
{
    static const char text[] = "name: a\n\nnet0: virtio,tag=9999\n";
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(VmConf) conf = NULL;
    GuestConf *gc = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(vmconf_parse(text, strlen(text), NULL, &conf, NULL), ==, 0);
    g_assert_cmpint(guestconf_new(vmconf_main(conf), 100, warnings, &gc, &err), ==, -EINVAL);
    g_assert_cmpstr(err_text(&err), ==,
                    "line 3: net0: network card: tag: '9999' is not a whole number 1..4094");
}

static void test_freezes(void)
{
    static const struct {
        const char *agent;
        bool freezes;
    } cases[] = {
        {"", false},
        {"agent: 0\n", false},
        {"agent: 1\n", true},
        {"agent: on\n", true},
        {"agent: type=isa,enabled=yes\n", true},
        {"agent: 1,freeze-fs=0\n", false},
        {"agent: 1,freeze-fs-on-backup=0\n", false},
        {"agent: 1,newer=x\n", true},
        {"agent: 12\n", false},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(VmConf) conf = NULL;
        const char *text = cases[i].agent;

        g_test_message("%s", text);
        g_assert_cmpint(vmconf_parse(text, strlen(text), NULL, &conf, NULL), ==, 0);
        g_assert_true(guestconf_freezes(vmconf_main(conf)) == cases[i].freezes);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/confschema/table-is-sound", test_table_is_sound);
    g_test_add_func("/confschema/every-key-is-found", test_every_key_is_found);
    g_test_add_func("/confschema/values", test_values);
    g_test_add_func("/confschema/stored-form", test_stored_form);
    g_test_add_func("/guestconf/defaults-and-warnings", test_guestconf);
    g_test_add_func("/guestconf/errors-name-the-line", test_guestconf_names_the_line);
    g_test_add_func("/guestconf/agent-freezes", test_freezes);
    return g_test_run();
}
