/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a change of storage.cfg changes what it is about and nothing else, and never writes a file
 * that could not be read. Method: golden texts. */
#include "lib/conf/storagecfg.h"
#include "lib/conf/storagecfg_edit.h"

#include <errno.h>
#include <string.h>

static const char base[] = "# ours\n"
                           "dir: local\n"
                           "\tpath /var/lib/vz\n"
                           "\tcontent iso\n"
                           "\n"
                           "dir: d1\n"
                           "\t# why\n"
                           "\tpath /d1\n"
                           "\tshared\n"
                           "\n"
                           "future: x\n"
                           "\tthing 1\n";

static GPtrArray *pairs(const char *first, ...)
{
    GPtrArray *list = g_ptr_array_new();
    va_list words;

    va_start(words, first);
    for (const char *w = first; w != NULL; w = va_arg(words, const char *)) {
        g_ptr_array_add(list, (char *)w);
    }
    va_end(words);
    return list;
}

static void test_add(void)
{
    g_autoptr(GPtrArray) props = pairs("path", "/d2", "content", "images,iso", NULL);
    g_autofree char *text = NULL;
    g_autofree char *want =
        g_strconcat(base, "\ndir: d2\n\tpath /d2\n\tcontent images,iso\n", NULL);
    g_autofree char *first = NULL;

    g_assert_cmpint(storagecfg_add(base, "dir", "d2", props, &text, NULL), ==, 0);
    g_assert_cmpstr(text, ==, want);
    g_assert_cmpint(storagecfg_add("", "dir", "d2", props, &first, NULL), ==, 0);
    g_assert_cmpstr(first, ==, "dir: d2\n\tpath /d2\n\tcontent images,iso\n");
}

static void test_refused(void)
{
    static const struct {
        const char *type;
        const char *id;
        const char *key;
        const char *value;
        const char *says;
        int code;
    } cases[] = {
        {"dir", "d1", "path", "/x", "exists already", -EEXIST},
        {"dir", "local", "path", "/x", "exists already", -EEXIST},
        {"dir", "d2", "content", "images", "has no 'path'", -EINVAL},
        {"dir", "d2", "path", "x", "absolute", -EINVAL},
        {"dir", "d2", "path", "/x/../y", "'..'", -EINVAL},
        {"dir", "d2", "path", "/x\ndir: evil", "one line", -EINVAL},
        {"dir", "d2\n", "path", "/x", "not a storage name", -EINVAL},
        {"dir", "x: y", "path", "/x", "not a storage name", -EINVAL},
        {"dir", "d2", "content", "image", "'image' is not one of", -EINVAL},
        {"dir", "d2", "content", ",", "empty", -EINVAL},
        {"dir", "d2", "pool", "p", "no property 'pool'", -EINVAL},
        {"dir", "d2", "shared", "maybe", "not 1 or 0", -EINVAL},
        {"dir", "d2", "format", "vhd", "not one of raw", -EINVAL},
        {"dir", "d2", "nodes", "a b;c/d", "'c/d'", -EINVAL},
        {"lvmthin", "d2", "vgname", "vg", "has no 'thinpool'", -EINVAL},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) props = pairs(cases[i].key, cases[i].value, NULL);
        g_autofree char *text = NULL;
        Err err = ERR_INIT;

        g_assert_cmpint(storagecfg_add(base, cases[i].type, cases[i].id, props, &text, &err), ==,
                        cases[i].code);
        g_assert_null(text);
        if (strstr(err.text, cases[i].says) == NULL) {
            g_error("case %zu says: %s", i, err.text);
        }
    }
}

static void test_change(void)
{
    g_autoptr(GPtrArray) props = pairs("content", "images", "nodes", "a,b", NULL);
    g_autoptr(GPtrArray) remove = pairs("shared", NULL);
    g_autoptr(GPtrArray) path = pairs("path", "/elsewhere", NULL);
    g_autofree char *text = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(storagecfg_change(base, "d1", props, remove, &text, NULL), ==, 0);
    g_assert_cmpstr(text, ==,
                    "# ours\ndir: local\n\tpath /var/lib/vz\n\tcontent iso\n\n"
                    "dir: d1\n\t# why\n\tpath /d1\n\tcontent images\n\tnodes a,b\n\n"
                    "future: x\n\tthing 1\n");
    g_clear_pointer(&text, g_free);
    g_assert_cmpint(storagecfg_change(base, "d1", path, NULL, &text, &err), ==, -EINVAL);
    g_assert_nonnull(strstr(err.text, "cannot change"));
    g_assert_cmpint(storagecfg_change(base, "nope", props, NULL, &text, &err), ==, -ENOENT);
}

static void test_local(void)
{
    g_autoptr(GPtrArray) props = pairs("content", "images,iso", NULL);
    g_autoptr(StorageCfg) cfg = NULL;
    g_autofree char *text = NULL;
    g_autofree char *none = NULL;
    const Storage *s = NULL;

    g_assert_cmpint(storagecfg_change("dir: d1\n\tpath /d1\n", "local", props, NULL, &text, NULL),
                    ==, 0);
    g_assert_cmpint(storagecfg_parse(text, strlen(text), &cfg, NULL), ==, 0);
    g_assert_cmpint(storagecfg_get(cfg, "local", &s, NULL), ==, 0);
    g_assert_true(storage_has_content(s, "images"));
    g_assert_cmpint(storagecfg_get(cfg, "d1", &s, NULL), ==, 0);
    g_assert_cmpint(storagecfg_remove(text, "local", &none, NULL), ==, -EINVAL);
}

static void test_remove(void)
{
    g_autofree char *middle = NULL;
    g_autofree char *last = NULL;

    g_assert_cmpint(storagecfg_remove(base, "d1", &middle, NULL), ==, 0);
    g_assert_cmpstr(middle, ==,
                    "# ours\ndir: local\n\tpath /var/lib/vz\n\tcontent iso\n\n"
                    "future: x\n\tthing 1\n");
    g_assert_cmpint(storagecfg_remove(middle, "x", &last, NULL), ==, 0);
    g_assert_cmpstr(last, ==, "# ours\ndir: local\n\tpath /var/lib/vz\n\tcontent iso\n");
    g_clear_pointer(&last, g_free);
    g_assert_cmpint(storagecfg_remove(base, "nope", &last, NULL), ==, -ENOENT);
}

/* What ends a section, and what a line's key is, is for the reader to say. */
static void test_strange_lines(void)
{
    static const char odd[] = "dir: d1\n\tpath /d1\n\tnodes\f\n\f\n\tcontent iso\n\n\tlast 1\n"
                              "dir: d2\n\tpath /d2\n";
    g_autoptr(GPtrArray) props = pairs("nodes", "a", NULL);
    g_autofree char *text = NULL;

    g_assert_cmpint(storagecfg_remove(odd, "d1", &text, NULL), ==, 0);
    g_assert_cmpstr(text, ==, "dir: d2\n\tpath /d2\n");
    g_clear_pointer(&text, g_free);
    g_assert_cmpint(storagecfg_change(odd, "d1", props, NULL, &text, NULL), ==, 0);
    g_assert_cmpstr(text, ==,
                    "dir: d1\n\tpath /d1\n\f\n\tcontent iso\n\n\tlast 1\n\tnodes a\n"
                    "dir: d2\n\tpath /d2\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/storagecfg-edit/add", test_add);
    g_test_add_func("/storagecfg-edit/what-cannot-be-read-is-not-written", test_refused);
    g_test_add_func("/storagecfg-edit/change-keeps-all-else", test_change);
    g_test_add_func("/storagecfg-edit/local-is-written-down-first", test_local);
    g_test_add_func("/storagecfg-edit/remove", test_remove);
    g_test_add_func("/storagecfg-edit/strange-lines", test_strange_lines);
    return g_test_run();
}
