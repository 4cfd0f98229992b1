/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_mem: pmxcfs/io/engine.h on a tree in memory, without disk and group, for tests and
 * benchmarks of what stands on the engine. Besides what the engine does it can play the other
 * nodes, lose quorum, be slow, and fail like a disk does: after the change was visible.
 */
#ifndef TESTS_LIB_ENGINE_MEM_H
#define TESTS_LIB_ENGINE_MEM_H

#include "pmxcfs/io/engine.h"

/* An empty tree of node `nodename`, quorate, in local mode. Free with engine_free. */
Engine *engine_mem_new(const char *nodename);

/* A change by another node. */
int engine_mem_remote(Engine *e, const TreeOp *op) must_check;

/* The tree is replaced as a synchronisation does: by itself plus a file `name` with `text`. */
int engine_mem_replace(Engine *e, const char *name, const char *text) must_check;

void engine_mem_set_quorate(Engine *e, bool quorate);

/* The next change is applied, heard of, taken back, and answered with `code`. */
void engine_mem_fail_next(Engine *e, int code);

/* The next change that nobody waits for is taken back when somebody does, who gets `code`. */
void engine_mem_lose_next(Engine *e, int code);

/* The disk stands still: from now on each change waits, after it was applied, until this is taken
 * back, and is only then answered as durable. */
void engine_mem_hold(Engine *e, bool hold);
guint engine_mem_held(Engine *e); /* changes that wait so */

/* The clock that locks expire by goes on. */
void engine_mem_advance(Engine *e, int64_t sec);

/* Changes that were answered with success so far. */
uint64_t engine_mem_changes(Engine *e);

#endif
