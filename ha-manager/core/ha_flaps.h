/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_flaps: quarantine of nodes that come and go. A node that was lost HA_FLAPS_COUNT times within
 * HA_FLAPS_WINDOW_S gets no service any more until HA_FLAPS_HOLD_S have passed since it was lost
 * last: each return would only bring its services the next interruption. What runs there may stay,
 * and where no other node is left it counts like any other.
 *
 * Dates, not monotonic time: they outlive the master that noted them, and nothing but convenience
 * rests on them. Plain data.
 */
#ifndef HA_MANAGER_CORE_HA_FLAPS_H
#define HA_MANAGER_CORE_HA_FLAPS_H

#include <stdbool.h>
#include <stdint.h>

#define HA_FLAPS_COUNT    3
#define HA_FLAPS_WINDOW_S 1800
#define HA_FLAPS_HOLD_S   1800

typedef struct HaFlaps {
    int64_t lost[HA_FLAPS_COUNT]; /* Unix seconds, the latest last; 0: none */
} HaFlaps;

/* The node was lost now. Wall time in seconds, as the status file has it. */
void ha_flaps_note(HaFlaps *f, int64_t now_s);

/* Until when it is in quarantine; 0: it is not. */
int64_t ha_flaps_until(const HaFlaps *f, int64_t now_s);

#endif
