/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/dfsm_queue.h"

void dfsm_queue_init(DfsmQueue *q)
{
    g_queue_init(&q->items);
    q->bytes = 0;
}

void dfsm_queue_clear(DfsmQueue *q)
{
    g_queue_clear_full(&q->items, (GDestroyNotify)dfsm_queued_free);
    q->bytes = 0;
}

DfsmQueued *dfsm_queued_new(GroupMember sender, uint64_t count, const void *data, size_t size)
{
    DfsmQueued *entry = g_new(DfsmQueued, 1);

    *entry = (DfsmQueued){.sender = sender, .count = count, .message = g_bytes_new(data, size)};
    return entry;
}

void dfsm_queued_free(DfsmQueued *entry)
{
    if (entry != NULL) {
        g_bytes_unref(entry->message);
        g_free(entry);
    }
}

void dfsm_queue_push(DfsmQueue *q, DfsmQueued *entry)
{
    g_queue_push_tail(&q->items, entry);
    q->bytes += g_bytes_get_size(entry->message);
}

void dfsm_queue_push_by_count(DfsmQueue *q, DfsmQueued *entry)
{
    GList *after = q->items.tail;

    while (after != NULL && ((const DfsmQueued *)after->data)->count > entry->count) {
        after = after->prev;
    }
    if (after == NULL) {
        g_queue_push_head(&q->items, entry);
    } else {
        g_queue_insert_after(&q->items, after, entry);
    }
    q->bytes += g_bytes_get_size(entry->message);
}

DfsmQueued *dfsm_queue_pop(DfsmQueue *q)
{
    DfsmQueued *entry = g_queue_pop_head(&q->items);

    if (entry != NULL) {
        q->bytes -= g_bytes_get_size(entry->message);
    }
    return entry;
}
