/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/wire_params.h"

#include "lib/base/jsontext.h"
#include "lib/base/jsontree.h"

#include <errno.h>
#include <string.h>

typedef struct Param {
    char *name, *value;
} Param;

struct Params {
    GPtrArray *list; /* of Param */
};

static void param_free(void *data)
{
    Param *p = data;

    explicit_bzero(p->value, strlen(p->value));
    g_free(p->name);
    g_free(p->value);
    g_free(p);
}

void params_free(Params *p)
{
    if (p != NULL) {
        g_ptr_array_unref(p->list);
        g_free(p);
    }
}

static bool valid_name(const char *name)
{
    gsize n = strnlen(name, WIRE_PARAMS_NAME_MAX + 1);

    if (n == 0 || n > WIRE_PARAMS_NAME_MAX) {
        return false;
    }
    for (gsize i = 0; i < n; i++) {
        if (!g_ascii_isalnum(name[i]) && strchr("_-.", name[i]) == NULL) {
            return false;
        }
    }
    return true;
}

/* Takes neither argument. */
static int add(Params *p, const char *name, const char *value, Err *err)
{
    Param *param;

    if (strcmp(name, "_dc") == 0) {
        return 0;
    }
    if (!valid_name(name)) {
        return err_setf(err, -EBADMSG, "a parameter has no proper name");
    }
    if (p->list->len >= WIRE_PARAMS_MAX || strlen(value) > WIRE_PARAMS_TEXT_MAX) {
        return err_setf(err, -E2BIG, "parameter '%s': too many or too long", name);
    }
    if (!g_utf8_validate(value, -1, NULL)) {
        return err_setf(err, -EBADMSG, "parameter '%s' is no UTF-8 text", name);
    }
    param = g_new0(Param, 1);
    param->name = g_strdup(name);
    param->value = g_strdup(value);
    g_ptr_array_add(p->list, param);
    return 0;
}

/* "+" is a blank, "%XX" a byte; NULL for bad escapes and NUL. */
static char *decode(const char *text, gsize size)
{
    g_autofree char *copy = g_strndup(text, size);

    for (char *c = copy; *c != '\0'; c++) {
        *c = *c == '+' ? ' ' : *c;
    }
    return g_uri_unescape_string(copy, NULL);
}

static int add_pair(Params *p, const char *text, gsize size, Err *err)
{
    const char *eq = memchr(text, '=', size);
    gsize n = eq != NULL ? (gsize)(eq - text) : size;
    g_autofree char *name = decode(text, n);
    char *value = eq != NULL ? decode(eq + 1, size - n - 1) : g_strdup("");
    int r;

    if (name == NULL || value == NULL) {
        g_free(value);
        return err_setf(err, -EBADMSG, "a parameter is not escaped properly");
    }
    r = add(p, name, value, err);
    explicit_bzero(value, strlen(value));
    g_free(value);
    return r;
}

static int parse_form(Params *p, const char *text, gsize size, Err *err)
{
    if (memchr(text, '\0', size) != NULL) {
        return err_setf(err, -EBADMSG, "the parameters hold a NUL byte");
    }
    for (gsize at = 0; at < size;) {
        const char *end = memchr(text + at, '&', size - at);
        gsize n = end != NULL ? (gsize)(end - (text + at)) : size - at;
        int r = n > 0 ? add_pair(p, text + at, n, err) : 0;

        if (r < 0) {
            return r;
        }
        at += n + 1;
    }
    return 0;
}

static int add_json(Params *p, const char *name, const JsonTree *value, Err *err)
{
    g_autofree char *text = NULL;
    int r = 0;

    switch (jsontree_kind(value)) {
    case JSONTREE_NULL:
        return 0;
    case JSONTREE_BOOL:
        return add(p, name, jsontree_bool(value, false) ? "1" : "0", err);
    case JSONTREE_INT:
        text = g_strdup_printf("%" G_GINT64_FORMAT, jsontree_int(value, 0));
        return add(p, name, text, err);
    case JSONTREE_REAL:
        text = g_strdup_printf("%g", jsontree_real(value, 0));
        return add(p, name, text, err);
    case JSONTREE_TEXT:
        return add(p, name, jsontree_text(value), err);
    case JSONTREE_ARRAY:
        for (guint i = 0; r == 0 && i < jsontree_count(value); i++) {
            const JsonTree *item = jsontree_at(value, i);

            r = jsontree_kind(item) == JSONTREE_ARRAY || jsontree_kind(item) == JSONTREE_OBJECT
                    ? err_setf(err, -EBADMSG, "parameter '%s' is nested", name)
                    : add_json(p, name, item, err);
        }
        return r;
    case JSONTREE_OBJECT:
        break;
    }
    return err_setf(err, -EBADMSG, "parameter '%s' is an object", name);
}

static int parse_json(Params *p, const char *text, gsize size, Err *err)
{
    g_autoptr(JsonTree) tree = NULL;
    int r = jsontree_parse(text, size, &tree, err);

    if (r < 0) {
        return r;
    }
    if (jsontree_kind(tree) != JSONTREE_OBJECT) {
        return err_setf(err, -EBADMSG, "the body is no JSON object");
    }
    for (guint i = 0; i < jsontree_count(tree); i++) {
        if ((r = add_json(p, jsontree_key(tree, i), jsontree_at(tree, i), err)) < 0) {
            return r;
        }
    }
    return 0;
}

int params_parse(const char *query, const void *body, gsize size, Params **ret, Err *err)
{
    g_autoptr(Params) p = g_new0(Params, 1);
    const char *text = body;
    gsize skip = 0;
    int r;

    p->list = g_ptr_array_new_with_free_func(param_free);
    if (query != NULL && (r = parse_form(p, query, strlen(query), err)) < 0) {
        return r;
    }
    while (skip < size && g_ascii_isspace(text[skip])) {
        skip++;
    }
    /* No form begins with a brace: it would be escaped. */
    if (skip < size) {
        r = text[skip] == '{' ? parse_json(p, text + skip, size - skip, err)
                              : parse_form(p, text + skip, size - skip, err);
        if (r < 0) {
            return r;
        }
    }
    *ret = g_steal_pointer(&p);
    return 0;
}

const char *params_get(const Params *p, const char *name)
{
    for (guint i = p->list->len; i > 0; i--) {
        const Param *param = g_ptr_array_index(p->list, i - 1);

        if (strcmp(param->name, name) == 0) {
            return param->value;
        }
    }
    return NULL;
}

bool params_drop_repeated(Params *p, const char *name, const char *value)
{
    bool same = true;

    for (guint i = p->list->len; i > 0; i--) {
        const Param *param = g_ptr_array_index(p->list, i - 1);

        if (strcmp(param->name, name) != 0) {
            continue;
        }
        if (strcmp(param->value, value) == 0) {
            (void)g_ptr_array_remove_index(p->list, i - 1);
        } else {
            same = false;
        }
    }
    return same;
}

bool params_parse_bool(const char *text, bool *ret)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {{"1", true},  {"0", false},   {"true", true}, {"false", false},
                 {"on", true}, {"off", false}, {"yes", true},  {"no", false}};

    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        if (g_ascii_strcasecmp(text, words[i].text) == 0) {
            *ret = words[i].value;
            return true;
        }
    }
    return false;
}

int64_t params_int(const Params *p, const char *name, int64_t fallback)
{
    const char *text = params_get(p, name);

    return text != NULL ? g_ascii_strtoll(text, NULL, 10) : fallback;
}

bool params_bool(const Params *p, const char *name, bool fallback)
{
    const char *text = params_get(p, name);
    bool value;

    return text != NULL && params_parse_bool(text, &value) ? value : fallback;
}

/* ---- checking ---------------------------------------------------------------------------------
 */

static char *check_value(const ParamSpec *s, const char *text)
{
    gint64 v;
    bool b;

    switch (s->kind) {
    case PARAM_INT:
        if (!g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &v, NULL)) {
            return g_strdup_printf("type check ('integer') failed - got '%.64s'", text);
        }
        return v < s->min
                   ? g_strdup_printf("value must have a minimum value of %" G_GINT64_FORMAT, s->min)
               : v > s->max
                   ? g_strdup_printf("value must have a maximum value of %" G_GINT64_FORMAT, s->max)
                   : NULL;
    case PARAM_BOOL:
        return params_parse_bool(text, &b)
                   ? NULL
                   : g_strdup_printf("type check ('boolean') failed - got '%.64s'", text);
    case PARAM_TEXT:
        if (strlen(text) < (gsize)s->min) {
            return g_strdup("value is too short");
        }
        if (s->max > 0 && strlen(text) > (gsize)s->max) {
            return g_strdup_printf("value may only be %" G_GINT64_FORMAT " characters long",
                                   s->max);
        }
        return s->valid != NULL && !s->valid(text)
                   ? g_strdup_printf("value does not look like a valid %s", s->what)
                   : NULL;
    }
    return NULL;
}

static const ParamSpec *find_spec(const ParamSpec *specs, const char *name)
{
    for (; specs->name != NULL; specs++) {
        if (strcmp(specs->name, name) == 0) {
            return specs;
        }
    }
    return NULL;
}

static void report(GString *out, const char *name, const char *text)
{
    g_string_append_c(out, out->len > 0 ? ',' : '{');
    json_append_string(out, name);
    g_string_append_c(out, ':');
    json_append_string(out, text);
}

char *params_check(const Params *p, const ParamSpec *specs)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < p->list->len; i++) {
        const Param *param = g_ptr_array_index(p->list, i);
        const ParamSpec *s = find_spec(specs, param->name);
        g_autofree char *text =
            s != NULL ? check_value(s, param->value)
                      : g_strdup("property is not defined in schema and the schema does not allow "
                                 "additional properties");

        if (text != NULL) {
            report(out, param->name, text);
        }
    }
    for (const ParamSpec *s = specs; s->name != NULL; s++) {
        if (s->required && params_get(p, s->name) == NULL) {
            report(out, s->name, "property is missing and it is not optional");
        }
    }
    if (out->len == 0) {
        g_string_free(out, TRUE);
        return NULL;
    }
    g_string_append_c(out, '}');
    return g_string_free(out, FALSE);
}
