/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_workers: child processes that do one thing and end, so that the loop of a daemon never waits.
 * One thread; the owner's signal handler for SIGCHLD only has to wake its loop.
 */
#ifndef HA_MANAGER_IO_HA_WORKERS_H
#define HA_MANAGER_IO_HA_WORKERS_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct HaWorkers HaWorkers;

/* `in_child` runs first in every child: it drops what is the parent's alone. May be NULL. */
HaWorkers *ha_workers_new(void (*in_child)(void *ctx), void *ctx);
void ha_workers_free(HaWorkers *w); /* leaves children alone */

/* Runs `work` in a child; its return value is the child's exit status. `tag` names it in reap.
 * The child dies with its parent, what it has started does not. */
int ha_workers_start(HaWorkers *w, const char *tag, int (*work)(void *data), void *data) must_check;

/* One child that has ended: 1 and its tag (caller frees) and status as of waitpid; 0: none. */
int ha_workers_reap(HaWorkers *w, char **ret_tag, int *ret_status);

/* Is a child with this tag at work? */
bool ha_workers_busy(const HaWorkers *w, const char *tag);
guint ha_workers_count(const HaWorkers *w);

#endif
