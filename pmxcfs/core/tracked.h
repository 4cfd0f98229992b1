/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tracked: change counters of the files that clients cache, as shown in `.version`.
 * Pure, one owner. Reference: pmxcfs chapter 7.2.
 */
#ifndef PMXCFS_CORE_TRACKED_H
#define PMXCFS_CORE_TRACKED_H

#include <glib.h>
#include <stdint.h>

#define TRACKED_N 43

/* The paths, in the order in which they are shown. */
extern const char *const tracked_paths[TRACKED_N];

typedef struct Tracked {
    uint32_t count[TRACKED_N]; /* wraps */
} Tracked;

/* Place of a canonical path in the list, -1 when it is not tracked. */
int tracked_find(const char *path);

void tracked_bump(Tracked *t, const char *path); /* nothing when not tracked */
void tracked_bump_all(Tracked *t);

/* One line `"path": n,\n` for each path. */
void tracked_format(const Tracked *t, GString *out);

#endif
