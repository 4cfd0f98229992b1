/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: status updates have the bytes of the deployed peers, with zeroes where those send whatever
 * lay in memory, and malformed ones are refused.
 * Method: every captured update is decoded and encoded again; truncations and flips.
 */
#include "lib/wire/wire_kvstore.h"
#include "tests/unit/testdata.h"

#include <errno.h>
#include <string.h>

#define NORMAL_HEADER 24 /* bytes of the message header before the payload */

typedef struct Golden {
    const char *file;
    const char *key;
    const char *value;
    size_t size;
} Golden;

static const Golden golden[] = {
    {"wire-kvstore-normal-update-1.hex", "nodeip", "10.99.0.12", 11},
    {"wire-kvstore-normal-update-2.hex", "nodeip", "10.99.0.11", 11},
    {"wire-kvstore-normal-update-3.hex", "kv/foo", "bar", 4},
    {"wire-kvstore-normal-update-4.hex", "tasklist", "[]", 3},
    {"wire-kvstore-normal-update-5.hex", "rrd/pve-node-9.0/n1", "1:2:3:4", 8},
    {"wire-kvstore-normal-update-6.hex", "kv/foo", "", 0},
    {"wire-kvstore-normal-update-7.hex", "kv/bar", "baz", 4},
};

static void captured_updates(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(golden); i++) {
        g_autoptr(GBytes) message = testdata_sample(golden[i].file);
        g_autoptr(GBytes) again = NULL;
        WireKvstoreUpdate u;
        const uint8_t *data;
        gsize size;

        if (message == NULL) {
            return;
        }
        data = g_bytes_get_data(message, &size);
        data += NORMAL_HEADER;
        size -= NORMAL_HEADER;
        g_assert_cmpint(wire_kvstore_decode_update(data, size, &u), ==, 0);
        g_assert_cmpstr(u.key, ==, golden[i].key);
        g_assert_cmpmem(u.value, u.size, golden[i].value, golden[i].size);
        g_assert_cmpint(wire_kvstore_encode_update(&u, &again), ==, 0);
        g_assert_cmpmem(data, size, g_bytes_get_data(again, NULL), g_bytes_get_size(again));
    }
}

static void truncations(void)
{
    const WireKvstoreUpdate u = {.key = "k", .value = "v", .size = 1};
    g_autoptr(GBytes) bytes = NULL;

    g_assert_cmpint(wire_kvstore_encode_update(&u, &bytes), ==, 0);
    g_assert_cmpuint(g_bytes_get_size(bytes), ==, 257);
    for (gsize n = 0; n < 257; n++) {
        g_autofree uint8_t *copy = g_memdup2(g_bytes_get_data(bytes, NULL), n);
        WireKvstoreUpdate got;

        g_assert_cmpint(wire_kvstore_decode_update(copy, n, &got), ==, n < 256 ? -EBADMSG : 0);
    }
}

static void flips(void)
{
    const WireKvstoreUpdate u = {.key = "key", .value = "value", .size = 5};
    g_autoptr(GBytes) bytes = NULL;
    gsize size;

    g_assert_cmpint(wire_kvstore_encode_update(&u, &bytes), ==, 0);
    size = g_bytes_get_size(bytes);
    for (gsize i = 0; i < size; i++) {
        g_autofree uint8_t *copy = g_memdup2(g_bytes_get_data(bytes, NULL), size);
        WireKvstoreUpdate got;

        copy[i] = 0xa5;
        g_assert_cmpint(wire_kvstore_decode_update(copy, size, &got), ==, 0);
        g_assert_cmpuint(strlen(got.key), <, WIRE_KVSTORE_KEY_SIZE);
        if (i > 3 && i < WIRE_KVSTORE_KEY_SIZE) {
            g_assert_cmpstr(got.key, ==, "key"); /* bytes behind the NUL mean nothing */
        }
    }
}

static void key_without_nul(void)
{
    g_autofree uint8_t *payload = g_malloc(300);
    WireKvstoreUpdate u;

    memset(payload, 'x', 300);
    g_assert_cmpint(wire_kvstore_decode_update(payload, 300, &u), ==, -EBADMSG);
    payload[256] = '\0'; /* too late */
    g_assert_cmpint(wire_kvstore_decode_update(payload, 300, &u), ==, -EBADMSG);
    payload[255] = '\0';
    g_assert_cmpint(wire_kvstore_decode_update(payload, 300, &u), ==, 0);
    g_assert_cmpuint(strlen(u.key), ==, 255);
}

static void limits(void)
{
    g_autofree char *key = g_strnfill(256, 'k');
    g_autofree uint8_t *value = g_malloc0(WIRE_KVSTORE_VALUE_MAX + 257);
    WireKvstoreUpdate u = {.key = key, .value = value, .size = 0};
    WireKvstoreUpdate got;
    GBytes *bytes = NULL;

    g_assert_cmpint(wire_kvstore_encode_update(&u, &bytes), ==, -EMSGSIZE);
    key[255] = '\0';
    u.size = WIRE_KVSTORE_VALUE_MAX + 1;
    g_assert_cmpint(wire_kvstore_encode_update(&u, &bytes), ==, -EMSGSIZE);
    u.size = WIRE_KVSTORE_VALUE_MAX;
    g_assert_cmpint(wire_kvstore_encode_update(&u, &bytes), ==, 0);
    g_assert_cmpint(
        wire_kvstore_decode_update(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), &got),
        ==, 0);
    g_bytes_unref(bytes);
    g_assert_cmpint(wire_kvstore_decode_update(value, WIRE_KVSTORE_VALUE_MAX + 257, &got), ==,
                    -EBADMSG);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire_kvstore/update/captured-messages", captured_updates);
    g_test_add_func("/wire_kvstore/update/every-truncation-of-the-key-field-is-refused",
                    truncations);
    g_test_add_func("/wire_kvstore/update/every-byte-flip-is-safe", flips);
    g_test_add_func("/wire_kvstore/update/key-without-nul-is-refused", key_without_nul);
    g_test_add_func("/wire_kvstore/update/limits", limits);
    return g_test_run();
}
