/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_target: the target's side of one guest that comes in, as a pure machine.
 *
 *   open -> [check] -> prepare -> prepared -> [start -> ready -> loaded] -> run -> running ->
 * finish
 *        -> done;   any of them before run -> kill -> free -> gone
 *
 * It lets the guest run in two cases only: the source ordered it (then the source has renamed the
 * configuration and will not run the guest again), or the source is silent, this node has quorum,
 * sees the configuration in its own directory, and wins the claim, which the source would have to
 * win before it took the guest back.
 *
 * The adapter performs the operations in order and answers each waiting one with MIG_TEV_DONE. Not
 * thread-safe.
 */
#ifndef MIGRATION_CORE_MIG_TARGET_H
#define MIGRATION_CORE_MIG_TARGET_H

#include "lib/base/strtab.h"
#include "lib/base/timeval.h"
#include "lib/base/tracer.h"
#include "migration/core/mig_limits.h"

#include <stdbool.h>

#define MIG_TGT_LIST(X)                                                                            \
    X(MIG_TGT_OPEN, "open")         /* connected; nothing was done */                              \
    X(MIG_TGT_CHECK, "check")       /* looking whether the guest can run here */                   \
    X(MIG_TGT_PREPARE, "prepare")   /* making volumes, taking ports */                             \
    X(MIG_TGT_PREPARED, "prepared") /* they are there; volumes may be coming in */                 \
    X(MIG_TGT_START, "start")       /* starting QEMU */                                            \
    X(MIG_TGT_READY, "ready")       /* QEMU waits, and takes what the source sends */              \
    X(MIG_TGT_LOADED, "loaded")     /* the guest is complete and stopped */                        \
    X(MIG_TGT_ALONE, "alone")       /* so it is, and the source is silent */                       \
    X(MIG_TGT_CLAIM, "claim")       /* asking for the right to run it without an order */          \
    X(MIG_TGT_RUN, "run")           /* ordered or allowed to run it */                             \
    X(MIG_TGT_RUNNING, "running")   /* it runs here; the source cleans up */                       \
    X(MIG_TGT_FINISH, "finish")     /* unlocking */                                                \
    X(MIG_TGT_KILL, "kill")         /* ending QEMU: it will not run here */                        \
    X(MIG_TGT_FREE, "free")         /* removing volumes, once it is certain whose they are */      \
    X(MIG_TGT_DONE, "done")         /* the guest is this node's */                                 \
    X(MIG_TGT_GONE, "gone")         /* nothing is left */
typedef enum MigTgtState { MIG_TGT_LIST(STRTAB_ENUM) MIG_TGT_N } MigTgtState;
STRTAB_DECLARE(mig_tgt, MigTgtState);

#define MIG_TOP_LIST(X)                                                                            \
    X(MIG_TOP_CHECK, "check", 1) /* answers `checked` itself */                                    \
    X(MIG_TOP_JOURNAL, "journal", 0)                                                               \
    X(MIG_TOP_PREPARE, "prepare", 1) /* answers `prepared` itself */                               \
    X(MIG_TOP_START, "start", 1)     /* answers `started` itself */                                \
    X(MIG_TOP_RECOVER, "recover", 1) /* post-copy: a new port; answers `recovered` itself */       \
    X(MIG_TOP_PLACE, "place", 1)     /* 1 here and quorate, 0 not here and quorate, -EAGAIN */     \
    X(MIG_TOP_CLAIM, "claim", 1)                                                                   \
    X(MIG_TOP_RUN, "run", 1)                                                                       \
    X(MIG_TOP_UNLOCK, "unlock", 1)                                                                 \
    X(MIG_TOP_KILL, "kill", 1)                                                                     \
    X(MIG_TOP_FREE, "free", 1)           /* -EAGAIN: no quorum, so unknown whose they are */       \
    X(MIG_TOP_INTERRUPT, "interrupt", 0) /* end the waiting operation soon */                      \
    X(MIG_TOP_SAY_LOADED, "say loaded", 0)                                                         \
    X(MIG_TOP_SAY_RUNNING, "say running", 0)                                                       \
    X(MIG_TOP_SAY_FINISHED, "say finished", 0)                                                     \
    X(MIG_TOP_SAY_ABORTED, "say aborted", 0)                                                       \
    X(MIG_TOP_SAY_ERROR, "say error", 0) /* `code` and `why` */                                    \
    X(MIG_TOP_END, "end", 0)             /* forget the journal, close */
#define MIG_TOP_ENUM(value, text, waits) value,
typedef enum MigTop { MIG_TOP_LIST(MIG_TOP_ENUM) MIG_TOP_N } MigTop;
const char *mig_top_name(MigTop op);
bool mig_top_waits(MigTop op);

typedef enum MigTevKind {
    MIG_TEV_CHECK, /* messages of the source */
    MIG_TEV_PREPARE,
    MIG_TEV_START,
    MIG_TEV_RUN,
    MIG_TEV_FINISH,
    MIG_TEV_ABORT,
    MIG_TEV_RECOVER,
    MIG_TEV_LINKED, /* the source has connected again */
    MIG_TEV_LOST,
    MIG_TEV_LOADED,    /* QEMU has the guest complete */
    MIG_TEV_POSTCOPY,  /* QEMU has enough of it to run; the rest follows */
    MIG_TEV_QEMU_GONE, /* QEMU ended or said that the stream failed */
    MIG_TEV_DONE,      /* `op` ended with `r` */
    MIG_TEV_RESTART,   /* made from a journal; `r` as MigTgtFound */
    MIG_TEV_TICK,
    MIG_TEV_N,
} MigTevKind;

/* What a restarted agent finds. */
typedef enum MigTgtFound {
    MIG_FOUND_NO_QEMU,
    MIG_FOUND_INCOMING, /* it still waits for the guest */
    MIG_FOUND_LOADED,
    MIG_FOUND_RUNNING, /* or it did, or may have: it was complete, is ours, and QEMU is gone */
} MigTgtFound;

typedef struct MigTgtEvent {
    MigTevKind kind;
    MonoTime now;
    MigTop op;
    int r;
    const char *text;
} MigTgtEvent;

#define MIG_TOPS_MAX 8
typedef struct MigTgtStep {
    unsigned n;
    MigTop ops[MIG_TOPS_MAX];
} MigTgtStep;

typedef struct MigTarget {
    bool online; /* set by the adapter when `prepare` comes */
    Tracer tracer;

    MigTgtState state;
    MigTop busy;
    MonoTime deadline, gives_up;
    bool linked, prepared, loaded, postcopy, ordered, running, abort_asked, unlocked, stopping;
    int code;
    char why[MIG_TEXT_MAX];
} MigTarget;

void mig_target_init(MigTarget *t);
/* One event in, what is to be done out; is there nothing left that could happen? */
void mig_target_step(MigTarget *t, const MigTgtEvent *ev, MigTgtStep *ret);
bool mig_target_ended(const MigTarget *t);

#endif
