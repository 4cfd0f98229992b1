/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/core/mig_target.h"

#include <assert.h>
#include <errno.h>
#include <glib.h>
#include <string.h>

STRTAB_DEFINE(mig_tgt, MigTgtState, MIG_TGT_LIST, MIG_TGT_N)

#define OP_TEXT(value, text, waits)  [value] = text,
#define OP_WAITS(value, text, waits) [value] = waits,
static const char *const op_names[MIG_TOP_N] = {MIG_TOP_LIST(OP_TEXT)};
static const bool op_waits[MIG_TOP_N] = {MIG_TOP_LIST(OP_WAITS)};

const char *mig_top_name(MigTop op)
{
    return (size_t)op < MIG_TOP_N ? op_names[op] : "nothing";
}

bool mig_top_waits(MigTop op)
{
    return (size_t)op < MIG_TOP_N && op_waits[op];
}

void mig_target_init(MigTarget *t)
{
    *t = (MigTarget){
        .busy = MIG_TOP_N, .deadline = MONO_NEVER, .gives_up = MONO_NEVER, .linked = true};
}

bool mig_target_ended(const MigTarget *t)
{
    return t->state == MIG_TGT_DONE || t->state == MIG_TGT_GONE;
}

/* ---- helpers --------------------------------------------------------------------------------- */

static void set_state(MigTarget *t, MigTgtState next, const char *why)
{
    assert(!mig_target_ended(t));
    if (t->state != next) {
        trace(&t->tracer, TRACE_INFO, "target: %s -> %s (%s)", mig_tgt_name(t->state),
              mig_tgt_name(next), why);
    }
    t->state = next;
    t->deadline = MONO_NEVER;
}

static void emit(MigTarget *t, MigTgtStep *out, MigTop op)
{
    assert(out->n < MIG_TOPS_MAX);
    out->ops[out->n++] = op;
    if (mig_top_waits(op)) {
        assert(t->busy == MIG_TOP_N);
        t->busy = op;
    }
}

static void enter(MigTarget *t, MigTgtStep *out, MigTgtState next, MigTop op, const char *why)
{
    set_state(t, next, why);
    emit(t, out, op);
}

static void say_error(MigTarget *t, MigTgtStep *out, int code, const char *text)
{
    t->code = code;
    (void)g_strlcpy(t->why, text != NULL && *text != '\0' ? text : g_strerror(-code),
                    sizeof t->why);
    if (t->linked) {
        emit(t, out, MIG_TOP_SAY_ERROR);
    }
}

/* It will not run here. What is under way is ended first. */
static void discard(MigTarget *t, MigTgtStep *out, const char *why)
{
    if (t->busy != MIG_TOP_N) {
        if (!t->stopping) {
            t->stopping = true;
            emit(t, out, MIG_TOP_INTERRUPT);
        }
        return;
    }
    t->stopping = false;
    if (t->prepared) {
        enter(t, out, MIG_TGT_KILL, MIG_TOP_KILL, why);
        return;
    }
    if (t->abort_asked && t->linked) {
        emit(t, out, MIG_TOP_SAY_ABORTED);
    }
    set_state(t, MIG_TGT_GONE, why);
    emit(t, out, MIG_TOP_END);
}

static void alone(MigTarget *t, MonoTime now, MigTgtStep *out, const char *why)
{
    if (t->state != MIG_TGT_ALONE) {
        t->gives_up = mono_add_ms(now, MIG_HOLD_MS);
    }
    set_state(t, MIG_TGT_ALONE, why);
    if (t->busy == MIG_TOP_N) {
        emit(t, out, MIG_TOP_PLACE);
    } else {
        t->deadline = mono_add_ms(now, MIG_PLACE_MS);
    }
}

static void run(MigTarget *t, MigTgtStep *out, const char *why)
{
    set_state(t, MIG_TGT_RUN, why);
    if (t->busy == MIG_TOP_N) { /* else when that has ended */
        emit(t, out, MIG_TOP_RUN);
    }
}

/* ---- what the source says -------------------------------------------------------------------- */

/* The guest as a whole is here, or its configuration may become ours at any moment. */
static bool complete(const MigTarget *t)
{
    return t->online ? t->loaded : t->prepared;
}

static void order(MigTarget *t, const MigTgtEvent *ev, MigTgtStep *out)
{
    switch (t->state) {
    case MIG_TGT_PREPARED:
    case MIG_TGT_READY:
    case MIG_TGT_LOADED:
    case MIG_TGT_ALONE:
    case MIG_TGT_CLAIM:
        t->ordered = true;
        if (t->online && !t->loaded && !t->postcopy) {
            /* The source knows that we have it all; QEMU's word is on its way to us. */
            t->gives_up = mono_add_ms(ev->now, MIG_HOLD_MS);
            t->deadline = t->gives_up;
        } else {
            run(t, out, "ordered");
        }
        break;
    case MIG_TGT_RUN:
        t->ordered = true;
        break;
    case MIG_TGT_RUNNING:
    case MIG_TGT_FINISH:
        if (t->linked) {
            emit(t, out, MIG_TOP_SAY_RUNNING);
        }
        break;
    default:
        say_error(t, out, -ESRCH, "the guest is not here any more");
        break;
    }
}

static void finish(MigTarget *t, MigTgtStep *out, const char *why)
{
    set_state(t, MIG_TGT_FINISH, why);
    if (t->busy == MIG_TOP_N) {
        emit(t, out, MIG_TOP_UNLOCK);
    }
}

static void abort_asked(MigTarget *t, MigTgtStep *out)
{
    t->abort_asked = true;
    if (t->state == MIG_TGT_FREE || t->state == MIG_TGT_KILL) {
        if (t->state == MIG_TGT_FREE) {
            emit(t, out, MIG_TOP_SAY_ABORTED);
        }
    } else if (t->state == MIG_TGT_RUN || t->state == MIG_TGT_RUNNING ||
               t->state == MIG_TGT_FINISH || t->state == MIG_TGT_CLAIM) {
        t->abort_asked = false;
        say_error(t, out, -EBUSY, "the guest runs here");
    } else {
        discard(t, out, "the source gave up");
    }
}

static void message(MigTarget *t, const MigTgtEvent *ev, MigTgtStep *out)
{
    if (ev->kind == MIG_TEV_ABORT) {
        abort_asked(t, out);
    } else if (ev->kind == MIG_TEV_RUN) {
        order(t, ev, out);
    } else if (ev->kind == MIG_TEV_FINISH && t->state == MIG_TGT_RUNNING) {
        finish(t, out, "the source has nothing left");
    } else if (ev->kind == MIG_TEV_FINISH && t->state == MIG_TGT_FINISH) {
        return; /* asked over a new connection: answered when it is unlocked */
    } else if (ev->kind == MIG_TEV_CHECK && t->state == MIG_TGT_OPEN && t->busy == MIG_TOP_N) {
        enter(t, out, MIG_TGT_CHECK, MIG_TOP_CHECK, "asked");
    } else if (ev->kind == MIG_TEV_PREPARE && t->state == MIG_TGT_OPEN && t->busy == MIG_TOP_N) {
        t->prepared = true;
        set_state(t, MIG_TGT_PREPARE, "asked");
        emit(t, out, MIG_TOP_JOURNAL);
        emit(t, out, MIG_TOP_PREPARE);
    } else if (ev->kind == MIG_TEV_START && t->state == MIG_TGT_PREPARED && t->online) {
        enter(t, out, MIG_TGT_START, MIG_TOP_START, "asked");
    } else if (ev->kind == MIG_TEV_RECOVER && t->postcopy && t->busy == MIG_TOP_N) {
        emit(t, out, MIG_TOP_RECOVER);
    } else {
        say_error(t, out, -EPROTO, "not now");
    }
}

/* ---- what happens ---------------------------------------------------------------------------- */

static void lost(MigTarget *t, const MigTgtEvent *ev, MigTgtStep *out)
{
    t->linked = false;
    switch (t->state) {
    case MIG_TGT_OPEN:
    case MIG_TGT_CHECK:
    case MIG_TGT_PREPARE:
    case MIG_TGT_START:
        discard(t, out, "the source is gone");
        break;
    case MIG_TGT_PREPARED:
    case MIG_TGT_READY:
    case MIG_TGT_LOADED:
        if (complete(t)) {
            alone(t, ev->now, out, "the source is silent");
        } else if (!t->ordered) {
            discard(t, out, "the source is silent and the guest not complete");
        }
        break;
    case MIG_TGT_RUNNING:
        t->deadline = mono_add_ms(ev->now, MIG_UNLOCK_MS);
        break;
    default:
        break;
    }
}

static void loaded(MigTarget *t, const MigTgtEvent *ev, MigTgtStep *out)
{
    t->postcopy = t->postcopy || ev->kind == MIG_TEV_POSTCOPY;
    t->loaded = t->loaded || ev->kind == MIG_TEV_LOADED;
    if (t->state != MIG_TGT_READY) {
        return;
    }
    /* From now on it may run at any moment: should this node die, nobody knows whether it did. */
    emit(t, out, MIG_TOP_JOURNAL);
    if (t->ordered) {
        run(t, out, "ordered, and now complete");
    } else if (t->loaded) {
        set_state(t, MIG_TGT_LOADED, "complete");
        if (t->linked) {
            emit(t, out, MIG_TOP_SAY_LOADED);
        } else {
            alone(t, ev->now, out, "the source is silent");
        }
    }
}

static void qemu_gone(MigTarget *t, const MigTgtEvent *ev, MigTgtStep *out)
{
    switch (t->state) {
    case MIG_TGT_READY:
    case MIG_TGT_LOADED:
    case MIG_TGT_ALONE:
        say_error(t, out, -ESRCH, ev->text != NULL ? ev->text : "QEMU on the target has ended");
        discard(t, out, "QEMU has ended");
        break;
    case MIG_TGT_RUNNING:
        /* An end of its own: the guest is this node's, stopped. */
        break;
    default:
        break;
    }
}

static void restart(MigTarget *t, const MigTgtEvent *ev, MigTgtStep *out)
{
    t->linked = false;
    t->prepared = true;
    t->loaded = ev->r == MIG_FOUND_LOADED || ev->r == MIG_FOUND_RUNNING;
    if (ev->r == MIG_FOUND_RUNNING) {
        t->running = true;
        set_state(t, MIG_TGT_RUNNING, "it runs");
        t->deadline = mono_add_ms(ev->now, MIG_UNLOCK_MS);
    } else if (ev->r == MIG_FOUND_LOADED || !t->online) {
        alone(t, ev->now, out, "restarted");
    } else {
        discard(t, out, "restarted, and the guest is not complete");
    }
}

/* ---- ends of operations ---------------------------------------------------------------------- */

static void place_done(MigTarget *t, const MigTgtEvent *ev, MigTgtStep *out)
{
    if (t->state == MIG_TGT_RUN) {
        emit(t, out, MIG_TOP_RUN); /* the order came while we looked */
    } else if (t->linked) {
        set_state(t, t->online ? MIG_TGT_LOADED : MIG_TGT_PREPARED, "the source is back");
    } else if (ev->r == 1) {
        enter(t, out, MIG_TGT_CLAIM, MIG_TOP_CLAIM, "the configuration is here");
    } else if (!mono_before(ev->now, t->gives_up)) {
        discard(t, out, "nobody wants it to run here");
    } else {
        t->deadline = mono_add_ms(ev->now, MIG_PLACE_MS);
    }
}

static void claim_done(MigTarget *t, const MigTgtEvent *ev, MigTgtStep *out)
{
    if (ev->r == 0 || t->ordered) {
        run(t, out, "claimed");
    } else if (ev->r == -EEXIST) {
        discard(t, out, "the source took it back");
    } else {
        set_state(t, MIG_TGT_ALONE, "no quorum");
        t->deadline = mono_add_ms(ev->now, MIG_PLACE_MS);
    }
}

static void run_done(MigTarget *t, const MigTgtEvent *ev, MigTgtStep *out)
{
    if (ev->r < 0) {
        say_error(t, out, ev->r, ev->text);
        discard(t, out, "it cannot run");
        return;
    }
    t->running = true;
    set_state(t, MIG_TGT_RUNNING, "it runs");
    emit(t, out, MIG_TOP_JOURNAL);
    if (t->linked) {
        emit(t, out, MIG_TOP_SAY_RUNNING);
    } else {
        t->deadline = mono_add_ms(ev->now, MIG_UNLOCK_MS);
    }
}

static void unlock_done(MigTarget *t, const MigTgtEvent *ev, MigTgtStep *out)
{
    if (ev->r < 0) {
        t->deadline = mono_add_ms(ev->now, MIG_RETRY_MS);
        return;
    }
    if (t->linked) {
        emit(t, out, MIG_TOP_SAY_FINISHED);
    }
    set_state(t, MIG_TGT_DONE, "unlocked");
    emit(t, out, MIG_TOP_END);
}

static void undo_done(MigTarget *t, const MigTgtEvent *ev, MigTgtStep *out)
{
    if (ev->op == MIG_TOP_KILL && ev->r < 0) {
        t->deadline = mono_add_ms(ev->now, MIG_RETRY_MS);
    } else if (ev->op == MIG_TOP_KILL) {
        if (t->abort_asked && t->linked) {
            emit(t, out, MIG_TOP_SAY_ABORTED); /* the source waits for this */
        }
        enter(t, out, MIG_TGT_FREE, MIG_TOP_FREE, "QEMU has ended");
    } else if (ev->r == -EAGAIN) {
        t->deadline = mono_add_ms(ev->now, MIG_RETRY_MS);
    } else {
        set_state(t, MIG_TGT_GONE, ev->r < 0 ? "volumes are left" : "volumes are freed");
        emit(t, out, MIG_TOP_END);
    }
}

/* Ends of what was asked for: check, prepare, start. */
static void asked_done(MigTarget *t, const MigTgtEvent *ev, MigTgtStep *out)
{
    if (ev->r < 0) {
        say_error(t, out, ev->r, ev->text);
    }
    switch (ev->op) {
    case MIG_TOP_CHECK:
        set_state(t, MIG_TGT_OPEN, "checked");
        break;
    case MIG_TOP_PREPARE:
        if (ev->r < 0) {
            discard(t, out, "preparing failed");
        } else {
            set_state(t, MIG_TGT_PREPARED, "volumes and ports are there");
            emit(t, out, MIG_TOP_JOURNAL);
        }
        break;
    case MIG_TOP_START:
        if (ev->r < 0) {
            discard(t, out, "QEMU did not start");
        } else {
            set_state(t, MIG_TGT_READY, "QEMU waits");
            emit(t, out, MIG_TOP_JOURNAL);
        }
        break;
    default:
        break;
    }
}

static void done(MigTarget *t, const MigTgtEvent *ev, MigTgtStep *out)
{
    t->busy = MIG_TOP_N;
    if (t->stopping && ev->op != MIG_TOP_RUN) {
        discard(t, out, "given up meanwhile");
        return;
    }
    switch (ev->op) {
    case MIG_TOP_PLACE:
        place_done(t, ev, out);
        break;
    case MIG_TOP_CLAIM:
        claim_done(t, ev, out);
        break;
    case MIG_TOP_RUN:
        run_done(t, ev, out);
        break;
    case MIG_TOP_UNLOCK:
        unlock_done(t, ev, out);
        break;
    case MIG_TOP_KILL:
    case MIG_TOP_FREE:
        undo_done(t, ev, out);
        break;
    case MIG_TOP_RECOVER:
        if (ev->r < 0) {
            say_error(t, out, ev->r, ev->text);
        }
        if (t->state == MIG_TGT_FINISH) {
            emit(t, out, MIG_TOP_UNLOCK);
        }
        break;
    default:
        asked_done(t, ev, out);
        break;
    }
}

static void tick(MigTarget *t, const MigTgtEvent *ev, MigTgtStep *out)
{
    if (mono_before(ev->now, t->deadline) || t->busy != MIG_TOP_N) {
        return;
    }
    t->deadline = MONO_NEVER;
    switch (t->state) {
    case MIG_TGT_ALONE:
        emit(t, out, MIG_TOP_PLACE);
        break;
    case MIG_TGT_READY: /* ordered, and QEMU never said that it has it */
        say_error(t, out, -ETIMEDOUT, "QEMU on the target does not say that it has the guest");
        discard(t, out, "ordered, but not complete");
        break;
    case MIG_TGT_RUNNING:
        finish(t, out, "the source is silent");
        break;
    case MIG_TGT_FINISH:
        emit(t, out, MIG_TOP_UNLOCK);
        break;
    case MIG_TGT_KILL:
        emit(t, out, MIG_TOP_KILL);
        break;
    case MIG_TGT_FREE:
        emit(t, out, MIG_TOP_FREE);
        break;
    default:
        break;
    }
}

void mig_target_step(MigTarget *t, const MigTgtEvent *ev, MigTgtStep *ret)
{
    ret->n = 0;
    if (mig_target_ended(t)) {
        return;
    }
    switch (ev->kind) {
    case MIG_TEV_CHECK:
    case MIG_TEV_PREPARE:
    case MIG_TEV_START:
    case MIG_TEV_RUN:
    case MIG_TEV_FINISH:
    case MIG_TEV_ABORT:
    case MIG_TEV_RECOVER:
        message(t, ev, ret);
        break;
    case MIG_TEV_LINKED:
        t->linked = true;
        if (t->state == MIG_TGT_RUNNING) {
            t->deadline = MONO_NEVER;
        }
        break;
    case MIG_TEV_LOST:
        lost(t, ev, ret);
        break;
    case MIG_TEV_LOADED:
    case MIG_TEV_POSTCOPY:
        loaded(t, ev, ret);
        break;
    case MIG_TEV_QEMU_GONE:
        qemu_gone(t, ev, ret);
        break;
    case MIG_TEV_DONE:
        if (ev->op == t->busy) {
            done(t, ev, ret);
        }
        break;
    case MIG_TEV_RESTART:
        restart(t, ev, ret);
        break;
    case MIG_TEV_TICK:
        tick(t, ev, ret);
        break;
    case MIG_TEV_N:
        break;
    }
}
