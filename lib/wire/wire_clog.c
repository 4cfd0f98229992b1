/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry                                   Ring
 *   0 u32 prev  (in a ring: offset)         0 u32 size of the ring in bytes
 *   4 u32 next  (in a ring: offset)         4 u32 offset of the newest entry, 0 empty
 *   8 u32 uid                               8 entries, each at a multiple of 8
 *  12 u32 time
 *  16 u64 node digest
 *  24 u64 ident digest
 *  32 u32 pid
 *  36 u8  priority
 *  37 u8  node length with NUL
 *  38 u8  ident length with NUL
 *  39 u8  tag length with NUL
 *  40 u32 text length with NUL
 *  44 node, ident, tag, text, then 4 bytes of slack
 */
#include "lib/wire/wire_clog.h"

#include "lib/base/cursor.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

_Static_assert(WIRE_CLOG_ENTRY_HEAD + WIRE_CLOG_ENTRY_TAIL == 48, "entry is 48 bytes plus strings");
_Static_assert(WIRE_CLOG_RING_SIZE % 8 == 0, "entries are aligned to 8");
_Static_assert(WIRE_CLOG_RING_SIZE > WIRE_CLOG_RING_HEAD + 2 * WIRE_CLOG_ENTRY_MAX,
               "a ring holds more than the gap that hides overwritten entries");

#define LINKS_SIZE 8u /* prev and next */

uint64_t wire_clog_digest(const char *s)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    do {
        h ^= (uint8_t)*s;
        h *= UINT64_C(0x100000001b3);
    } while (*s++ != '\0');
    return h;
}

/* Reads an entry from the front of `r`; leaves the reader behind its slack. */
static bool read_entry(Reader *r, WireClogEntry *ret)
{
    WireClogEntry e = {0};
    uint8_t node_len, ident_len, tag_len;
    uint32_t text_len;

    reader_skip(r, LINKS_SIZE);
    e.uid = reader_le32(r);
    e.time = reader_le32(r);
    e.node_digest = reader_le64(r);
    e.ident_digest = reader_le64(r);
    e.pid = reader_le32(r);
    e.priority = reader_u8(r);
    node_len = reader_u8(r);
    ident_len = reader_u8(r);
    tag_len = reader_u8(r);
    text_len = reader_le32(r);
    e.node = reader_strz(r, node_len);
    e.ident = reader_strz(r, ident_len);
    e.tag = reader_strz(r, tag_len);
    e.text = reader_strz(r, text_len);
    reader_skip(r, WIRE_CLOG_ENTRY_TAIL);
    if (!reader_ok(r)) {
        return false;
    }
    *ret = e;
    return true;
}

int wire_clog_decode(const void *data, size_t size, WireClogEntry *ret)
{
    Reader r = reader_init(data, size);
    WireClogEntry e;

    if (size > WIRE_CLOG_ENTRY_MAX || !read_entry(&r, &e) || !reader_done(&r)) {
        return -EBADMSG;
    }
    *ret = e;
    return 0;
}

int wire_clog_encode(const WireClogEntry *e, GBytes **ret)
{
    g_auto(Writer) w = {0};
    size_t node_len = strlen(e->node) + 1;
    size_t ident_len = strlen(e->ident) + 1;
    size_t tag_len = strlen(e->tag) + 1;
    size_t text_len = strlen(e->text) + 1;

    if (MAX(MAX(node_len, ident_len), tag_len) > WIRE_CLOG_NAME_MAX + 1 ||
        text_len > WIRE_CLOG_ENTRY_MAX) {
        return -EMSGSIZE;
    }
    writer_init(&w, WIRE_CLOG_ENTRY_MAX);
    writer_zero(&w, LINKS_SIZE);
    writer_le32(&w, e->uid);
    writer_le32(&w, e->time);
    writer_le64(&w, e->node_digest);
    writer_le64(&w, e->ident_digest);
    writer_le32(&w, e->pid);
    writer_u8(&w, e->priority);
    writer_u8(&w, (uint8_t)node_len);
    writer_u8(&w, (uint8_t)ident_len);
    writer_u8(&w, (uint8_t)tag_len);
    writer_le32(&w, (uint32_t)text_len);
    writer_bytes(&w, e->node, node_len);
    writer_bytes(&w, e->ident, ident_len);
    writer_bytes(&w, e->tag, tag_len);
    writer_bytes(&w, e->text, text_len);
    writer_zero(&w, WIRE_CLOG_ENTRY_TAIL);
    if (!writer_ok(&w)) {
        return -EMSGSIZE;
    }
    *ret = writer_steal(&w);
    return 0;
}

/* ---- ring ---- */

static uint32_t get_le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put_le32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

void wire_clog_ring_init(uint8_t ring[WIRE_CLOG_RING_SIZE])
{
    memset(ring, 0, WIRE_CLOG_RING_SIZE);
    put_le32(ring, WIRE_CLOG_RING_SIZE);
}

void wire_clog_ring_append(uint8_t ring[WIRE_CLOG_RING_SIZE], const void *entry, size_t size)
{
    uint32_t newest = get_le32(ring + 4);
    uint32_t space = wire_clog_space(size);
    uint32_t at = WIRE_CLOG_RING_HEAD;

    assert(size >= WIRE_CLOG_ENTRY_HEAD + WIRE_CLOG_ENTRY_TAIL && size <= WIRE_CLOG_ENTRY_MAX);
    assert(get_le32(ring) == WIRE_CLOG_RING_SIZE && newest < WIRE_CLOG_RING_SIZE);
    if (newest != 0) {
        uint32_t next = get_le32(ring + newest + 4);

        assert(next > newest && next < WIRE_CLOG_RING_SIZE);
        if (next + space < WIRE_CLOG_RING_SIZE) {
            at = next;
        }
    }
    memcpy(ring + at, entry, size);
    memset(ring + at + size, 0, space - size);
    put_le32(ring + at, newest);
    put_le32(ring + at + 4, at + space);
    put_le32(ring + 4, at);
}

int wire_clog_walk_init(WireClogWalk *w, const void *ring, size_t size)
{
    const uint8_t *p = ring;
    uint32_t newest;

    if (size <= WIRE_CLOG_RING_HEAD || size > WIRE_CLOG_RING_MAX || get_le32(p) != size) {
        return -EBADMSG;
    }
    newest = get_le32(p + 4);
    if (newest >= size || (newest != 0 && newest < WIRE_CLOG_RING_HEAD)) {
        return -EBADMSG;
    }
    *w = (WireClogWalk){.ring = p, .size = (uint32_t)size, .newest = newest, .at = newest};
    return 0;
}

/* Where the walk goes from the entry at `at`. Offsets fall all the way down, jump once from the low
 * end of the ring to the high end, and fall again down to the gap above the newest entry. */
static uint32_t step_back(const WireClogWalk *w, uint32_t at, uint32_t prev)
{
    bool low = at <= w->newest;

    if (prev < WIRE_CLOG_RING_HEAD || prev >= w->size) { /* 0: it was the first one */
        return 0;
    }
    if (prev < at) {
        if (prev > at - (WIRE_CLOG_ENTRY_HEAD + WIRE_CLOG_ENTRY_TAIL)) {
            return 0; /* overlaps: no entry is that short */
        }
        return low || prev > w->newest + WIRE_CLOG_ENTRY_MAX ? prev : 0;
    }
    /* Up again only from the low end: the high end has no way back down to it, so this ends. */
    return low && prev > w->newest + WIRE_CLOG_ENTRY_MAX ? prev : 0;
}

bool wire_clog_walk_next(WireClogWalk *w,
                         WireClogEntry *ret,
                         const uint8_t **ret_raw,
                         size_t *ret_size)
{
    uint32_t at = w->at;
    Reader r;

    if (at == 0) {
        return false;
    }
    r = reader_init(w->ring + at, MIN(w->size - at, WIRE_CLOG_ENTRY_MAX));
    if (!read_entry(&r, ret)) {
        w->at = 0;
        return false;
    }
    if (ret_raw != NULL) {
        *ret_raw = w->ring + at;
        *ret_size = r.pos;
    }
    w->at = step_back(w, at, get_le32(w->ring + at));
    return true;
}
