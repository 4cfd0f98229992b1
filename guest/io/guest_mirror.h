/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_mirror: copies of disks while their guest runs, made by its QEMU: a job per disk that first
 * copies all and then every write to both sides. In the end the guest goes on with the copies, or
 * they are left as they are at one moment. Reference: guest.md section 14. Main thread; blocks.
 *
 *     guest_mirror_open; guest_mirror_add for each disk; guest_mirror_wait;
 *     guest_mirror_switch or guest_mirror_part; guest_mirror_close
 */
#ifndef GUEST_IO_GUEST_MIRROR_H
#define GUEST_IO_GUEST_MIRROR_H

#include "guest/io/guest_disks.h"
#include "guest/io/guest_store.h"
#include "guest/io/volume.h"
#include "lib/base/err.h"
#include "lib/port/qmp.h"

#include <stdint.h>

typedef struct GuestMirror GuestMirror;

/* Connects to the monitor of a running guest; errors of guest_qmp_open. */
int guest_mirror_open(GuestStore *s, uint32_t vmid, GuestMirror **ret, Err *err) must_check;

/* Ends what has not come to its end; the guest goes on with its own disks. */
void guest_mirror_close(GuestMirror *m);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestMirror, guest_mirror_close)

/* Makes the volume (guest_store_add) and begins. `section` is the guest of the disk, `to` as for
 * volume_copy. -ENOTSUP for what QEMU does not have open. */
int guest_mirror_add(GuestMirror *m,
                     const VmSection *section,
                     const GuestDisk *disk,
                     const VolumeCopy *to,
                     char **ret_volid,
                     Err *err) must_check;

/* Until all copies are equal to their disks; tells progress. -ECANCELED when the user ends it, -EIO
 * with QEMU's reason. */
int guest_mirror_wait(GuestMirror *m, Err *err) must_check;

/* The guest uses the copies from now on. */
int guest_mirror_switch(GuestMirror *m, Err *err) must_check;

/* The copies stay as they are now, all at one moment: file systems are frozen by the agent, or the
 * guest stands still for it. */
int guest_mirror_part(GuestMirror *m, bool agent, Err *err) must_check;

/* For guest_recover: ends the copy of a disk that a killed command has begun. `takes`: the
 * configuration names the copy already. Nothing to do is no error. */
int guest_mirror_recover(QmpClient *qmp, const char *key, bool takes, Err *err) must_check;

#endif
