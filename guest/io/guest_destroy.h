/* SPDX-License-Identifier: Apache-2.0 */
/* guest_destroy: the end of a guest: its volumes, its file, and what refers to it. Main thread. */
#ifndef GUEST_IO_GUEST_DESTROY_H
#define GUEST_IO_GUEST_DESTROY_H

#include "guest/io/guest_store.h"
#include "lib/base/err.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct GuestDestroy {
    bool skiplock;
    bool purge;        /* also from HA, backup and replication jobs */
    bool unreferenced; /* also volumes with its number that its configuration does not name */
} GuestDestroy;

/* -EBUSY while it runs, is managed by HA (without purge) or has linked clones; -EPERM when it is
 * protected. On failure the file stays, and the call can be repeated. */
int guest_destroy(GuestStore *s, uint32_t vmid, const GuestDestroy *how, Err *err) must_check;

#endif
