/* SPDX-License-Identifier: Apache-2.0 */
/*
 * group_cpg: one membership in a corosync process group, as group.h events on a GMainContext.
 * Knows nothing of what the messages mean. Reference: pmxcfs chapter 8.1.
 *
 * Everything on the thread that runs the context. Calls never emit an event before they return:
 * events come from the loop, so an event handler may call anything but group_cpg_free.
 */
#ifndef PMXCFS_IO_GROUP_CPG_H
#define PMXCFS_IO_GROUP_CPG_H

#include "lib/base/timeval.h"
#include "lib/base/tracer.h"
#include "pmxcfs/core/group.h"

#include <glib.h>

#define GROUP_CPG_SEND_MS      10000 /* a message that corosync takes no sooner is refused */
#define GROUP_CPG_JOIN_MS      10000 /* the same for joining; then the connection is given up */
#define GROUP_CPG_RETRY_MS     20    /* between two tries, growing to ... */
#define GROUP_CPG_RETRY_MAX_MS 100
#define GROUP_CPG_BATCH        128 /* messages handed up before other sources get a turn */

typedef struct GroupCpg GroupCpg;

typedef struct GroupCpgEvents {
    void (*event)(void *ctx, const GroupEvent *ev);
    void *ctx;
} GroupCpgEvents;

/* `name`: of the group, static; sent with its NUL, as the documented protocol does. */
GroupCpg *group_cpg_new(GMainContext *context,
                        const char *name,
                        const GroupCpgEvents *events,
                        const Tracer *tracer);

/* Connects when not connected, and joins, both not before `at`; GROUP_EV_CONNECTED and the first
 * GROUP_EV_VIEW tell of it, GROUP_EV_DISCONNECTED when it did not work. Replaces an earlier call.
 */
void group_cpg_join(GroupCpg *c, MonoTime at);

/* Leaves, closes the connection, forgets what was not sent and a join that is on its way. No event
 * comes any more until the next join. */
void group_cpg_leave(GroupCpg *c);

/* Queues a message (own reference). Each ends in GROUP_EV_SENT or GROUP_EV_SEND_FAILED, in order,
 * unless the connection ends before. Without a connection it is forgotten. */
void group_cpg_send(GroupCpg *c, GBytes *message);

/* Leaves and frees; NULL is allowed. */
void group_cpg_free(GroupCpg *c);

#endif
