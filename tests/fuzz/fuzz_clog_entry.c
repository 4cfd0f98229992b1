/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a cluster log entry: what decodes, encodes to the same bytes but for the links and
 * the slack, and can be logged and shown. */
#include "lib/wire/wire_clog.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) again = NULL;
    WireClogEntry e;

    if (wire_clog_decode(data, size, &e) < 0) {
        return 0;
    }
    g_assert_cmpint(wire_clog_encode(&e, &again), ==, 0);
    g_assert_cmpmem((const uint8_t *)g_bytes_get_data(again, NULL) + 8, size - 12, data + 8,
                    size - 12);
    return 0;
}
