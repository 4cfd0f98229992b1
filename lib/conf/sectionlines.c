/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/conf/sectionlines.h"

#include <errno.h>
#include <string.h>

static void line_free(void *data)
{
    SectionLine *l = data;

    g_free(l->key);
    g_free(l->value);
    g_free(l);
}

static void entry_free(void *data)
{
    SectionLinesEntry *e = data;

    g_free(e->type);
    g_free(e->id);
    g_ptr_array_unref(e->lines);
    g_free(e->error);
    g_free(e);
}

void sectionlines_free(SectionLines *s)
{
    if (s != NULL) {
        g_ptr_array_unref(s->sections);
        g_free(s);
    }
}

const char *sectionlines_get(const SectionLinesEntry *s, const char *key)
{
    for (guint i = 0; i < s->lines->len; i++) {
        const SectionLine *l = s->lines->pdata[i];
        if (strcmp(l->key, key) == 0) {
            return l->value;
        }
    }
    return NULL;
}

static void open_section(SectionLines *s, const char *text, unsigned line)
{
    SectionLinesEntry *e = g_new0(SectionLinesEntry, 1);
    const char *colon = strchr(text, ':');

    e->line = line;
    e->lines = g_ptr_array_new_with_free_func(line_free);
    if (colon != NULL) {
        e->type = g_strndup(text, (gsize)(colon - text));
        e->id = g_strdup(colon + 1);
    } else {
        e->type = g_strdup("");
        e->id = g_strdup(text);
    }
    g_strstrip(e->id);
    if (e->id[0] == '\0' || strpbrk(e->id, " \t") != NULL || strpbrk(e->type, " \t") != NULL) {
        e->error = g_strdup_printf("line %u: '%.60s' is not a section header", line, text);
    }
    g_ptr_array_add(s->sections, e);
}

static void add_property(SectionLinesEntry *e, const char *text, unsigned line)
{
    size_t len = strcspn(text, " \t");
    SectionLine *l = g_new(SectionLine, 1);

    *l = (SectionLine){.key = g_strndup(text, len), .value = g_strdup(text + len), .line = line};
    g_strstrip(l->value);
    g_ptr_array_add(e->lines, l);
}

static int parse_line(SectionLines *s, char *text, unsigned line, Err *err)
{
    size_t indent = strspn(text, " \t");

    g_strchomp(text);
    if (text[indent] == '\0' || text[indent] == '#') {
        return 0;
    }
    if (indent == 0) {
        if (s->sections->len >= SECTIONLINES_SECTIONS_MAX) {
            return err_setf(err, -E2BIG, "more than %d sections", SECTIONLINES_SECTIONS_MAX);
        }
        open_section(s, text, line);
        return 0;
    }
    if (s->sections->len == 0) {
        return err_setf(err, -EBADMSG, "line %u: '%.60s' belongs to no section", line,
                        text + indent);
    }
    add_property(s->sections->pdata[s->sections->len - 1], text + indent, line);
    return 0;
}

int sectionlines_parse(const char *text, size_t len, SectionLines **ret, Err *err)
{
    g_autoptr(SectionLines) s = g_new0(SectionLines, 1);
    g_autofree char *copy = NULL;
    char *next;
    unsigned line = 0;

    s->sections = g_ptr_array_new_with_free_func(entry_free);
    if (len > SECTIONLINES_TEXT_MAX) {
        return err_setf(err, -EFBIG, "larger than %d bytes", SECTIONLINES_TEXT_MAX);
    }
    if (len > 0 && memchr(text, '\0', len) != NULL) {
        return err_setf(err, -EBADMSG, "holds a NUL byte");
    }
    copy = g_strndup(text != NULL ? text : "", len);
    for (char *at = copy; at != NULL; at = next) {
        char *end = strchr(at, '\n');
        int r;

        next = end != NULL ? end + 1 : NULL;
        if (end != NULL) {
            *end = '\0';
        }
        r = parse_line(s, at, ++line, err);
        if (r < 0) {
            return r;
        }
    }
    *ret = g_steal_pointer(&s);
    return 0;
}
