/* SPDX-License-Identifier: Apache-2.0 */
/*
 * print_timing PROFILE UNIT_MS: the numbers of a timing profile for the model of the fence
 * protocol, as options of the C preprocessor, in whole units: those that must be long are rounded
 * down, with the drift of both clocks taken off, those that must be short are rounded up.
 */
#include "ha-manager/core/ha_timing.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

static int64_t up(int64_t ms, int64_t unit)
{
    return (ms + unit - 1) / unit;
}

int main(int argc, char **argv)
{
    const HaTiming *t = argc == 3 ? ha_timing_by_name(argv[1]) : NULL;
    gint64 unit = 0;
    int64_t reset, drift;

    if (t == NULL || !g_ascii_string_to_signed(argv[2], 10, 1, G_MAXINT32, &unit, NULL)) {
        fprintf(stderr, "usage: print_timing PROFILE UNIT_MS\n");
        return EXIT_FAILURE;
    }
    reset = ha_timing_reset_ms(t);
    drift = up((t->lease_ms + reset) * t->drift_ppm, 1000000);
    printf("-DLEASE=%d -DCLIENT=%d -DMUX_TICK=%d -DDEVICE=%d -DWINDOW=%d\n",
           (int)((t->lease_ms - drift) / unit), (int)up(t->client_ms, unit),
           (int)up(t->mux_tick_ms, unit), (int)up(t->device_ms, unit),
           (int)up(ha_timing_feed_window_ms(t), unit));
    return EXIT_SUCCESS;
}
