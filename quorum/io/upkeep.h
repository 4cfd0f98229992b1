/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upkeep: looks after this node's membership on a thread of its own: asks at the door when there is
 * no quorum (door.h), and renews the node's certificate before it ends, or makes it: a node in no
 * cluster has an API as well. Members that do not answer take their time, so nobody waits for this
 * thread but upkeep_stop.
 */
#ifndef QUORUM_IO_UPKEEP_H
#define QUORUM_IO_UPKEEP_H

#include "lib/base/tracer.h"
#include "quorum/io/cluster_create.h"

#define UPKEEP_RENEW_SEC (6 * 3600) /* between looks at the certificate */
#define UPKEEP_START_SEC 300        /* until the first one: a node that starts has other work */

typedef struct Upkeep Upkeep;

/* `state_dir`: /var/lib/pve-cluster; strings are copied. */
Upkeep *upkeep_start(
    const char *pve, const char *authkey, const char *state_dir, int renew_sec, Tracer tracer);
void upkeep_stop(Upkeep *u); /* waits for what is under way; NULL is allowed */

#endif
