/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: what whole commands (tests/golden) do not show: quoting, splitting of `args`, parameters of
 * a start, addresses that never collide. Method: small tables; every device of the PCI map asked
 * for its place. */
#include "guest/core/cmdbuild.h"
#include "guest/core/confprops.h"
#include "guest/core/confschema.h"
#include "guest/core/qemucmd.h"

#include <errno.h>
#include <string.h>

static const HostFacts host = {.node = "n1",
                               .qemu = {7, 2, 0},
                               .arch = ARCH_X86_64,
                               .cpu_vendor = "GenuineIntel",
                               .run_dir = "/run/q",
                               .event_socket = "/run/e",
                               .firmware_dir = "/f",
                               .arm_firmware_dir = "/f",
                               .script_dir = "/s"};

static QemuCmd *build(const char *text, const HostFacts *h, const QemuCmdParams *params)
{
    g_autoptr(VmConf) conf = NULL;
    QemuCmd *cmd = NULL;
    Err err = ERR_INIT;
    int r;

    g_assert_cmpint(vmconf_parse(text, strlen(text), NULL, &conf, NULL), ==, 0);
    r = qemucmd_build(vmconf_main(conf), h, params, &cmd, &err);
    g_test_message("%s", err_text(&err));
    g_assert_cmpint(r, ==, 0);
    return cmd;
}

/* The word after `option`, or NULL. */
static const char *value_of(const QemuCmd *cmd, const char *option)
{
    for (guint i = 0; i + 1 < cmd->argv->len; i++) {
        if (strcmp(cmd->argv->pdata[i], option) == 0) {
            return cmd->argv->pdata[i + 1];
        }
    }
    return NULL;
}

static void test_split(void)
{
    static const struct {
        const char *in;
        const char *out; /* words with | between */
    } cases[] = {
        {"", ""},
        {"  ", ""},
        {"a b", "a|b"},
        {" a\tb ", "a|b"},
        {"'a b' \"c d\"", "a b|c d"},
        {"a'b'\"c\"", "abc"},
        {"a\\ b", "a b"},
        {"'a\\b'", "a\\b"},
        {"\"a\\\"b\"", "a\"b"},
        {"''", ""},
        {"$(x) `y` *", "$(x)|`y`|*"},
    };
    GPtrArray *none = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) words = NULL;
        g_autofree char *joined = NULL;

        g_test_message("%s", cases[i].in);
        g_assert_cmpint(qemucmd_split(cases[i].in, &words, NULL), ==, 0);
        g_ptr_array_add(words, NULL);
        joined = g_strjoinv("|", (char **)words->pdata);
        g_assert_cmpstr(joined, ==, cases[i].out);
    }
    g_assert_cmpint(qemucmd_split("'a", &none, NULL), ==, -EINVAL);
    g_assert_cmpint(qemucmd_split("\"a'", &none, NULL), ==, -EINVAL);
}

static void test_text_survives_a_shell(void)
{
    g_autoptr(QemuCmd) cmd =
        build("args: \"it's\" a$b 'x;y'\n", &host, &(QemuCmdParams){.vmid = 100});
    g_autofree char *text = qemucmd_text(cmd, false);
    g_auto(GStrv) words = NULL;

    g_assert_true(g_str_has_suffix(text, " 'it'\\''s' 'a$b' 'x;y'"));
    g_assert_null(strchr(text, '\n'));
    g_assert_true(g_shell_parse_argv(text, NULL, &words, NULL));
    g_assert_cmpuint(g_strv_length(words), ==, cmd->argv->len);
    for (guint i = 0; i < cmd->argv->len; i++) {
        g_assert_cmpstr(words[i], ==, cmd->argv->pdata[i]);
    }
}

static void test_start_parameters(void)
{
    QemuCmdParams params = {.vmid = 4711,
                            .spice_port = 61005,
                            .machine = "pc-q35-7.1",
                            .cpu = "host,+aes",
                            .paused = true,
                            .incoming = "tcp:127.0.0.1:60000"};
    g_autoptr(QemuCmd) cmd = build("vga: qxl\ncpu: kvm32\n", &host, &params);
    g_autoptr(QemuCmd) plain = build("", &host, &(QemuCmdParams){.vmid = 100});
    g_autoptr(QemuCmd) plugged = build("cores: 2\nhotplug: cpu\ncpu: kvm32\n", &host, &params);

    /* Plugged processors are of the model that runs, not of the configured one. */
    g_assert_cmpstr(value_of(plugged, "-device"), ==,
                    "host-x86_64-cpu,id=cpu2,socket-id=0,core-id=1,thread-id=0");
    g_assert_cmpstr(cmd->machine_type, ==, "pc-q35-7.1");
    g_assert_true(cmd->needs_spice_port);
    g_assert_nonnull(strstr(value_of(cmd, "-spice"), "tls-port=61005,"));
    g_assert_cmpstr(value_of(cmd, "-cpu"), ==, "host,+aes");
    g_assert_cmpstr(value_of(cmd, "-incoming"), ==, "tcp:127.0.0.1:60000");
    g_assert_cmpstr(value_of(cmd, "-pidfile"), ==, "/run/q/4711.pid");
    g_assert_nonnull(value_of(cmd, "-S"));
    g_assert_false(plain->needs_spice_port);
    g_assert_null(value_of(plain, "-S"));
    g_assert_null(value_of(plain, "-incoming"));
}

static int cpu_limit(const char *text)
{
    HostFacts small = host;
    g_autoptr(VmConf) conf = NULL;
    QemuCmd *cmd = NULL;
    int r;

    small.cpus = 4;
    g_assert_cmpint(vmconf_parse(text, strlen(text), NULL, &conf, NULL), ==, 0);
    r = qemucmd_build(vmconf_main(conf), &small, &(QemuCmdParams){.vmid = 100}, &cmd, NULL);
    qemucmd_free(cmd);
    return r;
}

static void test_cpu_limits(void)
{
    g_assert_cmpint(cpu_limit("cores: 2\nsockets: 2\n"), ==, 0);
    g_assert_cmpint(cpu_limit("cores: 5\n"), ==, -ENOTSUP);
    g_assert_cmpint(cpu_limit("cores: 8192\nsockets: 128\nhotplug: cpu\n"), ==, -EINVAL);
}

/* One name per slot; those that exclude each other share one on purpose. */
static void test_no_two_devices_share_a_slot(void)
{
    static const struct {
        const char *name;
        int count; /* 0: no index */
    } devices[] = {{"piix3", 0},       {"vga", 0},     {"vga", 4},      {"balloon", 1},
                   {"watchdog", 0},    {"scsihw", 5},  {"ahci", 1},     {"qga", 1},
                   {"spice", 0},       {"virtio", 16}, {"hostpci", 16}, {"net", 32},
                   {"xhci", 0},        {"rng", 1},     {"ivshmem", 0},  {"audio", 1},
                   {"virtioscsi", 31}, {"pci.1", 0},   {"pci.2", 0},    {"pci.4", 0}};
    bool used[5][32] = {{false}};
    int bus;
    int addr;

    for (size_t i = 0; i < G_N_ELEMENTS(devices); i++) {
        bool named_first = strcmp(devices[i].name, "vga") == 0 && devices[i].count > 0;
        for (int n = named_first ? 1 : 0; n < MAX(devices[i].count, 1); n++) {
            g_autofree char *id = devices[i].count == 0
                                      ? g_strdup(devices[i].name)
                                      : g_strdup_printf("%s%d", devices[i].name, n);
            g_test_message("%s", id);
            g_assert_true(pci_slot(id, &bus, &addr));
            g_assert_cmpint(bus, >=, 0);
            g_assert_cmpint(bus, <, 5);
            g_assert_cmpint(addr, >, 0);
            g_assert_cmpint(addr, <, 32);
            g_assert_false(used[bus][addr]);
            used[bus][addr] = true;
        }
    }
    g_assert_false(pci_slot("net32", &bus, &addr));
    g_assert_false(pci_slot("nothing", &bus, &addr));
}

static void test_boot_order(void)
{
    static const struct {
        const char *text;
        const char *device;
        int index;
    } cases[] = {
        {"boot: order=scsi1;net0\nscsi1: none,media=cdrom\n", "scsi1", 100},
        {"boot: order=scsi1;net0\nscsi1: none,media=cdrom\n", "net0", 101},
        {"boot: \nide2: none,media=cdrom\n", "ide2", 0},
        {"ide2: none,media=cdrom\n", "ide2", 200},
        {"bootdisk: scsi1\nscsi0: /dev/a\nscsi1: /dev/b\n", "scsi1", 101},
        {"bootdisk: scsi1\nscsi0: /dev/a\nscsi1: /dev/b\n", "scsi0", 0},
        {"boot: nc\nnet3: virtio\nbootdisk: ide0\nide0: /dev/a\n", "net3", 100},
        {"boot: nc\nnet3: virtio\nbootdisk: ide0\nide0: /dev/a\n", "ide0", 200},
        {"boot: dc\nide0: local:vm-100-cloudinit,media=cdrom\nide2: none,media=cdrom\n", "ide2",
         100},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GHashTable) order = NULL;
        g_autoptr(GuestConf) gc = NULL;
        g_autoptr(VmConf) conf = NULL;

        g_test_message("%s", cases[i].text);
        g_assert_cmpint(vmconf_parse(cases[i].text, strlen(cases[i].text), NULL, &conf, NULL), ==,
                        0);
        g_assert_cmpint(guestconf_new(vmconf_main(conf), 100, warnings, &gc, NULL), ==, 0);
        g_assert_cmpint(boot_order(gc, &order, NULL), ==, 0);
        g_assert_cmpint(GPOINTER_TO_INT(g_hash_table_lookup(order, cases[i].device)), ==,
                        cases[i].index);
    }
}

/* The file keeps MB/s; the bytes a user gave come back from it unchanged. */
static void test_limits_in_bytes(void)
{
    static const struct {
        const char *bytes;
        const char *stored;
    } cases[] = {
        {"1048576", "1"},  {"524288", "0.5"},           {"1000000", "0.953675"},
        {"1", "0.000001"}, {"123456789", "117.737569"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(PropString) p = propstring_new(&props_scsi);
        g_autoptr(GArray) limits = NULL;
        Drive d = {.bus = DRIVE_SCSI, .props = p};

        g_test_message("%s", cases[i].bytes);
        g_assert_cmpint(propstring_set(p, "bps_wr", cases[i].bytes, NULL), ==, 0);
        g_assert_cmpint(drive_limits_to_mbps(p, NULL), ==, 0);
        g_assert_null(propstring_text(p, "bps_wr"));
        g_assert_cmpstr(propstring_text(p, "mbps_wr"), ==, cases[i].stored);
        limits = drive_limits(&d);
        g_assert_cmpuint(limits->len, ==, 1);
        g_assert_cmpstr(g_array_index(limits, DriveLimit, 0).name, ==, "bps-write");
        g_assert_cmpint(g_array_index(limits, DriveLimit, 0).value, ==,
                        g_ascii_strtoll(cases[i].bytes, NULL, 10));
        g_assert_cmpint(propstring_set(p, "bps_wr", "5", NULL), ==, 0);
        g_assert_cmpint(drive_limits_to_mbps(p, NULL), ==, -EINVAL);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qemucmd/args-are-split-without-expansion", test_split);
    g_test_add_func("/qemucmd/text-survives-a-shell", test_text_survives_a_shell);
    g_test_add_func("/qemucmd/start-parameters", test_start_parameters);
    g_test_add_func("/qemucmd/cpu-limits", test_cpu_limits);
    g_test_add_func("/qemucmd/no-two-devices-share-a-slot", test_no_two_devices_share_a_slot);
    g_test_add_func("/qemucmd/boot-order", test_boot_order);
    g_test_add_func("/qemucmd/limits-in-bytes", test_limits_in_bytes);
    return g_test_run();
}
