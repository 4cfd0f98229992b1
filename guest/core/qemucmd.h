/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemucmd: from a guest's configuration and the facts of a host to the QEMU command that runs it
 * there. Nothing is opened, started or written; the same inputs give the same words.
 * Reference: guest.md sections 5 to 8.
 *
 * The command is for stock QEMU: no `-id`, no `+pveN` machine revisions, no `-loadstate`. The VMID
 * is found through the names of the pid file and the sockets.
 */
#ifndef GUEST_CORE_QEMUCMD_H
#define GUEST_CORE_QEMUCMD_H

#include "guest/core/guestconf.h"
#include "guest/core/host_facts.h"
#include "lib/base/err.h"
#include "lib/conf/vmconf.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* What is chosen at each start. All may be zero. */
typedef struct QemuCmdParams {
    uint32_t vmid;
    int spice_port;       /* 0: the first of the documented range */
    const char *machine;  /* use this type instead of the configured one (migration, snapshots) */
    const char *cpu;      /* use this -cpu instead of the configured one */
    bool paused;          /* start paused */
    const char *incoming; /* wait for a migration on this address */
} QemuCmdParams;

/* A device of the host that the command gives to the guest: what the host must do first. */
typedef struct QemuPci {
    int index;          /* of hostpciN */
    GPtrArray *devices; /* char *: full addresses; with `mdev` any of them will do */
    bool keep;          /* it keeps the driver it has */
    char *mdev;         /* type of the part of the device that is made, NULL: the device itself */
    char *uuid;         /* and the name it gets */
} QemuPci;

void qemupci_free(void *pci);

typedef struct QemuCmd {
    GPtrArray *argv;     /* char *, program first, no NULL at the end */
    GPtrArray *warnings; /* char * */
    GPtrArray *passed;   /* QemuPci * */
    char *machine_type;  /* as QEMU gets it */
    int machine_revision;
    bool needs_spice_port;
} QemuCmd;

void qemucmd_free(QemuCmd *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QemuCmd, qemucmd_free)

/* -EINVAL for what the configuration says wrong, -ENOTSUP for what this host cannot run, -ENOENT
 * and -ENODEV for storages, mappings and devices that are not there. The text starts with the key.
 */
int qemucmd_build(const VmSection *section,
                  const HostFacts *host,
                  const QemuCmdParams *params,
                  QemuCmd **ret,
                  Err *err) must_check;

/* Words as a shell would need them, one line; or with `pretty` one option a line. Caller frees. */
char *qemucmd_text(const QemuCmd *c, bool pretty);

/* Splits `args` into words as a shell does with quotes and backslashes, without any expansion.
 * char *, owned by the caller. -EINVAL for an open quote. */
int qemucmd_split(const char *args, GPtrArray **ret, Err *err) must_check;

#endif
