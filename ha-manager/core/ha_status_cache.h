/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_status_cache: ha/manager_status as a daemon last read it, only to look at; what a master that
 * has been replaced wrote late is not taken.
 */
#ifndef HA_MANAGER_CORE_HA_STATUS_CACHE_H
#define HA_MANAGER_CORE_HA_STATUS_CACHE_H

#include "ha-manager/core/ha_manager_status.h"

/* The file as last read: parsing is done once per content, however often it is looked at. */
typedef struct HaStatusCache {
    char *text;          /* NULL: never read */
    HaManagerStatus *ms; /* of `text` */
    char *refused;       /* the last text of a lower epoch; NULL: none since `text` was taken */
    unsigned refusals;   /* different ones of them in a row */
} HaStatusCache;

/* Different texts of a lower epoch after which it is believed. A replaced master writes once, late;
 * who writes again has renewed the manager lock in between, and is the master: the higher epoch was
 * lost with those who knew it, under a late write. */
#define HA_STATUS_REFUSALS 5

/* Takes the text (owned by the cache from here on). On failure the cache keeps what it had. With
 * `refuse_older`, a status of a lower epoch than the one known gives -ESTALE: it was written by a
 * master that has been replaced, unless it goes on and on (HA_STATUS_REFUSALS). */
int ha_status_cache_take(HaStatusCache *cache, char *text, bool refuse_older, Err *err) must_check;
void ha_status_cache_done(HaStatusCache *cache);

#endif
