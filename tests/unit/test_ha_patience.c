/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a call that hangs costs its caller no more than the deadline, and what is asked for later
 * never happens earlier. Method: calls that wait until the test lets them go. */
#include "ha-manager/io/ha_patience.h"

#include "lib/port/clock.h"

#include <errno.h>

typedef struct Rig {
    HaPatience *p;
    GMutex mutex;
    GCond cond;
    bool go;
    GString *story;
    gint freed;
} Rig;

typedef struct Call {
    Rig *r;
    char letter;
    bool hangs;
    int result;
} Call;

static int call_run(void *data, Err *err)
{
    Call *c = data;

    g_mutex_lock(&c->r->mutex);
    while (c->hangs && !c->r->go) {
        g_cond_wait(&c->r->cond, &c->r->mutex);
    }
    g_string_append_c(c->r->story, c->letter);
    g_mutex_unlock(&c->r->mutex);
    return c->result < 0 ? err_setf(err, c->result, "call %c failed", c->letter) : c->result;
}

static void call_free(void *data)
{
    Call *c = data;

    g_atomic_int_inc(&c->r->freed);
    g_free(c);
}

static int ask(Rig *r, char letter, bool hangs, int result, int64_t ms, Err *err)
{
    Call *c = g_new(Call, 1);

    *c = (Call){r, letter, hangs, result};
    return ha_patience_run(r->p, call_run, c, call_free, mono_add_ms(clock_boot(), ms), err);
}

static void let_go(Rig *r)
{
    g_mutex_lock(&r->mutex);
    r->go = true;
    g_cond_broadcast(&r->cond);
    g_mutex_unlock(&r->mutex);
}

static void set_up(Rig *r, gconstpointer data)
{
    (void)data;
    g_mutex_init(&r->mutex);
    g_cond_init(&r->cond);
    r->story = g_string_new(NULL);
    r->p = ha_patience_new();
}

static void tear_down(Rig *r, gconstpointer data)
{
    (void)data;
    ha_patience_free(r->p);
    g_string_free(r->story, TRUE);
    g_mutex_clear(&r->mutex);
    g_cond_clear(&r->cond);
}

static void results_come_back(Rig *r, gconstpointer data)
{
    Err why = ERR_INIT;

    (void)data;
    g_assert_cmpint(ask(r, 'a', false, 7, 60000, &why), ==, 7);
    g_assert_cmpint(ask(r, 'b', false, -EACCES, 60000, &why), ==, -EACCES);
    g_assert_cmpstr(err_text(&why), ==, "call b failed");
    g_assert_cmpstr(r->story->str, ==, "ab");
    g_assert_cmpint(g_atomic_int_get(&r->freed), ==, 2);
}

/* The second is not even begun: its deadline is over before the first is back. */
static void deadlines_hold(Rig *r, gconstpointer data)
{
    (void)data;
    g_assert_cmpint(ask(r, 'a', true, 0, 50, NULL), ==, -ETIMEDOUT);
    g_assert_cmpint(ask(r, 'b', false, 0, 50, NULL), ==, -ETIMEDOUT);
    let_go(r);
    g_assert_cmpint(ask(r, 'c', false, 0, 60000, NULL), ==, 0);
    g_assert_cmpstr(r->story->str, ==, "ac");
    g_assert_cmpint(g_atomic_int_get(&r->freed), ==, 3);
}

/* Who ends does not wait for it. */
static void the_end_waits_for_nothing(Rig *r, gconstpointer data)
{
    HaPatience *p = r->p;

    (void)data;
    g_assert_cmpint(ask(r, 'a', true, 0, 50, NULL), ==, -ETIMEDOUT);
    r->p = ha_patience_new();
    ha_patience_free(p);
    g_assert_cmpint(ask(r, 'b', false, 0, 60000, NULL), ==, 0);
    let_go(r);
    while (g_atomic_int_get(&r->freed) < 2) {
        g_usleep(1000);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, fn) g_test_add("/ha_patience/" name, Rig, NULL, set_up, fn, tear_down)
    ADD("results-come-back", results_come_back);
    ADD("deadlines-hold", deadlines_hold);
    ADD("the-end-waits-for-nothing", the_end_waits_for_nothing);
    return g_test_run();
}
