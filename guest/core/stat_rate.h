/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat_rate: shares of processor time from two looks at counters, and when to look again. Pure:
 * time comes in. A counter that goes back (another process, a kernel that corrects itself) gives no
 * rate, never a negative or a huge one. Only monotonic time is used: a step of the date changes
 * nothing.
 */
#ifndef GUEST_CORE_STAT_RATE_H
#define GUEST_CORE_STAT_RATE_H

#include "guest/core/stat_text.h"
#include "lib/base/timeval.h"

/* Shares of all processors of the machine between two looks, 0 to 1; NAN when they cannot tell. */
void stat_rate_node(const StatCpu *from, const StatCpu *to, double *ret_cpu, double *ret_iowait);

/* One look at a process. */
typedef struct StatSample {
    MonoTime at;
    StatProcess process;
} StatSample;

/* Share of `cpus` processors that the process used between two looks. A QEMU has threads of its
 * own beside those of the guest: it may be more than 1. NAN: another process, or no time between
 * them. `hz`: ticks of a second. */
double stat_rate_process(const StatSample *from, const StatSample *to, int64_t cpus, long hz);

/* A look at the process as it was when it began: for the first rate of one that is new. */
StatSample stat_sample_begin(const StatSample *now, double uptime_s);

/* When the next round begins. `draw` is any random number: nodes that start together part. */
MonoTime stat_next_round(MonoTime now, int64_t period_ms, uint64_t draw);

/* A monitor that does not answer is asked less and less often. */
typedef struct StatBackoff {
    unsigned failures;
    unsigned wait; /* rounds to be left out */
} StatBackoff;

/* Once in each round: is it asked in this one? */
bool stat_backoff_due(StatBackoff *b);
void stat_backoff_note(StatBackoff *b, bool answered);

#endif
