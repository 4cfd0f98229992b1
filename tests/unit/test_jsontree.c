/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: JSON is read by RFC 8259 within bounds and written back the same.
 * Method: tables of texts with the form they have after a round trip, or the reason of refusal. */
#include "lib/base/jsontree.h"

#include <errno.h>
#include <string.h>

static JsonTree *parse(const char *text)
{
    JsonTree *t = NULL;
    Err err = ERR_INIT;
    int r = jsontree_parse(text, strlen(text), &t, &err);

    g_test_message("%s: %s", text, err_text(&err));
    g_assert_cmpint(r, ==, 0);
    return t;
}

static void test_round_trip(void)
{
    static const char *const cases[][2] = {
        {"null", "null"},
        {" true ", "true"},
        {"-0", "0"},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"1.5", "1.5"},
        {"1e2", "100.0"},
        {"18446744073709551615", "1.8446744073709552e+19"},
        {"\"a\\u00fc\\n\\\"\\\\\\/\"", "\"aü\\n\\\"\\\\/\""},
        {"\"\\ud83d\\ude00\"", "\"😀\""},
        {"[]", "[]"},
        {"[ 1 , [ 2 ] ]", "[1,[2]]"},
        {"{}", "{}"},
        {"{\"b\":1,\"a\":{\"c\":[]}}", "{\"b\":1,\"a\":{\"c\":[]}}"},
        {"{\"a\":1,\"a\":2}", "{\"a\":2}"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(JsonTree) t = parse(cases[i][0]);
        g_autoptr(JsonTree) copy = jsontree_copy(t);
        g_autoptr(GString) out = g_string_new(NULL);

        jsontree_append(out, copy);
        g_assert_cmpstr(out->str, ==, cases[i][1]);
    }
}

static void test_refusals(void)
{
    static const char *const bad[] = {
        "",
        " ",
        "nul",
        "tru",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "[1",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{,}",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"a\tb\"",
        "1 2",
        "[1]]",
        "'a'",
        "\"\xff\"",
        "NaN",
        "Infinity",
        "{\"a\":1 \"b\":2}",
        "[1 2]",
        "\\",
    };
    g_autoptr(GString) deep = g_string_new(NULL);
    JsonTree *t = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        Err err = ERR_INIT;
        int r = jsontree_parse(bad[i], strlen(bad[i]), &t, &err);

        g_test_message("%s: %s", bad[i], err_text(&err));
        g_assert_cmpint(r, ==, -EBADMSG);
        g_assert_true(g_str_has_prefix(err_text(&err), "JSON: "));
        g_assert_null(t);
    }
    g_assert_cmpint(jsontree_parse("1\0", 2, &t, NULL), ==, -EBADMSG);
    for (int i = 0; i <= JSONTREE_DEPTH_MAX; i++) {
        g_string_append_c(deep, '[');
    }
    g_assert_cmpint(jsontree_parse(deep->str, deep->len, &t, NULL), ==, -E2BIG);
}

static void test_too_many_values(void)
{
    g_autoptr(GString) many = g_string_new("[1");
    JsonTree *t = NULL;

    for (guint i = 0; i < JSONTREE_NODES_MAX; i++) {
        g_string_append(many, ",1");
    }
    g_string_append_c(many, ']');
    g_assert_cmpint(jsontree_parse(many->str, many->len, &t, NULL), ==, -E2BIG);
    g_assert_null(t);
}

static void test_objects_with_many_members(void)
{
    g_autoptr(GString) text = g_string_new("{");
    g_autoptr(JsonTree) t = NULL;

    for (int i = 0; i < 50000; i++) {
        g_string_append_printf(text, "%s\"k%d\":%d", i > 0 ? "," : "", i, i);
    }
    g_string_append(text, ",\"k7\":-1}");
    t = parse(text->str);
    g_assert_cmpuint(jsontree_count(t), ==, 50000);
    g_assert_cmpint(jsontree_get_int(t, "k49999", 0), ==, 49999);
    g_assert_cmpint(jsontree_get_int(t, "k7", 0), ==, -1);
    g_assert_null(jsontree_get(t, "k50000"));
}

static void test_access(void)
{
    g_autoptr(JsonTree) t = parse("{\"t\":\"x\",\"i\":7,\"r\":0.5,\"b\":true,\"a\":[1,\"y\"]}");

    g_assert_cmpstr(jsontree_get_text(t, "t"), ==, "x");
    g_assert_cmpint(jsontree_get_int(t, "i", 0), ==, 7);
    g_assert_cmpfloat(jsontree_real(jsontree_get(t, "i"), 0), ==, 7);
    g_assert_cmpfloat(jsontree_real(jsontree_get(t, "r"), 0), ==, 0.5);
    g_assert_true(jsontree_get_bool(t, "b", false));
    g_assert_cmpuint(jsontree_count(jsontree_get(t, "a")), ==, 2);
    g_assert_cmpstr(jsontree_text(jsontree_at(jsontree_get(t, "a"), 1)), ==, "y");
    g_assert_null(jsontree_at(jsontree_get(t, "a"), 2));
    /* Another kind than asked for is "nothing". */
    g_assert_null(jsontree_get_text(t, "i"));
    g_assert_cmpint(jsontree_get_int(t, "t", -5), ==, -5);
    g_assert_cmpint(jsontree_int(NULL, -5), ==, -5);
    g_assert_null(jsontree_get(jsontree_get(t, "a"), "x"));
    g_assert_cmpint(jsontree_kind(jsontree_get(t, "zz")), ==, JSONTREE_NULL);
}

static void test_pretty(void)
{
    g_autoptr(JsonTree) t = jsontree_new_object();
    JsonTree *list = jsontree_new_array();
    g_autofree char *text = NULL;

    jsontree_set_text(t, "zeta", "z");
    jsontree_set_text(t, "none", NULL);
    jsontree_set_int(t, "alpha", 1);
    jsontree_set_int(t, "alpha", 2);
    jsontree_add(list, jsontree_new_bool(true));
    jsontree_add(list, jsontree_new_real(2));
    jsontree_set(t, "list", list);
    jsontree_set(t, "empty", jsontree_new_object());
    text = jsontree_pretty(t);
    g_assert_cmpstr(text, ==,
                    "{\n   \"alpha\" : 2,\n   \"empty\" : {},\n   \"list\" : [\n      true,\n"
                    "      2.0\n   ],\n   \"zeta\" : \"z\"\n}\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jsontree/round-trip", test_round_trip);
    g_test_add_func("/jsontree/refusals", test_refusals);
    g_test_add_func("/jsontree/too-many-values", test_too_many_values);
    g_test_add_func("/jsontree/objects-with-many-members", test_objects_with_many_members);
    g_test_add_func("/jsontree/access", test_access);
    g_test_add_func("/jsontree/pretty", test_pretty);
    return g_test_run();
}
