/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request header          Response header
 *   0 i32 id                0 i32 id, that of the request
 *   4 padding               4 padding
 *   8 i32 size, header in   8 i32 size, header in
 *  12 padding              12 padding
 *                          16 i32 error, 0 or negative errno
 *                          20 padding
 *
 *  4 SET_STATUS   16 key[256], 272 value
 *  5 GET_STATUS   16 key[256], 272 node[256]
 *  6 GET_FILE     16 path with NUL
 *  7 LOG          16 u8 priority, 17 u8 ident length, 18 u8 tag length, 19 ident, tag, text
 *  8 GET_LOG      16 u32 max, 20 unused, 32 user with NUL
 * 11 PROPERTY     16 u32 vmid, 20 name with NUL
 * 12 TOKEN        16 line with NUL
 * 13 PROPERTIES   16 u32 vmid, 20 u8 count, 21 names, each with NUL
 */
#include "lib/wire/wire_ipc.h"

#include "lib/base/cursor.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define GET_LOG_UNUSED 12u

_Static_assert(WIRE_IPC_REQUEST_HEAD == 16 && WIRE_IPC_RESPONSE_HEAD == 24, "libqb's headers");

const char *wire_ipc_name(int32_t id)
{
#define WIRE_IPC_CASE(value, number, name)                                                         \
    case number:                                                                                   \
        return name;
    switch (id) {
        WIRE_IPC_LIST(WIRE_IPC_CASE)
    default:
        return NULL;
    }
}

/* ---- decoding ---- */

/* What is left, up to the first NUL if there is one. */
static WireIpcText rest_as_text(Reader *r)
{
    size_t left = reader_left(r);
    const char *s = (const char *)reader_bytes(r, left);

    return (WireIpcText){.s = s, .len = s != NULL ? strnlen(s, left) : 0};
}

/* What is left must hold a NUL; the string before it. What follows is ignored, as it always was. */
static const char *rest_as_string(Reader *r)
{
    return reader_strfield(r, reader_left(r));
}

static bool name_ok(const char *name)
{
    return name != NULL && name[0] >= 'a' && name[0] <= 'z';
}

static void decode_set_status(Reader *r, WireIpcSetStatus *ret)
{
    ret->key = reader_strfield(r, WIRE_IPC_FIELD_SIZE);
    ret->size = reader_left(r);
    ret->value = reader_bytes(r, ret->size);
}

static void decode_log(Reader *r, WireIpcLog *ret)
{
    uint8_t ident_len, tag_len;

    ret->priority = reader_u8(r);
    ident_len = reader_u8(r);
    tag_len = reader_u8(r);
    ret->ident = reader_strz(r, ident_len);
    ret->tag = reader_strz(r, tag_len);
    if (reader_left(r) == 0) {
        r->bad = true; /* no text, not even an empty one */
    }
    ret->text = rest_as_text(r);
}

static void decode_get_log(Reader *r, WireIpcGetLog *ret)
{
    ret->max = reader_le32(r);
    reader_skip(r, GET_LOG_UNUSED);
    ret->user = rest_as_string(r);
}

static void decode_property(Reader *r, WireIpcGuestProperties *ret)
{
    ret->vmid = reader_le32(r);
    ret->n_names = 1;
    ret->names = rest_as_string(r);
    if (reader_ok(r) && ret->names[0] == '\0') {
        r->bad = true;
    }
}

static void decode_properties(Reader *r, WireIpcGuestProperties *ret)
{
    ret->vmid = reader_le32(r);
    ret->n_names = reader_u8(r);
    ret->names = (const char *)(r->data + r->pos);
    for (unsigned i = 0; i < ret->n_names && reader_ok(r); i++) {
        const uint8_t *at = r->data + r->pos;
        const uint8_t *nul = memchr(at, 0, reader_left(r));

        if (nul == NULL || !name_ok(reader_strz(r, (size_t)(nul - at) + 1))) {
            r->bad = true;
        }
    }
    if (ret->n_names == 0 || !reader_done(r)) {
        r->bad = true;
    }
}

static const char *decode_token(Reader *r)
{
    const char *token = reader_strz(r, reader_left(r));

    if (token == NULL || token[0] == '\0' || strchr(token, '\n') != NULL) {
        r->bad = true;
    }
    return token;
}

int wire_ipc_decode(const void *data, size_t size, WireIpcRequest *ret)
{
    Reader r = reader_init(data, size);
    WireIpcRequest req = {0};
    uint32_t stated;

    req.id = (int32_t)reader_le32(&r);
    reader_skip(&r, 4);
    stated = reader_le32(&r);
    reader_skip(&r, 4);
    ret->id = reader_ok(&r) ? req.id : 0;
    if (!reader_ok(&r) || stated != size) {
        return -EINVAL;
    }
    switch (req.id) {
    case WIRE_IPC_GET_VERSION:
    case WIRE_IPC_GET_MEMBERS:
    case WIRE_IPC_GET_VMLIST:
    case WIRE_IPC_GET_RRD:
    case WIRE_IPC_VERIFY:
        r.bad = reader_left(&r) > 0;
        break;
    case WIRE_IPC_SET_STATUS:
        decode_set_status(&r, &req.u.set_status);
        break;
    case WIRE_IPC_GET_STATUS:
        req.u.get_status.key = reader_strfield(&r, WIRE_IPC_FIELD_SIZE);
        req.u.get_status.node = reader_strfield(&r, WIRE_IPC_FIELD_SIZE);
        break;
    case WIRE_IPC_GET_FILE:
        r.bad = reader_left(&r) == 0;
        req.u.path = rest_as_text(&r);
        break;
    case WIRE_IPC_LOG:
        decode_log(&r, &req.u.log);
        break;
    case WIRE_IPC_GET_LOG:
        decode_get_log(&r, &req.u.get_log);
        break;
    case WIRE_IPC_GUEST_PROPERTY:
        decode_property(&r, &req.u.properties);
        break;
    case WIRE_IPC_VERIFY_TOKEN:
        req.u.token = decode_token(&r);
        break;
    case WIRE_IPC_GUEST_PROPERTIES:
        decode_properties(&r, &req.u.properties);
        break;
    default:
        return -ECHRNG;
    }
    if (!reader_ok(&r)) {
        return -EINVAL;
    }
    *ret = req;
    return 0;
}

/* ---- encoding ---- */

static void encode_log(Writer *w, const WireIpcLog *log)
{
    size_t ident_len = strlen(log->ident) + 1;
    size_t tag_len = strlen(log->tag) + 1;

    if (ident_len > UINT8_MAX || tag_len > UINT8_MAX) {
        w->bad = true;
        return;
    }
    writer_u8(w, log->priority);
    writer_u8(w, (uint8_t)ident_len);
    writer_u8(w, (uint8_t)tag_len);
    writer_strz(w, log->ident);
    writer_strz(w, log->tag);
    writer_bytes(w, log->text.s, log->text.len);
    writer_u8(w, 0);
}

static void encode_names(Writer *w, const WireIpcGuestProperties *p)
{
    const char *name = p->names;

    for (unsigned i = 0; i < p->n_names; i++) {
        writer_strz(w, name);
        name += strlen(name) + 1;
    }
}

static void encode_payload(Writer *w, const WireIpcRequest *req)
{
    switch ((WireIpcId)req->id) {
    case WIRE_IPC_GET_VERSION:
    case WIRE_IPC_GET_MEMBERS:
    case WIRE_IPC_GET_VMLIST:
    case WIRE_IPC_GET_RRD:
    case WIRE_IPC_VERIFY:
        break;
    case WIRE_IPC_SET_STATUS:
        writer_strfield(w, req->u.set_status.key, WIRE_IPC_FIELD_SIZE);
        writer_bytes(w, req->u.set_status.value, req->u.set_status.size);
        break;
    case WIRE_IPC_GET_STATUS:
        writer_strfield(w, req->u.get_status.key, WIRE_IPC_FIELD_SIZE);
        writer_strfield(w, req->u.get_status.node, WIRE_IPC_FIELD_SIZE);
        break;
    case WIRE_IPC_GET_FILE:
        writer_bytes(w, req->u.path.s, req->u.path.len);
        writer_u8(w, 0);
        break;
    case WIRE_IPC_LOG:
        encode_log(w, &req->u.log);
        break;
    case WIRE_IPC_GET_LOG:
        writer_le32(w, req->u.get_log.max);
        writer_zero(w, GET_LOG_UNUSED);
        writer_strz(w, req->u.get_log.user);
        break;
    case WIRE_IPC_GUEST_PROPERTY:
        writer_le32(w, req->u.properties.vmid);
        writer_strz(w, req->u.properties.names);
        break;
    case WIRE_IPC_VERIFY_TOKEN:
        writer_strz(w, req->u.token);
        break;
    case WIRE_IPC_GUEST_PROPERTIES:
        writer_le32(w, req->u.properties.vmid);
        writer_u8(w, req->u.properties.n_names);
        encode_names(w, &req->u.properties);
        break;
    }
}

int wire_ipc_encode(const WireIpcRequest *req, GBytes **ret)
{
    g_auto(Writer) w = {0};

    assert(wire_ipc_name(req->id) != NULL);
    writer_init(&w, WIRE_IPC_MESSAGE_MAX);
    writer_le32(&w, (uint32_t)req->id);
    writer_zero(&w, WIRE_IPC_REQUEST_HEAD - 4);
    encode_payload(&w, req);
    if (!writer_ok(&w)) {
        return -EMSGSIZE;
    }
    writer_patch_le32(&w, 8, (uint32_t)writer_size(&w));
    *ret = writer_steal(&w);
    return 0;
}

/* ---- responses ---- */

void wire_ipc_encode_response_head(int32_t id,
                                   size_t size,
                                   int error,
                                   uint8_t ret[WIRE_IPC_RESPONSE_HEAD])
{
    const uint32_t fields[] = {(uint32_t)id, 0, (uint32_t)size, 0, (uint32_t)error, 0};

    assert(size <= INT32_MAX && error <= 0);
    for (unsigned i = 0; i < WIRE_IPC_RESPONSE_HEAD; i++) {
        ret[i] = (uint8_t)(fields[i / 4] >> (8 * (i % 4)));
    }
}

int wire_ipc_decode_response(const void *data, size_t size, WireIpcResponse *ret)
{
    Reader r = reader_init(data, size);
    WireIpcResponse resp = {0};
    uint32_t stated;

    resp.id = (int32_t)reader_le32(&r);
    reader_skip(&r, 4);
    stated = reader_le32(&r);
    reader_skip(&r, 4);
    resp.error = (int32_t)reader_le32(&r);
    reader_skip(&r, 4);
    resp.size = reader_left(&r);
    resp.data = reader_bytes(&r, resp.size);
    if (!reader_ok(&r) || stated != size || resp.error > 0 || (resp.error != 0 && resp.size > 0)) {
        return -EBADMSG;
    }
    *ret = resp;
    return 0;
}
