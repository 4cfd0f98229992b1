/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cfsfile: whole files of the mounted tree (or of any directory): read with a bound, written so
 * that a reader sees the old or the new content (new name, then rename; reference pmxcfs 15.4). Any
 * thread; blocks.
 */
#ifndef LIB_CFS_CFSFILE_H
#define LIB_CFS_CFSFILE_H

#include "lib/base/err.h"

#include <glib.h>

/* 0 and the content with a NUL behind it (not counted); -ENOENT without text in `err` being
 * alarming: a missing file is often fine. -EFBIG above `max` bytes. */
int cfsfile_read(const char *path, gsize max, char **ret, gsize *ret_size, Err *err) must_check;

/* Writes `path.tmp.HOST.THREAD`, syncs, renames over `path`. On failure that file is removed; where
 * even this is refused (no quorum any more), by the next write of this thread to `path`. */
int cfsfile_write(const char *path, const void *data, gsize size, Err *err) must_check;

/* The name that cfsfile_write() of this thread uses before it renames; no other thread of any node
 * does. Caller frees. */
char *cfsfile_temp_path(const char *path);

#endif
