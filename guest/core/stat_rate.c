/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/stat_rate.h"

#include "guest/core/stat_limits.h"

#include <math.h>

#define BACKOFF_SHIFT_MAX 5 /* 2^5 is STAT_BACKOFF_ROUNDS */

_Static_assert(1u << BACKOFF_SHIFT_MAX == STAT_BACKOFF_ROUNDS, "the longest wait");

/* The kernel takes back some of `iowait` now and then. */
static double grown(uint64_t from, uint64_t to)
{
    return to > from ? (double)(to - from) : 0;
}

void stat_rate_node(const StatCpu *from, const StatCpu *to, double *ret_cpu, double *ret_iowait)
{
    double total;
    double idle;
    double iowait;

    *ret_cpu = NAN;
    *ret_iowait = NAN;
    if (to->total <= from->total) {
        return;
    }
    total = grown(from->total, to->total);
    idle = grown(from->idle, to->idle);
    iowait = grown(from->iowait, to->iowait);
    *ret_cpu = CLAMP((total - idle - iowait) / total, 0, 1);
    *ret_iowait = CLAMP(iowait / total, 0, 1);
}

double stat_rate_process(const StatSample *from, const StatSample *to, int64_t cpus, long hz)
{
    int64_t us = mono_diff_us(to->at, from->at);

    if (us <= 0 || cpus <= 0 || hz <= 0 || from->process.start != to->process.start ||
        to->process.used < from->process.used) {
        return NAN;
    }
    return (double)(to->process.used - from->process.used) / (double)hz /
           ((double)us / (double)US_PER_SEC) / (double)cpus;
}

StatSample stat_sample_begin(const StatSample *now, double uptime_s)
{
    int64_t us = uptime_s > 0 && uptime_s < 1e10 ? (int64_t)(uptime_s * (double)US_PER_SEC) : 0;

    return (StatSample){.at = {now->at.us - us}, .process = {0, now->process.start}};
}

MonoTime stat_next_round(MonoTime now, int64_t period_ms, uint64_t draw)
{
    int64_t width = period_ms / STAT_JITTER_PARTS;

    return mono_add_ms(now, period_ms - width / 2 + (int64_t)(draw % (uint64_t)(width + 1)));
}

bool stat_backoff_due(StatBackoff *b)
{
    if (b->wait > 0) {
        b->wait--;
        return false;
    }
    return true;
}

void stat_backoff_note(StatBackoff *b, bool answered)
{
    if (answered) {
        *b = (StatBackoff){0, 0};
        return;
    }
    b->wait = 1u << MIN(b->failures, BACKOFF_SHIFT_MAX);
    b->failures++;
}
