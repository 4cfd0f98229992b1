/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/conf/corosync_conf.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

struct CorosyncConf {
    CorosyncItem *root;
};

/* ---- items --------------------------------------------------------------------------------- */

static void item_free(void *p)
{
    CorosyncItem *item = p;

    if (item == NULL) {
        return;
    }
    g_free(item->name);
    g_free(item->value);
    g_free(item->trailing);
    g_clear_pointer(&item->items, g_ptr_array_unref);
    g_free(item);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CorosyncItem, item_free)

static CorosyncItem *item_new(CorosyncItemKind kind, char *name, char *value, unsigned line)
{
    CorosyncItem *item = g_new0(CorosyncItem, 1);

    item->kind = kind;
    item->name = name;
    item->value = value;
    item->line = line;
    if (kind == COROSYNC_ITEM_SECTION) {
        item->items = g_ptr_array_new_with_free_func(item_free);
    }
    return item;
}

static CorosyncItem *child_at(const CorosyncItem *section, guint i)
{
    return g_ptr_array_index(section->items, i);
}

CorosyncConf *corosync_conf_new(void)
{
    CorosyncConf *conf = g_new0(CorosyncConf, 1);

    conf->root = item_new(COROSYNC_ITEM_SECTION, g_strdup(""), NULL, 0);
    return conf;
}

void corosync_conf_free(CorosyncConf *conf)
{
    if (conf != NULL) {
        item_free(conf->root);
        g_free(conf);
    }
}

CorosyncItem *corosync_conf_root(const CorosyncConf *conf)
{
    return conf->root;
}

/* ---- reading ------------------------------------------------------------------------------- */

typedef struct Parser {
    const char *pos, *end;
    unsigned line;
    unsigned n_items;
    CorosyncItem *open[COROSYNC_CONF_DEPTH_MAX + 1]; /* sections from the root to the innermost */
    unsigned open_line[COROSYNC_CONF_DEPTH_MAX + 1];
    unsigned depth;
    CorosyncItem *last; /* item a trailing comment belongs to, while still on its line */
    bool line_used;     /* a token was seen on this line */
    Err *err;
} Parser;

static int add_item(Parser *p, CorosyncItem *item)
{
    g_ptr_array_add(p->open[p->depth]->items, item);
    p->last = item;
    p->line_used = true;
    if (++p->n_items > COROSYNC_CONF_ITEMS_MAX) {
        return err_setf(p->err, -E2BIG, "line %u: more than %u lines and keys", p->line,
                        COROSYNC_CONF_ITEMS_MAX);
    }
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool name_char(char c)
{
    return g_ascii_isalnum(c) || c == '_' || c == '-' || c == '.';
}

/* Up to, not including, `\n`; without blanks at either end. */
static char *take_rest_of_line(Parser *p)
{
    const char *start = p->pos;
    const char *stop = memchr(p->pos, '\n', (size_t)(p->end - p->pos));

    stop = stop != NULL ? stop : p->end;
    p->pos = stop;
    while (stop > start && is_blank(stop[-1])) {
        stop--;
    }
    return g_strndup(start, (gsize)(stop - start));
}

/* A value reaches to the end of the line, to a comment, or to the `}` of a one-line section. */
static char *take_value(Parser *p)
{
    const char *start = p->pos;
    const char *stop;

    while (p->pos < p->end && *p->pos != '\n') {
        if ((*p->pos == '#' || *p->pos == '}') && (p->pos == start || is_blank(p->pos[-1]))) {
            break;
        }
        p->pos++;
    }
    stop = p->pos;
    while (stop > start && is_blank(stop[-1])) {
        stop--;
    }
    return g_strndup(start, (gsize)(stop - start));
}

static int parse_comment(Parser *p)
{
    g_autofree char *text = take_rest_of_line(p);

    if (p->line_used && p->last != NULL && p->last->trailing == NULL) {
        p->last->trailing = g_steal_pointer(&text);
        return 0;
    }
    return add_item(p, item_new(COROSYNC_ITEM_COMMENT, NULL, g_steal_pointer(&text), p->line));
}

static int parse_close(Parser *p)
{
    if (p->depth == 0) {
        return err_setf(p->err, -EBADMSG, "line %u: '}' without an open section", p->line);
    }
    p->pos++;
    p->last = NULL; /* a comment behind `}` becomes a line of its own */
    p->depth--;
    p->line_used = true;
    return 0;
}

static int parse_section(Parser *p, char *name)
{
    CorosyncItem *item = item_new(COROSYNC_ITEM_SECTION, name, NULL, p->line);
    int r = add_item(p, item);

    if (r < 0) {
        return r;
    }
    if (p->depth == COROSYNC_CONF_DEPTH_MAX) {
        return err_setf(p->err, -E2BIG, "line %u: sections nested deeper than %u", p->line,
                        COROSYNC_CONF_DEPTH_MAX);
    }
    p->depth++;
    p->open[p->depth] = item;
    p->open_line[p->depth] = p->line;
    return 0;
}

static void skip_blanks(Parser *p)
{
    while (p->pos < p->end && is_blank(*p->pos)) {
        p->pos++;
    }
}

static int parse_key(Parser *p, char *owned_name)
{
    g_autofree char *name = owned_name;
    g_autofree char *value = NULL;

    skip_blanks(p);
    value = take_value(p);
    if (*value == '\0') {
        return err_setf(p->err, -EBADMSG, "line %u: key '%s' has no value", p->line, name);
    }
    if (p->depth == 0) {
        return err_setf(p->err, -EBADMSG, "line %u: key '%s' stands outside of any section",
                        p->line, name);
    }
    return add_item(
        p, item_new(COROSYNC_ITEM_KEY, g_steal_pointer(&name), g_steal_pointer(&value), p->line));
}

static int parse_word(Parser *p)
{
    const char *start = p->pos;
    g_autofree char *name = NULL;

    while (p->pos < p->end && name_char(*p->pos)) {
        p->pos++;
    }
    if (p->pos == start) {
        return err_setf(p->err, -EBADMSG, "line %u: unexpected character '%c'", p->line,
                        g_ascii_isprint(*start) ? *start : '?');
    }
    name = g_strndup(start, (gsize)(p->pos - start));
    skip_blanks(p);
    if (p->pos < p->end && *p->pos == ':') {
        p->pos++;
        return parse_key(p, g_steal_pointer(&name));
    }
    if (p->pos < p->end && *p->pos == '{') {
        p->pos++;
        return parse_section(p, g_steal_pointer(&name));
    }
    return err_setf(p->err, -EBADMSG, "line %u: '%s' is neither 'key: value' nor 'section {'",
                    p->line, name);
}

static int end_of_line(Parser *p)
{
    int r = 0;

    if (!p->line_used) {
        r = add_item(p, item_new(COROSYNC_ITEM_COMMENT, NULL, g_strdup(""), p->line));
    }
    p->pos++;
    p->line++;
    p->last = NULL;
    p->line_used = false;
    return r;
}

static int parse_one(Parser *p)
{
    char c = *p->pos;

    if (is_blank(c)) {
        skip_blanks(p);
        return 0;
    }
    if (c == '\n') {
        return end_of_line(p);
    }
    if (c == '#') {
        return parse_comment(p);
    }
    if (c == '}') {
        return parse_close(p);
    }
    return parse_word(p);
}

int corosync_conf_parse(const char *text, size_t size, CorosyncConf **ret, Err *err)
{
    g_autoptr(CorosyncConf) conf = corosync_conf_new();
    Parser p = {.pos = text, .end = text + size, .line = 1, .err = err};

    if (size > COROSYNC_CONF_SIZE_MAX) {
        return err_setf(err, -E2BIG, "%zu bytes are more than the %u a corosync.conf may have",
                        size, COROSYNC_CONF_SIZE_MAX);
    }
    if (size > 0 && memchr(text, '\0', size) != NULL) {
        return err_setf(err, -EBADMSG, "contains a NUL byte: no text file");
    }
    p.open[0] = conf->root;
    while (p.pos < p.end) {
        int r = parse_one(&p);

        if (r < 0) {
            return r;
        }
    }
    if (p.depth > 0) {
        return err_setf(err, -EBADMSG, "line %u: section '%s' is never closed",
                        p.open_line[p.depth], p.open[p.depth]->name);
    }
    *ret = g_steal_pointer(&conf);
    return 0;
}

/* ---- writing ------------------------------------------------------------------------------- */

static void format_trailing(const CorosyncItem *item, GString *out)
{
    if (item->trailing != NULL) {
        g_string_append_printf(out, " %s", item->trailing);
    }
    g_string_append_c(out, '\n');
}

static void format_items(const CorosyncItem *section, unsigned depth, GString *out);

static void format_item(const CorosyncItem *item, unsigned depth, GString *out)
{
    int indent = (int)depth * 2;

    switch (item->kind) {
    case COROSYNC_ITEM_COMMENT:
        if (*item->value == '\0') {
            g_string_append_c(out, '\n');
        } else {
            g_string_append_printf(out, "%*s%s\n", indent, "", item->value);
        }
        break;
    case COROSYNC_ITEM_KEY:
        g_string_append_printf(out, "%*s%s: %s", indent, "", item->name, item->value);
        format_trailing(item, out);
        break;
    case COROSYNC_ITEM_SECTION:
        g_string_append_printf(out, "%*s%s {", indent, "", item->name);
        format_trailing(item, out);
        format_items(item, depth + 1, out);
        g_string_append_printf(out, "%*s}\n", indent, "");
        break;
    }
}

static bool is_blank_line(const CorosyncItem *item)
{
    return item->kind == COROSYNC_ITEM_COMMENT && *item->value == '\0';
}

static void format_items(const CorosyncItem *section, unsigned depth, GString *out)
{
    for (guint i = 0; i < section->items->len; i++) {
        const CorosyncItem *item = child_at(section, i);

        format_item(item, depth, out);
        /* One empty line behind each top level section, also where the text had none. */
        if (depth == 0 && item->kind == COROSYNC_ITEM_SECTION &&
            (i + 1 == section->items->len || !is_blank_line(child_at(section, i + 1)))) {
            g_string_append_c(out, '\n');
        }
    }
}

char *corosync_conf_format(const CorosyncConf *conf)
{
    GString *out = g_string_new(NULL);

    format_items(conf->root, 0, out);
    return g_string_free(out, FALSE);
}

/* ---- finding ------------------------------------------------------------------------------- */

static CorosyncItem *find(const CorosyncItem *section, CorosyncItemKind kind, const char *name)
{
    for (guint i = 0; i < section->items->len; i++) {
        CorosyncItem *item = child_at(section, i);

        if (item->kind == kind && strcmp(item->name, name) == 0) {
            return item;
        }
    }
    return NULL;
}

CorosyncItem *corosync_section(const CorosyncItem *section, const char *name)
{
    return find(section, COROSYNC_ITEM_SECTION, name);
}

const CorosyncItem *corosync_key(const CorosyncItem *section, const char *name)
{
    return find(section, COROSYNC_ITEM_KEY, name);
}

GPtrArray *corosync_sections(const CorosyncItem *section, const char *name)
{
    GPtrArray *found = g_ptr_array_new();

    for (guint i = 0; i < section->items->len; i++) {
        CorosyncItem *item = child_at(section, i);

        if (item->kind == COROSYNC_ITEM_SECTION && strcmp(item->name, name) == 0) {
            g_ptr_array_add(found, item);
        }
    }
    return found;
}

const char *corosync_conf_get(const CorosyncConf *conf, const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, ".", -1);
    const CorosyncItem *at = conf->root;
    const CorosyncItem *key;
    guint n = g_strv_length(parts);

    assert(n >= 2);
    for (guint i = 0; i + 1 < n; i++) {
        at = corosync_section(at, parts[i]);
        if (at == NULL) {
            return NULL;
        }
    }
    key = corosync_key(at, parts[n - 1]);
    return key != NULL ? key->value : NULL;
}

bool corosync_conf_get_u64(const CorosyncConf *conf, const char *path, uint64_t *ret)
{
    const char *text = corosync_conf_get(conf, path);
    guint64 v;

    if (text == NULL || !g_ascii_string_to_unsigned(text, 10, 0, UINT64_MAX, &v, NULL)) {
        return false;
    }
    *ret = v;
    return true;
}

/* ---- changing ------------------------------------------------------------------------------ */

/* Where a new child belongs: behind the last one with a name not greater, else before the first
 * greater one; trailing blank lines of the section stay at its end. */
static guint insert_position(const CorosyncItem *section, const char *name)
{
    guint at = 0;

    for (guint i = 0; i < section->items->len; i++) {
        const CorosyncItem *item = child_at(section, i);

        if (item->kind != COROSYNC_ITEM_COMMENT && strcmp(item->name, name) <= 0) {
            at = i + 1;
        }
    }
    /* At the top level keep the blank line with the section above it. */
    while (at > 0 && at < section->items->len && is_blank_line(child_at(section, at))) {
        at++;
    }
    return at;
}

void corosync_item_set(CorosyncItem *section, const char *name, const char *value)
{
    CorosyncItem *item = find(section, COROSYNC_ITEM_KEY, name);

    assert(*value != '\0' && strchr(value, '\n') == NULL);
    if (item == NULL) {
        item = item_new(COROSYNC_ITEM_KEY, g_strdup(name), NULL, 0);
        g_ptr_array_insert(section->items, (gint)insert_position(section, name), item);
    }
    g_free(item->value);
    item->value = g_strdup(value);
}

CorosyncItem *corosync_item_add_section(CorosyncItem *section, const char *name)
{
    CorosyncItem *item = item_new(COROSYNC_ITEM_SECTION, g_strdup(name), NULL, 0);

    g_ptr_array_insert(section->items, (gint)insert_position(section, name), item);
    return item;
}

void corosync_conf_set(CorosyncConf *conf, const char *path, const char *value)
{
    g_auto(GStrv) parts = g_strsplit(path, ".", -1);
    CorosyncItem *at = conf->root;
    guint n = g_strv_length(parts);

    assert(n >= 2);
    for (guint i = 0; i + 1 < n; i++) {
        CorosyncItem *next = corosync_section(at, parts[i]);

        at = next != NULL ? next : corosync_item_add_section(at, parts[i]);
    }
    corosync_item_set(at, parts[n - 1], value);
}

void corosync_item_remove(CorosyncItem *section, const CorosyncItem *child)
{
    guint at;
    gboolean found = g_ptr_array_find(section->items, child, &at);

    assert(found);
    g_ptr_array_remove_index(section->items, at);
    while (at > 0 && child_at(section, at - 1)->kind == COROSYNC_ITEM_COMMENT &&
           !is_blank_line(child_at(section, at - 1))) {
        g_ptr_array_remove_index(section->items, --at);
    }
}

/* ---- version and digest -------------------------------------------------------------------- */

uint64_t corosync_conf_version(const CorosyncConf *conf)
{
    uint64_t v = 0;

    (void)corosync_conf_get_u64(conf, "totem.config_version", &v); /* absent counts as 0 */
    return v;
}

bool corosync_text_version(const char *text, size_t size, uint64_t *ret)
{
    static const char word[] = "config_version";
    const char *end = text + size;
    const char *at = text;

    if (size == 0) {
        return false; /* there may be no pointer either */
    }
    while ((at = memmem(at, (size_t)(end - at), word, sizeof word - 1)) != NULL) {
        uint64_t v = 0;
        const char *digits;

        at += sizeof word - 1;
        const char *c = at;
        while (c < end && g_ascii_isspace(*c)) {
            c++;
        }
        if (c == end || *c != ':') {
            continue;
        }
        for (c++; c < end && g_ascii_isspace(*c); c++) {
        }
        for (digits = c; c < end && g_ascii_isdigit(*c); c++) {
            v = v > (UINT64_MAX - 9) / 10 ? UINT64_MAX / 10 : v * 10 + (uint64_t)(*c - '0');
        }
        if (c > digits) {
            *ret = v;
            return true;
        }
    }
    return false;
}

char *corosync_text_digest(const char *text, size_t size)
{
    return g_compute_checksum_for_data(G_CHECKSUM_SHA1, (const guchar *)text, size);
}
