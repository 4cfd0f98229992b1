/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a lock is taken from a silent holder only after its lease, never in a race with a renewal;
 * a holder notices that it has lost. Method: two sides on one directory (which stands for the tree)
 * with a clock that the test moves. */
#include "ha-manager/io/ha_leases.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <sys/stat.h>

#define NAME    "ha_agent_n1_lock"
#define LEASE   INT64_C(17000)
#define LONG_MS INT64_C(120000)

typedef struct Rig {
    char *pve;
    HaLeases *owner;
    HaLeases *taker;
    MonoTime now;
    int64_t published_ms;
    bool gone;
    int look_back; /* calls of lease_ms until `meanwhile` runs; 0: never */
    void (*meanwhile)(struct Rig *r);
} Rig;

static MonoTime mono(void *ctx)
{
    const Rig *r = ctx;

    return r->now;
}

static int64_t lease_ms(void *ctx, const char *name)
{
    Rig *r = ctx;

    (void)name;
    if (r->look_back > 0 && --r->look_back == 0) {
        r->meanwhile(r);
    }
    return r->published_ms;
}

static bool gone(void *ctx, const char *name)
{
    const Rig *r = ctx;

    (void)name;
    return r->gone;
}

/* As the tree is known by: a file that is always in it. */
static void appear(const Rig *r)
{
    g_autofree char *version = g_build_filename(r->pve, ".version", NULL);

    g_assert_true(g_file_set_contents(version, "{}", 2, NULL));
}

static void set_up(Rig *r, gconstpointer data)
{
    HaLeasesOptions o = {.lease_ms = lease_ms, .holder_gone = gone, .mono = mono, .ctx = r};

    (void)data;
    r->pve = g_dir_make_tmp("leases.XXXXXX", NULL);
    r->now = (MonoTime){US_PER_SEC};
    r->published_ms = LEASE;
    o.pve = r->pve;
    appear(r);
    r->owner = ha_leases_new(&o);
    r->taker = ha_leases_new(&o);
}

static char *path(const Rig *r, const char *name)
{
    return g_build_filename(r->pve, "priv", "lock", name, NULL);
}

static void tear_down(Rig *r, gconstpointer data)
{
    g_autofree char *lock = path(r, NAME);
    g_autofree char *mark = path(r, NAME ".take");
    g_autofree char *locks = g_build_filename(r->pve, "priv", "lock", NULL);
    g_autofree char *priv = g_build_filename(r->pve, "priv", NULL);
    g_autofree char *version = g_build_filename(r->pve, ".version", NULL);

    (void)data;
    (void)g_unlink(version);
    ha_leases_free(r->owner);
    ha_leases_free(r->taker);
    (void)g_rmdir(lock);
    (void)g_rmdir(mark);
    (void)g_rmdir(locks);
    (void)g_rmdir(priv);
    g_assert_cmpint(g_rmdir(r->pve), ==, 0);
    g_free(r->pve);
}

static void pass(Rig *r, int64_t ms)
{
    r->now = mono_add_ms(r->now, ms);
}

static int own(Rig *r)
{
    return ha_leases_lock(r->owner, NAME, LEASE);
}

static int take(Rig *r)
{
    return ha_leases_lock(r->taker, NAME, LEASE);
}

static bool exists(const Rig *r, const char *name)
{
    g_autofree char *p = path(r, name);

    return g_file_test(p, G_FILE_TEST_IS_DIR);
}

static void free_lock_is_taken_and_kept(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(own(r), ==, 0);
    g_assert_cmpint(take(r), ==, -EBUSY);
    for (int i = 0; i < 30; i++) {
        pass(r, 2000);
        g_assert_cmpint(own(r), ==, 0);
        g_assert_cmpint(take(r), ==, -EBUSY);
    }
    g_assert_true(ha_leases_held(r->owner, NAME));
    g_assert_cmpint(ha_leases_unlock(r->owner, NAME), ==, 0);
    g_assert_cmpint(take(r), ==, 0);
}

static void silent_holder_keeps_its_lease(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(own(r), ==, 0);
    g_assert_cmpint(take(r), ==, -EBUSY); /* seen for the first time: it counts from here */
    pass(r, LEASE);
    g_assert_cmpint(take(r), ==, -EBUSY);
    pass(r, 1);
    g_assert_cmpint(take(r), ==, 0);
    g_assert_true(exists(r, NAME ".take"));
}

/* The cluster filesystem restarts: an empty directory is where the tree was. */
static char *vanish(const Rig *r)
{
    char *away = g_strconcat(r->pve, ".away", NULL);

    g_assert_cmpint(g_rename(r->pve, away), ==, 0);
    g_assert_cmpint(g_mkdir(r->pve, 0755), ==, 0);
    return away;
}

static void come_back(const Rig *r, const char *away)
{
    g_assert_cmpint(g_rmdir(r->pve), ==, 0);
    g_assert_cmpint(g_rename(away, r->pve), ==, 0);
}

static void holder_keeps_its_lease_while_the_tree_is_away(Rig *r, gconstpointer data)
{
    g_autofree char *away = NULL;

    (void)data;
    g_assert_cmpint(own(r), ==, 0);
    away = vanish(r);
    pass(r, LEASE - 2000);
    g_assert_cmpint(own(r), ==, -ENOTCONN); /* neither -ENOENT nor -ESTALE: it is not lost */
    g_assert_true(ha_leases_held(r->owner, NAME) && ha_leases_in_time(r->owner, NAME));
    come_back(r, away);
    pass(r, 1000);
    g_assert_cmpint(own(r), ==, 0);
    g_clear_pointer(&away, g_free);
    away = vanish(r);
    pass(r, LEASE);
    g_assert_cmpint(own(r), <, 0);
    g_assert_false(ha_leases_held(r->owner, NAME)); /* it has run out: taken anew, if at all */
    come_back(r, away);
}

/* What was not seen for a while may have been renewed meanwhile. */
static void taker_counts_anew_when_the_tree_was_away(Rig *r, gconstpointer data)
{
    g_autofree char *away = NULL;

    (void)data;
    g_assert_cmpint(own(r), ==, 0);
    g_assert_cmpint(take(r), ==, -EBUSY);
    away = vanish(r);
    pass(r, LEASE + 1);
    g_assert_cmpint(take(r), ==, -EBUSY);
    pass(r, LEASE + 1);
    g_assert_cmpint(take(r), ==, -EBUSY);
    come_back(r, away);
    g_assert_cmpint(take(r), ==, -EBUSY);
    pass(r, LEASE + 1);
    g_assert_cmpint(take(r), ==, 0);
}

static void taker_that_just_came_waits_a_whole_lease(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(own(r), ==, 0);
    pass(r, 10 * LEASE);
    g_assert_cmpint(take(r), ==, -EBUSY);
}

static void holder_that_tells_nothing_is_given_the_documented_time(Rig *r, gconstpointer data)
{
    (void)data;
    r->published_ms = 0;
    g_assert_cmpint(own(r), ==, 0);
    g_assert_cmpint(take(r), ==, -EBUSY);
    pass(r, 10 * LONG_MS);
    g_assert_cmpint(take(r), ==, -EBUSY); /* only the cluster filesystem can remove it */
}

static void loser_notices(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(own(r), ==, 0);
    (void)!take(r);
    pass(r, LEASE + 1);
    g_assert_cmpint(take(r), ==, 0);
    g_assert_cmpint(own(r), <, 0);
    g_assert_false(ha_leases_held(r->owner, NAME));
    g_assert_true(ha_leases_held(r->taker, NAME));
}

static void renew_now(Rig *r)
{
    g_assert_cmpint(ha_leases_lock(r->owner, NAME, 10 * LEASE), ==, 0);
}

/* The renewal comes between the taker's look and its mark: it sees it, and gives up. */
static void renewal_before_the_mark_wins(Rig *r, gconstpointer data)
{
    (void)data;
    renew_now(r);
    (void)!take(r);
    pass(r, LEASE + 1);
    r->meanwhile = renew_now;
    r->look_back = 1; /* within the very attempt, after the taker has looked */
    g_assert_cmpint(take(r), ==, -EBUSY);
    g_assert_cmpint(r->look_back, ==, 0);
    g_assert_false(exists(r, NAME ".take"));
    g_assert_true(ha_leases_held(r->owner, NAME));
}

static void fail_renewal(Rig *r)
{
    g_assert_cmpint(own(r), ==, -ESTALE);
}

/* The renewal comes after the mark: the holder sees the mark, and has lost, whoever wins. */
static void renewal_after_the_mark_loses(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(ha_leases_lock(r->owner, NAME, 10 * LEASE), ==, 0);
    (void)!take(r);
    pass(r, LEASE + 1);
    r->meanwhile = fail_renewal;
    r->look_back = 2; /* the taker asks again once its mark is there */
    (void)!take(r);
    g_assert_cmpint(r->look_back, ==, 0);
}

static void mark_of_another_taker_is_respected(Rig *r, gconstpointer data)
{
    g_autofree char *mark = path(r, NAME ".take");

    (void)data;
    g_assert_cmpint(own(r), ==, 0);
    (void)!take(r);
    pass(r, LEASE + 1);
    g_assert_cmpint(g_mkdir(mark, 0700), ==, 0);
    g_assert_cmpint(take(r), ==, -EBUSY);
    g_assert_true(exists(r, NAME));
}

static void dead_holder_is_not_waited_for(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(own(r), ==, 0);
    ha_leases_mark(r->taker, NAME);
    g_assert_cmpint(ha_leases_lock_dead(r->taker, NAME, LEASE), ==, 0);
    g_assert_cmpint(own(r), <, 0);
}

/* Switched off, come back, and at work again before anybody used the proof: it proves nothing. */
static void holder_that_came_back_is_not_dead(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(own(r), ==, 0);
    ha_leases_mark(r->taker, NAME);
    pass(r, 2000);
    g_assert_cmpint(own(r), ==, 0);
    g_assert_cmpint(ha_leases_lock_dead(r->taker, NAME, LEASE), ==, -ESTALE);
    g_assert_false(exists(r, NAME ".take"));
    pass(r, 2000);
    g_assert_cmpint(own(r), ==, 0);
}

static void what_was_taken_is_given_back(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(own(r), ==, 0);
    ha_leases_mark(r->taker, NAME);
    g_assert_cmpint(ha_leases_lock_dead(r->taker, NAME, LEASE), ==, 0);
    ha_leases_settle(r->taker, "other");
    g_assert_false(exists(r, NAME));
    g_assert_false(exists(r, NAME ".take"));
    pass(r, LEASE + 1);
    g_assert_cmpint(own(r), ==, 0);
}

static void other_boot_drops_its_own_lock(Rig *r, gconstpointer data)
{
    g_autofree char *mark = path(r, NAME ".take");

    (void)data;
    g_assert_cmpint(take(r), ==, 0);
    /* Not while a master is taking it: what that has decided must be written first. */
    g_assert_cmpint(g_mkdir(mark, 0700), ==, 0);
    g_assert_cmpint(ha_leases_drop_own(r->owner, NAME), ==, -EBUSY);
    g_assert_true(exists(r, NAME));
    g_assert_cmpint(g_rmdir(mark), ==, 0);
    g_assert_cmpint(ha_leases_drop_own(r->owner, NAME), ==, 0);
    g_assert_false(exists(r, NAME));
    /* What was taken meanwhile is of this boot. */
    g_assert_cmpint(own(r), ==, 0);
    g_assert_cmpint(ha_leases_drop_own(r->owner, NAME), ==, 0);
    g_assert_true(exists(r, NAME));
}

/* The lost node gave its lock back, or it expired: what a master takes then is not of an earlier
 * boot of that node, which may just now come back and look for one. */
static void other_boot_leaves_what_a_master_took(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(ha_leases_lock_other(r->taker, NAME, LEASE), ==, 0);
    g_assert_true(exists(r, NAME ".take"));
    g_assert_cmpint(ha_leases_drop_own(r->owner, NAME), ==, -EBUSY);
    g_assert_cmpint(own(r), ==, -EBUSY);
    ha_leases_settle(r->taker, "other");
    g_assert_false(exists(r, NAME ".take"));
    g_assert_cmpint(ha_leases_drop_own(r->owner, NAME), ==, 0);
    g_assert_cmpint(own(r), ==, 0);
    g_assert_cmpint(ha_leases_lock_other(r->taker, NAME, LEASE), ==, -EBUSY);
    g_assert_false(exists(r, NAME ".take"));
}

static void fall_asleep(Rig *r)
{
    pass(r, 10 * LEASE);
}

/* Held up for so long in the middle of it: what it took may be gone, and its holder back. */
static void taker_that_slept_has_nothing(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(own(r), ==, 0);
    (void)!take(r);
    pass(r, LEASE + 1);
    r->meanwhile = fall_asleep;
    r->look_back = 2;
    g_assert_cmpint(take(r), <, 0);
    g_assert_false(ha_leases_in_time(r->taker, NAME));
}

static void lease_is_in_time_until_it_is_over(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_false(ha_leases_in_time(r->owner, NAME));
    g_assert_cmpint(own(r), ==, 0);
    pass(r, LEASE - 1);
    g_assert_true(ha_leases_in_time(r->owner, NAME));
    pass(r, 1);
    g_assert_false(ha_leases_in_time(r->owner, NAME));
    g_assert_true(ha_leases_held(r->owner, NAME));
}

static void master_that_left_is_replaced_soon(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(own(r), ==, 0);
    (void)!take(r);
    r->gone = true;
    pass(r, 5000);
    g_assert_cmpint(take(r), ==, -EBUSY);
    pass(r, 1);
    g_assert_cmpint(take(r), ==, 0);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Rig *, gconstpointer);
    } cases[] = {
        {"/ha/lease/free-lock-is-taken-and-kept", free_lock_is_taken_and_kept},
        {"/ha/lease/silent-holder-keeps-its-lease", silent_holder_keeps_its_lease},
        {"/ha/lease/holder-keeps-its-lease-while-the-tree-is-away",
         holder_keeps_its_lease_while_the_tree_is_away},
        {"/ha/lease/taker-counts-anew-when-the-tree-was-away",
         taker_counts_anew_when_the_tree_was_away},
        {"/ha/lease/taker-that-just-came-waits-a-whole-lease",
         taker_that_just_came_waits_a_whole_lease},
        {"/ha/lease/holder-that-tells-nothing-is-given-the-documented-time",
         holder_that_tells_nothing_is_given_the_documented_time},
        {"/ha/lease/loser-notices", loser_notices},
        {"/ha/lease/renewal-before-the-mark-wins", renewal_before_the_mark_wins},
        {"/ha/lease/renewal-after-the-mark-loses", renewal_after_the_mark_loses},
        {"/ha/lease/mark-of-another-taker-is-respected", mark_of_another_taker_is_respected},
        {"/ha/lease/dead-holder-is-not-waited-for", dead_holder_is_not_waited_for},
        {"/ha/lease/holder-that-came-back-is-not-dead", holder_that_came_back_is_not_dead},
        {"/ha/lease/what-was-taken-is-given-back", what_was_taken_is_given_back},
        {"/ha/lease/other-boot-drops-its-own-lock", other_boot_drops_its_own_lock},
        {"/ha/lease/other-boot-leaves-what-a-master-took", other_boot_leaves_what_a_master_took},
        {"/ha/lease/taker-that-slept-has-nothing", taker_that_slept_has_nothing},
        {"/ha/lease/lease-is-in-time-until-it-is-over", lease_is_in_time_until_it_is_over},
        {"/ha/lease/master-that-left-is-replaced-soon", master_that_left_is_replaced_soon},
    };

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_add(cases[i].name, Rig, NULL, set_up, cases[i].run, tear_down);
    }
    return g_test_run();
}
