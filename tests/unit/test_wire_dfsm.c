/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: message headers of both groups, byte for byte. Method: golden bytes written out here,
 * captured messages of the documented peer, every truncation and changed byte.
 */
#include "lib/wire/wire_dfsm.h"
#include "tests/unit/testdata.h"

#include <errno.h>
#include <string.h>

static const char normal_hex[] = "0000 0500 01000000 44332211 00000000  0800000000000000  2a2b2c";
static const char sync_start_hex[] =
    "0100 0000 00000000 44332211 00000000  02000000 03000000 04000000 05000000";

static int decode(GBytes *bytes, uint32_t version, WireDfsmMessage *m)
{
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);

    return wire_dfsm_decode(data, size, version, m);
}

static void normal_has_count_and_payload(void)
{
    g_autoptr(GBytes) golden = testdata_hex(normal_hex);
    WireDfsmHeader head = {.type = WIRE_DFSM_NORMAL,
                           .subtype = 5,
                           .version = 1,
                           .time = 0x11223344,
                           .count = 8,
                           .epoch = {1, 2, 3, 4}};
    g_autoptr(GBytes) made = wire_dfsm_encode(&head, "*+,", 3);
    WireDfsmMessage m;

    g_assert_true(g_bytes_equal(made, golden));
    g_assert_cmpint(decode(golden, 1, &m), ==, 0);
    g_assert_cmpuint(m.head.type, ==, WIRE_DFSM_NORMAL);
    g_assert_cmpuint(m.head.subtype, ==, 5);
    g_assert_cmpuint(m.head.time, ==, 0x11223344);
    g_assert_cmpuint(m.head.count, ==, 8);
    g_assert_cmpmem(m.payload, m.payload_size, "*+,", 3);
}

static void others_have_an_epoch(void)
{
    g_autoptr(GBytes) golden = testdata_hex(sync_start_hex);
    WireDfsmHeader head = {.type = WIRE_DFSM_SYNC_START,
                           .subtype = 9, /* not sent */
                           .time = 0x11223344,
                           .epoch = {2, 3, 4, 5}};
    g_autoptr(GBytes) made = wire_dfsm_encode(&head, NULL, 0);
    WireDfsmEpoch epoch = {2, 3, 4, 5};
    WireDfsmMessage m;

    g_assert_true(g_bytes_equal(made, golden));
    g_assert_cmpint(decode(golden, 0, &m), ==, 0);
    g_assert_cmpuint(m.head.type, ==, WIRE_DFSM_SYNC_START);
    g_assert_cmpuint(m.payload_size, ==, 0);
    g_assert_true(wire_dfsm_epoch_equal(&m.head.epoch, &epoch));
}

static void epochs_differ_in_any_field(void)
{
    const WireDfsmEpoch a = {1, 2, 3, 4};
    uint32_t fields[4] = {1, 2, 3, 4};

    for (int i = 0; i < 4; i++) {
        WireDfsmEpoch b;

        fields[i] ^= 0x80000000u;
        b = (WireDfsmEpoch){fields[0], fields[1], fields[2], fields[3]};
        fields[i] ^= 0x80000000u;
        g_assert_false(wire_dfsm_epoch_equal(&a, &b));
    }
    g_assert_true(wire_dfsm_epoch_equal(&a, &a));
}

static void version_is_checked_before_the_rest(void)
{
    g_autoptr(GBytes) newer = testdata_hex("0000 0100 02000000 00000000 00000000");
    g_autoptr(GBytes) older = testdata_hex("0000 0100 00000000 00000000 00000000");
    g_autoptr(GBytes) same = testdata_hex("0000 0100 01000000 00000000 00000000");
    WireDfsmMessage m;

    g_assert_cmpint(decode(newer, 1, &m), ==, -EPROTO);
    g_assert_cmpint(decode(older, 1, &m), ==, -ESTALE);
    g_assert_cmpint(decode(same, 1, &m), ==, -EBADMSG); /* NORMAL shorter than its header */
}

static void state_header_needs_32_bytes(void)
{
    g_autoptr(GBytes) golden = testdata_hex(sync_start_hex);
    const void *data = g_bytes_get_data(golden, NULL);
    WireDfsmMessage m;

    for (gsize n = 0; n < WIRE_DFSM_STATE_SIZE; n++) {
        g_autofree void *copy = g_memdup2(data, n);

        g_assert_cmpint(wire_dfsm_decode(copy, n, 0, &m), ==, -EBADMSG);
    }
}

static void verify_payloads_are_exact(void)
{
    static const uint8_t csum[WIRE_DFSM_CSUM_SIZE] = {1, 2, 3};
    WireDfsmVerify v = {.id = 7, .csum = csum}, back;
    g_autoptr(GBytes) answer = wire_dfsm_encode_verify(&v);
    const void *data = g_bytes_get_data(answer, NULL);

    g_assert_cmpuint(g_bytes_get_size(answer), ==, 40);
    g_assert_cmpint(wire_dfsm_decode_verify(WIRE_DFSM_VERIFY, data, 40, &back), ==, 0);
    g_assert_cmpuint(back.id, ==, 7);
    g_assert_cmpmem(back.csum, WIRE_DFSM_CSUM_SIZE, csum, sizeof csum);
    g_assert_cmpint(wire_dfsm_decode_verify(WIRE_DFSM_VERIFY_REQUEST, data, 8, &back), ==, 0);
    g_assert_null(back.csum);
    g_assert_cmpint(wire_dfsm_decode_verify(WIRE_DFSM_VERIFY, data, 39, &back), ==, -EBADMSG);
    g_assert_cmpint(wire_dfsm_decode_verify(WIRE_DFSM_VERIFY_REQUEST, data, 9, &back), ==,
                    -EBADMSG);
    g_assert_cmpint(wire_dfsm_decode_verify(WIRE_DFSM_VERIFY_REQUEST, data, 7, &back), ==,
                    -EBADMSG);
}

static void names_of_types(void)
{
    g_assert_cmpstr(wire_dfsm_type_name(WIRE_DFSM_VERIFY), ==, "VERIFY");
    g_assert_cmpint(wire_dfsm_type_from_name("STATE"), ==, WIRE_DFSM_STATE);
}

static void decode_both(const void *data, gsize size)
{
    WireDfsmMessage m;

    for (uint32_t version = 0; version < 2; version++) {
        if (wire_dfsm_decode(data, size, version, &m) == 0) {
            g_autoptr(GBytes) again = wire_dfsm_encode(&m.head, m.payload, m.payload_size);

            g_assert_cmpuint(g_bytes_get_size(again), ==, size);
        }
    }
}

static void damaged_messages_are_survived(void)
{
    g_autoptr(GBytes) normal = testdata_hex(normal_hex);
    g_autoptr(GBytes) sync_start = testdata_hex(sync_start_hex);

    testdata_mutate(normal, decode_both);
    testdata_mutate(sync_start, decode_both);
}

typedef struct Sample {
    const char *name;
    uint32_t version;
    WireDfsmType type;
    uint16_t subtype;
    uint64_t count;
} Sample;

static const Sample samples[] = {
    {"wire-dcdb-sync-start.hex", 1, WIRE_DFSM_SYNC_START, 0, 0},
    {"wire-dcdb-state-1.hex", 1, WIRE_DFSM_STATE, 0, 0},
    {"wire-dcdb-state-2.hex", 1, WIRE_DFSM_STATE, 0, 0},
    {"wire-dcdb-update-1.hex", 1, WIRE_DFSM_UPDATE, 0, 0},
    {"wire-dcdb-update-complete.hex", 1, WIRE_DFSM_UPDATE_COMPLETE, 0, 0},
    {"wire-dcdb-verify-request.hex", 1, WIRE_DFSM_VERIFY_REQUEST, 0, 0},
    {"wire-dcdb-verify.hex", 1, WIRE_DFSM_VERIFY, 0, 0},
    {"wire-dcdb-normal-mkdir.hex", 1, WIRE_DFSM_NORMAL, 2, 1},
    {"wire-dcdb-normal-create.hex", 1, WIRE_DFSM_NORMAL, 5, 2},
    {"wire-dcdb-normal-unlock-request.hex", 1, WIRE_DFSM_NORMAL, 7, 11},
    {"wire-kvstore-sync-start.hex", 0, WIRE_DFSM_SYNC_START, 0, 0},
    {"wire-kvstore-state-n1.bin", 0, WIRE_DFSM_STATE, 0, 0},
    {"wire-kvstore-normal-log.hex", 0, WIRE_DFSM_NORMAL, 3, 0},
};

static void captured_messages_come_back_byte_for_byte(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(samples); i++) {
        const Sample *s = &samples[i];
        g_autoptr(GBytes) bytes = testdata_sample(s->name);
        g_autoptr(GBytes) again = NULL;
        WireDfsmMessage m;

        if (bytes == NULL) {
            return;
        }
        g_assert_cmpint(decode(bytes, s->version, &m), ==, 0);
        g_assert_cmpuint(m.head.type, ==, s->type);
        g_assert_cmpuint(m.head.subtype, ==, s->subtype);
        if (s->count != 0) {
            g_assert_cmpuint(m.head.count, ==, s->count);
        }
        again = wire_dfsm_encode(&m.head, m.payload, m.payload_size);
        g_assert_true(g_bytes_equal(bytes, again));
    }
}

static void captured_verify_is_understood(void)
{
    g_autoptr(GBytes) bytes = testdata_sample("wire-dcdb-verify.hex");
    g_autoptr(GBytes) again = NULL;
    WireDfsmMessage m;
    WireDfsmVerify v;

    if (bytes == NULL) {
        return;
    }
    g_assert_cmpint(decode(bytes, 1, &m), ==, 0);
    g_assert_cmpint(wire_dfsm_decode_verify(WIRE_DFSM_VERIFY, m.payload, m.payload_size, &v), ==,
                    0);
    g_assert_cmpuint(v.id, ==, 1);
    again = wire_dfsm_encode_verify(&v);
    g_assert_cmpmem(g_bytes_get_data(again, NULL), g_bytes_get_size(again), m.payload,
                    m.payload_size);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire-dfsm/normal-has-count-and-payload", normal_has_count_and_payload);
    g_test_add_func("/wire-dfsm/others-have-an-epoch", others_have_an_epoch);
    g_test_add_func("/wire-dfsm/epochs-differ-in-any-field", epochs_differ_in_any_field);
    g_test_add_func("/wire-dfsm/version-is-checked-first", version_is_checked_before_the_rest);
    g_test_add_func("/wire-dfsm/state-header-needs-32-bytes", state_header_needs_32_bytes);
    g_test_add_func("/wire-dfsm/verify-payloads-are-exact", verify_payloads_are_exact);
    g_test_add_func("/wire-dfsm/names-of-types", names_of_types);
    g_test_add_func("/wire-dfsm/damaged-messages-are-survived", damaged_messages_are_survived);
    g_test_add_func("/wire-dfsm/captured-messages", captured_messages_come_back_byte_for_byte);
    g_test_add_func("/wire-dfsm/captured-verify", captured_verify_is_understood);
    return g_test_run();
}
