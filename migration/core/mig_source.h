/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_source: the source's side of moving one guest, as a pure machine: events in, operations out.
 *
 *   new -> connect -> check -> lock -> prepare -> [copy] -> [start -> [mirror] -> move -> switch]
 *       -> handover -> run -> clean -> finish -> done
 *   any of them up to handover -> undo steps -> failed
 *
 * What may be relied on: up to and including `switch` the guest belongs to this node, and every
 * failure ends with the guest as it was. In `handover` the guest is stopped and the target has all
 * of it; the rename of its configuration decides whose it is. After the order to run was sent, this
 * side never lets the guest run again unless the target says that it has ended its QEMU, or
 * somebody gives the configuration back. A guest that is this side's again, and that QEMU cannot
 * let run (storage gone, an image locked), is told to go on until it does or its QEMU is gone.
 *
 * The adapter performs the operations of one step in order, each to its end, and answers every
 * waiting one (mig_op_waits) with exactly one MIG_EV_DONE. Not thread-safe.
 */
#ifndef MIGRATION_CORE_MIG_SOURCE_H
#define MIGRATION_CORE_MIG_SOURCE_H

#include "lib/base/err.h"
#include "lib/base/strtab.h"
#include "lib/base/timeval.h"
#include "lib/base/tracer.h"
#include "migration/core/mig_limits.h"

#include <stdbool.h>
#include <stdint.h>

#define MIG_SRC_LIST(X)                                                                            \
    X(MIG_SRC_NEW, "new")           /* nothing was done */                                         \
    X(MIG_SRC_CONNECT, "connect")   /* to the target's agent */                                    \
    X(MIG_SRC_CHECK, "check")       /* what would fail? Nothing was changed yet */                 \
    X(MIG_SRC_LOCK, "lock")         /* `lock: migrate` into the configuration */                   \
    X(MIG_SRC_PREPARE, "prepare")   /* volumes and ports on the target */                          \
    X(MIG_SRC_COPY, "copy")         /* volumes that no QEMU mirrors */                             \
    X(MIG_SRC_START, "start")       /* QEMU on the target waits for the guest */                   \
    X(MIG_SRC_MIRROR, "mirror")     /* disks, until they are equal */                              \
    X(MIG_SRC_MOVE, "move")         /* memory, the guest runs here */                              \
    X(MIG_SRC_SWITCH, "switch")     /* the guest is stopped: last pieces */                        \
    X(MIG_SRC_HANDOVER, "handover") /* rename of the configuration */                              \
    X(MIG_SRC_PLACE, "place")       /* whose is it? The rename gave no clear answer */             \
    X(MIG_SRC_RUN, "run")           /* it is the target's; told to run it */                       \
    X(MIG_SRC_STUCK, "stuck")       /* it is the target's, which does not answer */                \
    X(MIG_SRC_CLEAN, "clean")       /* it runs there; what is left here goes */                    \
    X(MIG_SRC_FINISH, "finish")     /* the target may unlock it */                                 \
    X(MIG_SRC_CANCEL, "cancel")     /* undo: memory and mirrors end, the guest goes on here */     \
    X(MIG_SRC_ABORT, "abort")       /* undo: the target ends its QEMU and frees the volumes */     \
    X(MIG_SRC_CLAIM, "claim")       /* undo: take from a silent target the right to run it */      \
    X(MIG_SRC_LEASE, "lease")       /* undo: wait until a silent target has ended by itself */     \
    X(MIG_SRC_BACK, "back")         /* undo: rename the configuration back */                      \
    X(MIG_SRC_RESUME, "resume")     /* undo: the guest goes on here */                             \
    X(MIG_SRC_UNLOCK, "unlock")     /* undo: `lock: migrate` away */                               \
    X(MIG_SRC_DONE, "done")                                                                        \
    X(MIG_SRC_FAILED, "failed")
typedef enum MigSrcState { MIG_SRC_LIST(STRTAB_ENUM) MIG_SRC_N } MigSrcState;
STRTAB_DECLARE(mig_src, MigSrcState);

/* Operations. The third column: it waits for an end that is reported as MIG_EV_DONE. */
#define MIG_OP_LIST(X)                                                                             \
    X(MIG_OP_CONNECT, "connect", 1) /* 0, or what the target says of it: MigPeerState */           \
    X(MIG_OP_CHECK, "check", 1)                                                                    \
    X(MIG_OP_JOURNAL, "journal", 0) /* the state as it is now, synced to the disk */               \
    X(MIG_OP_LOCK, "lock", 1)                                                                      \
    X(MIG_OP_PREPARE, "prepare", 1)                                                                \
    X(MIG_OP_COPY, "copy", 1)                                                                      \
    X(MIG_OP_START, "start", 1)                                                                    \
    X(MIG_OP_MIRROR, "mirror", 1)     /* ends when all are ready */                                \
    X(MIG_OP_MIGRATE, "migrate", 1)   /* ends when the guest is stopped for the switch */          \
    X(MIG_OP_THROTTLE, "throttle", 0) /* slow the guest down as far as it goes */                  \
    X(MIG_OP_POSTCOPY, "postcopy", 0) /* ask QEMU to go over to post-copy */                       \
    X(MIG_OP_SWITCH, "switch", 1)     /* ends when the target has all */                           \
    X(MIG_OP_CONTINUE, "continue", 1) /* post-copy: ends when the target may run it */             \
    X(MIG_OP_REST, "rest", 1)         /* post-copy: ends when all pages are there */               \
    X(MIG_OP_RECOVER, "recover", 1)   /* post-copy: a new stream; -EALREADY: none is needed */     \
    X(MIG_OP_RENAME, "rename", 1)                                                                  \
    X(MIG_OP_PLACE, "place", 1) /* 0 here, 1 target's, 2 elsewhere; -EAGAIN unknown */             \
    X(MIG_OP_RUN, "run", 1)                                                                        \
    X(MIG_OP_CLEAN, "clean", 1)                                                                    \
    X(MIG_OP_FINISH, "finish", 1)                                                                  \
    X(MIG_OP_INTERRUPT, "interrupt", 0) /* end the waiting operation with -EINTR, soon */          \
    X(MIG_OP_CANCEL, "cancel", 1)       /* what became of it: MigCanceled */                       \
    X(MIG_OP_ABORT, "abort", 1)                                                                    \
    X(MIG_OP_CLAIM, "claim", 1) /* 0, -EEXIST: the target was first, or -errno */                  \
    X(MIG_OP_BACK, "back", 1)                                                                      \
    X(MIG_OP_CONT, "cont", 1) /* -ESRCH: its QEMU is gone; any other error: not now */             \
    X(MIG_OP_UNLOCK, "unlock", 1)                                                                  \
    X(MIG_OP_REPORT, "report", 0) /* tell who asked: `result` and `why` are final */               \
    X(MIG_OP_END, "end", 0)       /* forget the journal; the machine is done */
#define MIG_OP_ENUM(value, text, waits) value,
typedef enum MigOp { MIG_OP_LIST(MIG_OP_ENUM) MIG_OP_N } MigOp;
const char *mig_op_name(MigOp op);
bool mig_op_waits(MigOp op);

/* What a target that is asked again says of a migration. */
typedef enum MigPeerState {
    MIG_PEER_NEW,     /* has ended it: it does not run there and never will */
    MIG_PEER_WAITS,   /* has the guest complete and waits */
    MIG_PEER_RUNS,    /* runs it, or did, or knows nothing: not ours any more */
    MIG_PEER_WORKING, /* in the middle of something */
} MigPeerState;

/* Where a guest is whose stream was cancelled. */
typedef enum MigCanceled {
    MIG_CANCELED_RUNS,     /* it runs here, or is down */
    MIG_CANCELED_TOO_LATE, /* the target has all of it, and it stands still here */
    MIG_CANCELED_STANDS,   /* it is here alone, but QEMU cannot let it go on now */
} MigCanceled;

/* What the name of a state of the target's machine means to a source that asks again. A target that
 * does not know this migration, and has no note that it gave it up, may have finished it long ago:
 * that counts as running it. */
MigPeerState mig_peer_state(const char *target_state);

#define MIG_RESULT_LIST(X)                                                                         \
    X(MIG_RESULT_NONE, "running")                                                                  \
    X(MIG_RESULT_MOVED, "moved")                                                                   \
    X(MIG_RESULT_PROBLEMS, "moved with problems")                                                  \
    X(MIG_RESULT_REFUSED, "refused")     /* nothing was changed */                                 \
    X(MIG_RESULT_FAILED, "failed")       /* the guest is where it was */                           \
    X(MIG_RESULT_CANCELLED, "cancelled") /* so it is */                                            \
    X(MIG_RESULT_LOST, "lost")           /* post-copy broke: the guest is down at its new place */
typedef enum MigResult { MIG_RESULT_LIST(STRTAB_ENUM) MIG_RESULT_N } MigResult;
STRTAB_DECLARE(mig_result, MigResult);

#define MIG_POLICY_LIST(X)                                                                         \
    X(MIG_POLICY_ABORT, "abort")                                                                   \
    X(MIG_POLICY_THROTTLE, "throttle") /* as hard as it goes, once more as long, then abort */     \
    X(MIG_POLICY_POSTCOPY, "postcopy")
typedef enum MigPolicy { MIG_POLICY_LIST(STRTAB_ENUM) MIG_POLICY_N } MigPolicy;
STRTAB_DECLARE(mig_policy, MigPolicy);

typedef enum MigEventKind {
    MIG_EV_START,
    MIG_EV_RESTART, /* the machine was made from a journal: find out and finish or undo */
    MIG_EV_DONE,    /* `op` ended with `r` */
    MIG_EV_LOST,    /* the connection to the target is gone */
    MIG_EV_CANCEL,  /* somebody wants it to end */
    MIG_EV_QUORUM,  /* `r` 1: this node has quorum; 0: not */
    MIG_EV_TICK,    /* `deadline` has passed, or any time */
    MIG_EV_N,
} MigEventKind;

typedef struct MigEvent {
    MigEventKind kind;
    MonoTime now;
    MigOp op;
    int r;
    const char *text; /* why an operation failed; may be NULL */
} MigEvent;

#define MIG_OPS_MAX 8 /* of one step */
typedef struct MigStep {
    unsigned n;
    MigOp ops[MIG_OPS_MAX];
} MigStep;

typedef struct MigSource {
    /* Set before the first event. */
    bool online, dry_run, copies, mirrors, paused;
    MigPolicy policy;
    int64_t timeout_ms;
    int64_t switch_ms; /* the guest may stand still so long for the switch */
    Tracer tracer;

    MigSrcState state;
    MigOp busy; /* waiting operation; MIG_OP_N: none */
    MonoTime deadline;
    MonoTime move_ends, lost_at, stuck_since;
    bool linked, lost, quorate;
    bool locked, prepared, started, migrating, completed; /* how far it came */
    bool moved, run_sent, confirmed, claimed, canceled, taken;
    bool stands; /* it is here alone, and must be told to go on */
    bool postcopy, throttled, reported, interrupted, resumed_from_journal;
    unsigned tries;
    int stop; /* why the busy operation was interrupted; 0: it was not */
    MigResult result;
    int code;
    char why[MIG_TEXT_MAX];
    char problem[MIG_TEXT_MAX]; /* what went wrong after that, on either way; "" nothing */
} MigSource;

void mig_source_init(MigSource *s);
/* What survives in the journal is set by the caller (online, copies, mirrors, locked, prepared,
 * started, migrating) before MIG_EV_RESTART. */
void mig_source_step(MigSource *s, const MigEvent *ev, MigStep *ret);
bool mig_source_ended(const MigSource *s);

/* The guest may still be kept from moving. */
bool mig_source_can_cancel(const MigSource *s);

#endif
