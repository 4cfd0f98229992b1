/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file message                unlock                  index                      update
 *   0 u32 size of data         0 checksum, 32 bytes    0 u64 tree version         0 u64 parent
 *   4 u32 offset              32 path with NUL         8 u64 highest inode        8 u64 inode
 *   8 u32 path length                                 16 u32 writer              16 u64 version
 *  12 u32 second path length                          20 u32 mtime               24 u32 writer
 *  16 u32 flags, 1 truncate                           24 u32 entries n           28 u32 mtime
 *  20 path with NUL                                   28 u32 bytes, 32 + 40 n    32 u32 size
 *     second path with NUL                            32 n times:                36 u32 name length
 *     data                                               u64 inode, 32 digest    40 u8 type
 *                                                                                41 name with NUL
 *                                                                                   content
 */
#include "lib/wire/wire_dcdb.h"

#include "lib/base/cursor.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

STRTAB_DEFINE(wire_dcdb_subtype, WireDcdbSubtype, WIRE_DCDB_SUBTYPE_LIST, WIRE_DCDB_SUBTYPE_N)

#define FILE_HEAD     20u
#define FLAG_TRUNCATE 1u

enum { TYPE_DIR = 4, TYPE_FILE = 8 };

/* A path of `n` bytes that must end in NUL; NULL when `n` is 0. */
static const char *read_path(Reader *r, uint32_t n)
{
    const uint8_t *p = n > 0 ? reader_bytes(r, n) : NULL;

    if (p != NULL && p[n - 1] != '\0') {
        r->bad = true;
    }
    return (const char *)p;
}

int wire_dcdb_decode_file(const void *payload, size_t size, WireDcdbFile *ret)
{
    Reader r = reader_init(payload, size);
    uint32_t path_size, to_size, flags;
    WireDcdbFile f = {0};

    f.size = reader_le32(&r);
    f.offset = reader_le32(&r);
    path_size = reader_le32(&r);
    to_size = reader_le32(&r);
    flags = reader_le32(&r);
    f.truncate = (flags & FLAG_TRUNCATE) != 0;
    f.path = read_path(&r, path_size);
    f.to = read_path(&r, to_size);
    f.data = reader_bytes(&r, f.size);
    if (!reader_done(&r)) {
        return -EBADMSG;
    }
    *ret = f;
    return 0;
}

int wire_dcdb_encode_file(const WireDcdbFile *f, GBytes **ret)
{
    size_t path_size = f->path != NULL ? strlen(f->path) + 1 : 0;
    size_t to_size = f->to != NULL ? strlen(f->to) + 1 : 0;
    g_auto(Writer) w = {0};

    if (f->size > UINT32_MAX || path_size > UINT32_MAX || to_size > UINT32_MAX) {
        return -EMSGSIZE;
    }
    writer_init(&w, FILE_HEAD + path_size + to_size + f->size);
    writer_le32(&w, (uint32_t)f->size);
    writer_le32(&w, f->offset);
    writer_le32(&w, (uint32_t)path_size);
    writer_le32(&w, (uint32_t)to_size);
    writer_le32(&w, f->truncate ? FLAG_TRUNCATE : 0);
    writer_bytes(&w, f->path, path_size);
    writer_bytes(&w, f->to, to_size);
    writer_bytes(&w, f->data, f->size);
    if (!writer_ok(&w)) {
        return -EMSGSIZE;
    }
    *ret = writer_steal(&w);
    return 0;
}

int wire_dcdb_decode_unlock(const void *payload, size_t size, WireDcdbUnlock *ret)
{
    Reader r = reader_init(payload, size);
    WireDcdbUnlock u = {0};
    size_t path_size;

    u.csum = reader_bytes(&r, WIRE_DCDB_CSUM_SIZE);
    path_size = reader_left(&r);
    if (path_size == 0 || path_size > UINT32_MAX) {
        return -EBADMSG;
    }
    u.path = read_path(&r, (uint32_t)path_size);
    if (!reader_done(&r)) {
        return -EBADMSG;
    }
    *ret = u;
    return 0;
}

GBytes *wire_dcdb_encode_unlock(const WireDcdbUnlock *u)
{
    g_auto(Writer) w = {0};

    writer_init(&w, WIRE_DCDB_CSUM_SIZE + strlen(u->path) + 1);
    writer_bytes(&w, u->csum, WIRE_DCDB_CSUM_SIZE);
    writer_strz(&w, u->path);
    return writer_steal(&w);
}

int wire_dcdb_decode_index(const void *payload, size_t size, WireDcdbIndex *ret)
{
    Reader r = reader_init(payload, size);
    WireDcdbIndex x = {0};
    uint32_t bytes;

    x.version = reader_le64(&r);
    x.last_inode = reader_le64(&r);
    x.writer = reader_le32(&r);
    x.mtime = reader_le32(&r);
    x.n = reader_le32(&r);
    bytes = reader_le32(&r);
    if (!reader_ok(&r) || bytes != size ||
        size - WIRE_DCDB_INDEX_HEAD != (uint64_t)x.n * WIRE_DCDB_INDEX_ENTRY) {
        return -EBADMSG;
    }
    x.entries = reader_bytes(&r, reader_left(&r));
    for (uint32_t i = 1; i < x.n; i++) {
        if (wire_dcdb_index_inode(&x, i - 1) >= wire_dcdb_index_inode(&x, i)) {
            return -EBADMSG;
        }
    }
    *ret = x;
    return 0;
}

uint64_t wire_dcdb_index_inode(const WireDcdbIndex *index, uint32_t i)
{
    Reader r = reader_init(index->entries + (size_t)i * WIRE_DCDB_INDEX_ENTRY, 8);

    assert(i < index->n);
    return reader_le64(&r);
}

const uint8_t *wire_dcdb_index_digest(const WireDcdbIndex *index, uint32_t i)
{
    assert(i < index->n);
    return index->entries + (size_t)i * WIRE_DCDB_INDEX_ENTRY + 8;
}

int wire_dcdb_decode_update(const void *payload, size_t size, WireDcdbUpdate *ret)
{
    Reader r = reader_init(payload, size);
    WireDcdbUpdate u = {0};
    uint32_t name_size;

    u.parent = reader_le64(&r);
    u.inode = reader_le64(&r);
    u.version = reader_le64(&r);
    u.writer = reader_le32(&r);
    u.mtime = reader_le32(&r);
    u.size = reader_le32(&r);
    name_size = reader_le32(&r);
    u.type = reader_u8(&r);
    u.name = reader_strz(&r, name_size);
    u.data = reader_bytes(&r, u.size);
    if (!reader_done(&r) || (u.type != TYPE_DIR && u.type != TYPE_FILE) ||
        (u.type == TYPE_DIR && u.size > 0)) {
        return -EBADMSG;
    }
    *ret = u;
    return 0;
}

GBytes *wire_dcdb_encode_update(const WireDcdbUpdate *u)
{
    size_t name_size = strlen(u->name) + 1;
    g_auto(Writer) w = {0};
    GBytes *bytes;

    writer_init(&w, WIRE_DCDB_UPDATE_HEAD + name_size + u->size);
    writer_le64(&w, u->parent);
    writer_le64(&w, u->inode);
    writer_le64(&w, u->version);
    writer_le32(&w, u->writer);
    writer_le32(&w, u->mtime);
    writer_le32(&w, u->size);
    writer_le32(&w, (uint32_t)name_size);
    writer_u8(&w, u->type);
    writer_bytes(&w, u->name, name_size);
    writer_bytes(&w, u->data, u->size);
    bytes = writer_steal(&w);
    assert(bytes != NULL); /* the limit was computed from the sizes */
    return bytes;
}
