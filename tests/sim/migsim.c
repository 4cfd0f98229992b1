/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migsim: both machines of a migration in one process, with models of what is around them: two
 * agents that can be killed, two QEMUs, the cluster's tree with quorum on each side, volumes,
 * ports, links that are cut or stall. Every fault is put into every phase, many times from
 * different seeds, and after each run:
 *
 *   - at no moment did the guest run on two sides, nor without all of its state (INV-5)
 *   - when all has calmed down it runs on the side whose directory has its configuration, unless
 *     the fault itself took its process away
 *   - no lock word, port, process, journal or volume is left over
 *   - the outcome is one of those in the table of docs/states/migration.md
 *
 *   migsim                       all cells, compared with the page (--page FILE)
 *   migsim --table               prints the table as it belongs into the page
 *   migsim --cell PHASE FAULT SEED   one run, told line by line
 *   migsim --doubles FROM COUNT      two faults in each run
 *   migsim --double SEED             one of them, told line by line
 */
#include "lib/base/prng.h"
#include "migration/core/mig_source.h"
#include "migration/core/mig_target.h"

#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>

#define SEEDS      100
#define DOUBLES    20000
#define RUN_S      1500 /* of virtual time: everything must have calmed down */
#define STEPS_MAX  200000
#define HEAL_S     70
#define RESTART_S  4
#define NODE_S     150
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
    X(FAULT_PAUSE_SOURCE, "source agent stalls")                                                   \
    X(FAULT_PAUSE_TARGET, "target agent stalls")                                                   \
    X(FAULT_CLOCK, "clock jumps")                                                                  \
    X(FAULT_CANCEL, "cancel")                                                                      \
    X(FAULT_GUARD, "target's HA guard lost")
typedef enum Fault { FAULT_LIST(STRTAB_ENUM) FAULT_N } Fault;
STRTAB_DECLARE(fault, Fault);
STRTAB_DEFINE(fault, Fault, FAULT_LIST, FAULT_N)

#define OUTCOME_LIST(X)                                                                            \
    X(OUTCOME_STAYS, "stays")                                                                      \
    X(OUTCOME_MOVES, "moves")                                                                      \
    X(OUTCOME_DOWN_SOURCE, "down at source")                                                       \
    X(OUTCOME_DOWN_TARGET, "down at target")
typedef enum Outcome { OUTCOME_LIST(STRTAB_ENUM) OUTCOME_N } Outcome;
STRTAB_DECLARE(outcome, Outcome);
STRTAB_DEFINE(outcome, Outcome, OUTCOME_LIST, OUTCOME_N)

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
    bool verbose, online, copies, mirrors, full, storage_gone;
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
        bool exists, online, running, knows;
    } tgt_journal;
    bool tgt_knows; /* the target's agent knows that there may be a volume to be freed */

    bool at_target, locked, src_quorum, tgt_quorum, claimed, claim_of_source;
    Qemu src_qemu, tgt_qemu;
    bool src_volume, tgt_volume, tgt_ports;
    unsigned link; /* number of the current one, 0: none */
    unsigned links;
    bool cut, stalled;
    bool lost_by_fault; /* the only process with the guest was killed */
    bool cancel_sent, reported;
    MigResult result;
    char broken[256]; /* rule that was broken, "" none */
} World;

static void say(World *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(World *w, const char *fmt, ...)
{
    va_list ap;

    if (!w->verbose) {
        return;
    }
    va_start(ap, fmt);
    printf("%9.3f  ", (double)w->now.us / 1e6);
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
}

static void broken(World *w, const char *what)
{
    if (w->broken[0] == '\0') {
        (void)g_strlcpy(w->broken, what, sizeof w->broken);
        say(w, "BROKEN: %s", what);
    }
}

static void check(World *w)
{
    if (w->src_qemu == QEMU_RUNS && w->tgt_qemu == QEMU_RUNS) {
        broken(w, "the guest runs on both sides");
    }
    if (w->src_qemu == QEMU_RUNS && w->src_life > 0 && !w->src_volume) {
        broken(w, "the guest runs on the source without its volume");
    }
    if (w->tgt_qemu == QEMU_RUNS && w->mirrors && !w->tgt_volume) {
        broken(w, "the guest runs on the target without its volume");
    }
}

static Pending *add(World *w, int64_t ms, Kind kind)
{
    Pending *p = &w->events[w->n_events];

    g_assert_cmpuint(w->n_events, <, EVENTS_MAX);
    w->n_events++;
    *p = (Pending){.at = mono_add_ms(w->now, ms), .order = w->order++, .kind = kind};
    return p;
}

static int64_t some_ms(World *w, int64_t lo, int64_t hi)
{
    return prng_range(&w->prng, lo, hi);
}

static bool reachable(const World *w)
{
    return !w->cut && !w->stalled && w->src_up && w->tgt_up;
}

/* ---- links ----------------------------------------------------------------------------------- */

/* The link is gone; who is left notices: at once when the other side closed it, else by silence. */
static void drop_link(World *w, bool silent)
{
    if (w->link == 0) {
        return;
    }
    for (int side = 0; side < 2; side++) {
        int64_t ms = silent ? some_ms(w, MIG_LOST_MS - 1000, MIG_LOST_MS + 1000) : some_ms(w, 0, 2);
        Pending *p = add(w, ms, KIND_LOSS);

        p->a = (int)w->link;
        p->b = side;
        p->life = side == 0 ? w->src_life : w->tgt_life;
    }
    w->link = 0;
}

static void to_source(World *w, MigOp op, int r)
{
    Pending *p;

    if (w->link == 0) {
        return;
    }
    p = add(w, some_ms(w, 1, 5), KIND_SOURCE);
    p->a = MIG_EV_DONE;
    p->b = (int)op;
    p->r = r;
    p->life = w->src_life;
    p->message = true;
    p->r = r;
    p->order = w->order++;
}

static void to_target(World *w, MigTevKind kind)
{
    Pending *p;

    if (w->link == 0) {
        return;
    }
    p = add(w, some_ms(w, 1, 5), KIND_TARGET);
    p->a = kind;
    p->life = w->tgt_life;
    p->message = true;
}

/* A program makes the volume on the target; before it is started the journal says so. */
static void make_volume(World *w)
{
    w->tgt_knows = w->tgt_journal.knows = true;
    (void)add(w, some_ms(w, 1, 30), KIND_VOLUME);
}

/* ---- the source's operations ------------------------------------------------------------------
 */

static void src_done_in(World *w, int64_t lo, int64_t hi, MigOp op)
{
    Pending *p = add(w, some_ms(w, lo, hi), KIND_SOURCE);

    p->a = MIG_EV_DONE;
    p->b = (int)op;
    p->r = INT_MIN; /* what happens is decided when it happens */
    p->life = w->src_life;
}

static void src_remote(World *w, MigOp op, MigTevKind kind)
{
    if (w->link == 0) {
        Pending *p = add(w, 1, KIND_SOURCE);

        p->a = MIG_EV_DONE;
        p->b = (int)op;
        p->r = -EPIPE;
        p->life = w->src_life;
    } else {
        to_target(w, kind);
    }
}

static void src_interrupt(World *w)
{
    Pending *p = add(w, some_ms(w, 0, 20), KIND_SOURCE);

    p->a = MIG_EV_DONE;
    p->b = (int)w->src.busy;
    p->r = -EINTR;
    p->life = w->src_life;
}

static void src_perform(World *w, MigOp op)
{
    say(w, "  source does %s", mig_op_name(op));
    switch (op) {
    case MIG_OP_JOURNAL:
        w->src_journal.exists = true;
        w->src_journal.online = w->src.online;
        w->src_journal.copies = w->src.copies;
        w->src_journal.mirrors = w->src.mirrors;
        w->src_journal.locked = w->src.locked;
        w->src_journal.prepared = w->src.prepared;
        w->src_journal.migrating = w->src.migrating;
        break;
    case MIG_OP_REPORT:
        w->reported = true;
        w->result = w->src.result;
        break;
    case MIG_OP_END:
        w->src_journal.exists = false;
        w->claimed = false;
        drop_link(w, false);
        break;
    case MIG_OP_INTERRUPT:
        src_interrupt(w);
        break;
    case MIG_OP_CHECK:
        src_remote(w, op, MIG_TEV_CHECK);
        break;
    case MIG_OP_PREPARE:
        src_remote(w, op, MIG_TEV_PREPARE);
        break;
    case MIG_OP_START:
        src_remote(w, op, MIG_TEV_START);
        break;
    case MIG_OP_RUN:
        src_remote(w, op, MIG_TEV_RUN);
        break;
    case MIG_OP_FINISH:
        src_remote(w, op, MIG_TEV_FINISH);
        break;
    case MIG_OP_ABORT:
        src_remote(w, op, MIG_TEV_ABORT);
        break;
    case MIG_OP_CONNECT:
        src_done_in(w, 2, 20, op);
        break;
    case MIG_OP_COPY:
        if (reachable(w) && !w->full && w->tgt.state == MIG_TGT_PREPARED) {
            make_volume(w);
        }
        src_done_in(w, 500, 3000, op);
        break;
    case MIG_OP_MIRROR:
    case MIG_OP_MIGRATE:
        src_done_in(w, 500, 3000, op);
        break;
    case MIG_OP_SWITCH:
        src_done_in(w, 5, 60, op);
        break;
    case MIG_OP_CLEAN:
        src_done_in(w, 50, 400, op);
        break;
    default:
        src_done_in(w, 1, 15, op);
        break;
    }
}

static bool stream_works(const World *w)
{
    return !w->cut && !w->stalled && w->tgt_qemu == QEMU_INCOMING;
}

/* Not now: the same again in a moment. */
#define LATER INT_MAX

static int connect_now(World *w)
{
    if (!reachable(w)) {
        return -EHOSTUNREACH;
    }
    w->link = ++w->links;
    if (!w->tgt_exists && w->tgt_gone_note) {
        return MIG_PEER_NEW;
    }
    if (!w->tgt_exists) {
        mig_target_init(&w->tgt);
        w->tgt_exists = true;
    }
    to_target(w, MIG_TEV_LINKED);
    return (int)mig_peer_state(mig_tgt_name(w->tgt.state));
}

static int tree_change(World *w, bool quorum, bool ambiguous_now)
{
    if (!quorum) {
        return -EACCES;
    }
    return ambiguous_now && prng_chance(&w->prng, 1, 4) ? -EBUSY : 0;
}

static int rename_now(World *w, bool to_target_side)
{
    int r = tree_change(w, w->src_quorum, !w->src_quorum || !w->tgt_quorum);

    if (r == -EACCES || (r == -EBUSY && prng_chance(&w->prng, 1, 2))) {
        return r;
    }
    w->at_target = to_target_side;
    return r;
}

static int stream_step(World *w, MigOp op)
{
    if (w->src_qemu == QEMU_NONE) {
        return -ESRCH;
    }
    if (op == MIG_OP_MIRROR && w->full) {
        return -ENOSPC;
    }
    if (op == MIG_OP_MIRROR && w->storage_gone) {
        return -EIO;
    }
    if (w->cut || w->stalled) {
        return LATER; /* hangs, until it is interrupted */
    }
    if (!stream_works(w)) {
        w->src_qemu = w->src_qemu == QEMU_STOPPED ? QEMU_RUNS : w->src_qemu;
        return -EIO;
    }
    if (op == MIG_OP_MIGRATE) {
        w->src_qemu = QEMU_STOPPED;
    } else if (op == MIG_OP_SWITCH) {
        Pending *p = add(w, some_ms(w, 0, 3), KIND_TARGET);

        w->src_qemu = QEMU_POST;
        w->tgt_qemu = QEMU_LOADED;
        p->a = MIG_TEV_LOADED;
        p->life = w->tgt_life;
    }
    return 0;
}

static int cancel_now(World *w)
{
    if (w->src_qemu == QEMU_POST) {
        return 1;
    }
    if (w->src_qemu == QEMU_STOPPED) {
        w->src_qemu = QEMU_RUNS;
    }
    if (w->tgt_qemu == QEMU_INCOMING && !w->cut && !w->stalled) {
        Pending *p = add(w, 5, KIND_TARGET);

        w->tgt_qemu = QEMU_NONE; /* it ends with its stream */
        p->a = MIG_TEV_QEMU_GONE;
        p->life = w->tgt_life;
    }
    return 0;
}

static int claim_now(World *w, bool source, bool quorum)
{
    if (!quorum) {
        return -EACCES;
    }
    if (w->claimed) {
        return w->claim_of_source == source ? 0 : -EEXIST;
    }
    w->claimed = true;
    w->claim_of_source = source;
    return 0;
}

static int place_now(World *w)
{
    if (w->src.resumed_from_journal) {
        int r = claim_now(w, true, w->src_quorum);

        if (r == 0) {
            w->src.claimed = true;
        } else if (r != -EEXIST) {
            return -EAGAIN;
        }
    }
    return !w->src_quorum ? -EAGAIN : w->at_target;
}

static int clean_now(World *w)
{
    w->src_qemu = QEMU_NONE;
    if (w->mirrors || w->copies) {
        if (w->storage_gone) {
            return -EIO;
        }
        w->src_volume = false;
    }
    return 0;
}

static int copy_now(World *w)
{
    if (w->full) {
        return -ENOSPC;
    }
    if (w->storage_gone) {
        return -EIO;
    }
    if (w->cut || w->stalled) {
        return LATER;
    }
    if (!w->tgt_up || w->tgt.state != MIG_TGT_PREPARED) {
        return -EPIPE;
    }
    return w->tgt_volume ? 0 : -EPIPE;
}

static int src_effect(World *w, MigOp op)
{
    int r;

    switch (op) {
    case MIG_OP_CONNECT:
        return connect_now(w);
    case MIG_OP_LOCK:
        r = w->locked ? -EALREADY : tree_change(w, w->src_quorum, false);
        w->locked = w->locked || r == 0;
        return r;
    case MIG_OP_COPY:
        return copy_now(w);
    case MIG_OP_MIRROR:
    case MIG_OP_MIGRATE:
    case MIG_OP_SWITCH:
        return stream_step(w, op);
    case MIG_OP_RENAME:
        return rename_now(w, true);
    case MIG_OP_BACK:
        return rename_now(w, false);
    case MIG_OP_PLACE:
        return place_now(w);
    case MIG_OP_CLAIM:
        return claim_now(w, true, w->src_quorum);
    case MIG_OP_CANCEL:
        return cancel_now(w);
    case MIG_OP_CONT:
        if (w->src_qemu != QEMU_POST && w->src_qemu != QEMU_STOPPED && w->src_qemu != QEMU_RUNS) {
            return -ESRCH;
        }
        w->src_qemu = QEMU_RUNS;
        return 0;
    case MIG_OP_CLEAN:
        return clean_now(w);
    case MIG_OP_UNLOCK:
        if (!w->src_quorum) {
            return -EACCES;
        }
        w->locked = w->locked && w->at_target;
        return 0;
    default:
        return 0;
    }
}

/* ---- the target's operations ------------------------------------------------------------------
 */

static MigOp answer_of(MigTop op)
{
    return op == MIG_TOP_CHECK     ? MIG_OP_CHECK
           : op == MIG_TOP_PREPARE ? MIG_OP_PREPARE
                                   : MIG_OP_START;
}

static void tgt_perform(World *w, MigTop op)
{
    Pending *p;

    say(w, "  target does %s", mig_top_name(op));
    if (op == MIG_TOP_PREPARE && w->mirrors && !w->full) {
        make_volume(w);
    }
    if (mig_top_waits(op)) {
        int64_t lo = op == MIG_TOP_START ? 100 : op == MIG_TOP_PREPARE ? 31 : 1;
        int64_t hi = op == MIG_TOP_START ? 900 : op == MIG_TOP_PREPARE ? 60 : 40;

        p = add(w, some_ms(w, lo, hi), KIND_TARGET);
        p->a = MIG_TEV_DONE;
        p->b = (int)op;
        p->r = INT_MIN;
        p->life = w->tgt_life;
        return;
    }
    switch (op) {
    case MIG_TOP_JOURNAL:
        w->tgt_journal.exists = true;
        w->tgt_journal.online = w->tgt.online;
        w->tgt_journal.running = w->tgt.running;
        break;
    case MIG_TOP_SAY_RUNNING:
        to_source(w, MIG_OP_RUN, 0);
        break;
    case MIG_TOP_SAY_FINISHED:
        to_source(w, MIG_OP_FINISH, 0);
        break;
    case MIG_TOP_SAY_ABORTED:
        to_source(w, MIG_OP_ABORT, 0);
        break;
    case MIG_TOP_SAY_ERROR: /* answers whatever the source waits for */
        to_source(w, MIG_OP_N, w->tgt.code);
        break;
    case MIG_TOP_END:
        w->tgt_journal.exists = w->tgt_journal.knows = w->tgt_knows = false;
        w->tgt_exists = false;
        drop_link(w, false);
        break;
    default:
        break;
    }
}

static int tgt_effect(World *w, MigTop op)
{
    switch (op) {
    case MIG_TOP_PREPARE:
        w->tgt_ports = w->online;
        return w->mirrors && !w->tgt_volume ? -ENOSPC : 0;
    case MIG_TOP_START:
        w->tgt_qemu = QEMU_INCOMING;
        return 0;
    case MIG_TOP_PLACE:
        return !w->tgt_quorum ? -EAGAIN : w->at_target;
    case MIG_TOP_CLAIM:
        return claim_now(w, false, w->tgt_quorum);
    case MIG_TOP_CHECK:
        return w->unguarded ? -EPERM : 0;
    case MIG_TOP_RUN:
        if (w->online && w->tgt_qemu != QEMU_LOADED) {
            return -ESRCH;
        }
        if (w->online && w->unguarded) {
            return -EPERM; /* what does not run is not HA's business until its LRM starts it */
        }
        w->tgt_qemu = w->online ? QEMU_RUNS : QEMU_NONE;
        w->tgt_ports = false;
        return 0;
    case MIG_TOP_UNLOCK:
        if (!w->tgt_quorum) {
            return -EACCES;
        }
        w->locked = w->locked && !w->at_target;
        return 0;
    case MIG_TOP_KILL:
        if (w->tgt_qemu == QEMU_RUNS) {
            broken(w, "the target kills a running guest");
        }
        w->tgt_qemu = QEMU_NONE;
        w->tgt_ports = false;
        w->tgt_gone_note = true;
        return 0;
    case MIG_TOP_FREE:
        if (!w->tgt_quorum || (w->at_target && w->locked)) {
            return -EAGAIN;
        }
        w->tgt_volume = w->tgt_volume && (w->at_target || !w->tgt_knows);
        return 0;
    default:
        return 0;
    }
}

/* ---- machines ---------------------------------------------------------------------------------
 */

static void strike(World *w);

static void step_source(World *w, MigEventKind kind, MigOp op, int r)
{
    MigEvent ev = {.kind = kind, .now = w->now, .op = op, .r = r};
    MigSrcState before = w->src.state;
    MigStep out;

    w->src.quorate = w->src_quorum;
    mig_source_step(&w->src, &ev, &out);
    if (w->src.state != before) {
        say(w, "source: %s -> %s", mig_src_name(before), mig_src_name(w->src.state));
    }
    for (unsigned i = 0; i < out.n; i++) {
        src_perform(w, out.ops[i]);
    }
    if (w->src.state != before) {
        strike(w);
    }
}

static void step_target(World *w, MigTevKind kind, MigTop op, int r)
{
    MigTgtEvent ev = {.kind = kind, .now = w->now, .op = op, .r = r};
    MigTgtState before = w->tgt.state;
    MigTgtStep out;

    if (kind == MIG_TEV_PREPARE) {
        w->tgt.online = w->online;
    }
    mig_target_step(&w->tgt, &ev, &out);
    if (w->tgt.state != before) {
        say(w, "target: %s -> %s", mig_tgt_name(before), mig_tgt_name(w->tgt.state));
    }
    for (unsigned i = 0; i < out.n; i++) {
        tgt_perform(w, out.ops[i]);
    }
}

static void on_source(World *w, Pending p)
{
    int r = p.r;

    if (!w->src_up || p.life != w->src_life) {
        return;
    }
    if (p.message && p.b == MIG_OP_N) {
        p.b = (int)w->src.busy; /* an error answers what is under way */
        if (p.b == MIG_OP_N ||
            !(p.b == MIG_OP_CHECK || p.b == MIG_OP_PREPARE || p.b == MIG_OP_START ||
              p.b == MIG_OP_RUN || p.b == MIG_OP_FINISH || p.b == MIG_OP_ABORT)) {
            return;
        }
    }
    if (p.a == MIG_EV_DONE && (int)w->src.busy != p.b) {
        return; /* it was interrupted */
    }
    if (r == INT_MIN) {
        r = src_effect(w, (MigOp)p.b);
        if (r == LATER) {
            src_done_in(w, 200, 400, (MigOp)p.b);
            return;
        }
    }
    step_source(w, (MigEventKind)p.a, (MigOp)p.b, r);
}

static void on_target(World *w, Pending p)
{
    int r = p.r;

    if (!w->tgt_up || !w->tgt_exists || p.life != w->tgt_life) {
        return;
    }
    if (p.a == MIG_TEV_DONE && (int)w->tgt.busy != p.b) {
        return;
    }
    if (r == INT_MIN) {
        r = tgt_effect(w, (MigTop)p.b);
        if (r == 0 && (p.b == MIG_TOP_CHECK || p.b == MIG_TOP_PREPARE || p.b == MIG_TOP_START)) {
            to_source(w, answer_of((MigTop)p.b), 0);
        }
    }
    step_target(w, (MigTevKind)p.a, (MigTop)p.b, r);
}

static void on_loss(World *w, Pending p)
{
    static const MigOp remote[] = {MIG_OP_CHECK, MIG_OP_PREPARE, MIG_OP_START,
                                   MIG_OP_RUN,   MIG_OP_FINISH,  MIG_OP_ABORT};

    if (w->link != 0 && (unsigned)p.a < w->links) {
        return; /* there is a newer one */
    }
    if (p.b == 1) {
        if (w->tgt_up && w->tgt_exists && p.life == w->tgt_life) {
            step_target(w, MIG_TEV_LOST, MIG_TOP_N, 0);
        }
        return;
    }
    if (!w->src_up || p.life != w->src_life) {
        return;
    }
    step_source(w, MIG_EV_LOST, MIG_OP_N, 0);
    for (guint i = 0; i < G_N_ELEMENTS(remote); i++) {
        if (w->src.busy == remote[i]) {
            step_source(w, MIG_EV_DONE, remote[i], -EPIPE);
            return;
        }
    }
}

/* ---- faults -----------------------------------------------------------------------------------
 */

static void kill_agent(World *w, int side)
{
    Pending *p;

    drop_link(w, w->cut || w->stalled);
    if (side == 0) {
        w->src_up = false;
        w->src_life++;
    } else {
        w->tgt_up = false;
        w->tgt_exists = w->tgt_knows = false;
        w->tgt_life++;
    }
    p = add(w, some_ms(w, 200, RESTART_S * 1000), KIND_RESTART);
    p->b = side;
}

static void kill_node(World *w, int side)
{
    kill_agent(w, side);
    w->events[w->n_events - 1].at = mono_add_ms(w->now, NODE_S * 1000);
    if (side == 0) {
        w->lost_by_fault = w->lost_by_fault || w->src_qemu == QEMU_RUNS ||
                           w->src_qemu == QEMU_STOPPED || w->src_qemu == QEMU_POST;
        w->src_qemu = QEMU_NONE;
    } else {
        w->lost_by_fault = w->lost_by_fault || w->tgt_qemu == QEMU_RUNS;
        w->tgt_qemu = QEMU_NONE;
        w->tgt_ports = false;
    }
}

static void kill_qemu(World *w, int side)
{
    if (side == 0) {
        /* Of two faults the other one may have taken the target's copy away. */
        if (w->src_qemu == QEMU_RUNS || w->src_qemu == QEMU_STOPPED ||
            (w->src_qemu == QEMU_POST && w->faults > 1)) {
            w->lost_by_fault = true;
        }
        w->src_qemu = QEMU_NONE;
    } else if (w->tgt_qemu != QEMU_NONE) {
        Pending *p = add(w, 1, KIND_TARGET);

        w->lost_by_fault = w->lost_by_fault || w->tgt_qemu == QEMU_RUNS;
        w->tgt_qemu = QEMU_NONE;
        p->a = MIG_TEV_QEMU_GONE;
        p->life = w->tgt_life;
    }
}

/* Processes and people. False: it is none of these. */
static bool apply_to_process(World *w, Fault f, int64_t heal_ms)
{
    switch (f) {
    case FAULT_SOURCE_QEMU:
    case FAULT_TARGET_QEMU:
        kill_qemu(w, f == FAULT_TARGET_QEMU);
        return true;
    case FAULT_SOURCE_AGENT:
    case FAULT_TARGET_AGENT:
        kill_agent(w, f == FAULT_TARGET_AGENT);
        return true;
    case FAULT_SOURCE_NODE:
    case FAULT_TARGET_NODE:
        kill_node(w, f == FAULT_TARGET_NODE);
        return true;
    case FAULT_PAUSE_SOURCE:
    case FAULT_PAUSE_TARGET:
        *(f == FAULT_PAUSE_SOURCE ? &w->src_paused : &w->tgt_paused) = mono_add_ms(w->now, heal_ms);
        if (heal_ms > MIG_LOST_MS) {
            drop_link(w, true);
        }
        return true;
    case FAULT_CANCEL:
        w->cancel_sent = true;
        if (w->src_up) {
            step_source(w, MIG_EV_CANCEL, MIG_OP_N, 0);
        }
        return true;
    default:
        return false;
    }
}

/* What is around them, until it heals. */
static void apply(World *w, Fault f)
{
    int64_t heal_ms = some_ms(w, 500, HEAL_S * 1000);

    say(w, "FAULT: %s", f < FAULT_N ? fault_names[f] : "none");
    if (apply_to_process(w, f, heal_ms)) {
        return;
    }
    switch (f) {
    case FAULT_CUT:
        w->cut = true;
        break;
    case FAULT_STALL:
        w->stalled = true;
        break;
    case FAULT_PARTITION:
        w->cut = true;
        w->src_quorum = false;
        break;
    case FAULT_PARTITION_TARGET:
        w->cut = true;
        w->tgt_quorum = false;
        break;
    case FAULT_QUORUM_SOURCE:
        w->src_quorum = false;
        break;
    case FAULT_QUORUM_TARGET:
        w->tgt_quorum = false;
        break;
    case FAULT_QUORUM_BOTH:
        w->src_quorum = w->tgt_quorum = false;
        break;
    case FAULT_DISK_FULL:
        w->full = true;
        break;
    case FAULT_GUARD:
        w->unguarded = true;
        break;
    case FAULT_STORAGE:
        w->storage_gone = true;
        break;
    default:
        return; /* nothing; and machines know no wall clock that could jump */
    }
    if (w->cut || w->stalled) {
        drop_link(w, true);
    }
    (void)add(w, heal_ms, KIND_HEAL);
}

/* Once each, at some moment of their phase. */
static void strike(World *w)
{
    MigSrcState now = w->src.state;
    bool slow =
        now == MIG_SRC_COPY || now == MIG_SRC_START || now == MIG_SRC_MIRROR || now == MIG_SRC_MOVE;

    for (unsigned i = 0; i < w->faults; i++) {
        if (w->phase[i] == now && !w->fault_done[i]) {
            Pending *p = add(w, some_ms(w, 0, slow ? 1000 : 9), KIND_FAULT);

            w->fault_done[i] = true;
            p->a = (int)w->fault[i];
        }
    }
}

static void heal(World *w)
{
    say(w, "healed");
    w->cut = w->stalled = false;
    w->src_quorum = w->tgt_quorum = true;
    w->full = w->storage_gone = w->unguarded = false;
}

static void restart_source(World *w)
{
    w->src_up = true;
    if (!w->src_journal.exists) {
        return;
    }
    mig_source_init(&w->src);
    w->src.online = w->src_journal.online;
    w->src.copies = w->src_journal.copies;
    w->src.mirrors = w->src_journal.mirrors;
    w->src.locked = w->src_journal.locked;
    w->src.prepared = w->src_journal.prepared;
    w->src.migrating = w->src_journal.online && w->src_journal.prepared;
    w->src.linked = true;
    step_source(w, MIG_EV_RESTART, MIG_OP_N, 0);
}

static void restart_target(World *w)
{
    int found = MIG_FOUND_NO_QEMU;

    w->tgt_up = true;
    if (!w->tgt_journal.exists) {
        return;
    }
    mig_target_init(&w->tgt);
    w->tgt_exists = true;
    w->tgt.online = w->tgt_journal.online;
    w->tgt.running = w->tgt_journal.running;
    w->tgt_knows = w->tgt_journal.knows;
    if (w->tgt_qemu == QEMU_RUNS || w->tgt_journal.running) {
        found = MIG_FOUND_RUNNING;
    } else if (w->tgt_qemu != QEMU_NONE) {
        found = w->tgt_qemu == QEMU_LOADED ? MIG_FOUND_LOADED : MIG_FOUND_INCOMING;
    }
    step_target(w, MIG_TEV_RESTART, MIG_TOP_N, found);
}

/* ---- one run ----------------------------------------------------------------------------------
 */

static bool before(const Pending *a, const Pending *b)
{
    return a->at.us < b->at.us || (a->at.us == b->at.us && a->order < b->order);
}

static bool next_event(World *w, Pending *ret)
{
    unsigned best = 0;

    if (w->n_events == 0) {
        return false;
    }
    for (unsigned i = 1; i < w->n_events; i++) {
        if (before(&w->events[i], &w->events[best])) {
            best = i;
        }
    }
    *ret = w->events[best];
    w->events[best] = w->events[--w->n_events];
    return true;
}

/* The alarm of a machine comes before the next event. */
static bool tick(World *w, MonoTime limit)
{
    if (w->src.deadline.us < w->src_paused.us) {
        w->src.deadline = w->src_paused;
    }
    if (w->tgt.deadline.us < w->tgt_paused.us) {
        w->tgt.deadline = w->tgt_paused;
    }
    bool src = w->src_up && !mig_source_ended(&w->src) && w->src.deadline.us < limit.us;
    bool tgt = w->tgt_up && w->tgt_exists && w->tgt.deadline.us < limit.us &&
               (!src || w->tgt.deadline.us < w->src.deadline.us);

    if (tgt) {
        w->now = w->tgt.deadline.us > w->now.us ? w->tgt.deadline : w->now;
        w->tgt.deadline = w->tgt.busy != MIG_TOP_N ? mono_add_ms(w->now, 10) : w->tgt.deadline;
        step_target(w, MIG_TEV_TICK, MIG_TOP_N, 0);
    } else if (src) {
        w->now = w->src.deadline.us > w->now.us ? w->src.deadline : w->now;
        w->src.deadline = w->src.busy != MIG_OP_N && w->src.state != MIG_SRC_MOVE
                              ? mono_add_ms(w->now, 10)
                              : w->src.deadline;
        step_source(w, MIG_EV_TICK, MIG_OP_N, 0);
    }
    return src || tgt;
}

static void dispatch(World *w, Pending p)
{
    bool lost_message = p.message && (w->cut || w->stalled || w->link == 0);
    bool for_source = p.kind == KIND_SOURCE || (p.kind == KIND_LOSS && p.b == 0);
    bool for_target = p.kind == KIND_TARGET || (p.kind == KIND_LOSS && p.b == 1);

    w->now = p.at.us > w->now.us ? p.at : w->now;
    if ((for_source && mono_before(w->now, w->src_paused)) ||
        (for_target && mono_before(w->now, w->tgt_paused))) {
        p.at = for_source ? w->src_paused : w->tgt_paused; /* seen when it goes on */
        g_assert_cmpuint(w->n_events, <, EVENTS_MAX);
        w->events[w->n_events++] = p;
        return;
    }
    switch (p.kind) {
    case KIND_SOURCE:
        if (!lost_message) {
            on_source(w, p);
        }
        break;
    case KIND_TARGET:
        if (!lost_message) {
            on_target(w, p);
        }
        break;
    case KIND_FAULT:
        apply(w, (Fault)p.a);
        break;
    case KIND_HEAL:
        heal(w);
        break;
    case KIND_LOSS:
        on_loss(w, p);
        break;
    case KIND_RESTART:
        say(w, "agent %d starts again", p.b);
        (p.b == 0 ? restart_source : restart_target)(w);
        break;
    case KIND_VOLUME:
        w->tgt_volume = true;
        break;
    }
}

static void check_end(World *w)
{
    Qemu owner = w->at_target ? w->tgt_qemu : w->src_qemu;
    Qemu other = w->at_target ? w->src_qemu : w->tgt_qemu;
    bool should_run = w->online && !w->lost_by_fault;

    if (w->src_journal.exists || w->tgt_journal.exists) {
        broken(w, "a journal is left: somebody never came to an end");
    }
    if (w->locked) {
        broken(w, "the lock is left");
    }
    if (w->tgt_ports) {
        broken(w, "ports are left");
    }
    if (other != QEMU_NONE) {
        broken(w, "a process is left on the other side");
    }
    if (should_run && owner != QEMU_RUNS) {
        broken(w, "the guest is down without a reason");
    }
    if ((w->mirrors || w->copies) && !(w->at_target ? w->tgt_volume : w->src_volume)) {
        broken(w, "the owner has no volume");
    }
    if (w->tgt_volume && !w->at_target) {
        broken(w, "a volume is left on the target");
    }
    if (w->src_volume && w->at_target && (w->mirrors || w->copies) &&
        w->result != MIG_RESULT_PROBLEMS && w->src_life == 0) {
        broken(w, "a volume is left on the source and nobody says so");
    }
    if (!w->reported && w->src_life == 0) {
        broken(w, "nobody was told how it ended");
    }
}

/* The kind of guest that the phase needs, else any. */
static void choose_guest(World *w, MigSrcState phase, uint64_t seed)
{
    w->online = phase == MIG_SRC_COPY ? prng_chance(&w->prng, 1, 2) : true;
    w->online = w->online && !(phase >= MIG_SRC_HANDOVER && seed % 5 == 4);
    w->mirrors = w->online && (phase == MIG_SRC_MIRROR || prng_chance(&w->prng, 1, 2));
    w->copies = phase == MIG_SRC_COPY || !w->online;
}

static Outcome run_world(World *w)
{
    mig_source_init(&w->src);
    w->src.online = w->online;
    w->src.copies = w->copies;
    w->src.mirrors = w->mirrors;
    w->src_up = w->tgt_up = w->src_quorum = w->tgt_quorum = w->src_volume = true;
    w->src_qemu = w->online ? QEMU_RUNS : QEMU_NONE;
    step_source(w, MIG_EV_START, MIG_OP_N, 0);
    for (unsigned i = 0; i < STEPS_MAX && w->now.us < RUN_S * US_PER_SEC; i++) {
        Pending p;
        MonoTime limit = MONO_NEVER;

        for (unsigned k = 0; k < w->n_events; k++) {
            limit = mono_min(limit, w->events[k].at);
        }
        if (!tick(w, limit)) {
            if (!next_event(w, &p)) {
                break;
            }
            dispatch(w, p);
        }
        check(w);
    }
    check_end(w);
    if (w->online && (w->at_target ? w->tgt_qemu : w->src_qemu) != QEMU_RUNS) {
        return w->at_target ? OUTCOME_DOWN_TARGET : OUTCOME_DOWN_SOURCE;
    }
    return w->at_target ? OUTCOME_MOVES : OUTCOME_STAYS;
}

static Outcome run(World *w, MigSrcState phase, Fault fault, uint64_t seed, bool verbose)
{
    *w = (World){.verbose = verbose, .phase = {phase}, .fault = {fault}, .faults = 1};
    prng_init(&w->prng, seed * 1000 + (uint64_t)phase * 50 + (uint64_t)fault);
    choose_guest(w, phase, seed);
    return run_world(w);
}

/* Two faults in two phases. */
static void run_double(World *w, uint64_t seed, bool verbose)
{
    *w = (World){.verbose = verbose, .faults = 2};
    prng_init(&w->prng, seed);
    for (int i = 0; i < 2; i++) {
        w->phase[i] = (MigSrcState)prng_range(&w->prng, MIG_SRC_CONNECT, MIG_SRC_UNLOCK);
        w->fault[i] = (Fault)prng_below(&w->prng, FAULT_N);
    }
    choose_guest(w, w->phase[0], seed);
    (void)run_world(w); /* any outcome is fine that breaks no rule */
}

/* ---- all --------------------------------------------------------------------------------------
 */

static const MigSrcState phases[] = {
    MIG_SRC_CONNECT, MIG_SRC_CHECK,  MIG_SRC_LOCK,  MIG_SRC_PREPARE, MIG_SRC_COPY,
    MIG_SRC_START,   MIG_SRC_MIRROR, MIG_SRC_MOVE,  MIG_SRC_SWITCH,  MIG_SRC_HANDOVER,
    MIG_SRC_RUN,     MIG_SRC_CLEAN,  MIG_SRC_FINISH};

/* Outcomes of a cell over all seeds, as text. Caller frees; NULL when a rule was broken. */
static char *cell(MigSrcState phase, Fault fault)
{
    bool seen[OUTCOME_N] = {false};
    GString *out = g_string_new(NULL);
    World w;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        Outcome o = run(&w, phase, fault, seed, false);

        seen[o] = true;
        if (w.broken[0] != '\0') {
            printf("# phase %s, %s, seed %d: %s\n", mig_src_name(phase), fault_name(fault),
                   (int)seed, w.broken);
            (void)g_string_free(out, TRUE);
            return NULL;
        }
    }
    for (int i = 0; i < OUTCOME_N; i++) {
        if (seen[i]) {
            g_string_append_printf(out, "%s%s", out->len > 0 ? ", " : "", outcome_name((Outcome)i));
        }
    }
    return g_string_free(out, FALSE);
}

static char *row(Fault fault, bool *ret_ok)
{
    GString *line = g_string_new(NULL);

    g_string_append_printf(line, "| %s |", fault_name(fault));
    for (guint i = 0; i < G_N_ELEMENTS(phases); i++) {
        g_autofree char *text = cell(phases[i], fault);

        *ret_ok = *ret_ok && text != NULL;
        g_string_append_printf(line, " %s |", text != NULL ? text : "BROKEN");
    }
    return g_string_free(line, FALSE);
}

static int print_table(void)
{
    bool ok = true;

    printf("| |");
    for (guint i = 0; i < G_N_ELEMENTS(phases); i++) {
        printf(" %s |", mig_src_name(phases[i]));
    }
    printf("\n|---|");
    for (guint i = 0; i < G_N_ELEMENTS(phases); i++) {
        printf("---|");
    }
    printf("\n");
    for (int f = 0; f < FAULT_N; f++) {
        g_autofree char *line = row((Fault)f, &ok);

        printf("%s\n", line);
    }
    return ok ? 0 : 1;
}

static int double_faults(uint64_t from, uint64_t count)
{
    int failed = 0;
    World w;

    for (uint64_t seed = from; seed < from + count; seed++) {
        run_double(&w, seed, false);
        if (w.broken[0] != '\0') {
            printf("# seed %" G_GUINT64_FORMAT ": %s at %s, %s at %s: %s\n", seed,
                   fault_name(w.fault[0]), mig_src_name(w.phase[0]), fault_name(w.fault[1]),
                   mig_src_name(w.phase[1]), w.broken);
            failed++;
        }
    }
    return failed;
}

static int compare(const char *page_path)
{
    g_autofree char *page = NULL;
    int failed = 0;

    if (!g_file_get_contents(page_path, &page, NULL, NULL)) {
        printf("1..0 # SKIP no %s\n", page_path);
        return 1;
    }
    printf("1..%d\n", (int)FAULT_N + 1);
    for (int f = 0; f < FAULT_N; f++) {
        bool ok = true;
        g_autofree char *line = row((Fault)f, &ok);

        ok = ok && strstr(page, line) != NULL;
        if (!ok) {
            printf("# the page should have: %s\n", line);
            failed++;
        }
        printf("%s %d - %s, in each phase, ends as the page says\n", ok ? "ok" : "not ok", f + 1,
               fault_name((Fault)f));
    }
    failed += double_faults(1, DOUBLES);
    printf("%s %d - two faults, %d seeds\n", failed == 0 ? "ok" : "not ok", (int)FAULT_N + 1,
           DOUBLES);
    return failed > 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--table") == 0) {
        return print_table();
    }
    if (argc == 5 && strcmp(argv[1], "--cell") == 0) {
        int phase = mig_src_from_name(argv[2]);
        int fault = fault_from_name(argv[3]);
        World w;
        Outcome o;

        if (phase < 0 || fault < 0) {
            fprintf(stderr, "migsim: unknown phase or fault\n");
            return 2;
        }
        o = run(&w, (MigSrcState)phase, (Fault)fault, g_ascii_strtoull(argv[4], NULL, 10), true);
        printf("outcome: %s%s%s\n", outcome_name(o), w.broken[0] != '\0' ? "; BROKEN: " : "",
               w.broken);
        return w.broken[0] != '\0';
    }
    if (argc == 4 && strcmp(argv[1], "--doubles") == 0) {
        return double_faults(g_ascii_strtoull(argv[2], NULL, 10),
                             g_ascii_strtoull(argv[3], NULL, 10)) > 0;
    }
    if (argc == 3 && strcmp(argv[1], "--double") == 0) {
        World w;

        run_double(&w, g_ascii_strtoull(argv[2], NULL, 10), true);
        printf("%s\n", w.broken[0] != '\0' ? w.broken : "no rule was broken");
        return w.broken[0] != '\0';
    }
    if (argc == 3 && strcmp(argv[1], "--page") == 0) {
        return compare(argv[2]);
    }
    fprintf(stderr, "usage: migsim --table | --page FILE | --cell PHASE FAULT SEED\n");
    return 2;
}
