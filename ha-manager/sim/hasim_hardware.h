/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hasim_hardware: the main loop of a simulated cluster: every daemon in turn, watchdogs, commands
 * by schedule. Reference: ha-scenarios.md section 2.
 */
#ifndef HA_MANAGER_SIM_HASIM_HARDWARE_H
#define HA_MANAGER_SIM_HASIM_HARDWARE_H

#include "ha-manager/sim/hasim_command.h"
#include "ha-manager/sim/hasim_world.h"

/* One loop: every daemon once, then the clock goes on. Errors come from commands it runs itself. */
int hasim_hardware_loop(HaSimWorld *w, HaSimSchedule *sched, Err *err) must_check;

/* Runs `lists` (GPtrArray of GStrv) as a scenario, to its end. -ETIME when it does not end. */
int hasim_hardware_run(HaSimWorld *w, const GPtrArray *lists, Err *err) must_check;

#endif
