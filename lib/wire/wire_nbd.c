/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/wire_nbd.h"

#include "lib/base/cursor.h"

#include <errno.h>
#include <string.h>

#define OPTION_STARTTLS 5u
#define REPLY_ACK       1u

static const uint8_t magic[8] = "NBDMAGIC";
static const uint8_t option_magic[8] = "IHAVEOPT";
static const uint8_t reply_magic[8] = {0x00, 0x03, 0xe8, 0x89, 0x04, 0x55, 0x65, 0xa9};

static bool read_magic(Reader *r, const uint8_t expect[8])
{
    const uint8_t *found = reader_bytes(r, 8);

    return found != NULL && memcmp(found, expect, 8) == 0;
}

/* The macros may look at their argument twice. */
static uint16_t read_be16(Reader *r)
{
    uint16_t v = reader_le16(r);

    return GUINT16_SWAP_LE_BE(v);
}

static uint32_t read_be32(Reader *r)
{
    uint32_t v = reader_le32(r);

    return GUINT32_SWAP_LE_BE(v);
}

static void put_be32(uint8_t *at, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(v >> (24 - 8 * i));
    }
}

uint16_t wire_nbd_common(uint16_t flags)
{
    return flags & (WIRE_NBD_FIXED_NEWSTYLE | WIRE_NBD_NO_ZEROES);
}

int wire_nbd_greeting_decode(const void *data, size_t size, uint16_t *ret_flags)
{
    Reader r = reader_init(data, size);
    bool known = read_magic(&r, magic) && read_magic(&r, option_magic);
    uint16_t flags = read_be16(&r);

    if (!known || !reader_done(&r)) {
        return -EBADMSG;
    }
    *ret_flags = flags;
    return (flags & WIRE_NBD_FIXED_NEWSTYLE) != 0 ? 0 : -ENOTSUP;
}

void wire_nbd_greeting_encode(uint16_t flags, uint8_t ret[WIRE_NBD_GREETING_SIZE])
{
    memcpy(ret, magic, 8);
    memcpy(ret + 8, option_magic, 8);
    ret[16] = (uint8_t)(flags >> 8);
    ret[17] = (uint8_t)flags;
}

void wire_nbd_starttls_encode(uint16_t flags, uint8_t ret[WIRE_NBD_STARTTLS_SIZE])
{
    put_be32(ret, wire_nbd_common(flags));
    memcpy(ret + 4, option_magic, 8);
    put_be32(ret + 12, OPTION_STARTTLS);
    put_be32(ret + 16, 0); /* no data */
}

int wire_nbd_starttls_reply_decode(const void *data, size_t size)
{
    Reader r = reader_init(data, size);
    bool known = read_magic(&r, reply_magic);
    uint32_t option = read_be32(&r);
    uint32_t type = read_be32(&r);

    reader_skip(&r, 4); /* of a refusal: the length of its text */
    if (!known || !reader_done(&r) || option != OPTION_STARTTLS) {
        return -EBADMSG;
    }
    return type == REPLY_ACK ? 0 : -EACCES;
}

int wire_nbd_flags_check(const void *data, size_t size, uint16_t flags)
{
    Reader r = reader_init(data, size);
    uint32_t found = read_be32(&r);

    return reader_done(&r) && found == wire_nbd_common(flags) ? 0 : -EBADMSG;
}
