/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blockdev: how QEMU is told about the data of one disk: as a tree of nodes (-blockdev, JSON) or in
 * the older one-line form (-drive). Both say the same; which one is used is decided by the machine
 * version and by what only one of them can express. Pure.
 */
#ifndef GUEST_CORE_BLOCKDEV_H
#define GUEST_CORE_BLOCKDEV_H

#include "guest/core/drive.h"
#include "guest/core/storage_path.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct DiskOptions {
    const char *drive; /* "scsi0" */
    bool cdrom;
    bool read_only;
    bool direct;               /* past the host's page cache */
    bool no_flush;             /* the guest's flushes mean nothing */
    bool write_through;        /* every write is flushed */
    const char *aio;           /* NULL for sources that are no files */
    const char *discard;       /* "unmap", "ignore"; NULL: not said */
    const char *detect_zeroes; /* "on", "off", "unmap"; NULL: not said */
    int64_t size;              /* bytes to show of a raw image, 0: all */
    bool throttle;             /* a throttle filter on top */
    bool overlay;              /* writes go to a temporary file */
    bool flash;                /* firmware flash: many small writes, RBD must cache them */
} DiskOptions;

/* Value of -blockdev: the top node is called "drive-NAME" and filters through the throttle group
 * "throttle-drive-NAME". Caller frees. */
char *blockdev_json(const VolumeSource *source, const DiskOptions *o);

/* Value of -object for the throttle group. Caller frees. */
char *blockdev_throttle_group(const char *drive, const GArray *limits);

/* Value of -drive, without `if`: "file=...,id=drive-NAME,...". `source` NULL is an empty drive.
 * Caller frees. */
char *blockdev_drive(const VolumeSource *source, const DiskOptions *o, const GArray *limits);

/* The source can only be told in the -drive form: the snapshots below an image are found by QEMU
 * itself, and only there can a key file be named. */
bool blockdev_needs_drive(const VolumeSource *source, const DiskOptions *o);

#endif
