/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/native_priv.h"

/* How long the phase may last before we do something about it. */
MonoTime native_alarm_of(const Replica *r, NativePhase phase)
{
    int64_t turn = NATIVE_ANSWER_MS + (int64_t)native_rank(r) * NATIVE_RANK_MS;

    switch (phase) {
    case NATIVE_PHASE_WAITING:
    case NATIVE_PHASE_COLLECTING:
    case NATIVE_PHASE_PROMISING:
        return mono_add_ms(r->now, turn);
    case NATIVE_PHASE_FETCHING:
        return mono_add_ms(r->now, NATIVE_PROGRESS_MS);
    case NATIVE_PHASE_LEFT_OUT:
        return mono_add_ms(r->now, NATIVE_ANSWER_MS);
    case NATIVE_PHASE_ACTIVE: /* with a foreign member: until the first in line sees to it */
        return native_peers_all(r->native) ? MONO_NEVER : mono_add_ms(r->now, turn);
    case NATIVE_PHASE_DOCUMENTED:
    case NATIVE_PHASE_N:
        break;
    }
    return MONO_NEVER;
}

MonoTime native_documented_alarm(const Replica *r)
{
    return native_alarm_of(r, NATIVE_PHASE_WAITING);
}

/* The next exchange goes without those whose state is missing, if enough remain; else all get
 * another chance, but not who never said that it is native: an exchange would take it for that. */
static void leave_out_silent(Replica *r)
{
    Native *n = r->native;
    uint32_t needed, readers;

    for (uint32_t i = 0; i < n->n_peers; i++) {
        n->peers[i].suspect = n->peers[i].suspect || (n->peers[i].in && !n->peers[i].has_state);
    }
    native_self(r)->suspect = false;
    if (!native_find_needs(r, &needed, &readers)) {
        for (uint32_t i = 0; i < n->n_peers; i++) {
            n->peers[i].suspect = n->peers[i].silent;
        }
    }
}

/* Those before us in line should have begun the exchange. */
static void pass_over(Replica *r)
{
    Native *n = r->native;
    uint32_t needed, readers;
    bool was[GROUP_MEMBERS_MAX];

    for (uint32_t i = 0; i < n->n_peers; i++) {
        was[i] = n->peers[i].suspect;
    }
    for (uint32_t i = 0; i < n->n_peers && !native_is_self(r, &n->peers[i]); i++) {
        n->peers[i].suspect = true;
    }
    if (!native_find_needs(r, &needed, &readers)) {
        for (uint32_t i = 0; i < n->n_peers; i++) {
            n->peers[i].suspect = was[i];
        }
    }
}

static void waited_too_long(Replica *r)
{
    Native *n = r->native;

    n->alarm = native_alarm_of(r, n->phase);
    if (native_peers_all(n)) {
        if (r->quorate) {
            pass_over(r);
            native_propose(r, "nobody else did");
        }
        return;
    }
    if (n->voided) {
        native_come_back(r); /* who left for it has not returned */
        return;
    }
    n->alarm = native_documented_alarm(r);
    if (!n->probed && !mono_before(r->now, mono_add_ms(n->since, NATIVE_ANSWER_MS))) {
        /* The lowest member may be the one that says nothing: the documented protocol honours an
         * exchange that another one begins. Who is foreign answers. */
        n->probed = true;
        dfsm_start_sync(r->dfsm);
        return;
    }
    for (uint32_t i = 0; i < n->n_peers; i++) {
        bool was = n->peers[i].foreign;

        n->peers[i].foreign = !n->peers[i].native;
        if (n->peers[i].foreign && !was) {
            trace(
                &r->tracer, TRACE_NOTICE,
                "native: member %u does not speak the native protocol: the documented one is used",
                n->peers[i].id.nodeid);
        }
    }
    native_try_documented(r);
}

/* The documented exchange does not end. If no foreign member has said anything, there may be none:
 * who never greeted is then only silent, and the others go on without it. */
static void documented_too_long(Replica *r)
{
    Native *n = r->native;

    n->alarm = MONO_NEVER;
    if (dfsm_mode(r->dfsm) != GROUP_MODE_START_SYNC) {
        return;
    }
    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (!n->peers[i].native && native_has_spoken(r, n->peers[i].id)) {
            return; /* a foreign member waits for all, and so must we */
        }
    }
    n->alarm = native_documented_alarm(r);
    if (!r->quorate) {
        return;
    }
    for (uint32_t i = 0; i < n->n_peers; i++) {
        NativePeer *p = &n->peers[i];

        p->silent = p->silent || !p->native;
        p->suspect = p->suspect || p->silent;
        p->foreign = p->foreign && !p->silent;
    }
    native_propose(r, "a member says nothing at all");
}

static void ring_alarm(Replica *r)
{
    Native *n = r->native;

    if (native_decides(r) && n->phase != NATIVE_PHASE_WAITING && !native_peers_all(n)) {
        native_come_back(r);
        return;
    }
    switch (n->phase) {
    case NATIVE_PHASE_WAITING:
        waited_too_long(r);
        break;
    case NATIVE_PHASE_COLLECTING:
        n->alarm = native_alarm_of(r, n->phase);
        leave_out_silent(r);
        native_propose(r, "not all members told their state");
        break;
    case NATIVE_PHASE_PROMISING:
        n->alarm = native_alarm_of(r, n->phase);
        trace(&r->tracer, TRACE_WARNING,
              "native: %u of %u promises needed for term %" G_GUINT64_FORMAT
              ": waiting for the disks of other members",
              native_count_votes(n, native_has_promised), n->needed, n->term);
        break;
    case NATIVE_PHASE_FETCHING:
        n->alarm = native_alarm_of(r, n->phase);
        trace(&r->tracer, TRACE_WARNING, "native: no content comes from member %u: asks again",
              n->peers[n->leader].id.nodeid);
        native_say_hello(r, WIRE_NATIVE_HELLO_WANT);
        break;
    case NATIVE_PHASE_LEFT_OUT:
        n->alarm = native_alarm_of(r, n->phase);
        native_say_hello(r, WIRE_NATIVE_HELLO_WANT);
        break;
    case NATIVE_PHASE_DOCUMENTED:
        documented_too_long(r);
        break;
    case NATIVE_PHASE_ACTIVE:
    case NATIVE_PHASE_N:
        n->alarm = MONO_NEVER;
    }
}

/* The first in line proposes. When nothing comes of it, since it has stopped, the next ones do,
 * each some time after the one before. */
static void restart_due(Replica *r)
{
    Native *n = r->native;
    uint32_t before = native_rank(r);

    if (before > 0 && !n->overdue) {
        n->overdue = true;
        n->restart = mono_add_ms(r->now, NATIVE_ANSWER_MS + (int64_t)before * NATIVE_RANK_MS);
        return;
    }
    native_forget_restart(n);
    if (before > 0) {
        pass_over(r);
    }
    native_propose(r, "a member asks for it, or votes changed");
}

void native_tick(Replica *r)
{
    Native *n = r->native;

    if (n->n_peers == 0) {
        return;
    }
    if (!mono_before(r->now, n->restart)) {
        restart_due(r);
    }
    if (!mono_before(r->now, n->alarm)) {
        ring_alarm(r);
    }
    if (!mono_before(r->now, n->ack_own_at)) {
        native_own_due(r);
    }
}

MonoTime native_next_tick(const Native *n)
{
    return n->n_peers > 0 ? mono_min(n->ack_own_at, mono_min(n->alarm, n->restart)) : MONO_NEVER;
}
