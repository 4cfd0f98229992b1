/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as each payload of the configuration group: what decodes, encodes to bytes that decode
 * to the same values. */
#include "lib/wire/wire_dcdb.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void try_file(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) again = NULL;
    WireDcdbFile f, g;

    if (wire_dcdb_decode_file(data, size, &f) < 0) {
        return;
    }
    g_assert_cmpint(wire_dcdb_encode_file(&f, &again), ==, 0);
    g_assert_cmpint(
        wire_dcdb_decode_file(g_bytes_get_data(again, NULL), g_bytes_get_size(again), &g), ==, 0);
    g_assert_cmpstr(f.path, ==, g.path);
    g_assert_cmpstr(f.to, ==, g.to);
    g_assert_cmpmem(f.data, f.size, g.data, g.size);
    g_assert_true(f.offset == g.offset && f.truncate == g.truncate);
}

static void try_unlock(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) again = NULL;
    WireDcdbUnlock u;

    if (wire_dcdb_decode_unlock(data, size, &u) == 0) {
        again = wire_dcdb_encode_unlock(&u);
        g_assert_cmpuint(g_bytes_get_size(again), <=, size);
        g_assert_true(memcmp(g_bytes_get_data(again, NULL), data, g_bytes_get_size(again)) == 0);
    }
}

static void try_index(const uint8_t *data, size_t size)
{
    WireDcdbIndex x;
    uint64_t last = 0;
    unsigned sum = 0;

    if (wire_dcdb_decode_index(data, size, &x) < 0) {
        return;
    }
    for (uint32_t i = 0; i < x.n; i++) {
        uint64_t inode = wire_dcdb_index_inode(&x, i);

        g_assert_true(i == 0 || inode > last);
        last = inode;
        for (unsigned b = 0; b < WIRE_DCDB_CSUM_SIZE; b++) {
            sum += wire_dcdb_index_digest(&x, i)[b];
        }
    }
    g_assert_cmpuint(sum, <=, x.n * WIRE_DCDB_CSUM_SIZE * 255u);
}

static void try_update(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) again = NULL;
    WireDcdbUpdate u;

    if (wire_dcdb_decode_update(data, size, &u) == 0) {
        again = wire_dcdb_encode_update(&u);
        g_assert_cmpmem(g_bytes_get_data(again, NULL), g_bytes_get_size(again), data, size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_file(data, size);
    try_unlock(data, size);
    try_index(data, size);
    try_update(data, size);
    return 0;
}
