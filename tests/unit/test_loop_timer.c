/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a timer of the main loop comes once, not too early, and ends the loop's sleep whoever sets
 * it. Method: a loop that may sleep for ever; times are only ever compared from below. */
#include "pmxcfs/io/loop_timer.h"

#include "lib/port/clock.h"

#define PATIENCE_MS 60000

typedef struct Fixture {
    GMainContext *context;
    LoopTimer *timer;
    guint calls;
    MonoTime called;
} Fixture;

static void on_due(void *ctx)
{
    Fixture *f = ctx;

    f->calls++;
    f->called = clock_mono();
}

static void setup(Fixture *f, gconstpointer data)
{
    (void)data;
    f->context = g_main_context_new();
    f->timer = loop_timer_new(f->context, on_due, f);
}

static void teardown(Fixture *f, gconstpointer data)
{
    (void)data;
    loop_timer_free(f->timer);
    g_main_context_unref(f->context);
}

/* Lets the loop sleep as long as it likes: a timer that does not end its sleep is seen by this. */
static void run_until_called(Fixture *f)
{
    guint calls = f->calls;
    MonoTime until = mono_add_ms(clock_mono(), PATIENCE_MS);

    while (f->calls == calls) {
        g_main_context_iteration(f->context, TRUE);
        g_assert_true(mono_before(clock_mono(), until));
    }
}

static void test_due(Fixture *f, gconstpointer data)
{
    MonoTime at = clock_mono();

    (void)data;
    loop_timer_set(f->timer, at);
    run_until_called(f);
    g_assert_cmpuint(f->calls, ==, 1);
    g_main_context_iteration(f->context, FALSE);
    g_assert_cmpuint(f->calls, ==, 1); /* once for each time it is set */

    at = mono_add_ms(clock_mono(), 30);
    loop_timer_set(f->timer, at);
    run_until_called(f);
    g_assert_false(mono_before(f->called, at));
}

static void test_replaced(Fixture *f, gconstpointer data)
{
    MonoTime at = mono_add_ms(clock_mono(), 20);

    (void)data;
    loop_timer_set(f->timer, mono_add_ms(clock_mono(), 10 * PATIENCE_MS));
    loop_timer_set(f->timer, at);
    run_until_called(f);
    g_assert_false(mono_before(f->called, at));

    loop_timer_set(f->timer, clock_mono());
    loop_timer_set(f->timer, MONO_NEVER);
    g_main_context_iteration(f->context, FALSE);
    g_assert_cmpuint(f->calls, ==, 1);
}

static gpointer set_from_elsewhere(gpointer data)
{
    Fixture *f = data;

    g_usleep(20000); /* the loop most likely sleeps by now; when not, nothing is lost */
    loop_timer_set(f->timer, clock_mono());
    return NULL;
}

static void test_other_thread(Fixture *f, gconstpointer data)
{
    GThread *thread = g_thread_new("setter", set_from_elsewhere, f);

    (void)data;
    run_until_called(f);
    g_thread_join(thread);
    g_assert_cmpuint(f->calls, ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/loop_timer/due", Fixture, NULL, setup, test_due, teardown);
    g_test_add("/loop_timer/replaced", Fixture, NULL, setup, test_replaced, teardown);
    g_test_add("/loop_timer/other_thread", Fixture, NULL, setup, test_other_thread, teardown);
    return g_test_run();
}
