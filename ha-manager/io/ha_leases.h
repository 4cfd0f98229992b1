/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_leases: the locks of CRM and LRM on the mounted tree: directories below priv/lock, as
 * documented (mkdir takes, utime renews, 120 s without renewal and anybody may take it), and, where
 * every member speaks it, the shorter form (docs/wire/ha-lease.md):
 *
 * A holder publishes for how long its renewals count. Who wants the lock of a silent holder watches
 * it; when it was not renewed for that long on the watcher's own clock, the watcher creates
 * `NAME.take`, looks again, and only if nothing has changed removes the lock and takes it. A holder
 * whose renewal succeeded but who then sees `NAME.take` has lost. All of this happens in the one
 * order of the cluster (INV-1): either the watcher sees the renewal or the holder sees the taking,
 * whatever their timing.
 *
 * One thread at a time; calls block, with a limit if the options say so. One that timed out may
 * still happen, but never after a later one.
 */
#ifndef HA_MANAGER_IO_HA_LEASES_H
#define HA_MANAGER_IO_HA_LEASES_H

#include "ha-manager/io/ha_patience.h"
#include "lib/base/err.h"
#include "lib/base/timeval.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct HaLeases HaLeases;

/* What a lock looks like: any renewal, and any new holder, changes it. */
typedef struct HaLeaseLook {
    bool there;
    uint64_t inode;
    int64_t mtime; /* Unix seconds */
} HaLeaseLook;

/* The folder of locks; a simulation has one of its own. `file` is a name in it. The changes give 0
 * or an error: -EBUSY for one to be made that exists; removing one that does not exist is fine. */
typedef struct HaLeasesFolder {
    HaLeaseLook (*look)(void *ctx, const char *file);
    int (*make)(void *ctx, const char *file);
    int (*remove)(void *ctx, const char *file);
    int (*touch)(void *ctx, const char *file, int64_t mtime); /* 0: remove it if it has expired */
    int64_t (*wall)(void *ctx);                               /* Unix seconds */
} HaLeasesFolder;

typedef struct HaLeasesOptions {
    const char *pve;
    const HaLeasesFolder *folder; /* called with `ctx`; NULL: priv/lock below `pve` */
    /* For how long the holder of that lock has said that a renewal counts, read from the tree at
     * this moment; 0: not told, then 120 s by the rules of the cluster filesystem. */
    int64_t (*lease_ms)(void *ctx, const char *name);
    /* The holder of the lock has left the cluster's membership and does not matter any more
     * (manager lock only: a master that is out can write nothing). */
    bool (*holder_gone)(void *ctx, const char *name);
    /* Changes of the tree that hang are given up (-ETIMEDOUT) at the moment that `until` gives when
     * they begin. NULL: they may take as long as they like. */
    HaPatience *patience;
    MonoTime (*until)(void *ctx);
    MonoTime (*mono)(void *ctx); /* a clock that also runs while the machine sleeps */
    void *ctx;
} HaLeasesOptions;

HaLeases *ha_leases_new(const HaLeasesOptions *options); /* strings are copied */
void ha_leases_free(HaLeases *l);

/* One attempt to take or to renew, for `life_ms` from now; 0 when held. -EBUSY: somebody else has
 * it; -ESTALE: it was ours and is lost. */
int ha_leases_lock(HaLeases *l, const char *name, int64_t life_ms) must_check;
/* The same for the lock of another node's agent. A free one is taken under its mark too: that node,
 * back in another boot, removes whatever it finds under the name (ha_leases_drop_own). */
int ha_leases_lock_other(HaLeases *l, const char *name, int64_t life_ms) must_check;
/* Takes the lock of a holder who is known to be dead, without waiting. What proves the death must
 * have begun after ha_leases_mark: -ESTALE when the lock has changed since then, for it may be of a
 * holder that came to life later. */
void ha_leases_mark(HaLeases *l, const char *name);
int ha_leases_lock_dead(HaLeases *l, const char *name, int64_t life_ms) must_check;
int ha_leases_unlock(HaLeases *l, const char *name) must_check;

/* Notes what is seen of a lock; to be called every round for each lock that may have to be taken,
 * so that its age is known when it matters. */
void ha_leases_watch(HaLeases *l, const char *name);
/* Milliseconds since the lock was last seen to change; -1: there is none, or not watched yet. */
int64_t ha_leases_age_ms(const HaLeases *l, const char *name);
bool ha_leases_held(const HaLeases *l, const char *name);
/* Held, and the last renewal still counts at this moment. */
bool ha_leases_in_time(const HaLeases *l, const char *name);

/* The caller's decisions that rest on locks taken from others are written down: the locks that
 * were taken (all but `keep`) are given back, so that their nodes can return. */
void ha_leases_settle(HaLeases *l, const char *keep);

/* Removes a lock of this very node that an earlier boot has left; what this process holds is not
 * one. 0: there is none any more. */
int ha_leases_drop_own(HaLeases *l, const char *name) must_check;

#endif
