/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_kvstore: payloads of the status group's NORMAL messages (docs/wire/kvstore.md; reference
 * pmxcfs chapter 11). The message header in front of them is wire_dfsm's, the entry in a LOG
 * message is wire_clog's. Pure. Decoded values borrow from the payload.
 */
#ifndef LIB_WIRE_WIRE_KVSTORE_H
#define LIB_WIRE_WIRE_KVSTORE_H

#include "lib/base/err.h"

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_KVSTORE_KEY_SIZE  256u   /* key field with its NUL */
#define WIRE_KVSTORE_VALUE_MAX 32768u /* bytes of a value */

/* Subtypes of NORMAL messages in the status group. */
typedef enum WireKvstoreSubtype {
    WIRE_KVSTORE_UPDATE = 1,
    WIRE_KVSTORE_UPDATE_COMPLETE = 2, /* never sent; logged and ignored when received */
    WIRE_KVSTORE_LOG = 3,
} WireKvstoreSubtype;

typedef struct WireKvstoreUpdate {
    const char *key;
    const void *value;
    size_t size; /* of the value; 0 removes the key */
} WireKvstoreUpdate;

/* -EBADMSG: shorter than the key field, no NUL in it, or a value longer than any node may set. */
int wire_kvstore_decode_update(const void *data, size_t size, WireKvstoreUpdate *ret) must_check;

/* The rest of the key field is zero (never what lay in memory). -EMSGSIZE: key or value too long.
 */
int wire_kvstore_encode_update(const WireKvstoreUpdate *u, GBytes **ret) must_check;

#endif
