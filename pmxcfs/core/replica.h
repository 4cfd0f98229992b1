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
#include "lib/wire/wire_dfsm.h"
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
    bool local;      /* no group: applied at once with writer 0, always quorate */
    uint32_t nodeid; /* corosync node id; 0 in local mode */
    uint32_t pid;    /* of this process: part of the member identity */
    ReplicaDurability durability;
    bool native;   /* announce and use the native protocol when all members do */
    uint64_t seed; /* for jitter */
    GBytes *meta;  /* borrowed: the store's MEMDB_RECORD_KEY; NULL: none */
} ReplicaConfig;

#define REPLICA_NODES_MAX 256u /* of the node list */

/* Callers waiting at the same time; more are refused (-EBUSY). */
#define REPLICA_CALLERS_MAX 65536u
/* Content applied and not on disk: above it new changes wait, so a slow disk slows its writers. */
#define REPLICA_BACKLOG_MAX (64u * 1024u * 1024u)
/* Own changes on their way through the group. */
#define REPLICA_WINDOW_MESSAGES 256u
#define REPLICA_WINDOW_BYTES    (4u * 1024u * 1024u)
/* Updates of a synchronisation handed to the group and not yet sent: other traffic gets between. */
#define REPLICA_STREAM_BYTES (1024u * 1024u)
/* How long a caller waits (INV-4): for its change to be sent, then to be delivered, then for disks.
 */
#define REPLICA_SEND_MS    10000
#define REPLICA_ANSWER_MS  30000
#define REPLICA_DURABLE_MS 60000
/* Least time between two UNLOCK_REQUESTs for one lock, expired or not by our own timer. */
#define REPLICA_UNLOCK_ASK_MS       1000
#define REPLICA_UNLOCK_ASK_EARLY_MS 10000
#define REPLICA_UNLOCK_ASKED_MAX    1024u
/* Tries whether a failed disk works again: first and longest wait. */
#define REPLICA_PROBE_FIRST_MS 1000
#define REPLICA_PROBE_MAX_MS   10000

/* How long who asks for a verification waits for it, and then for members that leave because of it;
 * how many of these are named. */
#define REPLICA_VERIFY_MS       10000
#define REPLICA_VERIFY_LEAVE_MS 2000
#define REPLICA_VERIFY_NAMED    8u

/* Answer to a caller whose change was sent, when its fate is unknown (-EBUSY). */
#define REPLICA_TEXT_UNKNOWN "the outcome is not known: the change may or may not have happened"

typedef enum ReplicaEventKind {
    REPLICA_EV_START,        /* once, before all others: join the group */
    REPLICA_EV_GROUP,        /* group.h event: view, message, connection, flow control */
    REPLICA_EV_QUORUM,       /* quorum gained or lost, or the node list changed */
    REPLICA_EV_SUBMIT,       /* a caller asks for a change */
    REPLICA_EV_SYNC,         /* a caller asks for durability of everything up to `seq` */
    REPLICA_EV_CANCEL,       /* a caller gave up waiting: forget its token */
    REPLICA_EV_STORED,       /* disk reached sequence number `seq` */
    REPLICA_EV_STORE_FAILED, /* deltas from `seq` on are lost (`code`): they are taken back */
    REPLICA_EV_PROBED,       /* outcome of REPLICA_ACT_STORE_PROBE: `code` 0 or -errno */
    REPLICA_EV_TICK,         /* time passed (sent when a REPLICA_ACT_TIMER is due) */
    REPLICA_EV_VERIFY,       /* an administrator asks whether all members have the same content */
    REPLICA_EV_N
} ReplicaEventKind;

/* A node of the configured node list. */
typedef struct ReplicaNode {
    uint32_t nodeid, votes;
} ReplicaNode;

typedef struct ReplicaEvent {
    ReplicaEventKind kind;
    MonoTime now;
    WallTime wall;
    const GroupEvent *group;      /* GROUP */
    bool quorate;                 /* QUORUM */
    const ReplicaNode *nodes;     /* QUORUM: the configured node list; borrowed */
    uint32_t n_nodes;             /* 0: not known yet */
    const uint32_t *quorum_nodes; /* QUORUM: node ids that corosync's verdict is about; borrowed */
    uint32_t n_quorum_nodes;
    uint64_t token;   /* SUBMIT, SYNC, VERIFY, CANCEL: chosen by the engine, unique, not 0 */
    const TreeOp *op; /* SUBMIT: borrowed */
    ReplicaWait wait; /* SUBMIT */
    uint64_t seq;     /* SYNC, STORED, STORE_FAILED */
    int code;         /* STORE_FAILED: -errno; PROBED: 0 or -errno */
    /* Another event is handed over at once, whatever comes of this one: what would be sent may wait
     * for it, so that changes which were asked for together go in one message. */
    bool more;
} ReplicaEvent;

/* The engine performs actions in the order of the list: what must be on disk first comes first.
 *
 * STORE actions are numbered 1, 2, 3, ... by the replica (`seq`). The engine hands every one to
 * store_submit, in order, which so gives the same number (assert it). A STORE delta may have no
 * edits: then it only carries a record (MemdbDelta.record). */
typedef enum ReplicaActionKind {
    REPLICA_ACT_STORE, /* store_submit(`delta`), number `seq` */
    /* `delta` became visible (or was taken back): caches, feed, corosync.conf */
    REPLICA_ACT_NOTICE,
    /* multicast `bytes` in the group, in order; each ends in GROUP_EV_SENT or GROUP_EV_SEND_FAILED,
     * or is forgotten by GROUP_EV_DISCONNECTED */
    REPLICA_ACT_SEND,
    REPLICA_ACT_JOIN,  /* connect when not connected and join the group, not before `at` */
    REPLICA_ACT_LEAVE, /* leave the group and close the connection; forget unsent messages */
    /* the caller with `token` gets `result` (>= 0: 0 or byte count; or -errno) and `text`; `seq`:
     * store number of the change, 0 when there was none */
    REPLICA_ACT_ANSWER,
    REPLICA_ACT_TIMER,        /* send REPLICA_EV_TICK at `at` (replaces the earlier timer) */
    REPLICA_ACT_STORE_RESUME, /* store_resume: everything lost has been taken back */
    REPLICA_ACT_STORE_PROBE,  /* store_probe at `at`, result as REPLICA_EV_PROBED */
    /* before the next STORE replaces local content: write `entries` and `root` to a file beside the
     * database, named by time and `text`; when that fails the STORE must not happen (report it as
     * STORE_FAILED) */
    REPLICA_ACT_SAVE_LOSING_TREE,
    REPLICA_ACT_N
} ReplicaActionKind;

typedef struct ReplicaAction {
    ReplicaActionKind kind;
    MemdbDelta *delta;  /* STORE, NOTICE: one reference owned by the update */
    bool own;           /* NOTICE: the change came from a caller on this node */
    GBytes *bytes;      /* SEND: one reference owned by the update */
    MonoTime at;        /* JOIN, TIMER, STORE_PROBE */
    uint64_t token;     /* ANSWER */
    int result;         /* ANSWER */
    uint64_t seq;       /* STORE, ANSWER */
    GPtrArray *entries; /* SAVE_LOSING_TREE: of Entry* */
    MemdbRoot root;     /* SAVE_LOSING_TREE */
    char *text;         /* ANSWER, SAVE_LOSING_TREE: reason for people; may be NULL */
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

/* Facts for views, metrics and logs. */
typedef struct ReplicaStatus {
    GroupMode mode;
    bool quorate;
    bool native;      /* all members speak the native protocol now */
    uint32_t members; /* in the current view */
    uint32_t synced;  /* of them */
    uint32_t queued;  /* messages waiting for the end of a synchronisation */
    uint32_t waiting; /* callers waiting for an answer */
    WireDfsmEpoch epoch;
    uint64_t term;      /* of the native protocol, to which the content belongs; 0: none */
    uint64_t base;      /* tree version with which that term began */
    uint64_t confirmed; /* tree version that a quorum has on disk, when `native` */
    const char *phase;  /* of the native protocol (docs/states/native.md); static */
} ReplicaStatus;
void replica_status(const Replica *r, ReplicaStatus *ret);

#endif
