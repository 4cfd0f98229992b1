/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a status update: what decodes can be stored by its rules, and every view parses. */
#include "lib/wire/wire_kvstore.h"
#include "pmxcfs/core/status.h"
#include "tests/fuzz/fuzz.h"

#include <json-glib/json-glib.h>

static void check_json(const GString *text)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;

    json_parser_load_from_data(parser, text->str, (gssize)text->len, &error);
    g_assert_no_error(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const StatusNode nodes[] = {{.nodeid = 1, .name = (char *)"n1"},
                                       {.nodeid = 2, .name = (char *)"n2"}};
    g_autoptr(Status) s = status_new("n1", 1, (WallTime){1}, NULL);
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(GBytes) again = NULL;
    WireKvstoreUpdate u, v;

    if (wire_kvstore_decode_update(data, size, &u) < 0) {
        return 0;
    }
    g_assert_cmpint(wire_kvstore_encode_update(&u, &again), ==, 0);
    g_assert_cmpint(
        wire_kvstore_decode_update(g_bytes_get_data(again, NULL), g_bytes_get_size(again), &v), ==,
        0);
    g_assert_cmpstr(u.key, ==, v.key);
    g_assert_cmpmem(u.value, u.size, v.value, v.size);
    status_set_cluster(s, "lab", 1, nodes, 2);
    if (status_set(s, 2, u.key, u.value, u.size, (MonoTime){0}, NULL) == 0) {
        status_format_version(s, "", 1, out);
        check_json(out);
        g_string_truncate(out, 0);
        status_format_members(s, out);
        check_json(out);
        status_format_rrd(s, (MonoTime){0}, out);
    }
    return 0;
}
