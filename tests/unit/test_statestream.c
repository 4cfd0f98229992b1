/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: snapshots of a qcow2 image are read from its tables as QEMU's specification has them, what
 * differs between two is found and nothing else, and a stream of them is taken only in order and
 * within bounds. Method: tables made by hand, each way to cut or bend a stream. That real images
 * arrive whole is in it_51 and it_60.
 */
#include "guest/core/qcowmap.h"
#include "guest/core/statestream.h"

#include <errno.h>
#include <string.h>

#define CLUSTER_BITS 16

static void put(uint8_t *at, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        at[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    }
}

static ImageHead plain_head(void)
{
    return (ImageHead){.size = 1 << 30, .cluster_bits = CLUSTER_BITS, .snapshots = 2};
}

static void test_check(void)
{
    ImageHead bad[] = {plain_head(), plain_head(), plain_head(), plain_head(),
                       plain_head(), plain_head(), plain_head()};
    static const int codes[] = {-ENOTSUP, -ENOTSUP, -ENOTSUP, -EBADMSG,
                                -EBADMSG, -EBADMSG, -EBADMSG};
    ImageHead good = plain_head();

    g_assert_cmpint(qcowmap_check(&good, NULL), ==, 0);
    bad[0].backing_offset = 512;
    bad[1].data_file = true;
    bad[2].encrypted = true;
    bad[3].cluster_bits = 8;
    bad[4].cluster_bits = 22;
    bad[5].snapshots = QCOWMAP_SNAPSHOTS + 1;
    bad[6].extended = true;
    bad[6].cluster_bits = 13;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_cmpint(qcowmap_check(&bad[i], NULL), ==, codes[i]);
    }
}

/* One of QEMU 7.2: 24 bytes of extra data, id "1", name "before", padded to whole words. */
static size_t make_snapshot(uint8_t b[128])
{
    memset(b, 0, 128);
    put(b, 0x50000, 8);
    put(b + 8, 3, 4);
    put(b + 12, 1, 2);
    put(b + 14, 6, 2);
    put(b + 36, 24, 4);
    put(b + 48, 12 << 20, 8); /* the size of the disk */
    memcpy(b + 64, "1before", 7);
    return 72;
}

static void test_snapshot(void)
{
    ImageHead head = plain_head();
    g_auto(QcowSnapshot) s = {0};
    QcowSnapshot none = {0};
    uint8_t b[128];
    size_t whole = make_snapshot(b), used = 0;

    g_assert_cmpint(qcowmap_snapshot(&head, b, sizeof b, &s, &used, NULL), ==, 0);
    g_assert_cmpuint(used, ==, whole);
    g_assert_cmpuint(s.table, ==, 0x50000);
    g_assert_cmpuint(s.entries, ==, 3);
    g_assert_cmpuint(s.size, ==, 12 << 20);
    g_assert_cmpstr(s.name, ==, "before");
    for (size_t n = 0; n < whole - 1; n++) { /* the last byte only fills */
        g_assert_cmpint(qcowmap_snapshot(&head, b, n, &none, &used, NULL), ==, -EBADMSG);
    }
    b[66] = '\0';
    g_assert_cmpint(qcowmap_snapshot(&head, b, sizeof b, &none, &used, NULL), ==, -EBADMSG);
    (void)make_snapshot(b);
    b[7] = 4;
    g_assert_cmpint(qcowmap_snapshot(&head, b, sizeof b, &none, &used, NULL), ==, -EBADMSG);
    (void)make_snapshot(b);
    put(b + 36, UINT32_MAX, 4);
    g_assert_cmpint(qcowmap_snapshot(&head, b, sizeof b, &none, &used, NULL), ==, -EBADMSG);
}

/* Old images do not say how large the disk was: as now. */
static void test_old_snapshot(void)
{
    ImageHead head = plain_head();
    g_auto(QcowSnapshot) s = {0};
    uint8_t b[128];
    size_t used = 0;

    (void)make_snapshot(b);
    put(b + 36, 0, 4);
    memcpy(b + 40, "1before", 7);
    g_assert_cmpint(qcowmap_snapshot(&head, b, sizeof b, &s, &used, NULL), ==, 0);
    g_assert_cmpuint(s.size, ==, head.size);
    g_assert_cmpuint(used, ==, 48);
}

#define COPIED     (UINT64_C(1) << 63)
#define COMPRESSED (UINT64_C(1) << 62)

static void test_changes(void)
{
    static const struct {
        uint64_t before, now;
        QcowChange change;
    } cases[] = {
        {0, 0, QCOW_SAME},
        {0x50000, 0x50000, QCOW_SAME},
        {0x50000 | COPIED, 0x50000, QCOW_SAME}, /* only who else has it */
        {0x50000, 0x60000, QCOW_DATA},
        {0, 0x60000, QCOW_DATA},
        {0x50000, 0, QCOW_ZERO},
        {0x50000, 1, QCOW_ZERO},
        {0x50000, 0x50001, QCOW_ZERO}, /* it keeps its place */
        {0x50001, 0x50000, QCOW_DATA},
        {0, 1, QCOW_SAME},
        {1, 0x70001, QCOW_SAME},
        {0x50000, 0x50001 | COMPRESSED, QCOW_DATA},
        {COMPRESSED | 0x50001, COMPRESSED | 0x50001, QCOW_SAME},
    };
    ImageHead head = plain_head();

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint8_t a[16] = {0}, b[16] = {0};

        put(a + 8, cases[i].before, 8);
        put(b + 8, cases[i].now, 8);
        g_assert_cmpint(qcowmap_change(&head, a, b, 1), ==, cases[i].change);
        g_assert_cmpint(qcowmap_change(&head, a, b, 0), ==, QCOW_SAME);
    }
    g_assert_cmpint(qcowmap_change(&head, NULL, NULL, 0), ==, QCOW_SAME);
    g_assert_cmpuint(qcowmap_per_table(&head), ==, 8192);
}

/* With parts: which ones have data counts, not the place. */
static void test_parts(void)
{
    ImageHead head = plain_head();
    uint8_t a[32] = {0}, b[32] = {0};

    head.extended = true;
    put(a + 16, 0x50000, 8);
    put(a + 24, 1, 8);
    memcpy(b, a, sizeof b);
    g_assert_cmpint(qcowmap_change(&head, a, b, 1), ==, QCOW_SAME);
    put(b + 24, 3, 8);
    g_assert_cmpint(qcowmap_change(&head, a, b, 1), ==, QCOW_DATA);
    put(b + 24, UINT64_C(3) << 32, 8);
    g_assert_cmpint(qcowmap_change(&head, a, b, 1), ==, QCOW_ZERO);
    g_assert_cmpuint(qcowmap_per_table(&head), ==, 4096);
}

static void test_first_level(void)
{
    uint8_t first[16] = {0};

    put(first + 8, 0x50000 | COPIED, 8);
    g_assert_cmpuint(qcowmap_table_at(first, 0), ==, 0);
    g_assert_cmpuint(qcowmap_table_at(first, 1), ==, 0x50000);
}

/* ---- the stream ------------------------------------------------------------------------------ */

static int feed(StateStream *s, unsigned kind, uint32_t length, uint64_t position)
{
    StateRecord in = {(StateKind)kind, length, position};
    StateRecord out = {0};
    uint8_t head[STATESTREAM_HEAD];
    int r;

    statestream_write(&in, head);
    r = statestream_next(s, head, &out, NULL);
    if (r == 0) {
        g_assert_cmpint(out.kind, ==, in.kind);
        g_assert_cmpuint(out.length, ==, length);
        g_assert_cmpuint(out.position, ==, position);
        g_assert_cmpuint(statestream_payload(&out), ==,
                         kind == STATE_BEGIN || kind == STATE_DATA ? length : 0);
    }
    return r;
}

static void test_whole(void)
{
    StateStream s = {0};

    g_assert_cmpint(feed(&s, STATE_BEGIN, 3, 1 << 20), ==, 0);
    g_assert_cmpint(feed(&s, STATE_DATA, 4096, (1 << 20) - 4096), ==, 0);
    g_assert_cmpint(feed(&s, STATE_ZERO, 1 << 20, 0), ==, 0);
    g_assert_cmpint(feed(&s, STATE_ZERO, 0, 0), ==, 0);
    g_assert_cmpint(feed(&s, STATE_END, 0, 0), ==, 0);
    g_assert_cmpint(feed(&s, STATE_BEGIN, 1, 0), ==, 0);
    g_assert_cmpint(feed(&s, STATE_END, 0, 0), ==, 0);
    g_assert_false(s.ended);
    g_assert_cmpint(feed(&s, STATE_LAST, 0, 2), ==, 0);
    g_assert_true(s.ended);
    g_assert_cmpint(feed(&s, STATE_LAST, 0, 2), ==, -EBADMSG);
}

static void test_bent(void)
{
    static const struct {
        bool inside;
        unsigned kind;
        uint32_t length;
        uint64_t position;
    } bad[] = {
        {false, 0, 0, 0},
        {false, STATE_LAST + 1, 0, 0},
        {false, STATE_DATA, 1, 0},
        {false, STATE_ZERO, 1, 0},
        {false, STATE_END, 0, 0},
        {false, STATE_LAST, 0, 1},
        {false, STATE_BEGIN, 0, 0},
        {false, STATE_BEGIN, STATESTREAM_NAME_MAX + 1, 0},
        {false, STATE_BEGIN, 1, UINT64_MAX},
        {true, STATE_BEGIN, 1, 0},
        {true, STATE_LAST, 0, 0},
        {true, STATE_END, 1, 0},
        {true, STATE_DATA, 0, 0},
        {true, STATE_DATA, 2, (1 << 20) - 1},
        {true, STATE_DATA, STATESTREAM_DATA_MAX + 1, 0},
        {true, STATE_DATA, 1, UINT64_MAX},
        {true, STATE_ZERO, 2, (1 << 20) - 1},
        {true, STATE_ZERO, UINT32_MAX, 0},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        StateStream s = {0};

        if (bad[i].inside) {
            g_assert_cmpint(feed(&s, STATE_BEGIN, 1, 1 << 20), ==, 0);
        }
        g_assert_cmpint(feed(&s, bad[i].kind, bad[i].length, bad[i].position), ==, -EBADMSG);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qcowmap/check", test_check);
    g_test_add_func("/qcowmap/snapshot", test_snapshot);
    g_test_add_func("/qcowmap/old-snapshot", test_old_snapshot);
    g_test_add_func("/qcowmap/first-level", test_first_level);
    g_test_add_func("/qcowmap/changes", test_changes);
    g_test_add_func("/qcowmap/parts", test_parts);
    g_test_add_func("/statestream/whole", test_whole);
    g_test_add_func("/statestream/bent", test_bent);
    return g_test_run();
}
