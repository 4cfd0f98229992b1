/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nsync: how a member of the native protocol gets the content of another one, and no more of it
 * than it lacks.
 *
 * The giver takes a snapshot, cuts its entries, ascending by inode, into leaves of 64, and tells
 * the digest of each leaf. The taker compares with its own entries in the same ranges, asks for the
 * lists of the leaves that differ, then for the entries that differ; big ones come in pieces. Every
 * message is bounded, and the giver makes the next one only when asked, so that other traffic gets
 * between. Format: lib/wire/wire_native. Pure.
 */
#ifndef PMXCFS_CORE_NSYNC_H
#define PMXCFS_CORE_NSYNC_H

#include "lib/wire/wire_native.h"
#include "pmxcfs/core/memdb.h"

#define NSYNC_PIECE_BYTES (64u * 1024u)
#define NSYNC_BYTES_MAX   (2ull * 1024u * 1024u * 1024u) /* content taken in one exchange */

/* Digest of the index of a tree: equal exactly when version record and all entries are. */
void nsync_tree_digest(Memdb *db, uint8_t ret[WIRE_NATIVE_DIGEST_SIZE]);

/* ---- the giver ---- */

typedef struct NsyncGiver NsyncGiver;

NsyncGiver *nsync_giver_new(Memdb *db, const WireDfsmEpoch *epoch); /* of the tree as it is now */
void nsync_giver_free(NsyncGiver *g);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NsyncGiver, nsync_giver_free)
/* A WANT_LEAVES or WANT_ENTRIES. What is waiting to be given is not queued twice. */
void nsync_giver_want(NsyncGiver *g, const WireNative *m);
GBytes *nsync_giver_next(NsyncGiver *g); /* NULL: nothing to say now */

/* ---- the taker ---- */

typedef struct NsyncTaker NsyncTaker;

NsyncTaker *nsync_taker_new(Memdb *db, const WireDfsmEpoch *epoch);
void nsync_taker_free(NsyncTaker *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NsyncTaker, nsync_taker_free)
/* TOP, LEAF or ENTRY from the giver; others are ignored. -EBADMSG: it contradicts what came before.
 * Returns whether it brought anything new. */
int nsync_taker_take(NsyncTaker *t, const WireNative *m) must_check;
GBytes *nsync_taker_next(NsyncTaker *t); /* what is to be asked for; NULL: nothing now */
bool nsync_taker_complete(const NsyncTaker *t);
/* When complete: all entries (of Entry*, without inode 0) and the version record. -EBADMSG: what
 * came makes no tree. */
int nsync_taker_result(NsyncTaker *t, GPtrArray **ret_entries, MemdbRoot *ret_root) must_check;
uint64_t nsync_taker_bytes(const NsyncTaker *t); /* content that came */

#endif
