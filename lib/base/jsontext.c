/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/jsontext.h"

#include <string.h>

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
