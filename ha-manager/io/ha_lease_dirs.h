/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_lease_dirs: the folder of locks as it is on a node: directories in priv/lock of the mounted
 * tree, changed with patience (ha_patience.h). See ha_leases.h, which uses it.
 *
 * While the tree is not mounted, or its process is gone, nothing can be told: a change is
 * -ENOTCONN, and a look gives the same lock as last time in a form that it never had before. So
 * what is held stays held until its lease is over, and nothing is taken.
 */
#ifndef HA_MANAGER_IO_HA_LEASE_DIRS_H
#define HA_MANAGER_IO_HA_LEASE_DIRS_H

#include "ha-manager/io/ha_leases.h"

typedef struct HaLeaseDirs HaLeaseDirs;

/* Takes `pve`, `patience`, `until` and `ctx` of the options. */
HaLeaseDirs *ha_lease_dirs_new(const HaLeasesOptions *options);
void ha_lease_dirs_free(HaLeaseDirs *d); /* NULL is allowed */

/* Its calls; their ctx is a HaLeaseDirs. */
extern const HaLeasesFolder ha_lease_dirs;

#endif
