/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_make: making a guest and changing it: `qm create` and `qm set`. Either all of a request is
 * done, or the file and the volumes are as before. Reference: guest.md sections 1, 3, 5 and 12.
 * Main thread; blocks.
 */
#ifndef GUEST_IO_GUEST_MAKE_H
#define GUEST_IO_GUEST_MAKE_H

#include "guest/core/guest_change.h"
#include "guest/io/guest_store.h"
#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* `options`: key -> value (char *), as typed. -EEXIST when the VMID is taken anywhere. */
int guest_create(GuestStore *s, uint32_t vmid, GHashTable *options, Err *err) must_check;

typedef struct GuestSet {
    GuestChange change; /* `running` is filled in here */
    const char *digest;
    bool skiplock;
} GuestSet;

/* Changes a configuration, and the running guest where that can be. Blocks. */
int guest_set(GuestStore *s, uint32_t vmid, GuestSet *set, Err *err) must_check;

/* Passwords become hashes, tags sorted, network cards get addresses, vmgenid `1` an id: `options`
 * as it is written down. */
int guest_normalise(GuestStore *s, GHashTable *options, Err *err) must_check;

#endif
