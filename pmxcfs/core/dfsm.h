/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dfsm: one member of a process group: who is in, who has the group's state, in which order
 * messages take effect. Generic: the configuration group (dcdb) and the status group (statusgroup)
 * put their content behind the hooks. Reference: pmxcfs chapter 8; drawing in docs/states/dfsm.md.
 *
 * Pure and run to completion: each call handles one event; the hooks are called from inside and
 * must not call back except where said. Everything that comes from outside is bounded: the queues,
 * the member list, every message.
 *
 * Where the documented order of a node that is being updated differs from that of the others (8.6),
 * this one keeps the order of the others, so that no divergence starts here.
 */
#ifndef PMXCFS_CORE_DFSM_H
#define PMXCFS_CORE_DFSM_H

#include "lib/base/timeval.h"
#include "lib/base/tracer.h"
#include "lib/wire/wire_dfsm.h"
#include "pmxcfs/core/group.h"

typedef struct Dfsm Dfsm;

#define DFSM_QUEUE_BYTES_MAX  (64u * 1024u * 1024u) /* messages held during an exchange */
#define DFSM_QUEUE_LEN_MAX    65536u
#define DFSM_STALL_MS         5000  /* an exchange that takes longer is reported, again and again */
#define DFSM_REJOIN_FIRST_MS  1000  /* wait after leaving because of a fault; doubles ... */
#define DFSM_REJOIN_MAX_MS    30000 /* ... up to this: a faulty node cannot storm the ring */
#define DFSM_CONNECT_FIRST_MS 100   /* wait after a lost connection; doubles ... */
#define DFSM_CONNECT_MAX_MS   5000  /* ... up to this */
#define DFSM_VERSION_RETRY_MS                                                                      \
    60000                     /* after meeting a newer protocol: its node may go away again        \
                               */
#define DFSM_RANK_MS    500   /* each next member in line waits so much longer for an exchange */
#define DFSM_HEALTHY_MS 30000 /* SYNCED for that long makes the next wait short again */

/* A member as process_states sees it. */
typedef struct DfsmMember {
    GroupMember id;
    bool synced;   /* has the group's state; process_states sets it */
    bool spoke;    /* a message of the documented protocol came from it, in this view or before */
    GBytes *state; /* payload of its STATE; NULL outside of an exchange */
} DfsmMember;

/* A NORMAL message that takes effect now. */
typedef struct DfsmDelivery {
    GroupMember sender;
    uint32_t time; /* sender's clock */
    uint16_t subtype;
    uint64_t count; /* of the sender's process */
    bool own;       /* sent by this process */
    bool again; /* and perhaps not for the first time: members that were parted from us since may
                   have applied it already */
    const void *payload;
    size_t size;
} DfsmDelivery;

/* What the group behind the machine provides. All get `ctx` first. */
typedef struct DfsmHooks {
    void *ctx;

    /* ---- to the outside; see ReplicaActionKind ---- */
    void (*send)(void *ctx, GBytes *message); /* takes its own reference */
    void (*join)(void *ctx, MonoTime at);
    void (*leave)(void *ctx);

    /* ---- content; a negative result makes the member leave and come back ---- */
    /* Own state at this point of the message order. NULL is an error. */
    GBytes *(*get_state)(void *ctx);
    /* All states are in (`members` in order, each with a state): marks who is synced; may start to
     * send updates. Must end in dfsm_send_update_complete by somebody when one is not. */
    int (*process_states)(void *ctx, DfsmMember *members, uint32_t n, uint32_t self);
    /* One UPDATE. */
    int (*process_update)(void *ctx, const void *payload, size_t size);
    /* UPDATE_COMPLETE on a member that is not synced: take over what came. */
    int (*commit)(void *ctx);
    int (*deliver)(void *ctx, const DfsmDelivery *d);
    /* Needed with `answer_ms`: some members have not told their state in time (`state` NULL). This
     * one becomes SYNCED without them. When they tell it after all, process_states is called. */
    int (*go_on)(void *ctx, DfsmMember *members, uint32_t n, uint32_t self);
    /* Optional: checksum for verification; a group without takes no part in it. */
    void (*checksum)(void *ctx, uint8_t ret_csum[WIRE_DFSM_CSUM_SIZE]);

    /* ---- news; all optional ---- */
    void (*mode)(void *ctx, GroupMode was, GroupMode now); /* after each change */
    void (*cleanup)(void *ctx); /* a new view: forget the exchange that may have been going on */
    /* A new view has been entered (n 0: we are out). After the mode was set. */
    void (*view)(void *ctx, const DfsmMember *members, uint32_t n);
    void (*sent)(void *ctx); /* a message of ours went out: room for more */
    /* A NORMAL message of ours was refused for good and will never be delivered. */
    void (*send_failed)(void *ctx, uint64_t count, int code);
    /* All members took part in a verification that `asked` began; `equal`: own checksum against
     * its. Who has another one leaves. */
    void (*verified)(void *ctx,
                     GroupMember asked,
                     const uint8_t csum[WIRE_DFSM_CSUM_SIZE],
                     bool equal);
    /* Asked in each new view before the documented exchange may begin (when alone: before being
     * SYNCED at once): true holds it back here, until dfsm_start_sync, the exchange of another
     * protocol, or the next view. */
    bool (*hold_sync)(void *ctx);
    /* Asked when a documented exchange begins and again before its states count: false ignores it,
     * because all members of the view have another way of being synchronised. */
    bool (*documented)(void *ctx);
    /* A state message whose epoch is not that of the exchange; nothing else is done with it. */
    void (*foreign_epoch)(void *ctx, GroupMember sender, const WireDfsmMessage *m);
} DfsmHooks;

typedef struct DfsmConfig {
    const char *name;           /* for the trace; static */
    uint32_t version;           /* of the protocol */
    int64_t verify_interval_ms; /* 0: never */
    /* How long an exchange waits for a member that does not answer; 0: for ever, as documented.
     * Only where the content does not depend on the order of messages of different members: each
     * member goes on by its own clock. Documented members still wait. */
    int64_t answer_ms;
    uint64_t seed; /* for jitter */
} DfsmConfig;

Dfsm *dfsm_new(const DfsmConfig *cfg, const DfsmHooks *hooks, const Tracer *tracer); /* copied */
void dfsm_free(Dfsm *d);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Dfsm, dfsm_free)

/* ---- events; `now` and `wall` are those of the event ---- */
void dfsm_start(Dfsm *d, MonoTime now, WallTime wall); /* first join */
void dfsm_group_event(Dfsm *d, const GroupEvent *ev, MonoTime now, WallTime wall);
void dfsm_tick(Dfsm *d, MonoTime now, WallTime wall);
bool dfsm_verify(Dfsm *d); /* asks for a verification now; false: not SYNCED */

/* When dfsm_tick wants to be called next; MONO_NEVER: not at all. */
MonoTime dfsm_next_tick(const Dfsm *d);

/* What else happens at this time: messages that it leads to carry it. */
void dfsm_set_time(Dfsm *d, MonoTime now, WallTime wall);

/* ---- for the group's own code, also from inside hooks ---- */

/* Numbers and multicasts a NORMAL message; its number. Only in a view (dfsm_in_view). */
uint64_t dfsm_send(Dfsm *d, uint16_t subtype, const void *payload, size_t size);
/* Multicasts UPDATE and UPDATE_COMPLETE of the current exchange. From process_states on, while
 * SYNCED in the same view. */
void dfsm_send_update(Dfsm *d, const void *payload, size_t size);
void dfsm_send_update_complete(Dfsm *d);
/* Multicasts a state message with an epoch that no exchange ever has: the documented protocol
 * ignores it in every mode. */
void dfsm_send_foreign_epoch(
    Dfsm *d, WireDfsmType type, const WireDfsmEpoch *epoch, const void *payload, size_t size);
/* Sends the SYNC_START that hold_sync held back, or a new one. */
void dfsm_start_sync(Dfsm *d);
/* Leaves because of `why` and comes back later. No effect when already out. */
void dfsm_leave(Dfsm *d, const char *why);
/* The same, but comes back only after dfsm_rejoin. */
void dfsm_leave_and_stay_out(Dfsm *d, const char *why);
void dfsm_rejoin(Dfsm *d);
/* An exchange of another protocol: its epoch, never used before; its begin on this member; its end,
 * when this member has the group's state. */
WireDfsmEpoch dfsm_new_epoch(Dfsm *d);
void dfsm_begin_other(Dfsm *d, const WireDfsmEpoch *epoch, const char *why);
void dfsm_set_synced(Dfsm *d, const char *why);

/* Where this member is. */
GroupMode dfsm_mode(const Dfsm *d);
bool dfsm_in_view(const Dfsm *d);   /* START_SYNC, SYNCED or UPDATE */
bool dfsm_is_lowest(const Dfsm *d); /* own node id is the lowest of the view */
GroupMember dfsm_self(const Dfsm *d);
const WireDfsmEpoch *dfsm_epoch(const Dfsm *d);
const DfsmMember *dfsm_members(const Dfsm *d, uint32_t *ret_n); /* of the view; borrowed */
uint32_t dfsm_queued(const Dfsm *d);
/* Bytes and messages given to `send` and not yet reported as sent. */
size_t dfsm_unsent_bytes(const Dfsm *d);
bool dfsm_backpressure(const Dfsm *d);
MonoTime dfsm_now(const Dfsm *d); /* of the event being handled */

/* ---- the table, for the drawing and for tests ---- */

#define DFSM_REACTION_LIST(X)                                                                      \
    X(DFSM_IGNORE, "ignore")                                                                       \
    X(DFSM_LEAVE, "leave")                                                                         \
    X(DFSM_QUEUE, "queue")                                                                         \
    X(DFSM_DELIVER, "deliver")                                                                     \
    X(DFSM_BEGIN, "begin exchange")                                                                \
    X(DFSM_COLLECT, "collect state")                                                               \
    X(DFSM_UPDATE, "take update")                                                                  \
    X(DFSM_COMMIT, "commit")                                                                       \
    X(DFSM_RELEASE, "release queue")                                                               \
    X(DFSM_ANSWER, "checksum")                                                                     \
    X(DFSM_COMPARE, "compare")
typedef enum DfsmReaction { DFSM_REACTION_LIST(STRTAB_ENUM) DFSM_REACTION_N } DfsmReaction;
STRTAB_DECLARE(dfsm_reaction, DfsmReaction);

/* What a message of the current exchange does; WIRE_DFSM_TYPE_N stands for unknown types. */
DfsmReaction dfsm_reaction(GroupMode mode, WireDfsmType type);
bool dfsm_mode_allowed(GroupMode from, GroupMode to);

#endif
