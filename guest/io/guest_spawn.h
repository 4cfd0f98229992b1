/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_spawn: runs the QEMU command of a guest until QEMU has daemonised, and what must be on this
 * host for it: files of volumes, bridges, KVM, variables of the firmware, TPM, huge pages, a SPICE
 * port. Main thread; blocks.
 */
#ifndef GUEST_IO_GUEST_SPAWN_H
#define GUEST_IO_GUEST_SPAWN_H

#include "guest/core/guestconf.h"
#include "guest/core/qemucmd.h"
#include "guest/io/guest_host.h"
#include "guest/io/guest_proc.h"
#include "guest/io/host_world.h"
#include "lib/base/err.h"

#include <glib.h>
#include <stdint.h>

typedef struct GuestSpawn {
    const GuestHost *host;
    const HostFacts *facts;
    const GuestConf *conf;
    const QemuCmd *cmd;
    uint32_t vmid;
    unsigned timeout_ms;
    const int *fds; /* inherited by QEMU */
    gsize n_fds;
    bool disks_in_use; /* by the QEMU of another node, until its guest is here */
    GArray *helpers;   /* pid_t: gets the programs that serve this QEMU alone */
} GuestSpawn;

/* Everything the command needs is there, and nothing has been changed: -ENOENT for a volume whose
 * file is missing, -ENODEV for a bridge, -ENOTSUP for KVM or a program. */
int guest_spawn_check(const GuestSpawn *s, Err *err) must_check;

/* Makes what must be there and runs QEMU. On success *ret holds its process; on failure nothing is
 * left and `err` has the first line QEMU wrote. */
int guest_spawn_run(const GuestSpawn *s, GuestProc *ret, Err *err) must_check;

/* A port for SPICE that is free now. -EADDRINUSE. */
int guest_spawn_spice_port(int *ret, Err *err) must_check;

#endif
