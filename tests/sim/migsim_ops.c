/* SPDX-License-Identifier: Apache-2.0 */
/* What each operation that a machine orders does, how long it takes, and how it fails. */
#include "tests/sim/migsim.h"

#include <errno.h>
#include <string.h>

/* ---- the source's operations ------------------------------------------------------------------
 */

void migsim_src_done_in(World *w, int64_t lo, int64_t hi, MigOp op)
{
    Pending *p = migsim_add(w, migsim_some_ms(w, lo, hi), KIND_SOURCE);

    p->a = MIG_EV_DONE;
    p->b = (int)op;
    p->r = INT_MIN; /* what happens is decided when it happens */
    p->life = w->src_life;
}

static void src_remote(World *w, MigOp op, MigTevKind kind)
{
    if (w->link == 0) {
        Pending *p = migsim_add(w, 1, KIND_SOURCE);

        p->a = MIG_EV_DONE;
        p->b = (int)op;
        p->r = -EPIPE;
        p->life = w->src_life;
    } else {
        migsim_to_target(w, kind);
    }
}

static void src_interrupt(World *w)
{
    Pending *p = migsim_add(w, migsim_some_ms(w, 0, 20), KIND_SOURCE);

    p->a = MIG_EV_DONE;
    p->b = (int)w->src.busy;
    p->r = -EINTR;
    p->life = w->src_life;
}

static int tgt_writable(const World *w)
{
    return w->full ? -ENOSPC : w->tgt_storage_gone ? -EIO : 0;
}

void migsim_src_perform(World *w, MigOp op)
{
    migsim_say(w, "  source does %s", mig_op_name(op));
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
        migsim_drop_link(w, false);
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
        migsim_src_done_in(w, 2, 20, op);
        break;
    case MIG_OP_COPY:
        if (migsim_reachable(w) && tgt_writable(w) == 0 && w->tgt.state == MIG_TGT_PREPARED) {
            migsim_make_volume(w);
        }
        migsim_src_done_in(w, 500, 3000, op);
        break;
    case MIG_OP_MIRROR:
    case MIG_OP_MIGRATE:
        migsim_src_done_in(w, 500, 3000, op);
        break;
    case MIG_OP_SWITCH:
        migsim_src_done_in(w, 5, 60, op);
        break;
    case MIG_OP_CLEAN:
        migsim_src_done_in(w, 50, 400, op);
        break;
    default:
        migsim_src_done_in(w, 1, 15, op);
        break;
    }
}

static bool stream_works(const World *w)
{
    return !w->cut && !w->stalled && w->tgt_qemu == QEMU_INCOMING;
}

static int connect_now(World *w)
{
    if (!migsim_reachable(w)) {
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
    migsim_to_target(w, MIG_TEV_LINKED);
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
    if (op == MIG_OP_MIRROR && (tgt_writable(w) != 0 || w->storage_gone)) {
        return -EIO;
    }
    if (w->cut || w->stalled || migsim_frozen(w)) {
        return MIGSIM_LATER; /* hangs, until it is interrupted */
    }
    if (!stream_works(w)) {
        w->src_qemu = w->src_qemu == QEMU_STOPPED ? QEMU_RUNS : w->src_qemu;
        return -EIO;
    }
    if (op == MIG_OP_MIGRATE) {
        w->src_qemu = QEMU_STOPPED;
    } else if (op == MIG_OP_SWITCH) {
        Pending *p = migsim_add(w, migsim_some_ms(w, 0, 3), KIND_TARGET);

        w->src_qemu = QEMU_POST;
        w->tgt_qemu = QEMU_LOADED;
        p->a = MIG_TEV_LOADED;
        p->life = w->tgt_life;
    }
    return 0;
}

static int cancel_now(World *w)
{
    MigCanceled became = MIG_CANCELED_RUNS;

    if (w->src_qemu == QEMU_POST) {
        return MIG_CANCELED_TOO_LATE;
    }
    if (w->src_qemu == QEMU_STOPPED && w->storage_gone && prng_chance(&w->prng, 1, 2)) {
        became = MIG_CANCELED_STANDS; /* its disks were given up already */
    } else if (w->src_qemu == QEMU_STOPPED) {
        w->src_qemu = QEMU_RUNS;
    }
    if (w->tgt_qemu == QEMU_INCOMING && !w->cut && !w->stalled && !migsim_frozen(w)) {
        Pending *p = migsim_add(w, 5, KIND_TARGET);

        w->tgt_qemu = QEMU_NONE; /* it ends with its stream */
        p->a = MIG_TEV_QEMU_GONE;
        p->life = w->tgt_life;
    }
    return (int)became;
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
    if (tgt_writable(w) != 0 || w->storage_gone) {
        return -EIO;
    }
    if (w->cut || w->stalled) {
        return MIGSIM_LATER;
    }
    if (!w->tgt_up || w->tgt.state != MIG_TGT_PREPARED) {
        return -EPIPE;
    }
    return w->tgt_volume ? 0 : -EPIPE;
}

static int cont_now(World *w)
{
    if (w->src_qemu != QEMU_POST && w->src_qemu != QEMU_STOPPED && w->src_qemu != QEMU_RUNS) {
        return -ESRCH;
    }
    if (w->src_qemu != QEMU_RUNS && w->storage_gone) {
        return -EIO;
    }
    if (w->src_qemu == QEMU_POST && w->tgt_ran) {
        migsim_broken(w, "the guest goes back to what it was before it ran on the target");
    }
    w->src_qemu = QEMU_RUNS;
    return 0;
}

int migsim_src_effect(World *w, MigOp op)
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
        return cont_now(w);
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

MigOp migsim_answer_of(MigTop op)
{
    return op == MIG_TOP_CHECK     ? MIG_OP_CHECK
           : op == MIG_TOP_PREPARE ? MIG_OP_PREPARE
                                   : MIG_OP_START;
}

void migsim_tgt_perform(World *w, MigTop op)
{
    Pending *p;

    migsim_say(w, "  target does %s", mig_top_name(op));
    if (op == MIG_TOP_PREPARE && w->mirrors && tgt_writable(w) == 0) {
        migsim_make_volume(w);
    }
    if (mig_top_waits(op)) {
        int64_t lo = op == MIG_TOP_START ? 100 : op == MIG_TOP_PREPARE ? 31 : 1;
        int64_t hi = op == MIG_TOP_START ? 900 : op == MIG_TOP_PREPARE ? 60 : 40;

        p = migsim_add(w, migsim_some_ms(w, lo, hi), KIND_TARGET);
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
        w->tgt_journal.loaded = w->tgt.loaded || w->tgt.postcopy;
        w->tgt_journal.running = w->tgt.running;
        break;
    case MIG_TOP_SAY_RUNNING:
        migsim_to_source(w, MIG_OP_RUN, 0);
        break;
    case MIG_TOP_SAY_FINISHED:
        migsim_to_source(w, MIG_OP_FINISH, 0);
        break;
    case MIG_TOP_SAY_ABORTED:
        migsim_to_source(w, MIG_OP_ABORT, 0);
        break;
    case MIG_TOP_SAY_ERROR: /* answers whatever the source waits for */
        migsim_to_source(w, MIG_OP_N, w->tgt.code);
        break;
    case MIG_TOP_END:
        w->tgt_journal.exists = w->tgt_journal.knows = w->tgt_knows = false;
        w->tgt_exists = false;
        migsim_drop_link(w, false);
        break;
    default:
        break;
    }
}

static int run_now(World *w)
{
    if (w->online && w->tgt_qemu != QEMU_LOADED) {
        return -ESRCH;
    }
    if (migsim_frozen(w)) {
        return -ETIMEDOUT;
    }
    if (w->online && w->tgt_storage_gone) {
        return -EIO;
    }
    if (w->online && w->unguarded) {
        return -EPERM; /* what does not run is not HA's business until its LRM starts it */
    }
    w->tgt_ran = w->online;
    w->tgt_qemu = w->online ? QEMU_RUNS : QEMU_NONE;
    w->tgt_ports = false;
    return 0;
}

static int free_now(World *w)
{
    if (!w->tgt_quorum || w->coming > 0 || (w->at_target && w->locked)) {
        return -EAGAIN;
    }
    if (w->tgt_volume && !w->at_target && w->tgt_knows && w->tgt_storage_gone) {
        w->left_told = true;
        return -EIO;
    }
    w->tgt_volume = w->tgt_volume && (w->at_target || !w->tgt_knows);
    return 0;
}

int migsim_tgt_effect(World *w, MigTop op)
{
    switch (op) {
    case MIG_TOP_PREPARE:
        w->tgt_ports = w->online;
        return w->mirrors && !w->tgt_volume ? -ENOSPC : 0; /* full, or gone */
    case MIG_TOP_START:
        if (w->tgt_storage_gone) {
            return -EIO;
        }
        w->tgt_qemu = QEMU_INCOMING;
        w->tgt_frozen = false;
        return 0;
    case MIG_TOP_PLACE:
        return !w->tgt_quorum ? -EAGAIN : w->at_target;
    case MIG_TOP_CLAIM:
        return claim_now(w, false, w->tgt_quorum);
    case MIG_TOP_CHECK:
        return w->unguarded ? -EPERM : 0;
    case MIG_TOP_RUN:
        return run_now(w);
    case MIG_TOP_UNLOCK:
        if (!w->tgt_quorum) {
            return -EACCES;
        }
        w->locked = w->locked && !w->at_target;
        return 0;
    case MIG_TOP_KILL:
        if (w->tgt_qemu == QEMU_RUNS) {
            migsim_broken(w, "the target kills a running guest");
        }
        w->tgt_qemu = QEMU_NONE;
        w->tgt_ports = false;
        w->tgt_gone_note = true;
        return 0;
    case MIG_TOP_FREE:
        return free_now(w);
    default:
        return 0;
    }
}
