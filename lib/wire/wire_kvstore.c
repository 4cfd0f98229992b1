/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UPDATE payload
 *    0 key, NUL terminated, in a field of 256 bytes; what follows the NUL means nothing
 *  256 value, the rest of the payload
 */
#include "lib/wire/wire_kvstore.h"

#include "lib/base/cursor.h"

#include <errno.h>
#include <string.h>

int wire_kvstore_decode_update(const void *data, size_t size, WireKvstoreUpdate *ret)
{
    Reader r = reader_init(data, size);
    WireKvstoreUpdate u = {0};

    u.key = reader_strfield(&r, WIRE_KVSTORE_KEY_SIZE);
    u.size = reader_left(&r);
    u.value = reader_bytes(&r, u.size);
    if (!reader_done(&r) || u.size > WIRE_KVSTORE_VALUE_MAX) {
        return -EBADMSG;
    }
    *ret = u;
    return 0;
}

int wire_kvstore_encode_update(const WireKvstoreUpdate *u, GBytes **ret)
{
    g_auto(Writer) w = {0};

    if (u->size > WIRE_KVSTORE_VALUE_MAX) {
        return -EMSGSIZE;
    }
    writer_init(&w, WIRE_KVSTORE_KEY_SIZE + WIRE_KVSTORE_VALUE_MAX);
    writer_strfield(&w, u->key, WIRE_KVSTORE_KEY_SIZE);
    writer_bytes(&w, u->value, u->size);
    if (!writer_ok(&w)) {
        return -EMSGSIZE;
    }
    *ret = writer_steal(&w);
    return 0;
}
