/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_whatif: what would become of the services if nodes failed now: the manager itself (the same
 * code as in pve-ha-crm), run on a copy of the live state with those nodes gone. Changes nothing.
 */
#ifndef HA_MANAGER_IO_HA_WHATIF_H
#define HA_MANAGER_IO_HA_WHATIF_H

#include "ha-manager/core/ha_manager_status.h"
#include "ha-manager/io/ha_cluster.h"

typedef struct HaWhatif {
    HaManagerStatus *before;
    HaManagerStatus *after;
    GPtrArray *log;   /* char *: what the master would say */
    GPtrArray *stuck; /* char *: services that no node could take */
    GPtrArray *full; /* char *: nodes whose guests would want more memory than there is, in words */
} HaWhatif;

/* `failed`: set of node names. -EINVAL when nobody would be left, or without quorum. */
int ha_whatif_run(HaCluster *c, const StrMap *failed, HaWhatif **ret, Err *err) must_check;
void ha_whatif_free(HaWhatif *w);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaWhatif, ha_whatif_free)

/* Can the rest carry the loss of any one node? *ret_why: NULL, or which loss it could not, and why.
 */
int ha_whatif_spare(HaCluster *c, char **ret_why, Err *err) must_check;

#endif
