/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a message of a migration agent: what is taken can be sent again. */
#include "lib/wire/wire_migration.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_auto(WireMig) m = {0};
    Err err = ERR_INIT;
    int64_t whole = wire_mig_size(data, size, &err);

    if (whole < 0 || wire_mig_decode(data, size, &m, &err) < 0) {
        return 0;
    }
    g_assert_cmpint(whole, ==, (int64_t)size);
    if (m.type == WIRE_MIG_DATA) {
        g_assert_cmpuint(g_bytes_get_size(m.data), ==, size - WIRE_MIG_HEADER_SIZE);
    } else {
        g_autoptr(GBytes) again = wire_mig_encode(m.type, m.body);
        g_auto(WireMig) second = {0};
        gsize n = 0;
        const void *bytes;

        g_assert_nonnull(again);
        bytes = g_bytes_get_data(again, &n);
        g_assert_cmpint(wire_mig_decode(bytes, n, &second, &err), ==, 0);
        g_assert_cmpint(second.type, ==, m.type);
    }
    return 0;
}
