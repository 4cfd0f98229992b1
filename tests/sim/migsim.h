/* SPDX-License-Identifier: Apache-2.0 */
/* migsim.h: what the parts of the simulation of migrations share. See migsim.c. */
#ifndef TESTS_SIM_MIGSIM_H
#define TESTS_SIM_MIGSIM_H

#include "lib/base/prng.h"
#include "migration/core/mig_source.h"
#include "migration/core/mig_target.h"

#include <glib.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define EVENTS_MAX 4096

#define FAULT_LIST(X)                                                                              \
    X(FAULT_NONE, "nothing")                                                                       \
    X(FAULT_SOURCE_QEMU, "source QEMU dies")                                                       \
    X(FAULT_TARGET_QEMU, "target QEMU dies")                                                       \
    X(FAULT_SOURCE_AGENT, "source agent killed")                                                   \
    X(FAULT_TARGET_AGENT, "target agent killed")                                                   \
    X(FAULT_SOURCE_NODE, "source node dies")                                                       \
    X(FAULT_TARGET_NODE, "target node dies")                                                       \
    X(FAULT_CUT, "link cut")                                                                       \
    X(FAULT_STALL, "link stalls")                                                                  \
    X(FAULT_QUORUM_SOURCE, "source loses quorum")                                                  \
    X(FAULT_QUORUM_TARGET, "target loses quorum")                                                  \
    X(FAULT_QUORUM_BOTH, "both lose quorum")                                                       \
    X(FAULT_PARTITION, "source cut off")                                                           \
    X(FAULT_PARTITION_TARGET, "target cut off")                                                    \
    X(FAULT_DISK_FULL, "target disk full")                                                         \
    X(FAULT_STORAGE, "source storage gone")                                                        \
    X(FAULT_STORAGE_TARGET, "target storage gone")                                                 \
    X(FAULT_PAUSE_SOURCE, "source agent stalls")                                                   \
    X(FAULT_PAUSE_TARGET, "target agent stalls")                                                   \
    X(FAULT_CLOCK, "clock jumps")                                                                  \
    X(FAULT_CANCEL, "cancel")                                                                      \
    X(FAULT_GUARD, "target's HA guard lost")                                                       \
    X(FAULT_FREEZE, "target QEMU freezes")
typedef enum Fault { FAULT_LIST(STRTAB_ENUM) FAULT_N } Fault;
STRTAB_DECLARE(fault, Fault);

#define OUTCOME_LIST(X)                                                                            \
    X(OUTCOME_STAYS, "stays")                                                                      \
    X(OUTCOME_MOVES, "moves")                                                                      \
    X(OUTCOME_DOWN_SOURCE, "down at source")                                                       \
    X(OUTCOME_DOWN_TARGET, "down at target")
typedef enum Outcome { OUTCOME_LIST(STRTAB_ENUM) OUTCOME_N } Outcome;
STRTAB_DECLARE(outcome, Outcome);

typedef enum Qemu {
    QEMU_NONE,
    QEMU_RUNS,
    QEMU_STOPPED,
    QEMU_POST,
    QEMU_INCOMING,
    QEMU_LOADED
} Qemu;

typedef enum Kind {
    KIND_SOURCE, /* an event for the source's machine */
    KIND_TARGET, /* and for the target's */
    KIND_FAULT,  /* `a` */
    KIND_HEAL,
    KIND_LOSS,    /* of link `a`, side `b` notices */
    KIND_RESTART, /* of the agent of side `b` */
    KIND_VOLUME,  /* what makes it has made it on the target, whatever became of the agent */
} Kind;

typedef struct Pending {
    MonoTime at;
    uint64_t order;
    Kind kind;
    int a, b; /* event or fault; operation */
    int r;
    unsigned life; /* of the agent, or number of the link */
    bool message;  /* comes over the link with that number */
} Pending;

typedef struct World {
    Prng prng;
    MonoTime now;
    uint64_t order;
    bool verbose, online, copies, mirrors, full;
    bool storage_gone, tgt_storage_gone;
    unsigned coming;      /* volumes that a program of the target's agent of now is making */
    bool left_told;       /* a volume is left on the target, and its agent said so */
    bool tgt_frozen;      /* the target's QEMU does nothing and answers nobody */
    bool unguarded;       /* the guest is HA's, and the target's LRM has lost its lease */
    MigSrcState phase[2]; /* where the faults strike */
    Fault fault[2];
    unsigned faults;
    bool fault_done[2];
    MonoTime src_paused, tgt_paused; /* until then */
    Pending events[EVENTS_MAX];
    unsigned n_events;

    MigSource src;
    MigTarget tgt;
    bool src_up, tgt_up, tgt_exists, tgt_gone_note; /* agents; its machine; its tombstone */
    unsigned src_life, tgt_life;
    bool node_a, node_b;
    struct {
        bool exists, online, copies, mirrors, locked, prepared, migrating;
    } src_journal;
    struct {
        bool exists, online, loaded, running, knows;
    } tgt_journal;
    bool tgt_ran;   /* the guest has run there */
    bool tgt_knows; /* the target's agent knows that there may be a volume to be freed */

    bool at_target, locked, src_quorum, tgt_quorum, claimed, claim_of_source;
    Qemu src_qemu, tgt_qemu;
    bool src_volume, tgt_volume, tgt_ports;
    unsigned link; /* number of the current one, 0: none */
    unsigned links;
    MonoTime heard[2]; /* when the last thing said arrives at each side: a link keeps the order */
    bool cut, stalled;
    bool lost_by_fault; /* the only process with the guest was killed */
    bool cancel_sent, reported;
    MigResult result;
    char broken[256]; /* rule that was broken, "" none */
} World;

/* ---- migsim_world.c: what is around the machines ---- */

/* A line of the story, when it is told (`verbose`). */
void migsim_say(World *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A rule was broken; the first one is kept. */
void migsim_broken(World *w, const char *what);
/* The rules that hold at every moment. */
void migsim_check(World *w);
/* A new event in `ms`; the caller fills in the rest, until the next one is added. */
Pending *migsim_add(World *w, int64_t ms, Kind kind);
int64_t migsim_some_ms(World *w, int64_t lo, int64_t hi);
/* The target's QEMU is there, and does nothing. */
bool migsim_frozen(const World *w);
/* Both agents live and hear each other. */
bool migsim_reachable(const World *w);
/* The link is gone; who is left notices: at once when the other side closed it, else by silence. */
void migsim_drop_link(World *w, bool silent);
/* What one side says to the other; it is lost when there is no link. */
void migsim_to_source(World *w, MigOp op, int r);
void migsim_to_target(World *w, MigTevKind kind);
/* A program makes the volume on the target; before it is started the journal says so. */
void migsim_make_volume(World *w);

/* ---- migsim_ops.c: what the operations of both sides do to it ---- */

/* The operation of the source ends with success in `lo` to `hi` ms, as far as it knows. */
void migsim_src_done_in(World *w, int64_t lo, int64_t hi, MigOp op);
/* A machine orders an operation: what comes of it, and when, becomes an event. */
void migsim_src_perform(World *w, MigOp op);
void migsim_tgt_perform(World *w, MigTop op);
/* The operation is through: what it changed. 0, the error it really ends with, or MIGSIM_LATER: not
 * now, the same again in a moment. */
#define MIGSIM_LATER INT_MAX
int migsim_src_effect(World *w, MigOp op);
int migsim_tgt_effect(World *w, MigTop op);
/* The operation of the source that this one of the target answers. */
MigOp migsim_answer_of(MigTop op);

/* ---- migsim_fault.c: faults, and how they end ---- */

void migsim_apply(World *w, Fault f);
/* The faults of this run, once each, at some moment of their phase. */
void migsim_strike(World *w);
void migsim_heal(World *w);
/* The agent of that side comes back, and reads its journal. */
void migsim_restart_source(World *w);
void migsim_restart_target(World *w);

/* ---- migsim_run.c: the machines, step by step ---- */

void migsim_step_source(World *w, MigEventKind kind, MigOp op, int r);
void migsim_step_target(World *w, MigTevKind kind, MigTop op, int r);
/* One fault in one phase, from the beginning to the calm after it. `w` is initialised here. */
Outcome migsim_run(World *w, MigSrcState phase, Fault fault, uint64_t seed, bool verbose);
/* Two faults in two phases. */
void migsim_run_double(World *w, uint64_t seed, bool verbose);

#endif
