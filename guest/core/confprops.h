/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confprops: the property strings of VMID.conf, one schema each: keys, what they accept, what holds
 * when they are absent. Reference: guest.md sections 3 to 5. confschema ties them to option names.
 * Constant tables; any thread.
 */
#ifndef GUEST_CORE_CONFPROPS_H
#define GUEST_CORE_CONFPROPS_H

#include "lib/conf/propstring.h"

extern const PropSchema props_agent;
extern const PropSchema props_amd_sev;
extern const PropSchema props_audio;
extern const PropSchema props_boot;
extern const PropSchema props_cicustom;
extern const PropSchema props_cpu;
extern const PropSchema props_efidisk;
extern const PropSchema props_hostpci;
extern const PropSchema props_ide;
extern const PropSchema props_intel_tdx;
extern const PropSchema props_ipconfig;
extern const PropSchema props_ivshmem;
extern const PropSchema props_machine;
extern const PropSchema props_memory;
extern const PropSchema props_meta;
extern const PropSchema props_net;
extern const PropSchema props_numa;
extern const PropSchema props_rng;
extern const PropSchema props_sata;
extern const PropSchema props_scsi;
extern const PropSchema props_smbios;
extern const PropSchema props_spice_enhancements;
extern const PropSchema props_startup;
extern const PropSchema props_tpmstate;
extern const PropSchema props_unused;
extern const PropSchema props_usb;
extern const PropSchema props_vga;
extern const PropSchema props_virtio;
extern const PropSchema props_virtiofs;
extern const PropSchema props_watchdog;

#endif
