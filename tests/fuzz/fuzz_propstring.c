/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a property string: what is read is written as a text that reads the same. The schema
 * has every kind of key. */
#include "lib/conf/propstring.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static const PropKey keys[] = {
    {.name = "m", .kind = PROP_WORD, .flags = PROP_DEFAULT_KEY, .words = "v e"},
    {.name = "v", .alias = "a", .implies = "m"},
    {.name = "e", .alias = "a", .implies = "m"},
    {.name = "a", .kind = PROP_TEXT, .max = 64},
    {.name = "b", .kind = PROP_BOOL, .fallback = "1"},
    {.name = "i", .kind = PROP_INT, .min = 1, .max = 99},
    {.name = "n", .kind = PROP_NUMBER, .min = 0, .max = 9},
    {.name = "s", .kind = PROP_SIZE},
    {.name = "r", .kind = PROP_TEXT},
};
static const PropSchema schema = {"fuzz", keys, G_N_ELEMENTS(keys)};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *in = g_strndup(size > 0 ? (const char *)data : "", size);
    g_autoptr(GPtrArray) unknown = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(PropString) p = NULL;
    g_autoptr(PropString) again = NULL;
    g_autofree char *text = NULL;
    g_autofree char *second = NULL;
    Err err = ERR_INIT;

    if (propstring_parse(&schema, in, unknown, &p, &err) < 0) {
        g_assert_cmpstr(err_text(&err), !=, "");
        return 0;
    }
    text = propstring_format(p);
    g_assert_cmpint(propstring_parse(&schema, text, unknown, &again, &err), ==, 0);
    second = propstring_format(again);
    g_assert_cmpstr(second, ==, text);
    return 0;
}
