/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_facts: what the making of a QEMU command must know about the host it is for: either this one
 * (guest/io reads it) or another one, as assumed. Nothing in the core looks at the host itself.
 *
 * Questions whose answer depends on the configuration (does this PCI device exist?) are callbacks.
 * A callback that is NULL means "not known"; then the usual is assumed, as written at each.
 */
#ifndef GUEST_CORE_HOST_FACTS_H
#define GUEST_CORE_HOST_FACTS_H

#include "guest/core/machine.h"
#include "lib/base/err.h"
#include "lib/conf/mappingcfg.h"
#include "lib/conf/sectionlines.h"
#include "lib/conf/storagecfg.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Encrypted memory as the host's processor offers it. */
typedef struct SevCaps {
    bool std;
    bool es;
    bool snp;
    int cbitpos;
    int reduced_phys_bits;
} SevCaps;

typedef struct HostLookup {
    void *ctx;
    /* The file or device exists. Assumed: yes. */
    bool (*exists)(void *ctx, const char *path);
    /* MTU of a bridge, or -errno. Assumed: 1500. */
    int (*bridge_mtu)(void *ctx, const char *bridge);
    /* SCSI peripheral device type (0 disk, 1 tape), or -errno when `path` is no SCSI device.
     * Assumed: no SCSI device. */
    int (*scsi_type)(void *ctx, const char *path);
    /* Adds the functions of a PCI device ("0000:01:00") as full addresses to `ret` (char *).
     * Assumed: function 0. */
    void (*pci_functions)(void *ctx, const char *slot, GPtrArray *ret);
    /* Number of the logical unit that a volume has behind its iSCSI target, or -errno.
     * Assumed: 0. */
    int (*iscsi_lun)(void *ctx, const Storage *storage, const char *volume);
    /* Huge pages of this many MiB can be had. Assumed: yes. */
    bool (*hugepages)(void *ctx, int mib);
    /* The host has this NUMA node. Assumed: yes. */
    bool (*numa_node)(void *ctx, int node);
} HostLookup;

typedef struct HostFacts {
    const char *node;       /* name, also for storages and mappings restricted to nodes */
    QemuVersion qemu;       /* of the binary that will run */
    Arch arch;              /* of the host */
    const char *cpu_vendor; /* "GenuineIntel", "AuthenticAMD"; "" when not known */
    int phys_bits;          /* address bits of the processor; 0: not known */
    int cpus;               /* that may run guests; 0: not known */
    bool has_vhost_net;     /* the kernel moves packets of virtio cards */
    SevCaps sev;
    bool tdx;
    const char *iscsi_initiator;  /* name, or NULL */
    const char *run_dir;          /* sockets and pid files: "/var/run/qemu-server" */
    const char *event_socket;     /* of the event daemon: "/var/run/qmeventd.sock" */
    const char *firmware_dir;     /* OVMF: "/usr/share/OVMF" */
    const char *arm_firmware_dir; /* AAVMF: "/usr/share/AAVMF" */
    const char *script_dir;       /* of the bridge scripts */
    HostLookup lookup;

    /* Files of the cluster, each may be NULL when absent. */
    const StorageCfg *storages;
    const MappingCfg *pci_map;
    const MappingCfg *usb_map;
    const MappingCfg *dir_map;
    const SectionLines *cpu_models;
} HostFacts;

/* The callbacks with their assumption when NULL. */
bool host_exists(const HostFacts *h, const char *path);
int host_bridge_mtu(const HostFacts *h, const char *bridge);
int host_scsi_type(const HostFacts *h, const char *path);
/* At least one full address: char *, owned by the caller. -ENODEV when the device is not there. */
int host_pci_functions(const HostFacts *h, const char *slot, GPtrArray **ret, Err *err) must_check;
int host_iscsi_lun(const HostFacts *h, const Storage *storage, const char *volume);
bool host_hugepages(const HostFacts *h, int mib);
bool host_numa_node(const HostFacts *h, int node);

#endif
