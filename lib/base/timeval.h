/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timeval: two kinds of time that cannot be mixed up.
 *
 * MonoTime counts from an arbitrary point, never steps, and is the only time used for durations,
 * deadlines and ages. WallTime is data: something to store, send or show. Cores receive both from
 * outside; lib/port/clock reads them. All functions are pure.
 */
#ifndef LIB_BASE_TIMEVAL_H
#define LIB_BASE_TIMEVAL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct MonoTime {
    int64_t us; /* microseconds */
} MonoTime;

typedef struct WallTime {
    int64_t sec; /* Unix seconds */
} WallTime;

#define US_PER_MS  INT64_C(1000)
#define US_PER_SEC INT64_C(1000000)

static inline MonoTime mono_add_ms(MonoTime t, int64_t ms)
{
    return (MonoTime){t.us + ms * US_PER_MS};
}

static inline MonoTime mono_add_sec(MonoTime t, int64_t sec)
{
    return (MonoTime){t.us + sec * US_PER_SEC};
}

/* Microseconds from `from` to `to`; negative when `to` is earlier. */
static inline int64_t mono_diff_us(MonoTime to, MonoTime from)
{
    return to.us - from.us;
}

static inline bool mono_before(MonoTime a, MonoTime b)
{
    return a.us < b.us;
}

static inline MonoTime mono_min(MonoTime a, MonoTime b)
{
    return a.us < b.us ? a : b;
}

/* The far future: a timer that never fires. */
#define MONO_NEVER ((MonoTime){INT64_MAX})

/* Unix seconds as the 32 bit field of the wire and disk formats (modulo 2^32). */
static inline uint32_t wall_u32(WallTime t)
{
    return (uint32_t)(uint64_t)t.sec;
}

#endif
