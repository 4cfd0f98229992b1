/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_fencing: switches nodes off with Debian's fence agents, by ha/fence.cfg: level by level, the
 * devices of one level at once, all of them must succeed. Agents are run by absolute path, without
 * a shell, with a time limit. One thread.
 */
#ifndef HA_MANAGER_IO_HA_FENCING_H
#define HA_MANAGER_IO_HA_FENCING_H

#include "ha-manager/core/ha_fence.h"
#include "ha-manager/io/ha_workers.h"
#include "lib/base/err.h"

#include <stdbool.h>

#define HA_FENCE_AGENT_DIR  "/usr/sbin"
#define HA_FENCE_TIMEOUT_MS 60000 /* of one agent; agents have shorter limits of their own */

typedef enum HaFenceAction { HA_FENCE_AS_CONFIGURED, HA_FENCE_STATUS } HaFenceAction;

/* What a run of agents says, line by line. */
typedef void (*HaFenceSay)(void *ctx, const char *line);

/* Runs the agents for `node`, all levels until one succeeds; waits. HA_FENCE_STATUS and `dry` go
 * through all levels whatever comes of each. 0: it succeeded; -ENOENT: no device is connected to
 * the node; -EIO: all levels failed. `dry`: only says what it would run. */
int ha_fencing_run(const HaFence *f,
                   const char *node,
                   HaFenceAction action,
                   bool dry,
                   HaFenceSay say,
                   void *ctx,
                   Err *err) must_check;

/* The same in the background, for a daemon. */
typedef struct HaFencer HaFencer;

/* `in_child`: see ha_workers.h. */
HaFencer *ha_fencing_new(HaFenceSay say, void (*in_child)(void *ctx), void *ctx);
void ha_fencing_free(HaFencer *f);

/* Takes the text of ha/fence.cfg; says what is wrong with it, once per content. */
void ha_fencing_configure(HaFencer *f, const char *text);
bool ha_fencing_can(const HaFencer *f, const char *node);

/* 1: the node is off; 0: not yet. Starts the agents where none is at work; after all levels have
 * failed they are tried again after a while. */
int ha_fencing_fence(HaFencer *f, const char *node);
/* It was asked for, whatever came of it. */
bool ha_fencing_begun(const HaFencer *f, const char *node);
void ha_fencing_over(HaFencer *f, const char *node);
/* Collects what has ended; for the daemon's loop. */
void ha_fencing_poll(HaFencer *f);

#endif
