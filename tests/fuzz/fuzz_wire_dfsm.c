/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a message of either group: decoded and encoded again they are the same message. */
#include "lib/wire/wire_dfsm.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (uint32_t version = 0; version < 2; version++) {
        g_autoptr(GBytes) again = NULL;
        WireDfsmMessage m, n;
        WireDfsmVerify v;

        if (wire_dfsm_decode(data, size, version, &m) < 0) {
            continue;
        }
        again = wire_dfsm_encode(&m.head, m.payload, m.payload_size);
        g_assert_cmpuint(g_bytes_get_size(again), ==, size);
        g_assert_cmpint(wire_dfsm_decode(g_bytes_get_data(again, NULL), size, version, &n), ==, 0);
        g_assert_cmpuint(m.payload_size, ==, n.payload_size);
        g_assert_true(memcmp(m.payload, n.payload, m.payload_size) == 0);
        for (WireDfsmType t = WIRE_DFSM_VERIFY_REQUEST; t <= WIRE_DFSM_VERIFY; t++) {
            if (wire_dfsm_decode_verify(t, m.payload, m.payload_size, &v) == 0) {
                g_autoptr(GBytes) payload = wire_dfsm_encode_verify(&v);

                g_assert_cmpmem(g_bytes_get_data(payload, NULL), g_bytes_get_size(payload),
                                m.payload, m.payload_size);
            }
        }
    }
    return 0;
}
