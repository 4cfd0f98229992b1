/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as JSON and as a QMP message: what is read is written as text that reads the same. */
#include "lib/wire/wire_qmp.h"
#include "tests/fuzz/fuzz.h"

static void try_json(const uint8_t *data, size_t size)
{
    g_autoptr(JsonTree) t = NULL;
    g_autoptr(JsonTree) again = NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GString) second = g_string_new(NULL);
    Err err = ERR_INIT;

    if (jsontree_parse((const char *)data, size, &t, &err) < 0) {
        g_assert_cmpstr(err_text(&err), !=, "");
        return;
    }
    jsontree_append(text, t);
    g_assert_cmpint(jsontree_parse(text->str, text->len, &again, NULL), ==, 0);
    jsontree_append(second, again);
    g_assert_cmpstr(text->str, ==, second->str);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_auto(WireQmp) m = {0};
    Err err = ERR_INIT;

    if (size == 0) {
        return 0;
    }
    try_json(data, size);
    if (wire_qmp_decode((const char *)data, size, &m, &err) < 0) {
        g_assert_cmpstr(err_text(&err), !=, "");
    } else {
        g_assert_true(m.kind != WIRE_QMP_EVENT || m.name != NULL);
        g_assert_true(m.kind != WIRE_QMP_ERROR || (m.name != NULL && m.description != NULL));
        g_assert_true(m.kind != WIRE_QMP_RETURN || m.data != NULL);
    }
    return 0;
}
