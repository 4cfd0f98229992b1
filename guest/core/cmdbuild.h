/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmdbuild: the command while it is being made. qemucmd.c calls the parts below in order; each
 * reads the configuration and adds its words. Shared by the cmd_*.c files only.
 *
 * Three lists grow and are joined in this order: `options` with the objects that devices refer to,
 * `front_devices` with the buses they sit on, `devices`.
 */
#ifndef GUEST_CORE_CMDBUILD_H
#define GUEST_CORE_CMDBUILD_H

#include "guest/core/cpu_models.h"
#include "guest/core/drive.h"
#include "guest/core/guestconf.h"
#include "guest/core/host_facts.h"
#include "guest/core/machine.h"
#include "guest/core/qemucmd.h"
#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>

/* Pluggable memory, in MiB: what is there at the start, then modules of growing size. */
#define CMD_MEMORY_STATIC_MIB 1024
#define CMD_DIMM_MIB          512
#define CMD_DIMMS_PER_SIZE    32 /* then the size doubles */
#define CMD_DIMM_SIZES        8

typedef struct CmdBuild {
    const GuestConf *conf;
    const HostFacts *host;
    const QemuCmdParams *params;

    Machine machine; /* resolved */
    Arch arch;       /* of the guest */
    bool template;   /* command for copying a template's disks: nothing else works */
    bool kvm;
    int windows; /* guestconf_windows */
    bool ovmf;
    GHashTable *boot; /* boot_order */

    GPtrArray *options;       /* char * */
    GPtrArray *devices;       /* char * */
    GPtrArray *front_devices; /* char *: what the others sit on */
    GPtrArray *machine_flags; /* char *: "hpet=off" */
    GPtrArray *rtc;           /* char * */
    GPtrArray *warnings;      /* char * */
    GPtrArray *passed;        /* QemuPci * */
    unsigned bridges;         /* bit k: something sits on pci.k */

    const CpuModel *cpu_model; /* NULL when a start gives -cpu with an unknown one */
    PropString *cpu_custom;    /* properties of the custom model, or NULL */

    const char *vga; /* display type; never NULL once display_choose ran */
    int qxl_heads;   /* 0: no QXL */
    bool vga_given;  /* the configuration names a display */
    bool hide_kvm;   /* the guest must not see that it runs on KVM */
    bool gpu_passed; /* a host's graphics card is the guest's display */
    bool igd_legacy; /* Intel graphics at the address its firmware insists on */
    bool usb_new;    /* all USB devices hang on one qemu-xhci */
    bool usb_ehci;   /* there is a USB 2 controller, "ehci" */
    bool needs_spice_port;
} CmdBuild;

/* ---- words (cmdbuild.c) */

/* One option with a formatted value. */
void cmd_option(CmdBuild *b, const char *option, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* One option without value. */
void cmd_flag(CmdBuild *b, const char *option);
/* One option among the devices; `-device` mostly. */
void cmd_device_option(CmdBuild *b, const char *option, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void cmd_device(CmdBuild *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A device that others sit on: chipset, bridges. */
void cmd_front_device(CmdBuild *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The device that must be there before any other one. */
void cmd_first_device(CmdBuild *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cmd_machine_flag(CmdBuild *b, const char *flag);
void cmd_warn(CmdBuild *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* `text` as part of an option's value: commas doubled. Caller frees. */
char *cmd_escape(const char *text);

/* Version of the virtual hardware, and of the QEMU that runs it. */
bool cmd_machine(const CmdBuild *b, int major, int minor, int revision);
bool cmd_qemu(const CmdBuild *b, int major, int minor);
bool cmd_is_q35(const CmdBuild *b);

/* ",bus=pci.1,addr=0x1d": where `id` sits. Marks the bridge as used. Caller frees. */
char *cmd_pci_addr(CmdBuild *b, const char *id);
char *cmd_pci_addr_at(CmdBuild *b, const char *name, int index);
/* The same without the leading comma and marking; for bridges. */
bool pci_slot(const char *id, int *ret_bus, int *ret_addr);

/* ",bootindex=N" or "". Caller frees. */
char *cmd_bootindex(const CmdBuild *b, const char *device);

/* ---- parts; each file says what it adds */

int cmd_audio(CmdBuild *b, Err *err) must_check;           /* cmd_misc.c */
int cmd_chipset(CmdBuild *b, Err *err) must_check;         /* cmd_chipset.c */
void cmd_bridges(CmdBuild *b);                             /* cmd_chipset.c */
int cmd_confidential(CmdBuild *b, Err *err) must_check;    /* cmd_confidential.c */
int cmd_cpu(CmdBuild *b, Err *err) must_check;             /* cmd_cpu.c */
int cmd_cpu_choose(CmdBuild *b, Err *err) must_check;      /* cmd_cpu.c: the model */
int cmd_smp(CmdBuild *b, Err *err) must_check;             /* cmd_cpu.c */
int cmd_disks(CmdBuild *b, Err *err) must_check;           /* cmd_disk.c */
int cmd_display_choose(CmdBuild *b, Err *err) must_check;  /* cmd_display.c */
int cmd_display(CmdBuild *b, Err *err) must_check;         /* cmd_display.c */
int cmd_spice(CmdBuild *b, Err *err) must_check;           /* cmd_display.c */
int cmd_firmware(CmdBuild *b, Err *err) must_check;        /* cmd_firmware.c */
int cmd_hostpci(CmdBuild *b, Err *err) must_check;         /* cmd_hostpci.c */
int cmd_memory(CmdBuild *b, Err *err) must_check;          /* cmd_memory.c */
int cmd_nets(CmdBuild *b, Err *err) must_check;            /* cmd_net.c */
int cmd_ports(CmdBuild *b, Err *err) must_check;           /* cmd_misc.c: serial, parallel */
void cmd_shared_memory(CmdBuild *b);                       /* cmd_misc.c: ivshmem, virtiofs */
int cmd_smbios(CmdBuild *b, Err *err) must_check;          /* cmd_misc.c */
void cmd_small_devices(CmdBuild *b);                       /* cmd_misc.c: agent, rng */
void cmd_balloon_watchdog(CmdBuild *b);                    /* cmd_misc.c */
int cmd_tpm(CmdBuild *b, Err *err) must_check;             /* cmd_misc.c */
void cmd_time(CmdBuild *b);                                /* cmd_misc.c */
int cmd_usb_controllers(CmdBuild *b, Err *err) must_check; /* cmd_usb.c */
int cmd_usb_devices(CmdBuild *b, Err *err) must_check;     /* cmd_usb.c */
int cmd_viommu(CmdBuild *b, Err *err) must_check;          /* cmd_chipset.c */

/* A property of the processor: of the option `cpu`, else of the custom model, else NULL. */
const char *cmd_cpu_prop(const CmdBuild *b, const char *key);

/* A directory of the host is given to the guest. */
bool cmd_has_virtiofs(const CmdBuild *b);

/* The firmware file that fits; used by cmd_firmware and cmd_confidential. */
bool cmd_has_snp(const CmdBuild *b);

#endif
