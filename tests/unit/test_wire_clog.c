/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the bytes of cluster log entries and rings are those of the deployed peers, and no bytes
 * whatever make the decoder read outside them or walk for ever.
 * Method: captured messages and rings; every truncation and every single-byte change of them.
 */
#include "lib/wire/wire_clog.h"
#include "tests/unit/testdata.h"

#include <errno.h>
#include <string.h>

static const WireClogEntry plain = {
    .uid = 7,
    .time = 1000,
    .node_digest = 1,
    .ident_digest = 2,
    .pid = 42,
    .priority = 6,
    .node = "n1",
    .ident = "root@pam",
    .tag = "tag",
    .text = "hello",
};

static GBytes *encode(const WireClogEntry *e)
{
    GBytes *bytes = NULL;

    g_assert_cmpint(wire_clog_encode(e, &bytes), ==, 0);
    return bytes;
}

static void digest_vectors(void)
{
    g_assert_cmphex(wire_clog_digest("n1"), ==, UINT64_C(0x21cece1925f18240));
    g_assert_cmphex(wire_clog_digest("root"), ==, UINT64_C(0x4dd1e2461dbc53bf));
    g_assert_cmphex(wire_clog_digest("root@pam"), ==, UINT64_C(0x0bf69a5dbf95bb61));
}

static void round_trip(void)
{
    g_autoptr(GBytes) bytes = encode(&plain);
    WireClogEntry e;

    g_assert_cmpuint(g_bytes_get_size(bytes), ==, 48 + 3 + 9 + 4 + 6);
    g_assert_cmpint(wire_clog_decode(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), &e),
                    ==, 0);
    g_assert_cmpuint(e.uid, ==, plain.uid);
    g_assert_cmpuint(e.time, ==, plain.time);
    g_assert_cmpuint(e.node_digest, ==, plain.node_digest);
    g_assert_cmpuint(e.ident_digest, ==, plain.ident_digest);
    g_assert_cmpuint(e.pid, ==, plain.pid);
    g_assert_cmpuint(e.priority, ==, plain.priority);
    g_assert_cmpstr(e.node, ==, plain.node);
    g_assert_cmpstr(e.ident, ==, plain.ident);
    g_assert_cmpstr(e.tag, ==, plain.tag);
    g_assert_cmpstr(e.text, ==, plain.text);
}

static void captured_message(void)
{
    g_autoptr(GBytes) message = testdata_sample("wire-kvstore-normal-log.hex");
    g_autoptr(GBytes) again = NULL;
    const uint8_t *data;
    gsize size;
    WireClogEntry e;

    if (message == NULL) {
        return;
    }
    data = g_bytes_get_data(message, &size);
    g_assert_cmpint(wire_clog_decode(data + 24, size - 24, &e), ==, 0);
    g_assert_cmpstr(e.node, ==, "n1");
    g_assert_cmpstr(e.ident, ==, "root@pam");
    g_assert_cmpstr(e.tag, ==, "tst");
    g_assert_cmpstr(e.text, ==, "hello w\\u00f6rld");
    g_assert_cmphex(e.node_digest, ==, wire_clog_digest(e.node));
    g_assert_cmphex(e.ident_digest, ==, wire_clog_digest(e.ident));
    again = encode(&e);
    g_assert_cmpmem(data + 24, size - 24, g_bytes_get_data(again, NULL), g_bytes_get_size(again));
}

static void truncations(void)
{
    g_autoptr(GBytes) bytes = encode(&plain);
    const uint8_t *data = g_bytes_get_data(bytes, NULL);
    WireClogEntry e;

    for (gsize n = 0; n < g_bytes_get_size(bytes); n++) {
        g_autofree uint8_t *copy = g_memdup2(data, n); /* exact size: a sanitizer sees an overrun */

        g_assert_cmpint(wire_clog_decode(copy, n, &e), ==, -EBADMSG);
    }
}

/* Each change is either refused or gives strings inside the buffer. */
static void flips(void)
{
    g_autoptr(GBytes) bytes = encode(&plain);
    gsize size = g_bytes_get_size(bytes);

    for (gsize i = 0; i < size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            g_autofree uint8_t *copy = g_memdup2(g_bytes_get_data(bytes, NULL), size);
            WireClogEntry e;

            copy[i] ^= (uint8_t)(1u << bit);
            if (wire_clog_decode(copy, size, &e) == 0) {
                g_assert_cmpuint(strlen(e.node) + strlen(e.ident) + strlen(e.tag) + strlen(e.text) +
                                     4,
                                 ==, size - 48);
            } else {
                g_assert_cmpuint(i, >=, 36); /* only lengths and strings can be wrong */
            }
        }
    }
}

static void trailing_and_inner_nul(void)
{
    g_autoptr(GBytes) bytes = encode(&plain);
    gsize size = g_bytes_get_size(bytes);
    g_autofree uint8_t *copy = g_malloc0(size + 1);
    WireClogEntry e;

    memcpy(copy, g_bytes_get_data(bytes, NULL), size);
    g_assert_cmpint(wire_clog_decode(copy, size + 1, &e), ==, -EBADMSG);
    copy[44 + 3 + 1] = '\0'; /* inside the ident */
    g_assert_cmpint(wire_clog_decode(copy, size, &e), ==, -EBADMSG);
}

static void too_long(void)
{
    g_autofree char *name = g_strnfill(255, 'x');
    g_autofree char *text = g_strnfill(WIRE_CLOG_ENTRY_MAX, 'x');
    GBytes *bytes = NULL;
    WireClogEntry e = plain;

    e.tag = name;
    g_assert_cmpint(wire_clog_encode(&e, &bytes), ==, -EMSGSIZE);
    name[254] = '\0';
    g_assert_cmpint(wire_clog_encode(&e, &bytes), ==, 0);
    g_clear_pointer(&bytes, g_bytes_unref);
    e.text = text;
    g_assert_cmpint(wire_clog_encode(&e, &bytes), ==, -EMSGSIZE);
    text[WIRE_CLOG_ENTRY_MAX - 100] = '\0';
    e.tag = "t";
    g_assert_cmpint(wire_clog_encode(&e, &bytes), ==, 0);
    g_clear_pointer(&bytes, g_bytes_unref);
    text[WIRE_CLOG_ENTRY_MAX - 100] = 'x';
    text[WIRE_CLOG_ENTRY_MAX - 40] = '\0'; /* fits its own limit, not that of the entry */
    g_assert_cmpint(wire_clog_encode(&e, &bytes), ==, -EMSGSIZE);
}

/* ---- ring ---- */

static void empty_ring(void)
{
    g_autofree uint8_t *ring = g_malloc(WIRE_CLOG_RING_SIZE);
    WireClogWalk w;
    WireClogEntry e;

    wire_clog_ring_init(ring);
    g_assert_cmpint(wire_clog_walk_init(&w, ring, WIRE_CLOG_RING_SIZE), ==, 0);
    g_assert_false(wire_clog_walk_next(&w, &e, NULL, NULL));
}

static void captured_state(void)
{
    g_autoptr(GBytes) message = testdata_sample("wire-kvstore-state-n2-after-merge.bin");
    const uint8_t *data;
    gsize size;
    WireClogWalk w;
    WireClogEntry e;
    guint n = 0;

    if (message == NULL) {
        return;
    }
    data = g_bytes_get_data(message, &size);
    g_assert_cmpint(wire_clog_walk_init(&w, data + 32, size - 32), ==, 0);
    while (wire_clog_walk_next(&w, &e, NULL, NULL)) {
        n++;
    }
    g_assert_cmpuint(n, ==, 3);
    g_assert_cmpstr(e.node, ==, "n1");
    g_assert_cmpstr(e.text, ==, "starting cluster log");
}

static void captured_wrapped_ring(void)
{
    g_autoptr(GBytes) ring = testdata_sample("clog-wrapped-ring.bin");
    WireClogWalk w;
    WireClogEntry e;
    uint32_t uid = 1750;

    if (ring == NULL) {
        return;
    }
    g_assert_cmpint(wire_clog_walk_init(&w, g_bytes_get_data(ring, NULL), g_bytes_get_size(ring)),
                    ==, 0);
    while (wire_clog_walk_next(&w, &e, NULL, NULL)) {
        g_assert_cmpuint(e.uid, ==, uid--);
    }
    g_assert_cmpuint(1750 - uid, ==, 534);
}

/* All appended entries are found again, newest first, until the oldest were overwritten. */
static void append_wraps(void)
{
    g_autofree uint8_t *ring = g_malloc(WIRE_CLOG_RING_SIZE);
    g_autofree char *text = g_strnfill(900, 'x');

    wire_clog_ring_init(ring);
    for (uint32_t i = 1; i <= 1000; i++) {
        WireClogEntry e = plain;
        g_autoptr(GBytes) bytes = NULL;
        WireClogWalk w;
        uint32_t uid = i, n = 0;

        e.uid = i;
        e.text = text + (i * 37) % 900;
        bytes = encode(&e);
        wire_clog_ring_append(ring, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
        g_assert_cmpint(wire_clog_walk_init(&w, ring, WIRE_CLOG_RING_SIZE), ==, 0);
        while (wire_clog_walk_next(&w, &e, NULL, NULL)) {
            g_assert_cmpuint(e.uid, ==, uid--);
            n++;
        }
        /* More than the gap is never lost: at most 4096 bytes and one entry. */
        g_assert_cmpuint(n, >=, MIN(i, 200));
    }
}

static void ring_headers(void)
{
    g_autofree uint8_t *ring = g_malloc(WIRE_CLOG_RING_SIZE);
    WireClogWalk w;

    wire_clog_ring_init(ring);
    g_assert_cmpint(wire_clog_walk_init(&w, ring, WIRE_CLOG_RING_SIZE - 8), ==, -EBADMSG);
    g_assert_cmpint(wire_clog_walk_init(&w, ring, 8), ==, -EBADMSG);
    g_assert_cmpint(wire_clog_walk_init(&w, ring, 0), ==, -EBADMSG);
    ring[4] = 4;
    g_assert_cmpint(wire_clog_walk_init(&w, ring, WIRE_CLOG_RING_SIZE), ==, -EBADMSG);
    memset(ring + 4, 0xff, 4);
    g_assert_cmpint(wire_clog_walk_init(&w, ring, WIRE_CLOG_RING_SIZE), ==, -EBADMSG);
}

static guint walk_length(const uint8_t *ring, gsize size)
{
    WireClogWalk w;
    WireClogEntry e;
    guint n = 0;

    if (wire_clog_walk_init(&w, ring, size) < 0) {
        return 0;
    }
    while (wire_clog_walk_next(&w, &e, NULL, NULL)) {
        g_assert_cmpuint(++n, <=, size / 48);
    }
    return n;
}

/* A small ring of a peer, wrapped, in which each byte in turn takes several other values. */
static void hostile_rings_end(void)
{
    g_autofree uint8_t *ring = g_malloc(WIRE_CLOG_RING_SIZE);
    const uint8_t values[] = {0x00, 0x01, 0x08, 0x30, 0x7f, 0x80, 0xff};

    wire_clog_ring_init(ring);
    for (uint32_t i = 1; i <= 600; i++) {
        WireClogEntry e = plain;
        g_autoptr(GBytes) bytes = NULL;
        g_autofree char *text = g_strnfill(200 + i % 7, 'y');

        e.uid = i;
        e.text = text;
        bytes = encode(&e);
        wire_clog_ring_append(ring, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    }
    g_assert_cmpuint(walk_length(ring, WIRE_CLOG_RING_SIZE), >, 400);
    for (gsize i = 0; i < WIRE_CLOG_RING_SIZE; i += i < 4096 ? 1 : 41) {
        for (gsize v = 0; v < G_N_ELEMENTS(values); v++) {
            uint8_t old = ring[i];

            ring[i] = values[v];
            (void)walk_length(ring, WIRE_CLOG_RING_SIZE);
            ring[i] = old;
        }
    }
}

/* Two entries that name each other as the previous one. */
static void cycle_ends(void)
{
    g_autofree uint8_t *ring = g_malloc(WIRE_CLOG_RING_SIZE);
    g_autofree char *text = g_strnfill(3000, 'z');
    WireClogEntry e = plain;
    g_autoptr(GBytes) bytes = NULL;

    e.text = text;
    bytes = encode(&e);
    wire_clog_ring_init(ring);
    for (int i = 0; i < 5; i++) {
        wire_clog_ring_append(ring, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    }
    g_assert_cmpuint(walk_length(ring, WIRE_CLOG_RING_SIZE), ==, 5);
    /* newest := the first one (offset 8), whose prev := the last one, which lies above the gap */
    memcpy(ring + 8, ring + 4, 4);
    memset(ring + 4, 0, 4);
    ring[4] = 8;
    g_assert_cmpuint(walk_length(ring, WIRE_CLOG_RING_SIZE), <=, 5);
    g_assert_cmpuint(walk_length(ring, WIRE_CLOG_RING_SIZE), >=, 2);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire_clog/digest/is-fnv1a-with-nul", digest_vectors);
    g_test_add_func("/wire_clog/entry/round-trip", round_trip);
    g_test_add_func("/wire_clog/entry/captured-message", captured_message);
    g_test_add_func("/wire_clog/entry/every-truncation-is-refused", truncations);
    g_test_add_func("/wire_clog/entry/every-bit-flip-is-safe", flips);
    g_test_add_func("/wire_clog/entry/trailing-byte-and-inner-nul-are-refused",
                    trailing_and_inner_nul);
    g_test_add_func("/wire_clog/entry/too-long-is-not-encoded", too_long);
    g_test_add_func("/wire_clog/ring/empty", empty_ring);
    g_test_add_func("/wire_clog/ring/captured-state", captured_state);
    g_test_add_func("/wire_clog/ring/captured-wrapped-ring", captured_wrapped_ring);
    g_test_add_func("/wire_clog/ring/append-overwrites-the-oldest", append_wraps);
    g_test_add_func("/wire_clog/ring/bad-headers-are-refused", ring_headers);
    g_test_add_func("/wire_clog/ring/hostile-rings-end", hostile_rings_end);
    g_test_add_func("/wire_clog/ring/cycle-ends", cycle_ends);
    return g_test_run();
}
