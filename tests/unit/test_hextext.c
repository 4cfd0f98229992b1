/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/hextext.h"

static void test_both_ways(void)
{
    uint8_t all[256] = {0};
    uint8_t back[256];
    g_autofree char *text = NULL;
    g_autofree char *upper = NULL;
    g_autofree char *none = hextext_format(all, 0);

    for (int i = 0; i < 256; i++) {
        all[i] = (uint8_t)i;
    }
    text = hextext_format(all, sizeof all);
    g_assert_true(g_str_has_prefix(text, "000102") && g_str_has_suffix(text, "fdfeff"));
    g_assert_true(hextext_parse(text, back, sizeof back));
    g_assert_cmpmem(back, sizeof back, all, sizeof all);
    upper = g_ascii_strup(text, -1);
    g_assert_true(hextext_parse(upper, back, sizeof back));
    g_assert_cmpmem(back, sizeof back, all, sizeof all);
    g_assert_cmpstr(none, ==, "");
    g_assert_true(hextext_parse("", back, 0));
}

static void test_refused(void)
{
    static const char *const wrong[] = {"",       "ab",   "abc",  "abcde",
                                        "abcdef", "ab g", "0xab", "ab\nc"};
    uint8_t out[2];

    g_assert_false(hextext_parse(NULL, out, sizeof out));
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_assert_false(hextext_parse(wrong[i], out, sizeof out));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hextext/both-ways", test_both_ways);
    g_test_add_func("/hextext/exactly-so-many-digits", test_refused);
    return g_test_run();
}
