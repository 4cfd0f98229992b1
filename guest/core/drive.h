/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drive: the disks and CD drives of a guest, in the order in which QEMU gets them, and their
 * limits. Reference: guest.md section 5. Pure.
 */
#ifndef GUEST_CORE_DRIVE_H
#define GUEST_CORE_DRIVE_H

#include "guest/core/guestconf.h"
#include "guest/core/volid.h"
#include "lib/base/err.h"
#include "lib/base/strtab.h"
#include "lib/conf/propstring.h"

#include <glib.h>
#include <stdbool.h>

/* In the order of the command line. */
#define DRIVE_BUS_LIST(X)                                                                          \
    X(DRIVE_IDE, "ide")                                                                            \
    X(DRIVE_SCSI, "scsi")                                                                          \
    X(DRIVE_VIRTIO, "virtio")                                                                      \
    X(DRIVE_SATA, "sata")                                                                          \
    X(DRIVE_EFIDISK, "efidisk")                                                                    \
    X(DRIVE_TPMSTATE, "tpmstate")
typedef enum DriveBus { DRIVE_BUS_LIST(STRTAB_ENUM) DRIVE_BUS_N } DriveBus;
STRTAB_DECLARE(drive_bus, DriveBus);

typedef struct Drive {
    DriveBus bus;
    int index;
    char name[16];           /* "scsi0" */
    const PropString *props; /* borrowed from the guestconf */
    Volid volid;             /* borrows from `props` */
    bool cdrom;              /* shown to the guest as CD drive */
    bool cloudinit;          /* holds the generated cloud-init data */
} Drive;

/* All drives, or those whose `bus` is a disk the guest sees (`disks_only`). Drive *, owned by the
 * caller. -EINVAL names the drive and the rule. */
int drives_list(const GuestConf *gc, bool disks_only, GPtrArray **ret, Err *err) must_check;

/* One limit on I/O; `value` is what QEMU takes (bytes or requests per second, or seconds). */
typedef struct DriveLimit {
    const char *name; /* QEMU's word: "bps-total", "iops-read-max-length" */
    int64_t value;
} DriveLimit;

/* The limits of a drive, DriveLimit elements. The caller owns the array. */
GArray *drive_limits(const Drive *d);

/* Limits in bytes (bps, bps_rd, bps_wr) become those in MB/s, which the file keeps. -EINVAL when
 * both are given. */
int drive_limits_to_mbps(PropString *props, Err *err) must_check;

/* A URL-encoded text (serial, model) as it is meant; -EINVAL when that is not printable. */
int drive_decode_text(const char *text, char **ret, Err *err) must_check;

/* What the guest boots from: device name -> GINT_TO_POINTER(bootindex). The caller owns it. */
int boot_order(const GuestConf *gc, GHashTable **ret, Err *err) must_check;

#endif
