/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/confprops.h"

#include "guest/core/confcheck.h"

#define SCHEMA(symbol, title, keys) const PropSchema symbol = {title, keys, G_N_ELEMENTS(keys)}

/* ------------------------------------------------------------------ disks */

#define BPS_MAX INT64_C(1000000000000000) /* what QEMU takes */

/* One kind of limit: a rate, a burst, and how long a burst may last. */
#define LIMIT_KEYS(dir, words)                                                                     \
    {.name = "mbps" dir, .kind = PROP_NUMBER, .max = 1048576, .text = "MB/s" words},               \
        {.name = "mbps" dir "_max", .kind = PROP_NUMBER, .max = 1048576, .text = "burst MB/s"},    \
        {.name = "bps" dir,                                                                        \
         .kind = PROP_INT,                                                                         \
         .max = BPS_MAX,                                                                           \
         .text = "bytes/s" words ", becomes mbps"},                                                \
        {.name = "bps" dir "_max_length",                                                          \
         .kind = PROP_INT,                                                                         \
         .min = 1,                                                                                 \
         .max = 86400,                                                                             \
         .text = "seconds a burst of bytes lasts"},                                                \
        {.name = "iops" dir, .kind = PROP_INT, .max = INT32_MAX, .text = "requests/s" words},      \
        {.name = "iops" dir "_max", .kind = PROP_INT, .max = INT32_MAX, .text = "burst"},          \
    {                                                                                              \
        .name = "iops" dir "_max_length", .kind = PROP_INT, .min = 1, .max = 86400,                \
        .text = "seconds a burst of requests lasts"                                                \
    }

#define FILE_KEYS                                                                                  \
    {.name = "file",                                                                               \
     .kind = PROP_TEXT,                                                                            \
     .flags = PROP_DEFAULT_KEY | PROP_REQUIRED,                                                    \
     .max = 512,                                                                                   \
     .check = check_volume,                                                                        \
     .text = "volume: STORAGE:VOLUME, an absolute path, 'none' or 'cdrom'"},                       \
        {.name = "volume", .alias = "file"},                                                       \
        {.name = "size", .kind = PROP_SIZE, .text = "size of the volume, for information"},        \
        {.name = "format",                                                                         \
         .kind = PROP_WORD,                                                                        \
         .words = "raw qcow qed qcow2 vmdk cloop",                                                 \
         .text = "format of the image"},                                                           \
    {                                                                                              \
        .name = "import-from", .kind = PROP_TEXT, .text = "on create: what to copy from"           \
    }

#define WHEN_WRONG "what to do when a request fails"

#define DISK_KEYS                                                                                  \
    FILE_KEYS,                                                                                     \
        {.name = "media",                                                                          \
         .kind = PROP_WORD,                                                                        \
         .words = "cdrom disk",                                                                    \
         .fallback = "disk",                                                                       \
         .text = "what the guest sees"},                                                           \
        {.name = "aio",                                                                            \
         .kind = PROP_WORD,                                                                        \
         .words = "native threads io_uring",                                                       \
         .text = "how requests reach the host's kernel; by default what the storage takes best"},  \
        {.name = "backup", .kind = PROP_BOOL, .fallback = "1", .text = "part of backups"},         \
        {.name = "cache",                                                                          \
         .kind = PROP_WORD,                                                                        \
         .words = "none writethrough writeback unsafe directsync",                                 \
         .text = "cache mode; by default none, but on btrfs writeback"},                           \
        {.name = "cyls", .kind = PROP_TEXT, .text = "ignored"},                                    \
        {.name = "heads", .kind = PROP_TEXT, .text = "ignored"},                                   \
        {.name = "secs", .kind = PROP_TEXT, .text = "ignored"},                                    \
        {.name = "trans", .kind = PROP_TEXT, .text = "ignored"},                                   \
        {.name = "detect_zeroes",                                                                  \
         .kind = PROP_BOOL,                                                                        \
         .text = "turn writes of zeroes into holes; by default on, with discard=on as discards"},  \
        {.name = "discard",                                                                        \
         .kind = PROP_WORD,                                                                        \
         .words = "ignore on",                                                                     \
         .text = "pass discards of the guest to the storage"},                                     \
        {.name = "replicate", .kind = PROP_BOOL, .fallback = "1", .text = "part of replication"},  \
        {.name = "rerror",                                                                         \
         .kind = PROP_WORD,                                                                        \
         .words = "ignore report stop",                                                            \
         .text = WHEN_WRONG " (read)"},                                                            \
        {.name = "serial", .kind = PROP_TEXT, .max = 60, .text = "serial number, URL-encoded"},    \
        {.name = "shared",                                                                         \
         .kind = PROP_BOOL,                                                                        \
         .fallback = "0",                                                                          \
         .text = "the same volume is reachable on all nodes (absolute paths)"},                    \
        {.name = "snapshot", .kind = PROP_BOOL, .text = "throw writes away at the end"},           \
        {.name = "werror",                                                                         \
         .kind = PROP_WORD,                                                                        \
         .words = "enospc ignore report stop",                                                     \
         .text = WHEN_WRONG " (write)"},                                                           \
        LIMIT_KEYS("", ", both directions"), LIMIT_KEYS("_rd", ", reading"),                       \
        LIMIT_KEYS("_wr", ", writing")

#define SSD_KEYS                                                                                   \
    {.name = "ssd", .kind = PROP_BOOL, .text = "show it as a solid-state disk"},                   \
    {                                                                                              \
        .name = "wwn", .kind = PROP_TEXT, .check = check_wwn, .text = "0x and 16 hex digits"       \
    }

#define THREAD_KEYS                                                                                \
    {.name = "iothread", .kind = PROP_BOOL, .text = "serve this disk in a thread of its own"},     \
    {                                                                                              \
        .name = "ro", .kind = PROP_BOOL, .text = "read-only"                                       \
    }

static const PropKey ide_keys[] = {
    DISK_KEYS,
    SSD_KEYS,
    {.name = "model", .kind = PROP_TEXT, .max = 120, .text = "model name, URL-encoded"},
};
static const PropKey sata_keys[] = {DISK_KEYS, SSD_KEYS};
static const PropKey scsi_keys[] = {
    DISK_KEYS,
    SSD_KEYS,
    THREAD_KEYS,
    {.name = "queues", .kind = PROP_INT, .min = 2, .max = 1021, .text = "number of queues"},
    {.name = "scsiblock", .kind = PROP_BOOL, .text = "pass the host's SCSI disk through as it is"},
    {.name = "vendor", .kind = PROP_TEXT, .max = 8, .text = "vendor name, up to 8 characters"},
    {.name = "product", .kind = PROP_TEXT, .max = 16, .text = "product name, up to 16 characters"},
};
static const PropKey virtio_keys[] = {DISK_KEYS, THREAD_KEYS};
static const PropKey efidisk_keys[] = {
    FILE_KEYS,
    {.name = "efitype", .kind = PROP_WORD, .words = "2m 4m", .fallback = "2m", .text = "layout"},
    {.name = "pre-enrolled-keys",
     .kind = PROP_BOOL,
     .fallback = "0",
     .text = "made with the keys of the usual distributions"},
    {.name = "ms-cert",
     .kind = PROP_TEXT,
     .max = 32,
     .text = "which Microsoft certificates it has"},
    {.name = "backup", .kind = PROP_BOOL, .fallback = "1", .text = "part of backups"},
    {.name = "replicate", .kind = PROP_BOOL, .fallback = "1", .text = "part of replication"},
};
static const PropKey tpmstate_keys[] = {
    FILE_KEYS,
    {.name = "version",
     .kind = PROP_WORD,
     .words = "v1.2 v2.0",
     .fallback = "v1.2",
     .text = "version of the module"},
    {.name = "backup", .kind = PROP_BOOL, .fallback = "1", .text = "part of backups"},
    {.name = "replicate", .kind = PROP_BOOL, .fallback = "1", .text = "part of replication"},
};
static const PropKey unused_keys[] = {FILE_KEYS};

SCHEMA(props_ide, "disk", ide_keys);
SCHEMA(props_sata, "disk", sata_keys);
SCHEMA(props_scsi, "disk", scsi_keys);
SCHEMA(props_virtio, "disk", virtio_keys);
SCHEMA(props_efidisk, "EFI disk", efidisk_keys);
SCHEMA(props_tpmstate, "TPM state", tpmstate_keys);
SCHEMA(props_unused, "unused disk", unused_keys);

/* ---------------------------------------------------------------- network */

#define NIC_MODELS                                                                                 \
    "e1000 e1000-82540em e1000-82544gc e1000-82545em e1000e i82551 i82557b i82559er ne2k_isa "     \
    "ne2k_pci pcnet rtl8139 virtio vmxnet3"
#define NIC_ALIAS(model)                                                                           \
    {                                                                                              \
        .name = model, .alias = "macaddr", .implies = "model"                                      \
    }

static const PropKey net_keys[] = {
    {.name = "model",
     .kind = PROP_WORD,
     .flags = PROP_DEFAULT_KEY | PROP_REQUIRED,
     .words = NIC_MODELS,
     .text = "model of the card; MODEL=MAC sets both"},
    {.name = "macaddr", .kind = PROP_TEXT, .check = check_mac, .text = "a unicast MAC address"},
    NIC_ALIAS("e1000"),
    NIC_ALIAS("e1000-82540em"),
    NIC_ALIAS("e1000-82544gc"),
    NIC_ALIAS("e1000-82545em"),
    NIC_ALIAS("e1000e"),
    NIC_ALIAS("i82551"),
    NIC_ALIAS("i82557b"),
    NIC_ALIAS("i82559er"),
    NIC_ALIAS("ne2k_isa"),
    NIC_ALIAS("ne2k_pci"),
    NIC_ALIAS("pcnet"),
    NIC_ALIAS("rtl8139"),
    NIC_ALIAS("virtio"),
    NIC_ALIAS("vmxnet3"),
    {.name = "bridge",
     .kind = PROP_TEXT,
     .check = check_bridge,
     .text = "bridge of the host; without one the guest gets a private network with NAT"},
    {.name = "firewall", .kind = PROP_BOOL, .fallback = "0", .text = "filter its traffic"},
    {.name = "host-tunnel",
     .kind = PROP_BOOL,
     .fallback = "0",
     .text = "let the guest offload tunnelled segments (virtio)"},
    {.name = "link_down", .kind = PROP_BOOL, .fallback = "0", .text = "as if unplugged"},
    {.name = "mtu", .kind = PROP_INT, .min = 1, .max = 65520, .text = "MTU, 1: of the bridge"},
    {.name = "queues", .kind = PROP_INT, .max = 64, .text = "packet queues (virtio)"},
    {.name = "rate", .kind = PROP_NUMBER, .max = 1048576, .text = "limit in MB/s"},
    {.name = "tag", .kind = PROP_INT, .min = 1, .max = 4094, .text = "VLAN of the card"},
    {.name = "trunks", .kind = PROP_TEXT, .check = check_trunks, .text = "VLANs to pass: 10-20;30"},
};
SCHEMA(props_net, "network card", net_keys);

static const PropKey ipconfig_keys[] = {
    {.name = "ip", .kind = PROP_TEXT, .check = check_ipv4_config, .text = "address/bits or dhcp"},
    {.name = "gw", .kind = PROP_TEXT, .check = check_ipv4, .text = "gateway"},
    {.name = "ip6",
     .kind = PROP_TEXT,
     .check = check_ipv6_config,
     .text = "address/bits, dhcp or auto"},
    {.name = "gw6", .kind = PROP_TEXT, .check = check_ipv6, .text = "gateway"},
};
SCHEMA(props_ipconfig, "IP configuration", ipconfig_keys);

/* ---------------------------------------------------------- CPU and memory */

static const PropKey cpu_keys[] = {
    {.name = "cputype",
     .kind = PROP_TEXT,
     .flags = PROP_DEFAULT_KEY,
     .max = 64,
     .check = check_cpu_model,
     .text = "model: of QEMU, host, max, x86-64-v2-AES..., or custom-NAME"},
    {.name = "flags", .kind = PROP_TEXT, .check = check_cpu_flags, .text = "+flag;-flag"},
    {.name = "hidden", .kind = PROP_BOOL, .fallback = "0", .text = "do not show KVM to the guest"},
    {.name = "hv-vendor-id",
     .kind = PROP_TEXT,
     .check = check_hv_vendor,
     .text = "Hyper-V vendor id, up to 12 characters"},
    {.name = "phys-bits", .kind = PROP_TEXT, .check = check_phys_bits, .text = "8..64 or host"},
    {.name = "guest-phys-bits",
     .kind = PROP_INT,
     .min = 32,
     .max = 64,
     .text = "address bits the guest may use"},
    {.name = "reported-model",
     .kind = PROP_TEXT,
     .max = 64,
     .check = check_cpu_model,
     .fallback = "kvm64",
     .text = "model and vendor a custom model builds on"},
    {.name = "level", .kind = PROP_INT, .max = 255, .text = "highest CPUID leaf shown"},
};
SCHEMA(props_cpu, "CPU", cpu_keys);

static const PropKey memory_keys[] = {
    {.name = "current",
     .kind = PROP_INT,
     .flags = PROP_DEFAULT_KEY | PROP_REQUIRED,
     .min = 16,
     .max = 4194304 * INT64_C(16),
     .fallback = "512",
     .text = "MiB of memory"},
};
SCHEMA(props_memory, "memory", memory_keys);

static const PropKey numa_keys[] = {
    {.name = "cpus",
     .kind = PROP_TEXT,
     .flags = PROP_REQUIRED,
     .check = check_cpu_set,
     .text = "vCPUs of the node: 0-3;8"},
    {.name = "memory", .kind = PROP_NUMBER, .max = INT32_MAX, .text = "MiB of the node"},
    {.name = "hostnodes", .kind = PROP_TEXT, .check = check_cpu_set, .text = "host nodes: 0-1;3"},
    {.name = "policy",
     .kind = PROP_WORD,
     .words = "preferred bind interleave",
     .text = "how memory is taken from the host nodes"},
};
SCHEMA(props_numa, "NUMA node", numa_keys);

static const PropKey machine_keys[] = {
    {.name = "type",
     .kind = PROP_TEXT,
     .flags = PROP_DEFAULT_KEY,
     .max = 40,
     .check = check_machine_type,
     .text = "pc, q35, virt or a version of one"},
    {.name = "viommu", .kind = PROP_WORD, .words = "intel virtio", .text = "IOMMU for the guest"},
    {.name = "aw-bits", .kind = PROP_INT, .min = 32, .max = 64, .text = "its address bits"},
    {.name = "enable-s3", .kind = PROP_BOOL, .text = "suspend to RAM"},
    {.name = "enable-s4", .kind = PROP_BOOL, .text = "suspend to disk"},
};
SCHEMA(props_machine, "machine", machine_keys);

static const PropKey amd_sev_keys[] = {
    {.name = "type",
     .kind = PROP_WORD,
     .flags = PROP_DEFAULT_KEY | PROP_REQUIRED,
     .words = "std es snp",
     .text = "std, es (encrypted state) or snp (nested paging)"},
    {.name = "allow-smt", .kind = PROP_BOOL, .fallback = "1", .text = "snp: allow threads"},
    {.name = "no-debug", .kind = PROP_BOOL, .fallback = "0", .text = "forbid debugging"},
    {.name = "no-key-sharing", .kind = PROP_BOOL, .fallback = "0", .text = "std, es: own key"},
    {.name = "kernel-hashes", .kind = PROP_BOOL, .fallback = "0", .text = "measured direct boot"},
};
SCHEMA(props_amd_sev, "amd-sev", amd_sev_keys);

static const PropKey intel_tdx_keys[] = {
    {.name = "type",
     .kind = PROP_WORD,
     .flags = PROP_DEFAULT_KEY | PROP_REQUIRED,
     .words = "tdx",
     .text = "tdx"},
    {.name = "attestation", .kind = PROP_BOOL, .fallback = "1", .text = "allow attestation"},
    {.name = "vsock-cid", .kind = PROP_INT, .min = 0, .max = UINT32_MAX, .text = "quote service"},
    {.name = "vsock-port", .kind = PROP_INT, .min = 0, .max = 65535, .text = "quote service"},
};
SCHEMA(props_intel_tdx, "intel-tdx", intel_tdx_keys);

/* ---------------------------------------------------------------- devices */

static const PropKey vga_keys[] = {
    {.name = "type",
     .kind = PROP_WORD,
     .flags = PROP_DEFAULT_KEY,
     .words = "cirrus qxl qxl2 qxl3 qxl4 none serial0 serial1 serial2 serial3 std virtio virtio-gl "
              "vmware",
     .text = "display; serialN shows the console on that port instead"},
    {.name = "memory", .kind = PROP_INT, .min = 4, .max = 512, .text = "MiB of video memory"},
    {.name = "clipboard", .kind = PROP_WORD, .words = "vnc", .text = "share it over VNC"},
};
SCHEMA(props_vga, "vga", vga_keys);

static const PropKey agent_keys[] = {
    {.name = "enabled",
     .kind = PROP_BOOL,
     .flags = PROP_DEFAULT_KEY | PROP_REQUIRED,
     .text = "talk to the guest agent"},
    {.name = "fstrim_cloned_disks",
     .kind = PROP_BOOL,
     .fallback = "0",
     .text = "trim after cloning or moving a disk"},
    {.name = "freeze-fs",
     .kind = PROP_BOOL,
     .fallback = "1",
     .text = "freeze file systems for backups and snapshots"},
    {.name = "freeze-fs-on-backup", .alias = "freeze-fs"},
    {.name = "type",
     .kind = PROP_WORD,
     .words = "virtio isa",
     .fallback = "virtio",
     .text = "kind of port"},
};
SCHEMA(props_agent, "agent", agent_keys);

static const PropKey watchdog_keys[] = {
    {.name = "model",
     .kind = PROP_WORD,
     .flags = PROP_DEFAULT_KEY,
     .words = "i6300esb ib700",
     .fallback = "i6300esb",
     .text = "model"},
    {.name = "action",
     .kind = PROP_WORD,
     .words = "reset shutdown poweroff pause debug none",
     .text = "what happens when the guest stops feeding it"},
};
SCHEMA(props_watchdog, "watchdog", watchdog_keys);

static const PropKey rng_keys[] = {
    {.name = "source",
     .kind = PROP_WORD,
     .flags = PROP_DEFAULT_KEY | PROP_REQUIRED,
     .words = "/dev/urandom /dev/random /dev/hwrng",
     .text = "where entropy comes from"},
    {.name = "max_bytes",
     .kind = PROP_INT,
     .max = INT32_MAX,
     .fallback = "1024",
     .text = "bytes per period, 0: no limit"},
    {.name = "period",
     .kind = PROP_INT,
     .min = 1,
     .max = INT32_MAX,
     .fallback = "1000",
     .text = "in ms"},
};
SCHEMA(props_rng, "rng", rng_keys);

static const PropKey usb_keys[] = {
    {.name = "host",
     .kind = PROP_TEXT,
     .flags = PROP_DEFAULT_KEY,
     .check = check_usb_host,
     .text = "VENDOR:PRODUCT, BUS-PORT or spice"},
    {.name = "mapping",
     .kind = PROP_TEXT,
     .check = check_mapping_id,
     .text = "name in mapping/usb.cfg"},
    {.name = "usb3", .kind = PROP_BOOL, .fallback = "0", .text = "it is a USB 3 device"},
};
SCHEMA(props_usb, "usb", usb_keys);

#define PCI_ID_KEY(key)                                                                            \
    {                                                                                              \
        .name = key, .kind = PROP_TEXT, .check = check_hex4, .text = "shown instead of its own"    \
    }

static const PropKey hostpci_keys[] = {
    {.name = "host",
     .kind = PROP_TEXT,
     .flags = PROP_DEFAULT_KEY,
     .check = check_pci_list,
     .text = "PCI address (01:00.0, without function: all of them), several with ';'"},
    {.name = "mapping",
     .kind = PROP_TEXT,
     .check = check_mapping_id,
     .text = "name in mapping/pci.cfg"},
    {.name = "pcie", .kind = PROP_BOOL, .fallback = "0", .text = "on a PCIe port (q35)"},
    {.name = "rombar", .kind = PROP_BOOL, .fallback = "1", .text = "show its ROM"},
    {.name = "romfile", .kind = PROP_TEXT, .check = check_file_name, .text = "ROM file"},
    {.name = "x-vga", .kind = PROP_BOOL, .fallback = "0", .text = "first display"},
    {.name = "legacy-igd", .kind = PROP_BOOL, .fallback = "0", .text = "Intel graphics as first"},
    {.name = "mdev", .kind = PROP_TEXT, .check = check_file_name, .text = "mediated device type"},
    {.name = "driver",
     .kind = PROP_WORD,
     .words = "vfio keep",
     .fallback = "vfio",
     .text = "bind to vfio-pci, or keep the driver it has"},
    PCI_ID_KEY("vendor-id"),
    PCI_ID_KEY("device-id"),
    PCI_ID_KEY("sub-vendor-id"),
    PCI_ID_KEY("sub-device-id"),
};
SCHEMA(props_hostpci, "hostpci", hostpci_keys);

static const PropKey audio_keys[] = {
    {.name = "device",
     .kind = PROP_WORD,
     .flags = PROP_REQUIRED,
     .words = "ich9-intel-hda intel-hda AC97",
     .text = "sound card"},
    {.name = "driver",
     .kind = PROP_WORD,
     .words = "spice none",
     .fallback = "spice",
     .text = "where the sound goes"},
};
SCHEMA(props_audio, "audio", audio_keys);

static const PropKey ivshmem_keys[] = {
    {.name = "size",
     .kind = PROP_INT,
     .flags = PROP_REQUIRED,
     .min = 1,
     .max = 1048576,
     .text = "MiB"},
    {.name = "name", .kind = PROP_TEXT, .check = check_mapping_id, .text = "name of the memory"},
};
SCHEMA(props_ivshmem, "ivshmem", ivshmem_keys);

static const PropKey virtiofs_keys[] = {
    {.name = "dirid",
     .kind = PROP_TEXT,
     .flags = PROP_DEFAULT_KEY | PROP_REQUIRED,
     .check = check_mapping_id,
     .text = "name in mapping/directory.cfg; also the tag the guest mounts"},
    {.name = "cache",
     .kind = PROP_WORD,
     .words = "auto always metadata never",
     .fallback = "auto",
     .text = "how much the guest may cache"},
    {.name = "direct-io", .kind = PROP_BOOL, .fallback = "0", .text = "honour O_DIRECT"},
    {.name = "expose-acl", .kind = PROP_BOOL, .fallback = "0", .text = "POSIX ACLs"},
    {.name = "expose-xattr", .kind = PROP_BOOL, .fallback = "0", .text = "extended attributes"},
};
SCHEMA(props_virtiofs, "virtiofs", virtiofs_keys);

static const PropKey spice_enhancements_keys[] = {
    {.name = "foldersharing", .kind = PROP_BOOL, .fallback = "0", .text = "share folders"},
    {.name = "videostreaming",
     .kind = PROP_WORD,
     .words = "off all filter",
     .fallback = "off",
     .text = "detect and compress video"},
};
SCHEMA(props_spice_enhancements, "spice_enhancements", spice_enhancements_keys);

#define SMBIOS_KEY(key)                                                                            \
    {                                                                                              \
        .name = key, .kind = PROP_TEXT, .max = 512, .text = "text, base64 when base64=1"           \
    }

static const PropKey smbios_keys[] = {
    {.name = "uuid", .kind = PROP_TEXT, .check = check_uuid, .text = "a UUID"},
    SMBIOS_KEY("manufacturer"),
    SMBIOS_KEY("product"),
    SMBIOS_KEY("version"),
    SMBIOS_KEY("serial"),
    SMBIOS_KEY("sku"),
    SMBIOS_KEY("family"),
    {.name = "base64", .kind = PROP_BOOL, .fallback = "0", .text = "the texts are base64"},
};
SCHEMA(props_smbios, "smbios", smbios_keys);

/* ------------------------------------------------------------ start and meta */

static const PropKey boot_keys[] = {
    {.name = "legacy",
     .kind = PROP_TEXT,
     .flags = PROP_DEFAULT_KEY,
     .check = check_boot_legacy,
     .text = "up to four of a c d n (old form)"},
    {.name = "order", .kind = PROP_TEXT, .text = "devices in order: scsi0;net0"},
};
SCHEMA(props_boot, "boot", boot_keys);

static const PropKey startup_keys[] = {
    {.name = "order", .kind = PROP_INT, .flags = PROP_DEFAULT_KEY, .max = INT32_MAX, .text = "n"},
    {.name = "up", .kind = PROP_INT, .max = 86400, .fallback = "0", .text = "seconds after start"},
    {.name = "down", .kind = PROP_INT, .max = 86400, .text = "seconds to wait for shutdown"},
};
SCHEMA(props_startup, "startup", startup_keys);

static const PropKey meta_keys[] = {
    {.name = "creation-qemu", .kind = PROP_TEXT, .max = 40, .text = "QEMU version"},
    {.name = "ctime", .kind = PROP_INT, .max = INT64_MAX, .text = "Unix time"},
};
SCHEMA(props_meta, "meta", meta_keys);

#define CI_KEY(key)                                                                                \
    {                                                                                              \
        .name = key, .kind = PROP_TEXT, .check = check_volume, .text = "a snippets volume"         \
    }

static const PropKey cicustom_keys[] = {
    CI_KEY("meta"),
    CI_KEY("network"),
    CI_KEY("user"),
    CI_KEY("vendor"),
};
SCHEMA(props_cicustom, "cicustom", cicustom_keys);
