/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine: QEMU versions and machine types. A type is a family (`pc`, `q35`, `virt`) with or
 * without a version; a version may carry a revision, `+pveN`, which stock QEMU does not know but
 * which decides about details of the virtual hardware. Reference: guest.md sections 6 and 8. Pure.
 */
#ifndef GUEST_CORE_MACHINE_H
#define GUEST_CORE_MACHINE_H

#include "lib/base/err.h"
#include "lib/base/strtab.h"

#include <stdbool.h>

typedef enum MachineFamily {
    MACHINE_I440FX,
    MACHINE_Q35,
    MACHINE_VIRT,
} MachineFamily;

typedef struct QemuVersion {
    int major;
    int minor;
    int micro;
} QemuVersion;

typedef struct Machine {
    MachineFamily family;
    bool pinned; /* the type names a version */
    int major;   /* 0 unless pinned or resolved */
    int minor;
    int revision; /* the N of +pveN */
    bool old_pxe; /* the type ends in .pxe: network cards get the boot ROMs of old releases */
} Machine;

#define ARCH_LIST(X)                                                                               \
    X(ARCH_X86_64, "x86_64")                                                                       \
    X(ARCH_AARCH64, "aarch64")
typedef enum Arch { ARCH_LIST(STRTAB_ENUM) ARCH_N } Arch;
STRTAB_DECLARE(arch, Arch);

/* "7.2.22" or "7.2". -EINVAL. */
int qemu_version_parse(const char *text, QemuVersion *ret, Err *err) must_check;
bool qemu_version_at_least(const QemuVersion *v, int major, int minor);

/* The oldest QEMU that is supported. */
#define QEMU_MAJOR_MIN 6
#define QEMU_MINOR_MIN 0

/* "pc", "q35", "virt", "pc-i440fx-7.2", "pc-q35-9.2+pve1", "virt-7.2", "pc-q35-5.1.pxe". -EINVAL.
 */
int machine_parse(const char *text, Machine *ret, Err *err) must_check;

/* Gives an unpinned type the version it runs with on `qemu`: the newest, or for Windows guests
 * (`windows`), which notice changed hardware, the one that all releases have. Refuses what `qemu`
 * cannot run: -ENOTSUP, where `node` says whose QEMU it is. */
int machine_resolve(Machine *m, const QemuVersion *qemu, bool windows, const char *node, Err *err)
    must_check;

/* The resolved version is this one or newer. `revision` counts only where major.minor is equal. */
bool machine_at_least(const Machine *m, int major, int minor, int revision);

/* The type that stock QEMU knows: "pc-i440fx-7.2". `m` must be resolved. Caller frees. */
char *machine_type_text(const Machine *m);

#endif
