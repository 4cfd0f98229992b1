/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/replica.h"

#include "pmxcfs/core/ledger.h"
#include "pmxcfs/core/replica_priv.h"

#include <assert.h>
#include <errno.h>

void request_free(Request *q)
{
    tree_op_free(q->op);
    g_free(q);
}

static Request *request_new(const ReplicaEvent *ev)
{
    Request *q = g_new0(Request, 1);

    q->token = ev->token;
    q->wait = ev->wait;
    q->op = tree_op_copy(ev->op);
    q->deadline = mono_add_ms(ev->now, REPLICA_SEND_MS);
    q->limit = mono_add_ms(q->deadline, REPLICA_ANSWER_MS);
    return q;
}

void request_answer(Replica *r, Request *q, int result, uint64_t seq, const char *text)
{
    if (q->token != 0) {
        update_answer(r->up, q->token, result, seq, text);
        q->token = 0;
    }
}

/* Nothing can be confirmed by a quorum, and nobody knows when again: who waits for that is told so
 * at once. */
static bool cannot_confirm(const Replica *r)
{
    return !r->quorate && ledger_confirmed(r->ledger) != UINT64_MAX;
}

void request_applied(Replica *r, Request *q, int result, MemdbDelta *delta)
{
    uint64_t seq = ledger_add(r->ledger, delta, true, r->up);

    if (q->token == 0) {
        return;
    }
    if (q->wait == REPLICA_WAIT_APPLIED) {
        request_answer(r, q, result, seq, NULL);
        return;
    }
    if (cannot_confirm(r)) {
        request_answer(r, q, -EBUSY, seq, REPLICA_TEXT_UNKNOWN);
        return;
    }
    ledger_wait(r->ledger, q->token, seq, memdb_root(r->db).version, result, r->now, r->up);
    q->token = 0;
}

Replica *replica_new(const ReplicaConfig *cfg, Memdb *db, const Tracer *tracer)
{
    Replica *r = g_new0(Replica, 1);

    r->cfg = *cfg;
    r->cfg.meta = NULL;
    r->db = db;
    if (tracer != NULL) {
        r->tracer = *tracer;
    }
    r->ledger = ledger_new(db, &r->tracer);
    g_queue_init(&r->inbox);
    g_queue_init(&r->sent);
    r->timer_at = MONO_NEVER;
    r->quorate = cfg->local;
    if (cfg->native) {
        r->native = native_new(r, cfg->meta);
    }
    if (!cfg->local) {
        replica_group_init(r);
    }
    return r;
}

void replica_free(Replica *r)
{
    if (r == NULL) {
        return;
    }
    replica_group_done(r);
    g_queue_clear_full(&r->inbox, (GDestroyNotify)request_free);
    g_queue_clear_full(&r->sent, (GDestroyNotify)request_free);
    native_free(r->native);
    ledger_free(r->ledger);
    g_free(r->verify);
    g_free(r);
}

/* Applies one change at once, as local mode does. */
static void perform_local(Replica *r, Request *q)
{
    TreeOrigin from = {.writer = 0, .time = wall_u32(r->wall)};
    MemdbDelta *delta = NULL;
    int ret;

    if (q->op->kind == TREE_OP_UNLOCK_REQUEST) {
        if (!memdb_lock_expired(r->db, q->op->path, q->op->csum, r->now)) {
            request_answer(r, q, 0, 0, NULL);
            request_free(q);
            return;
        }
        q->op->kind = TREE_OP_UNLOCK;
    }
    ret = memdb_apply(r->db, q->op, from, false, r->now, &delta);
    if (ret < 0) {
        request_answer(r, q, ret, 0, NULL);
    } else {
        native_taint(r, delta->root_before.version);
        request_applied(r, q, ret, delta);
    }
    request_free(q);
}

/* Answers everything that was not sent yet: nothing of it has happened. */
static void refuse_inbox(Replica *r, int code, const char *text)
{
    Request *q;

    while ((q = g_queue_pop_head(&r->inbox)) != NULL) {
        request_answer(r, q, code, 0, text);
        request_free(q);
    }
}

/* Performs what waits, as far as disk and group keep up. */
static void pump(Replica *r, bool more)
{
    if (!r->cfg.local && !r->quorate) {
        /* Also what came back unsent, or void, with a view that followed the loss of quorum. */
        refuse_inbox(r, -EACCES, "no quorum");
    }
    while (!g_queue_is_empty(&r->inbox) && ledger_pending_bytes(r->ledger) < REPLICA_BACKLOG_MAX &&
           (r->cfg.local || replica_group_ready(r))) {
        Request *q = g_queue_pop_head(&r->inbox);

        if (r->cfg.local) {
            perform_local(r, q);
        } else {
            replica_group_perform(r, q);
        }
    }
    if (!more && r->native != NULL && native_phase(r->native) == NATIVE_PHASE_ACTIVE) {
        native_flush(r);
    }
}

static uint32_t waiting(const Replica *r)
{
    return r->inbox.length + r->sent.length + ledger_waiting(r->ledger) +
           (native_streaming(r->native) != NULL ? 1 : 0);
}

static void on_submit(Replica *r, const ReplicaEvent *ev)
{
    assert(ev->token != 0 && ev->op != NULL);
    if (waiting(r) >= REPLICA_CALLERS_MAX) {
        update_answer(r->up, ev->token, -EBUSY, 0, "too many changes are waiting on this node");
    } else if (!r->quorate) {
        update_answer(r->up, ev->token, -EACCES, 0, "no quorum");
    } else if (r->disk_code != 0) {
        update_answer(r->up, ev->token, r->disk_code, 0, "the disk of this node takes no changes");
    } else {
        g_queue_push_tail(&r->inbox, request_new(ev));
    }
}

static void on_sync(Replica *r, const ReplicaEvent *ev)
{
    uint64_t seq = MIN(ev->seq, ledger_last_seq(r->ledger));

    if (waiting(r) >= REPLICA_CALLERS_MAX) {
        update_answer(r->up, ev->token, -EBUSY, 0, "too many changes are waiting on this node");
        return;
    }
    if (seq == 0) {
        update_answer(r->up, ev->token, 0, 0, NULL); /* this process has not changed anything yet */
        return;
    }
    if (cannot_confirm(r)) {
        update_answer(r->up, ev->token, -EBUSY, seq, REPLICA_TEXT_UNKNOWN);
        return;
    }
    ledger_wait(r->ledger, ev->token, seq, memdb_root(r->db).version, 0, r->now, r->up);
}

/* Drops a request that was not sent, or only its caller when it was. */
static void on_cancel(Replica *r, uint64_t token)
{
    if (ledger_cancel(r->ledger, token) || replica_verify_cancel(r, token)) {
        return;
    }
    for (GList *l = r->inbox.head; l != NULL; l = l->next) {
        if (((const Request *)l->data)->token == token) {
            request_free(l->data);
            g_queue_delete_link(&r->inbox, l);
            return;
        }
    }
    for (GList *l = r->sent.head; l != NULL; l = l->next) {
        Request *q = l->data;

        if (q->token == token) {
            q->token = 0;
            return;
        }
    }
    if (native_streaming(r->native) != NULL && native_streaming(r->native)->token == token) {
        native_streaming(r->native)->token = 0;
    }
}

static void on_store_failed(Replica *r, const ReplicaEvent *ev)
{
    const char *text = replica_group_alone(r)
                           ? "the disk refused this change"
                           : "the disk of this node refused it; other members may have the change";

    (void)ledger_failed(r->ledger, ev->seq, ev->code, text, r->now, r->up);
    update_simple(r->up, REPLICA_ACT_STORE_RESUME);
    if (r->native != NULL) {
        native_store_failed(r, ev->seq);
    }
    /* Where nobody else holds the changes, the next one simply tries the disk again. */
    if (!replica_group_alone(r)) {
        replica_group_disk_failed(r, ev->code);
    }
}

static void on_quorum(Replica *r, const ReplicaEvent *ev)
{
    if (r->cfg.local) {
        return;
    }
    r->quorate = ev->quorate;
    r->n_nodes = MIN(ev->n_nodes, REPLICA_NODES_MAX);
    for (uint32_t i = 0; i < r->n_nodes; i++) {
        r->nodes[i] = ev->nodes[i];
    }
    r->n_quorum_nodes = MIN(ev->n_quorum_nodes, GROUP_MEMBERS_MAX);
    for (uint32_t i = 0; i < r->n_quorum_nodes; i++) {
        r->quorum_nodes[i] = ev->quorum_nodes[i];
    }
    if (r->native != NULL) {
        native_quorum(r);
    }
}

/* Callers do not wait longer than promised, whatever the group and the disk do (INV-4). */
static void expire(Replica *r)
{
    Request *streaming = native_streaming(r->native);
    const Request *head;

    while ((head = g_queue_peek_head(&r->inbox)) != NULL && !mono_before(r->now, head->deadline)) {
        Request *q = g_queue_pop_head(&r->inbox);

        request_answer(r, q, r->cfg.local ? -EBUSY : -EACCES, 0,
                       r->cfg.local ? "the disk is too slow: not done"
                                    : "the cluster is not synchronised: not done");
        request_free(q);
    }
    for (GList *l = r->sent.head; l != NULL; l = l->next) {
        Request *q = l->data;

        if (mono_before(r->now, q->deadline)) {
            break;
        }
        request_answer(r, q, -EBUSY, 0, REPLICA_TEXT_UNKNOWN);
    }
    if (streaming != NULL && !mono_before(r->now, streaming->deadline)) {
        request_answer(r, streaming, -EBUSY, 0, REPLICA_TEXT_UNKNOWN);
    }
    ledger_expire(r->ledger, r->now, r->up);
}

static MonoTime next_deadline(const Replica *r)
{
    const Request *head = g_queue_peek_head((GQueue *)&r->inbox);
    MonoTime at = mono_min(ledger_next_deadline(r->ledger), replica_verify_next_tick(r));

    if (head != NULL) {
        at = mono_min(at, head->deadline);
    }
    if (native_streaming(r->native) != NULL && native_streaming(r->native)->token != 0) {
        at = mono_min(at, native_streaming(r->native)->deadline);
    }
    if (r->native != NULL) {
        at = mono_min(at, native_next_tick(r->native));
    }
    for (const GList *l = r->sent.head; l != NULL; l = l->next) {
        const Request *q = l->data;

        if (q->token != 0) {
            at = mono_min(at, q->deadline);
            break;
        }
    }
    return r->dfsm != NULL ? mono_min(at, dfsm_next_tick(r->dfsm)) : at;
}

static void dispatch(Replica *r, const ReplicaEvent *ev)
{
    switch (ev->kind) {
    case REPLICA_EV_START:
        if (r->dfsm != NULL) {
            dfsm_start(r->dfsm, ev->now, ev->wall);
        }
        break;
    case REPLICA_EV_GROUP:
        if (r->dfsm != NULL) {
            dfsm_group_event(r->dfsm, ev->group, ev->now, ev->wall);
        }
        if (r->native != NULL) {
            native_heard(r);
        }
        break;
    case REPLICA_EV_QUORUM:
        on_quorum(r, ev);
        break;
    case REPLICA_EV_SUBMIT:
        on_submit(r, ev);
        break;
    case REPLICA_EV_SYNC:
        on_sync(r, ev);
        break;
    case REPLICA_EV_CANCEL:
        on_cancel(r, ev->token);
        break;
    case REPLICA_EV_STORED:
        ledger_stored(r->ledger, ev->seq, r->up);
        if (r->native != NULL) {
            native_stored(r);
        }
        break;
    case REPLICA_EV_STORE_FAILED:
        on_store_failed(r, ev);
        break;
    case REPLICA_EV_PROBED:
        if (r->dfsm != NULL) {
            replica_group_probed(r, ev->code);
        }
        break;
    case REPLICA_EV_TICK:
        expire(r);
        replica_verify_tick(r);
        if (r->dfsm != NULL) {
            dfsm_tick(r->dfsm, ev->now, ev->wall);
        }
        if (r->native != NULL) {
            native_tick(r);
        }
        break;
    case REPLICA_EV_VERIFY:
        replica_verify_ask(r, ev->token);
        break;
    case REPLICA_EV_N:
        assert(false);
    }
}

void replica_step(Replica *r, const ReplicaEvent *ev, ReplicaUpdate *up)
{
    MonoTime next;

    r->up = up;
    r->now = ev->now;
    r->wall = ev->wall;
    if (r->dfsm != NULL) {
        dfsm_set_time(r->dfsm, ev->now, ev->wall);
    }
    dispatch(r, ev);
    pump(r, ev->more);
    next = next_deadline(r);
    /* A tick that was asked for is used up by coming. */
    if (next.us != r->timer_at.us || (ev->kind == REPLICA_EV_TICK && next.us != MONO_NEVER.us)) {
        r->timer_at = next;
        update_at(up, REPLICA_ACT_TIMER, next);
    }
    r->up = NULL;
}

void replica_status(const Replica *r, ReplicaStatus *ret)
{
    *ret = (ReplicaStatus){.mode = GROUP_MODE_SYNCED,
                           .quorate = r->quorate,
                           .members = 1,
                           .synced = 1,
                           .waiting = waiting(r)};
    if (r->dfsm != NULL) {
        const DfsmMember *members = dfsm_members(r->dfsm, &ret->members);

        ret->mode = dfsm_mode(r->dfsm);
        ret->queued = dfsm_queued(r->dfsm);
        ret->epoch = *dfsm_epoch(r->dfsm);
        ret->synced = 0;
        for (uint32_t i = 0; i < ret->members; i++) {
            ret->synced += members[i].synced ? 1 : 0;
        }
    }
    ret->phase = native_phase_name(NATIVE_PHASE_DOCUMENTED);
    if (r->native != NULL) {
        ret->term = native_term(r->native);
        ret->base = native_base(r->native);
        ret->confirmed = ledger_confirmed(r->ledger);
        ret->phase = native_phase_name(native_phase(r->native));
        ret->native = native_phase(r->native) == NATIVE_PHASE_ACTIVE;
        ret->synced = native_decides(r) ? native_synced(r->native) : ret->synced;
    }
}
