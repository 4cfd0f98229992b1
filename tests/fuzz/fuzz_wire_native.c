/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a message of the native protocol, as one change, and as the record on disk: what
 * decodes, encodes to bytes that decode to the same values. */
#include "lib/wire/wire_native.h"
#include "tests/fuzz/fuzz.h"

static void try_message(const uint8_t *data, size_t size)
{
    uint32_t members[WIRE_NATIVE_MEMBERS_MAX][3];
    g_autoptr(GBytes) again = NULL;
    WireNative m, n;

    if (wire_native_decode(data, size, &m) < 0) {
        return;
    }
    for (uint32_t i = 0; i < m.n_members; i++) {
        wire_native_member(&m, i, &members[i][0], &members[i][1], &members[i][2]);
    }
    again = wire_native_encode(&m, (const uint32_t(*)[3])members);
    if (m.kind != WIRE_NATIVE_STATE) { /* its record may be one of version 1, which was shorter */
        g_assert_cmpuint(g_bytes_get_size(again), ==, size);
    }
    g_assert_cmpint(wire_native_decode(g_bytes_get_data(again, NULL), g_bytes_get_size(again), &n),
                    ==, 0);
    g_assert_true(m.kind == n.kind && m.n == n.n && m.number == n.number && m.size == n.size);
}

static void try_op(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) again = NULL;
    WireNativeOp op, back;
    size_t used, used_again;

    if (wire_native_decode_op(data, size, &op, &used) < 0) {
        return;
    }
    g_assert_cmpuint(used, <=, size);
    again = wire_native_encode_op(&op);
    g_assert_cmpint(wire_native_decode_op(g_bytes_get_data(again, NULL), g_bytes_get_size(again),
                                          &back, &used_again),
                    ==, 0);
    g_assert_cmpstr(op.path, ==, back.path);
    g_assert_cmpstr(op.to, ==, back.to);
    g_assert_cmpmem(op.data, op.size, back.data, back.size);
}

static void try_meta(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) again = NULL;
    WireNativeMeta meta;

    if (wire_native_decode_meta(data, size, &meta) == 0) {
        again = wire_native_encode_meta(&meta);
        if (data[0] > 1) { /* of version 1 it becomes one of version 2 */
            g_assert_cmpmem(g_bytes_get_data(again, NULL), g_bytes_get_size(again), data, size);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_message(data, size);
    try_op(data, size);
    try_meta(data, size);
    return 0;
}
