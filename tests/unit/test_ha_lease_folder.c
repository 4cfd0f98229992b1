/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: each step that takes, renews or gives back a lock looks at what it has to and leaves
 * nothing behind, whatever fails or happens in between. Method: a folder in memory in which the
 * other side is played by the test; what was called is compared letter by letter. */
#include "ha-manager/io/ha_leases.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#define NAME   "a_lock"
#define LIFE   INT64_C(10000)
#define BROKEN INT64_C(120000) /* by the cluster filesystem, when it is asked */

typedef struct Rig Rig;
struct Rig {
    HaLeases *leases;
    HaLeaseLook lock, mark;
    GString *called; /* l look, m make, r remove, t touch, p poke; of NAME.take in capitals */
    MonoTime now;
    int64_t wall;
    int64_t published_ms;
    uint64_t inodes;
    char fails; /* this call fails ... */
    int error;  /* ... with this */
    char at;    /* after this call ... */
    int skip;   /* ... when it has come so often before ... */
    void (*meanwhile)(Rig *r);
};

static HaLeaseLook *dir(Rig *r, const char *file)
{
    return strcmp(file, NAME) == 0 ? &r->lock : &r->mark;
}

static void pass(Rig *r, int64_t ms)
{
    r->now = mono_add_ms(r->now, ms);
}

/* 0, or what the call fails with. */
static int call(Rig *r, const char *file, char what)
{
    char c = strcmp(file, NAME) == 0 ? what : g_ascii_toupper(what);

    g_string_append_c(r->called, c);
    if (c == r->fails) {
        return r->error;
    }
    if (c == r->at && r->skip-- == 0) {
        r->meanwhile(r);
    }
    return 0;
}

static HaLeaseLook look(void *ctx, const char *file)
{
    Rig *r = ctx;
    HaLeaseLook seen = *dir(r, file);

    (void)call(r, file, 'l');
    return seen.there ? seen : (HaLeaseLook){0};
}

static int make(void *ctx, const char *file)
{
    Rig *r = ctx;
    int e = call(r, file, 'm');

    if (e == 0 && dir(r, file)->there) {
        e = -EBUSY;
    }
    if (e == 0) {
        *dir(r, file) = (HaLeaseLook){true, ++r->inodes, r->wall};
    }
    return e;
}

static int drop(void *ctx, const char *file)
{
    Rig *r = ctx;
    int e = call(r, file, 'r');

    if (e == 0) {
        dir(r, file)->there = false;
    }
    return e;
}

static int touch(void *ctx, const char *file, int64_t mtime)
{
    Rig *r = ctx;
    int e = call(r, file, mtime == 0 ? 'p' : 't');

    if (e == 0 && mtime > 0) {
        dir(r, file)->mtime = mtime;
    }
    return mtime == 0 ? -EACCES : e;
}

static int64_t wall(void *ctx)
{
    return ((const Rig *)ctx)->wall;
}

static MonoTime mono(void *ctx)
{
    return ((const Rig *)ctx)->now;
}

static int64_t lease_ms(void *ctx, const char *name)
{
    g_assert_cmpstr(name, ==, NAME);
    return ((const Rig *)ctx)->published_ms;
}

static bool holder_gone(void *ctx, const char *name)
{
    (void)ctx;
    g_assert_cmpstr(name, ==, NAME);
    return false;
}

static const HaLeasesFolder folder = {look, make, drop, touch, wall};

static void set_up(Rig *r, gconstpointer data)
{
    (void)data;
    r->leases = ha_leases_new(&(HaLeasesOptions){.folder = &folder,
                                                 .lease_ms = lease_ms,
                                                 .holder_gone = holder_gone,
                                                 .mono = mono,
                                                 .ctx = r});
    r->called = g_string_new(NULL);
    r->now = (MonoTime){100 * US_PER_SEC};
    r->wall = 1000;
    r->published_ms = LIFE;
    r->error = -EIO;
}

static void tear_down(Rig *r, gconstpointer data)
{
    (void)data;
    ha_leases_free(r->leases);
    ha_leases_free(NULL);
    g_string_free(r->called, TRUE);
}

static void saw(Rig *r, const char *called)
{
    g_assert_cmpstr(r->called->str, ==, called);
    g_string_truncate(r->called, 0);
}

static void locks(Rig *r, int result, const char *called)
{
    g_assert_cmpint(ha_leases_lock(r->leases, NAME, LIFE), ==, result);
    saw(r, called);
}

static void unlocks(Rig *r, int result, const char *called)
{
    g_assert_cmpint(ha_leases_unlock(r->leases, NAME), ==, result);
    saw(r, called);
    g_assert_false(ha_leases_held(r->leases, NAME));
}

static void do_at(Rig *r, char at, int skip, void (*meanwhile)(Rig *r))
{
    r->at = at;
    r->skip = skip;
    r->meanwhile = meanwhile;
}

/* ---- the other side ---- */

static void other_takes(Rig *r)
{
    r->lock = (HaLeaseLook){true, ++r->inodes, r->wall};
}

static void other_renews(Rig *r)
{
    r->lock.mtime++;
}

static void other_leaves(Rig *r)
{
    r->lock.there = false;
}

static void other_marks(Rig *r)
{
    r->mark = (HaLeaseLook){true, ++r->inodes, r->wall};
}

static void two_seconds_pass(Rig *r)
{
    pass(r, 2000);
}

static void more_than_two_seconds_pass(Rig *r)
{
    pass(r, 2001);
}

/* A lock of somebody else that is over. */
static void find_silent(Rig *r)
{
    other_takes(r);
    ha_leases_watch(r->leases, NAME);
    pass(r, LIFE + 1);
    saw(r, "l");
}

static void take_silent(Rig *r)
{
    find_silent(r);
    locks(r, 0, "lMlrml");
    g_assert_true(ha_leases_held(r->leases, NAME) && r->mark.there);
}

/* ---- cases ---- */

static void free_lock_is_made(Rig *r, gconstpointer data)
{
    (void)data;
    locks(r, 0, "lLmlL");
    g_assert_true(ha_leases_held(r->leases, NAME));
    unlocks(r, 0, "lr");
    g_assert_false(r->lock.there);
    r->fails = 'm';
    locks(r, -EIO, "lLm");
    g_assert_false(ha_leases_held(r->leases, NAME));
}

static void mark_bars_a_free_lock(Rig *r, gconstpointer data)
{
    (void)data;
    other_marks(r);
    locks(r, -EBUSY, "lLP");
    g_assert_false(ha_leases_held(r->leases, NAME));
    r->mark.there = false;
    do_at(r, 'm', 0, other_marks);
    locks(r, -ESTALE, "lLmlLP"); /* made, and to be renewed should it stay */
    g_assert_true(ha_leases_held(r->leases, NAME));
    locks(r, -ESTALE, "ltLP");
    r->mark.there = false;
    locks(r, 0, "ltLl");
}

static void renewals_show(Rig *r, gconstpointer data)
{
    (void)data;
    locks(r, 0, "lLmlL");
    locks(r, 0, "ltLl");
    g_assert_cmpint(r->lock.mtime, ==, 1001); /* within the same second */
    r->wall = 5000;
    locks(r, 0, "ltLl");
    g_assert_cmpint(r->lock.mtime, ==, 5000);
    r->wall = 10; /* a date set back */
    locks(r, 0, "ltLl");
    g_assert_cmpint(r->lock.mtime, ==, 5001);
}

static void renewal_ends_with_the_lease(Rig *r, gconstpointer data)
{
    (void)data;
    locks(r, 0, "lLmlL");
    pass(r, LIFE - 1);
    r->fails = 't';
    locks(r, -EIO, "lt"); /* it stays ours, but does not get longer */
    g_assert_true(ha_leases_held(r->leases, NAME));
    r->fails = 0;
    locks(r, 0, "ltLl");
    pass(r, LIFE);
    locks(r, -EBUSY, "l");
    g_assert_false(ha_leases_held(r->leases, NAME));
    unlocks(r, 0, "l");
    g_assert_true(r->lock.there);
}

/* It counts from before the renewal, however long that took. */
static void slow_renewal_counts_from_its_beginning(Rig *r, gconstpointer data)
{
    (void)data;
    locks(r, 0, "lLmlL");
    do_at(r, 't', 0, two_seconds_pass);
    locks(r, 0, "ltLl");
    pass(r, LIFE - 2000);
    locks(r, -EBUSY, "l");
}

static void what_is_lost_is_not_touched(Rig *r, gconstpointer data)
{
    (void)data;
    take_silent(r);
    pass(r, 100);
    other_takes(r);
    locks(r, -ESTALE, "l");
    g_assert_false(ha_leases_held(r->leases, NAME));
    g_assert_cmpint(ha_leases_age_ms(r->leases, NAME), ==, 0);
    unlocks(r, 0, "l"); /* neither the lock nor the mark is ours */
    g_assert_true(r->lock.there && r->mark.there);
    r->mark.there = false;
    pass(r, LIFE + 1);
    locks(r, 0, "lMlrml");
    other_leaves(r);
    locks(r, -ENOENT, "l");
    g_assert_false(ha_leases_held(r->leases, NAME));
}

static void taken_is_given_back_with_its_mark(Rig *r, gconstpointer data)
{
    (void)data;
    take_silent(r);
    locks(r, 0, "ltl"); /* the mark is our own */
    unlocks(r, 0, "lrR");
    g_assert_false(r->lock.there || r->mark.there);
    unlocks(r, 0, "l");
    take_silent(r);
    r->fails = 'R';
    unlocks(r, 0, "lrRP"); /* it expires */
    r->fails = 0;
    r->mark.there = false;
    take_silent(r);
    r->fails = 'r';
    unlocks(r, -EIO, "lrR");
}

static void settling_keeps_one(Rig *r, gconstpointer data)
{
    (void)data;
    take_silent(r);
    r->fails = 'R';
    ha_leases_settle(r->leases, NAME);
    saw(r, "R");
    r->fails = 0;
    ha_leases_settle(r->leases, NAME);
    saw(r, "R");
    g_assert_true(r->lock.there && !r->mark.there);
    ha_leases_settle(r->leases, NAME);
    saw(r, "");
    locks(r, 0, "ltLl");
    ha_leases_settle(r->leases, "other");
    saw(r, "lr");
    g_assert_false(ha_leases_held(r->leases, NAME));
    ha_leases_settle(r->leases, "other");
    saw(r, "");
}

static void taking_is_given_up_when_something_changes(Rig *r, gconstpointer data)
{
    (void)data;
    find_silent(r);
    other_marks(r);
    locks(r, -EBUSY, "lMP");
    r->mark.there = false;
    do_at(r, 'M', 0, other_renews);
    locks(r, -EBUSY, "lMlR");
    g_assert_cmpint(ha_leases_age_ms(r->leases, NAME), ==, 0);
    g_assert_false(ha_leases_held(r->leases, NAME) || r->mark.there);
    locks(r, -EBUSY, "l");
    pass(r, LIFE + 1);
    do_at(r, 'l', 1, more_than_two_seconds_pass);
    locks(r, -EBUSY, "lMlR");
    do_at(r, 'l', 1, two_seconds_pass);
    locks(r, 0, "lMlrml");
}

static void taking_is_undone_when_it_fails(Rig *r, gconstpointer data)
{
    (void)data;
    find_silent(r);
    r->fails = 'r';
    locks(r, -EIO, "lMlrR");
    r->fails = 'm';
    locks(r, -EIO, "lMlrmR");
    g_assert_false(ha_leases_held(r->leases, NAME) || r->mark.there);
    r->fails = 0;
    find_silent(r);
    do_at(r, 'M', 0, other_leaves);
    locks(r, 0, "lMlml"); /* nothing is left to be removed */
    g_assert_true(ha_leases_held(r->leases, NAME));
}

/* Held up until its own lease was over, it finds another one taking. */
static void late_taker_respects_the_next(Rig *r, gconstpointer data)
{
    (void)data;
    take_silent(r);
    pass(r, LIFE);
    other_leaves(r);
    other_marks(r);
    locks(r, -EBUSY, "lLP");
}

static void filesystem_is_asked_after_its_own_time(Rig *r, gconstpointer data)
{
    (void)data;
    r->published_ms = 0;
    other_takes(r);
    locks(r, -EBUSY, "l");
    pass(r, BROKEN);
    locks(r, -EBUSY, "l");
    pass(r, 1);
    locks(r, -EBUSY, "lp");
}

static void dead_holder_must_not_have_moved(Rig *r, gconstpointer data)
{
    (void)data;
    other_takes(r);
    ha_leases_mark(r->leases, NAME);
    other_renews(r);
    saw(r, "l");
    g_assert_cmpint(ha_leases_lock_dead(r->leases, NAME, LIFE), ==, -ESTALE);
    saw(r, "MlR");
    ha_leases_mark(r->leases, NAME);
    g_assert_cmpint(ha_leases_lock_dead(r->leases, NAME, LIFE), ==, 0);
    saw(r, "lMlrml");
    g_assert_cmpint(ha_leases_lock_dead(r->leases, NAME, LIFE), ==, 0);
    saw(r, "ltl"); /* ours by now */
    unlocks(r, 0, "lrR");
    ha_leases_mark(r->leases, NAME);
    g_assert_cmpint(ha_leases_lock_dead(r->leases, NAME, LIFE), ==, 0);
    saw(r, "lMlml"); /* it had none */
}

/* Of another node: always under its mark, for that node removes what it takes for its own. */
static void lock_of_another_is_taken_under_its_mark(Rig *r, gconstpointer data)
{
    (void)data;
    do_at(r, 'M', 0, other_takes);
    g_assert_cmpint(ha_leases_lock_other(r->leases, NAME, LIFE), ==, -EBUSY);
    saw(r, "lMlR");
    other_leaves(r);
    g_assert_cmpint(ha_leases_lock_other(r->leases, NAME, LIFE), ==, 0);
    saw(r, "lMlml");
    unlocks(r, 0, "lrR");
    ha_leases_mark(r->leases, NAME);
    g_assert_cmpint(ha_leases_lock_dead(r->leases, NAME, LIFE), ==, 0);
    ha_leases_settle(r->leases, NAME);
    g_string_truncate(r->called, 0);
    pass(r, LIFE); /* also when it was held, and has run out meanwhile */
    other_leaves(r);
    g_assert_cmpint(ha_leases_lock_dead(r->leases, NAME, LIFE), ==, 0);
    saw(r, "lMlml");
}

static void age_is_that_of_the_last_change(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(ha_leases_age_ms(r->leases, NAME), ==, -1);
    g_assert_false(ha_leases_held(r->leases, NAME));
    ha_leases_mark(r->leases, NAME); /* no watching */
    g_assert_cmpint(ha_leases_age_ms(r->leases, NAME), ==, -1);
    ha_leases_watch(r->leases, NAME);
    g_assert_cmpint(ha_leases_age_ms(r->leases, NAME), ==, -1);
    other_takes(r);
    ha_leases_watch(r->leases, NAME);
    pass(r, 7);
    ha_leases_watch(r->leases, NAME);
    g_assert_cmpint(ha_leases_age_ms(r->leases, NAME), ==, 7);
    other_renews(r);
    ha_leases_watch(r->leases, NAME);
    g_assert_cmpint(ha_leases_age_ms(r->leases, NAME), ==, 0);
    other_leaves(r);
    ha_leases_watch(r->leases, NAME);
    g_assert_cmpint(ha_leases_age_ms(r->leases, NAME), ==, -1);
}

static void drops_own(Rig *r, int result, const char *called)
{
    g_assert_cmpint(ha_leases_drop_own(r->leases, NAME), ==, result);
    saw(r, called);
}

static void own_of_an_earlier_boot_is_dropped(Rig *r, gconstpointer data)
{
    (void)data;
    drops_own(r, 0, "l");
    other_takes(r);
    drops_own(r, 0, "lMrR");
    g_assert_false(r->lock.there || r->mark.there);
    other_takes(r);
    r->fails = 'r';
    drops_own(r, -EIO, "lMrR");
    other_marks(r);
    drops_own(r, -EBUSY, "lMP");
    g_assert_true(r->lock.there && r->mark.there);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Rig *, gconstpointer);
    } cases[] = {
        {"free-lock-is-made", free_lock_is_made},
        {"mark-bars-a-free-lock", mark_bars_a_free_lock},
        {"renewals-show", renewals_show},
        {"renewal-ends-with-the-lease", renewal_ends_with_the_lease},
        {"slow-renewal-counts-from-its-beginning", slow_renewal_counts_from_its_beginning},
        {"what-is-lost-is-not-touched", what_is_lost_is_not_touched},
        {"taken-is-given-back-with-its-mark", taken_is_given_back_with_its_mark},
        {"settling-keeps-one", settling_keeps_one},
        {"taking-is-given-up-when-something-changes", taking_is_given_up_when_something_changes},
        {"taking-is-undone-when-it-fails", taking_is_undone_when_it_fails},
        {"late-taker-respects-the-next", late_taker_respects_the_next},
        {"filesystem-is-asked-after-its-own-time", filesystem_is_asked_after_its_own_time},
        {"dead-holder-must-not-have-moved", dead_holder_must_not_have_moved},
        {"lock-of-another-is-taken-under-its-mark", lock_of_another_is_taken_under_its_mark},
        {"age-is-that-of-the-last-change", age_is_that_of_the_last_change},
        {"own-of-an-earlier-boot-is-dropped", own_of_an_earlier_boot_is_dropped},
    };

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/ha/lease-folder/", cases[i].name, NULL);

        g_test_add(path, Rig, NULL, set_up, cases[i].run, tear_down);
    }
    return g_test_run();
}
