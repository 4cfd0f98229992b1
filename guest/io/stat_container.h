/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat_container: what the kernel tells of a container by its cgroup of version 2. Containers are
 * nothing that this node starts; those that others run on it are told like all guests. Main thread.
 */
#ifndef GUEST_IO_STAT_CONTAINER_H
#define GUEST_IO_STAT_CONTAINER_H

#include "guest/core/stat_line.h"
#include "guest/core/stat_rate.h"

#include <stdbool.h>
#include <stdint.h>

/* Where containers have their groups below the root of cgroups, and what watches them has its. */
#define STAT_CONTAINER_GROUP   "lxc"
#define STAT_CONTAINER_MONITOR "lxc.monitor"

#define STAT_CONTAINER_HZ 1000000 /* of StatSample.process.used: microseconds */

typedef struct StatContainer {
    StatSample sample; /* process.start tells one run from another */
    int64_t mem;
    int64_t disk_read, disk_written;
    int64_t monitor; /* pid of the process that watches it, STAT_UNKNOWN: none is found */
    StatPressure pressure;
} StatContainer;

/* False: no process of it runs. `root` is the root of cgroups. */
bool stat_container_read(const char *root, uint32_t vmid, StatContainer *ret);

#endif
