/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the native protocol's messages, byte for byte. Method: golden bytes written out here for
 * every kind, each made from values and taken apart again; every truncation and every changed byte
 * is decoded to something in bounds or refused.
 */
#include "lib/wire/wire_native.h"
#include "tests/unit/testdata.h"

#include <errno.h>
#include <string.h>

#define EPOCH  "01000000 02000000 03000000 04000000"
#define DIGEST "a0a1a2a3a4a5a6a7 a8a9aaabacadaeaf b0b1b2b3b4b5b6b7 b8b9babbbcbdbebf"
#define META                                                                                       \
    "02000000 01000000 0900000000000000 0700000000000000 ffffffffffffffff 2900000000000000 "       \
    "0700000000000000 2a00000000000000"

typedef struct Golden {
    WireNativeKind kind;
    const char *hex;
} Golden;

static const Golden golden[] = {
    {WIRE_NATIVE_HELLO, "0100 0000 00000000 01000000 01000000 0900000000000000 0700000000000000 "
                        "02000000  01000000 e8030000 01000000  02000000 d0070000 01000000"},
    {WIRE_NATIVE_START, "0200 0000 00000000 " EPOCH " 02000000 01000000 "
                        "02000000  01000000 e8030000 01000000  02000000 d0070000 00000000"},
    {WIRE_NATIVE_STATE,
     "0300 0000 00000000 " EPOCH " 01000000 44332211 2a00000000000000 " DIGEST META},
    {WIRE_NATIVE_PROMISE, "0400 0000 00000000 " EPOCH},
    {WIRE_NATIVE_BATCH,
     "0500 0000 00000000 " EPOCH " 0500000000000000 02000000 "
     "01 01 0000 02000000 00000000 03000000 0400000000000000 00000000 6600 782b79"
     "04 02 0000 02000000 02000000 00000000 0000000000000000 00000000 6600 6700"},
    {WIRE_NATIVE_PIECE, "0600 0000 00000000 " EPOCH " 0600000000000000 0a000000 03000000 616263"},
    {WIRE_NATIVE_ACK, "0700 0000 00000000 " EPOCH " 2b00000000000000"},
    {WIRE_NATIVE_TOP, "0800 0000 00000000 " EPOCH " 0300000000000000 02000000 01000000 "
                      "1000000000000000 " DIGEST},
    {WIRE_NATIVE_WANT_LEAVES, "0900 0000 00000000 " EPOCH " 02000000 "
                              "0100000000000000 0200000000000000"},
    {WIRE_NATIVE_LEAF, "0a00 0000 00000000 " EPOCH " 0200000000000000 00000000 01000000 "
                       "1000000000000000 " DIGEST},
    {WIRE_NATIVE_WANT_ENTRIES, "0b00 0000 00000000 " EPOCH " 01000000 1000000000000000"},
    {WIRE_NATIVE_ENTRY, "0c00 0000 00000000 " EPOCH " 1000000000000000 04000000 01000000 717273"},
};
G_STATIC_ASSERT(G_N_ELEMENTS(golden) == WIRE_NATIVE_KIND_N - 1);

static int decode(GBytes *bytes, WireNative *m)
{
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);

    return wire_native_decode(data, size, m);
}

static GBytes *encode_again(const WireNative *m)
{
    uint32_t members[WIRE_NATIVE_MEMBERS_MAX][3];

    for (uint32_t i = 0; i < m->n_members; i++) {
        wire_native_member(m, i, &members[i][0], &members[i][1], &members[i][2]);
    }
    return wire_native_encode(m, (const uint32_t(*)[3])members);
}

static void every_kind_has_its_bytes(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(golden); i++) {
        g_autoptr(GBytes) bytes = testdata_hex(golden[i].hex);
        g_autoptr(GBytes) again = NULL;
        WireNative m;

        g_test_message("%s", wire_native_kind_name(golden[i].kind));
        g_assert_cmpint(decode(bytes, &m), ==, 0);
        g_assert_cmpint(m.kind, ==, golden[i].kind);
        again = encode_again(&m);
        g_assert_true(g_bytes_equal(bytes, again));
    }
}

static void fields_are_where_they_belong(void)
{
    g_autoptr(GBytes) start = testdata_hex(golden[1].hex);
    g_autoptr(GBytes) state = testdata_hex(golden[2].hex);
    g_autoptr(GBytes) top = testdata_hex(golden[7].hex);
    WireDfsmEpoch epoch = {1, 2, 3, 4};
    const uint8_t *digest;
    uint32_t nodeid, pid, share;
    WireNative m;

    g_assert_cmpint(decode(start, &m), ==, 0);
    g_assert_true(wire_dfsm_epoch_equal(&m.epoch, &epoch));
    g_assert_cmpuint(m.needed, ==, 2);
    g_assert_cmpuint(m.readers, ==, 1);
    wire_native_member(&m, 1, &nodeid, &pid, &share);
    g_assert_true(nodeid == 2 && pid == 2000 && share == 0);

    g_assert_cmpint(decode(state, &m), ==, 0);
    g_assert_cmpuint(m.flags, ==, WIRE_NATIVE_STATE_BLANK);
    g_assert_cmpuint(m.mtime, ==, 0x11223344);
    g_assert_cmpuint(m.tree_version, ==, 42);
    g_assert_cmpuint(m.digest[31], ==, 0xbf);
    g_assert_cmpuint(m.meta.promised, ==, 9);
    g_assert_cmpuint(m.meta.term, ==, 7);
    g_assert_true(m.meta.clean == UINT64_MAX);
    g_assert_cmpuint(m.meta.told, ==, 41);
    g_assert_true(m.meta.n_history == 1 && m.meta.history[0].base == 42);

    g_assert_cmpint(decode(top, &m), ==, 0);
    g_assert_true(m.number == 3 && m.first == 2 && m.n == 1);
    g_assert_cmpuint(wire_native_item(&m, 0, &digest), ==, 16);
    g_assert_cmpuint(digest[0], ==, 0xa0);
}

static void changes_of_a_batch(void)
{
    g_autoptr(GBytes) bytes = testdata_hex(golden[4].hex);
    WireNative m;
    WireNativeOp op;
    size_t used, rest;

    g_assert_cmpint(decode(bytes, &m), ==, 0);
    g_assert_cmpint(wire_native_decode_op(m.data, m.size, &op, &used), ==, 0);
    g_assert_cmpuint(op.kind, ==, 1);
    g_assert_cmpuint(op.flags, ==, WIRE_NATIVE_OP_TRUNCATE);
    g_assert_cmpuint(op.offset, ==, 4);
    g_assert_cmpstr(op.path, ==, "f");
    g_assert_null(op.to);
    g_assert_cmpmem(op.data, op.size, "x+y", 3);
    rest = m.size - used;
    g_assert_cmpint(wire_native_decode_op(m.data + used, rest, &op, &used), ==, 0);
    g_assert_cmpuint(op.flags, ==, WIRE_NATIVE_OP_NOREPLACE);
    g_assert_cmpstr(op.to, ==, "g");
    g_assert_cmpuint(used, ==, rest);
}

/* A shorter message is refused, unless it is one whose content simply is shorter. */
static void truncations_are_refused(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(golden); i++) {
        g_autoptr(GBytes) bytes = testdata_hex(golden[i].hex);
        gsize size;
        const uint8_t *data = g_bytes_get_data(bytes, &size);
        bool open_end = golden[i].kind == WIRE_NATIVE_PIECE || golden[i].kind == WIRE_NATIVE_ENTRY;
        gsize least = open_end ? size - 2 : size;

        for (gsize n = 0; n < least; n++) {
            g_autofree uint8_t *cut = g_memdup2(data, n); /* so that a checker sees overreads */
            WireNative m;

            g_assert_cmpint(wire_native_decode(n > 0 ? cut : NULL, n, &m), <, 0);
        }
    }
}

static void trailing_bytes_are_refused(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(golden); i++) {
        g_autoptr(GBytes) bytes = testdata_hex(golden[i].hex);
        g_autoptr(GByteArray) longer = g_byte_array_new();
        WireNative m;

        if (golden[i].kind == WIRE_NATIVE_PIECE || golden[i].kind == WIRE_NATIVE_ENTRY) {
            continue; /* their content fills the rest */
        }
        g_byte_array_append(longer, g_bytes_get_data(bytes, NULL), (guint)g_bytes_get_size(bytes));
        g_byte_array_append(longer, (const guint8 *)"", 1);
        g_assert_cmpint(wire_native_decode(longer->data, longer->len, &m), ==, -EBADMSG);
    }
}

/* What still decodes stays inside: reading all of it is what a checker watches. */
static void changed_bytes_do_no_harm(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(golden); i++) {
        g_autoptr(GBytes) bytes = testdata_hex(golden[i].hex);
        gsize size;
        const uint8_t *data = g_bytes_get_data(bytes, &size);

        for (gsize at = 0; at < size; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                g_autofree uint8_t *copy = g_memdup2(data, size);
                g_autoptr(GBytes) again = NULL;
                WireNative m;

                copy[at] = (uint8_t)(copy[at] ^ 1u << bit);
                if (wire_native_decode(copy, size, &m) == 0) {
                    again = encode_again(&m);
                    g_assert_cmpuint(g_bytes_get_size(again), ==, size);
                }
            }
        }
    }
}

static void unknown_kinds_are_told_apart(void)
{
    static const uint8_t later[8] = {WIRE_NATIVE_KIND_N, 0};
    static const uint8_t none[8] = {0};
    WireNative m;

    g_assert_cmpint(wire_native_decode(later, sizeof later, &m), ==, -EPROTO);
    g_assert_cmpint(wire_native_decode(none, sizeof none, &m), ==, -EPROTO);
    g_assert_cmpint(wire_native_decode(later, 7, &m), ==, -EBADMSG);
}

static void no_exchange_has_the_reserved_epoch(void)
{
    g_assert_cmpuint(wire_native_epoch.nodeid, ==, 0);
    g_assert_cmpuint(wire_native_epoch.counter, ==, 0x54414e51);
    g_assert_cmpuint(wire_native_epoch.time, ==, 1);
    g_assert_cmpuint(wire_native_epoch.pid, ==, 0);
}

static void record_keeps_the_newest_terms(void)
{
    WireNativeMeta meta = {.promised = 99, .clean = 5}, back;
    g_autoptr(GBytes) bytes = NULL;
    gsize size;
    const void *data;

    for (uint64_t term = 1; term <= WIRE_NATIVE_HISTORY_MAX + 3; term++) {
        wire_native_meta_begin_term(&meta, term, term * 10);
    }
    bytes = wire_native_encode_meta(&meta);
    data = g_bytes_get_data(bytes, &size);
    g_assert_cmpint(wire_native_decode_meta(data, size, &back), ==, 0);
    g_assert_cmpuint(back.n_history, ==, WIRE_NATIVE_HISTORY_MAX);
    g_assert_cmpuint(back.history[0].term, ==, 4);
    g_assert_cmpuint(back.history[WIRE_NATIVE_HISTORY_MAX - 1].base, ==,
                     (WIRE_NATIVE_HISTORY_MAX + 3) * 10);
    g_assert_true(back.clean == UINT64_MAX && back.promised == 99);
    for (gsize n = 0; n < size; n++) {
        g_autofree void *cut = g_memdup2(data, n);

        g_assert_cmpint(wire_native_decode_meta(n > 0 ? cut : NULL, n, &back), <, 0);
    }
}

/* Version 1 had no `told`. */
static void record_of_version_1_is_read(void)
{
    static const uint8_t old[] = {1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0,
                                  7, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0};
    WireNativeMeta meta;

    g_assert_cmpint(wire_native_decode_meta(old, sizeof old, &meta), ==, 0);
    g_assert_cmpuint(meta.promised, ==, 9);
    g_assert_cmpuint(meta.term, ==, 7);
    g_assert_cmpuint(meta.clean, ==, 5);
    g_assert_true(meta.told == UINT64_MAX);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire_native/record-of-version-1-is-read", record_of_version_1_is_read);
    g_test_add_func("/wire_native/every-kind-has-its-bytes", every_kind_has_its_bytes);
    g_test_add_func("/wire_native/fields-are-where-they-belong", fields_are_where_they_belong);
    g_test_add_func("/wire_native/changes-of-a-batch", changes_of_a_batch);
    g_test_add_func("/wire_native/truncations-are-refused", truncations_are_refused);
    g_test_add_func("/wire_native/trailing-bytes-are-refused", trailing_bytes_are_refused);
    g_test_add_func("/wire_native/changed-bytes-do-no-harm", changed_bytes_do_no_harm);
    g_test_add_func("/wire_native/unknown-kinds-are-told-apart", unknown_kinds_are_told_apart);
    g_test_add_func("/wire_native/no-exchange-has-the-reserved-epoch",
                    no_exchange_has_the_reserved_epoch);
    g_test_add_func("/wire_native/record-keeps-the-newest-terms", record_keeps_the_newest_terms);
    return g_test_run();
}
