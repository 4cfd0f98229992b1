/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/wire_api.h"

#include "lib/base/cursor.h"

#include <errno.h>
#include <string.h>

#define REQUEST_MAGIC 0x31524151u /* "QAR1" */
#define ANSWER_MAGIC  0x31414151u /* "QAA1" */
#define ABSENT        0xffffffffu

void api_request_done(ApiRequest *r)
{
    g_clear_pointer(&r->method, g_free);
    g_clear_pointer(&r->path, g_free);
    g_clear_pointer(&r->query, g_free);
    g_clear_pointer(&r->body, g_bytes_unref);
    g_clear_pointer(&r->peer, g_free);
    g_clear_pointer(&r->authorization, g_free);
    g_clear_pointer(&r->cookie, g_free);
    g_clear_pointer(&r->csrf, g_free);
    g_clear_pointer(&r->exporter, g_bytes_unref);
}

void api_answer_done(ApiAnswer *a)
{
    g_clear_pointer(&a->body, g_bytes_unref);
    g_clear_pointer(&a->cookie, g_free);
}

static void put_data(Writer *w, const void *data, gsize size)
{
    writer_le32(w, (uint32_t)size);
    writer_bytes(w, data, size);
}

static void put_text(Writer *w, const char *text)
{
    if (text == NULL) {
        writer_le32(w, ABSENT);
    } else {
        put_data(w, text, strlen(text));
    }
}

static void put_bytes(Writer *w, GBytes *bytes)
{
    if (bytes == NULL) {
        writer_le32(w, ABSENT);
    } else {
        put_data(w, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    }
}

static GBytes *finish(Writer *w)
{
    if (writer_ok(w)) {
        writer_patch_le32(w, 0, (uint32_t)(writer_size(w) - 4));
    }
    return writer_steal(w);
}

GBytes *wire_api_request_encode(const ApiRequest *r)
{
    g_auto(Writer) w = {0};

    writer_init(&w, WIRE_API_FRAME_MAX + 4);
    writer_le32(&w, 0);
    writer_le32(&w, REQUEST_MAGIC);
    put_text(&w, r->method);
    put_text(&w, r->path);
    put_text(&w, r->query);
    put_bytes(&w, r->body);
    put_text(&w, r->peer);
    put_text(&w, r->authorization);
    put_text(&w, r->cookie);
    put_text(&w, r->csrf);
    put_bytes(&w, r->exporter);
    return finish(&w);
}

GBytes *wire_api_answer_encode(const ApiAnswer *a)
{
    g_auto(Writer) w = {0};

    writer_init(&w, WIRE_API_FRAME_MAX + 4);
    writer_le32(&w, 0);
    writer_le32(&w, ANSWER_MAGIC);
    writer_le32(&w, a->status);
    put_bytes(&w, a->body);
    put_text(&w, a->cookie);
    return finish(&w);
}

static const uint8_t *get_data(Reader *r, uint32_t *ret_size)
{
    *ret_size = reader_le32(r);
    return *ret_size == ABSENT ? NULL : reader_bytes(r, *ret_size);
}

/* A NUL inside a text would let two readers see different texts: refused. */
static char *get_text(Reader *r)
{
    uint32_t n;
    const uint8_t *data = get_data(r, &n);

    if (data != NULL && memchr(data, 0, n) != NULL) {
        r->bad = true;
        return NULL;
    }
    return data != NULL ? g_strndup((const char *)data, n) : NULL;
}

static GBytes *get_bytes(Reader *r)
{
    uint32_t n;
    const uint8_t *data = get_data(r, &n);

    return data != NULL ? g_bytes_new(data, n) : NULL;
}

int wire_api_request_decode(const void *data, gsize size, ApiRequest *ret, Err *err)
{
    g_auto(ApiRequest) q = {0};
    Reader r = reader_init(data, size);

    if (size > WIRE_API_FRAME_MAX || reader_le32(&r) != REQUEST_MAGIC) {
        return err_setf(err, -EBADMSG, "this is no API request");
    }
    q.method = get_text(&r);
    q.path = get_text(&r);
    q.query = get_text(&r);
    q.body = get_bytes(&r);
    q.peer = get_text(&r);
    q.authorization = get_text(&r);
    q.cookie = get_text(&r);
    q.csrf = get_text(&r);
    q.exporter = get_bytes(&r);
    if (!reader_done(&r) || q.method == NULL || q.path == NULL ||
        (q.body != NULL && g_bytes_get_size(q.body) > WIRE_API_BODY_MAX)) {
        return err_setf(err, -EBADMSG, "the API request is damaged");
    }
    *ret = q;
    q = (ApiRequest){0};
    return 0;
}

int wire_api_answer_decode(const void *data, gsize size, ApiAnswer *ret, Err *err)
{
    g_auto(ApiAnswer) a = {0};
    Reader r = reader_init(data, size);

    if (size > WIRE_API_FRAME_MAX || reader_le32(&r) != ANSWER_MAGIC) {
        return err_setf(err, -EBADMSG, "this is no API answer");
    }
    a.status = reader_le32(&r);
    a.body = get_bytes(&r);
    a.cookie = get_text(&r);
    if (!reader_done(&r) || a.body == NULL || a.status < 100 || a.status > 599) {
        return err_setf(err, -EBADMSG, "the API answer is damaged");
    }
    *ret = a;
    a = (ApiAnswer){0};
    return 0;
}
