/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/loop_timer.h"

#include <stdatomic.h>

struct LoopTimer {
    GSource source; /* first: GLib knows it by this */
    GMainContext *context;
    void (*fn)(void *ctx);
    void *ctx;
    _Atomic int64_t at_us; /* set by any thread */
};

static gboolean prepare(GSource *source, gint *timeout)
{
    int64_t at = atomic_load(&((LoopTimer *)source)->at_us);
    int64_t left = at - g_source_get_time(source);

    *timeout = -1;
    if (at != MONO_NEVER.us) {
        *timeout = (gint)CLAMP((left + 999) / 1000, 0, G_MAXINT);
    }
    return *timeout == 0;
}

static gboolean check(GSource *source)
{
    return atomic_load(&((LoopTimer *)source)->at_us) <= g_source_get_time(source);
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    LoopTimer *t = (LoopTimer *)source;

    (void)callback;
    (void)data;
    /* Another thread may have put it off since it was found due. */
    if (check(source)) {
        atomic_store(&t->at_us, MONO_NEVER.us);
        t->fn(t->ctx);
    }
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs timer_funcs = {.prepare = prepare, .check = check, .dispatch = dispatch};

LoopTimer *loop_timer_new(GMainContext *context, void (*fn)(void *ctx), void *ctx)
{
    LoopTimer *t = (LoopTimer *)g_source_new(&timer_funcs, sizeof(LoopTimer));

    t->context = context;
    t->fn = fn;
    t->ctx = ctx;
    atomic_init(&t->at_us, MONO_NEVER.us);
    g_source_attach(&t->source, context);
    return t;
}

void loop_timer_set(LoopTimer *t, MonoTime at)
{
    atomic_store(&t->at_us, at.us);
    /* The loop itself looks at all times before it sleeps. */
    if (!g_main_context_is_owner(t->context)) {
        g_main_context_wakeup(t->context);
    }
}

void loop_timer_free(LoopTimer *t)
{
    if (t != NULL) {
        g_source_destroy(&t->source);
        g_source_unref(&t->source);
    }
}
