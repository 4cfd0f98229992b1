/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a file of the tree is written whole or not at all, and nothing that an earlier try could
 * not take away keeps later ones from it. Method: a temporary directory, with leftovers and
 * obstacles. */
#include "lib/cfs/cfsfile.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

typedef struct Fixture {
    char *dir, *path;
} Fixture;

static void set_up(Fixture *f, const void *data)
{
    (void)data;
    f->dir = g_dir_make_tmp("cfsfile-XXXXXX", NULL);
    g_assert_nonnull(f->dir);
    f->path = g_build_filename(f->dir, "lrm_status", NULL);
}

static void tear_down(Fixture *f, const void *data)
{
    (void)data;
    (void)g_unlink(f->path);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0); /* nothing else was left */
    g_free(f->dir);
    g_free(f->path);
}

static void assert_holds(const Fixture *f, const char *expected)
{
    g_autofree char *text = NULL;
    gsize size = 0;

    g_assert_cmpint(cfsfile_read(f->path, 100, &text, &size, NULL), ==, 0);
    g_assert_cmpstr(text, ==, expected);
    g_assert_cmpuint(size, ==, strlen(expected));
}

static void replaces(Fixture *f, const void *data)
{
    (void)data;
    g_assert_cmpint(cfsfile_write(f->path, "old and longer", 14, NULL), ==, 0);
    assert_holds(f, "old and longer");
    g_assert_cmpint(cfsfile_write(f->path, "new", 3, NULL), ==, 0);
    assert_holds(f, "new");
    g_assert_cmpint(cfsfile_write(f->path, "", 0, NULL), ==, 0);
    assert_holds(f, "");
}

/* What stays when quorum goes between the end of writing and the rename: the LRM of that node could
 * never tell its state again. */
static void leftover_is_no_obstacle(Fixture *f, const void *data)
{
    g_autofree char *temp = cfsfile_temp_path(f->path);

    (void)data;
    g_assert_true(g_file_set_contents(temp, "half", 4, NULL));
    g_assert_cmpint(cfsfile_write(f->path, "whole", 5, NULL), ==, 0);
    assert_holds(f, "whole");
    g_assert_cmpint(cfsfile_write(f->path, "again", 5, NULL), ==, 0);
    assert_holds(f, "again");
}

static void failure_leaves_nothing(Fixture *f, const void *data)
{
    g_autofree char *inner = g_build_filename(f->path, "inner", NULL);
    Err err = ERR_INIT;

    (void)data;
    g_assert_cmpint(g_mkdir_with_parents(inner, 0700), ==, 0);
    g_assert_cmpint(cfsfile_write(f->path, "x", 1, &err), <, 0);
    g_assert_nonnull(strstr(err_text(&err), f->path));
    g_assert_cmpint(g_rmdir(inner), ==, 0);
    g_assert_cmpint(g_rmdir(f->path), ==, 0);
}

static void *name_in_thread(void *path)
{
    return cfsfile_temp_path(path);
}

static void names_of_threads_differ(Fixture *f, const void *data)
{
    g_autofree char *mine = cfsfile_temp_path(f->path);
    g_autofree char *again = cfsfile_temp_path(f->path);
    g_autofree char *other = g_thread_join(g_thread_new("other", name_in_thread, f->path));

    (void)data;
    g_assert_cmpstr(mine, ==, again);
    g_assert_cmpstr(mine, !=, other);
    g_assert_nonnull(strstr(mine, ".tmp.")); /* by which who lists a folder passes them over */
}

static void reading_is_bounded(Fixture *f, const void *data)
{
    g_autofree char *text = NULL;

    (void)data;
    g_assert_cmpint(cfsfile_read(f->path, 100, &text, NULL, NULL), ==, -ENOENT);
    g_assert_cmpint(cfsfile_write(f->path, "12345", 5, NULL), ==, 0);
    g_assert_cmpint(cfsfile_read(f->path, 4, &text, NULL, NULL), ==, -EFBIG);
    g_assert_null(text);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Fixture *, gconstpointer);
    } cases[] = {
        {"/cfsfile/replaces-the-whole-content", replaces},
        {"/cfsfile/leftover-is-no-obstacle", leftover_is_no_obstacle},
        {"/cfsfile/failure-leaves-nothing", failure_leaves_nothing},
        {"/cfsfile/names-of-threads-differ", names_of_threads_differ},
        {"/cfsfile/reading-is-bounded", reading_is_bounded},
    };

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_add(cases[i].name, Fixture, NULL, set_up, cases[i].run, tear_down);
    }
    return g_test_run();
}
