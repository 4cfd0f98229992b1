/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dfsm_queue: NORMAL messages that wait for the end of an exchange. Bounded in number and bytes.
 * Part of dfsm.
 */
#ifndef PMXCFS_CORE_DFSM_QUEUE_H
#define PMXCFS_CORE_DFSM_QUEUE_H

#include "pmxcfs/core/group.h"

typedef struct DfsmQueued {
    GroupMember sender;
    uint64_t count;
    GBytes *message; /* whole, with its header */
} DfsmQueued;

typedef struct DfsmQueue {
    GQueue items; /* of DfsmQueued* */
    size_t bytes;
} DfsmQueue;

void dfsm_queue_init(DfsmQueue *q);
void dfsm_queue_clear(DfsmQueue *q);

/* The entry becomes the queue's: behind all others, or behind those with the same or a lower count.
 */
void dfsm_queue_push(DfsmQueue *q, DfsmQueued *entry);
void dfsm_queue_push_by_count(DfsmQueue *q, DfsmQueued *entry);

/* Takes the oldest out; NULL when empty. The caller frees it with dfsm_queued_free. */
DfsmQueued *dfsm_queue_pop(DfsmQueue *q);

DfsmQueued *dfsm_queued_new(GroupMember sender, uint64_t count, const void *data, size_t size);
void dfsm_queued_free(DfsmQueued *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DfsmQueued, dfsm_queued_free)

#endif
