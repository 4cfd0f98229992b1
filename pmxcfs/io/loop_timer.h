/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_timer: something to do on the thread of a GMainContext once a moment has come.
 *
 * As g_source_set_ready_time does it, but the loop is woken only when another thread sets the time.
 * GLib's own wakes it with every call, also from within the loop: a write, a poll and a read, which
 * for a message that is sent now and a deadline that moves with each event cost more than the work.
 */
#ifndef PMXCFS_IO_LOOP_TIMER_H
#define PMXCFS_IO_LOOP_TIMER_H

#include "lib/base/timeval.h"

#include <glib.h>

typedef struct LoopTimer LoopTimer;

/* A timer that is not due yet at all. `fn` is called on the thread that runs the context. */
LoopTimer *loop_timer_new(GMainContext *context, void (*fn)(void *ctx), void *ctx);

/* Calls `fn` once, not before `at`; replaces an earlier time. MONO_NEVER: not at all. Any thread.
 */
void loop_timer_set(LoopTimer *t, MonoTime at);

/* NULL is allowed. On the thread of the context, or when nobody runs it; not inside `fn`. */
void loop_timer_free(LoopTimer *t);

#endif
