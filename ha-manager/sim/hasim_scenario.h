/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hasim_scenario: reading a scenario directory into a world. Reference: ha-scenarios.md section 1.
 * Reads only, and nothing but the input files named there.
 */
#ifndef HA_MANAGER_SIM_HASIM_SCENARIO_H
#define HA_MANAGER_SIM_HASIM_SCENARIO_H

#include "ha-manager/sim/hasim_world.h"

/* *ret_lists: GPtrArray of GStrv, caller unrefs; may be NULL when commands are not wanted. Errors
 * name the file. */
int hasim_scenario_load(HaSimWorld *w, const char *dir, GPtrArray **ret_lists, Err *err) must_check;

#endif
