/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volname: what new volumes are called: `vm-VMID-disk-N` with the lowest free N, `base-...` for
 * templates, `vm-VMID-cloudinit`, `vm-VMID-state-SNAPSHOT`. Reference: guest.md sections 5, 13, 21.
 * Pure; any thread.
 */
#ifndef GUEST_CORE_VOLNAME_H
#define GUEST_CORE_VOLNAME_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define VOLNAME_MAX_PER_GUEST 1024 /* volumes of one guest on one storage */
#define VOLNAME_LEAF_MAX      200  /* bytes of a name; file systems end at 255 */

/* The lowest N for which neither vm- nor base-VMID-disk-N is among `names` (char *, with or without
 * suffix); -ENOSPC. */
int volname_next(const GPtrArray *names, uint32_t vmid, unsigned *ret, Err *err) must_check;

/* A name somebody asks for: "vm-VMID-REST" or "base-VMID-REST" without folder, `.` suffix being the
 * caller's matter. -EINVAL. */
int volname_check(const char *name, uint32_t vmid, Err *err) must_check;

/* "vm-100-disk-0.raw" -> "base-100-disk-0.raw" and back. NULL for other names. Caller frees. */
char *volname_to_base(const char *name);

#endif
