/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/guestprops.h"

#include "lib/base/jsontext.h"

#include <string.h>

typedef struct Line {
    char *key;
    char *json; /* the value as a JSON string, quotes included */
} Line;

struct GuestProps {
    GArray *lines; /* of Line, in file order */
};

static void line_clear(gpointer data)
{
    Line *line = data;

    g_free(line->key);
    g_free(line->json);
}

static void add_line(GuestProps *p, const char *s, size_t len)
{
    const char *colon = memchr(s, ':', len);
    const char *end = s + len;
    const char *value;
    g_autoptr(GString) json = NULL;
    Line line;

    if (colon == NULL || colon == s || colon + 1 == end) {
        return; /* no name, or nothing behind it */
    }
    for (value = colon + 1; value < end && g_ascii_isspace(*value); value++) {
    }
    for (; end > value && g_ascii_isspace(end[-1]); end--) {
    }
    json = g_string_new(NULL);
    json_append_string_len(json, value, (gsize)(end - value));
    line.key = g_strndup(s, (gsize)(colon - s));
    line.json = g_strdup(json->str);
    g_array_append_val(p->lines, line);
}

GuestProps *guestprops_parse(const char *text, size_t size)
{
    GuestProps *p = g_new0(GuestProps, 1);
    const char *end = text + size;

    p->lines = g_array_new(FALSE, FALSE, sizeof(Line));
    g_array_set_clear_func(p->lines, line_clear);
    while (text < end && *text != '[') {
        const char *nl = memchr(text, '\n', (size_t)(end - text));
        const char *stop = nl != NULL ? nl : end;

        add_line(p, text, (size_t)(stop - text));
        text = nl != NULL ? nl + 1 : end;
    }
    return p;
}

void guestprops_free(GuestProps *p)
{
    if (p != NULL) {
        g_array_unref(p->lines);
        g_free(p);
    }
}

/* Index of `key` in the names, -1 when it was not asked for. */
static int find_name(const char *key, const char *names, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(key, names) == 0) {
            return (int)i;
        }
        names += strlen(names) + 1;
    }
    return -1;
}

bool guestprops_format(
    const GuestProps *p, uint32_t vmid, const char *names, unsigned n, GString *out)
{
    g_autofree const char **hits = g_new0(const char *, n);
    const char *sep = "";
    unsigned seen = 0;

    for (guint i = 0; i < p->lines->len && seen <= n; i++) {
        const Line *line = &g_array_index(p->lines, Line, i);
        int at = find_name(line->key, names, n);

        if (at >= 0) {
            hits[at] = line->json;
            seen++;
        }
    }
    if (seen == 0) {
        return false;
    }
    g_string_append_printf(out, "\"%u\":{", vmid);
    for (unsigned i = 0; i < n; i++) {
        if (hits[i] != NULL) {
            g_string_append(out, sep);
            json_append_string(out, names);
            g_string_append(out, ": ");
            g_string_append(out, hits[i]);
            sep = ",";
        }
        names += strlen(names) + 1;
    }
    g_string_append_c(out, '}');
    return true;
}
