/* SPDX-License-Identifier: Apache-2.0 */
/* stat_limits: every waiting time and bound of the status daemon, with its reason. */
#ifndef GUEST_CORE_STAT_LIMITS_H
#define GUEST_CORE_STAT_LIMITS_H

#include <stdint.h>

#define STAT_PERIOD_MS     10000 /* reference api, chapter 11; less than what an RRD bin holds */
#define STAT_PERIOD_MIN_MS 500   /* asked for by tests and labs */
#define STAT_JITTER_PARTS  10   /* a period is longer or shorter by half of a tenth: nodes spread */
#define STAT_FIRST_MS      1000 /* from the first look at the counters to the first values */
#define STAT_RETRY_MS      2000 /* while the cluster filesystem does not answer */
#define STAT_IPC_MS        2000 /* of one call to it */

#define STAT_MONITOR_MS      500  /* a monitor that takes longer is left: others want it, too */
#define STAT_MONITOR_BUSY    16   /* monitors that are asked at the same time */
#define STAT_GATHER_TICK_MS  50   /* how often a round looks whether all have answered */
#define STAT_GATHER_MS       2000 /* then a round goes on with what there is */
#define STAT_BACKOFF_ROUNDS  32   /* a monitor that is silent is asked 1, 2, 4 ... rounds later */
#define STAT_VALUE_ROUNDS    3    /* an answer of a monitor or a storage is told that long */
#define STAT_CONF_ROUNDS     60   /* a configuration is read again though nobody says it changed */
#define STAT_BALLOON_SECONDS 10   /* how often a guest tells its QEMU how much memory is free */
#define STAT_STORAGES_MAX    256  /* storages of one node */
#define STAT_GUESTS_MAX      5000 /* guests of one node; the machine ends long before */
#define STAT_CONFS_AT_ONCE   500  /* configurations read in one round; the rest in the next ones */
#define STAT_FILE_MAX        (1024u * 1024u) /* bytes of a file of /proc: net/dev with 5000 taps */
#define STAT_CONF_MAX        (1024u * 1024u) /* bytes of a configuration: a file of the tree */
#define STAT_NAME_MAX        255             /* bytes of a guest's name: longer ones are cut */

#endif
