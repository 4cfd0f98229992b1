/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_priv: what the parts of native share.
 *
 *   native.c           phases, views, greetings, the documented protocol
 *   native_peers.c     who is in the view, who is first in line, votes
 *   native_exchange.c  from START to the active term
 *   native_alarm.c     deadlines
 *   native_content.c   getting and giving content, the record on disk
 *   native_batch.c     changes and their acknowledgement
 */
#ifndef PMXCFS_CORE_NATIVE_PRIV_H
#define PMXCFS_CORE_NATIVE_PRIV_H

#include "lib/wire/wire_native.h"
#include "pmxcfs/core/native.h"
#include "pmxcfs/core/nsync.h"
#include "pmxcfs/core/replica_priv.h"

/* A member of the view. */
typedef struct NativePeer {
    GroupMember id;
    bool native;  /* it said so, or one who heard it did */
    bool foreign; /* it had time to say so and did not */
    bool suspect; /* to be left out of the next exchange */
    bool greeted; /* in this view: what it sent in an earlier one has come before that */
    bool silent;  /* it had time to say anything at all, also by the documented protocol, and did
                     not: left out, and taken for foreign only when it speaks */
    uint64_t hello_term;
    /* of the exchange */
    uint32_t votes;
    bool in, has_state, blank, promised, synced;
    WireNativeMeta meta;
    uint64_t version;
    uint32_t mtime;
    uint8_t digest[WIRE_NATIVE_DIGEST_SIZE];
    uint64_t acked; /* tree version that it has on disk */
    /* a large change that comes in pieces */
    GByteArray *stream;
    uint64_t stream_number;
} NativePeer;

/* A record on its way to the disk. */
typedef struct PendingMeta {
    uint64_t seq;
    WireNativeMeta meta;
} PendingMeta;

/* A message of the term that comes before we have the content. */
typedef struct Held {
    GroupMember sender;
    uint32_t time;
    GBytes *payload;
} Held;

struct Native {
    NativePhase phase;
    MonoTime alarm;   /* when the phase has lasted too long */
    MonoTime restart; /* when to propose another exchange */
    bool overdue;     /* ... in place of the first in line, which should have done it */
    MonoTime since;   /* of the last exchange or view */
    bool started;     /* we have asked for an exchange that has not begun yet */
    bool probed;      /* we have begun a documented one in place of the lowest member */
    bool voided;      /* a term ran beside a silent member, which has heard what it made void */

    /* the record: as it is in memory; what is surely on disk; what lies between */
    WireNativeMeta meta, stored;
    GQueue pending; /* of PendingMeta*, ascending */

    NativePeer peers[GROUP_MEMBERS_MAX];
    uint32_t n_peers;

    /* the exchange */
    WireDfsmEpoch epoch;
    uint32_t needed, readers;
    uint32_t leader; /* position in peers */
    uint64_t term, base;
    uint64_t promise_seq, term_seq; /* store numbers of the promise and of the term's begin */
    bool promise_sent, term_booked;
    NsyncGiver *giver;
    NsyncTaker *taker;
    GQueue held; /* of Held* */
    size_t held_bytes;

    /* acknowledgement */
    uint64_t ack_due, ack_sent;
    uint64_t ack_own; /* newest change of our own: due at `ack_own_at` */
    MonoTime ack_own_at;
    bool ack_ever, ack_flying;

    /* own changes */
    uint64_t number;  /* of our last batch or stream */
    uint32_t batches; /* under way */
    GByteArray *batch;
    uint32_t batch_n;
    GQueue batch_requests; /* of Request* */
    Request *stream;       /* the large change that is being sent */
    GBytes *stream_bytes;
    uint64_t stream_number;
    uint32_t stream_at, pieces;
};

/* ---- native.c ---- */
/* The one setter: checks the table, traces `why`. Then: a member of the view (NULL: none), and
 * this node among them. Then: to all members; the payload is borrowed. */
void native_set_phase(Replica *r, NativePhase next, const char *why);
void native_send(Replica *r, const WireNative *m);
void native_send_with(Replica *r, const WireNative *m, const uint32_t (*members)[3]);
void native_send_payload(Replica *r, GBytes *payload);
void native_say_hello(Replica *r, uint32_t flags);
void native_try_documented(Replica *r); /* begins the documented exchange, if it is time and ours */
void native_come_back(Replica *r);      /* leaves, for the view of our return */

/* ---- native_peers.c ---- */
NativePeer *native_peer(Native *n, GroupMember who); /* NULL: not in the view */
NativePeer *native_self(Replica *r);
bool native_is_self(const Replica *r, const NativePeer *p);
bool native_peers_all(const Native *n);     /* all that say anything speak the native protocol */
bool native_peers_foreign(const Native *n); /* at least one does not */
bool native_peers_silent(const Native *n);  /* at least one says nothing at all */
bool native_has_spoken(const Replica *r, GroupMember who); /* by the documented protocol */
uint32_t native_rank(const Replica *r);                    /* members before us in line */
/* What is known of a process holds as long as it stays a member. True: somebody is new. */
bool native_peers_rebuild(Replica *r, const DfsmMember *members, uint32_t n_members);
bool native_peers_same(const Native *n, const WireNative *m); /* is its list that of our view? */
void native_peers_reset(Native *n, const WireNative *m);      /* for an exchange of these members */
/* Nodes, and the votes that the exchange counts for them, of the members that `pick` takes. */
uint32_t native_count_nodes(const Native *n, bool (*pick)(const NativePeer *));
uint32_t native_count_votes(const Native *n, bool (*pick)(const NativePeer *));
bool native_is_candidate(const NativePeer *p);
bool native_has_promised(const NativePeer *p);
uint32_t native_votes_of(const Replica *r, uint32_t nodeid); /* by the node list */
/* What a term with the present candidates needs; false: it cannot be begun. */
bool native_find_needs(const Replica *r, uint32_t *ret_needed, uint32_t *ret_readers);

/* ---- native_exchange.c ---- */
/* Begins a term, with this node as its leader. */
void native_propose(Replica *r, const char *why);
void native_try_start(Replica *r);   /* the same, if all is known and it is up to us */
void native_ask_restart(Replica *r); /* soon, not at once */
void native_forget_restart(Native *n);
bool native_votes_changed(const Replica *r);
void native_on_start(Replica *r, const NativePeer *sender, const WireNative *m);
void native_on_exchange(Replica *r, NativePeer *peer, const WireNative *m);

/* ---- native_alarm.c ---- */
MonoTime native_alarm_of(const Replica *r, NativePhase phase); /* how long it may last */
MonoTime native_documented_alarm(const Replica *r); /* the same for a documented exchange */

/* ---- native_content.c ---- */
void native_book_meta(Replica *r); /* puts the record as it is now on its way to the disk */
void native_meta_note(Replica *r, uint64_t seq); /* the same, with a number that exists already */
void native_note_told(Replica *r); /* before a view or an exchange ends: who relies on what */
void native_content_begin(Replica *r, bool lacking);
void native_content_drop(Native *n);
void native_content_take(Replica *r, const NativePeer *peer, const WireNative *m);
void native_content_commit(Replica *r); /* when the term is active and everything is there */

/* ---- native_batch.c ---- */
void native_batch_reset(Replica *r); /* nothing of ours that is under way will take effect */
void native_on_change(Replica *r, GroupMember sender, uint32_t time, const WireNative *m);
void native_on_ack(Replica *r, NativePeer *peer, const WireNative *m);
void native_acknowledge(Replica *r);
void native_own_due(Replica *r); /* `ack_own_at` has come */
void native_confirm(Replica *r);

#endif
