/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_patience.h"

#include "lib/port/clock.h"

#include <errno.h>

/* Shared by caller and thread; the last of them frees it. */
struct HaPatience {
    GMutex mutex;
    GCond asked; /* for the thread: there is a call, or the end */
    GCond done;  /* for the caller */
    HaPatienceFn fn;
    void *data;
    GDestroyNotify free_data;
    int result;
    Err why;
    bool busy; /* a call was given to the thread, and is not back */
    bool end;
    gint refs;
};

static void unref(HaPatience *p)
{
    if (g_atomic_int_dec_and_test(&p->refs)) {
        g_mutex_clear(&p->mutex);
        g_cond_clear(&p->asked);
        g_cond_clear(&p->done);
        g_free(p);
    }
}

static void *work(void *ctx)
{
    HaPatience *p = ctx;

    g_mutex_lock(&p->mutex);
    for (;;) {
        Err why = ERR_INIT;
        int r;

        while (!p->busy && !p->end) {
            g_cond_wait(&p->asked, &p->mutex);
        }
        if (!p->busy) {
            break;
        }
        g_mutex_unlock(&p->mutex);
        r = p->fn(p->data, &why);
        p->free_data(p->data);
        g_mutex_lock(&p->mutex);
        p->result = r;
        p->why = why;
        p->busy = false;
        g_cond_broadcast(&p->done);
    }
    g_mutex_unlock(&p->mutex);
    unref(p);
    return NULL;
}

HaPatience *ha_patience_new(void)
{
    HaPatience *p = g_new0(HaPatience, 1);

    g_mutex_init(&p->mutex);
    g_cond_init(&p->asked);
    g_cond_init(&p->done);
    p->refs = 2;
    g_thread_unref(g_thread_new("patience", work, p));
    return p;
}

void ha_patience_free(HaPatience *p)
{
    if (p == NULL) {
        return;
    }
    g_mutex_lock(&p->mutex);
    p->end = true;
    g_cond_signal(&p->asked);
    g_mutex_unlock(&p->mutex);
    unref(p);
}

/* With the mutex; false when the call is still out at `until`. */
static bool wait_until_idle(HaPatience *p, MonoTime until)
{
    gint64 end = g_get_monotonic_time() + mono_diff_us(until, clock_boot());

    while (p->busy) {
        if (!g_cond_wait_until(&p->done, &p->mutex, end)) {
            return !p->busy;
        }
    }
    return true;
}

int ha_patience_run(
    HaPatience *p, HaPatienceFn fn, void *data, GDestroyNotify free_data, MonoTime until, Err *err)
{
    int r;

    g_mutex_lock(&p->mutex);
    if (!wait_until_idle(p, until)) {
        g_mutex_unlock(&p->mutex);
        free_data(data);
        return err_setf(err, -ETIMEDOUT, "the cluster filesystem does not answer (since before)");
    }
    p->fn = fn;
    p->data = data;
    p->free_data = free_data;
    p->busy = true;
    g_cond_signal(&p->asked);
    if (wait_until_idle(p, until)) {
        r = p->result;
        if (r < 0 && err != NULL) {
            *err = p->why;
        }
    } else {
        r = err_setf(err, -ETIMEDOUT, "the cluster filesystem does not answer");
    }
    g_mutex_unlock(&p->mutex);
    return r;
}
