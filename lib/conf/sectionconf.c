/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/conf/sectionconf.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static const char *skip_blanks(const char *s)
{
    while (is_blank(*s)) {
        s++;
    }
    return s;
}

static const char *skip_word(const char *s)
{
    while (*s != '\0' && !is_blank(*s)) {
        s++;
    }
    return s;
}

int sectionconf_check_configid(const char *id, Err *err)
{
    bool ok = g_ascii_isalpha(id[0]) && id[1] != '\0';

    for (const char *p = id; ok && *p != '\0'; p++) {
        ok = g_ascii_isalnum(*p) || *p == '_' || *p == '-';
    }
    return ok ? 0 : err_setf(err, -EINVAL, "invalid ID '%s'", id);
}

GPtrArray *sectionconf_split_list(const char *value)
{
    GPtrArray *out = g_ptr_array_new_with_free_func(g_free);
    const char *start = NULL;

    for (const char *p = value;; p++) {
        bool separator = *p == '\0' || *p == ',' || *p == ';' || is_blank(*p);

        if (!separator && start == NULL) {
            start = p;
        } else if (separator && start != NULL) {
            g_ptr_array_add(out, g_strndup(start, (gsize)(p - start)));
            start = NULL;
        }
        if (*p == '\0') {
            return out;
        }
    }
}

static void section_free(void *data)
{
    Section *s = data;

    if (s == NULL) {
        return;
    }
    g_free(s->id);
    g_free(s->key);
    strmap_free(s->values);
    g_ptr_array_unref(s->kept);
    g_free(s);
}

static Section *section_new(const SectionSchema *schema, const SectionType *type, const char *id)
{
    Section *s = g_new0(Section, 1);

    s->type = type;
    s->id = g_strdup(id);
    s->key = schema->key_has_type && type != NULL ? g_strdup_printf("%s:%s", type->name, id)
                                                  : g_strdup(id);
    s->values = strmap_new(g_free);
    s->kept = g_ptr_array_new_with_free_func(g_free);
    s->complete = true;
    return s;
}

static SectionConf *conf_new(const SectionSchema *schema)
{
    SectionConf *conf = g_new0(SectionConf, 1);

    conf->schema = schema;
    conf->sections = g_ptr_array_new_with_free_func(section_free);
    conf->by_key = g_hash_table_new(g_str_hash, g_str_equal);
    return conf;
}

void sectionconf_free(SectionConf *conf)
{
    if (conf == NULL) {
        return;
    }
    g_hash_table_unref(conf->by_key);
    g_ptr_array_unref(conf->sections);
    g_free(conf);
}

Section *sectionconf_get(const SectionConf *conf, const char *key)
{
    return g_hash_table_lookup(conf->by_key, key);
}

static const SectionType *find_type(const SectionSchema *schema, const char *name)
{
    for (size_t i = 0; i < schema->n_types; i++) {
        if (strcmp(schema->types[i].name, name) == 0) {
            return &schema->types[i];
        }
    }
    return NULL;
}

static const SectionProp *find_prop(const SectionType *type, const char *name)
{
    for (size_t i = 0; i < type->n_props; i++) {
        if (strcmp(type->props[i].name, name) == 0) {
            return &type->props[i];
        }
    }
    return NULL;
}

static int normalise_bool(const char *value, char **ret, Err *err)
{
    static const char *const yes[] = {"1", "on", "yes", "true", NULL};
    static const char *const no[] = {"0", "off", "no", "false", NULL};
    g_autofree char *lower = g_ascii_strdown(value != NULL ? value : "1", -1);

    if (g_strv_contains(yes, lower)) {
        *ret = g_strdup("1");
        return 0;
    }
    if (g_strv_contains(no, lower)) {
        *ret = g_strdup("0");
        return 0;
    }
    return err_setf(err, -EINVAL, "value '%s' is not a boolean", value);
}

static int normalise_int(const SectionProp *prop, const char *value, char **ret, Err *err)
{
    gint64 n;

    if (!g_ascii_string_to_signed(value, 10, prop->min, prop->max, &n, NULL)) {
        return err_setf(err, -EINVAL,
                        "value '%s' is not a number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
                        value, prop->min, prop->max);
    }
    *ret = g_strdup_printf("%" G_GINT64_FORMAT, n);
    return 0;
}

static int normalise_text(const SectionProp *prop, const char *value, char **ret, Err *err)
{
    if (prop->max > 0 && strlen(value) > (size_t)prop->max) {
        return err_setf(err, -EINVAL, "value is longer than %" G_GINT64_FORMAT " bytes", prop->max);
    }
    if (strpbrk(value, "\n\r") != NULL) {
        return err_setf(err, -EINVAL, "value spans more than one line");
    }
    *ret = g_strdup(value);
    return 0;
}

static int normalise(const SectionProp *prop, const char *value, char **ret, Err *err)
{
    if (prop->kind == SECTION_BOOL) {
        return normalise_bool(value, ret, err);
    }
    if (value == NULL || value[0] == '\0') {
        return err_setf(err, -EINVAL, "value is missing");
    }
    switch (prop->kind) {
    case SECTION_INT:
        return normalise_int(prop, value, ret, err);
    case SECTION_WORD:
        if (!g_strv_contains(prop->words, value)) {
            return err_setf(err, -EINVAL, "value '%s' is not known", value);
        }
        return normalise_text(prop, value, ret, err);
    case SECTION_LIST: {
        g_autoptr(GPtrArray) entries = sectionconf_split_list(value);

        if (entries->len == 0) {
            return err_setf(err, -EINVAL, "list '%s' is empty", value);
        }
        return normalise_text(prop, value, ret, err);
    }
    case SECTION_TEXT:
    case SECTION_BOOL:
        break;
    }
    return normalise_text(prop, value, ret, err);
}

int section_set(Section *s, const char *name, const char *value, Err *err)
{
    const SectionProp *prop = s->type != NULL ? find_prop(s->type, name) : NULL;
    char *normal = NULL;
    int r;

    if (prop == NULL) {
        return err_setf(err, -EINVAL, "unknown property '%s'", name);
    }
    r = normalise(prop, value, &normal, err);
    if (r < 0) {
        return err_wrapf(err, r, "property '%s'", name);
    }
    strmap_set(s->values, name, normal);
    return 0;
}

void section_unset(Section *s, const char *name)
{
    (void)strmap_remove(s->values, name); /* absent already is as good */
}

const char *section_text(const Section *s, const char *name)
{
    return strmap_get(s->values, name);
}

bool section_bool(const Section *s, const char *name, bool fallback)
{
    const char *v = section_text(s, name);

    return v != NULL ? v[0] == '1' : fallback;
}

int64_t section_int(const Section *s, const char *name, int64_t fallback)
{
    const char *v = section_text(s, name);

    return v != NULL ? g_ascii_strtoll(v, NULL, 10) : fallback;
}

/* What a parse run carries along. */
typedef struct Parser {
    SectionConf *conf;
    Section *current; /* borrowed; NULL between sections */
    unsigned line;
    SectionWarn warn;
    void *ctx;
} Parser;

static void __attribute__((format(printf, 2, 3))) warnf(const Parser *p, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list ap;

    if (p->warn == NULL) {
        return;
    }
    va_start(ap, fmt);
    (void)g_vsnprintf(text, sizeof text, fmt, ap); /* a cut warning is still a warning */
    va_end(ap);
    p->warn(p->ctx, p->line, text);
}

/*
 * `^(\S+):\s*(\S+)\s*$`, type greedy: the last colon of the first word after which exactly one word
 * is left. True when the line has that shape.
 */
static bool split_header(const char *line, char **ret_type, char **ret_id)
{
    const char *end = skip_word(line);

    for (const char *colon = end; colon > line; colon--) {
        const char *id = skip_blanks(colon);
        const char *id_end = skip_word(id);

        if (colon[-1] != ':' || colon - 1 == line) {
            continue;
        }
        if (id_end > id && *skip_blanks(id_end) == '\0') {
            *ret_type = g_ascii_strdown(line, colon - 1 - line);
            *ret_id = g_strndup(id, (gsize)(id_end - id));
            return true;
        }
    }
    return false;
}

/* A section whose header means nothing to us: its lines are kept, nothing else. */
static void open_unknown(Parser *p, const char *line)
{
    Section *s = section_new(p->conf->schema, NULL, "");

    s->complete = false;
    g_ptr_array_add(s->kept, g_strdup(line));
    g_ptr_array_add(p->conf->sections, s);
    p->current = s;
}

static void open_section(Parser *p, const char *line)
{
    g_autofree char *type_name = NULL;
    g_autofree char *id = NULL;
    const SectionType *type;
    Section *s;
    Err why = ERR_INIT;

    if (!split_header(line, &type_name, &id)) {
        warnf(p, "not a section header, skipping section: %.80s", line);
        open_unknown(p, line);
        return;
    }
    type = find_type(p->conf->schema, type_name);
    if (type == NULL) {
        warnf(p, "unknown section type '%.80s', skipping section", type_name);
        open_unknown(p, line);
        return;
    }
    if (type->check_id != NULL && type->check_id(id, &why) < 0) {
        warnf(p, "%s, skipping section", err_text(&why));
        open_unknown(p, line);
        return;
    }
    s = section_new(p->conf->schema, type, id);
    if (sectionconf_get(p->conf, s->key) != NULL) {
        warnf(p, "section '%s' is already defined, skipping section", s->key);
        section_free(s);
        open_unknown(p, line);
        return;
    }
    g_ptr_array_add(p->conf->sections, s);
    g_hash_table_insert(p->conf->by_key, s->key, s);
    p->current = s;
}

static void take_property(Parser *p, const char *line)
{
    Section *s = p->current;
    const char *name = skip_blanks(line);
    const char *name_end = skip_word(name);
    const char *value = skip_blanks(name_end);
    g_autofree char *key = NULL;
    g_autofree char *text = NULL;
    Err why = ERR_INIT;

    if (s->type == NULL) {
        g_ptr_array_add(s->kept, g_strdup(line));
        return;
    }
    if (name == line) {
        warnf(p, "section '%s': line is not a property (not indented): %.80s", s->key, line);
        g_ptr_array_add(s->kept, g_strdup(line));
        return;
    }
    key = g_strndup(name, (gsize)(name_end - name));
    text = *value != '\0' ? g_strchomp(g_strdup(value)) : NULL;
    if (strmap_has(s->values, key)) {
        warnf(p, "section '%s': property '%s' is repeated, ignoring it", s->key, key);
    } else if (section_set(s, key, text, &why) < 0) {
        warnf(p, "section '%s': %s, ignoring it", s->key, err_text(&why));
    } else {
        return;
    }
    g_ptr_array_add(s->kept, g_strdup(line));
}

static void close_section(Parser *p)
{
    Section *s = p->current;

    p->current = NULL;
    if (s == NULL || s->type == NULL) {
        return;
    }
    for (size_t i = 0; i < s->type->n_props; i++) {
        const SectionProp *prop = &s->type->props[i];

        if (prop->required && !strmap_has(s->values, prop->name)) {
            warnf(p, "section '%s': property '%s' is missing, ignoring section", s->key,
                  prop->name);
            s->complete = false;
        }
    }
    if (!s->complete) {
        g_hash_table_remove(p->conf->by_key, s->key);
    }
}

static int take_line(Parser *p, const char *line, Err *err)
{
    const char *first = skip_blanks(line);

    if (*first == '#') {
        return 0;
    }
    if (*first == '\0') {
        close_section(p);
        return 0;
    }
    if (p->current != NULL) {
        take_property(p, line);
        return 0;
    }
    if (p->conf->sections->len >= SECTIONCONF_SECTIONS_MAX) {
        return err_setf(err, -EFBIG, "line %u: more than %d sections", p->line,
                        SECTIONCONF_SECTIONS_MAX);
    }
    open_section(p, line);
    return 0;
}

int sectionconf_parse(const SectionSchema *schema,
                      const char *text,
                      size_t len,
                      SectionWarn warn,
                      void *ctx,
                      SectionConf **ret_conf,
                      Err *err)
{
    g_autoptr(SectionConf) conf = conf_new(schema);
    g_autofree char *digest = NULL;
    Parser p = {.conf = conf, .warn = warn, .ctx = ctx};
    size_t pos = 0;

    if (len > SECTIONCONF_TEXT_MAX) {
        return err_setf(err, -EFBIG, "file of %zu bytes is too large", len);
    }
    if (len > 0 && memchr(text, '\0', len) != NULL) {
        return err_setf(err, -EBADMSG, "file contains a NUL byte");
    }
    digest = g_compute_checksum_for_data(G_CHECKSUM_SHA1, (const guchar *)text, len);
    (void)g_strlcpy(conf->digest, digest, sizeof conf->digest); /* always 40 digits */
    while (pos < len) {
        const char *end = memchr(text + pos, '\n', len - pos);
        size_t n = end != NULL ? (size_t)(end - (text + pos)) : len - pos;
        g_autofree char *line = g_strndup(text + pos, n);
        int r;

        p.line++;
        r = take_line(&p, line, err);
        if (r < 0) {
            return r;
        }
        pos += n + 1;
    }
    close_section(&p);
    *ret_conf = g_steal_pointer(&conf);
    return 0;
}

int sectionconf_add(
    SectionConf *conf, const char *type_name, const char *id, Section **ret_section, Err *err)
{
    const SectionType *type = find_type(conf->schema, type_name);
    Section *s;
    int r;

    if (type == NULL) {
        return err_setf(err, -EINVAL, "unknown section type '%s'", type_name);
    }
    r = type->check_id != NULL ? type->check_id(id, err) : 0;
    if (r < 0) {
        return r;
    }
    if (conf->sections->len >= SECTIONCONF_SECTIONS_MAX) {
        return err_setf(err, -EFBIG, "more than %d sections", SECTIONCONF_SECTIONS_MAX);
    }
    s = section_new(conf->schema, type, id);
    if (sectionconf_get(conf, s->key) != NULL) {
        r = err_setf(err, -EEXIST, "section '%s' already defined", s->key);
        section_free(s);
        return r;
    }
    g_ptr_array_add(conf->sections, s);
    g_hash_table_insert(conf->by_key, s->key, s);
    *ret_section = s;
    return 0;
}

bool sectionconf_remove(SectionConf *conf, const char *key)
{
    Section *s = sectionconf_get(conf, key);

    if (s == NULL) {
        return false;
    }
    g_hash_table_remove(conf->by_key, s->key);
    return g_ptr_array_remove(conf->sections, s);
}

static void put_property(GString *out, const char *name, const char *value)
{
    g_string_append_printf(out, "\t%s %s\n", name, value);
}

/* Required or optional properties, in alphabetical order; `comment` and a true `disable` lead. */
static void put_properties(GString *out, const Section *s, bool required)
{
    for (guint i = 0; i < strmap_size(s->values); i++) {
        const char *name = strmap_key(s->values, i);
        const char *value = strmap_value(s->values, i);
        const SectionProp *prop = find_prop(s->type, name);

        assert(prop != NULL);
        if (prop->required != required || strcmp(name, "comment") == 0 ||
            (strcmp(name, "disable") == 0 && value[0] == '1')) {
            continue;
        }
        put_property(out, name, value);
    }
}

static void put_section(GString *out, const Section *s)
{
    if (s->type != NULL) {
        const char *comment = section_text(s, "comment");

        g_string_append_printf(out, "%s: %s\n", s->type->name, s->id);
        if (comment != NULL) {
            put_property(out, "comment", comment);
        }
        if (section_bool(s, "disable", false)) {
            g_string_append(out, "\tdisable\n");
        }
        put_properties(out, s, true);
        put_properties(out, s, false);
    }
    for (guint i = 0; i < s->kept->len; i++) {
        g_string_append_printf(out, "%s\n", (const char *)g_ptr_array_index(s->kept, i));
    }
    g_string_append_c(out, '\n');
}

char *sectionconf_format(const SectionConf *conf)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < conf->sections->len; i++) {
        put_section(out, g_ptr_array_index(conf->sections, i));
    }
    return g_string_free(out, FALSE);
}
