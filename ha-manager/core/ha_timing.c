/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_timing.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define PPM INT64_C(1000000)

/* The documented values: every one of them is known to foreign members. */
#define COMPATIBLE_LEASE  INT64_C(120000)
#define COMPATIBLE_CLIENT INT64_C(60000)
#define COMPATIBLE_TICK   INT64_C(1000)
#define COMPATIBLE_DEVICE INT64_C(10000)
#define COMPATIBLE_MARGIN INT64_C(20000)

/* Short leases for clusters of Quorate nodes. */
#define FAST_LEASE  INT64_C(18900)
#define FAST_CLIENT INT64_C(8000)
#define FAST_TICK   INT64_C(500)
#define FAST_DEVICE INT64_C(4000)
#define FAST_MARGIN INT64_C(2000)

#define DRIFT_PPM INT64_C(500) /* ten times what a bad crystal does */

/* The inequality of the header in whole milliseconds, rounded against us. */
#define RESET(client, tick, device) ((client) + (tick) + 2 * (device))
#define DRIFT(ms)                   (((ms)*DRIFT_PPM + PPM - 1) / PPM)
#define SLACK(lease, reset)         ((lease)-DRIFT(lease) - (reset)-DRIFT(reset))

_Static_assert(SLACK(COMPATIBLE_LEASE,
                     RESET(COMPATIBLE_CLIENT, COMPATIBLE_TICK, COMPATIBLE_DEVICE)) >=
                   COMPATIBLE_MARGIN,
               "compatible profile: a lease must outlive the slowest reset by the margin");
_Static_assert(SLACK(FAST_LEASE, RESET(FAST_CLIENT, FAST_TICK, FAST_DEVICE)) >= FAST_MARGIN,
               "fast profile: a lease must outlive the slowest reset by the margin");

const HaTiming ha_timing_compatible = {
    .name = "compatible",
    .lease_ms = COMPATIBLE_LEASE,
    .client_ms = COMPATIBLE_CLIENT,
    .giveup_ms = 50000,
    .mux_tick_ms = COMPATIBLE_TICK,
    .device_ms = COMPATIBLE_DEVICE,
    .margin_ms = COMPATIBLE_MARGIN,
    .drift_ppm = DRIFT_PPM,
    .crm_round_ms = 10000,
    .crm_wait_ms = 5000,
    .lrm_round_ms = 10000,
    .lrm_maintenance_round_ms = 5000,
    .lrm_wait_ms = 5000,
    .lock_pause_ms = 1000,
    .lock_tries = 6,
    .client_warn_ms = 50000,
    .fence_delay_ms = 60000,
    .gone_ms = 3600000,
    .restart_giveup_ms = 90000,
    .move_wait_ms = 60000,
    .confirmed_delay_ms = 10000,
    .lrm_idle_rounds = 60,
    .crm_idle_rounds = 90,
    .groups_first_round = 3,
    .groups_retry_rounds = 6,
    .failover_max_ms = 151000,
};

const HaTiming ha_timing_fast = {
    .name = "fast",
    .lease_ms = FAST_LEASE,
    .client_ms = FAST_CLIENT,
    .giveup_ms = 6000,
    .mux_tick_ms = FAST_TICK,
    .device_ms = FAST_DEVICE,
    .margin_ms = FAST_MARGIN,
    .drift_ppm = DRIFT_PPM,
    .crm_round_ms = 2000,
    .crm_wait_ms = 1000,
    .lrm_round_ms = 2000,
    .lrm_maintenance_round_ms = 2000,
    .lrm_wait_ms = 1000,
    .lock_pause_ms = 250,
    .lock_tries = 4,
    .client_warn_ms = 6000,
    .fence_delay_ms = 8000,
    .gone_ms = 3600000,
    .restart_giveup_ms = 30000,
    .move_wait_ms = 60000,
    .confirmed_delay_ms = 1000,
    .lrm_idle_rounds = 300,
    .crm_idle_rounds = 450,
    .groups_first_round = 3,
    .groups_retry_rounds = 30,
    .failover_max_ms = 25000,
};

const HaTiming *const ha_timing_profiles[] = {&ha_timing_compatible, &ha_timing_fast, NULL};

const HaTiming *ha_timing_by_name(const char *name)
{
    for (size_t i = 0; ha_timing_profiles[i] != NULL; i++) {
        if (strcmp(ha_timing_profiles[i]->name, name) == 0) {
            return ha_timing_profiles[i];
        }
    }
    return NULL;
}

int64_t ha_timing_reset_ms(const HaTiming *t)
{
    return RESET(t->client_ms, t->mux_tick_ms, t->device_ms);
}

static int64_t drift_ms(const HaTiming *t, int64_t ms)
{
    return (ms * t->drift_ppm + PPM - 1) / PPM;
}

int64_t ha_timing_slack_ms(const HaTiming *t)
{
    int64_t reset = ha_timing_reset_ms(t);

    return t->lease_ms - drift_ms(t, t->lease_ms) - reset - drift_ms(t, reset);
}

int64_t ha_timing_feed_window_ms(const HaTiming *t)
{
    /* Feeding counts from t0, so a late one is harmless; but one that starts with most of its time
     * gone would only bring a surprising reset in the middle of the next round. */
    return t->client_ms / 2;
}

int64_t ha_timing_detect_max_ms(const HaTiming *t)
{
    return t->giveup_ms - t->lrm_round_ms - 2 * t->lock_pause_ms;
}

bool ha_timing_is_safe(const HaTiming *t)
{
    return t->lease_ms > 0 && t->client_ms > 0 && t->mux_tick_ms > 0 && t->device_ms > 0 &&
           ha_timing_slack_ms(t) >= t->margin_ms &&
           /* a healthy node must not be reset: one missed round is no reason */
           t->client_ms > 2 * t->lrm_round_ms + t->lock_tries * t->lock_pause_ms &&
           t->client_ms > 2 * t->crm_round_ms + t->lock_tries * t->lock_pause_ms &&
           ha_timing_detect_max_ms(t) > 0 &&
           t->giveup_ms < t->client_ms && /* the rest is for stopping guests */
           t->client_warn_ms < t->client_ms && t->lrm_round_ms < t->lease_ms &&
           /* worst case: all of the lease, one round to take it, one to notice the service */
           t->lease_ms + drift_ms(t, t->lease_ms) + 2 * t->crm_round_ms + t->lrm_round_ms <=
               t->failover_max_ms;
}
