/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/ledger.h"
#include "pmxcfs/core/native_priv.h"

#include <errno.h>
#include <string.h>

#define PATHS_LOGGED 8

/* ---- the record on disk ---------------------------------------------------------------------- */

void native_meta_note(Replica *r, uint64_t seq)
{
    PendingMeta *p = g_new(PendingMeta, 1);

    *p = (PendingMeta){seq, r->native->meta};
    g_queue_push_tail(&r->native->pending, p);
}

void native_book_meta(Replica *r)
{
    ledger_set_record(r->ledger, wire_native_encode_meta(&r->native->meta));
    native_meta_note(r, ledger_add_record(r->ledger, r->up));
}

/* Who answered a caller had this change on its own disk and heard from the others; each of them has
 * heard its own acknowledgement before the view ended. What came after the last of these may be our
 * own messages behind ones that we never got, when it was us who were cut off. */
void native_note_told(Replica *r)
{
    Native *n = r->native;
    uint64_t told;

    if (n->phase != NATIVE_PHASE_ACTIVE) {
        return;
    }
    told = MAX(n->base, native_self(r)->acked);
    if (r->cfg.durability == REPLICA_DURABILITY_QUORUM) {
        told = MAX(told, ledger_confirmed(r->ledger));
    }
    if (told < memdb_root(r->db).version) {
        n->meta.told = told;
        native_book_meta(r);
    }
}

/* What was on its way belongs to changes that the disk refused: the record goes back with them. */
void native_store_failed(Replica *r, uint64_t seq)
{
    Native *n = r->native;
    const PendingMeta *last;
    bool lost = false;

    while ((last = g_queue_peek_tail(&n->pending)) != NULL && last->seq >= seq) {
        g_free(g_queue_pop_tail(&n->pending));
        lost = true;
    }
    if (!lost) {
        return;
    }
    n->meta = last != NULL ? last->meta : n->stored;
    /* Among others we leave the group, and for them the term goes on: what we have sent in it may
     * take effect. */
    if (replica_group_alone(r) && n->phase != NATIVE_PHASE_DOCUMENTED &&
        n->phase != NATIVE_PHASE_WAITING) {
        native_batch_reset(r);
        native_content_drop(n);
        native_set_phase(r, NATIVE_PHASE_WAITING, "the disk refused the record of the term");
    }
}

void native_taint(Replica *r, uint64_t before)
{
    Native *n = r->native;

    if (n == NULL || n->meta.term == 0 || n->meta.clean != UINT64_MAX) {
        return;
    }
    n->meta.clean = before;
    ledger_set_record(r->ledger, wire_native_encode_meta(&n->meta));
    native_meta_note(r, ledger_last_seq(r->ledger) + 1); /* that of the change that follows */
}

/* ---- giving and getting ---------------------------------------------------------------------- */

static void held_free(gpointer data)
{
    Held *h = data;

    g_bytes_unref(h->payload);
    g_free(h);
}

void native_content_drop(Native *n)
{
    g_clear_pointer(&n->giver, nsync_giver_free);
    g_clear_pointer(&n->taker, nsync_taker_free);
    g_queue_clear_full(&n->held, held_free);
    n->held_bytes = 0;
}

/* All states are in: the leader gives when somebody lacks something, who lacks something takes. */
void native_content_begin(Replica *r, bool lacking)
{
    Native *n = r->native;
    const NativePeer *leader = &n->peers[n->leader];
    bool wanted = false;

    for (uint32_t i = 0; i < n->n_peers; i++) {
        const NativePeer *p = &n->peers[i];

        wanted = wanted || (p->in && memcmp(p->digest, leader->digest, sizeof p->digest) != 0);
    }
    if (group_member_equal(&leader->id, &native_self(r)->id) && wanted) {
        n->giver = nsync_giver_new(r->db, &n->epoch);
    }
    if (lacking) {
        n->taker = nsync_taker_new(r->db, &n->epoch);
    }
    native_stream(r);
}

/* Says and asks what is due, as far as there is room between other traffic. */
void native_stream(Replica *r)
{
    Native *n = r->native;

    while (n != NULL && (n->giver != NULL || n->taker != NULL) &&
           dfsm_unsent_bytes(r->dfsm) < REPLICA_STREAM_BYTES && !dfsm_backpressure(r->dfsm)) {
        g_autoptr(GBytes) payload =
            n->giver != NULL ? nsync_giver_next(n->giver) : nsync_taker_next(n->taker);

        if (payload == NULL) {
            return;
        }
        native_send_payload(r, payload);
    }
}

void native_content_take(Replica *r, const NativePeer *peer, const WireNative *m)
{
    Native *n = r->native;
    int ret;

    if (n->giver != NULL &&
        (m->kind == WIRE_NATIVE_WANT_LEAVES || m->kind == WIRE_NATIVE_WANT_ENTRIES)) {
        nsync_giver_want(n->giver, m);
        native_stream(r);
        return;
    }
    if (n->taker == NULL || peer != &n->peers[n->leader]) {
        return;
    }
    ret = nsync_taker_take(n->taker, m);
    if (ret < 0) {
        dfsm_leave(r->dfsm, "the leader contradicts itself");
        return;
    }
    if (ret > 0) {
        n->alarm = mono_add_ms(r->now, NATIVE_PROGRESS_MS);
        native_stream(r);
        native_content_commit(r);
    }
}

/* ---- taking over ----------------------------------------------------------------------------- */

/* Is our content a part of the leader's history, so that nothing is lost by taking the leader's? It
 * is when the leader's history went through the point at which we stand. */
static bool is_part_of(const WireNativeMeta *mine, uint64_t version, const NativePeer *leader)
{
    const WireNativeMeta *m = &leader->meta;

    if (mine->clean != UINT64_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < m->n_history; i++) {
        if (m->history[i].term == mine->term) {
            return version <= (i + 1 < m->n_history ? m->history[i + 1].base : leader->version);
        }
    }
    return false;
}

/* The difference, for people: what is gone or different after the new content was taken over. */
static void log_difference(Replica *r, const MemdbDelta *delta)
{
    uint32_t changed = 0, gone = 0, added = 0, named = 0;

    for (guint i = 0; i < delta->edits->len; i++) {
        const MemdbEdit *e = &g_array_index(delta->edits, MemdbEdit, i);

        added += e->before == NULL ? 1 : 0;
        gone += e->after == NULL ? 1 : 0;
        changed += e->before != NULL && e->after != NULL ? 1 : 0;
        if (e->before != NULL && e->path_before != NULL && named < PATHS_LOGGED) {
            named++;
            trace(&r->tracer, TRACE_WARNING, "native: '%s' had content of its own here: %s",
                  e->path_before, e->after != NULL ? "replaced" : "removed");
        }
    }
    trace(
        &r->tracer, TRACE_WARNING,
        "native: content of this node gives way to that of the majority: %u replaced, %u removed, "
        "%u added",
        changed, gone, added);
}

static int take_over(Replica *r, MemdbDelta **ret)
{
    Native *n = r->native;
    g_autoptr(GPtrArray) entries = NULL;
    g_autoptr(MemdbDelta) delta = NULL;
    g_autoptr(MemdbDelta) back = NULL;
    uint8_t digest[WIRE_NATIVE_DIGEST_SIZE];
    MemdbRoot root;
    Err err = ERR_INIT;
    int ret_code = nsync_taker_result(n->taker, &entries, &root);

    if (ret_code == 0) {
        ret_code = memdb_replace(r->db, entries, &root, r->now, &delta, &err);
    }
    if (ret_code < 0) {
        trace(&r->tracer, TRACE_ERR, "native: content cannot be taken over: %s", err_text(&err));
        return ret_code;
    }
    nsync_tree_digest(r->db, digest);
    if (memcmp(digest, n->peers[n->leader].digest, sizeof digest) != 0) {
        memdb_undo(r->db, delta, r->now, &back);
        trace(&r->tracer, TRACE_ERR, "native: the tree would differ from the leader's");
        return -EBADMSG;
    }
    *ret = g_steal_pointer(&delta);
    return 0;
}

static void apply_held(Replica *r)
{
    Native *n = r->native;
    Held *h;

    while (n->phase == NATIVE_PHASE_ACTIVE && (h = g_queue_pop_head(&n->held)) != NULL) {
        WireNative m;
        gsize size;
        const void *data = g_bytes_get_data(h->payload, &size);

        if (wire_native_decode(data, size, &m) == 0) { /* it was decoded before it was held */
            native_on_change(r, h->sender, h->time, &m);
        }
        held_free(h);
    }
    n->held_bytes = 0;
}

/* The record becomes that of the leader, in the new term. */
static void adopt_history(Native *n)
{
    const WireNativeMeta *leader = &n->peers[n->leader].meta;
    uint64_t promised = n->meta.promised;

    n->meta = *leader;
    n->meta.promised = promised;
    wire_native_meta_begin_term(&n->meta, n->term, n->base);
}

void native_content_commit(Replica *r)
{
    Native *n = r->native;
    MemdbRoot root = memdb_root(r->db);
    WireNativeMeta was = n->meta;
    g_autoptr(GPtrArray) before = NULL;
    MemdbDelta *delta = NULL;
    bool loses;

    if (n->phase != NATIVE_PHASE_FETCHING || !nsync_taker_complete(n->taker)) {
        return;
    }
    loses =
        root.version > NATIVE_BLANK_MAX && !is_part_of(&was, root.version, &n->peers[n->leader]);
    before = loses ? memdb_all(r->db) : NULL;
    if (take_over(r, &delta) < 0) {
        dfsm_leave(r->dfsm, "content could not be taken over");
        return;
    }
    trace(&r->tracer, TRACE_INFO,
          "native: content of member %u taken over, %" G_GUINT64_FORMAT " bytes came",
          n->peers[n->leader].id.nodeid, nsync_taker_bytes(n->taker));
    if (loses) {
        g_autofree char *why = g_strdup_printf(
            "%s-replaced-by-node-%u", was.clean != UINT64_MAX ? "local-changes" : "minority",
            n->peers[n->leader].id.nodeid);
        log_difference(r, delta);
        update_save_losing(r->up, before, root, why);
    }
    ledger_release(r->ledger, 0, -EBUSY, REPLICA_TEXT_UNKNOWN, r->up);
    adopt_history(n);
    ledger_set_record(r->ledger, wire_native_encode_meta(&n->meta));
    n->term_seq = ledger_add(r->ledger, delta, false, r->up);
    n->term_booked = true;
    native_meta_note(r, n->term_seq);
    g_clear_pointer(&n->taker, nsync_taker_free);
    n->ack_due = n->base;
    native_set_phase(r, NATIVE_PHASE_ACTIVE, "has the content of the term");
    dfsm_set_synced(r->dfsm, "has the content of the term");
    apply_held(r);
    native_acknowledge(r);
}
