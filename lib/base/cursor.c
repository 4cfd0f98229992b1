/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/cursor.h"

#include <assert.h>
#include <string.h>

static const uint8_t empty_bytes[1];

Reader reader_init(const void *data, size_t size)
{
    assert(data != NULL || size == 0);
    return (Reader){.data = data != NULL ? data : empty_bytes, .size = size};
}

const uint8_t *reader_bytes(Reader *r, size_t n)
{
    const uint8_t *p;

    if (r->bad || n > r->size - r->pos) {
        r->bad = true;
        return NULL;
    }
    p = r->data + r->pos;
    r->pos += n;
    return p;
}

uint8_t reader_u8(Reader *r)
{
    const uint8_t *p = reader_bytes(r, 1);

    return p != NULL ? p[0] : 0;
}

uint16_t reader_le16(Reader *r)
{
    const uint8_t *p = reader_bytes(r, 2);

    return (uint16_t)(p != NULL ? p[0] | p[1] << 8 : 0);
}

uint32_t reader_le32(Reader *r)
{
    const uint8_t *p = reader_bytes(r, 4);

    return p != NULL ? p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24 : 0;
}

uint64_t reader_le64(Reader *r)
{
    uint64_t lo = reader_le32(r);
    uint64_t hi = reader_le32(r);

    return r->bad ? 0 : lo | hi << 32;
}

const char *reader_strz(Reader *r, size_t n)
{
    const uint8_t *p = n > 0 ? reader_bytes(r, n) : NULL;

    if (p == NULL || memchr(p, 0, n) != p + n - 1) {
        r->bad = true;
        return NULL;
    }
    return (const char *)p;
}

const char *reader_strfield(Reader *r, size_t n)
{
    const uint8_t *p = reader_bytes(r, n);

    if (p == NULL || memchr(p, 0, n) == NULL) {
        r->bad = true;
        return NULL;
    }
    return (const char *)p;
}

void reader_skip(Reader *r, size_t n)
{
    (void)reader_bytes(r, n); /* the reader itself remembers a failure */
}

size_t reader_left(const Reader *r)
{
    return r->bad ? 0 : r->size - r->pos;
}

bool reader_ok(const Reader *r)
{
    return !r->bad;
}

bool reader_done(const Reader *r)
{
    return !r->bad && r->pos == r->size;
}

void writer_init(Writer *w, size_t limit)
{
    *w = (Writer){.bytes = g_byte_array_new(), .limit = limit};
}

void writer_done(Writer *w)
{
    g_clear_pointer(&w->bytes, g_byte_array_unref);
}

void writer_bytes(Writer *w, const void *data, size_t n)
{
    if (w->bad || n > w->limit - w->bytes->len || n > G_MAXUINT - w->bytes->len) {
        w->bad = true;
        return;
    }
    if (n > 0) {
        g_byte_array_append(w->bytes, data, (guint)n);
    }
}

void writer_u8(Writer *w, uint8_t v)
{
    writer_bytes(w, &v, 1);
}

void writer_le16(Writer *w, uint16_t v)
{
    uint8_t b[2] = {(uint8_t)v, (uint8_t)(v >> 8)};

    writer_bytes(w, b, sizeof b);
}

void writer_le32(Writer *w, uint32_t v)
{
    uint8_t b[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};

    writer_bytes(w, b, sizeof b);
}

void writer_le64(Writer *w, uint64_t v)
{
    writer_le32(w, (uint32_t)v);
    writer_le32(w, (uint32_t)(v >> 32));
}

void writer_zero(Writer *w, size_t n)
{
    static const uint8_t zeros[4096];

    for (; n > 0 && !w->bad; n -= MIN(n, sizeof zeros)) {
        writer_bytes(w, zeros, MIN(n, sizeof zeros));
    }
}

void writer_strz(Writer *w, const char *s)
{
    writer_bytes(w, s, strlen(s) + 1);
}

void writer_strfield(Writer *w, const char *s, size_t n)
{
    size_t len = strlen(s);

    if (len >= n) {
        w->bad = true;
        return;
    }
    writer_bytes(w, s, len);
    writer_zero(w, n - len);
}

void writer_patch_le32(Writer *w, size_t pos, uint32_t v)
{
    if (w->bad) {
        return;
    }
    assert(w->bytes->len >= 4 && pos <= w->bytes->len - 4);
    for (int i = 0; i < 4; i++) {
        w->bytes->data[pos + (size_t)i] = (uint8_t)(v >> (8 * i));
    }
}

size_t writer_size(const Writer *w)
{
    return w->bytes->len;
}

bool writer_ok(const Writer *w)
{
    return !w->bad;
}

GBytes *writer_steal(Writer *w)
{
    if (w->bad) {
        return NULL;
    }
    return g_byte_array_free_to_bytes(g_steal_pointer(&w->bytes));
}
