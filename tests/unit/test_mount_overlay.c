/* SPDX-License-Identifier: Apache-2.0 */
/* What lies over a file until it is flushed: compared with a plain array of bytes. */
#include "lib/base/prng.h"
#include "pmxcfs/io/mount_overlay.h"

#include <string.h>

#define FILE_MAX 96

/* The file as a program sees it. */
typedef struct Model {
    uint8_t bytes[FILE_MAX];
    uint32_t size;
} Model;

static void model_write(Model *m, uint32_t off, const uint8_t *data, uint32_t len)
{
    memcpy(m->bytes + off, data, len);
    m->size = MAX(m->size, off + len);
}

static void model_truncate(Model *m, uint32_t size)
{
    if (size < m->size) {
        memset(m->bytes + size, 0, m->size - size);
    }
    m->size = size;
}

/* Applies `op` to `m` by the rules of the tree (reference 4.2). */
static void model_apply_op(Model *m, const OverlayOp *op)
{
    gsize len = 0;
    const uint8_t *data = op->data != NULL ? g_bytes_get_data(op->data, &len) : NULL;
    uint32_t end = op->offset + (uint32_t)len;
    g_assert_cmpuint(end, <=, FILE_MAX);
    g_assert_true(len > 0 || op->offset == 0); /* a size without bytes */
    if (op->truncate && end < m->size) {
        model_truncate(m, end);
    }
    m->size = MAX(m->size, end);
    if (len > 0) {
        memcpy(m->bytes + op->offset, data, len);
    }
}

static void check_view(const Overlay *o, const Model *below, const Model *want, Prng *prng)
{
    uint32_t size = overlay_size(o, below->size);
    g_assert_cmpuint(size, ==, want->size);
    uint32_t off = (uint32_t)prng_below(prng, FILE_MAX);
    uint32_t len = (uint32_t)prng_below(prng, FILE_MAX - off) + 1;
    uint8_t buf[FILE_MAX];
    memcpy(buf, below->bytes + off, len);
    overlay_apply(o, below->size, off, len, buf);
    for (uint32_t i = 0; i < len; i++) {
        g_assert_cmpuint(buf[i], ==, off + i < want->size ? want->bytes[off + i] : 0);
    }
}

static void check_op(Overlay *o, Model *below, const Model *want)
{
    OverlayOp op;
    overlay_take_op(o, below->bytes, below->size, &op);
    g_assert_true(overlay_is_empty(o));
    g_assert_cmpuint(overlay_op_size(&op, below->size), ==, want->size);
    uint8_t view[FILE_MAX];
    memcpy(view, below->bytes, FILE_MAX);
    overlay_op_apply(&op, below->size, 0, FILE_MAX, view);
    g_assert_cmpmem(view, want->size, want->bytes, want->size);
    model_apply_op(below, &op);
    g_assert_cmpuint(below->size, ==, want->size);
    g_assert_cmpmem(below->bytes, below->size, want->bytes, want->size);
    overlay_op_clear(&op);
}

/* Goal: whatever is written and cut, in whatever order, is what readers see and what the operation
 * makes of the file below. Method: random steps beside the model, a flush now and then. */
static void test_random(void)
{
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        Prng prng;
        prng_init(&prng, seed);
        Overlay o = {0};
        Model below = {.size = (uint32_t)prng_below(&prng, FILE_MAX)};
        for (uint32_t i = 0; i < below.size; i++) {
            below.bytes[i] = (uint8_t)(100 + i);
        }
        Model want = below;
        for (int step = 0; step < 40; step++) {
            uint8_t data[FILE_MAX];
            memset(data, (int)prng_below(&prng, 90) + 1, sizeof(data));
            uint32_t off = (uint32_t)prng_below(&prng, FILE_MAX);
            uint32_t len = (uint32_t)prng_below(&prng, FILE_MAX - off) + 1;
            if (prng_chance(&prng, 1, 5)) {
                overlay_truncate(&o, below.size, off);
                model_truncate(&want, off);
            } else {
                uint32_t most = (uint32_t)prng_range(&prng, 1, 12);
                len = MIN(len, most);
                overlay_write(&o, off, data, len);
                model_write(&want, off, data, len);
            }
            check_view(&o, &below, &want, &prng);
            if (prng_chance(&prng, 1, 8)) {
                check_op(&o, &below, &want);
            }
        }
        overlay_clear(&o);
    }
}

static OverlayOp take(Overlay *o, const char *below)
{
    OverlayOp op;
    overlay_take_op(o, (const uint8_t *)below, (uint32_t)strlen(below), &op);
    return op;
}

static void check_is(OverlayOp *op, uint32_t offset, const char *data, bool truncate)
{
    g_assert_cmpuint(op->offset, ==, offset);
    g_assert_cmpint(op->truncate, ==, truncate);
    gsize len = 0;
    const void *bytes = op->data != NULL ? g_bytes_get_data(op->data, &len) : NULL;
    g_assert_cmpmem(bytes, len, data, strlen(data));
    overlay_op_clear(op);
}

/* Goal: few new bytes make a small operation. */
static void test_append_is_small(void)
{
    Overlay o = {0};
    overlay_write(&o, 6, "de", 2);
    overlay_write(&o, 8, "f", 1);
    OverlayOp op = take(&o, "abcabc");
    check_is(&op, 6, "def", false);
}

/* Goal: truncate to nothing and new text are one operation that replaces the file. */
static void test_rewrite_is_one_operation(void)
{
    Overlay o = {0};
    overlay_truncate(&o, 9, 0);
    overlay_write(&o, 0, "new", 3);
    overlay_write(&o, 3, " text", 5);
    OverlayOp op = take(&o, "old stuff");
    check_is(&op, 0, "new text", true);
}

/* Goal: pieces apart from each other still make one operation; the gap keeps its content. */
static void test_gap_keeps_content(void)
{
    Overlay o = {0};
    overlay_write(&o, 1, "X", 1);
    overlay_write(&o, 5, "Y", 1);
    OverlayOp op = take(&o, "abcdefgh");
    check_is(&op, 1, "XcdeY", false);
}

/* Goal: a change of length alone carries a byte, so that no receiver can make a file that has a
 * size but no content; growing an empty file sends its zeros. */
static void test_length_carries_a_byte(void)
{
    Overlay o = {0};
    overlay_truncate(&o, 6, 3);
    OverlayOp op = take(&o, "abcdef");
    check_is(&op, 2, "c", true);

    overlay_truncate(&o, 3, 9);
    op = take(&o, "abc");
    g_assert_cmpuint(op.offset, ==, 8);
    g_assert_true(op.truncate);
    g_assert_cmpuint(g_bytes_get_size(op.data), ==, 1);
    overlay_op_clear(&op);

    overlay_truncate(&o, 0, 4);
    op = take(&o, "");
    g_assert_cmpuint(op.offset, ==, 0);
    g_assert_cmpmem(g_bytes_get_data(op.data, NULL), g_bytes_get_size(op.data), "\0\0\0\0", 4);
    overlay_op_clear(&op);

    overlay_truncate(&o, 3, 0);
    op = take(&o, "abc");
    check_is(&op, 0, "", true);
}

/* Goal: what another node changes below shows through where nothing was written here. */
static void test_change_below_shows_through(void)
{
    Overlay o = {0};
    overlay_write(&o, 2, "XY", 2);
    uint8_t buf[6];
    memcpy(buf, "uvwxyz", 6);
    overlay_apply(&o, 6, 0, 6, buf);
    g_assert_cmpmem(buf, 6, "uvXYyz", 6);
    overlay_clear(&o);
}

/* Goal: the bytes of one piece are handed on, not copied, and keep no room for growing. */
static void test_content_is_not_copied(void)
{
    Overlay o = {0};
    uint8_t piece[4096];
    memset(piece, 'a', sizeof(piece));
    for (uint32_t i = 0; i < 256; i++) {
        overlay_write(&o, i * 4096, piece, sizeof(piece));
    }
    g_assert_cmpuint(overlay_bytes(&o), ==, 1024 * 1024);
    OverlayOp op;
    overlay_take_op(&o, NULL, 0, &op);
    g_assert_cmpuint(g_bytes_get_size(op.data), ==, 1024 * 1024);
    g_assert_false(op.truncate);
    overlay_op_clear(&op);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mount-overlay/random-steps-match-the-model", test_random);
    g_test_add_func("/mount-overlay/append-is-small", test_append_is_small);
    g_test_add_func("/mount-overlay/rewrite-is-one-operation", test_rewrite_is_one_operation);
    g_test_add_func("/mount-overlay/gap-keeps-content", test_gap_keeps_content);
    g_test_add_func("/mount-overlay/length-carries-a-byte", test_length_carries_a_byte);
    g_test_add_func("/mount-overlay/change-below-shows-through", test_change_below_shows_through);
    g_test_add_func("/mount-overlay/one-piece-is-handed-on", test_content_is_not_copied);
    return g_test_run();
}
