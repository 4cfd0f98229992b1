/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_patience: calls that may hang, with a deadline. A change of the cluster filesystem waits while
 * corosync finds out who has left the cluster; a daemon that holds a lease cannot wait with it: it
 * has guests to stop in time.
 *
 * A thread of its own makes the calls, one after the other, in the order in which they were asked
 * for. The caller waits until its deadline; a call that is not back by then goes on without it, and
 * the next one waits for its end first (or fails by its own deadline). So what was asked for later
 * never happens earlier.
 *
 * One caller. Workers are forked from the caller while the thread may be inside a call: calls are
 * system calls and memory, nothing that holds a lock of this library or of GLib for long. A forked
 * child must not use it.
 */
#ifndef HA_MANAGER_IO_HA_PATIENCE_H
#define HA_MANAGER_IO_HA_PATIENCE_H

#include "lib/base/err.h"
#include "lib/base/timeval.h"

#include <glib.h>

typedef struct HaPatience HaPatience;

/* Runs in the thread; the result and the reason become those of ha_patience_run. */
typedef int (*HaPatienceFn)(void *data, Err *err);

HaPatience *ha_patience_new(void);
/* A call that still hangs keeps what it needs, and ends by itself. */
void ha_patience_free(HaPatience *p);

/* fn(data), or -ETIMEDOUT at `until` (clock_boot). `data` belongs to the call from now on and is
 * freed with `free_data` once nothing uses it any more, whatever the result. */
int ha_patience_run(HaPatience *p,
                    HaPatienceFn fn,
                    void *data,
                    GDestroyNotify free_data,
                    MonoTime until,
                    Err *err) must_check;

#endif
