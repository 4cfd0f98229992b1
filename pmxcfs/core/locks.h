/* SPDX-License-Identifier: Apache-2.0 */
/*
 * locks: how long each lock directory has been held unchanged, by this node's monotonic time. The
 * times written in the tree play no part: a stepped clock neither expires nor prolongs a lock.
 * Pure, one owner. Reference: pmxcfs chapter 6.
 */
#ifndef PMXCFS_CORE_LOCKS_H
#define PMXCFS_CORE_LOCKS_H

#include "lib/base/timeval.h"
#include "pmxcfs/core/entry.h"

#include <stdbool.h>

typedef struct LockTable LockTable;

LockTable *locks_new(void);
void locks_free(LockTable *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LockTable, locks_free)

/* (Re)starts the timer of the lock at the canonical `path`, whose entry checksum is `csum`. */
void locks_start(LockTable *t,
                 const char *path,
                 const uint8_t csum[ENTRY_DIGEST_SIZE],
                 MonoTime now);

/* Forgets the timer; nothing when there is none. */
void locks_drop(LockTable *t, const char *path);

/* Held unchanged for more than CFS_LOCK_TIMEOUT_SEC? Starts the timer when none runs, and restarts
 * it when the lock changed since. */
bool locks_expired(LockTable *t,
                   const char *path,
                   const uint8_t csum[ENTRY_DIGEST_SIZE],
                   MonoTime now);

/* For a table that replaces `old` (may be NULL): takes over the timer of `path` when it ran for
 * the same `csum`, else starts one. */
void locks_carry(LockTable *t,
                 const LockTable *old,
                 const char *path,
                 const uint8_t csum[ENTRY_DIGEST_SIZE],
                 MonoTime now);

/* The time to give to a lock that has the time `have` when its holder asks for `asked`. A lock is
 * renewed with the present time, and the rules refuse a time before the one it has: after the clock
 * was set back the holder would fail for as long (reference 18.1.18). So then, and only then, "now"
 * is taken as the lock's own time. `now`: of the clock; `steady`: what it would show had it never
 * been set back. Any other time is returned as it is, to be refused by the rules. */
uint32_t locks_renewal_time(uint32_t asked, uint32_t have, uint32_t now, int64_t steady);

#endif
