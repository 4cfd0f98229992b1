/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nbd_disk: the data of an image as the guest sees it, read or written in order, whatever the
 * format: qemu-nbd serves the image on a private Unix socket, and we are its one client (NBD
 * protocol, simple replies). For streams, which qemu-img cannot make. Blocks; one thread.
 */
#ifndef GUEST_IO_NBD_DISK_H
#define GUEST_IO_NBD_DISK_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NBD_DISK_PIECE_MAX ((size_t)1024 * 1024) /* longest read or write */

typedef struct NbdDisk NbdDisk;

typedef struct NbdDiskOptions {
    const char *path;
    const char *format;
    const char *snapshot; /* internal one, read only; NULL: now */
    bool writable;
    bool in_use; /* a guest has it open; only with `snapshot`, which does not change */
} NbdDiskOptions;

/* Starts a qemu-nbd for the image and connects to it. Blocks; -ENOENT: no such image. */
int nbd_disk_open(const NbdDiskOptions *options, NbdDisk **ret, Err *err) must_check;
/* Ends the server as well; waits until the image is closed. */
void nbd_disk_close(NbdDisk *d);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NbdDisk, nbd_disk_close)

/* Bytes of the disk, and pieces of it; -errno when the server or the image fails. */
uint64_t nbd_disk_size(const NbdDisk *d);
int nbd_disk_read(NbdDisk *d, uint64_t offset, void *buf, size_t len, Err *err) must_check;
int nbd_disk_write(NbdDisk *d, uint64_t offset, const void *buf, size_t len, Err *err) must_check;
/* Zeroes, where the image has room for them without taking any. */
int nbd_disk_zero(NbdDisk *d, uint64_t offset, uint32_t len, Err *err) must_check;
/* Everything written is on the disk of the host. */
int nbd_disk_flush(NbdDisk *d, Err *err) must_check;

#endif
