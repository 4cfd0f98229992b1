/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the ring of a peer: the merge ends, the dump parses, and the result is a ring that
 * we can send ourselves. The size field is set right, so that the fuzzer gets behind it.
 */
#include "lib/wire/wire_clog.h"
#include "pmxcfs/core/clusterlog.h"
#include "tests/fuzz/fuzz.h"

#include <json-glib/json-glib.h>
#include <string.h>

static void check_dump(const Clusterlog *log)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;

    clusterlog_format(log, NULL, UINT32_MAX, out);
    json_parser_load_from_data(parser, out->str, (gssize)out->len, &error);
    g_assert_no_error(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(Clusterlog) log = clusterlog_new("n1", NULL);
    g_autofree uint8_t *copy = g_memdup2(data, size);
    g_autoptr(GBytes) ring = NULL;
    g_autoptr(GBytes) state = NULL;
    WireClogWalk w;
    WireClogEntry e;
    unsigned n = 0;

    for (unsigned i = 0; size >= 4 && i < 4; i++) {
        copy[i] = (uint8_t)(size >> (8 * i));
    }
    ring = g_bytes_new_static(copy, size);
    clusterlog_merge(log, &ring, 1);
    check_dump(log);
    state = clusterlog_state(log);
    g_assert_cmpint(wire_clog_walk_init(&w, g_bytes_get_data(state, NULL), WIRE_CLOG_RING_SIZE), ==,
                    0);
    while (wire_clog_walk_next(&w, &e, NULL, NULL)) {
        n++;
    }
    g_assert_cmpuint(n, <=, size / 48);
    return 0;
}
