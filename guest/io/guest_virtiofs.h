/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_virtiofs: directories of the host that a guest mounts (`virtiofsN`): a virtiofsd for each,
 * started before QEMU, which connects to it; it ends with QEMU. The programs of Debian 12 (of
 * QEMU's own) and of later ones are used, whichever is there. Main thread; blocks.
 */
#ifndef GUEST_IO_GUEST_VIRTIOFS_H
#define GUEST_IO_GUEST_VIRTIOFS_H

#include "guest/core/guestconf.h"
#include "guest/core/host_facts.h"
#include "lib/base/err.h"

/* -ENOTSUP without a program; -ENOENT, -ENODEV, -ENOTDIR for what mapping/directory.cfg does not
 * name for this node or is no directory here. */
int guest_virtiofs_check(const GuestConf *conf, const HostFacts *facts, Err *err) must_check;

/* Adds their processes (pid_t) to `pids`. */
int guest_virtiofs_start(const GuestConf *conf, const HostFacts *facts, GArray *pids, Err *err)
    must_check;

/* Ends those that no QEMU has connected to. */
void guest_virtiofs_give_up(const GuestConf *conf, const HostFacts *facts);

#endif
