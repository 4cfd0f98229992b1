/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sizetext: sizes as people write them (`32G`, `104858K`, `1.5T`) and bytes. Binary units only:
 * K M G T, and KiB MiB GiB TiB mean the same. Reference: guest.md section 4. Pure; any thread.
 */
#ifndef LIB_BASE_SIZETEXT_H
#define LIB_BASE_SIZETEXT_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdint.h>

/* Bytes of `text`. Fractions are rounded down to whole bytes. -EINVAL for anything that is not
 * digits with at most one point and at most one unit, -ERANGE beyond 2^63-1 bytes. */
int size_parse(const char *text, uint64_t *ret_bytes, Err *err) must_check;

/* The shortest exact text: the largest unit that divides `bytes`, else plain bytes. Caller frees.
 */
char *size_format(uint64_t bytes);

#endif
