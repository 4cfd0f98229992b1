/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/mount_overlay.h"

#include <string.h>

/* Extents are sorted, do not overlap and do not touch: touching ones are merged. */
typedef struct Extent {
    uint32_t off;
    GByteArray *bytes;
} Extent;

static Extent *extent_at(const Overlay *o, guint i)
{
    return &g_array_index(o->extents, Extent, i);
}

static guint extent_count(const Overlay *o)
{
    return o->extents != NULL ? o->extents->len : 0;
}

static uint32_t extent_end(const Extent *e)
{
    return e->off + e->bytes->len;
}

static void extent_clear(gpointer p)
{
    Extent *e = p;
    if (e->bytes != NULL) {
        g_byte_array_unref(e->bytes);
    }
}

void overlay_clear(Overlay *o)
{
    g_clear_pointer(&o->extents, g_array_unref);
    *o = (Overlay){0};
}

bool overlay_is_empty(const Overlay *o)
{
    return extent_count(o) == 0 && !o->cut_set;
}

size_t overlay_bytes(const Overlay *o)
{
    size_t sum = 0;
    for (guint i = 0; i < extent_count(o); i++) {
        sum += extent_at(o, i)->bytes->len;
    }
    return sum;
}

uint32_t overlay_size(const Overlay *o, uint32_t below)
{
    if (o->cut_set) {
        return o->size;
    }
    guint n = extent_count(o);
    return n > 0 ? MAX(below, extent_end(extent_at(o, n - 1))) : below;
}

/* Index of the first extent that ends at or after `off`: the first that a piece at `off` meets. */
static guint extent_find(const Overlay *o, uint32_t off)
{
    guint lo = 0;
    guint hi = extent_count(o);
    while (lo < hi) {
        guint mid = lo + (hi - lo) / 2;
        if (extent_end(extent_at(o, mid)) < off) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* Appends to extent `i` what extents `i + 1` to `last` have beyond its end, and removes them. */
static void extent_absorb(Overlay *o, guint i, guint last)
{
    Extent *into = extent_at(o, i);
    Extent *from = extent_at(o, last);
    if (extent_end(from) > extent_end(into)) {
        uint32_t skip = extent_end(into) - from->off;
        g_byte_array_append(into->bytes, from->bytes->data + skip, from->bytes->len - skip);
    }
    g_array_remove_range(o->extents, i + 1, last - i);
}

void overlay_write(Overlay *o, uint32_t off, const void *data, uint32_t len)
{
    g_assert(len > 0 && off < G_MAXINT32 && len < G_MAXINT32);
    if (o->extents == NULL) {
        o->extents = g_array_new(FALSE, FALSE, sizeof(Extent));
        g_array_set_clear_func(o->extents, extent_clear);
    }
    uint32_t end = off + len;
    guint i = extent_find(o, off);
    if (i == extent_count(o) || extent_at(o, i)->off > off) {
        Extent fresh = {off, g_byte_array_new()};
        g_array_insert_val(o->extents, i, fresh);
    }
    Extent *e = extent_at(o, i);
    uint32_t at = off - e->off;
    uint32_t inside = MIN(len, e->bytes->len - at);
    if (inside > 0) {
        memcpy(e->bytes->data + at, data, inside);
    }
    g_byte_array_append(e->bytes, (const guint8 *)data + inside, len - inside);
    guint last = i;
    while (last + 1 < extent_count(o) && extent_at(o, last + 1)->off <= end) {
        last++;
    }
    if (last > i) {
        extent_absorb(o, i, last);
    }
    if (o->cut_set) {
        o->size = MAX(o->size, end);
    }
}

void overlay_truncate(Overlay *o, uint32_t below, uint32_t size)
{
    uint32_t now = overlay_size(o, below);
    if (!o->cut_set) {
        o->cut_set = true;
        o->cut = below;
        o->size = now;
    }
    o->cut = MIN(o->cut, size);
    o->size = size;
    guint n = extent_count(o);
    while (n > 0 && extent_at(o, n - 1)->off >= size) {
        g_array_set_size(o->extents, --n);
    }
    if (n > 0 && extent_end(extent_at(o, n - 1)) > size) {
        Extent *e = extent_at(o, n - 1);
        g_byte_array_set_size(e->bytes, size - e->off);
    }
}

/* Zeroes the part of `buf`, which shows the file from `off` on, that is at or after `from`. */
static void zero_from(uint8_t *buf, uint32_t off, uint32_t len, uint32_t from)
{
    if (from < off + len) {
        uint32_t start = from > off ? from - off : 0;
        memset(buf + start, 0, len - start);
    }
}

/* Copies the part of `data`, which lies at `at`, that is inside [off, off + len). */
static void
copy_into(uint8_t *buf, uint32_t off, uint32_t len, uint32_t at, const uint8_t *data, uint32_t size)
{
    uint32_t lo = MAX(off, at);
    uint32_t hi = MIN(off + len, at + size);
    if (lo < hi) {
        memcpy(buf + (lo - off), data + (lo - at), hi - lo);
    }
}

void overlay_apply(const Overlay *o, uint32_t below, uint32_t off, uint32_t len, uint8_t *buf)
{
    if (o->cut_set) {
        zero_from(buf, off, len, o->cut);
    }
    for (guint i = 0; i < extent_count(o); i++) {
        const Extent *e = extent_at(o, i);
        copy_into(buf, off, len, e->off, e->bytes->data, e->bytes->len);
    }
    zero_from(buf, off, len, overlay_size(o, below));
}

/* The array's bytes without the room it kept for growing: the tree holds them for a long time. */
static GBytes *bytes_take(GByteArray *array)
{
    gsize len = array->len;
    guint8 *data = g_byte_array_free(array, FALSE);
    return g_bytes_new_take(g_realloc(data, len), len);
}

static GBytes *zero_bytes(uint32_t n)
{
    return g_bytes_new_take(g_malloc0(n), n);
}

/* Bytes [lo, hi) as the overlay shows them. */
static GBytes *
overlay_compose(const Overlay *o, const uint8_t *data, uint32_t size, uint32_t lo, uint32_t hi)
{
    uint8_t *buf = g_malloc0(hi - lo);
    if (data != NULL) {
        copy_into(buf, lo, hi - lo, 0, data, size);
    }
    overlay_apply(o, size, lo, hi - lo, buf);
    return g_bytes_new_take(buf, hi - lo);
}

void overlay_take_op(Overlay *o, const uint8_t *data, uint32_t size, OverlayOp *ret)
{
    g_assert(!overlay_is_empty(o));
    guint n = extent_count(o);
    uint32_t hi = overlay_size(o, size);
    bool zeros_only = n == 0 && o->cut >= size && hi > o->cut;
    OverlayOp op = {.truncate = o->cut_set};
    if (!o->cut_set) {
        op.offset = extent_at(o, 0)->off;
        hi = extent_end(extent_at(o, n - 1));
    } else if (n > 0) {
        uint32_t first = extent_at(o, 0)->off;
        op.offset = o->cut >= size ? first : MIN(o->cut, first);
    } else if (zeros_only) {
        op.offset = size == 0 ? 0 : hi - 1; /* the tree fills the gap with zeros */
    } else {
        /* A length of more than 0 travels with its last byte: should the file be empty by the time
         * the operation arrives, a length alone would make one that has a size but no content. */
        op.offset = hi > o->cut ? o->cut : MAX(hi, 1) - 1;
    }
    if (hi > op.offset) {
        Extent *e = n == 1 ? extent_at(o, 0) : NULL;
        if (e != NULL && e->off == op.offset && extent_end(e) == hi) {
            op.data = bytes_take(g_steal_pointer(&e->bytes));
        } else if (zeros_only) {
            op.data = zero_bytes(hi - op.offset);
        } else {
            op.data = overlay_compose(o, data, size, op.offset, hi);
        }
    }
    overlay_clear(o);
    *ret = op;
}

void overlay_op_clear(OverlayOp *op)
{
    g_clear_pointer(&op->data, g_bytes_unref);
    *op = (OverlayOp){0};
}

uint32_t overlay_op_size(const OverlayOp *op, uint32_t below)
{
    gsize len = op->data != NULL ? g_bytes_get_size(op->data) : 0;
    uint32_t end = op->offset + (uint32_t)len;
    return op->truncate ? end : MAX(end, below);
}

void overlay_op_apply(const OverlayOp *op, uint32_t below, uint32_t off, uint32_t len, uint8_t *buf)
{
    if (op->data != NULL) {
        gsize size;
        const uint8_t *data = g_bytes_get_data(op->data, &size);
        copy_into(buf, off, len, op->offset, data, (uint32_t)size);
    }
    zero_from(buf, off, len, overlay_op_size(op, below));
}
