/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/replica_priv.h"

/* More than most events lead to: the array does not have to grow. */
#define ACTIONS_USUAL 4

static void action_clear(gpointer data)
{
    ReplicaAction *a = data;

    g_clear_pointer(&a->delta, memdb_delta_unref);
    g_clear_pointer(&a->bytes, g_bytes_unref);
    g_clear_pointer(&a->entries, g_ptr_array_unref);
    g_clear_pointer(&a->text, g_free);
}

void replica_update_init(ReplicaUpdate *up)
{
    up->actions = g_array_sized_new(FALSE, FALSE, sizeof(ReplicaAction), ACTIONS_USUAL);
    g_array_set_clear_func(up->actions, action_clear);
}

void replica_update_done(ReplicaUpdate *up)
{
    g_clear_pointer(&up->actions, g_array_unref);
}

void update_store(ReplicaUpdate *up, MemdbDelta *delta, uint64_t seq)
{
    ReplicaAction a = {.kind = REPLICA_ACT_STORE, .delta = memdb_delta_ref(delta), .seq = seq};

    g_array_append_val(up->actions, a);
}

void update_notice(ReplicaUpdate *up, MemdbDelta *delta, bool own)
{
    ReplicaAction a = {.kind = REPLICA_ACT_NOTICE, .delta = memdb_delta_ref(delta), .own = own};

    g_array_append_val(up->actions, a);
}

void update_send(ReplicaUpdate *up, GBytes *bytes)
{
    ReplicaAction a = {.kind = REPLICA_ACT_SEND, .bytes = g_bytes_ref(bytes)};

    g_array_append_val(up->actions, a);
}

void update_simple(ReplicaUpdate *up, ReplicaActionKind kind)
{
    ReplicaAction a = {.kind = kind};

    g_array_append_val(up->actions, a);
}

void update_at(ReplicaUpdate *up, ReplicaActionKind kind, MonoTime at)
{
    ReplicaAction a = {.kind = kind, .at = at};

    g_array_append_val(up->actions, a);
}

void update_answer(ReplicaUpdate *up, uint64_t token, int result, uint64_t seq, const char *text)
{
    ReplicaAction a = {.kind = REPLICA_ACT_ANSWER,
                       .token = token,
                       .result = result,
                       .seq = seq,
                       .text = g_strdup(text)};

    g_array_append_val(up->actions, a);
}

void update_save_losing(ReplicaUpdate *up, GPtrArray *entries, MemdbRoot root, const char *why)
{
    ReplicaAction a = {.kind = REPLICA_ACT_SAVE_LOSING_TREE,
                       .entries = g_ptr_array_ref(entries),
                       .root = root,
                       .text = g_strdup(why)};

    g_array_append_val(up->actions, a);
}
