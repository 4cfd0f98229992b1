/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replica: keeps this node's tree equal to the other members' trees.
 *
 * A pure state machine: one event in, a list of actions out. It owns no socket, file, clock or
 * thread; the engine (pmxcfs/io/engine) feeds it and performs the actions in the listed order, and
 * reports outcomes as further events. The simulation drives the very same code. It changes the
 * Memdb it was given and nothing else. Reference: pmxcfs chapters 8, 9, 10.
 *
 * In local mode (`local` in ReplicaConfig) there is no group: submitted operations are applied at
 * once.
 *
 * One owner thread. Bytes in events are borrowed for the call; bytes in actions are owned by the
 * ReplicaUpdate.
 */
#ifndef PMXCFS_CORE_REPLICA_H
#define PMXCFS_CORE_REPLICA_H

#include "lib/base/err.h"
#include "lib/base/timeval.h"
#include "lib/base/tracer.h"
#include "pmxcfs/core/group.h"
#include "pmxcfs/core/memdb.h"

typedef struct Replica Replica;

/* What a caller waits for. A change is visible to readers on this node once applied. */
typedef enum ReplicaWait {
    REPLICA_WAIT_APPLIED, /* ordered and applied here; durable later (see REPLICA_EV_SYNC) */
    REPLICA_WAIT_DURABLE, /* as promised by the durability mode (INV-2) */
} ReplicaWait;

typedef enum ReplicaDurability {
    REPLICA_DURABILITY_QUORUM,  /* on disk on a quorum of members (native clusters) */
    REPLICA_DURABILITY_LOCAL,   /* on this node's disk */
    REPLICA_DURABILITY_RELAXED, /* in this node's file, not synced */
} ReplicaDurability;

typedef struct ReplicaConfig {
    bool local;          /* no group: applied at once with writer 0, always quorate */
    uint32_t nodeid;     /* corosync node id; 0 in local mode */
    uint32_t pid;        /* of this process: part of the member identity */
    ReplicaDurability durability;
    bool native;         /* announce and use the native protocol when all members do */
    uint64_t seed;       /* for jitter */
} ReplicaConfig;

typedef enum ReplicaEventKind {
    REPLICA_EV_GROUP,        /* group.h event: view, message, connection, flow control */
    REPLICA_EV_QUORUM,       /* quorum gained or lost */
    REPLICA_EV_SUBMIT,       /* a caller asks for a change */
    REPLICA_EV_SYNC,         /* a caller wants all it was answered so far to be durable */
    REPLICA_EV_CANCEL,       /* a caller gave up waiting: forget its token */
    REPLICA_EV_STORED,       /* disk reached sequence number `seq` */
    REPLICA_EV_STORE_FAILED, /* deltas from `seq` on are lost (`code`): undo them */
    REPLICA_EV_TICK,         /* time passed (also sent when a REPLICA_ACT_TIMER is due) */
    REPLICA_EV_VERIFY,       /* an administrator asks for a verification round now */
    REPLICA_EV_N
} ReplicaEventKind;

typedef struct ReplicaEvent {
    ReplicaEventKind kind;
    MonoTime now;
    WallTime wall;
    const GroupEvent *group; /* GROUP */
    bool quorate;            /* QUORUM */
    uint32_t expected_members; /* QUORUM: nodes in the configured node list, 0 when unknown */
    uint64_t token;          /* SUBMIT, SYNC, CANCEL: chosen by the engine, unique */
    const TreeOp *op;        /* SUBMIT: borrowed */
    ReplicaWait wait;        /* SUBMIT */
    uint64_t seq;            /* STORED, STORE_FAILED */
    int code;                /* STORE_FAILED: -errno */
} ReplicaEvent;

typedef enum ReplicaActionKind {
    REPLICA_ACT_STORE,  /* give `delta` to the store (store_submit); seq by replica_stored_as */
    REPLICA_ACT_NOTICE, /* `delta` is visible (or taken back): caches, feed, corosync.conf */
    REPLICA_ACT_SEND,   /* multicast `bytes` in order; ends in GROUP_EV_SENT/SEND_FAILED */
    REPLICA_ACT_JOIN,   /* (re)connect and join the group, not before `at` */
    REPLICA_ACT_LEAVE,  /* leave the group and close the connection */
    REPLICA_ACT_ANSWER, /* the caller with `token` gets `result` (0, count, or -errno), `text` */
    REPLICA_ACT_TIMER,  /* send REPLICA_EV_TICK at `at` (replaces the earlier timer) */
    REPLICA_ACT_STORE_PROBE, /* disk failed: engine does store_resume; probe at `at`, then TICK */
    REPLICA_ACT_SAVE_LOSING_TREE, /* before a commit replaces local content: save `entries` + `root`
                                     beside the database under a name that tells when and why */
    REPLICA_ACT_META,   /* store_set_meta(key, bytes), synced when `sync` */
    REPLICA_ACT_N
} ReplicaActionKind;

typedef struct ReplicaAction {
    ReplicaActionKind kind;
    MemdbDelta *delta;  /* STORE, NOTICE: one reference owned by the update */
    bool own;           /* NOTICE: the change came from this node */
    GBytes *bytes;      /* SEND, META */
    MonoTime at;        /* JOIN, TIMER, STORE_PROBE */
    uint64_t token;     /* ANSWER */
    int result;         /* ANSWER */
    uint64_t seq;       /* ANSWER with WAIT_APPLIED: store sequence of the change (0: none) */
    GPtrArray *entries; /* SAVE_LOSING_TREE: of Entry* */
    MemdbRoot root;     /* SAVE_LOSING_TREE */
    const char *key;    /* META: static string */
    bool sync;          /* META */
    char *text;         /* reason for people; may be NULL */
} ReplicaAction;

typedef struct ReplicaUpdate {
    GArray *actions; /* of ReplicaAction, to be performed in order */
} ReplicaUpdate;

void replica_update_init(ReplicaUpdate *up);
void replica_update_done(ReplicaUpdate *up); /* frees what the actions own */
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ReplicaUpdate, replica_update_done)

/* `db` is borrowed and must outlive the replica. */
Replica *replica_new(const ReplicaConfig *cfg, Memdb *db, const Tracer *tracer);
void replica_free(Replica *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Replica, replica_free)

/* Handles one event to completion and appends the actions to `up`. Input from peers never makes it
 * fail; a bad message changes nothing but the membership state, as documented. */
void replica_step(Replica *r, const ReplicaEvent *ev, ReplicaUpdate *up);

/* The engine's answer to REPLICA_ACT_STORE, at once: the store's number for that delta. */
void replica_stored_as(Replica *r, MemdbDelta *delta, uint64_t seq);

/* Facts for views, metrics and logs. */
typedef struct ReplicaStatus {
    GroupMode mode;
    bool quorate;
    bool native;           /* all members speak the native protocol now */
    uint32_t members;      /* in the current view */
    uint32_t synced;       /* of them */
    uint32_t queued;       /* messages waiting for the end of a synchronisation */
    uint32_t waiting;      /* callers waiting for an answer */
    GroupEpoch epoch;
} ReplicaStatus;
void replica_status(const Replica *r, ReplicaStatus *ret);

#endif
