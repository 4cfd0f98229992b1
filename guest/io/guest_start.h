/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_start: from a guest's configuration to its QEMU. Everything that can be wrong is looked at
 * before anything is changed; when it fails later, no process and no file of the attempt is left.
 *
 * A guest is started by its owner only (INV-5): a cluster lock is taken and given back first, so
 * that all changes others have made before are seen here, then the configuration is read under its
 * local lock, which is held until QEMU runs. Reference: guest.md 6 and 9, migration.md 9. Main
 * thread; blocks.
 */
#ifndef GUEST_IO_GUEST_START_H
#define GUEST_IO_GUEST_START_H

#include "guest/io/guest_edit.h"
#include "guest/io/guest_host.h"
#include "guest/io/guest_work.h"
#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct GuestStartOptions {
    bool skiplock;
    bool paused;         /* leave it paused */
    unsigned timeout_ms; /* until QEMU must be up; 0: by the guest's size */
    const char *machine; /* instead of the configured one */
    const char *cpu;     /* the same for -cpu */
    /* Receive a running guest: it waits for a migration and stays paused. */
    const char *migrated_from; /* node that still owns the guest */
    const char *config;        /* file to read instead of the owner's */
    const int *fds;            /* descriptors that QEMU inherits */
    gsize n_fds;
    /* Continue from a saved RAM state: an open file at its start, or -1. */
    int state_fd;
    GuestWork *work; /* of a caller that has one already, or NULL; borrowed */
} GuestStartOptions;

#define GUEST_START_OPTIONS_INIT                                                                   \
    {                                                                                              \
        .state_fd = -1                                                                             \
    }

/* -EEXIST when it runs already; -ENOENT, -EBUSY, -EACCES as guest_edit_begin; -ENOTSUP and others
 * with the reason that QEMU gave. */
int guest_start(const GuestHost *h, uint32_t vmid, const GuestStartOptions *options, Err *err)
    must_check;

/* The same for a caller that already holds the configuration; it stays the caller's. */
int guest_start_locked(const GuestHost *h,
                       uint32_t vmid,
                       GuestEdit *edit,
                       const GuestStartOptions *options,
                       Err *err) must_check;

/* For guest_recover: a QEMU whose start was not completed goes, with all that it has got. One that
 * lets its guest run stays: its start was as good as done. */
int guest_start_take_back(const GuestHost *h, uint32_t vmid, Err *err) must_check;

/* Takes and gives back a cluster lock: afterwards this node has seen every change that was
 * acknowledged anywhere before the call. -EACCES without quorum. */
int guest_fence(const GuestHost *h, uint32_t vmid, Err *err) must_check;

#endif
