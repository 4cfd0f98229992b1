/* SPDX-License-Identifier: Apache-2.0 */
#include "api/core/api_ignored.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

static bool is_key(const char *text, gsize size)
{
    for (gsize i = 0; i < size; i++) {
        if (!g_ascii_isupper(text[i]) && !g_ascii_isdigit(text[i]) && text[i] != '_') {
            return false;
        }
    }
    return size > 0 && size <= 64;
}

char *api_ignored_keys(const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (guint i = 0; lines[i] != NULL; i++) {
        const char *line = g_strstrip(lines[i]);
        const char *equals = strchr(line, '=');
        gsize n = equals != NULL ? (gsize)(equals - line) : 0;

        if (is_key(line, n)) {
            g_string_append_printf(out, "%s%.*s", out->len > 0 ? ", " : "", (int)n, line);
        }
    }
    return out->len > 0 ? g_string_free(g_steal_pointer(&out), FALSE) : NULL;
}
