/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: the ground everything stands on: errors, cursors, the generator, JSON strings. */
#include "lib/base/cursor.h"
#include "lib/base/err.h"
#include "lib/base/jsontext.h"
#include "lib/base/prng.h"
#include "lib/base/strtab.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

static void err_keeps_code_and_wraps_text(void)
{
    Err err = ERR_INIT;

    g_assert_cmpstr(err_text(&err), ==, "");
    g_assert_cmpint(err_setf(&err, -EINVAL, "bad %d", 7), ==, -EINVAL);
    g_assert_cmpint(err_wrapf(&err, -EINVAL, "file %s", "x"), ==, -EINVAL);
    g_assert_cmpstr(err_text(&err), ==, "file x: bad 7");
    err_clear(&err);
    g_assert_cmpint(err_wrapf(&err, -ENOENT, "open"), ==, -ENOENT);
    g_assert_cmpstr(err_text(&err), ==, "open: No such file or directory");
    g_assert_cmpint(err_setf(NULL, -EIO, "x"), ==, -EIO);
}

static void err_cuts_long_text(void)
{
    Err err = ERR_INIT;
    g_autofree char *longer = g_strnfill(2 * ERR_TEXT_MAX, 'a');

    (void)err_setf(&err, -EIO, "%s", longer);
    g_assert_cmpuint(strlen(err.text), ==, ERR_TEXT_MAX - 1);
    (void)err_wrapf(&err, -EIO, "%s", longer);
    g_assert_cmpuint(strlen(err.text), ==, ERR_TEXT_MAX - 1);
}

static void writer_reader_round_trip(void)
{
    g_auto(Writer) w = {0};
    g_autoptr(GBytes) bytes = NULL;
    Reader r;
    gsize size;

    writer_init(&w, 100);
    writer_u8(&w, 0xfe);
    writer_le16(&w, 0xbeef);
    writer_le32(&w, 0);
    writer_le64(&w, UINT64_C(0x0123456789abcdef));
    writer_strz(&w, "hello");
    writer_strfield(&w, "key", 8);
    writer_patch_le32(&w, 3, 0xdeadbeef);
    bytes = writer_steal(&w);
    g_assert_nonnull(bytes);
    const uint8_t *data = g_bytes_get_data(bytes, &size);
    g_assert_cmpuint(data[1], ==, 0xef); /* little-endian on the wire */
    r = reader_init(data, size);
    g_assert_cmpuint(reader_u8(&r), ==, 0xfe);
    g_assert_cmpuint(reader_le16(&r), ==, 0xbeef);
    g_assert_cmpuint(reader_le32(&r), ==, 0xdeadbeef);
    g_assert_true(reader_le64(&r) == UINT64_C(0x0123456789abcdef));
    g_assert_cmpstr(reader_strz(&r, 6), ==, "hello");
    g_assert_cmpstr(reader_strfield(&r, 8), ==, "key");
    g_assert_true(reader_done(&r));
}

static void reader_never_passes_the_end(void)
{
    static const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7};

    for (size_t n = 0; n < sizeof data; n++) {
        Reader r = reader_init(data, n);

        g_assert_true(reader_le64(&r) == 0);
        g_assert_false(reader_ok(&r));
        g_assert_cmpuint(reader_u8(&r), ==, 0); /* stays bad, even where a byte would fit */
        g_assert_cmpuint(reader_left(&r), ==, 0);
    }
    Reader r = reader_init(data, sizeof data);
    g_assert_null(reader_bytes(&r, SIZE_MAX));
    g_assert_false(reader_ok(&r));
}

static void reader_strings_need_their_nul(void)
{
    Reader r = reader_init("ab\0d", 4);
    g_assert_null(reader_strz(&r, 4)); /* NUL inside */
    r = reader_init("abcd", 4);
    g_assert_null(reader_strz(&r, 4)); /* no NUL */
    r = reader_init("abcd", 4);
    g_assert_null(reader_strz(&r, 0));
    g_assert_false(reader_ok(&r));
    r = reader_init("abcd", 4);
    g_assert_null(reader_strfield(&r, 4));
    r = reader_init("ab\0d", 4);
    g_assert_cmpstr(reader_strfield(&r, 4), ==, "ab");
    g_assert_true(reader_done(&r));
}

static void writer_stops_at_its_limit(void)
{
    g_auto(Writer) w = {0};

    writer_init(&w, 5);
    writer_le32(&w, 1);
    writer_le16(&w, 1);
    g_assert_false(writer_ok(&w));
    g_assert_cmpuint(writer_size(&w), ==, 4);
    g_assert_null(writer_steal(&w));
}

static void prng_is_repeatable_and_bounded(void)
{
    Prng a, b;
    unsigned seen = 0;

    prng_init(&a, 42);
    prng_init(&b, 42);
    for (int i = 0; i < 1000; i++) {
        g_assert_true(prng_u64(&a) == prng_u64(&b));
    }
    for (int i = 0; i < 1000; i++) {
        int64_t v = prng_range(&a, -2, 3);

        g_assert_cmpint(v, >=, -2);
        g_assert_cmpint(v, <=, 3);
        seen |= 1u << (v + 2);
    }
    g_assert_cmpuint(seen, ==, 0x3f);
    (void)prng_range(&a, INT64_MIN, INT64_MAX);
}

static void json_strings_always_parse(void)
{
    g_autoptr(GString) out = g_string_new(NULL);

    json_append_string(out, "a\"b\\c\n\x01\xc3\xa4\xff");
    g_assert_cmpstr(out->str, ==, "\"a\\\"b\\\\c\\n\\u0001\xc3\xa4\\ufffd\"");
    g_string_truncate(out, 0);
    json_append_string_len(out, "a\0b", 3);
    g_assert_cmpstr(out->str, ==, "\"a\\u0000b\"");
}

static void json_outline_is_one_value(void)
{
    static const char *const good[] = {"{}", " [1, 2.5e-3, true]\n", "{\"a\":{\"}\":[\"\\\"]\"]}}"};
    static const char *const bad[] = {
        "",      " ",         "1",          "null", "{",      "[}{",      "{}}", "{}1",
        "{} {}", "[] // end", "{/* no */}", "{\"a", "{\"a\\", "[\"\\\"]", "{};", "var a = {};"};
    g_autofree char *deep = g_strnfill(1000, '[');
    Err err = ERR_INIT;

    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        g_assert_cmpint(json_check_outline(good[i], strlen(good[i]), 3, NULL), ==, 0);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        err_clear(&err);
        g_assert_cmpint(json_check_outline(bad[i], strlen(bad[i]), 3, &err), ==, -EBADMSG);
        g_assert_cmpstr(err_text(&err), !=, "");
    }
    g_assert_cmpint(json_check_outline("[\0]", 3, 3, NULL), ==, -EBADMSG);
    g_assert_cmpint(json_check_outline("[[[]]]", 6, 3, NULL), ==, 0);
    g_assert_cmpint(json_check_outline("[[[]]]", 6, 2, NULL), ==, -EBADMSG);
    g_assert_cmpint(json_check_outline(deep, 1000, 3, NULL), ==, -EBADMSG);
}

#define FRUIT_LIST(X) X(FRUIT_APPLE, "apple") X(FRUIT_PEAR, "pear")
typedef enum Fruit { FRUIT_LIST(STRTAB_ENUM) FRUIT_N } Fruit;
STRTAB_DECLARE(fruit, Fruit);
STRTAB_DEFINE(fruit, Fruit, FRUIT_LIST, FRUIT_N)

static void strtab_goes_both_ways(void)
{
    g_assert_cmpstr(fruit_name(FRUIT_PEAR), ==, "pear");
    g_assert_cmpint(fruit_from_name("apple"), ==, FRUIT_APPLE);
    g_assert_cmpint(fruit_from_name("plum"), ==, -1);
    g_assert_null(fruit_name(FRUIT_N));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/err/keeps-code-and-wraps-text", err_keeps_code_and_wraps_text);
    g_test_add_func("/err/cuts-long-text", err_cuts_long_text);
    g_test_add_func("/cursor/round-trip", writer_reader_round_trip);
    g_test_add_func("/cursor/reader-never-passes-the-end", reader_never_passes_the_end);
    g_test_add_func("/cursor/strings-need-their-nul", reader_strings_need_their_nul);
    g_test_add_func("/cursor/writer-stops-at-its-limit", writer_stops_at_its_limit);
    g_test_add_func("/prng/repeatable-and-bounded", prng_is_repeatable_and_bounded);
    g_test_add_func("/json/strings-always-parse", json_strings_always_parse);
    g_test_add_func("/json/outline-is-one-value", json_outline_is_one_value);
    g_test_add_func("/strtab/goes-both-ways", strtab_goes_both_ways);
    return g_test_run();
}
