/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rawhead: the first block of raw images. QEMU learns from a read at the start of a file how direct
 * I/O must be aligned; in a hole every read succeeds, so it takes 4 KiB, and then opens no file for
 * writing whose size is no multiple of them. qemu-img leaves no hole there; sparse copies, mirrors
 * and guests that discard do. Blocks; any thread.
 */
#ifndef GUEST_IO_RAWHEAD_H
#define GUEST_IO_RAWHEAD_H

#include "guest/core/guestconf.h"
#include "guest/core/host_facts.h"
#include "lib/base/err.h"

/* Sizes that are chosen freely are multiples of this, and need none of what follows. */
#define RAWHEAD_ALIGN 4096u

/* Fills a hole at the start of the file, where it matters, with the zeroes that it reads as. Nobody
 * may have the file open for writing. */
int rawhead_fill(const char *path, Err *err) must_check;

/* The same for drive `key` of a guest (NULL: for all) that is a raw file and will be written to. */
int rawhead_fill_drives(const GuestConf *conf, const HostFacts *facts, const char *key, Err *err)
    must_check;

#endif
