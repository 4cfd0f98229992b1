/* SPDX-License-Identifier: Apache-2.0 */
/* container_size: how much of a host its configuration allows a container. Pure. Reference:
 * guest.md 25, ha.md 8.2. */
#ifndef GUEST_CORE_CONTAINER_SIZE_H
#define GUEST_CORE_CONTAINER_SIZE_H

#include "guest/core/guest_size.h"
#include "lib/conf/vmconf.h"

/* `host_cpus` are those of one without a limit. A limit of a part of a processor counts as one; a
 * disk is the root file system, when it says its size. */
GuestSize container_size(const VmSection *conf, int64_t host_cpus);

#endif
