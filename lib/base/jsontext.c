/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/jsontext.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* The index behind the string that begins at `i`; `size` when it does not end. */
static gsize skip_string(const char *text, gsize size, gsize i)
{
    for (i++; i < size && text[i] != '"'; i++) {
        i += text[i] == '\\';
    }
    return MIN(i + 1, size);
}

int json_check_outline(const char *text, gsize size, unsigned depth_max, Err *err)
{
    unsigned depth = 0;
    bool ended = false;

    for (gsize i = 0; i < size; i++) {
        char c = text[i];

        if (g_ascii_isspace(c)) {
            continue;
        }
        if (ended) {
            return err_setf(err, -EBADMSG, "more after the end of the JSON text");
        }
        if (c == '{' || c == '[') {
            if (++depth > depth_max) {
                return err_setf(err, -EBADMSG, "nested deeper than %u levels", depth_max);
            }
        } else if (depth == 0) {
            return err_setf(err, -EBADMSG, "no JSON object or array");
        } else if (c == '}' || c == ']') {
            ended = --depth == 0;
        } else if (c == '"') {
            i = skip_string(text, size, i) - 1;
        } else if (!g_ascii_isalnum(c) && memchr(",:+-.", c, 5) == NULL) {
            return err_setf(err, -EBADMSG, "a character that JSON does not have");
        }
    }
    return ended ? 0 : err_setf(err, -EBADMSG, "the JSON text has no end");
}

static void append_char(GString *out, unsigned char c)
{
    if (c == '"' || c == '\\') {
        g_string_append_c(out, '\\');
        g_string_append_c(out, (char)c);
    } else if (c == '\n') {
        g_string_append(out, "\\n");
    } else if (c == '\t') {
        g_string_append(out, "\\t");
    } else if (c == '\r') {
        g_string_append(out, "\\r");
    } else if (c < 0x20 || c == 0x7f) {
        g_string_append_printf(out, "\\u%04x", c);
    } else {
        g_string_append_c(out, (char)c);
    }
}

void json_append_string_len(GString *out, const char *s, gsize len)
{
    g_string_append_c(out, '"');
    while (len > 0) {
        gunichar wide = g_utf8_get_char_validated(s, (gssize)len);
        gsize step;

        if (s[0] == '\0') {
            g_string_append(out, "\\u0000");
            step = 1;
        } else if (wide == (gunichar)-1 || wide == (gunichar)-2) {
            g_string_append(out, "\\ufffd");
            step = 1;
        } else if (wide < 0x80) {
            append_char(out, (unsigned char)wide);
            step = 1;
        } else {
            step = (gsize)g_utf8_skip[(unsigned char)s[0]];
            g_string_append_len(out, s, (gssize)step);
        }
        s += step;
        len -= step;
    }
    g_string_append_c(out, '"');
}

void json_append_string(GString *out, const char *s)
{
    json_append_string_len(out, s, strlen(s));
}
