/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as VMID.conf, on three QEMU versions: a command or an error with a text, and no word of
 * the command comes from nowhere: it starts with the program and every option has its dash. */
#include "guest/core/qemucmd.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static const char storages[] = "dir: local\n\tcontent images,iso\n"
                               "lvm: vg\n\tvgname vg0\n"
                               "rbd: ceph\n\tpool p\n\tmonhost h\n";
static const char mappings[] = "gpu\n\tmap node=n1,path=01:00.0\n";
static const char models[] = "cpu-model: m\n\treported-model athlon\n";

static void build(const VmConf *conf, HostFacts *host, int major)
{
    g_autoptr(QemuCmd) cmd = NULL;
    QemuCmdParams params = {.vmid = 100};
    Err err = ERR_INIT;

    host->qemu = (QemuVersion){major, 2, 0};
    if (qemucmd_build(vmconf_main(conf), host, &params, &cmd, &err) < 0) {
        g_assert_cmpstr(err_text(&err), !=, "");
        return;
    }
    g_assert_true(g_str_has_prefix(cmd->argv->pdata[0], "/usr/bin/qemu-system-"));
    g_assert_cmpint(((const char *)cmd->argv->pdata[1])[0], ==, '-');
    for (guint i = 2; i < cmd->argv->len; i++) {
        /* In base64 the fields of -smbios may be any bytes, and are handed on as they are. */
        if (strcmp(cmd->argv->pdata[i - 1], "-smbios") != 0) {
            g_assert_null(strpbrk(cmd->argv->pdata[i], "\001\002\003\004\005\006\007"));
        }
    }
    g_autofree char *text = qemucmd_text(cmd, true);
    g_assert_cmpstr(text, !=, "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(StorageCfg) cfg = NULL;
    g_autoptr(MappingCfg) map = NULL;
    g_autoptr(SectionLines) cpu = NULL;
    g_autoptr(VmConf) conf = NULL;
    HostFacts host = {.node = "n1",
                      .arch = ARCH_X86_64,
                      .cpu_vendor = "GenuineIntel",
                      .sev = {true, true, true, 51, 6},
                      .run_dir = "/run/q",
                      .event_socket = "/run/e",
                      .firmware_dir = "/f",
                      .arm_firmware_dir = "/f",
                      .script_dir = "/s"};

    g_assert_cmpint(storagecfg_parse(storages, strlen(storages), &cfg, NULL), ==, 0);
    g_assert_cmpint(mappingcfg_parse("pci.cfg", mappings, strlen(mappings), &map, NULL), ==, 0);
    g_assert_cmpint(sectionlines_parse(models, strlen(models), &cpu, NULL), ==, 0);
    host.storages = cfg;
    host.pci_map = map;
    host.usb_map = map;
    host.cpu_models = cpu;
    if (vmconf_parse((const char *)data, size, NULL, &conf, NULL) == 0) {
        build(conf, &host, 6);
        build(conf, &host, 9);
        build(conf, &host, 11);
    }
    return 0;
}
