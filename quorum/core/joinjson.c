/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/core/joinjson.h"

#include <stdarg.h>

static JsonNode *member_of_kind(JsonObject *o, const char *name, GType kind)
{
    JsonNode *node = o != NULL ? json_object_get_member(o, name) : NULL;

    return node != NULL && json_node_get_value_type(node) == kind ? node : NULL;
}

const char *joinjson_text(JsonObject *o, const char *name)
{
    JsonNode *node = member_of_kind(o, name, G_TYPE_STRING);

    return node != NULL ? json_node_get_string(node) : NULL;
}

bool joinjson_number(JsonObject *o, const char *name, int64_t *ret)
{
    JsonNode *node = member_of_kind(o, name, G_TYPE_INT64);

    if (node == NULL) {
        return false;
    }
    *ret = json_node_get_int(node);
    return true;
}

void problems_add(GPtrArray *problems, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_ptr_array_add(problems, g_strdup_vprintf(fmt, ap));
    va_end(ap);
}
