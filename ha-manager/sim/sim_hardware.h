/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_hardware: the main loop of a simulated cluster: every daemon in turn, watchdogs, commands by
 * schedule. Reference: ha-scenarios.md section 2.
 */
#ifndef HA_MANAGER_SIM_SIM_HARDWARE_H
#define HA_MANAGER_SIM_SIM_HARDWARE_H

#include "ha-manager/sim/sim_command.h"
#include "ha-manager/sim/sim_world.h"

/* One loop: every daemon once, then the clock goes on. Errors come from commands it runs itself. */
int sim_hardware_loop(SimWorld *w, SimSchedule *sched, Err *err) must_check;

/* Runs `lists` (GPtrArray of GStrv) as a scenario, to its end. -ETIME when it does not end. */
int sim_hardware_run(SimWorld *w, const GPtrArray *lists, Err *err) must_check;

#endif
