/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat_storage: how full the storages of this node are. Each is asked in a thread of its own, so
 * one that hangs (a server that is away) holds up nothing else: it is told no more until it
 * answers. Storages are looked at as they are; nothing is mounted or made. Main thread.
 */
#ifndef GUEST_IO_STAT_STORAGE_H
#define GUEST_IO_STAT_STORAGE_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdint.h>

typedef struct StatStorages StatStorages;

StatStorages *stat_storages_new(void);
/* Does not wait for storages that hang; their threads end by themselves. */
void stat_storages_free(StatStorages *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StatStorages, stat_storages_free)

/* The storages of `node` by the text of storage.cfg, from now on. */
int stat_storages_set(StatStorages *s, GBytes *text, const char *node, Err *err) must_check;

/* Once in each round: asks those that do not owe an answer. */
void stat_storages_begin(StatStorages *s);

/* Those that answered lately, in bytes; `tell` as in stat_guests_tell. */
typedef int (*StatTellStorage)(void *ctx, const char *id, uint64_t total, uint64_t used, Err *err);
int stat_storages_tell(StatStorages *s, StatTellStorage tell, void *ctx, Err *err) must_check;

#endif
