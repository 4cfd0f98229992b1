/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cfslock: locks that the whole cluster sees: a directory below priv/lock (reference pmxcfs chapter
 * 6). Made: mine. Exists: ask for its removal in case it expired, wait, try again. A lock lives 120
 * s unless its holder renews it; only the node that made it can.
 *
 * One thread at a time per object; calls block. Without quorum acquiring fails at once (INV-3).
 */
#ifndef LIB_CFS_CFSLOCK_H
#define LIB_CFS_CFSLOCK_H

#include "lib/base/err.h"

#include <glib.h>
#include <sys/types.h>

#define CFSLOCK_LIFE_SEC 120 /* of a lock that is not renewed */
#define CFSLOCK_HOLD_SEC 60  /* longest time to work under a lock without renewing it */
#define CFSLOCK_RETRY_MS 200

typedef struct CfsLock CfsLock;

/* `pve`: "/etc/pve". `name`: one path component; "file-corosync_conf" for changes of a file.
 * -EINVAL bad name, -ETIMEDOUT (the text says how old the lock is), -EACCES no quorum, other errno
 * of mkdir. */
int cfslock_acquire(const char *pve, const char *name, unsigned timeout_ms, CfsLock **ret, Err *err)
    must_check;

/* Gives it 120 s from now. -ESTALE when it is no longer ours: stop working at once. -EACCES: no
 * quorum. */
int cfslock_renew(CfsLock *l, Err *err) must_check;

/* Inode of the lock's directory: no other lock, earlier or later, has the same. */
ino_t cfslock_inode(const CfsLock *l);

/* Gives the lock back and frees. NULL is allowed. A failure to remove it is harmless: it expires.
 */
void cfslock_release(CfsLock *l);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CfsLock, cfslock_release)

#endif
