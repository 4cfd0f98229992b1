/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: values of all formats end up in the documented file with the documented columns, and
 * nothing from another node becomes a path or a command of its own. Method: the table of chapter 13
 * row by row; names and values that try to be something else.
 */
#include "pmxcfs/core/rrdmap.h"

#include <errno.h>
#include <string.h>

static char *columns(unsigned from, unsigned n)
{
    g_autoptr(GString) s = g_string_new(NULL);

    for (unsigned i = 0; i < n; i++) {
        g_string_append_printf(s, ":%u", from + i);
    }
    return g_string_free(g_steal_pointer(&s), FALSE);
}

static void check(
    const char *id, const char *file, const char *live, unsigned sent, unsigned kept, unsigned pad)
{
    g_autofree char *in = columns(10, sent);
    g_autofree char *out = columns(10, kept);
    g_autofree char *value = g_strdup_printf("%s1700000000%s", live, in);
    g_autoptr(GString) want = g_string_new("1700000000");
    g_autofree char *row = NULL;
    RrdTarget t;

    g_test_message("%s", id);
    g_string_append(want, out);
    for (unsigned i = 0; i < pad; i++) {
        g_string_append(want, ":U");
    }
    g_assert_cmpint(rrdmap_target(id, &t), ==, 0);
    g_assert_cmpstr(t.file, ==, file);
    g_assert_cmpint(rrdmap_row(&t, value, &row), ==, 0);
    g_assert_cmpstr(row, ==, want->str);
    g_assert_cmpuint(kept + pad, ==, rrdmap_columns(t.kind));
}

static void documented_table(void)
{
    check("pve2-node/n1", "pve-node-9.0/n1", "5000:c:", 12, 12, 7);
    check("pve2-node/n1", "pve-node-9.0/n1", "5000:c:", 14, 12, 7);
    check("pve-node-9.0/n1", "pve-node-9.0/n1", "5000:c:", 19, 19, 0);
    check("pve-node-10.1/n1", "pve-node-9.0/n1", "5000:c:", 25, 19, 0);
    check("pve2.3-vm/100", "pve-vm-9.0/100", "5000:web:running:0:", 10, 10, 7);
    check("pve-vm-9.0/100", "pve-vm-9.0/100", "5000:web:running:0:", 17, 17, 0);
    check("pve-vm-11/100", "pve-vm-9.0/100", "5000:web:running:0:", 30, 17, 0);
    check("pve2-storage/n1/local", "pve-storage-9.0/n1/local", "", 2, 2, 0);
    check("pve-storage-9.0/n1/local", "pve-storage-9.0/n1/local", "", 2, 2, 0);
    check("pve-storage-12.0/n1/local", "pve-storage-9.0/n1/local", "", 9, 2, 0);
}

static void unknown_ids(void)
{
    static const char *const ids[] = {
        "",
        "/",
        "pve2-node",
        "pve2-node/",
        "pve2-node/a/b",
        "pve2-nodes/n1",
        "pve-node-/n1",
        "pve-node-9.0/",
        "pve2.3-vm/1/2",
        "pve2-storage/n1",
        "pve2-storage/n1/",
        "pve2-storage//x",
        "pve2-storage/a/b/c",
        "other/n1",
        "pve2-node/..",
        "pve2-node/.",
        "pve-node-9.0/../../etc",
        "pve2-storage/../x",
        "pve2-storage/n1/..",
        "pve2-node/a b",
        "pve2-node/a\nQUIT",
        "pve2-node/a\\b",
        "pve2-node/\"x\"",
        "pve2-node/.hidden",
        "pve2-node/\xc3\xa4",
        "/pve2-node/n1",
        "../pve2-node/n1",
    };
    g_autofree char *name = g_strnfill(256, 'x');
    g_autofree char *longest = g_strdup_printf("pve2-node/%s", name);
    RrdTarget t;

    for (gsize i = 0; i < G_N_ELEMENTS(ids); i++) {
        g_test_message("%s", ids[i]);
        g_assert_cmpint(rrdmap_target(ids[i], &t), ==, -EINVAL);
    }
    g_assert_cmpint(rrdmap_target(longest, &t), ==, -EINVAL);
    longest[strlen(longest) - 1] = '\0';
    g_assert_cmpint(rrdmap_target(longest, &t), ==, 0);
}

static void bad_values(void)
{
    static const char *const values[] = {
        "",
        "1700000000",
        "1700000000:1",
        "1700000000:",
        ":1:2",
        "N:1:2",
        "now:1:2",
        "-5:1:2",
        "1700000000:1:2 3",
        "1700000000:1:2\nQUIT",
        "1700000000:1:x",
        "1700000000::2",
        "123456789012:1:2",
        "1700000000:1:$(reboot)",
        "1700000000:1:;",
    };
    RrdTarget t;
    g_autofree char *row = NULL;

    g_assert_cmpint(rrdmap_target("pve2-storage/n1/s", &t), ==, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
        g_test_message("%s", values[i]);
        g_assert_cmpint(rrdmap_row(&t, values[i], &row), ==, -EINVAL);
    }
    g_assert_cmpint(rrdmap_row(&t, "1700000000:1.5e+03:U", &row), ==, 0);
    g_assert_cmpstr(row, ==, "1700000000:1.5e+03:U");
    g_clear_pointer(&row, g_free);
    g_assert_cmpint(rrdmap_target("pve2.3-vm/100", &t), ==, 0);
    g_assert_cmpint(rrdmap_row(&t, "1:2:3", &row), ==, -EINVAL);
}

static void definitions(void)
{
    for (int k = 0; k < RRD_KIND_N; k++) {
        const char *const *d = rrdmap_definitions((RrdKind)k);
        unsigned sources = 0, archives = 0;

        for (; *d != NULL; d++) {
            sources += g_str_has_prefix(*d, "DS:");
            archives += g_str_has_prefix(*d, "RRA:");
        }
        g_assert_cmpuint(sources, ==, rrdmap_columns((RrdKind)k));
        g_assert_cmpuint(archives, ==, 8);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rrdmap/documented-table", documented_table);
    g_test_add_func("/rrdmap/unknown-ids-are-refused", unknown_ids);
    g_test_add_func("/rrdmap/bad-values-are-refused", bad_values);
    g_test_add_func("/rrdmap/definitions", definitions);
    return g_test_run();
}
