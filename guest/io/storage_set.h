/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage_set: the storages of the cluster as this node uses them: read from storage.cfg, asked
 * whether they can be used here, made ready, locked while names are given out. What is done on a
 * storage is done by its kind (storage_kind); what users of volumes call is in volume.h.
 * Main thread.
 */
#ifndef GUEST_IO_STORAGE_SET_H
#define GUEST_IO_STORAGE_SET_H

#include "guest/core/host_facts.h"
#include "guest/io/guest_tree.h"
#include "guest/io/qemuimg.h"
#include "lib/base/err.h"
#include "lib/conf/storagecfg.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define STORAGE_LOCK_DIR        "/var/lock/pve-manager"
#define STORAGE_LOCK_TIMEOUT_MS 30000

typedef struct StorageSet {
    const GuestTree *tree;
    StorageCfg *cfg;
    HostFacts facts;        /* only what finding volumes needs */
    ImageProgress progress; /* of all work done through this set */
    /* A volume of guest `vmid` has got its name and is about to be made; may be NULL. */
    void (*made)(void *ctx, uint32_t vmid, const char *volid);
    void *made_ctx;
} StorageSet;

/* `tree` must live as long. An absent storage.cfg is an empty one. */
int storage_set_open(const GuestTree *tree, StorageSet **ret, Err *err) must_check;
void storage_set_free(StorageSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StorageSet, storage_set_free)

/* The storage, which exists, is enabled, belongs to this node and is there (mounted, with its
 * folders). -ENOENT, -EINVAL, -ENOTSUP, -EACCES, -ENODEV. */
int storage_set_use(const StorageSet *set, const char *id, const Storage **ret, Err *err)
    must_check;

typedef struct StorageLock StorageLock;

/* While names are given out or taken away: cluster-wide for shared storages, else on this node. To
 * be held for moments, not while data is written. */
int storage_lock_take(const StorageSet *set, const Storage *s, StorageLock **ret, Err *err)
    must_check;
void storage_lock_release(StorageLock *l);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StorageLock, storage_lock_release)

#endif
