/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_placement: choosing the node for one service. Reference: ha.md sections 7.2 and 7.3.
 */
#ifndef HA_MANAGER_CORE_HA_PLACEMENT_H
#define HA_MANAGER_CORE_HA_PLACEMENT_H

#include "ha-manager/core/ha_affinity.h"
#include "ha-manager/core/ha_usage.h"

typedef enum HaPreference {
    HA_PREFER_NONE,       /* stay, unless rules say otherwise */
    HA_PREFER_BEST_SCORE, /* the least loaded of the allowed */
    HA_PREFER_TRY_NEXT,   /* starting failed here: the next one that was not tried */
} HaPreference;

typedef struct HaPlacement {
    HaUsage *usage; /* of this round */
    const HaAffinity *affinity;
    const StrMap *services; /* sid -> HaService *: all of HA */
    const StrMap *avoid;    /* set of nodes to use only where nothing else is left; NULL: none */
} HaPlacement;

/* The node, borrowed from the usage; NULL when there is none. `failback` of the service's
 * configuration. A failed scoring is told in `err` (code set) and does not prevent a choice. */
const char *ha_placement_select(const HaPlacement *p,
                                const char *sid,
                                const HaService *s,
                                bool failback,
                                HaPreference preference,
                                Err *err);

/* Nodes a running service could be moved to by rules alone: node indexes, ascending, without the
 * one it is on; caller unrefs (GArray of int). */
GArray *ha_placement_targets(const HaPlacement *p, const char *sid, const HaService *s);

#endif
