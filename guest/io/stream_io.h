/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream_io: bytes of a volume's stream, whole pieces at a time, until the user gives up. For
 * volume_stream and volume_states. Main thread; blocks.
 */
#ifndef GUEST_IO_STREAM_IO_H
#define GUEST_IO_STREAM_IO_H

#include "guest/io/storage_set.h"
#include "lib/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_PIECE ((size_t)256 * 1024)
#define STREAM_HOLE  ((size_t)64 * 1024) /* zeroes of this length are left out */

/* The user does not want it any more. */
bool stream_is_cancelled(const StorageSet *set);
/* So much of it is done. */
void stream_tell(const StorageSet *set, uint64_t done, uint64_t total);
int stream_write(int fd, const void *data, size_t len, Err *err) must_check;
/* Up to `len` bytes, fewer only at the end. -ECANCELED. */
int stream_read(const StorageSet *set, int fd, void *buf, size_t len, size_t *ret, Err *err)
    must_check;
bool stream_is_zero(const uint8_t *buf, size_t n);

#endif
