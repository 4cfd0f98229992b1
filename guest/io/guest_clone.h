/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_clone: a guest becomes two, or becomes a template of others: `qm clone`, `qm template`.
 * Reference: guest.md section 14. Main thread; blocks.
 */
#ifndef GUEST_IO_GUEST_CLONE_H
#define GUEST_IO_GUEST_CLONE_H

#include "guest/io/guest_store.h"
#include "lib/base/err.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct GuestClone {
    uint32_t newid;
    bool full;        /* copy all data; without it: linked to a template */
    bool linked;      /* asked for by name: an error when that cannot be */
    const char *name; /* NULL: "Copy-of-..." */
    const char *description;
    const char *snapname; /* as it was then; NULL: as it is */
    const char *storage;  /* for full copies; NULL: where the disks are */
    const char *format;   /* for full copies; NULL: as they are */
    const char *target;   /* node that gets it; NULL: this one */
} GuestClone;

/* The new guest is there in the end, or nothing of it. */
int guest_clone(GuestStore *s, uint32_t vmid, const GuestClone *how, Err *err) must_check;

/* `disk` NULL: all of them. Can be repeated after an interruption. */
int guest_template(GuestStore *s, uint32_t vmid, const char *disk, Err *err) must_check;

#endif
