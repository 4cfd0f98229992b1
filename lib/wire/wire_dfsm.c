/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every message                      NORMAL                 others
 *   0 u16 type                       16 u64 count           16 u32 epoch counter
 *   2 u16 subtype                    24 payload             20 u32 epoch time
 *   4 u32 protocol version                                  24 u32 epoch node id
 *   8 u32 sender time                                       28 u32 epoch pid
 *  12 u32 reserved, 0                                       32 payload
 */
#include "lib/wire/wire_dfsm.h"

#include "lib/base/cursor.h"

#include <assert.h>
#include <errno.h>

STRTAB_DEFINE(wire_dfsm_type, WireDfsmType, WIRE_DFSM_TYPE_LIST, WIRE_DFSM_TYPE_N)

bool wire_dfsm_epoch_equal(const WireDfsmEpoch *a, const WireDfsmEpoch *b)
{
    return a->counter == b->counter && a->time == b->time && a->nodeid == b->nodeid &&
           a->pid == b->pid;
}

int wire_dfsm_decode(const void *data, size_t size, uint32_t version, WireDfsmMessage *ret)
{
    Reader r = reader_init(data, size);
    WireDfsmMessage m = {0};

    m.head.type = reader_le16(&r);
    m.head.subtype = reader_le16(&r);
    m.head.version = reader_le32(&r);
    m.head.time = reader_le32(&r);
    reader_skip(&r, 4);
    if (!reader_ok(&r)) {
        return -EBADMSG;
    }
    if (m.head.version != version) {
        return m.head.version > version ? -EPROTO : -ESTALE;
    }
    if (m.head.type == WIRE_DFSM_NORMAL) {
        m.head.count = reader_le64(&r);
    } else {
        m.head.epoch.counter = reader_le32(&r);
        m.head.epoch.time = reader_le32(&r);
        m.head.epoch.nodeid = reader_le32(&r);
        m.head.epoch.pid = reader_le32(&r);
    }
    m.payload_size = reader_left(&r);
    m.payload = reader_bytes(&r, m.payload_size);
    if (!reader_done(&r)) {
        return -EBADMSG;
    }
    *ret = m;
    return 0;
}

GBytes *wire_dfsm_encode(const WireDfsmHeader *head, const void *payload, size_t payload_size)
{
    g_auto(Writer) w = {0};
    GBytes *bytes;

    writer_init(&w, WIRE_DFSM_STATE_SIZE + payload_size);
    writer_le16(&w, head->type);
    writer_le16(&w, head->type == WIRE_DFSM_NORMAL ? head->subtype : 0);
    writer_le32(&w, head->version);
    writer_le32(&w, head->time);
    writer_le32(&w, 0);
    if (head->type == WIRE_DFSM_NORMAL) {
        writer_le64(&w, head->count);
    } else {
        writer_le32(&w, head->epoch.counter);
        writer_le32(&w, head->epoch.time);
        writer_le32(&w, head->epoch.nodeid);
        writer_le32(&w, head->epoch.pid);
    }
    writer_bytes(&w, payload, payload_size);
    bytes = writer_steal(&w);
    assert(bytes != NULL); /* the limit was computed from the sizes */
    return bytes;
}

int wire_dfsm_decode_verify(WireDfsmType type,
                            const void *payload,
                            size_t size,
                            WireDfsmVerify *ret)
{
    Reader r = reader_init(payload, size);
    WireDfsmVerify v = {0};

    v.id = reader_le64(&r);
    if (type == WIRE_DFSM_VERIFY) {
        v.csum = reader_bytes(&r, WIRE_DFSM_CSUM_SIZE);
    }
    if (!reader_done(&r)) {
        return -EBADMSG;
    }
    *ret = v;
    return 0;
}

GBytes *wire_dfsm_encode_verify(const WireDfsmVerify *v)
{
    g_auto(Writer) w = {0};

    writer_init(&w, 8 + WIRE_DFSM_CSUM_SIZE);
    writer_le64(&w, v->id);
    if (v->csum != NULL) {
        writer_bytes(&w, v->csum, WIRE_DFSM_CSUM_SIZE);
    }
    return writer_steal(&w);
}
