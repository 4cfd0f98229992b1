/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: what was applied to the tree here and is not yet as durable as promised, and who waits
 * for that.
 *
 * It numbers the deltas that go to the store (1, 2, 3, ...: the same numbers that the store gives,
 * because every one is handed over, in order), keeps each until it cannot fail any more, releases
 * waiting callers when disk and, where asked for, other members have the change, and takes changes
 * back when the disk refused them. Part of the replica; pure, one owner. INV-2.
 */
#ifndef PMXCFS_CORE_LEDGER_H
#define PMXCFS_CORE_LEDGER_H

#include "pmxcfs/core/replica.h"

typedef struct Ledger Ledger;

#define LEDGER_FAILURES_MAX 64u /* ranges of lost numbers remembered for late REPLICA_EV_SYNC */

/* `db` is borrowed: changes are taken back in it. */
Ledger *ledger_new(Memdb *db, const Tracer *tracer);
void ledger_free(Ledger *l);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ledger, ledger_free)

/* Books an applied delta (takes the reference): emits NOTICE and STORE, returns its number. */
uint64_t ledger_add(Ledger *l, MemdbDelta *delta, bool own, ReplicaUpdate *up);

/* A record that the next booked delta takes to the disk with it (takes the reference). */
void ledger_set_record(Ledger *l, GBytes *record);

/* Books a delta without edits, which takes the record to the disk: its number. */
uint64_t ledger_add_record(Ledger *l, ReplicaUpdate *up);

/* Makes `token` wait until number `seq` is on this disk and tree version `version` is confirmed
 * (ledger_confirm); it is then answered with `result`. Answers at once when that is so already, or
 * when the number was lost. */
void ledger_wait(Ledger *l,
                 uint64_t token,
                 uint64_t seq,
                 uint64_t version,
                 int result,
                 MonoTime now,
                 ReplicaUpdate *up);

/* Answers callers who have waited for REPLICA_DURABLE_MS (-EBUSY). */
void ledger_expire(Ledger *l, MonoTime now, ReplicaUpdate *up);
MonoTime ledger_next_deadline(const Ledger *l); /* not later than the first one */

/* Forgets a waiting caller; false when it does not wait here. */
bool ledger_cancel(Ledger *l, uint64_t token);

/* The disk has everything up to `seq`. */
void ledger_stored(Ledger *l, uint64_t seq, ReplicaUpdate *up);

/* The disk lost everything from `seq` on: the changes are taken back newest first (NOTICE each),
 * their callers get `code` and `text`. Returns how many changes were taken back. */
uint32_t
ledger_failed(Ledger *l, uint64_t seq, int code, const char *text, MonoTime now, ReplicaUpdate *up);

/* Other members have everything up to tree version `version`; callers who need more are held back.
 * UINT64_MAX, the start value: no confirmation is needed. */
void ledger_confirm(Ledger *l, uint64_t version, ReplicaUpdate *up);

/* The tree was taken over into a new term at `version`: who waits for more waits for that. */
void ledger_rebase(Ledger *l, uint64_t version);

/* Answers every caller who waits for a number above `seq` with `result` and a text. */
void ledger_release(Ledger *l, uint64_t seq, int result, const char *text, ReplicaUpdate *up);

uint64_t ledger_stored_seq(const Ledger *l);  /* newest number known to be on disk */
uint64_t ledger_stored_version(const Ledger *l); /* tree version of that */
uint64_t ledger_confirmed(const Ledger *l);      /* see ledger_confirm */
uint64_t ledger_last_seq(const Ledger *l);    /* newest number given; 0: none */
size_t ledger_pending_bytes(const Ledger *l); /* content not yet on disk */
uint32_t ledger_waiting(const Ledger *l);

#endif
