/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_daemon: what pve-ha-crm and pve-ha-lrm share: the commands start, stop and status, signals,
 * and a loop that runs rounds, sooner than planned when something they care for changes in the
 * tree. One thread.
 */
#ifndef HA_MANAGER_IO_HA_DAEMON_H
#define HA_MANAGER_IO_HA_DAEMON_H

#include "ha-manager/core/ha_crm.h"
#include "ha-manager/core/ha_env.h"
#include "lib/cfs/watch.h"

#include <stdbool.h>

typedef struct HaDaemon {
    const char *name; /* of the program, as in the log and of its pid file */
    const char *summary;
    unsigned stop_s; /* `stop` waits that long */
    /* Begins the work, in the process that stays; NULL and the reason when it cannot. */
    void *(*begin)(const char *node, Err *err);
    HaNext (*round)(void *self, HaNow now);
    void (*shutdown)(void *self, HaNow now);
    void (*child_ended)(void *self, HaNow now);               /* between rounds */
    bool (*cares)(const void *self, const CfsChange *change); /* the next round shall be now */
    void (*end)(void *self);
} HaDaemon;

/* All of `main`: its exit status. 0, 1 it could not be done, 2 wrong words, 3 (`status`) it is
 * dead. */
int ha_daemon_main(const HaDaemon *d, int argc, char **argv);

/* Time of a round that begins now. */
HaNow ha_daemon_now(void);

#endif
