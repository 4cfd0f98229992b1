/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_loads: what nodes and guests use and may use, from the texts that tell it: the values that all
 * nodes broadcast (the file .rrd: lines `ID:COLUMNS`), what a node told of itself, and the
 * configuration of a guest. Pure; one thread at a time per object. Reference: ha.md 8.2, pmxcfs 13.
 */
#ifndef HA_MANAGER_IO_HA_LOADS_H
#define HA_MANAGER_IO_HA_LOADS_H

#include "ha-manager/core/ha_env.h"
#include "lib/base/jsontree.h"

/* The broadcast values by id. */
typedef struct HaValues HaValues;

/* Lines that are none are passed over; a NUL ends the text. */
HaValues *ha_values_new(const char *text, gsize size);
void ha_values_free(HaValues *v);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaValues, ha_values_free)

/* The last word was that the guest runs. */
bool ha_values_guest_runs(const HaValues *v, const char *sid);

/* Measured loads; NULL: nothing was broadcast, or for a node not even how many CPUs it has. The
 * caller frees (g_free). Unknown columns read as 0. */
HaLoad *ha_values_node_load(const HaValues *v, const char *node);
HaLoad *ha_values_guest_load(const HaValues *v, const char *sid);

/* Size of a node by its `static-info`; NULL when that is no JSON. Caller frees. */
HaLoad *ha_load_of_static_info(const char *text, gsize size);

/* What its configuration allows a guest; all 0 when that cannot be read. Caller frees. */
HaLoad *ha_load_of_config(const char *sid, const char *text, gsize size);

/* Names of the properties that are read for it, back to back, as the IPC request wants them. */
#define HA_LOAD_PROPERTIES   "cores\0sockets\0vcpus\0memory\0cpulimit"
#define HA_LOAD_PROPERTIES_N 5

/* The same by the answer of that request: an object of texts, NULL when none of them is set. */
HaLoad *ha_load_of_properties(const char *sid, const JsonTree *properties);

#endif
