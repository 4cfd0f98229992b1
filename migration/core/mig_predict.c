/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/core/mig_predict.h"

#include "migration/core/mig_limits.h"

#define ROUNDS_MAX     50
#define SLOW_LINK      INT64_C(125000000) /* bytes per second: 1 Gbit/s */
#define MS_PER_S       1000.0
#define CHANNELS_LEAST 2
#define CHANNELS_MOST  8     /* 2 GB/s: what a network has today */
#define FIXED_MS       500.0 /* start of QEMU, mostly, and all that does not grow with the guest */

/* What is left of the promise for QEMU. */
static int64_t most_of(int64_t promise_ms)
{
    int64_t rest = promise_ms - MIG_SWITCH_COST_MS;

    return rest > MIG_DOWNTIME_MIN_MS ? rest : MIG_DOWNTIME_MIN_MS;
}

int64_t mig_downtime_limit(int64_t promise_ms, unsigned pass)
{
    int64_t most = most_of(promise_ms);
    int64_t limit = MIG_DOWNTIME_FIRST_MS;

    while (pass > 1 && limit < most) {
        limit *= 2;
        pass--;
    }
    return limit < most ? limit : most;
}

MigPrediction mig_predict(const MigPredictAsk *ask)
{
    MigPrediction p = {.known = ask->speed > 0};
    double first_ms = (double)mig_downtime_limit(ask->downtime_ms, 1);
    double speed = (double)ask->speed;
    double rest = (double)ask->memory;
    double total_ms;

    if (!p.known) {
        return p;
    }
    total_ms = FIXED_MS + (double)ask->disks / speed * MS_PER_S;
    for (p.rounds = 1; p.rounds < ROUNDS_MAX; p.rounds++) {
        double ms = rest / speed * MS_PER_S;
        double fresh = (double)ask->dirty * ms / MS_PER_S;
        double fresh_ms, limit_ms = (double)mig_downtime_limit(ask->downtime_ms, p.rounds + 1);

        total_ms += ms;
        fresh = fresh < (double)ask->memory ? fresh : (double)ask->memory;
        fresh_ms = fresh / speed * MS_PER_S;
        if (fresh_ms <= limit_ms) {
            /* An idle guest stops as well while something is left, for the first limit. */
            double least_ms = ms < first_ms ? ms : first_ms;

            p.converges = true;
            p.downtime_ms =
                (int64_t)(fresh_ms > least_ms ? fresh_ms : least_ms) + MIG_SWITCH_COST_MS;
            p.total_ms = (int64_t)(total_ms + fresh_ms) + MIG_SWITCH_COST_MS;
            return p;
        }
        if (fresh >= rest && limit_ms >= (double)most_of(ask->downtime_ms)) {
            break; /* each round leaves as much as it took */
        }
        rest = fresh;
    }
    p.total_ms = (int64_t)total_ms;
    return p;
}

bool mig_compression_pays(int64_t link_speed, int64_t limit)
{
    return limit == 0 && link_speed > 0 && link_speed <= SLOW_LINK;
}

unsigned mig_tls_channels(int64_t link_speed, unsigned processors)
{
    int64_t n = (link_speed + MIG_STREAM_TLS - 1) / MIG_STREAM_TLS;
    int64_t most = processors / 2 < CHANNELS_MOST ? processors / 2 : CHANNELS_MOST;

    n = n < most ? n : most;
    return n > CHANNELS_LEAST ? (unsigned)n : CHANNELS_LEAST;
}
