/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_nbd: the first bytes of an NBD connection ("newstyle, fixed"), as far as somebody needs them
 * who puts TLS around it: the server's greeting, the client's flags with the request for TLS, and
 * the answer to that. What follows is passed through unread. Big-endian. Pure; any thread.
 * Format: the NBD protocol, doc/proto.md of the NetworkBlockDevice project.
 */
#ifndef LIB_WIRE_WIRE_NBD_H
#define LIB_WIRE_WIRE_NBD_H

#include "lib/base/err.h"

#include <stddef.h>
#include <stdint.h>

#define WIRE_NBD_GREETING_SIZE 18u
#define WIRE_NBD_FLAGS_SIZE    4u
#define WIRE_NBD_STARTTLS_SIZE (WIRE_NBD_FLAGS_SIZE + 16u)
#define WIRE_NBD_REPLY_SIZE    20u

/* Flags of the greeting that a client may repeat; it has to repeat the first. */
#define WIRE_NBD_FIXED_NEWSTYLE 1u
#define WIRE_NBD_NO_ZEROES      2u

/* Exactly WIRE_NBD_GREETING_SIZE bytes. -EBADMSG: no NBD server; -ENOTSUP: one of an older kind. */
int wire_nbd_greeting_decode(const void *data, size_t size, uint16_t *ret_flags) must_check;
void wire_nbd_greeting_encode(uint16_t flags, uint8_t ret[WIRE_NBD_GREETING_SIZE]);

/* What a client says next: its flags, and that it wants TLS. */
void wire_nbd_starttls_encode(uint16_t flags, uint8_t ret[WIRE_NBD_STARTTLS_SIZE]);

/* Exactly WIRE_NBD_REPLY_SIZE bytes. 0: TLS begins; -EACCES: the server refuses it; -EBADMSG. */
int wire_nbd_starttls_reply_decode(const void *data, size_t size) must_check;

/* A client's flags: exactly WIRE_NBD_FLAGS_SIZE bytes. -EBADMSG when they are not `flags`. */
int wire_nbd_flags_check(const void *data, size_t size, uint16_t flags) must_check;

/* Those that a client repeats of a greeting. */
uint16_t wire_nbd_common(uint16_t flags);

#endif
