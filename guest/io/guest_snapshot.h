/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_snapshot: points of a guest's life to which it can go back: all disks at one moment, with
 * or without its memory. Reference: guest.md section 13. What fails leaves the guest as it was;
 * only a crash of this very program in the middle leaves a `lock:` word and a section with
 * `snapstate`, which the next command takes back (guest_recover). Main thread; blocks.
 */
#ifndef GUEST_IO_GUEST_SNAPSHOT_H
#define GUEST_IO_GUEST_SNAPSHOT_H

#include "guest/io/guest_host.h"
#include "guest/io/guest_work.h"
#include "lib/base/err.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct GuestSnapshotOptions {
    const char *name;
    const char *description; /* may be NULL */
    bool memory;             /* with the memory of a running guest */
} GuestSnapshotOptions;

/* -EEXIST, -EINVAL (name), -EPERM (template), -EBUSY (`lock:`), -ENOTSUP naming the disk that has
 * no snapshots, errors of QEMU and of the storage. */
int guest_snapshot_take(const GuestHost *h,
                        uint32_t vmid,
                        const GuestSnapshotOptions *options,
                        Err *err) must_check;

/* `force`: the section goes even when a disk cannot be cleaned. */
int guest_snapshot_remove(const GuestHost *h, uint32_t vmid, const char *name, bool force, Err *err)
    must_check;

/* For guest_recover: a snapshot that was being made or removed (`word` of the lock) goes. */
int guest_snapshot_take_back(
    const GuestHost *h, uint32_t vmid, GuestWork *work, const char *word, Err *err) must_check;

/* Stops the guest, takes its disks and configuration back, and, when the snapshot has memory or
 * `start`, starts it. One that was interrupted is simply begun again. */
int guest_snapshot_rollback(
    const GuestHost *h, uint32_t vmid, const char *name, bool start, Err *err) must_check;

#endif
