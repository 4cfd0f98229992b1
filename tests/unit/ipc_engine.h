/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipc_engine: the part of engine.h that IPC uses, over a tree and a status store in memory; no
 * disk, no group. Linked instead of the engine by the tests of IPC. Any thread, as the real one.
 */
#ifndef TESTS_UNIT_IPC_ENGINE_H
#define TESTS_UNIT_IPC_ENGINE_H

#include "pmxcfs/io/engine.h"

/* Node "n1" of the captured three node cluster "lab", with an empty tree. Freed by engine_free. */
Engine *ipc_engine_new(void);

/* Fills the tree from a database in the samples; false when there is none (test marked skipped). */
bool ipc_engine_load_sample(Engine *e, const char *name);

/* Creates or replaces a file, with its directories. */
void ipc_engine_write(Engine *e, const char *path, const void *data, gsize size);
void ipc_engine_delete(Engine *e, const char *path);

/* From now on setting a status key that starts with "slow" waits until this is taken back. */
void ipc_engine_hold(Engine *e, bool hold);
void ipc_engine_wait_held(Engine *e, guint n); /* until so many wait */

Status *ipc_engine_status(Engine *e); /* not while a server runs */

#endif
