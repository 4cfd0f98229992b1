/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_blackbox: what a node knew before it was reset, on its disk: JSON lines, synced, bounded. Read
 * by `ha-manager why-rebooted`.
 */
#ifndef HA_MANAGER_IO_HA_BLACKBOX_H
#define HA_MANAGER_IO_HA_BLACKBOX_H

#include "lib/base/err.h"
#include "lib/base/jsontree.h"

#define HA_BLACKBOX_FILE "/var/lib/quorate/ha-blackbox.log"
#define HA_BLACKBOX_MUX  "/var/lib/quorate/watchdog-mux.log" /* written by watchdog-mux */
#define HA_BLACKBOX_MAX  (256 * 1024)                        /* then the older half goes */

/* Adds an entry: `event`, what happened; `facts` (an object, taken) with the rest. Time and boot id
 * are added. Synced when it returns 0. */
int ha_blackbox_add(const char *file, const char *event, JsonTree *facts, Err *err) must_check;

/* This boot of the kernel; NULL when it cannot be told. Caller frees. */
char *ha_blackbox_boot_id(void);

/* All entries, oldest first: an array; lines that are damaged are left out. */
int ha_blackbox_read(const char *file, JsonTree **ret, Err *err) must_check;

#endif
