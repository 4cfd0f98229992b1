/* SPDX-License-Identifier: Apache-2.0 */
/*
 * corosync_key: the shared key of the messaging layer. Root only, never overwritten, never printed
 * (INV-8). Any thread. Reference: join chapter 3.
 */
#ifndef QUORUM_IO_COROSYNC_KEY_H
#define QUORUM_IO_COROSYNC_KEY_H

#include "lib/base/err.h"

#include <stdint.h>

#define COROSYNC_KEY_SIZE 256 /* bytes; corosync wants at least 128 */
#define COROSYNC_KEY_MIN  128
#define COROSYNC_KEY_MAX  4096

/* Fills `ret` from the kernel's random source. */
int corosync_key_make(uint8_t ret[COROSYNC_KEY_SIZE], Err *err) must_check;

/* Writes a key to a new file, mode 0400, synced. -EEXIST when the file exists. */
int corosync_key_write(const char *path, const void *key, size_t size, Err *err) must_check;

#endif
