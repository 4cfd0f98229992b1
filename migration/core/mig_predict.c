/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/core/mig_predict.h"

#include "migration/core/mig_limits.h"

#define ROUNDS_MAX 50
#define SLOW_LINK  INT64_C(125000000) /* bytes per second: 1 Gbit/s */
#define MS_PER_S   1000.0

MigPrediction mig_predict(const MigPredictAsk *ask)
{
    MigPrediction p = {.known = ask->speed > 0};
    double limit_ms = (double)(ask->downtime_ms > MIG_SWITCH_COST_MS + MIG_DOWNTIME_MIN_MS
                                   ? ask->downtime_ms - MIG_SWITCH_COST_MS
                                   : MIG_DOWNTIME_MIN_MS);
    double speed = (double)ask->speed;
    double rest = (double)ask->memory;
    double total_ms;

    if (!p.known) {
        return p;
    }
    total_ms = (double)ask->disks / speed * MS_PER_S;
    for (p.rounds = 1; p.rounds < ROUNDS_MAX; p.rounds++) {
        double ms = rest / speed * MS_PER_S;
        double fresh = (double)ask->dirty * ms / MS_PER_S;

        total_ms += ms;
        fresh = fresh < (double)ask->memory ? fresh : (double)ask->memory;
        if (fresh / speed * MS_PER_S <= limit_ms) {
            double stop_ms = fresh / speed * MS_PER_S + MIG_SWITCH_COST_MS;

            p.converges = true;
            p.downtime_ms = (int64_t)stop_ms;
            p.total_ms = (int64_t)(total_ms + stop_ms);
            return p;
        }
        if (fresh >= rest) {
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
