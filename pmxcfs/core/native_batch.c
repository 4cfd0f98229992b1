/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/ledger.h"
#include "pmxcfs/core/native_priv.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define BATCH_OPS   256u
#define PIECE_BYTES (64u * 1024u)

G_STATIC_ASSERT(BATCH_OPS <= WIRE_NATIVE_OPS_MAX);

/* ---- our callers' changes ----------------------------------------------------------------------
 */

/* One large change at a time is sent in pieces; smaller ones pass it. */
static bool is_large(const Request *q)
{
    return q != NULL && q->op->data != NULL && g_bytes_get_size(q->op->data) > NATIVE_BATCH_BYTES;
}

Request *native_streaming(const Native *n)
{
    return n != NULL ? n->stream : NULL;
}

bool native_ready(const Replica *r)
{
    const Native *n = r->native;
    const Request *next = g_queue_peek_head((GQueue *)&r->inbox);

    return n->phase == NATIVE_PHASE_ACTIVE && r->quorate && !dfsm_backpressure(r->dfsm) &&
           n->batches < NATIVE_BATCHES && (n->stream == NULL || !is_large(next)) &&
           r->sent.length < REPLICA_CALLERS_MAX && r->sent_bytes < REPLICA_WINDOW_BYTES;
}

static GBytes *encode_op(const TreeOp *op)
{
    WireNativeOp w = {.kind = (uint8_t)op->kind, .path = op->path, .mtime = op->mtime};
    gsize size = 0;

    if (op->kind == TREE_OP_WRITE) {
        w.offset = op->offset;
        w.flags = op->truncate ? WIRE_NATIVE_OP_TRUNCATE : 0;
        w.data = op->data != NULL ? g_bytes_get_data(op->data, &size) : NULL;
        w.size = (uint32_t)size;
    } else if (op->kind == TREE_OP_RENAME) {
        w.to = op->to;
        w.flags = op->noreplace ? WIRE_NATIVE_OP_NOREPLACE : 0;
    } else if (op->kind == TREE_OP_UNLOCK || op->kind == TREE_OP_UNLOCK_REQUEST) {
        w.data = op->csum;
        w.size = sizeof op->csum;
    }
    return wire_native_encode_op(&w);
}

/* Strings are borrowed; `ret->data` is a new reference. */
static int decode_op(const WireNativeOp *w, TreeOp *ret)
{
    bool unlock = w->kind == TREE_OP_UNLOCK || w->kind == TREE_OP_UNLOCK_REQUEST;

    if (w->kind < TREE_OP_WRITE || w->kind >= TREE_OP_N ||
        (w->kind == TREE_OP_RENAME) != (w->to != NULL) || (unlock && w->size != sizeof ret->csum)) {
        return -EBADMSG;
    }
    *ret = (TreeOp){.kind = (TreeOpKind)w->kind,
                    .path = w->path,
                    .to = w->to,
                    .offset = w->offset,
                    .mtime = w->mtime,
                    .truncate = (w->flags & WIRE_NATIVE_OP_TRUNCATE) != 0,
                    .noreplace = (w->flags & WIRE_NATIVE_OP_NOREPLACE) != 0};
    if (unlock) {
        memcpy(ret->csum, w->data, sizeof ret->csum);
    } else if (w->size > 0) {
        ret->data = g_bytes_new(w->data, w->size);
    }
    return 0;
}

static void send_pieces(Replica *r)
{
    Native *n = r->native;
    gsize size;
    const uint8_t *data;

    while (n->stream != NULL && n->pieces < NATIVE_PIECES && !dfsm_backpressure(r->dfsm)) {
        WireNative m = {.kind = WIRE_NATIVE_PIECE, .epoch = n->epoch, .number = n->stream_number};

        data = g_bytes_get_data(n->stream_bytes, &size);
        m.total = (uint32_t)size;
        m.first = n->stream_at;
        m.data = data + n->stream_at;
        m.size = MIN(PIECE_BYTES, size - n->stream_at);
        native_send(r, &m);
        n->pieces++;
        n->stream_at += (uint32_t)m.size;
        if (n->stream_at == size) {
            Request *q = g_steal_pointer(&n->stream);

            q->count = n->stream_number;
            g_queue_push_tail(&r->sent, q);
            r->sent_bytes += q->size;
            g_clear_pointer(&n->stream_bytes, g_bytes_unref);
        }
    }
}

void native_flush(Replica *r)
{
    Native *n = r->native;
    WireNative m = {.kind = WIRE_NATIVE_BATCH};
    Request *q;

    if (n->batch_n > 0) {
        m.epoch = n->epoch;
        m.number = ++n->number;
        m.n = n->batch_n;
        m.data = n->batch->data;
        m.size = n->batch->len;
        native_send(r, &m);
        while ((q = g_queue_pop_head(&n->batch_requests)) != NULL) {
            q->count = m.number;
            r->sent_bytes += q->size;
            g_queue_push_tail(&r->sent, q);
        }
        n->batches++;
        n->batch_n = 0;
        g_byte_array_set_size(n->batch, 0);
    }
    send_pieces(r);
}

void native_perform(Replica *r, Request *q)
{
    Native *n = r->native;
    TreeOrigin from = {.writer = dfsm_self(r->dfsm).nodeid, .time = wall_u32(r->wall)};
    g_autoptr(GBytes) bytes = NULL;
    gsize size;
    const void *data;
    int ret = memdb_check(r->db, q->op, from);

    if (ret < 0) {
        request_answer(r, q, ret, 0, NULL);
        request_free(q);
        return;
    }
    bytes = encode_op(q->op);
    data = g_bytes_get_data(bytes, &size);
    q->native = true;
    q->size = size;
    q->deadline = mono_min(q->limit, mono_add_ms(r->now, REPLICA_ANSWER_MS));
    if (is_large(q)) {
        native_flush(r);
        n->stream = q;
        n->stream_bytes = g_steal_pointer(&bytes);
        n->stream_number = ++n->number;
        n->stream_at = 0;
        send_pieces(r);
        return;
    }
    g_byte_array_append(n->batch, data, (guint)size);
    g_queue_push_tail(&n->batch_requests, q);
    n->batch_n++;
    if (n->batch_n == BATCH_OPS || n->batch->len >= NATIVE_BATCH_BYTES) {
        native_flush(r);
    }
}

/* Back to those that were not sent. */
static void put_back(Replica *r, Request *q)
{
    q->native = false;
    q->count = 0;
    q->deadline = mono_min(q->deadline, mono_add_ms(r->now, REPLICA_SEND_MS));
    g_queue_push_head(&r->inbox, q);
}

/* The term is over. What of ours has not been delivered in it never takes effect, because its
 * messages name the term: it can be sent again. */
void native_batch_reset(Replica *r)
{
    Native *n = r->native;
    GList *prev;
    Request *q;

    while ((q = g_queue_pop_tail(&n->batch_requests)) != NULL) {
        put_back(r, q);
    }
    g_byte_array_set_size(n->batch, 0);
    n->batch_n = 0;
    if (n->stream != NULL) {
        put_back(r, g_steal_pointer(&n->stream));
    }
    g_clear_pointer(&n->stream_bytes, g_bytes_unref);
    for (GList *link = r->sent.tail; link != NULL; link = prev) {
        prev = link->prev;
        q = link->data;
        if (q->native) {
            r->sent_bytes -= q->size;
            g_queue_delete_link(&r->sent, link);
            put_back(r, q);
        }
    }
    n->batches = 0;
    n->pieces = 0;
    n->ack_due = 0;
    n->ack_sent = 0;
    n->ack_own = 0;
    n->ack_own_at = MONO_NEVER;
    n->ack_ever = false;
    n->ack_flying = false;
    for (uint32_t i = 0; i < n->n_peers; i++) {
        g_clear_pointer(&n->peers[i].stream, g_byte_array_unref);
    }
}

/* Unsent changes have not happened; what was sent may have (replica_group_lost answers that). */
void native_lost(Replica *r)
{
    Native *n = r->native;
    Request *q;

    while ((q = g_queue_pop_tail(&n->batch_requests)) != NULL) {
        put_back(r, q);
    }
    if (n->stream != NULL) {
        put_back(r, g_steal_pointer(&n->stream));
    }
}

/* ---- delivery ----------------------------------------------------------------------------------
 */

/* The lowest member that has the content judges, by its own timer. */
bool native_judges(const Replica *r)
{
    const Native *n = r->native;
    GroupMember self = dfsm_self(r->dfsm);

    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (n->peers[i].in && n->peers[i].synced) {
            return group_member_equal(&n->peers[i].id, &self);
        }
    }
    return false;
}

static void judge_lock(Replica *r, const TreeOp *op)
{
    Request *q;

    if (!native_judges(r) || memdb_check(r->db, op, (TreeOrigin){0}) < 0 ||
        !memdb_lock_expired(r->db, op->path, op->csum, r->now)) {
        return;
    }
    q = g_new0(Request, 1); /* nobody waits for it */
    q->op = tree_op_copy(op);
    q->op->kind = TREE_OP_UNLOCK;
    q->deadline = mono_add_ms(r->now, REPLICA_SEND_MS);
    q->limit = MONO_NEVER;
    g_queue_push_tail(&r->inbox, q);
}

/* The request of ours that this change carries out. */
static Request *take_request(Replica *r, uint64_t number)
{
    Request *q;

    for (GList *link = r->sent.head; link != NULL; link = link->next) {
        q = link->data;
        if (q->native) {
            assert(q->count == number); /* batches and streams come back in the order of sending */
            r->sent_bytes -= q->size;
            g_queue_delete_link(&r->sent, link);
            return q;
        }
    }
    assert(false); /* one request per change of ours */
    return NULL;
}

static void apply_op(Replica *r, const WireNativeOp *w, TreeOrigin from, Request *q)
{
    TreeOp op = {0};
    MemdbDelta *delta = NULL;
    int ret = decode_op(w, &op);

    if (ret == 0 && op.kind == TREE_OP_UNLOCK_REQUEST) {
        judge_lock(r, &op);
    } else if (ret == 0) {
        ret = memdb_apply(r->db, &op, from, false, r->now, &delta);
    }
    if (delta != NULL && q != NULL) {
        request_applied(r, q, ret, delta);
    } else if (delta != NULL) {
        (void)ledger_add(r->ledger, delta, false, r->up);
    } else if (q != NULL) {
        request_answer(r, q, ret, 0, NULL);
    }
    g_clear_pointer(&op.data, g_bytes_unref);
}

/* Who asked for a change waits for our disk. For our own changes only somebody does who syncs
 * elsewhere, which waits for the whole tree: that may wait a little, and the many changes of one
 * node cost the others one message less each. */
static void note_due(Replica *r, bool own)
{
    Native *n = r->native;

    if (!own) {
        n->ack_due = memdb_root(r->db).version;
    } else {
        n->ack_own = memdb_root(r->db).version;
        n->ack_own_at = mono_min(n->ack_own_at, mono_add_ms(r->now, NATIVE_OWN_ACK_MS));
    }
}

void native_own_due(Replica *r)
{
    Native *n = r->native;

    n->ack_due = MAX(n->ack_due, n->ack_own);
    n->ack_own_at = MONO_NEVER;
    native_acknowledge(r);
}

static void apply_ops(Replica *r,
                      const WireNative *m,
                      GroupMember sender,
                      uint32_t time,
                      const uint8_t *data,
                      size_t size)
{
    TreeOrigin from = {.writer = sender.nodeid, .time = time};
    bool own = group_member_equal(&sender, &native_self(r)->id);
    size_t at = 0;

    while (at < size) {
        Request *q = own ? take_request(r, m->number) : NULL;
        WireNativeOp op;
        size_t used;

        if (wire_native_decode_op(data + at, size - at, &op, &used) < 0) {
            break; /* refused by the decoder of the message; of a stream: see take_piece */
        }
        apply_op(r, &op, from, q);
        at += used;
        if (q != NULL) {
            request_free(q);
        }
    }
    note_due(r, own);
}

/* Does `data` hold exactly one change? */
static bool is_one_op(const GByteArray *data)
{
    WireNativeOp op;
    size_t used;

    return wire_native_decode_op(data->data, data->len, &op, &used) == 0 && used == data->len;
}

static void
take_piece(Replica *r, NativePeer *peer, GroupMember sender, uint32_t time, const WireNative *m)
{
    g_autoptr(GByteArray) whole = NULL;

    if (m->first == 0) {
        g_clear_pointer(&peer->stream, g_byte_array_unref);
        peer->stream = g_byte_array_new();
        peer->stream_number = m->number;
    }
    if (peer->stream == NULL || peer->stream_number != m->number || peer->stream->len != m->first) {
        trace(&r->tracer, TRACE_ERR, "native: piece of member %u out of place", sender.nodeid);
        g_clear_pointer(&peer->stream, g_byte_array_unref);
        return;
    }
    g_byte_array_append(peer->stream, m->data, (guint)m->size);
    if (peer->stream->len < m->total) {
        return;
    }
    whole = g_steal_pointer(&peer->stream);
    if (is_one_op(whole)) {
        apply_ops(r, m, sender, time, whole->data, whole->len);
    } else {
        trace(&r->tracer, TRACE_ERR, "native: malformed change of member %u", sender.nodeid);
    }
}

static void hold(Replica *r, GroupMember sender, uint32_t time, const WireNative *m)
{
    Native *n = r->native;
    Held *h;

    if (n->held_bytes + m->size > NATIVE_HELD_BYTES) {
        dfsm_leave(r->dfsm, "too many changes while the content is fetched");
        return;
    }
    h = g_new(Held, 1);
    *h = (Held){sender, time, wire_native_encode(m, NULL)};
    g_queue_push_tail(&n->held, h);
    n->held_bytes += m->size;
}

void native_on_change(Replica *r, GroupMember sender, uint32_t time, const WireNative *m)
{
    Native *n = r->native;
    NativePeer *peer = native_peer(n, sender);

    if (peer == NULL || !peer->in || !wire_dfsm_epoch_equal(&m->epoch, &n->epoch)) {
        return; /* of a term that is over: its sender sends it again */
    }
    if (n->phase == NATIVE_PHASE_FETCHING) {
        hold(r, sender, time, m);
        return;
    }
    if (n->phase != NATIVE_PHASE_ACTIVE) {
        return;
    }
    if (group_member_equal(&sender, &native_self(r)->id)) {
        n->batches -= m->kind == WIRE_NATIVE_BATCH && n->batches > 0 ? 1 : 0;
        n->pieces -= m->kind == WIRE_NATIVE_PIECE && n->pieces > 0 ? 1 : 0;
    }
    if (m->kind == WIRE_NATIVE_BATCH) {
        apply_ops(r, m, sender, time, m->data, m->size);
    } else {
        take_piece(r, peer, sender, time, m);
    }
}

/* ---- acknowledgement ---------------------------------------------------------------------------
 */

/* Has the begin of the term, with the content it began with, reached our disk? */
static bool term_is_stored(const Replica *r)
{
    const Native *n = r->native;

    return n->phase == NATIVE_PHASE_ACTIVE && n->term_booked &&
           ledger_stored_seq(r->ledger) >= n->term_seq;
}

/* Tells the others how far our disk is, once in so many changes: while one acknowledgement is under
 * way the next one gathers. A node that may lose what it wrote never counts for others. */
void native_acknowledge(Replica *r)
{
    Native *n = r->native;
    WireNative m = {.kind = WIRE_NATIVE_ACK, .epoch = n->epoch};
    bool relaxed = r->cfg.durability == REPLICA_DURABILITY_RELAXED;

    if (!term_is_stored(r) || n->ack_flying || (n->ack_ever && n->ack_sent >= n->ack_due)) {
        return;
    }
    m.number = relaxed ? 0 : ledger_stored_version(r->ledger);
    if (n->ack_ever && m.number <= n->ack_sent) {
        return;
    }
    n->ack_ever = true;
    n->ack_sent = relaxed ? UINT64_MAX : m.number;
    n->ack_flying = true;
    n->ack_own_at = n->ack_sent >= n->ack_own ? MONO_NEVER : n->ack_own_at;
    native_send(r, &m);
}

/* How far one node's disk is known to be. */
typedef struct Reached {
    uint64_t version;
    uint32_t nodeid, votes;
} Reached;

static int descending(const void *a, const void *b)
{
    const Reached *x = a, *y = b;

    return (x->version < y->version) - (x->version > y->version);
}

static uint32_t find_reached(Replica *r, Reached *ret)
{
    Native *n = r->native;
    uint32_t nodes = 0;

    for (uint32_t i = 0; i < n->n_peers; i++) {
        const NativePeer *p = &n->peers[i];
        bool own = group_member_equal(&p->id, &native_self(r)->id);
        Reached one = {own ? ledger_stored_version(r->ledger) : p->acked, p->id.nodeid, p->votes};

        if (!p->in) {
            continue;
        }
        if (nodes > 0 && ret[nodes - 1].nodeid == one.nodeid) {
            ret[nodes - 1].version = MAX(ret[nodes - 1].version, one.version); /* one disk */
        } else {
            ret[nodes++] = one;
        }
    }
    return nodes;
}

/* Finds the tree version that nodes with `needed` votes have on disk. */
void native_confirm(Replica *r)
{
    Native *n = r->native;
    Reached reached[GROUP_MEMBERS_MAX];
    uint32_t nodes, votes = 0;

    if (r->cfg.durability != REPLICA_DURABILITY_QUORUM || !term_is_stored(r)) {
        return;
    }
    nodes = find_reached(r, reached);
    qsort(reached, nodes, sizeof reached[0], descending);
    for (uint32_t i = 0; i < nodes; i++) {
        votes += reached[i].votes;
        if (votes >= n->needed) {
            ledger_confirm(r->ledger, reached[i].version, r->up);
            return;
        }
    }
}

void native_on_ack(Replica *r, NativePeer *peer, const WireNative *m)
{
    Native *n = r->native;

    if (n->phase != NATIVE_PHASE_ACTIVE && n->phase != NATIVE_PHASE_FETCHING) {
        return;
    }
    peer->synced = true;
    peer->acked = MAX(peer->acked, m->number);
    if (group_member_equal(&peer->id, &native_self(r)->id)) {
        n->ack_flying = false;
        native_acknowledge(r);
    }
    native_confirm(r);
}
