/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_local: the local socket of the agent, for root only. One JSON object per line, both ways:
 *
 *   {"verb":"migrate","vmid":..,"target":..,...}   answers: lines {"event":"log"|"plan"|"progress"}
 *                                                  and one {"event":"end",...}
 *   {"verb":"cancel"[,"vmid":..]}                  without vmid: what this connection has started
 *   {"verb":"list"} {"verb":"metrics"}             one line; then the end
 *
 * Who goes away does not stop what it has started. Main thread.
 */
#ifndef MIGRATION_IO_MIG_LOCAL_H
#define MIGRATION_IO_MIG_LOCAL_H

#include "lib/base/err.h"
#include "lib/base/jsontree.h"

#include <glib.h>

typedef struct MigLocal MigLocal;
typedef struct MigLocalClient MigLocalClient;

typedef void (*MigLocalAsk)(void *ctx, MigLocalClient *c, const JsonTree *request);

int mig_local_new(const char *path, MigLocalAsk ask, void *ctx, MigLocal **ret, Err *err)
    must_check;
void mig_local_free(MigLocal *l);

/* The client hears lines of this migration from now on. */
void mig_local_watch(MigLocalClient *c, const char *id);
/* Id of the migration it watches; NULL. */
const char *mig_local_watched(const MigLocalClient *c);
void mig_local_say(MigLocalClient *c, const char *line);
void mig_local_fail(MigLocalClient *c, int exit_code, const char *text);
/* To all who watch `id`. */
void mig_local_publish(MigLocal *l, const char *id, const char *line);

#endif
