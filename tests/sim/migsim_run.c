/* SPDX-License-Identifier: Apache-2.0 */
/* One run: events in their order, the steps of both machines, and what must be so at the end. */
#include "tests/sim/migsim.h"

#include <errno.h>

#define RUN_S     1500 /* of virtual time: everything must have calmed down */
#define STEPS_MAX 200000

/* ---- machines ---------------------------------------------------------------------------------
 */

void migsim_step_source(World *w, MigEventKind kind, MigOp op, int r)
{
    MigEvent ev = {.kind = kind, .now = w->now, .op = op, .r = r};
    MigSrcState before = w->src.state;
    MigStep out;

    w->src.quorate = w->src_quorum;
    mig_source_step(&w->src, &ev, &out);
    if (w->src.state != before) {
        migsim_say(w, "source: %s -> %s", mig_src_name(before), mig_src_name(w->src.state));
    }
    for (unsigned i = 0; i < out.n; i++) {
        migsim_src_perform(w, out.ops[i]);
    }
    if (w->src.state != before) {
        migsim_strike(w);
    }
}

void migsim_step_target(World *w, MigTevKind kind, MigTop op, int r)
{
    MigTgtEvent ev = {.kind = kind, .now = w->now, .op = op, .r = r};
    MigTgtState before = w->tgt.state;
    MigTgtStep out;

    if (kind == MIG_TEV_PREPARE) {
        w->tgt.online = w->online;
    }
    mig_target_step(&w->tgt, &ev, &out);
    if (w->tgt.state != before) {
        migsim_say(w, "target: %s -> %s", mig_tgt_name(before), mig_tgt_name(w->tgt.state));
    }
    for (unsigned i = 0; i < out.n; i++) {
        migsim_tgt_perform(w, out.ops[i]);
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
        r = migsim_src_effect(w, (MigOp)p.b);
        if (r == MIGSIM_LATER) {
            migsim_src_done_in(w, 200, 400, (MigOp)p.b);
            return;
        }
    }
    migsim_step_source(w, (MigEventKind)p.a, (MigOp)p.b, r);
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
        r = migsim_tgt_effect(w, (MigTop)p.b);
        if (r == 0 && (p.b == MIG_TOP_CHECK || p.b == MIG_TOP_PREPARE || p.b == MIG_TOP_START)) {
            migsim_to_source(w, migsim_answer_of((MigTop)p.b), 0);
        }
    }
    migsim_step_target(w, (MigTevKind)p.a, (MigTop)p.b, r);
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
            migsim_step_target(w, MIG_TEV_LOST, MIG_TOP_N, 0);
        }
        return;
    }
    if (!w->src_up || p.life != w->src_life) {
        return;
    }
    migsim_step_source(w, MIG_EV_LOST, MIG_OP_N, 0);
    for (guint i = 0; i < G_N_ELEMENTS(remote); i++) {
        if (w->src.busy == remote[i]) {
            migsim_step_source(w, MIG_EV_DONE, remote[i], -EPIPE);
            return;
        }
    }
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
        migsim_step_target(w, MIG_TEV_TICK, MIG_TOP_N, 0);
    } else if (src) {
        w->now = w->src.deadline.us > w->now.us ? w->src.deadline : w->now;
        w->src.deadline = w->src.busy != MIG_OP_N && w->src.state != MIG_SRC_MOVE &&
                                      w->src.state != MIG_SRC_SWITCH
                              ? mono_add_ms(w->now, 10)
                              : w->src.deadline;
        migsim_step_source(w, MIG_EV_TICK, MIG_OP_N, 0);
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
        migsim_apply(w, (Fault)p.a);
        break;
    case KIND_HEAL:
        migsim_heal(w);
        break;
    case KIND_LOSS:
        on_loss(w, p);
        break;
    case KIND_RESTART:
        migsim_say(w, "agent %d starts again", p.b);
        (p.b == 0 ? migsim_restart_source : migsim_restart_target)(w);
        break;
    case KIND_VOLUME:
        w->tgt_volume = true;
        w->coming -= p.life == w->tgt_life;
        break;
    }
}

static void check_end(World *w)
{
    Qemu owner = w->at_target ? w->tgt_qemu : w->src_qemu;
    Qemu other = w->at_target ? w->src_qemu : w->tgt_qemu;
    bool should_run = w->online && !w->lost_by_fault;

    if (w->src_journal.exists || w->tgt_journal.exists) {
        migsim_broken(w, "a journal is left: somebody never came to an end");
    }
    if (w->locked) {
        migsim_broken(w, "the lock is left");
    }
    if (w->tgt_ports) {
        migsim_broken(w, "ports are left");
    }
    if (other != QEMU_NONE) {
        migsim_broken(w, "a process is left on the other side");
    }
    if (should_run && owner != QEMU_RUNS) {
        migsim_broken(w, "the guest is down without a reason");
    }
    if ((w->mirrors || w->copies) && !(w->at_target ? w->tgt_volume : w->src_volume)) {
        migsim_broken(w, "the owner has no volume");
    }
    if (w->tgt_volume && !w->at_target && !w->left_told) {
        migsim_broken(w, "a volume is left on the target");
    }
    if (w->src_volume && w->at_target && (w->mirrors || w->copies) &&
        w->result != MIG_RESULT_PROBLEMS && w->src_life == 0) {
        migsim_broken(w, "a volume is left on the source and nobody says so");
    }
    if (!w->reported && w->src_life == 0) {
        migsim_broken(w, "nobody was told how it ended");
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
    migsim_step_source(w, MIG_EV_START, MIG_OP_N, 0);
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
        migsim_check(w);
    }
    check_end(w);
    if (w->online && (w->at_target ? w->tgt_qemu : w->src_qemu) != QEMU_RUNS) {
        return w->at_target ? OUTCOME_DOWN_TARGET : OUTCOME_DOWN_SOURCE;
    }
    return w->at_target ? OUTCOME_MOVES : OUTCOME_STAYS;
}

Outcome migsim_run(World *w, MigSrcState phase, Fault fault, uint64_t seed, bool verbose)
{
    *w = (World){.verbose = verbose, .phase = {phase}, .fault = {fault}, .faults = 1};
    prng_init(&w->prng, seed * 1000 + (uint64_t)phase * 50 + (uint64_t)fault);
    choose_guest(w, phase, seed);
    return run_world(w);
}

void migsim_run_double(World *w, uint64_t seed, bool verbose)
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
