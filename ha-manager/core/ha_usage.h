/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_usage: how much the online nodes carry, and what it would mean to put a service on one.
 * Reference: ha.md section 8. Rebuilt for every round of the manager; kept current within a round
 * as services change state.
 *
 * Nodes are addressed by index, in order of their names.
 */
#ifndef HA_MANAGER_CORE_HA_USAGE_H
#define HA_MANAGER_CORE_HA_USAGE_H

#include "ha-manager/core/ha_env.h"
#include "ha-manager/core/ha_service.h"
#include "ha-manager/core/ha_topsis.h"
#include "lib/base/err.h"
#include "lib/base/strmap.h"

typedef struct HaUsage HaUsage;

/* `online`: the nodes, a StrMap as set. `loads` may be NULL for basic; its content is taken over.
 * -ENODATA when the mode needs numbers of a node that are not there. */
int ha_usage_new(HaScheduler mode,
                 const StrMap *online,
                 HaLoads *loads,
                 HaUsage **ret_usage,
                 Err *err) must_check;
void ha_usage_free(HaUsage *u);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaUsage, ha_usage_free)

/* How load is counted; how many nodes are online; name of one (`i` below their number),
 * borrowed. */
HaScheduler ha_usage_mode(const HaUsage *u);
guint ha_usage_n_nodes(const HaUsage *u);
const char *ha_usage_node(const HaUsage *u, guint i);
/* Index of an online node; -1 for any other name, also NULL. */
int ha_usage_index(const HaUsage *u, const char *node);

/* The nodes a service of HA uses, by its state; -1: none. Only online nodes count. */
void ha_usage_nodes_of(const HaUsage *u, const HaService *s, int *ret_current, int *ret_target);

/* Adds a service of HA, replacing what was known of it; it may use no node at all. */
void ha_usage_add_service(HaUsage *u, const char *sid, const HaService *s);
/* Adds a guest outside HA that runs on `node`. */
void ha_usage_add_guest(HaUsage *u, const char *sid, const char *node);

/* What it would cost to start the service on each node; lower is better. `ret_scores` has room for
 * all nodes. -ENODATA when the load of the service is not known: all scores are then equal. */
int ha_usage_score(HaUsage *u, const char *sid, double *ret_scores, Err *err);

/* Loads as they count for balancing, one per node; borrowed, valid until the next change. */
const HaNodeUse *ha_usage_balance_view(HaUsage *u);

/* What a running service uses, for balancing; false when that is not known. */
bool ha_usage_running_load(const HaUsage *u, const char *sid, double *ret_cpu, double *ret_mem);

#endif
