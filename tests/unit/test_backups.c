/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: old backups of a node go, the newest stay, and nothing else is touched.
 * Method: a folder of its own with more of them than are kept.
 */
#include "quorum/io/backups.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <stdbool.h>

#define MADE 14u

static char *state_dir;

static char *path_of(const char *name)
{
    return g_build_filename(state_dir, "backup", name, NULL);
}

static bool exists(const char *name)
{
    g_autofree char *path = path_of(name);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static void make(const char *name)
{
    g_autofree char *path = path_of(name);
    g_autofree char *inner = g_build_filename(path, "below", NULL);
    g_autofree char *file = g_build_filename(inner, "config.db", NULL);

    g_assert_cmpint(g_mkdir_with_parents(inner, 0700), ==, 0);
    g_assert_true(g_file_set_contents(file, "x", 1, NULL));
}

/* join-1000, leave-1001, join-1002, ... */
static char *name_of(unsigned i)
{
    return g_strdup_printf("%s-%u", i % 2 == 0 ? "join" : "leave", 1000 + i);
}

static void the_newest_stay(void)
{
    static const char *const others[] = {"join-", "join-1x", "-1", "Join-1", "mine", "join-1-2"};
    g_autofree char *first = path_of("join-1000");
    Err err = ERR_INIT;

    g_assert_cmpint(backups_prune(state_dir, NULL, &err), ==, 0); /* no folder at all */
    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        make(others[i]);
    }
    for (unsigned i = 0; i < MADE; i++) {
        g_autofree char *name = name_of(i);

        make(name);
    }
    g_assert_cmpint(backups_prune(state_dir, first, &err), ==, MADE - BACKUPS_KEPT - 1);
    for (unsigned i = 0; i < MADE; i++) {
        g_autofree char *name = name_of(i);

        /* The first is the caller's, made by a clock that was behind. */
        g_assert_cmpint(exists(name), ==, i == 0 || i >= MADE - BACKUPS_KEPT);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        g_assert_true(exists(others[i]));
    }
    g_assert_cmpint(backups_prune(state_dir, NULL, &err), ==, 1);
    g_assert_false(exists("join-1000"));
    g_assert_cmpint(backups_prune(state_dir, NULL, &err), ==, 0);
}

static void a_new_one_is_named_by_kind_and_time(void)
{
    g_autofree char *path = backups_path("/state", "leave");

    g_assert_true(g_str_has_prefix(path, "/state/backup/leave-"));
}

static void remove_all(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *child = g_build_filename(path, name, NULL);

        remove_all(child);
    }
    g_assert_cmpint(g_remove(path), ==, 0);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    state_dir = g_dir_make_tmp("quorate-backups.XXXXXX", NULL);
    g_test_add_func("/backups/the-newest-stay", the_newest_stay);
    g_test_add_func("/backups/a-new-one-is-named-by-kind-and-time",
                    a_new_one_is_named_by_kind_and_time);
    status = g_test_run();
    remove_all(state_dir);
    g_free(state_dir);
    return status;
}
