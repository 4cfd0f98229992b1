/* SPDX-License-Identifier: Apache-2.0 */
/* qm_migrate: the verbs of `qm` that talk to the migration agent. Main thread only. */
#ifndef CLI_QM_MIGRATE_H
#define CLI_QM_MIGRATE_H

#include "cli/cmdline.h"
#include "cli/qm_verbs.h"
#include "lib/base/jsontree.h"

#include <glib.h>
#include <stdint.h>

typedef struct QmMigrateOptions {
    char *socket, *map, *network, *type, *on_timeout, *compress;
    int online, local_disks, force;
    gboolean dry_run, metrics;
    gint64 bwlimit, downtime, timeout, channels;
    void (*listing)(const JsonTree *m); /* instead of the usual show */
    char *why;                          /* the agent's reason */
} QmMigrateOptions;
extern QmMigrateOptions qm_migrate_options;

extern const CliVerb qm_migrate_verbs[];

/* The verbs: see `run` of CliVerb. */
int qm_migrate(char **operands, Err *err);
int qm_migrate_cancel(char **operands, Err *err);
int qm_migrations(char **operands, Err *err);

#endif
