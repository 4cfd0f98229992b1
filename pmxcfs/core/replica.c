/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/replica.h"

#include "pmxcfs/core/ledger.h"
#include "pmxcfs/core/replica_priv.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* A change asked for by a caller on this node and not applied yet. */
typedef struct Request {
    uint64_t token; /* 0: the caller gave up */
    TreeOp op;
    char *path, *to; /* own the strings of `op` */
    ReplicaWait wait;
} Request;

struct Replica {
    ReplicaConfig cfg;
    Memdb *db;
    Tracer tracer;
    Ledger *ledger;
    GQueue inbox; /* of Request*, oldest first */
    bool quorate;
};

static void request_free(Request *q)
{
    g_free(q->path);
    g_free(q->to);
    g_clear_pointer(&q->op.data, g_bytes_unref);
    g_free(q);
}

static Request *request_new(const ReplicaEvent *ev)
{
    Request *q = g_new0(Request, 1);

    q->token = ev->token;
    q->wait = ev->wait;
    q->path = g_strdup(ev->op->path);
    q->to = g_strdup(ev->op->to);
    q->op = *ev->op;
    q->op.path = q->path;
    q->op.to = q->to;
    q->op.data = ev->op->data != NULL ? g_bytes_ref(ev->op->data) : NULL;
    return q;
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
    r->quorate = cfg->local;
    return r;
}

void replica_free(Replica *r)
{
    if (r == NULL) {
        return;
    }
    g_queue_clear_full(&r->inbox, (GDestroyNotify)request_free);
    ledger_free(r->ledger);
    g_free(r);
}

/* Applies one change at once, as local mode does. */
static void perform_local(Replica *r, const Request *q, const ReplicaEvent *ev, ReplicaUpdate *up)
{
    TreeOrigin from = {.writer = 0, .time = wall_u32(ev->wall)};
    MemdbDelta *delta = NULL;
    TreeOp op = q->op;
    uint64_t seq;
    int ret;

    if (op.kind == TREE_OP_UNLOCK_REQUEST) {
        if (!memdb_lock_expired(r->db, op.path, op.csum, ev->now)) {
            update_answer(up, q->token, 0, 0, NULL);
            return;
        }
        op.kind = TREE_OP_UNLOCK;
    }
    ret = memdb_apply(r->db, &op, from, false, ev->now, &delta);
    if (ret < 0) {
        update_answer(up, q->token, ret, 0, NULL);
        return;
    }
    seq = ledger_add(r->ledger, delta, true, up);
    if (q->token == 0) {
        return;
    }
    if (q->wait == REPLICA_WAIT_APPLIED) {
        update_answer(up, q->token, ret, seq, NULL);
    } else {
        ledger_wait(r->ledger, q->token, seq, memdb_root(r->db).version, ret, up);
    }
}

/* Performs what waits, as far as the disk keeps up. */
static void pump(Replica *r, const ReplicaEvent *ev, ReplicaUpdate *up)
{
    while (!g_queue_is_empty(&r->inbox) && ledger_pending_bytes(r->ledger) < REPLICA_BACKLOG_MAX) {
        Request *q = g_queue_pop_head(&r->inbox);

        perform_local(r, q, ev, up);
        request_free(q);
    }
}

static void on_submit(Replica *r, const ReplicaEvent *ev, ReplicaUpdate *up)
{
    assert(ev->token != 0 && ev->op != NULL);
    if (r->inbox.length + ledger_waiting(r->ledger) >= REPLICA_CALLERS_MAX) {
        update_answer(up, ev->token, -EBUSY, 0, "too many changes are waiting on this node");
        return;
    }
    if (!r->quorate) {
        update_answer(up, ev->token, -EACCES, 0, "no quorum");
        return;
    }
    g_queue_push_tail(&r->inbox, request_new(ev));
    pump(r, ev, up);
}

static void on_sync(Replica *r, const ReplicaEvent *ev, ReplicaUpdate *up)
{
    uint64_t seq = MIN(ev->seq, ledger_last_seq(r->ledger));

    if (ledger_waiting(r->ledger) >= REPLICA_CALLERS_MAX) {
        update_answer(up, ev->token, -EBUSY, 0, "too many changes are waiting on this node");
        return;
    }
    ledger_wait(r->ledger, ev->token, seq, memdb_root(r->db).version, 0, up);
}

static void on_cancel(Replica *r, uint64_t token)
{
    if (ledger_cancel(r->ledger, token)) {
        return;
    }
    for (GList *l = r->inbox.head; l != NULL; l = l->next) {
        Request *q = l->data;

        if (q->token == token) {
            request_free(q);
            g_queue_delete_link(&r->inbox, l);
            return;
        }
    }
}

static void on_store_failed(Replica *r, const ReplicaEvent *ev, ReplicaUpdate *up)
{
    (void)ledger_failed(r->ledger, ev->seq, ev->code, ev->now, up);
    /* Nobody else holds the changes: the next one simply tries the disk again. */
    update_simple(up, REPLICA_ACT_STORE_RESUME);
}

void replica_step(Replica *r, const ReplicaEvent *ev, ReplicaUpdate *up)
{
    switch (ev->kind) {
    case REPLICA_EV_SUBMIT:
        on_submit(r, ev, up);
        break;
    case REPLICA_EV_SYNC:
        on_sync(r, ev, up);
        break;
    case REPLICA_EV_CANCEL:
        on_cancel(r, ev->token);
        break;
    case REPLICA_EV_STORED:
        ledger_stored(r->ledger, ev->seq, up);
        pump(r, ev, up);
        break;
    case REPLICA_EV_STORE_FAILED:
        on_store_failed(r, ev, up);
        pump(r, ev, up);
        break;
    case REPLICA_EV_GROUP:
    case REPLICA_EV_QUORUM:
    case REPLICA_EV_PROBED:
    case REPLICA_EV_TICK:
    case REPLICA_EV_VERIFY:
        break; /* a single node has no group, no quorum to lose and no peer to compare with */
    case REPLICA_EV_N:
        assert(false);
    }
}

void replica_status(const Replica *r, ReplicaStatus *ret)
{
    *ret = (ReplicaStatus){
        .mode = r->cfg.local ? GROUP_MODE_SYNCED : GROUP_MODE_START,
        .quorate = r->quorate,
        .members = r->cfg.local ? 1 : 0,
        .synced = r->cfg.local ? 1 : 0,
        .waiting = r->inbox.length + ledger_waiting(r->ledger),
    };
}
