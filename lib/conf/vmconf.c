/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/conf/vmconf.h"

#include "lib/conf/propstring.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define SPECIAL_PREFIX "special:"

/* ------------------------------------------------------------- life cycle */

static void entry_free(void *data)
{
    VmEntry *e = data;

    g_free(e->key);
    g_free(e->value);
    g_free(e);
}

static void section_free(void *data)
{
    VmSection *s = data;

    g_free(s->name);
    g_free(s->description);
    g_ptr_array_unref(s->entries);
    g_ptr_array_unref(s->kept);
    g_free(s);
}

static VmSection *section_new(VmSectionKind kind, const char *name, unsigned line)
{
    VmSection *s = g_new0(VmSection, 1);

    s->kind = kind;
    s->name = g_strdup(name);
    s->entries = g_ptr_array_new_with_free_func(entry_free);
    s->kept = g_ptr_array_new_with_free_func(g_free);
    s->line = line;
    return s;
}

VmConf *vmconf_new(void)
{
    VmConf *conf = g_new0(VmConf, 1);

    conf->sections = g_ptr_array_new_with_free_func(section_free);
    g_ptr_array_add(conf->sections, section_new(VM_SECTION_MAIN, "", 0));
    return conf;
}

void vmconf_free(VmConf *conf)
{
    if (conf != NULL) {
        g_ptr_array_unref(conf->sections);
        g_free(conf);
    }
}

void vmsection_assign(VmSection *to, const VmSection *from)
{
    if (to == from) {
        return;
    }
    g_ptr_array_set_size(to->entries, 0);
    g_ptr_array_set_size(to->kept, 0);
    for (guint i = 0; i < from->entries->len; i++) {
        const VmEntry *e = from->entries->pdata[i];
        VmEntry *copy = g_new(VmEntry, 1);
        *copy = (VmEntry){g_strdup(e->key), g_strdup(e->value), e->line};
        g_ptr_array_add(to->entries, copy);
    }
    for (guint i = 0; i < from->kept->len; i++) {
        g_ptr_array_add(to->kept, g_strdup(from->kept->pdata[i]));
    }
    vmsection_set_description(to, from->description);
}

VmConf *vmconf_copy(const VmConf *conf)
{
    VmConf *copy = vmconf_new();

    g_ptr_array_set_size(copy->sections, 0);
    for (guint i = 0; i < conf->sections->len; i++) {
        const VmSection *s = conf->sections->pdata[i];
        VmSection *t = section_new(s->kind, s->name, s->line);
        vmsection_assign(t, s);
        g_ptr_array_add(copy->sections, t);
    }
    memcpy(copy->digest, conf->digest, sizeof copy->digest);
    return copy;
}

/* ----------------------------------------------------------------- access */

static bool has_name(VmSectionKind kind)
{
    return kind != VM_SECTION_MAIN && kind != VM_SECTION_PENDING;
}

static int find_section(const VmConf *conf, VmSectionKind kind, const char *name)
{
    for (guint i = 0; i < conf->sections->len; i++) {
        const VmSection *s = conf->sections->pdata[i];
        if (s->kind == kind && (!has_name(kind) || strcmp(s->name, name) == 0)) {
            return (int)i;
        }
    }
    return -1;
}

VmSection *vmconf_section(const VmConf *conf, VmSectionKind kind, const char *name)
{
    int i = find_section(conf, kind, name);

    return i >= 0 ? conf->sections->pdata[i] : NULL;
}

VmSection *vmconf_main(const VmConf *conf)
{
    return conf->sections->pdata[0];
}

VmSection *vmconf_need_section(VmConf *conf, VmSectionKind kind, const char *name)
{
    VmSection *s = vmconf_section(conf, kind, name);

    if (s == NULL) {
        s = section_new(kind, has_name(kind) ? name : "", 0);
        g_ptr_array_add(conf->sections, s);
    }
    return s;
}

bool vmconf_remove_section(VmConf *conf, VmSectionKind kind, const char *name)
{
    int i = find_section(conf, kind, name);

    assert(kind != VM_SECTION_MAIN);
    if (i < 0) {
        return false;
    }
    g_ptr_array_remove_index(conf->sections, (guint)i);
    return true;
}

/* Where `key` is, or where it belongs; true when it is there. */
static bool find_entry(const VmSection *s, const char *key, guint *ret_index)
{
    guint low = 0;
    guint high = s->entries->len;

    while (low < high) {
        guint middle = (low + high) / 2;
        int order = strcmp(((const VmEntry *)s->entries->pdata[middle])->key, key);
        if (order == 0) {
            *ret_index = middle;
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_index = low;
    return false;
}

const VmEntry *vmsection_entry(const VmSection *s, const char *key)
{
    guint i;

    return find_entry(s, key, &i) ? s->entries->pdata[i] : NULL;
}

const char *vmsection_get(const VmSection *s, const char *key)
{
    const VmEntry *e = vmsection_entry(s, key);

    return e != NULL ? e->value : NULL;
}

/* True when the key was there before. */
static bool put_entry(VmSection *s, const char *key, const char *value, unsigned line)
{
    guint i;

    if (find_entry(s, key, &i)) {
        VmEntry *e = s->entries->pdata[i];
        char *old = e->value;
        e->value = g_strdup(value); /* `value` may be the old one */
        e->line = line;
        g_free(old);
        return true;
    }
    VmEntry *e = g_new(VmEntry, 1);
    *e = (VmEntry){g_strdup(key), g_strdup(value), line};
    g_ptr_array_insert(s->entries, (gint)i, e);
    return false;
}

void vmsection_set(VmSection *s, const char *key, const char *value)
{
    assert(vmconf_check_key(key, NULL) == 0);
    assert(strchr(value, '\n') == NULL);
    (void)put_entry(s, key, value, 0); /* replacing is as good as adding */
}

bool vmsection_unset(VmSection *s, const char *key)
{
    guint i;

    if (!find_entry(s, key, &i)) {
        return false;
    }
    g_ptr_array_remove_index(s->entries, i);
    return true;
}

void vmsection_set_description(VmSection *s, const char *text)
{
    char *copy = text != NULL && text[0] != '\0' ? g_strdup(text) : NULL;

    g_free(s->description);
    s->description = copy;
}

/* ------------------------------------------------------------------ names */

static size_t key_length(const char *text)
{
    size_t n = 0;

    if (!g_ascii_islower(text[0])) {
        return 0;
    }
    while (g_ascii_islower(text[n]) || text[n] == '_' || text[n] == '-') {
        n++;
    }
    while (g_ascii_isdigit(text[n])) {
        n++;
    }
    return n;
}

int vmconf_check_key(const char *key, Err *err)
{
    size_t n = key_length(key);

    if (n == 0 || key[n] != '\0') {
        return err_setf(err, -EINVAL,
                        "'%.60s' cannot be a key: lower case letters, '_', '-', then digits", key);
    }
    return 0;
}

int vmconf_check_snapname(const char *name, Err *err)
{
    size_t n = 0;

    if (g_ascii_isalpha(name[0])) {
        while (g_ascii_isalnum(name[n]) || name[n] == '_' || name[n] == '-') {
            n++;
        }
    }
    if (n < 2 || name[n] != '\0') {
        return err_setf(err, -EINVAL,
                        "'%.60s' cannot be a snapshot name: a letter, then letters, digits, "
                        "'_' and '-'",
                        name);
    }
    if (n > VMCONF_SNAPNAME_MAX) {
        return err_setf(err, -EINVAL, "snapshot name '%.60s' is longer than %d characters", name,
                        VMCONF_SNAPNAME_MAX);
    }
    if (g_ascii_strcasecmp(name, "pending") == 0) {
        return err_setf(err, -EINVAL, "a snapshot cannot be called '%s'", name);
    }
    return 0;
}

void vmconf_digest(const char *text, size_t len, char ret[VMCONF_DIGEST_SIZE])
{
    g_autofree char *hex = g_compute_checksum_for_data(G_CHECKSUM_SHA1, (const guchar *)text, len);

    g_strlcpy(ret, hex, VMCONF_DIGEST_SIZE);
}

/* ---------------------------------------------------------------- parsing */

typedef struct Parser {
    const VmConfParse *how;
    VmConf *conf;
    VmSection *section; /* that lines go to */
    GString *described; /* description lines of `section` so far, NULL when there are none */
    unsigned line;
} Parser;

/* Something that is not understood: an error when strict, else a warning. Returns 0 or -EBADMSG. */
static int complain(const Parser *p, Err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int complain(const Parser *p, Err *err, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (p->how->strict) {
        return err_setf(err, -EBADMSG, "%s: line %u: %s",
                        p->how->file != NULL ? p->how->file : "configuration", p->line, text);
    }
    if (p->how->warn != NULL) {
        p->how->warn(p->how->ctx, p->line, text);
    }
    return 0;
}

/* `%XX` becomes its byte; anything else stays, so that hand-written comments survive. */
static void append_decoded(GString *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (text[0] == '%' && g_ascii_isxdigit(text[1]) && g_ascii_isxdigit(text[2])) {
            int byte = g_ascii_xdigit_value(text[1]) * 16 + g_ascii_xdigit_value(text[2]);
            if (byte != 0) {
                g_string_append_c(out, (char)byte);
                text += 2;
                continue;
            }
        }
        g_string_append_c(out, *text);
    }
}

static void add_description(Parser *p, const char *text)
{
    if (p->described == NULL) {
        p->described = g_string_new(NULL);
    } else {
        g_string_append_c(p->described, '\n');
    }
    append_decoded(p->described, text);
}

static void close_section(Parser *p)
{
    if (p->described != NULL) {
        while (p->described->len > 0 && g_ascii_isspace(p->described->str[p->described->len - 1])) {
            g_string_truncate(p->described, p->described->len - 1);
        }
        vmsection_set_description(p->section, p->described->str);
        g_string_free(p->described, TRUE);
        p->described = NULL;
    }
}

static void classify(const char *name, VmSectionKind *ret_kind, const char **ret_name)
{
    size_t prefix = strlen(SPECIAL_PREFIX);

    *ret_name = name;
    if (g_ascii_strcasecmp(name, "pending") == 0) {
        *ret_kind = VM_SECTION_PENDING;
        *ret_name = "";
    } else if (g_ascii_strncasecmp(name, SPECIAL_PREFIX, prefix) == 0 &&
               vmconf_check_key(name + prefix, NULL) == 0) {
        *ret_kind = VM_SECTION_SPECIAL;
        *ret_name = name + prefix;
    } else if (vmconf_check_snapname(name, NULL) == 0) {
        *ret_kind = VM_SECTION_SNAPSHOT;
    } else {
        *ret_kind = VM_SECTION_UNKNOWN;
    }
}

static int open_section(Parser *p, char *text, size_t len, Err *err)
{
    VmSectionKind kind;
    const char *name;
    int r = 0;

    text[len - 1] = '\0';
    classify(text + 1, &kind, &name);
    close_section(p);
    if (kind == VM_SECTION_UNKNOWN) {
        r = complain(p, err, "unknown section '[%.60s]', kept as it is", name);
    }
    p->section = vmconf_section(p->conf, kind, name);
    if (r == 0 && p->section != NULL) {
        r = complain(p, err, "section '[%.60s]' is there twice, joined", text + 1);
    }
    if (r < 0) {
        return r;
    }
    if (p->section == NULL) {
        if (p->conf->sections->len >= VMCONF_SECTIONS_MAX) {
            return err_setf(err, -E2BIG, "more than %d sections", VMCONF_SECTIONS_MAX);
        }
        p->section = vmconf_need_section(p->conf, kind, name);
        p->section->line = p->line;
    } else if (p->section->description != NULL) {
        p->described = g_string_new(p->section->description);
    }
    return 0;
}

/* Old names of keys become the present ones. */
static const char *present_name(const char *key)
{
    if (strcmp(key, "cdrom") == 0) {
        return "ide2";
    }
    return strcmp(key, "smp") == 0 ? "sockets" : key;
}

static int parse_entry(Parser *p, const char *line, Err *err)
{
    size_t n = key_length(line);
    g_autofree char *key = g_strndup(line, n);
    g_autofree char *value = NULL;
    const char *name = present_name(key);

    if (n == 0 || line[n] != ':') {
        g_ptr_array_add(p->section->kept, g_strdup(line));
        return complain(p, err, "'%.60s' is not 'key: value', kept as it is", line);
    }
    line += n + 1;
    line += strspn(line, " \t");
    if (strcmp(name, "description") == 0) {
        add_description(p, line);
        return 0;
    }
    if (name != key && vmsection_entry(p->section, name) != NULL) {
        return complain(p, err, "'%s' means '%s', which is there already: dropped", key, name);
    }
    if (strcmp(key, "cdrom") == 0 && !propstring_has_part(line, "media=")) {
        value = g_strconcat(line, ",media=cdrom", NULL); /* the old name alone said that */
        line = value;
    }
    if (put_entry(p->section, name, line, p->line)) {
        return complain(p, err, "key '%s' is given twice, the last one counts", key);
    }
    return 0;
}

static int parse_line(Parser *p, char *line, size_t len, Err *err)
{
    while (len > 0 && g_ascii_isspace(line[len - 1])) {
        line[--len] = '\0';
    }
    if (len == 0) {
        return 0;
    }
    if (line[0] == '[' && line[len - 1] == ']') {
        return open_section(p, line, len, err);
    }
    if (p->section->kind == VM_SECTION_UNKNOWN) {
        g_ptr_array_add(p->section->kept, g_strdup(line));
        return 0;
    }
    if (line[0] == '#') {
        add_description(p, line + 1);
        return 0;
    }
    return parse_entry(p, line, err);
}

static int parse_all(Parser *p, char *text, Err *err)
{
    char *next;

    for (char *line = text; line != NULL; line = next) {
        char *end = strchr(line, '\n');
        int r;

        next = end != NULL ? end + 1 : NULL;
        p->line++;
        if (end != NULL) {
            *end = '\0';
        }
        r = parse_line(p, line, strlen(line), err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int vmconf_parse(const char *text, size_t len, const VmConfParse *how, VmConf **ret, Err *err)
{
    static const VmConfParse lenient;
    g_autoptr(VmConf) conf = NULL;
    g_autofree char *copy = NULL;
    Parser p = {.how = how != NULL ? how : &lenient};
    int r;

    if (len > VMCONF_TEXT_MAX) {
        return err_setf(err, -EFBIG, "configuration is larger than %d bytes", VMCONF_TEXT_MAX);
    }
    if (len > 0 && memchr(text, '\0', len) != NULL) {
        return err_setf(err, -EBADMSG, "configuration holds a NUL byte");
    }
    conf = vmconf_new();
    copy = g_strndup(text != NULL ? text : "", len);
    p.conf = conf;
    p.section = vmconf_main(conf);
    r = parse_all(&p, copy, err);
    close_section(&p);
    if (r < 0) {
        return r;
    }
    vmconf_digest(text, len, conf->digest);
    *ret = g_steal_pointer(&conf);
    return 0;
}

/* ---------------------------------------------------------------- writing */

/* A description line: what would not survive as text is percent-encoded; `:` too, by custom. */
static void append_encoded(GString *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c >= 0x7f || c == '%' || c == ':') {
            g_string_append_printf(out, "%%%02X", c);
        } else {
            g_string_append_c(out, (char)c);
        }
    }
}

static void append_description(GString *out, const char *text)
{
    for (;;) {
        size_t len = strcspn(text, "\n");
        /* A blank at the end would be cut when read. */
        size_t plain = len;
        while (plain > 0 && text[plain - 1] == ' ') {
            plain--;
        }
        g_string_append_c(out, '#');
        append_encoded(out, text, plain);
        for (size_t i = plain; i < len; i++) {
            g_string_append(out, "%20");
        }
        g_string_append_c(out, '\n');
        if (text[len] == '\0') {
            return;
        }
        text += len + 1;
    }
}

static void append_section(GString *out, const VmSection *s)
{
    if (s->kind != VM_SECTION_MAIN) {
        g_string_append_printf(out, "%s[%s%s]\n", out->len > 0 ? "\n" : "",
                               s->kind == VM_SECTION_PENDING   ? "PENDING"
                               : s->kind == VM_SECTION_SPECIAL ? SPECIAL_PREFIX
                                                               : "",
                               s->name);
    }
    if (s->description != NULL) {
        append_description(out, s->description);
    }
    for (guint i = 0; i < s->entries->len; i++) {
        const VmEntry *e = s->entries->pdata[i];
        g_string_append_printf(out, "%s: %s\n", e->key, e->value);
    }
    for (guint i = 0; i < s->kept->len; i++) {
        g_string_append_printf(out, "%s\n", (const char *)s->kept->pdata[i]);
    }
}

static int compare_sections(const void *a, const void *b)
{
    const VmSection *x = *(VmSection *const *)a;
    const VmSection *y = *(VmSection *const *)b;

    return x->kind != y->kind ? (x->kind < y->kind ? -1 : 1) : strcmp(x->name, y->name);
}

/* An empty pending section says nothing and is left out. */
static bool is_written(const VmSection *s)
{
    return s->kind != VM_SECTION_PENDING || s->entries->len > 0 || s->kept->len > 0 ||
           s->description != NULL;
}

char *vmconf_format(const VmConf *conf)
{
    g_autoptr(GPtrArray) order = g_ptr_array_new();
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < conf->sections->len; i++) {
        if (is_written(conf->sections->pdata[i])) {
            g_ptr_array_add(order, conf->sections->pdata[i]);
        }
    }
    g_ptr_array_sort(order, compare_sections);
    for (guint i = 0; i < order->len; i++) {
        append_section(out, order->pdata[i]);
    }
    return g_string_free(out, FALSE);
}
