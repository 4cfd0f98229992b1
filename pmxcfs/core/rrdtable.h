/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rrdtable: the newest RRD value of each source in memory, and its dump (reference pmxcfs chapter
 * 13). Values are kept exactly as sent: only their way into files cuts and pads (rrdmap.h). Part of
 * Status, under its lock. Pure.
 */
#ifndef PMXCFS_CORE_RRDTABLE_H
#define PMXCFS_CORE_RRDTABLE_H

#include "lib/base/err.h"
#include "lib/base/timeval.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct RrdTable RrdTable;

RrdTable *rrdtable_new(void);
void rrdtable_free(RrdTable *t); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RrdTable, rrdtable_free)

/* Is this a value that may be stored: 1 to CFS_RRD_SIZE_MAX - 1 bytes, the last one NUL? */
bool rrdtable_value_ok(const void *value, size_t size);

/* Stores a checked value, which arrived at `now`. -ENOSPC: more sources than CFS_RRD_IDS_MAX. */
int rrdtable_set(RrdTable *t, const char *id, const char *value, MonoTime now) must_check;

/* Drops what was not refreshed for more than CFS_RRD_EXPIRE_SEC and appends lines `id:value`,
 * ascending by id. A dump is reused while nothing was stored since and it is younger than
 * CFS_RRD_DUMP_REUSE_MS. */
void rrdtable_format(RrdTable *t, MonoTime now, GString *out);

#endif
