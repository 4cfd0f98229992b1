/* SPDX-License-Identifier: Apache-2.0 */
/* Faults, and how they end: processes, nodes and agents die, links are cut, quorum is lost. */
#include "tests/sim/migsim.h"

#define HEAL_S    70
#define RESTART_S 4
#define NODE_S    150

/* ---- faults -----------------------------------------------------------------------------------
 */

static void kill_agent(World *w, int side)
{
    Pending *p;

    migsim_drop_link(w, w->cut || w->stalled);
    if (side == 0) {
        w->src_up = false;
        w->src_life++;
    } else {
        w->tgt_up = false;
        w->tgt_exists = w->tgt_knows = false;
        w->tgt_life++;
        w->coming = 0;
    }
    p = migsim_add(w, migsim_some_ms(w, 200, RESTART_S * 1000), KIND_RESTART);
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
        Pending *p = migsim_add(w, 1, KIND_TARGET);

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
            migsim_drop_link(w, true);
        }
        return true;
    case FAULT_CANCEL:
        w->cancel_sent = true;
        if (w->src_up) {
            migsim_step_source(w, MIG_EV_CANCEL, MIG_OP_N, 0);
        }
        return true;
    default:
        return false;
    }
}

void migsim_apply(World *w, Fault f)
{
    int64_t heal_ms = migsim_some_ms(w, 500, HEAL_S * 1000);

    migsim_say(w, "FAULT: %s", f < FAULT_N ? fault_name(f) : "none");
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
    case FAULT_FREEZE:
        w->tgt_frozen = w->tgt_qemu != QEMU_NONE;
        break;
    case FAULT_STORAGE:
        w->storage_gone = true;
        break;
    case FAULT_STORAGE_TARGET:
        w->tgt_storage_gone = true;
        break;
    default:
        return; /* nothing; and machines know no wall clock that could jump */
    }
    if (w->cut || w->stalled) {
        migsim_drop_link(w, true);
    }
    (void)migsim_add(w, heal_ms, KIND_HEAL);
}

void migsim_strike(World *w)
{
    MigSrcState now = w->src.state;
    bool slow =
        now == MIG_SRC_COPY || now == MIG_SRC_START || now == MIG_SRC_MIRROR || now == MIG_SRC_MOVE;

    for (unsigned i = 0; i < w->faults; i++) {
        if (w->phase[i] == now && !w->fault_done[i]) {
            Pending *p = migsim_add(w, migsim_some_ms(w, 0, slow ? 1000 : 9), KIND_FAULT);

            w->fault_done[i] = true;
            p->a = (int)w->fault[i];
        }
    }
}

void migsim_heal(World *w)
{
    migsim_say(w, "healed");
    w->cut = w->stalled = false;
    w->src_quorum = w->tgt_quorum = true;
    w->full = w->storage_gone = w->tgt_storage_gone = w->unguarded = w->tgt_frozen = false;
}

void migsim_restart_source(World *w)
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
    migsim_step_source(w, MIG_EV_RESTART, MIG_OP_N, 0);
}

void migsim_restart_target(World *w)
{
    int found = MIG_FOUND_NO_QEMU;
    bool may_have_run = w->tgt_journal.exists && w->tgt_journal.online && w->tgt_journal.loaded &&
                        w->tgt_qemu == QEMU_NONE;

    if (may_have_run && !w->tgt_journal.running && !w->tgt_quorum) {
        migsim_add(w, MIG_RETRY_MS, KIND_RESTART)->b = 1; /* whose is it? It waits until it knows */
        return;
    }
    w->lost_by_fault = w->lost_by_fault || (may_have_run && w->at_target);
    w->tgt_up = true;
    w->tgt_ports = w->tgt_ports && w->tgt_qemu != QEMU_NONE; /* a new agent holds none */
    if (!w->tgt_journal.exists) {
        return;
    }
    mig_target_init(&w->tgt);
    w->tgt_exists = true;
    w->tgt.online = w->tgt_journal.online;
    w->tgt.running = w->tgt_journal.running;
    w->tgt_knows = w->tgt_journal.knows;
    if (w->tgt_qemu == QEMU_RUNS || w->tgt_journal.running || (may_have_run && w->at_target)) {
        found = MIG_FOUND_RUNNING;
    } else if (w->tgt_qemu != QEMU_NONE) {
        found = w->tgt_qemu == QEMU_LOADED ? MIG_FOUND_LOADED : MIG_FOUND_INCOMING;
    }
    migsim_step_target(w, MIG_TEV_RESTART, MIG_TOP_N, found);
}
