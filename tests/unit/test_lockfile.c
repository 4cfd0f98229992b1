/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a lock file has one holder at a time, whoever waits gets it when it is free, and never
 * through a link. Method: real files below a directory of its own; a descriptor opened anew is
 * another holder, also within one process.
 */
#include "lib/port/lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <unistd.h>

#define LONG_MS 90000

typedef struct Rig {
    char *dir, *path;
} Rig;

static void set_up(Rig *r, gconstpointer data)
{
    (void)data;
    r->dir = g_dir_make_tmp("lockfile-XXXXXX", NULL);
    g_assert_nonnull(r->dir);
    r->path = g_build_filename(r->dir, "lock", NULL);
}

static void tear_down(Rig *r, gconstpointer data)
{
    (void)data;
    (void)g_unlink(r->path);
    g_assert_cmpint(g_rmdir(r->dir), ==, 0);
    g_free(r->path);
    g_free(r->dir);
}

static void held_lock_is_busy(Rig *r, gconstpointer data)
{
    int first = lockfile_take(r->path, 0600, 0);
    int again;

    (void)data;
    g_assert_cmpint(first, >=, 0);
    g_assert_cmpint(fcntl(first, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
    g_assert_cmpint(lockfile_take(r->path, 0600, 30), ==, -EBUSY);
    (void)close(first);
    again = lockfile_take(r->path, 0600, 0);
    g_assert_cmpint(again, >=, 0);
    (void)close(again);
}

static gpointer wait_for_it(gpointer data)
{
    return GINT_TO_POINTER(lockfile_take(data, 0600, LONG_MS));
}

static void who_waits_gets_it(Rig *r, gconstpointer data)
{
    int first = lockfile_take(r->path, 0600, 0), second;
    GThread *thread = g_thread_new("wait", wait_for_it, r->path);

    (void)data;
    g_assert_cmpint(first, >=, 0);
    g_usleep(50 * 1000); /* most probably it waits by now; it has to get it in any case */
    (void)close(first);
    second = GPOINTER_TO_INT(g_thread_join(thread));
    g_assert_cmpint(second, >=, 0);
    (void)close(second);
}

static void errors_are_the_systems(Rig *r, gconstpointer data)
{
    g_autofree char *nowhere = g_build_filename(r->dir, "none", "lock", NULL);

    (void)data;
    g_assert_cmpint(lockfile_take(nowhere, 0600, 0), ==, -ENOENT);
    g_assert_cmpint(symlink("/dev/null", r->path), ==, 0);
    g_assert_cmpint(lockfile_take(r->path, 0600, 0), ==, -ELOOP);
    g_assert_cmpint(lockfile_wait(-1, 0), ==, -EBADF);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define CASE(name, fn) g_test_add("/lockfile/" name, Rig, NULL, set_up, fn, tear_down)
    CASE("held-lock-is-busy", held_lock_is_busy);
    CASE("who-waits-gets-it", who_waits_gets_it);
    CASE("errors-are-the-systems", errors_are_the_systems);
    return g_test_run();
}
