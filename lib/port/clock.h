/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock: the one place that reads clocks. Cores get the values as parameters. Any thread.
 */
#ifndef LIB_PORT_CLOCK_H
#define LIB_PORT_CLOCK_H

#include "lib/base/timeval.h"

/* Never steps, stands still while the machine is suspended. */
MonoTime clock_mono(void);

/* The same, but it also runs while the machine is suspended: for leases and watchdogs, whose other
 * side does not sleep. Another zero than clock_mono. */
MonoTime clock_boot(void);

/* Unix time; only to be stored, sent or shown. */
WallTime clock_wall(void);

#endif
