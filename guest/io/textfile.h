/* SPDX-License-Identifier: Apache-2.0 */
/* textfile: reads whole small files with a bound. Any thread. */
#ifndef GUEST_IO_TEXTFILE_H
#define GUEST_IO_TEXTFILE_H

#include "lib/base/err.h"

#include <stddef.h>

/* All bytes of a regular file of at most `max` bytes, with a NUL behind them that does not count.
 * -ENOENT and other errno of the system, -EFBIG, -EINVAL when it is no regular file; the text names
 * the path. The caller frees *ret. */
int textfile_read(const char *path, size_t max, char **ret, size_t *ret_len, Err *err) must_check;

#endif
