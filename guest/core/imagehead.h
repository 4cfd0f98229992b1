/* SPDX-License-Identifier: Apache-2.0 */
/*
 * imagehead: the first bytes of a qcow2 image: its size, and what else it wants to open. An image
 * from outside may name any file of the host as its backing or data file; who takes one in asks
 * here first (INV-7). Offsets are those of QEMU's docs/interop/qcow2.txt:
 *
 *      0  magic "QFI\xfb"         20  cluster_bits        60  nb_snapshots
 *      4  version 2 or 3          24  size                64  offset of the snapshots
 *      8  backing file offset     32  crypt_method        72  incompatible features (version 3)
 *     16  backing file size                              100  header length (version 3)
 *
 * All are big-endian. Pure; any thread.
 */
#ifndef GUEST_CORE_IMAGEHEAD_H
#define GUEST_CORE_IMAGEHEAD_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGEHEAD_SIZE        104  /* bytes that are looked at; version 2 has 72 */
#define IMAGEHEAD_BACKING_MAX 1023 /* QEMU's own limit */

typedef struct ImageHead {
    uint64_t size; /* what a guest sees */
    uint64_t backing_offset;
    uint32_t backing_size; /* bytes of the backing file's name, 0: none */
    uint32_t snapshots;
    uint64_t snapshots_offset; /* of their table; see qcowmap */
    unsigned cluster_bits;
    bool extended; /* entries of its tables are twice as long */
    bool data_file; /* its data is in another file */
    bool encrypted;
} ImageHead;

/* The first min(file, IMAGEHEAD_SIZE) bytes of a file. -EBADMSG when that is no qcow2 image. */
int imagehead_parse(const void *bytes, size_t len, ImageHead *ret, Err *err) must_check;

/* True when `bytes` begin like an image that is not raw (qcow2, vmdk, qed, vdi, vhdx, luks): such a
 * file must not be taken for raw by mistake. */
bool imagehead_is_formatted(const void *bytes, size_t len);

/* Adds up what a read of the backing file's name gave: "NAME" or NULL when it is no text. Caller
 * frees. */
char *imagehead_backing_name(const void *bytes, size_t len);

#endif
