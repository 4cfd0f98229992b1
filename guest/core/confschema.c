/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/confschema.h"

#include "guest/core/confcheck.h"
#include "guest/core/confprops.h"

#include <errno.h>
#include <string.h>

/* One line per option. The first word says the kind; what follows are more fields. */
#define BOOL(n, def, txt, ...)                                                                     \
    {                                                                                              \
        .value = {.name = n, .kind = PROP_BOOL, .fallback = def, .text = txt}, __VA_ARGS__         \
    }
#define INT(n, lo, hi, def, txt, ...)                                                              \
    {                                                                                              \
        .value =                                                                                   \
            {.name = n, .kind = PROP_INT, .min = lo, .max = hi, .fallback = def, .text = txt},     \
        __VA_ARGS__                                                                                \
    }
#define NUMBER(n, lo, hi, def, txt, ...)                                                           \
    {                                                                                              \
        .value =                                                                                   \
            {.name = n, .kind = PROP_NUMBER, .min = lo, .max = hi, .fallback = def, .text = txt},  \
        __VA_ARGS__                                                                                \
    }
#define WORD(n, list, def, txt, ...)                                                               \
    {                                                                                              \
        .value = {.name = n, .kind = PROP_WORD, .words = list, .fallback = def, .text = txt},      \
        __VA_ARGS__                                                                                \
    }
#define TEXT(n, limit, rule, def, txt, ...)                                                        \
    {                                                                                              \
        .value = {.name = n,                                                                       \
                  .kind = PROP_TEXT,                                                               \
                  .max = limit,                                                                    \
                  .check = rule,                                                                   \
                  .fallback = def,                                                                 \
                  .text = txt},                                                                    \
        __VA_ARGS__                                                                                \
    }
#define PROPS(n, schema, txt, ...)                                                                 \
    {                                                                                              \
        .value = {.name = n, .kind = PROP_TEXT, .text = txt}, .props = &(schema), __VA_ARGS__      \
    }

#define NOW        .flags = CONF_IMMEDIATE
#define OWN        .flags = CONF_INTERNAL
#define DISKS      .flags = CONF_DISK | CONF_VOLUME | CONF_HOTPLUG, .hotplug = "disk"
#define COLD_DISKS .flags = CONF_DISK | CONF_VOLUME

#define OSTYPES "other wxp w2k w2k3 w2k8 wvista win7 win8 win10 win11 l24 l26 solaris"
#define LOCKS                                                                                      \
    "backup clone create import migrate rollback snapshot snapshot-delete suspended suspending"
#define KEYBOARDS                                                                                  \
    "da de de-ch en-gb en-us es fi fr fr-be fr-ca fr-ch hu is it ja lt mk nl no pl pt pt-br sl "   \
    "sv "                                                                                          \
    "tr"

#define TEXT_MAX 8192 /* what the documented interface allows for free text */

/* Sorted by name: confschema_find searches by halving. */
static const ConfOption options[] = {
    BOOL("acpi", "1", "ACPI", ),
    TEXT("affinity", 0, check_cpu_list, NULL, "host CPUs the guest runs on: 0-3,8", ),
    PROPS("agent", props_agent, "guest agent", ),
    BOOL("allow-ksm", "1", "let the host share equal memory pages of guests", ),
    PROPS("amd-sev", props_amd_sev, "encrypted memory on AMD hosts", ),
    WORD("arch",
         "x86_64 aarch64",
         NULL,
         "processor architecture; by default the host's",
         .flags = CONF_ROOT),
    TEXT("args", TEXT_MAX, NULL, NULL, "words appended to the QEMU command", .flags = CONF_ROOT),
    PROPS("audio", props_audio, "sound card", .count = 1),
    BOOL("autostart", "0", "ignored", NOW),
    INT("balloon",
        0,
        4194304 * INT64_C(16),
        NULL,
        "MiB the guest may shrink to, 0: no balloon device",
        .flags = CONF_HOTPLUG),
    WORD("bios", "seabios ovmf", "seabios", "firmware", ),
    PROPS("boot", props_boot, "what to boot from", ),
    TEXT("bootdisk", 0, check_bootdisk, NULL, "disk to boot from (old form)", ),
    PROPS("cicustom", props_cicustom, "own files instead of the generated ones", ),
    TEXT("cipassword",
         1024,
         NULL,
         NULL,
         "cloud-init: password, stored hashed",
         .flags = CONF_SECRET),
    WORD("citype",
         "configdrive2 nocloud opennebula",
         NULL,
         "cloud-init: format; by default nocloud, for Windows configdrive2", ),
    BOOL("ciupgrade", "1", "cloud-init: upgrade packages at first boot", ),
    TEXT("ciuser", 256, NULL, NULL, "cloud-init: user", ),
    INT("cores", 1, 8192, "1", "cores per socket", ),
    PROPS("cpu", props_cpu, "CPU model and flags", ),
    NUMBER("cpulimit", 0, 128, "0", "CPUs' worth of time, 0: no limit", .flags = CONF_HOTPLUG),
    INT("cpuunits", 1, 262144, "100", "CPU weight beside other guests", .flags = CONF_HOTPLUG),
    TEXT("description", TEXT_MAX, NULL, NULL, "free text, kept as comment lines", NOW),
    PROPS("efidisk",
          props_efidisk,
          "variables of the EFI firmware",
          .count = 1,
          .flags = CONF_VOLUME),
    BOOL("freeze", "0", "start paused", ),
    TEXT("hookscript",
         512,
         check_volume,
         NULL,
         "snippets volume run at start and stop",
         .flags = CONF_IMMEDIATE | CONF_ROOT),
    PROPS("hostpci", props_hostpci, "PCI device of the host", .count = 16, .flags = CONF_ROOT),
    TEXT("hotplug",
         0,
         check_hotplug,
         "network,disk,usb",
         "what can change while the guest runs: network disk usb cpu memory cloudinit, 0: nothing",
         .flags = CONF_HOTPLUG),
    WORD("hugepages",
         "any 2 1024",
         NULL,
         "take memory from huge pages of this many MiB; missing ones are set aside at the start", ),
    PROPS("ide", props_ide, "IDE disk", .count = 4, COLD_DISKS),
    PROPS("intel-tdx", props_intel_tdx, "encrypted memory on Intel hosts", ),
    PROPS("ipconfig", props_ipconfig, "cloud-init: addresses of netN", .count = 32),
    PROPS("ivshmem", props_ivshmem, "memory shared with the host", .flags = CONF_ROOT),
    BOOL("keephugepages",
         "0",
         "leave huge pages that were set aside for the guest to the host at its end", ),
    WORD("keyboard", KEYBOARDS, NULL, "keyboard layout of the VNC server", ),
    BOOL("kvm", NULL, "hardware virtualization; by default on for the host's architecture", ),
    BOOL("localtime", NULL, "clock in local time; by default for Windows", ),
    WORD("lock", LOCKS, NULL, "an operation is under way", .flags = CONF_IMMEDIATE | CONF_INTERNAL),
    PROPS("machine", props_machine, "machine type", ),
    PROPS("memory", props_memory, "MiB of memory", .flags = CONF_HOTPLUG, .hotplug = "memory"),
    PROPS("meta", props_meta, "about the creation of the guest", OWN),
    NUMBER("migrate_downtime", 0, 2000, "0.1", "seconds a migration may pause the guest", NOW),
    INT("migrate_speed", 0, INT32_MAX, "0", "MB/s of a migration, 0: no limit", NOW),
    TEXT("name", 255, check_dns_name, NULL, "name of the guest", NOW),
    TEXT("nameserver", 1024, NULL, NULL, "cloud-init: DNS servers", ),
    PROPS(
        "net", props_net, "network card", .count = 32, .flags = CONF_HOTPLUG, .hotplug = "network"),
    BOOL("numa", "0", "NUMA: one node per socket, or as numaN says", ),
    PROPS("numa", props_numa, "NUMA node", .count = 8),
    BOOL("onboot", "0", "start when the node starts", NOW),
    WORD("ostype",
         OSTYPES,
         "other",
         "operating system: l26 is Linux since 2.6, win10 also 2016 and 2019, win11 also 2022", ),
    TEXT("parallel",
         64,
         check_parallel_device,
         NULL,
         "parallel port of the host",
         .count = 3,
         .flags = CONF_ROOT),
    TEXT("parent", 40, NULL, NULL, "snapshot this state comes from", OWN),
    BOOL("protection", "0", "refuse to remove the guest and its disks", NOW),
    BOOL("reboot", "1", "a reboot is a reboot; off: it ends QEMU", ),
    PROPS("rng", props_rng, "source of entropy", .count = 1, .flags = CONF_ROOT),
    TEXT("running-nets-host-mtu", 1024, NULL, NULL, "MTUs of the running guest", OWN),
    TEXT("runningcpu", 4096, NULL, NULL, "CPU of the running guest", OWN),
    TEXT("runningmachine", 64, NULL, NULL, "machine type of the running guest", OWN),
    PROPS("sata", props_sata, "SATA disk", .count = 6, COLD_DISKS),
    PROPS("scsi", props_scsi, "SCSI disk", .count = 31, DISKS),
    WORD("scsihw",
         "lsi lsi53c810 virtio-scsi-pci virtio-scsi-single megasas pvscsi",
         "lsi",
         "SCSI controller", ),
    TEXT("searchdomain", 1024, NULL, NULL, "cloud-init: DNS search domains", ),
    TEXT("serial",
         64,
         check_serial_device,
         NULL,
         "serial port: socket, or a device of the host",
         .count = 4,
         .flags = CONF_ROOT),
    INT("shares", 0, 50000, "1000", "weight for automatic ballooning", NOW),
    PROPS("smbios", props_smbios, "SMBIOS type 1 fields", .count = 1, .first = 1),
    WORD("snapstate", "prepare delete", NULL, "what happens to this snapshot", OWN),
    INT("snaptime", 0, INT64_MAX, NULL, "when the snapshot was made", OWN),
    INT("sockets", 1, 128, "1", "CPU sockets", ),
    PROPS("spice_enhancements", props_spice_enhancements, "more of SPICE", ),
    TEXT("sshkeys", 65536, NULL, NULL, "cloud-init: public keys, URL-encoded", ),
    TEXT("startdate", 0, check_date, "now", "what the clock shows at start", ),
    PROPS("startup", props_startup, "order and delays at node start and shutdown", NOW),
    BOOL("tablet",
         "1",
         "absolute pointer; by default off with SPICE or a serial display",
         .flags = CONF_HOTPLUG),
    TEXT("tags", 4096, check_tags, NULL, "tags", NOW),
    BOOL("tdf", NULL, "fix time drift; by default for Windows", ),
    BOOL("template", "0", "a template: disks are read-only, it cannot start", ),
    PROPS("tpmstate", props_tpmstate, "state of the TPM", .count = 1, .flags = CONF_VOLUME),
    PROPS("unused",
          props_unused,
          "volume that no device uses",
          .count = 256,
          .flags = CONF_VOLUME | CONF_IMMEDIATE),
    PROPS("usb", props_usb, "USB device", .count = 14, .flags = CONF_HOTPLUG, .hotplug = "usb"),
    INT("vcpus",
        0,
        8192,
        NULL,
        "CPUs plugged at start; 0 and by default sockets*cores",
        .flags = CONF_HOTPLUG,
        .hotplug = "cpu"),
    PROPS("vga", props_vga, "display", ),
    PROPS("virtio", props_virtio, "virtio block disk", .count = 16, DISKS),
    PROPS("virtiofs", props_virtiofs, "directory of the host", .count = 10, .flags = CONF_ROOT),
    TEXT("vmgenid", 0, check_vmgenid, NULL, "generation id: a UUID, 1 makes one, 0 is none", ),
    TEXT("vmstate", 512, check_volume, NULL, "saved memory of the guest", OWN),
    TEXT("vmstatestorage", 64, NULL, NULL, "storage for saved memory", NOW),
    PROPS("watchdog", props_watchdog, "watchdog device", ),
};

size_t confschema_count(void)
{
    return G_N_ELEMENTS(options);
}

const ConfOption *confschema_at(size_t i)
{
    return &options[i];
}

/* Compares `len` bytes of `key` with the name of an option. */
static int compare_name(const char *key, size_t len, const ConfOption *option)
{
    int order = strncmp(key, option->value.name, len);

    return order != 0 ? order : (option->value.name[len] == '\0' ? 0 : -1);
}

/* `numa` is there twice, with and without index: `indexed` chooses. */
static const ConfOption *find(const char *key, size_t len, bool indexed)
{
    size_t low = 0;
    size_t high = G_N_ELEMENTS(options);

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare_name(key, len, &options[middle]);
        if (order == 0 && (options[middle].count > 0) != indexed) {
            order = indexed ? 1 : -1; /* the one with an index stands behind the other */
        }
        if (order == 0) {
            return &options[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const ConfOption *confschema_find(const char *key, int *ret_index)
{
    size_t len = strlen(key);
    size_t name_len = len;
    const ConfOption *option;
    gint64 index;

    while (name_len > 0 && g_ascii_isdigit(key[name_len - 1])) {
        name_len--;
    }
    if (name_len == len) {
        option = find(key, len, false);
        if (option != NULL && ret_index != NULL) {
            *ret_index = -1;
        }
        return option;
    }
    option = find(key, name_len, true);
    if (option == NULL || len - name_len > 3 || (key[name_len] == '0' && len - name_len > 1)) {
        return NULL;
    }
    index = g_ascii_strtoll(key + name_len, NULL, 10);
    if (index < option->first || index >= option->first + option->count) {
        return NULL;
    }
    if (ret_index != NULL) {
        *ret_index = (int)index;
    }
    return option;
}

int confschema_check(const char *key, const char *value, GPtrArray *unknown, char **ret, Err *err)
{
    const ConfOption *option = confschema_find(key, NULL);
    PropKey named;
    int r;

    if (option == NULL) {
        return err_setf(err, -ENOENT, "unknown option '%.60s'", key);
    }
    if (option->props != NULL) {
        g_autoptr(PropString) p = NULL;
        r = propstring_parse(option->props, value, unknown, &p, err);
        if (r < 0) {
            return err_wrapf(err, r, "%s", key);
        }
        *ret = propstring_format(p);
        return 0;
    }
    named = option->value;
    named.name = key;
    return propkey_check(&named, value, ret, err);
}
