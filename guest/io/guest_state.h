/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_state: the memory and devices of a stopped guest, written to a volume and read again: for
 * suspending to disk and for snapshots with memory. QEMU gets the open file itself, no program runs
 * in between. Reference: guest.md section 13, migration.md B10. Main thread; blocks.
 */
#ifndef GUEST_IO_GUEST_STATE_H
#define GUEST_IO_GUEST_STATE_H

#include "guest/core/guestconf.h"
#include "guest/io/guest_host.h"
#include "guest/io/guest_proc.h"
#include "guest/io/storage_set.h"
#include "lib/base/err.h"
#include "lib/conf/vmconf.h"
#include "lib/port/qmp.h"

#include <stdint.h>

/* A new volume "vm-VMID-state-NAME", large enough, on `storage` (NULL: where the configuration or
 * the first disk says). The caller owns *ret_volid. */
int guest_state_alloc(const StorageSet *set,
                      const GuestConf *conf,
                      const char *storage,
                      const char *name,
                      char **ret_volid,
                      Err *err) must_check;

/* What the running QEMU was started with, into `section`: runningmachine and runningcpu. */
int guest_state_note(const GuestProc *proc, QmpClient *qmp, VmSection *section, Err *err)
    must_check;

/* Writes the state of a guest that has been stopped (QMP `stop`) and syncs it. On failure QEMU is
 * as before and can go on. -EIO with QEMU's reason, -ENOSPC. */
int guest_state_save(const GuestHost *h,
                     const StorageSet *set,
                     QmpClient *qmp,
                     const char *volid,
                     Err *err) must_check;

/* Opens it for reading: a descriptor of the caller's, or -errno. */
int guest_state_open(const StorageSet *set, const char *volid, Err *err) must_check;

#endif
