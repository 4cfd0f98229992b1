/* SPDX-License-Identifier: Apache-2.0 */
/* guest_size: how much of a host its configuration allows a guest. Pure. Reference: guest.md 11. */
#ifndef GUEST_CORE_GUEST_SIZE_H
#define GUEST_CORE_GUEST_SIZE_H

#include "guest/core/guestconf.h"

#include <stdint.h>

#define GUEST_MIB (INT64_C(1024) * 1024)

typedef struct GuestSize {
    int64_t cpus;   /* virtual processors at the start */
    int64_t memory; /* bytes */
    int64_t disk;   /* bytes of all disks that say their size; -1 when drives cannot be read */
} GuestSize;

/* Defaults where the configuration says nothing. */
GuestSize guest_size(const GuestConf *gc);

#endif
