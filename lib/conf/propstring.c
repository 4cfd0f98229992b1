/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/conf/propstring.h"

#include "lib/base/sizetext.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

typedef struct Unknown {
    char *key;
    char *value;
} Unknown;

struct PropString {
    const PropSchema *schema;
    char **values;      /* by index of the key in the schema; NULL when absent */
    GPtrArray *unknown; /* Unknown *, in order of appearance */
};

static void unknown_free(void *data)
{
    Unknown *u = data;

    g_free(u->key);
    g_free(u->value);
    g_free(u);
}

PropString *propstring_new(const PropSchema *schema)
{
    PropString *p = g_new0(PropString, 1);

    assert(schema->n_keys <= PROPSTRING_KEYS_MAX);
    p->schema = schema;
    p->values = g_new0(char *, schema->n_keys);
    p->unknown = g_ptr_array_new_with_free_func(unknown_free);
    return p;
}

void propstring_free(PropString *p)
{
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < p->schema->n_keys; i++) {
        g_free(p->values[i]);
    }
    g_free(p->values);
    g_ptr_array_unref(p->unknown);
    g_free(p);
}

/* ---------------------------------------------------------------- one key */

bool propstring_has_part(const char *text, const char *start)
{
    while (text != NULL && !g_str_has_prefix(text, start)) {
        text = strchr(text, ',');
        text += text != NULL ? 1 : 0;
    }
    return text != NULL;
}

int propstring_parse_bool(const char *text)
{
    static const char *const yes[] = {"1", "on", "yes", "true"};
    static const char *const no[] = {"0", "off", "no", "false"};

    for (size_t i = 0; i < G_N_ELEMENTS(yes); i++) {
        if (g_ascii_strcasecmp(text, yes[i]) == 0) {
            return 1;
        }
        if (g_ascii_strcasecmp(text, no[i]) == 0) {
            return 0;
        }
    }
    return -EINVAL;
}

char *propkey_accepts(const PropKey *key)
{
    switch (key->kind) {
    case PROP_BOOL:
        return g_strdup("0 or 1");
    case PROP_INT:
    case PROP_NUMBER:
        return g_strdup_printf("%s %" G_GINT64_FORMAT "..%" G_GINT64_FORMAT,
                               key->kind == PROP_INT ? "a whole number" : "a number", key->min,
                               key->max);
    case PROP_WORD: {
        g_auto(GStrv) words = g_strsplit(key->words, " ", -1);
        g_autofree char *list = g_strjoinv(", ", words);
        return g_strdup_printf("one of %s", list);
    }
    case PROP_SIZE:
        return g_strdup("a size such as 32G or 512M");
    case PROP_TEXT:
        break;
    }
    return g_strdup(key->text != NULL ? key->text : "text without a comma");
}

static int refuse(const PropKey *key, const char *value, Err *err)
{
    g_autofree char *accepts = propkey_accepts(key);

    return err_setf(err, -EINVAL, "%s: '%.100s' is not %s", key->name, value, accepts);
}

static bool is_word(const char *words, const char *value)
{
    size_t len = strlen(value);

    if (len == 0 || strchr(value, ' ') != NULL) {
        return false;
    }
    for (const char *at = words; at != NULL; at = strchr(at, ' ')) {
        at += at[0] == ' ';
        if (strncmp(at, value, len) == 0 && (at[len] == ' ' || at[len] == '\0')) {
            return true;
        }
    }
    return false;
}

/* Digits only: no sign, no blanks, no base prefix, inside the limits. */
static bool is_int(const PropKey *key, const char *value)
{
    gint64 n;

    if (value[0] == '\0' || value[strspn(value, "0123456789")] != '\0') {
        return false;
    }
    return g_ascii_string_to_signed(value, 10, key->min, key->max, &n, NULL);
}

static bool is_number(const PropKey *key, const char *value)
{
    size_t whole = strspn(value, "0123456789");
    double n;

    if (whole == 0 || strlen(value) > 32) {
        return false;
    }
    if (value[whole] == '.') {
        size_t rest = strspn(value + whole + 1, "0123456789");
        if (rest == 0 || value[whole + 1 + rest] != '\0') {
            return false;
        }
    } else if (value[whole] != '\0') {
        return false;
    }
    n = g_ascii_strtod(value, NULL);
    return n >= (double)key->min && n <= (double)key->max;
}

/* The kind's own rule; sets *ret to the stored form. */
static int check_kind(const PropKey *key, const char *value, char **ret, Err *err)
{
    uint64_t bytes;
    bool ok = true;

    switch (key->kind) {
    case PROP_BOOL: {
        int yes = propstring_parse_bool(value);
        if (yes < 0) {
            return refuse(key, value, err);
        }
        *ret = g_strdup(yes ? "1" : "0");
        return 0;
    }
    case PROP_INT:
        ok = is_int(key, value);
        break;
    case PROP_NUMBER:
        ok = is_number(key, value);
        break;
    case PROP_WORD:
        ok = is_word(key->words, value);
        break;
    case PROP_SIZE:
        if (size_parse(value, &bytes, err) < 0) {
            return err_wrapf(err, -EINVAL, "%s", key->name);
        }
        break;
    case PROP_TEXT:
        ok = key->max == 0 || strlen(value) <= (size_t)key->max;
        break;
    }
    if (!ok) {
        return refuse(key, value, err);
    }
    *ret = g_strdup(value);
    return 0;
}

int propkey_check(const PropKey *key, const char *value, char **ret, Err *err)
{
    g_autofree char *stored = NULL;
    int r;

    for (const char *c = value; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            return err_setf(err, -EINVAL, "%s: the value has a control character", key->name);
        }
    }
    r = check_kind(key, value, &stored, err);
    if (r < 0) {
        return r;
    }
    if (key->check != NULL) {
        r = key->check(value, err);
        if (r < 0) {
            return err_wrapf(err, r, "%s", key->name);
        }
    }
    *ret = g_steal_pointer(&stored);
    return 0;
}

/* ------------------------------------------------------------ the whole */

static int find_key(const PropSchema *schema, const char *name)
{
    for (size_t i = 0; i < schema->n_keys; i++) {
        if (strcmp(schema->keys[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int default_key(const PropSchema *schema)
{
    for (size_t i = 0; i < schema->n_keys; i++) {
        if (schema->keys[i].flags & PROP_DEFAULT_KEY) {
            return (int)i;
        }
    }
    return -1;
}

static int unknown_key(const PropSchema *schema, const char *key, Err *err)
{
    g_autoptr(GString) names = g_string_new(NULL);

    for (size_t i = 0; i < schema->n_keys; i++) {
        if (schema->keys[i].alias == NULL) {
            g_string_append_printf(names, "%s%s", names->len > 0 ? " " : "", schema->keys[i].name);
        }
    }
    return err_setf(err, -EINVAL, "%s: unknown property '%.60s', known are: %s", schema->name, key,
                    names->str);
}

/* Stores `value` (checked) under key `i`, which must be free. */
static int store(PropString *p, int i, const char *value, Err *err)
{
    const PropKey *key = &p->schema->keys[i];

    if (p->values[i] != NULL) {
        return err_setf(err, -EINVAL, "%s: '%s' is given twice", p->schema->name, key->name);
    }
    if (propkey_check(key, value, &p->values[i], err) < 0) {
        return err_wrapf(err, -EINVAL, "%s", p->schema->name);
    }
    return 0;
}

static int store_named(PropString *p, int i, const char *value, Err *err)
{
    const PropKey *key = &p->schema->keys[i];
    int r;

    if (key->alias == NULL) {
        return store(p, i, value, err);
    }
    if (key->implies != NULL) {
        r = store(p, find_key(p->schema, key->implies), key->name, err);
        if (r < 0) {
            return r;
        }
    }
    return store(p, find_key(p->schema, key->alias), value, err);
}

static int store_part(PropString *p, char *part, GPtrArray *unknown, Err *err)
{
    char *eq = strchr(part, '=');
    int i;

    if (eq == NULL) {
        i = default_key(p->schema);
        if (i < 0) {
            return err_setf(err, -EINVAL, "%s: '%.60s' has no key (write key=value)",
                            p->schema->name, part);
        }
        return store(p, i, part, err);
    }
    *eq = '\0';
    i = find_key(p->schema, part);
    if (i >= 0) {
        return store_named(p, i, eq + 1, err);
    }
    if (unknown == NULL) {
        return unknown_key(p->schema, part, err);
    }
    Unknown *u = g_new(Unknown, 1);
    u->key = g_strdup(part);
    u->value = g_strdup(eq + 1);
    g_ptr_array_add(p->unknown, u);
    g_ptr_array_add(unknown, g_strdup(part));
    return 0;
}

static int check_required(const PropString *p, Err *err)
{
    for (size_t i = 0; i < p->schema->n_keys; i++) {
        const PropKey *key = &p->schema->keys[i];
        if ((key->flags & PROP_REQUIRED) && p->values[i] == NULL) {
            g_autofree char *accepts = propkey_accepts(key);
            return err_setf(err, -EINVAL, "%s: '%s' is missing (%s)", p->schema->name, key->name,
                            accepts);
        }
    }
    return 0;
}

int propstring_parse(
    const PropSchema *schema, const char *text, GPtrArray *unknown, PropString **ret, Err *err)
{
    g_autoptr(PropString) p = NULL;
    g_auto(GStrv) parts = NULL;
    int r;

    if (strlen(text) > PROPSTRING_TEXT_MAX) {
        return err_setf(err, -EINVAL, "%s: the value is longer than %d bytes", schema->name,
                        PROPSTRING_TEXT_MAX);
    }
    p = propstring_new(schema);
    parts = g_strsplit(text, ",", -1);
    for (char **part = parts; *part != NULL; part++) {
        if ((*part)[0] == '\0') {
            continue; /* a stray comma means nothing */
        }
        r = store_part(p, *part, unknown, err);
        if (r < 0) {
            return r;
        }
    }
    r = check_required(p, err);
    if (r < 0) {
        return r;
    }
    *ret = g_steal_pointer(&p);
    return 0;
}

/* ---------------------------------------------------------------- writing */

/* The alias under which `main_key` and its companion are written as one (virtio=AA:BB:...), or -1.
 */
static int joint_alias(const PropString *p, int main_key)
{
    if (main_key < 0 || p->values[main_key] == NULL) {
        return -1;
    }
    for (size_t i = 0; i < p->schema->n_keys; i++) {
        const PropKey *key = &p->schema->keys[i];
        if (key->implies != NULL && strcmp(key->name, p->values[main_key]) == 0 &&
            strcmp(key->implies, p->schema->keys[main_key].name) == 0) {
            return p->values[find_key(p->schema, key->alias)] != NULL ? (int)i : -1;
        }
    }
    return -1;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void append_sorted(GString *out, GPtrArray *parts)
{
    g_ptr_array_sort(parts, compare_text);
    for (guint i = 0; i < parts->len; i++) {
        g_string_append_printf(out, "%s%s", out->len > 0 ? "," : "", (char *)parts->pdata[i]);
    }
}

char *propstring_format(const PropString *p)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(GPtrArray) required = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) rest = g_ptr_array_new_with_free_func(g_free);
    int first = default_key(p->schema);
    int joint = joint_alias(p, first);
    int companion = -1;

    if (joint >= 0) {
        companion = find_key(p->schema, p->schema->keys[joint].alias);
        g_string_append_printf(out, "%s=%s", p->values[first], p->values[companion]);
    } else if (first >= 0 && p->values[first] != NULL) {
        /* A bare value with `=` in it would be read as another key. */
        bool bare = strchr(p->values[first], '=') == NULL && p->values[first][0] != '\0';
        g_string_append_printf(out, "%s%s%s", bare ? "" : p->schema->keys[first].name,
                               bare ? "" : "=", p->values[first]);
    }
    for (int i = 0; i < (int)p->schema->n_keys; i++) {
        if (i != first && i != companion && p->values[i] != NULL) {
            const PropKey *key = &p->schema->keys[i];
            g_ptr_array_add((key->flags & PROP_REQUIRED) ? required : rest,
                            g_strdup_printf("%s=%s", key->name, p->values[i]));
        }
    }
    for (guint i = 0; i < p->unknown->len; i++) {
        const Unknown *u = p->unknown->pdata[i];
        g_ptr_array_add(rest, g_strdup_printf("%s=%s", u->key, u->value));
    }
    append_sorted(out, required);
    append_sorted(out, rest);
    return g_string_free(g_steal_pointer(&out), FALSE);
}

/* ----------------------------------------------------------------- access */

static int index_of(const PropString *p, const char *key)
{
    int i = find_key(p->schema, key);

    assert(i >= 0 && p->schema->keys[i].alias == NULL);
    return i;
}

const char *propstring_text(const PropString *p, const char *key)
{
    return p->values[index_of(p, key)];
}

const char *propstring_value(const PropString *p, const char *key)
{
    int i = index_of(p, key);

    return p->values[i] != NULL ? p->values[i] : p->schema->keys[i].fallback;
}

bool propstring_bool(const PropString *p, const char *key)
{
    const char *value = propstring_value(p, key);

    return value != NULL && propstring_parse_bool(value) == 1;
}

int64_t propstring_int(const PropString *p, const char *key)
{
    const char *value = propstring_value(p, key);

    return value != NULL ? g_ascii_strtoll(value, NULL, 10) : 0;
}

double propstring_number(const PropString *p, const char *key)
{
    const char *value = propstring_value(p, key);

    return value != NULL ? g_ascii_strtod(value, NULL) : 0;
}

int propstring_set(PropString *p, const char *key, const char *value, Err *err)
{
    int i = find_key(p->schema, key);
    char *stored;

    if (i < 0 || p->schema->keys[i].alias != NULL) {
        return unknown_key(p->schema, key, err);
    }
    if (strchr(value, ',') != NULL) {
        return err_setf(err, -EINVAL, "%s: %s: a value cannot hold a comma", p->schema->name, key);
    }
    if (propkey_check(&p->schema->keys[i], value, &stored, err) < 0) {
        return err_wrapf(err, -EINVAL, "%s", p->schema->name);
    }
    g_free(p->values[i]);
    p->values[i] = stored;
    return 0;
}

void propstring_unset(PropString *p, const char *key)
{
    g_clear_pointer(&p->values[index_of(p, key)], g_free);
}
