/* SPDX-License-Identifier: Apache-2.0 */
#include "api/core/api_format.h"

#include <string.h>

#define EXTJS_PREFIX "/api2/extjs"
#define JSON_PREFIX  "/api2/json"

char *api_format_path(const char *path, ApiFormat *ret_format)
{
    const char *rest = path + sizeof EXTJS_PREFIX - 1;

    if (!g_str_has_prefix(path, EXTJS_PREFIX) || (*rest != '\0' && *rest != '/')) {
        *ret_format = API_FORMAT_JSON;
        return g_strdup(path);
    }
    *ret_format = API_FORMAT_EXTJS;
    return g_strconcat(JSON_PREFIX, rest, NULL);
}

void api_format_answer(ApiFormat format, ApiAnswer *answer)
{
    GString *body;
    const char *text;
    gsize size = 0;

    if (format != API_FORMAT_EXTJS) {
        return;
    }
    text = g_bytes_get_data(answer->body, &size);
    if (size < 2 || text[0] != '{') {
        return; /* no envelope of ours: left as it is */
    }
    body = g_string_sized_new(size + 64);
    if (answer->status == 200) {
        g_string_append(body, "{\"success\":1");
    } else {
        g_string_append_printf(body, "{\"success\":0,\"status\":%u", answer->status);
        answer->status = 200;
    }
    g_string_append_c(body, text[1] == '}' ? ' ' : ',');
    g_string_append_len(body, text + 1, (gssize)(size - 1));
    g_bytes_unref(answer->body);
    size = body->len;
    answer->body = g_bytes_new_take(g_string_free(body, FALSE), size);
}

bool api_format_readable(const char *content_type)
{
    static const char *const kinds[] = {"application/x-www-form-urlencoded", "application/json"};
    gsize n = content_type != NULL ? strcspn(content_type, "; \t") : 0;

    for (size_t i = 0; n > 0 && i < G_N_ELEMENTS(kinds); i++) {
        if (strlen(kinds[i]) == n && g_ascii_strncasecmp(kinds[i], content_type, n) == 0) {
            return true;
        }
    }
    return n == 0; /* not said: told apart by how it begins */
}
