/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_affinity: rules compiled into answers per service: which nodes it may use and prefers, which
 * services belong with it, which must stay away. Reference: ha.md section 7.1. Immutable once made.
 */
#ifndef HA_MANAGER_CORE_HA_AFFINITY_H
#define HA_MANAGER_CORE_HA_AFFINITY_H

#include "ha-manager/core/ha_rules.h"
#include "lib/base/err.h"
#include "lib/base/strmap.h"

#include <json-glib/json-glib.h>

typedef struct HaAffinity HaAffinity;

/* `nodes`: all known nodes (a StrMap as set). NULL `rules` gives the empty answer. -EFBIG when the
 * rules relate more services than HA_RELATIONS_MAX. */
int ha_affinity_compile(const HaRules *rules,
                        const StrMap *nodes,
                        HaAffinity **ret_affinity,
                        Err *err) must_check;
HaAffinity *ha_affinity_new_empty(void);
void ha_affinity_free(HaAffinity *a);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaAffinity, ha_affinity_free)

/* node -> GINT_TO_POINTER(priority) for the nodes the service may use; NULL: any node. Borrowed. */
const StrMap *ha_affinity_nodes(const HaAffinity *a, const char *sid);

/* The related services as const char *, ascending; never NULL. Borrowed. */
const GPtrArray *ha_affinity_together(const HaAffinity *a, const char *sid);
const GPtrArray *ha_affinity_apart(const HaAffinity *a, const char *sid);

/* As documented for --check-rules; caller frees (json_node_unref). */
JsonNode *ha_affinity_to_json(const HaAffinity *a);

#endif
