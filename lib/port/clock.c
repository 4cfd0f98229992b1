/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/port/clock.h"

#include <assert.h>
#include <time.h>

MonoTime clock_mono(void)
{
    struct timespec ts;
    int r = clock_gettime(CLOCK_MONOTONIC, &ts);

    assert(r == 0); /* this clock always exists on Linux */
    return (MonoTime){ts.tv_sec * US_PER_SEC + ts.tv_nsec / 1000};
}

MonoTime clock_boot(void)
{
    struct timespec ts;
    int r = clock_gettime(CLOCK_BOOTTIME, &ts);

    assert(r == 0); /* since Linux 2.6.39 */
    return (MonoTime){ts.tv_sec * US_PER_SEC + ts.tv_nsec / 1000};
}

WallTime clock_wall(void)
{
    struct timespec ts;
    int r = clock_gettime(CLOCK_REALTIME, &ts);

    assert(r == 0);
    return (WallTime){ts.tv_sec};
}
