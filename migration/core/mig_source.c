/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/core/mig_source.h"

#include "migration/core/mig_target.h"

#include <assert.h>
#include <errno.h>
#include <glib.h>
#include <string.h>

STRTAB_DEFINE(mig_src, MigSrcState, MIG_SRC_LIST, MIG_SRC_N)
STRTAB_DEFINE(mig_result, MigResult, MIG_RESULT_LIST, MIG_RESULT_N)
STRTAB_DEFINE(mig_policy, MigPolicy, MIG_POLICY_LIST, MIG_POLICY_N)

#define OP_TEXT(value, text, waits)  [value] = text,
#define OP_WAITS(value, text, waits) [value] = waits,
static const char *const op_names[MIG_OP_N] = {MIG_OP_LIST(OP_TEXT)};
static const bool op_waits[MIG_OP_N] = {MIG_OP_LIST(OP_WAITS)};

const char *mig_op_name(MigOp op)
{
    return (size_t)op < MIG_OP_N ? op_names[op] : "nothing";
}

bool mig_op_waits(MigOp op)
{
    return (size_t)op < MIG_OP_N && op_waits[op];
}

MigPeerState mig_peer_state(const char *target_state)
{
    switch (mig_tgt_from_name(target_state)) {
    case MIG_TGT_PREPARED:
    case MIG_TGT_LOADED:
    case MIG_TGT_ALONE:
        return MIG_PEER_WAITS;
    case MIG_TGT_OPEN:
    case MIG_TGT_RUNNING:
    case MIG_TGT_FINISH:
    case MIG_TGT_DONE:
        return MIG_PEER_RUNS;
    case MIG_TGT_FREE:
    case MIG_TGT_GONE:
        return MIG_PEER_NEW;
    default:
        return MIG_PEER_WORKING;
    }
}

void mig_source_init(MigSource *s)
{
    *s = (MigSource){.busy = MIG_OP_N,
                     .deadline = MONO_NEVER,
                     .quorate = true,
                     .timeout_ms = (int64_t)MIG_TIMEOUT_S * 1000,
                     .switch_ms = MIG_DOWNTIME_MS + MIG_SWITCH_MS};
}

bool mig_source_ended(const MigSource *s)
{
    return s->state == MIG_SRC_DONE || s->state == MIG_SRC_FAILED;
}

bool mig_source_can_cancel(const MigSource *s)
{
    return s->state <= MIG_SRC_SWITCH && !s->postcopy;
}

/* ---- helpers --------------------------------------------------------------------------------- */

static void set_state(MigSource *s, MigSrcState next, const char *why)
{
    assert(!mig_source_ended(s));
    if (s->state != next) {
        trace(&s->tracer, TRACE_INFO, "source: %s -> %s (%s)", mig_src_name(s->state),
              mig_src_name(next), why);
    }
    s->state = next;
    s->deadline = MONO_NEVER;
}

static void emit(MigSource *s, MigStep *out, MigOp op)
{
    assert(out->n < MIG_OPS_MAX);
    out->ops[out->n++] = op;
    if (mig_op_waits(op)) {
        assert(s->busy == MIG_OP_N);
        s->busy = op;
    }
}

static void enter(MigSource *s, MigStep *out, MigSrcState next, MigOp op, const char *why)
{
    set_state(s, next, why);
    emit(s, out, op);
}

static void retry_at(MigSource *s, MonoTime now, int64_t ms)
{
    s->deadline = mono_add_ms(now, ms);
}

static void report(MigSource *s, MigStep *out)
{
    if (!s->reported) {
        s->reported = true;
        emit(s, out, MIG_OP_REPORT);
    }
}

static void end(MigSource *s, MigStep *out, MigSrcState state)
{
    set_state(s, state, mig_result_name(s->result));
    report(s, out);
    emit(s, out, MIG_OP_END);
}

/* ---- undo ------------------------------------------------------------------------------------ */

/* The next thing to be taken back, in the order that keeps the guest on one side: first the stream,
 * then the target, then the guest goes on here. */
static void undo(MigSource *s, MigStep *out, MonoTime now)
{
    bool target_done = s->confirmed || s->claimed || !s->prepared;

    if (s->migrating && !s->completed && !s->canceled) {
        enter(s, out, MIG_SRC_CANCEL, MIG_OP_CANCEL, "undo");
    } else if (s->prepared && !s->confirmed && s->linked && !s->lost) {
        enter(s, out, MIG_SRC_ABORT, MIG_OP_ABORT, "undo");
    } else if ((s->completed || s->moved) && !target_done) {
        enter(s, out, MIG_SRC_CLAIM, MIG_OP_CLAIM, "the target does not answer");
    } else if (s->moved) {
        enter(s, out, MIG_SRC_BACK, MIG_OP_BACK, "undo");
    } else if (s->completed || s->stands) {
        enter(s, out, MIG_SRC_RESUME, MIG_OP_CONT, "undo");
    } else if (s->locked) {
        enter(s, out, MIG_SRC_UNLOCK, MIG_OP_UNLOCK, "undo");
    } else {
        end(s, out, MIG_SRC_FAILED);
    }
    (void)now;
}

static void note_failure(MigSource *s, int code, const char *text)
{
    if (s->code != 0) {
        return; /* the first reason is the one that matters */
    }
    s->code = code;
    s->result = code == -ECANCELED ? MIG_RESULT_CANCELLED
                : s->locked        ? MIG_RESULT_FAILED
                                   : MIG_RESULT_REFUSED;
    (void)g_strlcpy(s->why, text != NULL && *text != '\0' ? text : g_strerror(-code),
                    sizeof s->why);
}

static void fail(MigSource *s, MigStep *out, MonoTime now, int code, const char *text)
{
    note_failure(s, code, text);
    undo(s, out, now);
}

/* Ends what is under way for a reason of our own. */
static void stop(MigSource *s, MigStep *out, MonoTime now, int code, const char *text)
{
    if (s->busy == MIG_OP_N) {
        fail(s, out, now, code, text);
    } else if (s->stop == 0) {
        s->stop = code;
        note_failure(s, code, text);
        emit(s, out, MIG_OP_INTERRUPT);
    }
}

static void clean(MigSource *s, MigStep *out, const char *why)
{
    s->result = MIG_RESULT_MOVED;
    enter(s, out, MIG_SRC_CLEAN, MIG_OP_CLEAN, why);
}

/* It runs there; with post-copy some of its memory is still here. */
static void settle(MigSource *s, MigStep *out, const char *why)
{
    if (s->postcopy) {
        enter(s, out, MIG_SRC_RUN, MIG_OP_REST, why);
    } else {
        clean(s, out, why);
    }
}

/* Nobody else has the guest: it goes on here as soon as what stands in its way is mended. */
static void cannot_go_on(MigSource *s, const MigEvent *ev, MigStep *out)
{
    (void)g_strlcpy(s->problem, ev->text != NULL ? ev->text : g_strerror(-ev->r),
                    sizeof s->problem);
    report(s, out);
    retry_at(s, ev->now, MIG_RETRY_MS);
}

static void undone(MigSource *s, const MigEvent *ev, MigStep *out)
{
    switch (ev->op) {
    case MIG_OP_CANCEL:
        s->canceled = true;
        s->completed = s->completed || ev->r == MIG_CANCELED_TOO_LATE;
        s->stands = ev->r == MIG_CANCELED_STANDS;
        break;
    case MIG_OP_ABORT:
        if (ev->r == -EBUSY && s->moved) {
            s->code = 0; /* it runs there after all */
            settle(s, out, "it runs there");
            return;
        }
        s->confirmed = ev->r == 0;
        s->lost = s->lost || ev->r < 0;
        s->lost_at = ev->r < 0 && s->lost_at.us == 0 ? ev->now : s->lost_at;
        break;
    case MIG_OP_CONT:
        if (ev->r < 0 && ev->r != -ESRCH) {
            cannot_go_on(s, ev, out);
            return;
        }
        if (ev->r < 0) { /* the guest is down, where it belongs */
            (void)g_strlcpy(s->problem, ev->text != NULL ? ev->text : "QEMU has ended",
                            sizeof s->problem);
        }
        s->completed = s->stands = false;
        s->canceled = true; /* of the stream nothing is left either */
        break;
    case MIG_OP_UNLOCK:
        s->locked = ev->r < 0;
        break;
    case MIG_OP_BACK:
        s->moved = ev->r < 0;
        break;
    default:
        break;
    }
    if ((ev->op == MIG_OP_UNLOCK || ev->op == MIG_OP_BACK) && ev->r < 0) {
        report(s, out); /* the outcome is certain; only quorum is missing */
        retry_at(s, ev->now, MIG_RETRY_MS);
        return;
    }
    undo(s, out, ev->now);
}

/* The right to run a guest whose target is silent. */
static void claim_done(MigSource *s, const MigEvent *ev, MigStep *out)
{
    if (ev->r == 0) {
        s->claimed = true;
        undo(s, out, ev->now);
    } else if (ev->r == -EEXIST) {
        s->taken = true;
        enter(s, out, MIG_SRC_PLACE, MIG_OP_PLACE, "the target has taken the guest");
    } else if (s->moved) {
        set_state(s, MIG_SRC_STUCK, "no quorum to take the guest back");
        retry_at(s, ev->now, MIG_RETRY_MS);
    } else {
        set_state(s, MIG_SRC_LEASE, "no quorum to ask: waiting until the target has ended");
        s->deadline = mono_add_ms(s->lost_at, MIG_LEASE_MS);
    }
}

/* ---- forward --------------------------------------------------------------------------------- */

static void handover(MigSource *s, MigStep *out)
{
    enter(s, out, MIG_SRC_HANDOVER, MIG_OP_RENAME, "the target has all of it");
}

static void after_moved(MigSource *s, MigStep *out, MonoTime now)
{
    s->moved = true;
    if (s->linked && !s->lost) {
        s->run_sent = true;
        enter(s, out, MIG_SRC_RUN, MIG_OP_RUN, "the configuration is the target's");
    } else {
        set_state(s, MIG_SRC_STUCK, "the target does not answer");
        s->stuck_since = s->stuck_since.us == 0 ? now : s->stuck_since;
        retry_at(s, now, MIG_RETRY_MS);
    }
}

static void after_prepare(MigSource *s, MigStep *out)
{
    if (s->state == MIG_SRC_PREPARE && s->copies) {
        enter(s, out, MIG_SRC_COPY, MIG_OP_COPY, "target is prepared");
    } else if (s->online) {
        s->started = true;
        enter(s, out, MIG_SRC_START, MIG_OP_START, "volumes are there");
    } else {
        handover(s, out);
    }
}

static void begin_move(MigSource *s, MigStep *out, MonoTime now)
{
    s->migrating = true;
    set_state(s, MIG_SRC_MOVE, "target waits");
    s->move_ends = mono_add_ms(now, s->timeout_ms);
    s->deadline = s->move_ends;
    emit(s, out, MIG_OP_JOURNAL);
    emit(s, out, MIG_OP_MIGRATE);
}

static void after_start(MigSource *s, MigStep *out, MonoTime now)
{
    if (s->state == MIG_SRC_START && s->mirrors) {
        s->migrating = true; /* there is something to cancel */
        enter(s, out, MIG_SRC_MIRROR, MIG_OP_MIRROR, "target waits");
    } else {
        begin_move(s, out, now);
    }
}

static void stopped_for_switch(MigSource *s, MigStep *out, MonoTime now)
{
    if (!s->quorate) {
        fail(s, out, now, -EACCES,
             "the cluster has lost its quorum: the guest cannot change hands");
    } else if (s->postcopy) {
        handover(s, out);
    } else {
        enter(s, out, MIG_SRC_SWITCH, MIG_OP_SWITCH, "the guest is stopped");
        s->deadline = mono_add_ms(now, s->switch_ms);
    }
}

/* These are certain; after anything else it may have been done all the same: pmxcfs says -EPERM and
 * -EBUSY for a change whose fate it does not know. */
static bool refused_rename(int r)
{
    return r == -EACCES || r == -EROFS || r == -EEXIST;
}

static void rename_done(MigSource *s, const MigEvent *ev, MigStep *out)
{
    if (ev->r < 0 && !refused_rename(ev->r)) {
        note_failure(s, ev->r, ev->text);
        enter(s, out, MIG_SRC_PLACE, MIG_OP_PLACE, "no clear answer to the rename");
    } else if (ev->r < 0) {
        fail(s, out, ev->now, ev->r, ev->text);
    } else if (s->postcopy) {
        s->moved = true;
        emit(s, out, MIG_OP_CONTINUE);
    } else {
        after_moved(s, out, ev->now);
    }
}

static void note_problem(MigSource *s, const char *text)
{
    if (s->problem[0] == '\0') {
        (void)g_strlcpy(s->problem, text, sizeof s->problem);
    }
}

static void place_done(MigSource *s, const MigEvent *ev, MigStep *out)
{
    if (ev->r == 0 && s->taken) {
        s->claimed = true; /* it was never given away: the claim is of an earlier life of ours */
        s->moved = false;
        undo(s, out, ev->now);
    } else if (ev->r == 0 && s->state == MIG_SRC_STUCK) {
        /* Somebody gave it back: who may do so knows that the target is dead. */
        s->moved = false;
        s->confirmed = true;
        note_failure(s, -EHOSTDOWN, "the configuration was given back to this node");
        undo(s, out, ev->now);
    } else if (ev->r == 0) {
        s->moved = false;
        undo(s, out, ev->now);
    } else if (ev->r == 2) {
        note_problem(s, "the guest was moved on by somebody else");
        clean(s, out, "the guest is on a third node");
    } else if (ev->r == 1 && s->state == MIG_SRC_PLACE) {
        s->code = 0; /* the rename was done after all */
        s->result = MIG_RESULT_NONE;
        after_moved(s, out, ev->now);
    } else if (ev->r == 1) {
        emit(s, out, MIG_OP_CONNECT);
    } else {
        retry_at(s, ev->now, MIG_RETRY_MS);
    }
}

static void run_done(MigSource *s, const MigEvent *ev, MigStep *out)
{
    if (ev->r == 0) {
        settle(s, out, "it runs there");
    } else if (s->lost || ev->r == -EPIPE) {
        after_moved(s, out, ev->now);
    } else {
        /* The target says that it cannot. `abort` makes it sure. */
        fail(s, out, ev->now, ev->r, ev->text);
    }
}

/* Connected again to a target that owns the guest. */
static void reconnected(MigSource *s, const MigEvent *ev, MigStep *out)
{
    if (ev->r >= 0) {
        s->linked = true;
        s->lost = false;
    }
    switch (ev->r) {
    case MIG_PEER_RUNS:
        settle(s, out, "it runs there");
        return;
    case MIG_PEER_WAITS:
        after_moved(s, out, ev->now);
        return;
    case MIG_PEER_NEW:
        s->confirmed = true;
        fail(s, out, ev->now, -EHOSTDOWN, "the target had to give the guest up");
        return;
    default:
        break;
    }
    if (mono_diff_us(ev->now, s->stuck_since) > MIG_REPORT_MS * US_PER_MS) {
        note_problem(s, "the target does not answer; it has the guest");
        s->result = s->reported ? s->result : MIG_RESULT_PROBLEMS;
        report(s, out);
    }
    if (!s->run_sent && !mono_before(ev->now, mono_add_ms(s->lost_at, MIG_LEASE_MS))) {
        note_failure(s, -EHOSTDOWN, "the target does not answer");
        enter(s, out, MIG_SRC_CLAIM, MIG_OP_CLAIM, "the target is silent");
    } else {
        retry_at(s, ev->now, MIG_RETRY_MS);
    }
}

static void finish(MigSource *s, MigStep *out)
{
    set_state(s, MIG_SRC_FINISH, "nothing is left here");
    if (s->linked && !s->lost) {
        emit(s, out, MIG_OP_FINISH);
    } else {
        emit(s, out, MIG_OP_CONNECT);
    }
}

static void finish_done(MigSource *s, const MigEvent *ev, MigStep *out)
{
    /* It unlocked the guest and forgot the move, but its answer was lost with the link. */
    bool forgotten = ev->op == MIG_OP_FINISH && ev->r == -EPROTO;

    if (ev->op == MIG_OP_CONNECT && ev->r >= 0 && ev->r != MIG_PEER_NEW) {
        s->linked = true;
        s->lost = false;
        emit(s, out, MIG_OP_FINISH);
    } else if (ev->r < 0 && !forgotten && s->tries++ < MIG_FINISH_TRIES) {
        s->lost = true;
        retry_at(s, ev->now, MIG_RETRY_MS);
    } else {
        if (ev->r < 0 && !forgotten) {
            note_problem(s, "the target did not answer at the end; it unlocks the guest itself");
        }
        s->result = s->problem[0] != '\0' ? MIG_RESULT_PROBLEMS : MIG_RESULT_MOVED;
        end(s, out, MIG_SRC_DONE);
    }
}

/* ---- after a restart ------------------------------------------------------------------------- */

/* The journal tells how far it came at most. First the place is made certain: with the claim taken,
 * no rename that is still under way can come later, and the target cannot start by itself. */
static void restart(MigSource *s, const MigEvent *ev, MigStep *out)
{
    s->resumed_from_journal = true;
    s->lost = true;
    s->lost_at = ev->now;
    note_failure(s, -EINTR, "the agent was ended and started again");
    s->run_sent = true; /* nobody knows */
    enter(s, out, MIG_SRC_PLACE, MIG_OP_PLACE, "restarted");
}

static void restart_placed(MigSource *s, const MigEvent *ev, MigStep *out)
{
    s->resumed_from_journal = false;
    if (ev->r < 0) {
        s->resumed_from_journal = true;
        retry_at(s, ev->now, MIG_RETRY_MS);
    } else if (ev->r == 0) {
        /* Cancel tells whether the guest runs here or the target has all. */
        s->run_sent = false;
        undo(s, out, ev->now);
    } else {
        place_done(s, ev, out);
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static void rest_done(MigSource *s, const MigEvent *ev, MigStep *out)
{
    if (ev->op == MIG_OP_CONTINUE && ev->r == 0) {
        s->run_sent = true;
        enter(s, out, MIG_SRC_RUN, MIG_OP_RUN, "post-copy");
    } else if (ev->op == MIG_OP_CONTINUE) {
        s->postcopy = false;
        fail(s, out, ev->now, ev->r, ev->text);
    } else if (ev->op == MIG_OP_RECOVER && ev->r == 0) {
        emit(s, out, MIG_OP_REST);
    } else if (ev->op == MIG_OP_RECOVER && ev->r == -EALREADY) {
        clean(s, out, "the target had all pages when the stream broke");
    } else if (ev->op == MIG_OP_CONNECT && ev->r >= 0) {
        s->linked = true;
        s->lost = false;
        emit(s, out, MIG_OP_RECOVER);
    } else if ((ev->op == MIG_OP_RECOVER || ev->op == MIG_OP_CONNECT) &&
               s->tries++ < MIG_FINISH_TRIES) {
        retry_at(s, ev->now, MIG_RETRY_MS);
    } else if (ev->r == 0) {
        clean(s, out, "all pages are there");
    } else if (ev->r == -EAGAIN && s->tries++ < MIG_FINISH_TRIES) {
        retry_at(s, ev->now, MIG_RETRY_MS); /* the stream broke: a new one */
    } else {
        s->result = MIG_RESULT_LOST;
        s->code = ev->r;
        (void)g_strlcpy(s->why, ev->text != NULL ? ev->text : "post-copy broke", sizeof s->why);
        report(s, out);
        enter(s, out, MIG_SRC_CLEAN, MIG_OP_CLEAN, "the guest is lost");
    }
}

/* The end of an operation that moves things forward. */
static void forward(MigSource *s, const MigEvent *ev, MigStep *out)
{
    switch (ev->op) {
    case MIG_OP_CONNECT:
        s->linked = true;
        enter(s, out, MIG_SRC_CHECK, MIG_OP_CHECK, "connected");
        break;
    case MIG_OP_CHECK:
        if (s->dry_run) {
            s->result = MIG_RESULT_MOVED;
            end(s, out, MIG_SRC_DONE);
        } else {
            s->locked = true; /* the journal must say so before it is done */
            set_state(s, MIG_SRC_LOCK, "nothing stands against it");
            emit(s, out, MIG_OP_JOURNAL);
            emit(s, out, MIG_OP_LOCK);
        }
        break;
    case MIG_OP_LOCK:
        s->prepared = true;
        set_state(s, MIG_SRC_PREPARE, "locked");
        emit(s, out, MIG_OP_JOURNAL);
        emit(s, out, MIG_OP_PREPARE);
        break;
    case MIG_OP_PREPARE:
    case MIG_OP_COPY:
        after_prepare(s, out);
        break;
    case MIG_OP_START:
    case MIG_OP_MIRROR:
        after_start(s, out, ev->now);
        break;
    case MIG_OP_MIGRATE:
        stopped_for_switch(s, out, ev->now);
        break;
    case MIG_OP_SWITCH:
        s->completed = true;
        handover(s, out);
        break;
    default:
        break;
    }
}

static bool lock_refused(const MigEvent *ev)
{
    return ev->op == MIG_OP_LOCK &&
           (ev->r == -EALREADY || ev->r == -EINVAL || refused_rename(ev->r) || ev->r == -ENOENT);
}

static void done(MigSource *s, const MigEvent *ev, MigStep *out)
{
    int stopped = s->stop;

    s->busy = MIG_OP_N;
    s->stop = 0;
    switch (s->state) {
    case MIG_SRC_CANCEL:
    case MIG_SRC_ABORT:
    case MIG_SRC_BACK:
    case MIG_SRC_RESUME:
    case MIG_SRC_UNLOCK:
        undone(s, ev, out);
        return;
    case MIG_SRC_CLAIM:
        claim_done(s, ev, out);
        return;
    case MIG_SRC_HANDOVER:
        (ev->op == MIG_OP_RENAME ? rename_done : rest_done)(s, ev, out);
        return;
    case MIG_SRC_PLACE:
        (s->resumed_from_journal ? restart_placed : place_done)(s, ev, out);
        return;
    case MIG_SRC_RUN:
        (ev->op == MIG_OP_RUN ? run_done : rest_done)(s, ev, out);
        return;
    case MIG_SRC_STUCK:
        (ev->op == MIG_OP_PLACE ? place_done : reconnected)(s, ev, out);
        return;
    case MIG_SRC_CLEAN:
        if (ev->r < 0) {
            note_problem(s, ev->text != NULL ? ev->text : "something is left on the source");
        }
        finish(s, out);
        return;
    case MIG_SRC_FINISH:
        finish_done(s, ev, out);
        return;
    default:
        break;
    }
    if (lock_refused(ev)) {
        s->locked = false;
    }
    s->completed = s->completed || (ev->op == MIG_OP_SWITCH && ev->r == 0);
    if (ev->r < 0 || stopped != 0) {
        fail(s, out, ev->now, ev->r < 0 ? ev->r : stopped, ev->text);
    } else {
        forward(s, ev, out);
    }
}

static void lost(MigSource *s, const MigEvent *ev, MigStep *out)
{
    if (s->lost || !s->linked) {
        return;
    }
    s->lost = true;
    s->lost_at = ev->now;
    if (s->state <= MIG_SRC_SWITCH) {
        stop(s, out, ev->now, -EPIPE, "the target's agent does not answer any more");
    }
}

/* The time for the memory is over. */
static void move_overdue(MigSource *s, const MigEvent *ev, MigStep *out)
{
    if (s->policy == MIG_POLICY_THROTTLE && !s->throttled) {
        s->throttled = true;
        s->deadline = mono_add_ms(ev->now, s->timeout_ms);
        emit(s, out, MIG_OP_THROTTLE);
    } else if (s->policy == MIG_POLICY_POSTCOPY && !s->postcopy && s->quorate && !s->mirrors) {
        s->postcopy = true;
        s->deadline = mono_add_ms(ev->now, s->timeout_ms);
        emit(s, out, MIG_OP_POSTCOPY);
    } else {
        s->postcopy = false;
        s->deadline = MONO_NEVER;
        stop(s, out, ev->now, -ETIME,
             "the guest changes its memory faster than it can be moved within the time");
    }
}

static void tick(MigSource *s, const MigEvent *ev, MigStep *out)
{
    if (mono_before(ev->now, s->deadline)) {
        return;
    }
    s->deadline = MONO_NEVER;
    if (s->state == MIG_SRC_MOVE) {
        move_overdue(s, ev, out);
        return;
    }
    if (s->state == MIG_SRC_SWITCH) {
        stop(s, out, ev->now, -ETIMEDOUT, "the target does not take the last of the guest in time");
        return;
    }
    if (s->busy != MIG_OP_N) {
        return;
    }
    switch (s->state) {
    case MIG_SRC_LEASE:
        s->claimed = true; /* it has ended by itself */
        undo(s, out, ev->now);
        break;
    case MIG_SRC_PLACE:
    case MIG_SRC_STUCK:
        emit(s, out, MIG_OP_PLACE);
        break;
    case MIG_SRC_RUN: /* post-copy: a new stream, and before that a new connection if need be */
        emit(s, out, s->lost || !s->linked ? MIG_OP_CONNECT : MIG_OP_RECOVER);
        break;
    case MIG_SRC_FINISH:
        emit(s, out, MIG_OP_CONNECT);
        break;
    case MIG_SRC_UNLOCK:
        emit(s, out, MIG_OP_UNLOCK);
        break;
    case MIG_SRC_BACK:
        emit(s, out, MIG_OP_BACK);
        break;
    case MIG_SRC_RESUME:
        emit(s, out, MIG_OP_CONT);
        break;
    default:
        break;
    }
}

void mig_source_step(MigSource *s, const MigEvent *ev, MigStep *ret)
{
    ret->n = 0;
    if (mig_source_ended(s)) {
        return;
    }
    switch (ev->kind) {
    case MIG_EV_START:
        if (s->state == MIG_SRC_NEW) {
            enter(s, ret, MIG_SRC_CONNECT, MIG_OP_CONNECT, "asked for");
        }
        break;
    case MIG_EV_RESTART:
        if (s->state == MIG_SRC_NEW) {
            restart(s, ev, ret);
        }
        break;
    case MIG_EV_DONE:
        if (ev->op == s->busy) {
            done(s, ev, ret);
        }
        break;
    case MIG_EV_LOST:
        lost(s, ev, ret);
        break;
    case MIG_EV_CANCEL:
        if (mig_source_can_cancel(s)) {
            stop(s, ret, ev->now, -ECANCELED, "cancelled");
        }
        break;
    case MIG_EV_QUORUM:
        s->quorate = ev->r != 0;
        break;
    case MIG_EV_TICK:
        tick(s, ev, ret);
        break;
    case MIG_EV_N:
        break;
    }
}
