/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_cli: what `qm` and `pvesm` share: opening the cluster's tree and storages, progress of long
 * work, an end by Ctrl-C that cleans up. Main thread only.
 */
#ifndef CLI_GUEST_CLI_H
#define CLI_GUEST_CLI_H

#include "guest/io/guest_tree.h"
#include "guest/io/storage_set.h"
#include "lib/base/err.h"

#include <stdio.h>

/* The tree at `root` (NULL: /etc/pve) and its storages. */
typedef struct GuestCli {
    GuestTree *tree;
    StorageSet *set;
} GuestCli;

/* Reads storage.cfg; the caller closes. */
int guest_cli_open(const char *root, GuestCli *ret, Err *err) must_check;
void guest_cli_close(GuestCli *c);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GuestCli, guest_cli_close)

/* From now on long work tells on `out` how far it is: one line that overwrites itself on a
 * terminal, else a line each 10 %. And INT, TERM and HUP end it early, cleaned up. */
void guest_cli_long_work(StorageSet *set, FILE *out);

/* A line for a person on stderr: "warning: ...". Fits VolumeWarn. */
void guest_cli_warn(void *ctx, const char *text);

#endif
