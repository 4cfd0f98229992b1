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

/* Writes `path.tmp.PID` (must not exist), syncs, renames over `path`. On failure nothing is left.
 */
int cfsfile_write(const char *path, const void *data, gsize size, Err *err) must_check;

#endif
