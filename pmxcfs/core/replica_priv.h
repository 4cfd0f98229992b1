/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replica_priv: what the parts of the replica share and nobody else needs.
 *
 *   replica.c         events, callers, deadlines, local mode
 *   replica_group.c   the configuration group: hooks of dfsm, changes by message, synchronisation
 *   replica_verify.c  is the content of all members the same?
 *   replica_update.c  making actions
 *   native*           the native protocol
 *   ledger            what waits for the disk
 */
#ifndef PMXCFS_CORE_REPLICA_PRIV_H
#define PMXCFS_CORE_REPLICA_PRIV_H

#include "pmxcfs/core/dcdb.h"
#include "pmxcfs/core/dfsm.h"
#include "pmxcfs/core/native.h"
#include "pmxcfs/core/replica.h"

typedef struct Ledger Ledger;
typedef struct ReplicaVerify ReplicaVerify;

/* A change asked for by a caller on this node and not applied yet. */
struct Request {
    uint64_t token; /* 0: the caller gave up or was answered */
    TreeOp *op;
    ReplicaWait wait;
    bool no_count;     /* answer 0: the caller asked for a truncation */
    MonoTime deadline; /* of the present stage */
    MonoTime limit;    /* of all, however often it has to be sent again */
    uint64_t count;    /* number of the message that carries it; 0: not sent */
    size_t size;       /* of that message */
    bool native;       /* it went, or is going, by the native protocol */
};

struct Replica {
    ReplicaConfig cfg;
    Memdb *db;
    Tracer tracer;
    Ledger *ledger;
    GQueue inbox; /* of Request*, oldest first: neither sent nor applied */
    GQueue sent;  /* of Request*, by count: multicast, own delivery outstanding */
    size_t sent_bytes;
    bool quorate;
    bool settled;        /* SYNCED since we came into the group, in this view or an earlier one */
    int disk_code;       /* errno of the disk that keeps us out of the group; 0: none */
    uint32_t disk_tries; /* probes since it failed */
    MonoTime timer_at;   /* last one asked for */

    Dfsm *dfsm; /* NULL in local mode */
    DcdbSync *sync;
    Native *native; /* NULL: not to be used */
    ReplicaNode nodes[REPLICA_NODES_MAX];
    uint32_t n_nodes;
    uint32_t quorum_nodes[GROUP_MEMBERS_MAX];
    uint32_t n_quorum_nodes;
    ReplicaVerify *verify;    /* NULL: nobody asks */
    GHashTable *unlock_asked; /* path of a lock -> MonoTime* of our last UNLOCK_REQUEST */

    /* Of the event being handled. */
    ReplicaUpdate *up;
    MonoTime now;
    WallTime wall;
};

void request_free(Request *q);

/* Answers the caller of `q`, if there still is one. */
void request_answer(Replica *r, Request *q, int result, uint64_t seq, const char *text);

/* Books an applied delta and answers, now or when it is durable. */
void request_applied(Replica *r, Request *q, int result, MemdbDelta *delta);

/* ---- replica_group.c ---- */
void replica_group_init(Replica *r);
void replica_group_done(Replica *r);
bool replica_group_ready(const Replica *r); /* changes can be sent now, as far as the group goes */
void replica_group_perform(Replica *r, Request *q); /* takes `q`: sends it, or answers it */
void replica_group_stream(Replica *r);      /* leader: sends more updates while there is room */
void replica_group_lost(Replica *r);        /* answers who waits for the delivery of own messages */
bool replica_group_alone(const Replica *r); /* no other member can have what we applied */
void replica_group_disk_failed(Replica *r, int code);
void replica_group_probed(Replica *r, int code);

/* ---- replica_verify.c ---- */
/* A caller asks for a round, and is answered under `token`; the digest of the member that `asked`
 * has come; the view has changed. */
void replica_verify_ask(Replica *r, uint64_t token);
void replica_verify_compared(Replica *r,
                             GroupMember asked,
                             const uint8_t csum[WIRE_DFSM_CSUM_SIZE]);
void replica_verify_view(Replica *r, const DfsmMember *members, uint32_t n); /* n 0: we are out */
void replica_verify_tick(Replica *r);
bool replica_verify_cancel(Replica *r, uint64_t token); /* true: it was this caller */
MonoTime replica_verify_next_tick(const Replica *r);

/* ---- replica_update.c: each appends one action; references are taken, strings copied ---- */
void update_store(ReplicaUpdate *up, MemdbDelta *delta, uint64_t seq);
void update_notice(ReplicaUpdate *up, MemdbDelta *delta, bool own);
void update_send(ReplicaUpdate *up, GBytes *bytes);
void update_simple(ReplicaUpdate *up, ReplicaActionKind kind); /* LEAVE, STORE_RESUME */
/* JOIN, TIMER, STORE_PROBE */
void update_at(ReplicaUpdate *up, ReplicaActionKind kind, MonoTime at);
void update_answer(ReplicaUpdate *up, uint64_t token, int result, uint64_t seq, const char *text);
void update_save_losing(ReplicaUpdate *up, GPtrArray *entries, MemdbRoot root, const char *why);

#endif
