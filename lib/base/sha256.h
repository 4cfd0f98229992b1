/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sha256: SHA-256 of bytes and of little-endian numbers, as the formats define their digests.
 * Pure; one thread at a time per object. The only user of libcrypto in the pure rooms.
 */
#ifndef LIB_BASE_SHA256_H
#define LIB_BASE_SHA256_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32 /* bytes of a digest */

typedef struct Sha256 Sha256;

Sha256 *sha256_new(void); /* ready for the first byte */
void sha256_free(Sha256 *h);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Sha256, sha256_free)

/* Adds bytes, or a number as so many of them, little-endian. */
void sha256_bytes(Sha256 *h, const void *data, size_t n);
void sha256_u8(Sha256 *h, uint8_t v);
void sha256_le32(Sha256 *h, uint32_t v);
void sha256_le64(Sha256 *h, uint64_t v);

/* Gives the digest and makes the object ready for the next message. */
void sha256_finish(Sha256 *h, uint8_t ret[SHA256_SIZE]);

#endif
