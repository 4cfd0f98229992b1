/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replica_priv: what the parts of the replica share and nobody else needs: making actions.
 */
#ifndef PMXCFS_CORE_REPLICA_PRIV_H
#define PMXCFS_CORE_REPLICA_PRIV_H

#include "pmxcfs/core/replica.h"

/* Each appends one action; references are taken, strings copied. */
void update_store(ReplicaUpdate *up, MemdbDelta *delta, uint64_t seq);
void update_notice(ReplicaUpdate *up, MemdbDelta *delta, bool own);
void update_send(ReplicaUpdate *up, GBytes *bytes);
void update_simple(ReplicaUpdate *up, ReplicaActionKind kind); /* LEAVE, STORE_RESUME */
/* JOIN, TIMER, STORE_PROBE */
void update_at(ReplicaUpdate *up, ReplicaActionKind kind, MonoTime at);
void update_answer(ReplicaUpdate *up, uint64_t token, int result, uint64_t seq, const char *text);
void update_meta(ReplicaUpdate *up, GBytes *value);
void update_save_losing(ReplicaUpdate *up, GPtrArray *entries, MemdbRoot root, const char *why);

#endif
