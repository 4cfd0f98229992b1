/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands before the product's JSON parser (the linker puts it there): what the stack writes is
 * parsed by something leaner. The product's parser is tested and fuzzed elsewhere.
 */
#include "ha-manager/core/ha_json.h"

#include <string.h>

int __real_ha_json_parse_object(const char *text, JsonObject **ret_object, Err *err);
int __wrap_ha_json_parse_object(const char *text, JsonObject **ret_object, Err *err);

/* What is left to be read; NULL: it holds something that we leave to the product's parser. */
typedef const char *Rest;

static JsonNode *take_node(Rest *r);

static bool take(Rest *r, char c)
{
    if (*r != NULL && **r == c) {
        (*r)++;
        return true;
    }
    return false;
}

/* Without escapes, as all that the stack itself writes; NULL: not so. Caller frees. */
static char *take_string(Rest *r)
{
    const char *from = *r + 1;
    size_t size = take(r, '"') ? strcspn(from, "\"\\") : 0;

    if (*r == NULL || from != *r || from[size] != '"') {
        *r = NULL;
        return NULL;
    }
    *r = from + size + 1;
    return g_strndup(from, size);
}

static JsonObject *take_object(Rest *r)
{
    JsonObject *o = json_object_new();
    bool more = take(r, '{') && !take(r, '}');

    while (more) {
        g_autofree char *name = take_string(r);
        JsonNode *value = take(r, ':') ? take_node(r) : NULL;

        if (value == NULL) {
            *r = NULL;
            return o;
        }
        json_object_set_member(o, name, value);
        more = take(r, ',');
        if (!more && !take(r, '}')) {
            *r = NULL;
        }
    }
    return o;
}

static JsonArray *take_array(Rest *r)
{
    JsonArray *a = json_array_new();
    bool more = take(r, '[') && !take(r, ']');

    while (more) {
        JsonNode *value = take_node(r);

        if (value == NULL) {
            return a;
        }
        json_array_add_element(a, value);
        more = take(r, ',');
        if (!more && !take(r, ']')) {
            *r = NULL;
        }
    }
    return a;
}

/* NULL together with the rest. */
static JsonNode *take_node(Rest *r)
{
    JsonNode *n;
    char *end;
    int64_t number;

    if (*r != NULL && **r == '"') {
        g_autofree char *text = take_string(r);

        return text != NULL ? json_node_init_string(json_node_alloc(), text) : NULL;
    }
    if (*r != NULL && **r == '{') {
        n = json_node_new(JSON_NODE_OBJECT);
        json_node_take_object(n, take_object(r));
        return n;
    }
    if (*r != NULL && **r == '[') {
        n = json_node_new(JSON_NODE_ARRAY);
        json_node_take_array(n, take_array(r));
        return n;
    }
    number = *r != NULL ? g_ascii_strtoll(*r, &end, 10) : 0;
    if (*r == NULL || end == *r || strchr(",]}", *end) == NULL) {
        *r = NULL; /* no whole number */
        return NULL;
    }
    *r = end;
    return json_node_init_int(json_node_alloc(), number);
}

int __wrap_ha_json_parse_object(const char *text, JsonObject **ret_object, Err *err)
{
    size_t size = strlen(text);
    g_autoptr(JsonObject) object = NULL;
    Rest rest = text;

    object = take_object(&rest);
    if (size == 0 || rest == NULL || rest[strspn(rest, "\n")] != '\0') {
        return __real_ha_json_parse_object(text, ret_object, err);
    }
    *ret_object = g_steal_pointer(&object);
    return 0;
}
