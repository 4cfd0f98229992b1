/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_timing: every duration of the HA stack in one table, and the inequality that makes failover
 * safe, computed from the table and asserted. Reference: ha.md sections 3 and 14.1.
 *
 * Times of one node, all on its monotonic clock; t0 is read *before* a lease is renewed:
 *
 *   t0                 renewal is asked for; the watchdog is fed "as of t0", never as of later
 *   t0 + client        the multiplexer gives this client up, seen within mux_tick
 *   ... + device       the device fires after its last feeding; a multiplexer that was paused may
 *                      have fed it once more, up to `device` late: hence twice
 *   = t0 + reset       the machine is reset at the latest
 *
 * Another node may take the lease `lease` after it saw the renewal, on its own clock. With both
 * clocks off by at most drift_ppm in opposite directions, the rest is the margin:
 *
 *   lease * (1 - drift) - reset * (1 + drift)  >=  margin
 *
 * Guests before hosts: a node that could not renew until t0 + giveup stops its guests in what is
 * left until t0 + client, and closes its watchdog. While a member is being missed, corosync holds
 * every write up, on healthy nodes too: a renewal that is asked for at t0 + round must still come
 * through before t0 + giveup (ha_timing_detect_max_ms).
 *
 * The documented values (profile `compatible`) are used whenever a foreign member is present, since
 * both sides of a lease must agree on its length.
 */
#ifndef HA_MANAGER_CORE_HA_TIMING_H
#define HA_MANAGER_CORE_HA_TIMING_H

#include <stdbool.h>
#include <stdint.h>

typedef struct HaTiming {
    const char *name;

    /* Safety: see above. All in milliseconds. */
    int64_t lease_ms;    /* life of a lease after its last renewal */
    int64_t client_ms;   /* silence after which the multiplexer gives a client up */
    int64_t giveup_ms;   /* time without a renewal after which guests are stopped */
    int64_t mux_tick_ms; /* how often the multiplexer looks */
    int64_t device_ms;   /* timeout of the watchdog device */
    int64_t margin_ms;   /* what must be left over */
    int64_t drift_ppm;   /* error of either clock */

    /* Rounds. */
    int64_t crm_round_ms;             /* master */
    int64_t crm_wait_ms;              /* waiting for quorum */
    int64_t lrm_round_ms;             /* active: also the renewal interval */
    int64_t lrm_maintenance_round_ms; /* in maintenance */
    int64_t lrm_wait_ms;              /* waiting for, or having lost, the agent lock */
    int64_t lock_pause_ms;            /* between two attempts at a lock in one round */
    unsigned lock_tries;              /* attempts at a lock in one round */
    int64_t client_warn_ms;           /* multiplexer warns about a silent client */

    /* Patience. */
    int64_t fence_delay_ms;     /* node not seen online before its services count as lost */
    int64_t gone_ms;            /* a former member is forgotten */
    int64_t restart_giveup_ms;  /* LRM with lost lock and restart request */
    int64_t move_wait_ms;       /* a move for the lease of its target, before it fails; a node that
                                   goes down for what is on its way to it */
    int64_t confirmed_delay_ms; /* node not seen online before fence agents are started */
    unsigned lrm_idle_rounds;   /* rounds without service before the agent lock is released */
    unsigned crm_idle_rounds;   /* rounds without any service before the manager lock is released */
    unsigned groups_first_round;  /* round of a master in which groups are first migrated */
    unsigned groups_retry_rounds; /* rounds between attempts */

    /* Promise kept by the sum of the above, checked in the simulation. */
    int64_t failover_max_ms; /* power loss to start elsewhere, by watchdog and lease alone */
} HaTiming;

extern const HaTiming ha_timing_compatible;
extern const HaTiming ha_timing_fast;

/* All profiles, NULL terminated. */
extern const HaTiming *const ha_timing_profiles[];

/* By name; NULL when unknown. */
const HaTiming *ha_timing_by_name(const char *name);

/* Longest time from t0 to the reset of the machine, on the node's own clock. */
int64_t ha_timing_reset_ms(const HaTiming *t);

/* What the inequality leaves: time between the latest reset and the earliest takeover. */
int64_t ha_timing_slack_ms(const HaTiming *t);

/* Longest time a renewal may take so that feeding the watchdog afterwards still makes sense. */
int64_t ha_timing_feed_window_ms(const HaTiming *t);

/* Longest time the cluster may take to notice the loss of a member without costing a healthy node
 * its lease: where corosync takes longer, the profile does not fit. */
int64_t ha_timing_detect_max_ms(const HaTiming *t);

/* True when the inequality and the sanity relations between the values hold. Programs assert it. */
bool ha_timing_is_safe(const HaTiming *t);

#endif
