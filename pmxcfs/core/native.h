/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native: how members that all speak the native protocol stay equal, keep what they acknowledged
 * (INV-2), and leave out who does not answer (INV-4). Part of the replica; pure, one owner.
 * Formats: docs/wire/native.md; states: docs/states/native.md.
 *
 * Content belongs to terms. A term is begun by an exchange: a START names the members that take
 * part; each tells its STATE; the one whose content is newest by (term, version) leads; each
 * promises the new term on its disk before it says so, and with the promises of a majority of all
 * nodes the term is active. Only then changes are applied, and only in the term's own order. So two
 * terms never have the same number, whoever told a state in one exchange has not helped an older
 * term since, and a change that a majority has on disk is in the state of every later leader.
 *
 * Everything is decided by messages in the agreed order, never by time: time only makes a member
 * propose another exchange.
 */
#ifndef PMXCFS_CORE_NATIVE_H
#define PMXCFS_CORE_NATIVE_H

#include "lib/base/strtab.h"
#include "pmxcfs/core/dfsm.h"
#include "pmxcfs/core/replica.h"

typedef struct Native Native;
typedef struct Request Request;

#define NATIVE_HELLO_MS    500   /* who has not said to be native by then is taken for foreign */
#define NATIVE_ANSWER_MS   5000  /* a member that does not answer for so long is left out */
#define NATIVE_RANK_MS     1000  /* each next member in line waits so much longer */
#define NATIVE_PROGRESS_MS 10000 /* nothing came while fetching: ask for another exchange */
#define NATIVE_RESTART_MS  1000  /* least time between two exchanges of one view */
#define NATIVE_OWN_ACK_MS  20    /* acknowledging changes that are all our own may wait */
#define NATIVE_BLANK_MAX   3u    /* tree version of a database that was just made */
#define NATIVE_BATCHES     2u    /* own batches under way: what comes meanwhile shares the next */
#define NATIVE_BATCH_BYTES (64u * 1024u)
#define NATIVE_PIECES      4u /* own pieces under way */
#define NATIVE_HELD_BYTES  (64u * 1024u * 1024u)

#define NATIVE_PHASE_LIST(X)                                                                       \
    X(NATIVE_PHASE_DOCUMENTED, "documented")                                                       \
    X(NATIVE_PHASE_WAITING, "waiting")                                                             \
    X(NATIVE_PHASE_COLLECTING, "collecting")                                                       \
    X(NATIVE_PHASE_PROMISING, "promising")                                                         \
    X(NATIVE_PHASE_FETCHING, "fetching")                                                           \
    X(NATIVE_PHASE_ACTIVE, "active")                                                               \
    X(NATIVE_PHASE_LEFT_OUT, "left out")
typedef enum NativePhase { NATIVE_PHASE_LIST(STRTAB_ENUM) NATIVE_PHASE_N } NativePhase;
STRTAB_DECLARE(native_phase, NativePhase);
bool native_phase_allowed(NativePhase from, NativePhase to); /* for the drawing and for tests */

/* `meta`: the store's MEMDB_RECORD_KEY, or NULL. */
Native *native_new(Replica *r, GBytes *meta);
void native_free(Native *n);

/* ---- from the replica: events ---- */
void native_view(Replica *r, const DfsmMember *members, uint32_t n); /* n 0: we are out */
void native_message(Replica *r, GroupMember sender, const WireDfsmMessage *m);
void native_heard(Replica *r); /* after each event of the group */
void native_quorum(Replica *r);
void native_stored(Replica *r);
void native_store_failed(Replica *r, uint64_t seq);
void native_tick(Replica *r);
MonoTime native_next_tick(const Native *n);
void native_stream(Replica *r); /* room to send */

/* ---- from the replica: the documented protocol ---- */
bool native_documented(const Replica *r); /* may a documented exchange go on? */
void native_documented_begins(Replica *r);
void native_documented_synced(Replica *r);
bool native_decides(const Replica *r); /* a native exchange rules: documented changes are void */

/* ---- changes of our callers ---- */
/* May a change be begun here now? */
bool native_ready(const Replica *r);
void native_perform(Replica *r, Request *q); /* takes it */
void native_flush(Replica *r);               /* sends what was collected */
void native_lost(Replica *r);                /* the connection is gone */
bool native_judges(const Replica *r);        /* this member decides on expired locks */
/* The tree, `before` at this version, was changed without a group: it must not pass for the group's
 * content later. The change is to be booked next. */
void native_taint(Replica *r, uint64_t before);

Request *native_streaming(const Native *n); /* the large change being sent, NULL: none */

/* Where this member is; number of its term. */
NativePhase native_phase(const Native *n);
uint64_t native_term(const Native *n);
uint64_t native_base(const Native *n);   /* tree version with which the term began */
uint32_t native_synced(const Native *n); /* members that have the content on disk */

#endif
