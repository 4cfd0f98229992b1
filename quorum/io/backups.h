/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backups: the folders of what a node had before it joined or left a cluster, KIND-SECONDS below
 * state_dir/backup. Any thread; blocks.
 */
#ifndef QUORUM_IO_BACKUPS_H
#define QUORUM_IO_BACKUPS_H

#include "lib/base/err.h"

#define BACKUPS_KEPT 10u /* of all kinds together */

/* Path of a new folder, which is not made yet. Caller frees. */
char *backups_path(const char *state_dir, const char *kind);

/* Removes all but the newest BACKUPS_KEPT; `mine` stays in any case, whatever the clock said. How
 * many were removed, or -errno. Things with other names are left alone. */
int backups_prune(const char *state_dir, const char *mine, Err *err) must_check;

#endif
