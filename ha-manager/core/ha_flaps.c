/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/core/ha_flaps.h"

#include <string.h>

void ha_flaps_note(HaFlaps *f, int64_t now_s)
{
    memmove(f->lost, f->lost + 1, (HA_FLAPS_COUNT - 1) * sizeof f->lost[0]);
    f->lost[HA_FLAPS_COUNT - 1] = now_s;
}

int64_t ha_flaps_until(const HaFlaps *f, int64_t now_s)
{
    int64_t first = f->lost[0];
    int64_t last = f->lost[HA_FLAPS_COUNT - 1];

    /* A date in the future is of a clock that was set back since: no reason to wait for it. */
    if (first <= 0 || last < first || last - first > HA_FLAPS_WINDOW_S || last > now_s ||
        now_s - last >= HA_FLAPS_HOLD_S) {
        return 0;
    }
    return last + HA_FLAPS_HOLD_S;
}
