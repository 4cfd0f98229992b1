/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_lease: a lease together with the watchdog that enforces it, as CRM and LRM use it: renew
 * first, then feed, and feed only as of the moment before the renewal. Reference: ha.md sections 4,
 * 13, 14.1.
 *
 * A process that is paused between renewing and feeding must not outlive its lease: the feeding
 * counts from before the renewal, so that however long the pause, the reset comes before the lease
 * is over (INV-6).
 */
#ifndef HA_MANAGER_CORE_HA_LEASE_H
#define HA_MANAGER_CORE_HA_LEASE_H

#include "ha-manager/core/ha_env.h"

#include <stdbool.h>

typedef struct HaLease {
    const HaEnv *env;
    char *name;
    bool held;     /* taken, and not given back since; it may have run out meanwhile */
    bool watchdog; /* ours is open */
    MonoTime fed;  /* as of then, while it is open */
} HaLease;

void ha_lease_init(HaLease *l, const HaEnv *env, char *name_taken);
void ha_lease_done(HaLease *l);

/* Takes or renews the lease, in several attempts if need be: with guests first, one that is guarded
 * until what is left is needed for stopping guests (HaTiming.giveup_ms). With `guard` it then feeds
 * the watchdog, opening it first where needed. True when the lease is held and, with `guard`,
 * guarded.
 */
bool ha_lease_hold(HaLease *l, bool guard);

/* Takes or renews the lease only; *ret_since is the moment from which it counts. */
bool ha_lease_take(HaLease *l, MonoTime *ret_since);

/* Feeds the watchdog as of `since`, opening it first where needed. False when that failed or took
 * so long that the lease may be over: then nothing may be started (tests/model/ha_lease.pml, defect
 * CHECK_BEFORE_FEED). */
bool ha_lease_guard(HaLease *l, MonoTime since);

/* Closes the watchdog, if open: from here on nothing resets this node for our sake. */
void ha_lease_close_watchdog(HaLease *l);

/* Gives the lease back, if it was taken. 0 or an error; then it runs out by itself. */
int ha_lease_release(HaLease *l) must_check;

#endif
