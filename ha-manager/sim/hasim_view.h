/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hasim_view: a simulated cluster as text: nodes, services, the last lines of the log. Pure.
 */
#ifndef HA_MANAGER_SIM_HASIM_VIEW_H
#define HA_MANAGER_SIM_HASIM_VIEW_H

#include "ha-manager/sim/hasim_world.h"

/* The picture, lines ended by newline; caller frees. */
char *hasim_view(const HaSimWorld *w);

#endif
