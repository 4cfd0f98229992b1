/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/jsontree.h"

#include "lib/base/jsontext.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#define INDENT      3
#define MEMBERS_FEW 32 /* up to here looking at all keys is quicker than a table */

struct JsonTree {
    JsonTreeKind kind;
    union {
        bool truth;
        int64_t integer;
        double real;
        char *text;
        struct {
            GPtrArray *keys;   /* char *, objects only */
            GPtrArray *values; /* JsonTree * */
            GHashTable *index; /* key -> place + 1; NULL while there are few members */
        } list;
    } u;
};

/* ------------------------------------------------------------- life cycle */

static void free_value(void *t)
{
    jsontree_free(t);
}

static JsonTree *new_node(JsonTreeKind kind)
{
    JsonTree *t = g_new0(JsonTree, 1);

    t->kind = kind;
    if (kind == JSONTREE_ARRAY || kind == JSONTREE_OBJECT) {
        t->u.list.values = g_ptr_array_new_with_free_func(free_value);
    }
    if (kind == JSONTREE_OBJECT) {
        t->u.list.keys = g_ptr_array_new_with_free_func(g_free);
    }
    return t;
}

/* Depth is bounded by the parser; builders are our own code. */
void jsontree_free(JsonTree *t)
{
    if (t == NULL) {
        return;
    }
    if (t->kind == JSONTREE_TEXT) {
        g_free(t->u.text);
    }
    if (t->kind == JSONTREE_OBJECT) {
        g_clear_pointer(&t->u.list.index, g_hash_table_unref); /* borrows the keys */
        g_ptr_array_unref(t->u.list.keys);
    }
    if (t->kind == JSONTREE_ARRAY || t->kind == JSONTREE_OBJECT) {
        g_ptr_array_unref(t->u.list.values);
    }
    g_free(t);
}

static void append_member(JsonTree *t, char *key, JsonTree *value);

JsonTree *jsontree_copy(const JsonTree *t)
{
    JsonTree *copy;

    if (t == NULL) {
        return NULL;
    }
    copy = new_node(t->kind);
    if (t->kind == JSONTREE_TEXT) {
        copy->u.text = g_strdup(t->u.text);
    } else if (t->kind != JSONTREE_ARRAY && t->kind != JSONTREE_OBJECT) {
        *copy = *t;
    }
    for (guint i = 0; i < jsontree_count(t); i++) {
        JsonTree *value = jsontree_copy(jsontree_at(t, i));
        if (t->kind == JSONTREE_OBJECT) {
            append_member(copy, g_strdup(jsontree_key(t, i)), value);
        } else {
            g_ptr_array_add(copy->u.list.values, value);
        }
    }
    return copy;
}

/* ---------------------------------------------------------------- reading */

JsonTreeKind jsontree_kind(const JsonTree *t)
{
    return t != NULL ? t->kind : JSONTREE_NULL;
}

guint jsontree_count(const JsonTree *t)
{
    return t != NULL && (t->kind == JSONTREE_ARRAY || t->kind == JSONTREE_OBJECT)
               ? t->u.list.values->len
               : 0;
}

const JsonTree *jsontree_at(const JsonTree *t, guint i)
{
    return i < jsontree_count(t) ? t->u.list.values->pdata[i] : NULL;
}

const char *jsontree_key(const JsonTree *t, guint i)
{
    return t != NULL && t->kind == JSONTREE_OBJECT && i < t->u.list.keys->len
               ? t->u.list.keys->pdata[i]
               : NULL;
}

static int find(const JsonTree *t, const char *key)
{
    if (t == NULL || t->kind != JSONTREE_OBJECT) {
        return -1;
    }
    if (t->u.list.index != NULL) {
        return GPOINTER_TO_INT(g_hash_table_lookup(t->u.list.index, key)) - 1;
    }
    for (guint i = 0; i < t->u.list.keys->len; i++) {
        if (strcmp(t->u.list.keys->pdata[i], key) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* Appends a member that is not there yet. Takes both. */
static void append_member(JsonTree *t, char *key, JsonTree *value)
{
    GPtrArray *keys = t->u.list.keys;

    g_ptr_array_add(keys, key);
    g_ptr_array_add(t->u.list.values, value);
    if (t->u.list.index == NULL && keys->len > MEMBERS_FEW) {
        t->u.list.index = g_hash_table_new(g_str_hash, g_str_equal);
        for (guint i = 0; i + 1 < keys->len; i++) {
            g_hash_table_insert(t->u.list.index, keys->pdata[i], GINT_TO_POINTER(i + 1));
        }
    }
    if (t->u.list.index != NULL) {
        g_hash_table_insert(t->u.list.index, key, GINT_TO_POINTER(keys->len));
    }
}

const JsonTree *jsontree_get(const JsonTree *t, const char *key)
{
    int i = find(t, key);

    return i >= 0 ? t->u.list.values->pdata[i] : NULL;
}

const char *jsontree_text(const JsonTree *t)
{
    return t != NULL && t->kind == JSONTREE_TEXT ? t->u.text : NULL;
}

bool jsontree_bool(const JsonTree *t, bool fallback)
{
    return t != NULL && t->kind == JSONTREE_BOOL ? t->u.truth : fallback;
}

int64_t jsontree_int(const JsonTree *t, int64_t fallback)
{
    return t != NULL && t->kind == JSONTREE_INT ? t->u.integer : fallback;
}

double jsontree_real(const JsonTree *t, double fallback)
{
    if (t != NULL && t->kind == JSONTREE_INT) {
        return (double)t->u.integer;
    }
    return t != NULL && t->kind == JSONTREE_REAL ? t->u.real : fallback;
}

const char *jsontree_get_text(const JsonTree *t, const char *key)
{
    return jsontree_text(jsontree_get(t, key));
}

bool jsontree_get_bool(const JsonTree *t, const char *key, bool fallback)
{
    return jsontree_bool(jsontree_get(t, key), fallback);
}

int64_t jsontree_get_int(const JsonTree *t, const char *key, int64_t fallback)
{
    return jsontree_int(jsontree_get(t, key), fallback);
}

/* --------------------------------------------------------------- building */

JsonTree *jsontree_new_object(void)
{
    return new_node(JSONTREE_OBJECT);
}

JsonTree *jsontree_new_array(void)
{
    return new_node(JSONTREE_ARRAY);
}

JsonTree *jsontree_new_text(const char *text)
{
    JsonTree *t = new_node(JSONTREE_TEXT);

    t->u.text = g_strdup(text);
    return t;
}

JsonTree *jsontree_new_int(int64_t value)
{
    JsonTree *t = new_node(JSONTREE_INT);

    t->u.integer = value;
    return t;
}

JsonTree *jsontree_new_real(double value)
{
    JsonTree *t = new_node(JSONTREE_REAL);

    t->u.real = isfinite(value) ? value : 0; /* JSON has no infinity */
    return t;
}

JsonTree *jsontree_new_bool(bool value)
{
    JsonTree *t = new_node(JSONTREE_BOOL);

    t->u.truth = value;
    return t;
}

void jsontree_set(JsonTree *t, const char *key, JsonTree *value)
{
    int i = find(t, key);

    assert(t->kind == JSONTREE_OBJECT);
    if (i >= 0) {
        jsontree_free(t->u.list.values->pdata[i]);
        t->u.list.values->pdata[i] = value;
        return;
    }
    append_member(t, g_strdup(key), value);
}

void jsontree_set_text(JsonTree *t, const char *key, const char *value)
{
    if (value != NULL) {
        jsontree_set(t, key, jsontree_new_text(value));
    }
}

void jsontree_set_int(JsonTree *t, const char *key, int64_t value)
{
    jsontree_set(t, key, jsontree_new_int(value));
}

void jsontree_set_bool(JsonTree *t, const char *key, bool value)
{
    jsontree_set(t, key, jsontree_new_bool(value));
}

void jsontree_add(JsonTree *t, JsonTree *value)
{
    assert(t->kind == JSONTREE_ARRAY);
    g_ptr_array_add(t->u.list.values, value);
}

/* ---------------------------------------------------------------- writing */

static void append_number(GString *out, double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];

    g_string_append(out, g_ascii_dtostr(text, sizeof text, value));
    if (strpbrk(text, ".eEn") == NULL) {
        g_string_append(out, ".0"); /* it stays a real when it is read again */
    }
}

static void append_scalar(GString *out, const JsonTree *t)
{
    switch (t->kind) {
    case JSONTREE_NULL:
        g_string_append(out, "null");
        break;
    case JSONTREE_BOOL:
        g_string_append(out, t->u.truth ? "true" : "false");
        break;
    case JSONTREE_INT:
        g_string_append_printf(out, "%" G_GINT64_FORMAT, t->u.integer);
        break;
    case JSONTREE_REAL:
        append_number(out, t->u.real);
        break;
    case JSONTREE_TEXT:
        json_append_string(out, t->u.text);
        break;
    case JSONTREE_ARRAY:
    case JSONTREE_OBJECT:
        assert(false); /* the caller handles lists */
    }
}

void jsontree_append(GString *out, const JsonTree *t)
{
    bool object = t->kind == JSONTREE_OBJECT;

    if (!object && t->kind != JSONTREE_ARRAY) {
        append_scalar(out, t);
        return;
    }
    g_string_append_c(out, object ? '{' : '[');
    for (guint i = 0; i < jsontree_count(t); i++) {
        g_string_append(out, i > 0 ? "," : "");
        if (object) {
            json_append_string(out, jsontree_key(t, i));
            g_string_append_c(out, ':');
        }
        jsontree_append(out, jsontree_at(t, i));
    }
    g_string_append_c(out, object ? '}' : ']');
}

static int compare_keys(const void *a, const void *b, void *keys)
{
    GPtrArray *k = keys;

    return strcmp(k->pdata[*(const guint *)a], k->pdata[*(const guint *)b]);
}

/* Indexes of the members of `t` in the order of writing. */
static GArray *sorted(const JsonTree *t)
{
    GArray *order = g_array_new(FALSE, FALSE, sizeof(guint));

    for (guint i = 0; i < jsontree_count(t); i++) {
        g_array_append_val(order, i);
    }
    if (t->kind == JSONTREE_OBJECT) {
        g_array_sort_with_data(order, compare_keys, t->u.list.keys);
    }
    return order;
}

static void append_indent(GString *out, int depth)
{
    for (int i = 0; i < depth * INDENT; i++) {
        g_string_append_c(out, ' ');
    }
}

static void append_pretty(GString *out, const JsonTree *t, int depth)
{
    bool object = t->kind == JSONTREE_OBJECT;
    g_autoptr(GArray) order = NULL;

    if (!object && t->kind != JSONTREE_ARRAY) {
        append_scalar(out, t);
        return;
    }
    order = sorted(t);
    g_string_append_c(out, object ? '{' : '[');
    for (guint i = 0; i < order->len; i++) {
        guint n = g_array_index(order, guint, i);
        g_string_append(out, i > 0 ? ",\n" : "\n");
        append_indent(out, depth + 1);
        if (object) {
            json_append_string(out, jsontree_key(t, n));
            g_string_append(out, " : ");
        }
        append_pretty(out, jsontree_at(t, n), depth + 1);
    }
    if (order->len > 0) {
        g_string_append_c(out, '\n');
        append_indent(out, depth);
    }
    g_string_append_c(out, object ? '}' : ']');
}

char *jsontree_pretty(const JsonTree *t)
{
    GString *out = g_string_new(NULL);

    append_pretty(out, t, 0);
    g_string_append_c(out, '\n');
    return g_string_free(out, FALSE);
}

/* ---------------------------------------------------------------- parsing */

typedef struct Parser {
    const char *start;
    const char *at;
    const char *end;
    guint nodes;
    int depth;
    Err *err;
} Parser;

static int refuse(const Parser *p, const char *what)
{
    return err_setf(p->err, -EBADMSG, "JSON: %s at byte %" G_GSIZE_FORMAT, what,
                    (gsize)(p->at - p->start));
}

static void skip_blanks(Parser *p)
{
    while (p->at < p->end && strchr(" \t\r\n", *p->at) != NULL && *p->at != '\0') {
        p->at++;
    }
}

static bool take_char(Parser *p, char c)
{
    if (p->at < p->end && *p->at == c) {
        p->at++;
        return true;
    }
    return false;
}

static bool take_word(Parser *p, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(p->end - p->at) < len || memcmp(p->at, word, len) != 0) {
        return false;
    }
    p->at += len;
    return true;
}

static int take_hex4(Parser *p, gunichar *ret)
{
    gunichar code = 0;

    if (p->end - p->at < 4) {
        return refuse(p, "cut escape");
    }
    for (int i = 0; i < 4; i++, p->at++) {
        if (!g_ascii_isxdigit(*p->at)) {
            return refuse(p, "bad escape");
        }
        code = code * 16 + (gunichar)g_ascii_xdigit_value(*p->at);
    }
    *ret = code;
    return 0;
}

/* After "\u": a code point, or two halves of one. */
static int take_unicode(Parser *p, GString *out)
{
    gunichar code;
    gunichar low;
    int r = take_hex4(p, &code);

    if (r == 0 && code >= 0xd800 && code < 0xdc00) {
        if (!take_word(p, "\\u")) {
            return refuse(p, "half a surrogate pair");
        }
        r = take_hex4(p, &low);
        if (r == 0 && (low < 0xdc00 || low > 0xdfff)) {
            return refuse(p, "bad surrogate pair");
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (r < 0) {
        return r;
    }
    if (code == 0 || !g_unichar_validate(code)) {
        return refuse(p, "a character that text cannot hold");
    }
    g_string_append_unichar(out, code);
    return 0;
}

static int take_escape(Parser *p, GString *out)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char *found;

    if (p->at >= p->end) {
        return refuse(p, "cut escape");
    }
    if (take_char(p, 'u')) {
        return take_unicode(p, out);
    }
    found = *p->at != '\0' ? strchr(from, *p->at) : NULL;
    if (found == NULL) {
        return refuse(p, "bad escape");
    }
    g_string_append_c(out, to[found - from]);
    p->at++;
    return 0;
}

/* After the opening quote. */
static int take_text(Parser *p, char **ret)
{
    g_autoptr(GString) out = g_string_new(NULL);

    while (p->at < p->end && *p->at != '"') {
        int r = 0;

        if ((unsigned char)*p->at < 0x20) {
            return refuse(p, "a control character in text");
        }
        if (take_char(p, '\\')) {
            r = take_escape(p, out);
        } else {
            g_string_append_c(out, *p->at++);
        }
        if (r < 0) {
            return r;
        }
    }
    if (!take_char(p, '"')) {
        return refuse(p, "text without end");
    }
    if (!g_utf8_validate(out->str, (gssize)out->len, NULL)) {
        return refuse(p, "text that is no UTF-8");
    }
    *ret = g_string_free(g_steal_pointer(&out), FALSE);
    return 0;
}

static size_t take_digits(Parser *p)
{
    size_t n = 0;

    for (; p->at < p->end && g_ascii_isdigit(*p->at); p->at++) {
        n++;
    }
    return n;
}

static int take_number(Parser *p, JsonTree **ret)
{
    const char *start = p->at;
    g_autofree char *text = NULL;
    bool whole = true;
    gint64 integer;

    (void)take_char(p, '-');
    const char *digits = p->at;
    size_t n = take_digits(p);
    if (n == 0 || (n > 1 && *digits == '0')) {
        return refuse(p, "bad number");
    }
    if (take_char(p, '.')) {
        whole = false;
        if (take_digits(p) == 0) {
            return refuse(p, "bad number");
        }
    }
    if (take_char(p, 'e') || take_char(p, 'E')) {
        whole = false;
        if (!take_char(p, '+')) {
            (void)take_char(p, '-');
        }
        if (take_digits(p) == 0) {
            return refuse(p, "bad number");
        }
    }
    text = g_strndup(start, (gsize)(p->at - start));
    if (whole && g_ascii_string_to_signed(text, 10, INT64_MIN, INT64_MAX, &integer, NULL)) {
        *ret = jsontree_new_int(integer);
    } else {
        *ret = jsontree_new_real(g_ascii_strtod(text, NULL));
    }
    return 0;
}

static int take_value(Parser *p, JsonTree **ret);

/* One member or element into `list`. */
static int take_item(Parser *p, JsonTree *list)
{
    g_autofree char *key = NULL;
    JsonTree *value = NULL;
    int r;

    skip_blanks(p);
    if (list->kind == JSONTREE_OBJECT) {
        if (!take_char(p, '"')) {
            return refuse(p, "a member without name");
        }
        r = take_text(p, &key);
        skip_blanks(p);
        if (r == 0 && !take_char(p, ':')) {
            r = refuse(p, "a member without colon");
        }
        if (r < 0) {
            return r;
        }
    }
    r = take_value(p, &value);
    if (r < 0) {
        return r;
    }
    if (key != NULL) {
        jsontree_set(list, key, value);
    } else {
        jsontree_add(list, value);
    }
    return 0;
}

/* After the opening bracket. */
static int take_list(Parser *p, JsonTreeKind kind, char close, JsonTree **ret)
{
    g_autoptr(JsonTree) list = new_node(kind);

    if (++p->depth > JSONTREE_DEPTH_MAX) {
        return err_setf(p->err, -E2BIG, "JSON: nested deeper than %d", JSONTREE_DEPTH_MAX);
    }
    skip_blanks(p);
    if (!take_char(p, close)) {
        do {
            int r = take_item(p, list);
            if (r < 0) {
                return r;
            }
            skip_blanks(p);
        } while (take_char(p, ','));
        if (!take_char(p, close)) {
            return refuse(p, "a list without end");
        }
    }
    p->depth--;
    *ret = g_steal_pointer(&list);
    return 0;
}

static int take_value(Parser *p, JsonTree **ret)
{
    char *text = NULL;
    int r;

    if (++p->nodes > JSONTREE_NODES_MAX) {
        return err_setf(p->err, -E2BIG, "JSON: more than %u values", JSONTREE_NODES_MAX);
    }
    skip_blanks(p);
    if (take_char(p, '{')) {
        return take_list(p, JSONTREE_OBJECT, '}', ret);
    }
    if (take_char(p, '[')) {
        return take_list(p, JSONTREE_ARRAY, ']', ret);
    }
    if (take_char(p, '"')) {
        r = take_text(p, &text);
        if (r == 0) {
            *ret = new_node(JSONTREE_TEXT);
            (*ret)->u.text = text;
        }
        return r;
    }
    if (take_word(p, "true")) {
        *ret = jsontree_new_bool(true);
    } else if (take_word(p, "false")) {
        *ret = jsontree_new_bool(false);
    } else if (take_word(p, "null")) {
        *ret = new_node(JSONTREE_NULL);
    } else {
        return take_number(p, ret);
    }
    return 0;
}

int jsontree_parse(const char *text, size_t len, JsonTree **ret, Err *err)
{
    Parser p = {.start = text, .at = text, .end = text + len, .err = err};
    g_autoptr(JsonTree) t = NULL;
    int r;

    if (len == 0) {
        return err_setf(err, -EBADMSG, "JSON: empty");
    }
    r = take_value(&p, &t);
    if (r < 0) {
        return r;
    }
    skip_blanks(&p);
    if (p.at != p.end) {
        return refuse(&p, "something behind the value");
    }
    *ret = g_steal_pointer(&t);
    return 0;
}
