/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After the 32 byte header of the state message:
 *   0 u16 kind   2 u16 reserved, 0   4 u32 reserved, 0
 * HELLO   8 u32 version 12 u32 flags 16 u64 promised 24 u64 term 32 u32 n, 0 36 n x 12
 * others  8 epoch (4 x u32), then from 24:
 * START   u32 needed, u32 readers, u32 n, n x (u32 node id, u32 pid, u32 share)
 * STATE   u32 flags, u32 mtime, u64 tree version, 32 digest, meta
 * PROMISE nothing
 * BATCH   u64 number, u32 n, changes
 * PIECE   u64 number, u32 total, u32 offset, bytes;  ENTRY the same with the inode as number
 * ACK     u64 tree version
 * TOP     u64 leaves in all, u32 first, u32 n, n x (u64 first inode, 32 digest)
 * LEAF    u64 leaf, u32 0, u32 n, n x (u64 inode, 32 digest)
 * WANT_*  u32 n, n x u64
 * meta: u32 version, u32 n, u64 promised, u64 term, u64 clean, u64 told, n x (u64 term, u64 base);
 * version 1 has no `told`
 */
#include "lib/wire/wire_native.h"

#include "lib/base/cursor.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

STRTAB_DEFINE(wire_native_kind, WireNativeKind, WIRE_NATIVE_KIND_LIST, WIRE_NATIVE_KIND_N)

#define MEMBER_SIZE  12u
#define ITEM_SIZE    40u
#define META_VERSION 2u
#define OP_FLAGS     (WIRE_NATIVE_OP_TRUNCATE | WIRE_NATIVE_OP_NOREPLACE)
#define CONTENT_MAX  (17u * 1024u * 1024u) /* of a stream: the largest file, its path and heads */

/* A node id of 0 does not exist, so no exchange has this epoch. */
const WireDfsmEpoch wire_native_epoch = {.counter = 0x54414e51u, .time = 1, .nodeid = 0, .pid = 0};

/* ---- meta ------------------------------------------------------------------------------------ */

void wire_native_meta_begin_term(WireNativeMeta *meta, uint64_t term, uint64_t base)
{
    if (meta->n_history == WIRE_NATIVE_HISTORY_MAX) {
        meta->n_history--;
        memmove(meta->history, meta->history + 1, meta->n_history * sizeof meta->history[0]);
    }
    meta->history[meta->n_history++] = (WireNativeTerm){term, base};
    meta->term = term;
    meta->clean = meta->told = UINT64_MAX;
}

static void write_meta(Writer *w, const WireNativeMeta *meta)
{
    writer_le32(w, META_VERSION);
    writer_le32(w, meta->n_history);
    writer_le64(w, meta->promised);
    writer_le64(w, meta->term);
    writer_le64(w, meta->clean);
    writer_le64(w, meta->told);
    for (uint32_t i = 0; i < meta->n_history; i++) {
        writer_le64(w, meta->history[i].term);
        writer_le64(w, meta->history[i].base);
    }
}

static int read_meta(Reader *r, WireNativeMeta *ret)
{
    WireNativeMeta m = {0};
    uint32_t version = reader_le32(r);

    m.n_history = reader_le32(r);
    if (!reader_ok(r)) {
        return -EBADMSG;
    }
    if (version == 0 || version > META_VERSION) {
        return -EPROTO;
    }
    if (m.n_history > WIRE_NATIVE_HISTORY_MAX) {
        return -EBADMSG;
    }
    m.promised = reader_le64(r);
    m.term = reader_le64(r);
    m.clean = reader_le64(r);
    m.told = version > 1 ? reader_le64(r) : UINT64_MAX;
    for (uint32_t i = 0; i < m.n_history; i++) {
        m.history[i].term = reader_le64(r);
        m.history[i].base = reader_le64(r);
        if (i > 0 && m.history[i].term <= m.history[i - 1].term) {
            return -EBADMSG;
        }
    }
    if (!reader_done(r) || (m.n_history > 0 && m.history[m.n_history - 1].term > m.term)) {
        return -EBADMSG;
    }
    *ret = m;
    return 0;
}

GBytes *wire_native_encode_meta(const WireNativeMeta *meta)
{
    g_auto(Writer) w = {0};

    writer_init(&w, 4096);
    write_meta(&w, meta);
    return writer_steal(&w);
}

int wire_native_decode_meta(const void *data, size_t size, WireNativeMeta *ret)
{
    Reader r = reader_init(data, size);

    return read_meta(&r, ret);
}

/* ---- decoding -------------------------------------------------------------------------------- */

static void read_members(Reader *r, WireNative *m)
{
    m->n_members = reader_le32(r);
    if (m->n_members > WIRE_NATIVE_MEMBERS_MAX) {
        reader_skip(r, SIZE_MAX); /* makes it bad */
        return;
    }
    m->member = reader_bytes(r, (size_t)m->n_members * MEMBER_SIZE);
}

static void read_hello(Reader *r, WireNative *m)
{
    m->version = reader_le32(r);
    m->flags = reader_le32(r);
    m->promised = reader_le64(r);
    m->term = reader_le64(r);
    read_members(r, m);
}

static int read_state(Reader *r, WireNative *m)
{
    m->flags = reader_le32(r);
    m->mtime = reader_le32(r);
    m->tree_version = reader_le64(r);
    m->digest = reader_bytes(r, WIRE_NATIVE_DIGEST_SIZE);
    return read_meta(r, &m->meta);
}

static void read_rest(Reader *r, WireNative *m)
{
    m->size = reader_left(r);
    m->data = reader_bytes(r, m->size);
}

static int read_batch(Reader *r, WireNative *m)
{
    size_t at = 0;

    m->number = reader_le64(r);
    m->n = reader_le32(r);
    read_rest(r, m);
    if (!reader_ok(r) || m->n == 0 || m->n > WIRE_NATIVE_OPS_MAX) {
        return -EBADMSG;
    }
    for (uint32_t i = 0; i < m->n; i++) {
        WireNativeOp op;
        size_t used;

        if (wire_native_decode_op(m->data + at, m->size - at, &op, &used) < 0) {
            return -EBADMSG;
        }
        at += used;
    }
    return at == m->size ? 0 : -EBADMSG;
}

static int read_piece(Reader *r, WireNative *m)
{
    m->number = reader_le64(r);
    m->total = reader_le32(r);
    m->first = reader_le32(r);
    read_rest(r, m);
    if (!reader_ok(r) || m->total > CONTENT_MAX || m->size == 0 || m->first > m->total ||
        m->size > m->total - m->first) {
        return -EBADMSG;
    }
    return 0;
}

static int read_items(Reader *r, WireNative *m, uint32_t max)
{
    m->number = reader_le64(r);
    m->first = reader_le32(r);
    m->n = reader_le32(r);
    read_rest(r, m);
    if (!reader_ok(r) || m->n == 0 || m->n > max || m->size != (size_t)m->n * ITEM_SIZE) {
        return -EBADMSG;
    }
    if (m->kind == WIRE_NATIVE_TOP &&
        (m->number > UINT32_MAX || m->first >= m->number || m->n > m->number - m->first)) {
        return -EBADMSG;
    }
    for (uint32_t i = 1; i < m->n; i++) {
        if (wire_native_item(m, i - 1, NULL) >= wire_native_item(m, i, NULL)) {
            return -EBADMSG;
        }
    }
    return 0;
}

static int read_want(Reader *r, WireNative *m)
{
    m->n = reader_le32(r);
    read_rest(r, m);
    return reader_ok(r) && m->n > 0 && m->n <= WIRE_NATIVE_WANT_MAX && m->size == 8u * (size_t)m->n
               ? 0
               : -EBADMSG;
}

static int read_body(Reader *r, WireNative *m)
{
    switch (m->kind) {
    case WIRE_NATIVE_HELLO:
        read_hello(r, m);
        return 0;
    case WIRE_NATIVE_START:
        m->needed = reader_le32(r);
        m->readers = reader_le32(r);
        read_members(r, m);
        return 0;
    case WIRE_NATIVE_STATE:
        return read_state(r, m);
    case WIRE_NATIVE_PROMISE:
        return 0;
    case WIRE_NATIVE_BATCH:
        return read_batch(r, m);
    case WIRE_NATIVE_PIECE:
    case WIRE_NATIVE_ENTRY:
        return read_piece(r, m);
    case WIRE_NATIVE_ACK:
        m->number = reader_le64(r);
        return 0;
    case WIRE_NATIVE_TOP:
        return read_items(r, m, WIRE_NATIVE_LEAVES_MAX);
    case WIRE_NATIVE_LEAF:
        return read_items(r, m, WIRE_NATIVE_LEAF_MAX);
    case WIRE_NATIVE_WANT_LEAVES:
    case WIRE_NATIVE_WANT_ENTRIES:
        return read_want(r, m);
    case WIRE_NATIVE_NONE:
    case WIRE_NATIVE_KIND_N:
        break;
    }
    return -EPROTO;
}

int wire_native_decode(const void *payload, size_t size, WireNative *ret)
{
    Reader r = reader_init(payload, size);
    WireNative m = {0};
    uint16_t kind = reader_le16(&r);
    int code;

    reader_skip(&r, 6);
    if (!reader_ok(&r)) {
        return -EBADMSG;
    }
    if (kind == WIRE_NATIVE_NONE || kind >= WIRE_NATIVE_KIND_N) {
        return -EPROTO;
    }
    m.kind = (WireNativeKind)kind;
    if (m.kind != WIRE_NATIVE_HELLO) {
        m.epoch.counter = reader_le32(&r);
        m.epoch.time = reader_le32(&r);
        m.epoch.nodeid = reader_le32(&r);
        m.epoch.pid = reader_le32(&r);
    }
    code = read_body(&r, &m);
    if (code < 0) {
        return code;
    }
    if (!reader_done(&r)) {
        return -EBADMSG;
    }
    *ret = m;
    return 0;
}

void wire_native_member(
    const WireNative *m, uint32_t i, uint32_t *ret_nodeid, uint32_t *ret_pid, uint32_t *ret_share)
{
    Reader r = reader_init(m->member + (size_t)i * MEMBER_SIZE, MEMBER_SIZE);

    assert(i < m->n_members);
    *ret_nodeid = reader_le32(&r);
    *ret_pid = reader_le32(&r);
    *ret_share = reader_le32(&r);
}

uint64_t wire_native_item(const WireNative *m, uint32_t i, const uint8_t **ret_digest)
{
    bool want = m->kind == WIRE_NATIVE_WANT_LEAVES || m->kind == WIRE_NATIVE_WANT_ENTRIES;
    size_t step = want ? 8 : ITEM_SIZE;
    Reader r = reader_init(m->data + step * i, step);
    uint64_t number = reader_le64(&r);

    assert(i < m->n);
    if (ret_digest != NULL) {
        *ret_digest = m->data + step * i + 8;
    }
    return number;
}

/* ---- encoding -------------------------------------------------------------------------------- */

static void write_members(Writer *w, const WireNative *m, const uint32_t (*members)[3])
{
    writer_le32(w, m->n_members);
    for (uint32_t i = 0; i < m->n_members; i++) {
        writer_le32(w, members[i][0]);
        writer_le32(w, members[i][1]);
        writer_le32(w, members[i][2]);
    }
}

static void write_body(Writer *w, const WireNative *m, const uint32_t (*members)[3])
{
    switch (m->kind) {
    case WIRE_NATIVE_HELLO:
        writer_le32(w, m->version);
        writer_le32(w, m->flags);
        writer_le64(w, m->promised);
        writer_le64(w, m->term);
        write_members(w, m, members);
        break;
    case WIRE_NATIVE_START:
        writer_le32(w, m->needed);
        writer_le32(w, m->readers);
        write_members(w, m, members);
        break;
    case WIRE_NATIVE_STATE:
        writer_le32(w, m->flags);
        writer_le32(w, m->mtime);
        writer_le64(w, m->tree_version);
        writer_bytes(w, m->digest, WIRE_NATIVE_DIGEST_SIZE);
        write_meta(w, &m->meta);
        break;
    case WIRE_NATIVE_BATCH:
        writer_le64(w, m->number);
        writer_le32(w, m->n);
        writer_bytes(w, m->data, m->size);
        break;
    case WIRE_NATIVE_PIECE:
    case WIRE_NATIVE_ENTRY:
        writer_le64(w, m->number);
        writer_le32(w, m->total);
        writer_le32(w, m->first);
        writer_bytes(w, m->data, m->size);
        break;
    case WIRE_NATIVE_ACK:
        writer_le64(w, m->number);
        break;
    case WIRE_NATIVE_TOP:
    case WIRE_NATIVE_LEAF:
        writer_le64(w, m->number);
        writer_le32(w, m->first);
        writer_le32(w, m->n);
        writer_bytes(w, m->data, m->size);
        break;
    case WIRE_NATIVE_WANT_LEAVES:
    case WIRE_NATIVE_WANT_ENTRIES:
        writer_le32(w, m->n);
        writer_bytes(w, m->data, m->size);
        break;
    case WIRE_NATIVE_PROMISE:
    case WIRE_NATIVE_NONE:
    case WIRE_NATIVE_KIND_N:
        break;
    }
}

GBytes *wire_native_encode(const WireNative *m, const uint32_t (*members)[3])
{
    g_auto(Writer) w = {0};
    GBytes *bytes;

    writer_init(&w, 8192 + m->size);
    writer_le16(&w, (uint16_t)m->kind);
    writer_zero(&w, 6);
    if (m->kind != WIRE_NATIVE_HELLO) {
        writer_le32(&w, m->epoch.counter);
        writer_le32(&w, m->epoch.time);
        writer_le32(&w, m->epoch.nodeid);
        writer_le32(&w, m->epoch.pid);
    }
    write_body(&w, m, members);
    bytes = writer_steal(&w);
    assert(bytes != NULL); /* the limit covers everything but data, whose size is added */
    return bytes;
}

/* ---- one change ------------------------------------------------------------------------------ */

/*   0 u8 kind  1 u8 flags  2 u16 0  4 u32 path size  8 u32 second path size  12 u32 data size
 *  16 u64 offset  24 u32 mtime  28 path, second path (each with its NUL), data */
int wire_native_decode_op(const void *data, size_t size, WireNativeOp *ret, size_t *ret_used)
{
    Reader r = reader_init(data, size);
    WireNativeOp op = {0};
    uint32_t path_size, to_size;

    op.kind = reader_u8(&r);
    op.flags = reader_u8(&r);
    reader_skip(&r, 2);
    path_size = reader_le32(&r);
    to_size = reader_le32(&r);
    op.size = reader_le32(&r);
    op.offset = reader_le64(&r);
    op.mtime = reader_le32(&r);
    op.path = reader_strz(&r, path_size);
    op.to = to_size > 0 ? reader_strz(&r, to_size) : NULL;
    op.data = reader_bytes(&r, op.size);
    if (!reader_ok(&r) || (op.flags & ~OP_FLAGS) != 0) {
        return -EBADMSG;
    }
    *ret = op;
    *ret_used = size - reader_left(&r);
    return 0;
}

GBytes *wire_native_encode_op(const WireNativeOp *op)
{
    size_t path_size = strlen(op->path) + 1;
    size_t to_size = op->to != NULL ? strlen(op->to) + 1 : 0;
    g_auto(Writer) w = {0};
    GBytes *bytes;

    writer_init(&w, WIRE_NATIVE_OP_HEAD + path_size + to_size + op->size);
    writer_u8(&w, op->kind);
    writer_u8(&w, op->flags);
    writer_le16(&w, 0);
    writer_le32(&w, (uint32_t)path_size);
    writer_le32(&w, (uint32_t)to_size);
    writer_le32(&w, op->size);
    writer_le64(&w, op->offset);
    writer_le32(&w, op->mtime);
    writer_bytes(&w, op->path, path_size);
    writer_bytes(&w, op->to, to_size);
    writer_bytes(&w, op->data, op->size);
    bytes = writer_steal(&w);
    assert(bytes != NULL); /* the limit was computed from the sizes */
    return bytes;
}
