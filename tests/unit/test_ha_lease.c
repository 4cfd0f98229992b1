/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a lease counts from before it was taken, is renewed before the watchdog is fed, and is not
 * fought for longer than guests have time to stop. Method: a world whose calls take the time that
 * the test says and fail as it says; what was called is compared letter by letter. */
#include "ha-manager/core/ha_lease.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

typedef struct Rig {
    HaEnv env;
    HaLease lease;
    GString
        *called; /* L lock, s sleep, q quorate, O open, F feed, C close, U unlock, ! a warning */
    MonoTime now;
    int64_t lock_ms, open_ms, feed_ms; /* what a call takes */
    bool still;                        /* sleeping takes no time, as in a simulator */
    bool no_quorum;
    int fails;  /* so many locks fail ... */
    int reason; /* ... with this */
    int open_r, feed_r, close_r, unlock_r;
    MonoTime fed;
} Rig;

static MonoTime mono(void *ctx)
{
    return ((const Rig *)ctx)->now;
}

static void pass(Rig *r, char what, int64_t ms)
{
    g_string_append_c(r->called, what);
    r->now = mono_add_ms(r->now, ms);
}

static void sleep_ms(void *ctx, int64_t ms)
{
    Rig *r = ctx;

    g_assert_cmpint(ms, ==, r->env.timing->lock_pause_ms);
    pass(r, 's', r->still ? 0 : ms);
}

static bool quorate(void *ctx)
{
    Rig *r = ctx;

    pass(r, 'q', 0);
    return !r->no_quorum;
}

static int lock(void *ctx, const char *name)
{
    Rig *r = ctx;

    g_assert_cmpstr(name, ==, "a_lock");
    pass(r, 'L', r->lock_ms);
    return r->fails > 0 && r->fails-- > 0 ? r->reason : 0;
}

static int unlock(void *ctx, const char *name)
{
    g_assert_cmpstr(name, ==, "a_lock");
    pass(ctx, 'U', 0);
    return ((const Rig *)ctx)->unlock_r;
}

static int watchdog_open(void *ctx)
{
    pass(ctx, 'O', ((const Rig *)ctx)->open_ms);
    return ((const Rig *)ctx)->open_r;
}

static int watchdog_feed(void *ctx, MonoTime since)
{
    Rig *r = ctx;

    pass(r, 'F', r->feed_ms);
    r->fed = since;
    return r->feed_r;
}

static int watchdog_close(void *ctx)
{
    pass(ctx, 'C', 0);
    return ((const Rig *)ctx)->close_r;
}

static void log_it(void *ctx, TraceLevel level, const char *text)
{
    g_assert_cmpint(level, <=, TRACE_WARNING);
    g_assert_nonnull(text);
    pass(ctx, '!', 0);
}

static const HaEnvOps ops = {.mono = mono,
                             .sleep_ms = sleep_ms,
                             .log = log_it,
                             .quorate = quorate,
                             .lock = lock,
                             .unlock = unlock,
                             .watchdog_open = watchdog_open,
                             .watchdog_feed = watchdog_feed,
                             .watchdog_close = watchdog_close};

static void set_up(Rig *r, gconstpointer data)
{
    (void)data;
    r->env =
        (HaEnv){.ops = &ops, .ctx = r, .timing = &ha_timing_fast, .conduct = ha_conduct_improved};
    r->called = g_string_new(NULL);
    r->now = (MonoTime){100 * US_PER_SEC};
    r->reason = -EACCES;
    ha_lease_init(&r->lease, &r->env, g_strdup("a_lock"));
    g_assert_false(r->lease.held || r->lease.watchdog);
}

static void tear_down(Rig *r, gconstpointer data)
{
    (void)data;
    ha_lease_done(&r->lease);
    g_string_free(r->called, TRUE);
}

/* What was called since the last time. */
static void saw(Rig *r, const char *called)
{
    g_assert_cmpstr(r->called->str, ==, called);
    g_string_truncate(r->called, 0);
}

/* The same as `n` attempts with pauses between. */
static void saw_attempts(Rig *r, guint n)
{
    g_autoptr(GString) called = g_string_new("L");

    for (guint i = 1; i < n; i++) {
        g_string_append(called, "sL");
    }
    saw(r, called->str);
}

static void hold_guarded(Rig *r)
{
    r->fails = 0;
    g_assert_true(ha_lease_hold(&r->lease, true));
    g_assert_true(r->lease.held && r->lease.watchdog);
    g_string_truncate(r->called, 0);
}

static void it_counts_from_before_the_attempt_that_succeeds(Rig *r, gconstpointer data)
{
    MonoTime begin = r->now;
    MonoTime since;

    (void)data;
    r->lock_ms = 70;
    r->fails = 2;
    g_assert_true(ha_lease_take(&r->lease, &since));
    saw(r, "LqsLqsL");
    g_assert_cmpint(mono_diff_us(since, begin), ==,
                    2 * (70 + ha_timing_fast.lock_pause_ms) * US_PER_MS);
    g_assert_true(r->lease.held);
    g_assert_false(r->lease.watchdog);
}

static void nothing_to_lose_is_tried_a_few_times(Rig *r, gconstpointer data)
{
    MonoTime since;

    (void)data;
    g_assert_cmpuint(ha_timing_fast.lock_tries, ==, 4);
    r->fails = 4;
    g_assert_false(ha_lease_take(&r->lease, &since));
    saw(r, "LqsLqsLqsL");
    g_assert_false(r->lease.held);
    r->fails = 1;
    r->no_quorum = true;
    g_assert_false(ha_lease_take(&r->lease, &since));
    saw(r, "Lq"); /* without quorum more attempts are in vain ... */
    r->fails = 3;
    r->env.conduct.guests_first = false;
    g_assert_true(ha_lease_take(&r->lease, &since));
    saw(r, "LsLsLsL"); /* ... but documented */
}

/* Guarded are those with guests that rely on it: held, with a watchdog, by a conduct that stops
 * guests first. */
static void only_a_guarded_one_is_fought_for(Rig *r, gconstpointer data)
{
    MonoTime since;

    (void)data;
    hold_guarded(r);
    r->fails = 5;
    g_assert_true(ha_lease_take(&r->lease, &since));
    saw_attempts(r, 6);
    r->env.conduct.guests_first = false;
    r->fails = 4;
    g_assert_false(ha_lease_take(&r->lease, &since));
    saw(r, "LsLsLsL");
    r->env.conduct.guests_first = true;
    g_assert_cmpint(ha_lease_release(&r->lease), ==, 0);
    saw(r, "U");
    r->fails = 4;
    g_assert_false(ha_lease_take(&r->lease, &since));
    saw(r, "LqsLqsLqsL");
    g_assert_true(ha_lease_take(&r->lease, &since));
    ha_lease_close_watchdog(&r->lease);
    saw(r, "LC");
    r->fails = 4;
    g_assert_false(ha_lease_take(&r->lease, &since));
    saw(r, "LqsLqsLqsL");
}

static void until_guests_need_the_time(Rig *r, gconstpointer data)
{
    MonoTime since;
    MonoTime begin;

    (void)data;
    hold_guarded(r);
    begin = r->now;
    r->fails = 1000;
    g_assert_false(ha_lease_take(&r->lease, &since));
    saw_attempts(r, 24); /* at 0, 250 ... 5750 ms: the next would be at 6000 */
    g_assert_cmpint(mono_diff_us(r->now, begin), ==, 5750 * US_PER_MS);
    g_assert_true(r->lease.held); /* it lasts for a while yet */
    hold_guarded(r);
    r->fails = 1000;
    r->lock_ms = 1000;
    g_assert_false(ha_lease_take(&r->lease, &since));
    saw_attempts(r, 5); /* slow ones: over after 1000, 2250 ... 6000 ms */
    r->lock_ms = 0;
    hold_guarded(r);
    r->fails = 1000;
    r->still = true;
    g_assert_false(ha_lease_take(&r->lease, &since));
    saw_attempts(r, 25); /* where no time passes, attempts are counted */
}

static void one_that_is_lost_is_not_fought_for(Rig *r, gconstpointer data)
{
    static const int lost[] = {-ESTALE, -ENOENT};
    MonoTime since;

    (void)data;
    hold_guarded(r);
    for (gsize i = 0; i < G_N_ELEMENTS(lost); i++) {
        r->fails = 1;
        r->reason = lost[i];
        g_assert_false(ha_lease_take(&r->lease, &since));
        saw(r, "L");
    }
}

static void watchdog_is_opened_once_and_fed_as_of_then(Rig *r, gconstpointer data)
{
    MonoTime since = r->now;

    (void)data;
    r->lock_ms = 30;
    r->open_ms = 20;
    g_assert_true(ha_lease_hold(&r->lease, true));
    saw(r, "LOF");
    g_assert_cmpint(r->fed.us, ==, since.us);
    g_assert_cmpint(r->lease.fed.us, ==, since.us);
    since = r->now;
    g_assert_true(ha_lease_hold(&r->lease, true));
    saw(r, "LF");
    g_assert_cmpint(r->fed.us, ==, since.us);
    g_assert_cmpint(r->lease.fed.us, ==, since.us);
    g_assert_true(ha_lease_hold(&r->lease, false));
    saw(r, "L");
    r->fails = 1;
    r->reason = -ESTALE;
    g_assert_false(ha_lease_hold(&r->lease, true));
    saw(r, "L"); /* not held: not fed */
}

static void watchdog_that_fails_guards_nothing(Rig *r, gconstpointer data)
{
    MonoTime before;

    (void)data;
    r->open_r = -EIO;
    g_assert_false(ha_lease_hold(&r->lease, true));
    saw(r, "LO!");
    g_assert_false(r->lease.watchdog);
    r->open_r = 1; /* as good as 0 */
    r->feed_r = 1;
    g_assert_true(ha_lease_hold(&r->lease, true));
    saw(r, "LOF");
    before = r->lease.fed;
    r->lock_ms = 10;
    r->feed_r = -EIO;
    g_assert_true(ha_lease_hold(&r->lease, false));
    g_assert_false(ha_lease_hold(&r->lease, true));
    saw(r, "LLF!");
    g_assert_cmpint(r->lease.fed.us, ==, before.us);
    ha_lease_close_watchdog(&r->lease);
    g_assert_false(ha_lease_hold(&r->lease, true));
    saw(r, "CLOF!");
    g_assert_true(r->lease.watchdog); /* it is open, and counts from its opening */
    g_assert_cmpint(mono_diff_us(r->now, r->lease.fed), ==, 10 * US_PER_MS);
}

/* However long a pause between the two: the reset comes before the lease is over. */
static void late_feeding_is_none(Rig *r, gconstpointer data)
{
    int64_t window = ha_timing_feed_window_ms(&ha_timing_fast);
    MonoTime before;

    (void)data;
    hold_guarded(r);
    r->lock_ms = window;
    g_assert_true(ha_lease_hold(&r->lease, true));
    saw(r, "LF");
    before = r->lease.fed;
    r->lock_ms = window + 1;
    g_assert_false(ha_lease_hold(&r->lease, true));
    saw(r, "L!");
    g_assert_cmpint(r->lease.fed.us, ==, before.us);
    r->lock_ms = 0;
    r->feed_ms = window;
    g_assert_true(ha_lease_hold(&r->lease, true));
    saw(r, "LF");
    r->feed_ms = window + 1; /* fed as of then, but nothing may be started */
    before = r->now;
    g_assert_false(ha_lease_hold(&r->lease, true));
    saw(r, "LF!");
    g_assert_cmpint(r->lease.fed.us, ==, before.us);
}

static void what_is_not_there_is_not_given_back(Rig *r, gconstpointer data)
{
    (void)data;
    ha_lease_close_watchdog(&r->lease);
    g_assert_cmpint(ha_lease_release(&r->lease), ==, 0);
    saw(r, "");
    hold_guarded(r);
    r->unlock_r = -EIO;
    r->close_r = -EIO;
    ha_lease_close_watchdog(&r->lease);
    saw(r, "C!");
    r->close_r = 1;
    g_assert_cmpint(ha_lease_release(&r->lease), ==, -EIO);
    saw(r, "U");
    ha_lease_close_watchdog(&r->lease); /* failed or not, it is done with */
    g_assert_cmpint(ha_lease_release(&r->lease), ==, 0);
    saw(r, "");
    hold_guarded(r);
    ha_lease_close_watchdog(&r->lease);
    saw(r, "C");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Rig *, gconstpointer);
    } cases[] = {
        {"counts-from-before-the-attempt-that-succeeds",
         it_counts_from_before_the_attempt_that_succeeds},
        {"nothing-to-lose-is-tried-a-few-times", nothing_to_lose_is_tried_a_few_times},
        {"only-a-guarded-one-is-fought-for", only_a_guarded_one_is_fought_for},
        {"until-guests-need-the-time", until_guests_need_the_time},
        {"one-that-is-lost-is-not-fought-for", one_that_is_lost_is_not_fought_for},
        {"watchdog-is-opened-once-and-fed-as-of-then", watchdog_is_opened_once_and_fed_as_of_then},
        {"watchdog-that-fails-guards-nothing", watchdog_that_fails_guards_nothing},
        {"late-feeding-is-none", late_feeding_is_none},
        {"what-is-not-there-is-not-given-back", what_is_not_there_is_not_given_back},
    };

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strconcat("/ha/lease-and-watchdog/", cases[i].name, NULL);

        g_test_add(path, Rig, NULL, set_up, cases[i].run, tear_down);
    }
    return g_test_run();
}
