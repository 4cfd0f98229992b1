/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: section files are read as documented, damage stays where it is, and nothing is lost on
 * rewriting. Method: small texts with a schema of our own. Also the map they are kept in. */
#include "lib/base/strmap.h"
#include "lib/conf/sectionconf.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

static const char *const colours[] = {"red", "green", NULL};

static const SectionProp thing_props[] = {
    {.name = "parts", .kind = SECTION_LIST, .required = true},
    {.name = "colour", .kind = SECTION_WORD, .words = colours},
    {.name = "count", .kind = SECTION_INT, .min = 0, .max = 100},
    {.name = "big", .kind = SECTION_BOOL},
    {.name = "disable", .kind = SECTION_BOOL},
    {.name = "comment", .kind = SECTION_TEXT, .max = 20},
};
static const SectionType types[] = {
    {"thing", sectionconf_check_configid, thing_props, G_N_ELEMENTS(thing_props)},
};
static const SectionSchema schema = {.types = types, .n_types = 1};

typedef struct Warnings {
    guint n;
    unsigned last_line;
    char last[ERR_TEXT_MAX];
} Warnings;

static void note(void *ctx, unsigned line, const char *text)
{
    Warnings *w = ctx;

    w->n++;
    w->last_line = line;
    (void)g_strlcpy(w->last, text, sizeof w->last);
}

static SectionConf *parse(const char *text, Warnings *w)
{
    SectionConf *conf = NULL;

    *w = (Warnings){0};
    g_assert_cmpint(sectionconf_parse(&schema, text, strlen(text), note, w, &conf, NULL), ==, 0);
    return conf;
}

static void plain_sections_are_read(void)
{
    Warnings w;
    g_autoptr(SectionConf) conf = parse("# about\n"
                                        "thing: one\n"
                                        "\tparts a,b;c d\n"
                                        "   # not a property\n"
                                        "  big\n"
                                        "\tcount 007\n"
                                        "   \n"
                                        "THING:two   \n"
                                        "\tparts x\n"
                                        "\tbig No\n"
                                        "\tcomment  several words  \n",
                                        &w);
    const Section *one = sectionconf_get(conf, "one");
    const Section *two = sectionconf_get(conf, "two");

    g_assert_cmpuint(w.n, ==, 0);
    g_assert_nonnull(one);
    g_assert_nonnull(two);
    g_assert_true(section_bool(one, "big", false));
    g_assert_cmpint(section_int(one, "count", -1), ==, 7);
    g_assert_false(section_bool(two, "big", true));
    g_assert_cmpstr(section_text(two, "comment"), ==, "several words");
    g_assert_null(section_text(two, "count"));
    g_assert_cmpint(section_int(two, "count", 5), ==, 5);
}

static void digest_is_that_of_the_bytes(void)
{
    Warnings w;
    g_autoptr(SectionConf) empty = parse("", &w);

    /* SHA-1 of nothing */
    g_assert_cmpstr(empty->digest, ==, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

static void list_is_split_at_commas_semicolons_and_blanks(void)
{
    g_autoptr(GPtrArray) list = sectionconf_split_list("  a,b;c d ,, ;e");
    g_autoptr(GPtrArray) none = sectionconf_split_list(" , ;");

    g_assert_cmpuint(list->len, ==, 5);
    g_assert_cmpstr(g_ptr_array_index(list, 0), ==, "a");
    g_assert_cmpstr(g_ptr_array_index(list, 4), ==, "e");
    g_assert_cmpuint(none->len, ==, 0);
}

/* Each text has one bad line; the property is out, the section stays. */
static void bad_property_is_dropped_alone(void)
{
    static const char *const bad[] = {
        "count many", "count 101",   "count -1",
        "count",      "big perhaps", "colour blue",
        "unknown 1",  "parts again", "comment more than twenty bytes of it"};

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *text = g_strdup_printf("thing: one\n\tparts a\n\t%s\n", bad[i]);
        Warnings w;
        g_autoptr(SectionConf) conf = parse(text, &w);
        g_autofree char *back = sectionconf_format(conf);

        g_assert_cmpuint(w.n, ==, 1);
        g_assert_cmpuint(w.last_line, ==, 3);
        g_assert_cmpstr(section_text(sectionconf_get(conf, "one"), "parts"), ==, "a");
        g_assert_cmpuint(strmap_size(sectionconf_get(conf, "one")->values), ==, 1);
        g_assert_nonnull(strstr(back, bad[i])); /* not lost on rewriting */
    }
}

static void bad_section_is_dropped_alone(void)
{
    static const char *const bad[] = {"widget: x",  "thing: 1st", "thing: a", "no header at all",
                                      "thing: one", ": x",        "thing:",   "thing: b c"};

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *text = g_strdup_printf(
            "thing: one\n\tparts a\n\n%s\n\tparts b\n\tcount 1\n\nthing: two\n\tparts c\n", bad[i]);
        Warnings w;
        g_autoptr(SectionConf) conf = parse(text, &w);
        g_autofree char *back = sectionconf_format(conf);

        g_assert_cmpuint(w.n, ==, 1);
        g_assert_cmpuint(w.last_line, ==, 4);
        g_assert_cmpuint(g_hash_table_size(conf->by_key), ==, 2);
        g_assert_cmpstr(section_text(sectionconf_get(conf, "one"), "parts"), ==, "a");
        g_assert_nonnull(strstr(back, bad[i]));
        g_assert_nonnull(strstr(back, "\tparts b\n\tcount 1\n"));
    }
}

static void section_without_a_required_property_does_not_count(void)
{
    Warnings w;
    g_autoptr(SectionConf) conf = parse("thing: one\n\tcount 1\n\nthing: two\n\tparts a\n", &w);

    g_assert_cmpuint(w.n, ==, 1);
    g_assert_null(sectionconf_get(conf, "one"));
    g_assert_nonnull(sectionconf_get(conf, "two"));
}

static void header_without_empty_line_before_it_is_part_of_the_section(void)
{
    Warnings w;
    g_autoptr(SectionConf) conf = parse("thing: one\n\tparts a\nthing: two\n\tcount 3\n", &w);

    g_assert_null(sectionconf_get(conf, "two"));
    g_assert_cmpint(section_int(sectionconf_get(conf, "one"), "count", 0), ==, 3);
    g_assert_cmpuint(w.n, ==, 1);
}

static void written_form_has_the_documented_order(void)
{
    Warnings w;
    g_autoptr(SectionConf) conf =
        parse("thing: one\n\tcount 1\n\tcolour red\n\tdisable\n\tparts a\n\tcomment c\n"
              "\nthing: two\n\tdisable 0\n\tparts b\n",
              &w);
    g_autofree char *text = sectionconf_format(conf);
    g_autoptr(SectionConf) again = parse(text, &w);
    g_autofree char *text2 = sectionconf_format(again);

    g_assert_cmpstr(text, ==,
                    "thing: one\n\tcomment c\n\tdisable\n\tparts a\n\tcolour red\n\tcount 1\n\n"
                    "thing: two\n\tparts b\n\tdisable 0\n\n");
    g_assert_cmpstr(text2, ==, text);
}

static void sections_are_added_and_removed(void)
{
    Warnings w;
    g_autoptr(SectionConf) conf = parse("thing: one\n\tparts a\n", &w);
    Section *s = NULL;
    g_autofree char *text = NULL;

    g_assert_cmpint(sectionconf_add(conf, "thing", "one", &s, NULL), ==, -EEXIST);
    g_assert_cmpint(sectionconf_add(conf, "widget", "x", &s, NULL), ==, -EINVAL);
    g_assert_cmpint(sectionconf_add(conf, "thing", "0", &s, NULL), ==, -EINVAL);
    g_assert_cmpint(sectionconf_add(conf, "thing", "two", &s, NULL), ==, 0);
    g_assert_cmpint(section_set(s, "parts", "b", NULL), ==, 0);
    g_assert_cmpint(section_set(s, "count", "two", NULL), ==, -EINVAL);
    g_assert_cmpint(section_set(s, "comment", "a\nthing: three", NULL), ==, -EINVAL);
    g_assert_true(sectionconf_remove(conf, "one"));
    g_assert_false(sectionconf_remove(conf, "one"));
    text = sectionconf_format(conf);
    g_assert_cmpstr(text, ==, "thing: two\n\tparts b\n\n");
}

static void what_is_no_text_is_refused(void)
{
    g_autofree char *large = g_strnfill(SECTIONCONF_TEXT_MAX + 1, '\n');
    SectionConf *conf = NULL;

    g_assert_cmpint(sectionconf_parse(&schema, large, strlen(large), NULL, NULL, &conf, NULL), ==,
                    -EFBIG);
    g_assert_cmpint(sectionconf_parse(&schema, "a\0b", 3, NULL, NULL, &conf, NULL), ==, -EBADMSG);
    g_assert_null(conf);
}

static void map_keeps_key_order(void)
{
    g_autoptr(StrMap) m = strmap_new(g_free);
    guint at;

    for (int i = 0; i < 1000; i++) {
        g_autofree char *key = g_strdup_printf("k%d", (i * 7919) % 1000);

        strmap_set(m, key, g_strdup(key));
    }
    g_assert_cmpuint(strmap_size(m), ==, 1000);
    for (guint i = 1; i < strmap_size(m); i++) {
        g_assert_cmpstr(strmap_key(m, i - 1), <, strmap_key(m, i));
        g_assert_cmpstr(strmap_key(m, i), ==, strmap_value(m, i));
    }
    strmap_set(m, "k5", g_strdup("new"));
    g_assert_cmpuint(strmap_size(m), ==, 1000);
    g_assert_cmpstr(strmap_get(m, "k5"), ==, "new");
    g_assert_true(strmap_find(m, "k5", &at));
    g_assert_cmpstr(strmap_key(m, at), ==, "k5");
    g_assert_true(strmap_remove(m, "k5"));
    g_assert_false(strmap_remove(m, "k5"));
    g_assert_null(strmap_get(m, "k5"));
    g_assert_cmpuint(strmap_size(m), ==, 999);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sectionconf/plain-sections-are-read", plain_sections_are_read);
    g_test_add_func("/sectionconf/digest-is-that-of-the-bytes", digest_is_that_of_the_bytes);
    g_test_add_func("/sectionconf/list-is-split", list_is_split_at_commas_semicolons_and_blanks);
    g_test_add_func("/sectionconf/bad-property-is-dropped-alone", bad_property_is_dropped_alone);
    g_test_add_func("/sectionconf/bad-section-is-dropped-alone", bad_section_is_dropped_alone);
    g_test_add_func("/sectionconf/required-property-missing",
                    section_without_a_required_property_does_not_count);
    g_test_add_func("/sectionconf/header-inside-a-section",
                    header_without_empty_line_before_it_is_part_of_the_section);
    g_test_add_func("/sectionconf/written-form", written_form_has_the_documented_order);
    g_test_add_func("/sectionconf/add-and-remove", sections_are_added_and_removed);
    g_test_add_func("/sectionconf/what-is-no-text-is-refused", what_is_no_text_is_refused);
    g_test_add_func("/strmap/keeps-key-order", map_keeps_key_order);
    return g_test_run();
}
