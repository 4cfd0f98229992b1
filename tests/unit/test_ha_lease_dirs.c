/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: the folder of locks says what happened: made, there already, or why not; a change that
 * hangs is given up. Method: a directory that stands for the tree, and a call that keeps the thread
 * of changes busy until the test lets it go. */
#include "ha-manager/io/ha_lease_dirs.h"

#include "lib/port/clock.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sys/stat.h>

#define PATIENT_MS   INT64_C(60000)
#define IMPATIENT_MS INT64_C(50)

typedef struct Rig {
    char *pve;
    HaPatience *patience;
    HaLeaseDirs *dirs; /* without patience */
    int64_t until_ms;  /* from now */
    GMutex busy;       /* held: the thread of changes stands still */
} Rig;

static MonoTime until(void *ctx)
{
    return mono_add_ms(clock_boot(), ((const Rig *)ctx)->until_ms);
}

/* As the tree is known by: a file that is always in it. */
static void appear(const Rig *r)
{
    g_autofree char *version = g_build_filename(r->pve, ".version", NULL);

    g_assert_true(g_file_set_contents(version, "{}", 2, NULL));
}

static void set_up(Rig *r, gconstpointer data)
{
    HaLeasesOptions o = {.ctx = r};

    (void)data;
    r->pve = g_dir_make_tmp("leasedirs.XXXXXX", NULL);
    g_assert_nonnull(r->pve);
    g_mutex_init(&r->busy);
    r->patience = ha_patience_new();
    r->until_ms = PATIENT_MS;
    o.pve = r->pve;
    r->dirs = ha_lease_dirs_new(&o);
    appear(r);
}

static char *path(const Rig *r, const char *file)
{
    return g_build_filename(r->pve, "priv", "lock", file, NULL);
}

static void tear_down(Rig *r, gconstpointer data)
{
    static const char *const left[] = {"priv/lock/a/inside", "priv/lock/a", "priv/lock", "priv",
                                       ".version"};

    (void)data;
    ha_lease_dirs_free(r->dirs);
    ha_lease_dirs_free(NULL);
    ha_patience_free(r->patience);
    g_mutex_clear(&r->busy);
    for (gsize i = 0; i < G_N_ELEMENTS(left); i++) {
        g_autofree char *p = g_build_filename(r->pve, left[i], NULL);

        (void)g_remove(p); /* not every case makes all of them */
    }
    g_assert_cmpint(g_rmdir(r->pve), ==, 0);
    g_free(r->pve);
}

static int make(HaLeaseDirs *d)
{
    return ha_lease_dirs.make(d, "a");
}

static int drop(HaLeaseDirs *d)
{
    return ha_lease_dirs.remove(d, "a");
}

static void made_once_and_removed(Rig *r, gconstpointer data)
{
    HaLeaseLook look = ha_lease_dirs.look(r->dirs, "a");

    (void)data;
    g_assert_false(look.there);
    g_assert_cmpint(make(r->dirs), ==, 0); /* with the directories above it */
    g_assert_cmpint(make(r->dirs), ==, -EBUSY);
    look = ha_lease_dirs.look(r->dirs, "a");
    g_assert_true(look.there && look.inode != 0);
    g_assert_cmpint(drop(r->dirs), ==, 0);
    g_assert_cmpint(drop(r->dirs), ==, 0); /* it is gone, as was asked for */
    g_assert_cmpint(make(r->dirs), ==, 0);
}

static void touching_shows(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(ha_lease_dirs.touch(r->dirs, "a", 1234567), ==, -ENOENT);
    g_assert_cmpint(make(r->dirs), ==, 0);
    g_assert_cmpint(ha_lease_dirs.touch(r->dirs, "a", 1234567), ==, 0);
    g_assert_cmpint(ha_lease_dirs.look(r->dirs, "a").mtime, ==, 1234567);
}

static void what_cannot_be_is_an_error(Rig *r, gconstpointer data)
{
    g_autofree char *inside = path(r, "a/inside");
    g_autofree char *lock = path(r, "");
    g_autofree char *priv = g_build_filename(r->pve, "priv", NULL);

    (void)data;
    g_assert_cmpint(make(r->dirs), ==, 0);
    g_assert_true(g_file_set_contents(inside, "x", 1, NULL));
    g_assert_cmpint(drop(r->dirs), ==, -ENOTEMPTY);
    g_assert_cmpint(g_remove(inside), ==, 0);
    g_assert_cmpint(drop(r->dirs), ==, 0);
    g_assert_cmpint(g_rmdir(lock), ==, 0);
    g_assert_cmpint(g_rmdir(priv), ==, 0);
    g_assert_true(g_file_set_contents(priv, "x", 1, NULL)); /* a file where a directory should be */
    g_assert_cmpint(make(r->dirs), ==, -ENOTDIR);
    g_assert_cmpint(drop(r->dirs), ==, -ENOTDIR);
}

/* The tree is unmounted: what is there then is the empty directory below it. */
static void tree_that_is_away_tells_nothing(Rig *r, gconstpointer data)
{
    g_autofree char *away = g_strconcat(r->pve, ".away", NULL);
    HaLeaseLook before, first, second;

    (void)data;
    g_assert_cmpint(make(r->dirs), ==, 0);
    before = ha_lease_dirs.look(r->dirs, "a");
    g_assert_cmpint(g_rename(r->pve, away), ==, 0);
    g_assert_cmpint(g_mkdir(r->pve, 0755), ==, 0);
    first = ha_lease_dirs.look(r->dirs, "a");
    second = ha_lease_dirs.look(r->dirs, "a");
    g_assert_true(first.there && second.there);
    g_assert_cmpuint(first.inode, ==, before.inode);
    g_assert_cmpint(first.mtime, !=, before.mtime);
    g_assert_cmpint(first.mtime, !=, second.mtime);
    g_assert_true(ha_lease_dirs.look(r->dirs, "a.take").there); /* who cannot know must not hope */
    g_assert_cmpint(ha_lease_dirs.touch(r->dirs, "a", 1234567), ==, -ENOTCONN);
    g_assert_cmpint(drop(r->dirs), ==, -ENOTCONN);
    g_assert_cmpint(make(r->dirs), ==, -ENOTCONN);
    g_assert_cmpint(g_rmdir(r->pve), ==, 0); /* nothing was made in it */
    g_assert_cmpint(g_rename(away, r->pve), ==, 0);
    first = ha_lease_dirs.look(r->dirs, "a");
    g_assert_true(first.there && first.inode == before.inode && first.mtime == before.mtime);
    g_assert_false(ha_lease_dirs.look(r->dirs, "a.take").there);
    g_assert_cmpint(drop(r->dirs), ==, 0);
    g_assert_false(ha_lease_dirs.look(r->dirs, "a").there);
}

static void date_is_that_of_the_clock(Rig *r, gconstpointer data)
{
    int64_t before = clock_wall().sec;
    int64_t date = ha_lease_dirs.wall(r->dirs);

    (void)data;
    g_assert_cmpint(date, >=, before);
    g_assert_cmpint(date, <=, clock_wall().sec);
}

static int stand_still(void *data, Err *err)
{
    Rig *r = data;

    (void)err;
    g_mutex_lock(&r->busy);
    g_mutex_unlock(&r->busy);
    return 0;
}

static void nothing(void *data)
{
    (void)data;
}

static void change_that_hangs_is_given_up(Rig *r, gconstpointer data)
{
    HaLeasesOptions o = {.pve = r->pve, .patience = r->patience, .until = until, .ctx = r};
    HaLeaseDirs *d = ha_lease_dirs_new(&o);

    (void)data;
    g_assert_cmpint(make(d), ==, 0);
    g_assert_cmpint(make(d), ==, -EBUSY);
    g_assert_cmpint(drop(d), ==, 0);
    r->until_ms = IMPATIENT_MS;
    g_mutex_lock(&r->busy);
    g_assert_cmpint(ha_patience_run(r->patience, stand_still, r, nothing, until(r), NULL), ==,
                    -ETIMEDOUT);
    g_assert_cmpint(make(d), ==, -ETIMEDOUT);
    g_mutex_unlock(&r->busy);
    r->until_ms = PATIENT_MS;
    g_assert_false(ha_lease_dirs.look(d, "a").there); /* it never began */
    g_assert_cmpint(make(d), ==, 0);
    ha_lease_dirs_free(d);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/ha/lease-dirs/made-once-and-removed", Rig, NULL, set_up, made_once_and_removed,
               tear_down);
    g_test_add("/ha/lease-dirs/touching-shows", Rig, NULL, set_up, touching_shows, tear_down);
    g_test_add("/ha/lease-dirs/what-cannot-be-is-an-error", Rig, NULL, set_up,
               what_cannot_be_is_an_error, tear_down);
    g_test_add("/ha/lease-dirs/tree-that-is-away-tells-nothing", Rig, NULL, set_up,
               tree_that_is_away_tells_nothing, tear_down);
    g_test_add("/ha/lease-dirs/date-is-that-of-the-clock", Rig, NULL, set_up,
               date_is_that_of_the_clock, tear_down);
    g_test_add("/ha/lease-dirs/change-that-hangs-is-given-up", Rig, NULL, set_up,
               change_that_hangs_is_given_up, tear_down);
    return g_test_run();
}
