/* SPDX-License-Identifier: Apache-2.0 */
/* textfile: reads whole small files with a bound, and tells the kernel by such files. Any thread.
 */
#ifndef GUEST_IO_TEXTFILE_H
#define GUEST_IO_TEXTFILE_H

#include "lib/base/err.h"

#include <stddef.h>

/* All bytes of a regular file of at most `max` bytes, with a NUL behind them that does not count.
 * -ENOENT and other errno of the system, -EFBIG, -EINVAL when it is no regular file; the text names
 * the path. The caller frees *ret. */
int textfile_read(const char *path, size_t max, char **ret, size_t *ret_len, Err *err) must_check;

/* Writes `text` in one piece into a file of the kernel (of sysfs or a control group) that is there
 * already; the write has the kernel's answer. Errno of the system; the text names the path. */
int textfile_tell(const char *path, const char *text, Err *err) must_check;

#endif
