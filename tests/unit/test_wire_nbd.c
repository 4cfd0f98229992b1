/* SPDX-License-Identifier: Apache-2.0 */
/* The first bytes of an NBD connection, written down from the protocol's text. */
#include "lib/wire/wire_nbd.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

static const uint8_t greeting[] = "NBDMAGICIHAVEOPT\x00\x03";
static const uint8_t starttls[] = "\x00\x00\x00\x03IHAVEOPT\x00\x00\x00\x05\x00\x00\x00\x00";
static const uint8_t ack[] =
    "\x00\x03\xe8\x89\x04\x55\x65\xa9\x00\x00\x00\x05\x00\x00\x00\x01\x00\x00\x00\x00";

static void golden_bytes(void)
{
    uint8_t out[WIRE_NBD_STARTTLS_SIZE];
    uint16_t flags = 0;

    g_assert_cmpint(wire_nbd_greeting_decode(greeting, WIRE_NBD_GREETING_SIZE, &flags), ==, 0);
    g_assert_cmpuint(flags, ==, 3);
    wire_nbd_greeting_encode(flags, out);
    g_assert_true(memcmp(out, greeting, WIRE_NBD_GREETING_SIZE) == 0);
    wire_nbd_starttls_encode(flags, out);
    g_assert_true(memcmp(out, starttls, WIRE_NBD_STARTTLS_SIZE) == 0);
    g_assert_cmpint(wire_nbd_starttls_reply_decode(ack, WIRE_NBD_REPLY_SIZE), ==, 0);
    g_assert_cmpint(wire_nbd_flags_check(starttls, WIRE_NBD_FLAGS_SIZE, flags), ==, 0);
    g_assert_cmpuint(wire_nbd_common(0xfffe), ==, WIRE_NBD_NO_ZEROES);
}

static void others_are_refused(void)
{
    uint8_t bytes[WIRE_NBD_REPLY_SIZE];
    uint16_t flags = 0;

    for (size_t size = 0; size < WIRE_NBD_GREETING_SIZE; size++) {
        g_assert_cmpint(wire_nbd_greeting_decode(greeting, size, &flags), ==, -EBADMSG);
    }
    for (size_t i = 0; i < 16; i++) {
        memcpy(bytes, greeting, WIRE_NBD_GREETING_SIZE);
        bytes[i] ^= 1;
        g_assert_cmpint(wire_nbd_greeting_decode(bytes, WIRE_NBD_GREETING_SIZE, &flags), ==,
                        -EBADMSG);
    }
    memcpy(bytes, greeting, WIRE_NBD_GREETING_SIZE);
    bytes[17] = WIRE_NBD_NO_ZEROES;
    g_assert_cmpint(wire_nbd_greeting_decode(bytes, WIRE_NBD_GREETING_SIZE, &flags), ==, -ENOTSUP);

    for (size_t size = 0; size < WIRE_NBD_REPLY_SIZE; size++) {
        g_assert_cmpint(wire_nbd_starttls_reply_decode(ack, size), ==, -EBADMSG);
    }
    memcpy(bytes, ack, WIRE_NBD_REPLY_SIZE);
    bytes[12] = 0x80; /* an error */
    g_assert_cmpint(wire_nbd_starttls_reply_decode(bytes, WIRE_NBD_REPLY_SIZE), ==, -EACCES);
    bytes[11] = 7; /* of another option */
    g_assert_cmpint(wire_nbd_starttls_reply_decode(bytes, WIRE_NBD_REPLY_SIZE), ==, -EBADMSG);
    g_assert_cmpint(wire_nbd_flags_check(starttls, 3, 3), ==, -EBADMSG);
    g_assert_cmpint(wire_nbd_flags_check(starttls, WIRE_NBD_FLAGS_SIZE, 1), ==, -EBADMSG);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire-nbd/golden-bytes", golden_bytes);
    g_test_add_func("/wire-nbd/others-are-refused", others_are_refused);
    return g_test_run();
}
