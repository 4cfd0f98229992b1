/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_lock: a cluster lock (lib/cfs/cfslock) that a holder which is killed does not leave behind
 * for two minutes, as far as this node is concerned: who comes next here sees by a local lock that
 * the holder is dead, and by what it noted that the cluster's lock is still that one. Any thread;
 * blocks.
 */
#ifndef QUORUM_IO_OWN_LOCK_H
#define QUORUM_IO_OWN_LOCK_H

#include "lib/cfs/cfslock.h"

#define OWN_LOCK_DIR "/run/lock"

typedef struct OwnLock OwnLock;

/* As cfslock_acquire; -EIO when the local file cannot be used. */
int own_lock_acquire(
    const char *pve, const char *name, unsigned timeout_ms, OwnLock **ret, Err *err) must_check;
int own_lock_renew(OwnLock *l, Err *err) must_check; /* as cfslock_renew */
void own_lock_release(OwnLock *l);                   /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OwnLock, own_lock_release)

#endif
