/* SPDX-License-Identifier: Apache-2.0 */
/* test_tree: takes away the folders that a test made. */
#ifndef TESTS_LIB_TEST_TREE_H
#define TESTS_LIB_TEST_TREE_H

#include <glib.h>
#include <glib/gstdio.h>

/* `path` with all below it; links go, what they name stays. Ends the test when something does not
 * go: it then did not clean up after itself. */
static inline void test_remove_tree(const char *path)
{
    GDir *dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *below = g_build_filename(path, name, NULL);

        test_remove_tree(below);
    }
    g_clear_pointer(&dir, g_dir_close);
    g_assert_cmpint(g_remove(path), ==, 0);
}

#endif
