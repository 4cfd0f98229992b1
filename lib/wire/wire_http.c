/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/wire_http.h"

#include <errno.h>
#include <string.h>

/* ---- request --------------------------------------------------------------------------------- */

/* Printable ASCII only: no line ends, so that no field can smuggle another. */
static bool field_ok(const char *text, bool allow_blank)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e ||
            (*text == ' ' && !allow_blank)) {
            return false;
        }
    }
    return true;
}

static void add_field(GString *out, const char *name, const char *value)
{
    if (value != NULL) {
        g_string_append_printf(out, "%s: %s\r\n", name, value);
    }
}

int wire_http_request(const HttpRequest *r, GBytes **ret, Err *err)
{
    const char *const strict[] = {r->method, r->host, r->target};
    const char *const loose[] = {r->content_type, r->authorization, r->cookie, r->csrf,
                                 r->forwarded_for};
    GString *out;
    gsize size;

    for (guint i = 0; i < G_N_ELEMENTS(strict); i++) {
        if (*strict[i] == '\0' || !field_ok(strict[i], false)) {
            return err_setf(err, -EINVAL, "a request cannot hold this method, host or path");
        }
    }
    for (guint i = 0; i < G_N_ELEMENTS(loose); i++) {
        if (loose[i] != NULL && !field_ok(loose[i], true)) {
            return err_setf(err, -EINVAL, "a request field holds a character that is not allowed");
        }
    }
    out = g_string_new(NULL);
    g_string_append_printf(out, "%s %s HTTP/1.1\r\nHost: %s\r\n", r->method, r->target, r->host);
    add_field(out, "Content-Type", r->content_type);
    add_field(out, "Authorization", r->authorization);
    add_field(out, "Cookie", r->cookie);
    add_field(out, "CSRFPreventionToken", r->csrf);
    add_field(out, "PVEClientIP", r->forwarded_for);
    add_field(out, "PVEDisableProxy", r->forwarded_for != NULL ? "true" : NULL);
    if (r->body_size > 0 || r->content_type != NULL) {
        g_string_append_printf(out, "Content-Length: %" G_GSIZE_FORMAT "\r\n", r->body_size);
    }
    g_string_append(out, "Accept: application/json\r\nConnection: close\r\n\r\n");
    g_string_append_len(out, r->body, (gssize)r->body_size);
    size = out->len;
    *ret = g_bytes_new_take(g_string_free(out, FALSE), size);
    return 0;
}

/* ---- answer ---------------------------------------------------------------------------------- */

void http_answer_done(HttpAnswer *a)
{
    g_clear_pointer(&a->reason, g_free);
    g_clear_pointer(&a->body, g_bytes_unref);
}

static int parse_status(const char *line, HttpAnswer *a, Err *err)
{
    if (!g_str_has_prefix(line, "HTTP/1.") || !g_ascii_isdigit(line[7]) || line[8] != ' ' ||
        !g_ascii_isdigit(line[9]) || !g_ascii_isdigit(line[10]) || !g_ascii_isdigit(line[11]) ||
        (line[12] != ' ' && line[12] != '\0')) {
        return err_setf(err, -EBADMSG, "the answer does not start with an HTTP status line");
    }
    a->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    a->reason = g_utf8_make_valid(line[12] == ' ' ? line + 13 : "", -1);
    return a->status >= 100 && a->status < 600
               ? 0
               : err_setf(err, -EBADMSG, "the answer has the impossible status %d", a->status);
}

typedef struct HeadFacts {
    bool has_length, chunked;
    guint64 length;
} HeadFacts;

static int parse_field(char *line, HeadFacts *facts, Err *err)
{
    char *colon = strchr(line, ':');
    const char *value;

    if (colon == NULL || colon == line) {
        return err_setf(err, -EBADMSG, "the answer has a damaged header field");
    }
    *colon = '\0';
    value = g_strstrip(colon + 1);
    if (g_ascii_strcasecmp(line, "Content-Length") == 0) {
        if (facts->has_length ||
            !g_ascii_string_to_unsigned(value, 10, 0, G_MAXINT64, &facts->length, NULL)) {
            return err_setf(err, -EBADMSG, "the answer has a damaged Content-Length");
        }
        facts->has_length = true;
    } else if (g_ascii_strcasecmp(line, "Transfer-Encoding") == 0) {
        facts->chunked = g_ascii_strcasecmp(value, "chunked") == 0;
        if (!facts->chunked) {
            return err_setf(err, -EBADMSG, "the answer has an unknown Transfer-Encoding");
        }
    }
    return 0;
}

static int parse_head(const char *data, gsize size, HttpAnswer *a, HeadFacts *facts, Err *err)
{
    g_autofree char *head = g_strndup(data, size);
    g_auto(GStrv) lines = NULL;
    int r;

    if (strlen(head) != size) {
        return err_setf(err, -EBADMSG, "the answer's header holds a NUL byte");
    }
    lines = g_strsplit(head, "\r\n", -1);
    if ((r = parse_status(lines[0], a, err)) < 0) {
        return r;
    }
    for (guint i = 1; lines[i] != NULL; i++) {
        if ((r = parse_field(lines[i], facts, err)) < 0) {
            return r;
        }
    }
    return 0;
}

/* One chunk: 1 taken, 0 more bytes needed, 2 the last one was seen. */
static int take_chunk(const char **pos, const char *end, GByteArray *body, Err *err)
{
    const char *eol = memmem(*pos, (gsize)(end - *pos), "\r\n", 2);
    guint64 n = 0;
    const char *c;

    if (eol == NULL) {
        return end - *pos > 64 ? err_setf(err, -EBADMSG, "the answer has a damaged chunk") : 0;
    }
    for (c = *pos; c < eol && g_ascii_isxdigit(*c); c++) {
        n = n * 16 + (guint64)g_ascii_xdigit_value(*c);
        if (n > WIRE_HTTP_BODY_MAX) {
            return err_setf(err, -E2BIG, "the answer is larger than %u bytes", WIRE_HTTP_BODY_MAX);
        }
    }
    if (c == *pos || (c < eol && *c != ';' && *c != ' ')) {
        return err_setf(err, -EBADMSG, "the answer has a damaged chunk");
    }
    if (n == 0) {
        return 2; /* trailer fields carry nothing that we use */
    }
    if ((guint64)(end - eol) < 2 + n + 2) {
        return 0;
    }
    if (memcmp(eol + 2 + n, "\r\n", 2) != 0) {
        return err_setf(err, -EBADMSG, "the answer has a damaged chunk");
    }
    if (body->len + n > WIRE_HTTP_BODY_MAX) {
        return err_setf(err, -E2BIG, "the answer is larger than %u bytes", WIRE_HTTP_BODY_MAX);
    }
    g_byte_array_append(body, (const guint8 *)eol + 2, (guint)n);
    *pos = eol + 2 + n + 2;
    return 1;
}

static int chunked_body(const char *pos, const char *end, GBytes **ret, Err *err)
{
    g_autoptr(GByteArray) body = g_byte_array_new();
    int r;

    while ((r = take_chunk(&pos, end, body, err)) == 1) {
    }
    if (r == 2) {
        *ret = g_byte_array_free_to_bytes(g_steal_pointer(&body));
        return 1;
    }
    return r;
}

static int
plain_body(const char *pos, gsize left, const HeadFacts *facts, bool closed, GBytes **ret, Err *err)
{
    if (facts->length > WIRE_HTTP_BODY_MAX || left > WIRE_HTTP_BODY_MAX) {
        return err_setf(err, -E2BIG, "the answer is larger than %u bytes", WIRE_HTTP_BODY_MAX);
    }
    if (facts->has_length ? left < facts->length : !closed) {
        return 0;
    }
    *ret = g_bytes_new(pos, facts->has_length ? (gsize)facts->length : left);
    return 1;
}

int wire_http_answer(const void *data, gsize size, bool closed, HttpAnswer *ret, Err *err)
{
    g_auto(HttpAnswer) a = {0};
    HeadFacts facts = {0};
    const char *text = data;
    const char *end = size > 0 ? memmem(text, size, "\r\n\r\n", 4) : NULL;
    const char *body;
    int r;

    if (end == NULL && size > WIRE_HTTP_HEAD_MAX) {
        return err_setf(err, -E2BIG, "the answer's header is larger than %u bytes",
                        WIRE_HTTP_HEAD_MAX);
    }
    if (end == NULL) {
        return closed ? err_setf(err, -EBADMSG, "the connection ended within the answer") : 0;
    }
    if ((r = parse_head(text, (gsize)(end - text), &a, &facts, err)) < 0) {
        return r;
    }
    body = end + 4;
    r = facts.chunked ? chunked_body(body, text + size, &a.body, err)
                      : plain_body(body, (gsize)(text + size - body), &facts, closed, &a.body, err);
    if (r == 0 && closed) {
        return err_setf(err, -EBADMSG, "the connection ended within the answer");
    }
    if (r == 1) {
        *ret = a;
        a = (HttpAnswer){0};
    }
    return r;
}
