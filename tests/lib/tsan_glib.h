/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tsan_glib: tells ThreadSanitizer what GLib's locks and reference counts order.
 *
 * Debian's GLib is not built for ThreadSanitizer, and its mutexes are futexes of its own, so that
 * the sanitizer sees none of their effect and reports races that are none. In --enable-tsan builds
 * this header comes first in every file: calls of the functions below go to wrappers that call
 * GLib's and add the order they guarantee. A real race stays one. Not part of any other build.
 */
#ifndef TESTS_LIB_TSAN_GLIB_H
#define TESTS_LIB_TSAN_GLIB_H

#define g_mutex_lock               tsan_g_mutex_lock
#define g_mutex_trylock            tsan_g_mutex_trylock
#define g_mutex_unlock             tsan_g_mutex_unlock
#define g_rec_mutex_lock           tsan_g_rec_mutex_lock
#define g_rec_mutex_trylock        tsan_g_rec_mutex_trylock
#define g_rec_mutex_unlock         tsan_g_rec_mutex_unlock
#define g_rw_lock_writer_lock      tsan_g_rw_lock_writer_lock
#define g_rw_lock_writer_unlock    tsan_g_rw_lock_writer_unlock
#define g_rw_lock_reader_lock      tsan_g_rw_lock_reader_lock
#define g_rw_lock_reader_unlock    tsan_g_rw_lock_reader_unlock
#define g_cond_wait                tsan_g_cond_wait
#define g_cond_wait_until          tsan_g_cond_wait_until
#define g_atomic_ref_count_dec     tsan_g_atomic_ref_count_dec
#define g_bytes_unref              tsan_g_bytes_unref
#define g_async_queue_push         tsan_g_async_queue_push
#define g_async_queue_pop          tsan_g_async_queue_pop
#define g_async_queue_try_pop      tsan_g_async_queue_try_pop
#define g_async_queue_timeout_pop  tsan_g_async_queue_timeout_pop
#define g_thread_pool_new          tsan_g_thread_pool_new
#define g_thread_pool_push         tsan_g_thread_pool_push
#define g_thread_pool_free         tsan_g_thread_pool_free
#define g_source_attach            tsan_g_source_attach
#define g_source_set_callback      tsan_g_source_set_callback
#define g_source_set_ready_time    tsan_g_source_set_ready_time
#define g_main_context_invoke      tsan_g_main_context_invoke
#define g_main_context_invoke_full tsan_g_main_context_invoke_full

#include <glib.h>

/* Nodes of lists and queues that GLib allocates in one thread and frees in another, under locks
 * that the sanitizer does not see: allocations made by GLib's own code do not count. */
__attribute__((weak, visibility("default"))) const char *__tsan_default_suppressions(void);
__attribute__((weak, visibility("default"))) const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:libglib-2.0.so\n";
}

void __tsan_acquire(void *address);
void __tsan_release(void *address);

/* The wrapper NAME(ARGS) calls GLib's function, which it knows under the name real_NAME. */
#define TSAN_WRAP(result, name, arguments)                                                         \
    extern result real_##name arguments __asm__(#name);                                            \
    __attribute__((weak)) result tsan_##name arguments

TSAN_WRAP(void, g_mutex_lock, (GMutex * m))
{
    real_g_mutex_lock(m);
    __tsan_acquire(m);
}

TSAN_WRAP(gboolean, g_mutex_trylock, (GMutex * m))
{
    if (!real_g_mutex_trylock(m)) {
        return FALSE;
    }
    __tsan_acquire(m);
    return TRUE;
}

TSAN_WRAP(void, g_mutex_unlock, (GMutex * m))
{
    __tsan_release(m);
    real_g_mutex_unlock(m);
}

TSAN_WRAP(void, g_rec_mutex_lock, (GRecMutex * m))
{
    real_g_rec_mutex_lock(m);
    __tsan_acquire(m);
}

TSAN_WRAP(gboolean, g_rec_mutex_trylock, (GRecMutex * m))
{
    if (!real_g_rec_mutex_trylock(m)) {
        return FALSE;
    }
    __tsan_acquire(m);
    return TRUE;
}

TSAN_WRAP(void, g_rec_mutex_unlock, (GRecMutex * m))
{
    __tsan_release(m);
    real_g_rec_mutex_unlock(m);
}

/* Readers order nothing between each other: what they release goes to the writer alone. */
TSAN_WRAP(void, g_rw_lock_writer_lock, (GRWLock * l))
{
    real_g_rw_lock_writer_lock(l);
    __tsan_acquire(l);
    __tsan_acquire((char *)l + 1);
}

TSAN_WRAP(void, g_rw_lock_writer_unlock, (GRWLock * l))
{
    __tsan_release(l);
    real_g_rw_lock_writer_unlock(l);
}

TSAN_WRAP(void, g_rw_lock_reader_lock, (GRWLock * l))
{
    real_g_rw_lock_reader_lock(l);
    __tsan_acquire(l);
}

TSAN_WRAP(void, g_rw_lock_reader_unlock, (GRWLock * l))
{
    __tsan_release((char *)l + 1);
    real_g_rw_lock_reader_unlock(l);
}

TSAN_WRAP(void, g_cond_wait, (GCond * c, GMutex *m))
{
    __tsan_release(m);
    real_g_cond_wait(c, m);
    __tsan_acquire(m);
}

TSAN_WRAP(gboolean, g_cond_wait_until, (GCond * c, GMutex *m, gint64 end))
{
    __tsan_release(m);
    gboolean woken = real_g_cond_wait_until(c, m, end);
    __tsan_acquire(m);
    return woken;
}

TSAN_WRAP(gboolean, g_atomic_ref_count_dec, (gatomicrefcount * count))
{
    __tsan_release(count);
    if (!real_g_atomic_ref_count_dec(count)) {
        return FALSE;
    }
    __tsan_acquire(count);
    return TRUE;
}

/* The last one frees; it may be this one. */
TSAN_WRAP(void, g_bytes_unref, (GBytes * bytes))
{
    __tsan_release(bytes);
    __tsan_acquire(bytes);
    real_g_bytes_unref(bytes);
}

TSAN_WRAP(void, g_async_queue_push, (GAsyncQueue * queue, gpointer data))
{
    __tsan_release(queue);
    real_g_async_queue_push(queue, data);
}

TSAN_WRAP(gpointer, g_async_queue_pop, (GAsyncQueue * queue))
{
    gpointer data = real_g_async_queue_pop(queue);

    __tsan_acquire(queue);
    return data;
}

TSAN_WRAP(gpointer, g_async_queue_try_pop, (GAsyncQueue * queue))
{
    gpointer data = real_g_async_queue_try_pop(queue);

    __tsan_acquire(queue);
    return data;
}

TSAN_WRAP(gpointer, g_async_queue_timeout_pop, (GAsyncQueue * queue, guint64 timeout_us))
{
    gpointer data = real_g_async_queue_timeout_pop(queue, timeout_us);

    __tsan_acquire(queue);
    return data;
}

/* The wrappers' own data is read before the order is known: the sanitizer does not look at them. */
#define TSAN_UNSEEN __attribute__((weak, no_sanitize_thread))

/* A pool's own data is replaced by this, so that its function can be told what a push ordered. It
 * lives as long as the program: pools are few. */
typedef struct TsanPool {
    GFunc func;
    gpointer data;
    char pushed, done; /* only their addresses matter */
} TsanPool;

void tsan_pool_work(gpointer item, gpointer data);
TSAN_UNSEEN void tsan_pool_work(gpointer item, gpointer data)
{
    TsanPool *pool = data;

    __tsan_acquire(&pool->pushed);
    pool->func(item, pool->data);
    __tsan_release(&pool->done);
}

TSAN_WRAP(GThreadPool *,
          g_thread_pool_new,
          (GFunc func, gpointer data, gint threads_max, gboolean exclusive, GError **error))
{
    TsanPool *pool = g_new0(TsanPool, 1);

    *pool = (TsanPool){.func = func, .data = data};
    return real_g_thread_pool_new(tsan_pool_work, pool, threads_max, exclusive, error);
}

TSAN_WRAP(gboolean, g_thread_pool_push, (GThreadPool * p, gpointer item, GError **error))
{
    __tsan_release(&((TsanPool *)p->user_data)->pushed);
    return real_g_thread_pool_push(p, item, error);
}

/* GLib frees the pool in the last of its threads. */
TsanPool *tsan_pool_of(const GThreadPool *p);
TSAN_UNSEEN TsanPool *tsan_pool_of(const GThreadPool *p)
{
    return p->user_data;
}

TSAN_WRAP(void, g_thread_pool_free, (GThreadPool * p, gboolean at_once, gboolean wait))
{
    TsanPool *pool = tsan_pool_of(p);

    real_g_thread_pool_free(p, at_once, wait);
    __tsan_acquire(&pool->done);
}

/* Callbacks of a main loop: what the thread did that asked for them comes before they run. Only
 * sources whose callback is a GSourceFunc are known here; those of file descriptors are ordered by
 * the reads and writes on them, which the sanitizer sees. */
typedef struct TsanCall {
    GSourceFunc func;
    gpointer data;
    GDestroyNotify notify;
    void *asked; /* the address that stands for the request */
} TsanCall;

gboolean tsan_call_run(gpointer data);
TSAN_UNSEEN gboolean tsan_call_run(gpointer data)
{
    TsanCall *call = data;

    __tsan_acquire(call->asked);
    return call->func(call->data);
}

void tsan_call_free(gpointer data);
TSAN_UNSEEN void tsan_call_free(gpointer data)
{
    TsanCall *call = data;

    if (call->notify != NULL) {
        call->notify(call->data);
    }
    g_free(call);
}

static inline TsanCall *
tsan_call_new(GSourceFunc func, gpointer data, GDestroyNotify notify, void *asked)
{
    TsanCall *call = g_new(TsanCall, 1);

    *call = (TsanCall){func, data, notify, asked != NULL ? asked : call};
    return call;
}

TSAN_WRAP(void,
          g_source_set_callback,
          (GSource * source, GSourceFunc func, gpointer data, GDestroyNotify notify))
{
    if (source->source_funcs == &g_timeout_funcs || source->source_funcs == &g_idle_funcs) {
        data = tsan_call_new(func, data, notify, source);
        func = tsan_call_run;
        notify = tsan_call_free;
    }
    real_g_source_set_callback(source, func, data, notify);
}

TSAN_WRAP(guint, g_source_attach, (GSource * source, GMainContext *context))
{
    __tsan_release(source);
    return real_g_source_attach(source, context);
}

TSAN_WRAP(void, g_source_set_ready_time, (GSource * source, gint64 time_us))
{
    __tsan_release(source);
    real_g_source_set_ready_time(source, time_us);
}

TSAN_WRAP(
    void,
    g_main_context_invoke_full,
    (GMainContext * context, gint priority, GSourceFunc func, gpointer data, GDestroyNotify notify))
{
    TsanCall *call = tsan_call_new(func, data, notify, NULL);

    __tsan_release(call);
    real_g_main_context_invoke_full(context, priority, tsan_call_run, call, tsan_call_free);
}

TSAN_WRAP(void, g_main_context_invoke, (GMainContext * context, GSourceFunc func, gpointer data))
{
    tsan_g_main_context_invoke_full(context, G_PRIORITY_DEFAULT, func, data, NULL);
}

/* The first half of g_once_init is inlined from GLib's header and visible; the second is not. */
static inline void tsan_once_init_leave(void *location, gsize value)
{
    __tsan_release(location);
    (g_once_init_leave)(location, value);
}
#undef g_once_init_leave
#define g_once_init_leave(location, value) tsan_once_init_leave(location, (gsize)(value))

#endif
