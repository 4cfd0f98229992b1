/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/native.h"

#include "pmxcfs/core/ledger.h"
#include "pmxcfs/core/native_priv.h"
#include "pmxcfs/core/pmxcfs_limits.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

STRTAB_DEFINE(native_phase, NativePhase, NATIVE_PHASE_LIST, NATIVE_PHASE_N)

static const MemdbLimits documented_limits = {CFS_FILE_SIZE_MAX, CFS_TOTAL_SIZE_MAX,
                                              CFS_INODES_MAX};

/* ---- phases ---------------------------------------------------------------------------------- */

#define TO(phase)  (1u << NATIVE_PHASE_##phase)
#define TO_RESTART (TO(DOCUMENTED) | TO(WAITING) | TO(COLLECTING) | TO(LEFT_OUT))

static const uint8_t phase_next[NATIVE_PHASE_N] = {
    [NATIVE_PHASE_DOCUMENTED] = TO_RESTART,
    [NATIVE_PHASE_WAITING] = TO_RESTART,
    [NATIVE_PHASE_COLLECTING] = TO_RESTART | TO(PROMISING),
    [NATIVE_PHASE_PROMISING] = TO_RESTART | TO(ACTIVE) | TO(FETCHING),
    [NATIVE_PHASE_FETCHING] = TO_RESTART | TO(ACTIVE),
    [NATIVE_PHASE_ACTIVE] = TO_RESTART,
    [NATIVE_PHASE_LEFT_OUT] = TO_RESTART,
};

bool native_phase_allowed(NativePhase from, NativePhase to)
{
    return (phase_next[from] & (1u << to)) != 0;
}

/* The only place where the phase changes. */
void native_set_phase(Replica *r, NativePhase next, const char *why)
{
    Native *n = r->native;
    NativePhase was = n->phase;

    assert(native_phase_allowed(was, next));
    n->phase = next;
    n->alarm = native_alarm_of(r, next);
    if (was != next) {
        trace(&r->tracer, TRACE_DEBUG, "native: %s -> %s (%s)", native_phase_name(was),
              native_phase_name(next), why);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

Native *native_new(Replica *r, GBytes *meta)
{
    Native *n = g_new0(Native, 1);
    gsize size;
    const void *data = meta != NULL ? g_bytes_get_data(meta, &size) : NULL;

    n->meta.clean = n->meta.told = UINT64_MAX;
    if (data != NULL && wire_native_decode_meta(data, size, &n->meta) < 0) {
        trace(&r->tracer, TRACE_ERR, "native: record of terms cannot be read: begun anew");
        n->meta = (WireNativeMeta){.clean = UINT64_MAX, .told = UINT64_MAX};
    }
    n->stored = n->meta;
    n->alarm = MONO_NEVER;
    n->restart = MONO_NEVER;
    n->ack_own_at = MONO_NEVER;
    n->batch = g_byte_array_new();
    g_queue_init(&n->pending);
    g_queue_init(&n->held);
    g_queue_init(&n->batch_requests);
    return n;
}

void native_free(Native *n)
{
    if (n == NULL) {
        return;
    }
    native_content_drop(n);
    g_queue_clear_full(&n->pending, g_free);
    g_queue_clear_full(&n->batch_requests, (GDestroyNotify)request_free);
    if (n->stream != NULL) {
        request_free(n->stream);
    }
    g_clear_pointer(&n->stream_bytes, g_bytes_unref);
    for (uint32_t i = 0; i < n->n_peers; i++) {
        g_clear_pointer(&n->peers[i].stream, g_byte_array_unref);
    }
    g_byte_array_unref(n->batch);
    g_free(n);
}

void native_send_payload(Replica *r, GBytes *payload)
{
    gsize size;
    const void *data = g_bytes_get_data(payload, &size);

    dfsm_send_foreign_epoch(r->dfsm, WIRE_DFSM_UPDATE, &wire_native_epoch, data, size);
}

void native_send_with(Replica *r, const WireNative *m, const uint32_t (*members)[3])
{
    g_autoptr(GBytes) payload = wire_native_encode(m, members);

    native_send_payload(r, payload);
}

void native_send(Replica *r, const WireNative *m)
{
    native_send_with(r, m, NULL);
}

/* ---- greetings ------------------------------------------------------------------------------- */

void native_say_hello(Replica *r, uint32_t flags)
{
    Native *n = r->native;
    uint32_t known[GROUP_MEMBERS_MAX][3];
    WireNative m = {.kind = WIRE_NATIVE_HELLO,
                    .version = WIRE_NATIVE_VERSION,
                    .flags = flags,
                    .promised = n->meta.promised,
                    .term = n->meta.term};

    for (uint32_t i = 0; i < n->n_peers; i++) {
        const NativePeer *p = &n->peers[i];

        if (p->native) {
            known[m.n_members][0] = p->id.nodeid;
            known[m.n_members][1] = p->id.pid;
            known[m.n_members++][2] = 1;
        }
    }
    native_send_with(r, &m, known);
}

void native_try_documented(Replica *r)
{
    const Native *n = r->native;

    if (n->phase == NATIVE_PHASE_WAITING && native_peers_foreign(n) && !n->voided &&
        dfsm_is_lowest(r->dfsm)) {
        dfsm_start_sync(r->dfsm);
    }
}

/* ---- a new view ------------------------------------------------------------------------------ */

/* A foreign member that was silent while a term ran has queued what that term made void, documented
 * changes of all members among it (8.6): in an exchange of the same members it would apply them
 * after it, alone. When a member is new, each sends its own queued changes again and forgets the
 * rest (8.4). So the documented exchange waits for a view with a new member (`voided`), and makes
 * one. */
void native_come_back(Replica *r)
{
    dfsm_leave(r->dfsm, "a member is foreign"); /* all begin again in the view of our return */
}

static void leave_view(Replica *r)
{
    Native *n = r->native;

    native_note_told(r);
    native_lost(r);
    native_batch_reset(r);
    native_content_drop(n);
    n->n_peers = 0;
    native_forget_restart(n);
    n->started = false;
    native_set_phase(r, NATIVE_PHASE_DOCUMENTED, "out of the group");
}

void native_view(Replica *r, const DfsmMember *members, uint32_t n_members)
{
    Native *n = r->native;

    if (n_members == 0) {
        leave_view(r);
        return;
    }
    native_note_told(r);
    native_batch_reset(r); /* frees the streams of the old peers */
    native_content_drop(n);
    n->voided = !native_peers_rebuild(r, members, n_members) && n->voided;
    n->started = n->probed = false;
    native_forget_restart(n);
    n->since = r->now;
    if (r->cfg.durability == REPLICA_DURABILITY_QUORUM) {
        ledger_confirm(r->ledger, 0, r->up);
    }
    native_set_phase(r, NATIVE_PHASE_WAITING, "new view");
    if (!native_peers_all(n) && !n->voided) {
        n->alarm = mono_add_ms(r->now, NATIVE_HELLO_MS);
    }
    native_say_hello(r, 0);
    native_try_documented(r);
    native_try_start(r);
}

/* ---- messages -------------------------------------------------------------------------------- */

static void on_hello(Replica *r, NativePeer *peer, const WireNative *m)
{
    Native *n = r->native;
    bool running = n->phase != NATIVE_PHASE_WAITING && n->phase != NATIVE_PHASE_DOCUMENTED;

    if (m->version != WIRE_NATIVE_VERSION) {
        return; /* another one than ours is foreign */
    }
    peer->native = peer->greeted = true;
    peer->foreign = peer->silent = false;
    peer->suspect = false;
    peer->hello_term = MAX(m->promised, m->term);
    for (uint32_t i = 0; i < m->n_members; i++) {
        GroupMember who;
        NativePeer *other;
        uint32_t share;

        wire_native_member(m, i, &who.nodeid, &who.pid, &share);
        other = native_peer(n, who);
        if (other != NULL) {
            other->native = true;
            other->foreign = other->silent = false;
        }
    }
    if (running && (!peer->in || (m->flags & WIRE_NATIVE_HELLO_WANT) != 0)) {
        native_ask_restart(r);
    }
    if (n->phase == NATIVE_PHASE_WAITING && native_peers_all(n)) {
        n->alarm = native_alarm_of(r, n->phase);
    }
    native_try_start(r);
}

void native_message(Replica *r, GroupMember sender, const WireDfsmMessage *dm)
{
    Native *n = r->native;
    NativePeer *peer;
    WireNative m;
    int ret;

    if (!wire_dfsm_epoch_equal(&dm->head.epoch, &wire_native_epoch) ||
        dm->head.type != WIRE_DFSM_UPDATE || !dfsm_in_view(r->dfsm)) {
        return;
    }
    peer = native_peer(n, sender);
    if (peer == NULL) {
        return;
    }
    ret = wire_native_decode(dm->payload, dm->payload_size, &m);
    if (ret < 0) {
        trace(&r->tracer, TRACE_WARNING, "native: %s message of member %u ignored",
              ret == -EPROTO ? "unknown" : "malformed", sender.nodeid);
        return;
    }
    switch (m.kind) {
    case WIRE_NATIVE_HELLO:
        on_hello(r, peer, &m);
        break;
    case WIRE_NATIVE_START:
        native_on_start(r, peer, &m);
        break;
    case WIRE_NATIVE_BATCH:
    case WIRE_NATIVE_PIECE:
        native_on_change(r, sender, dm->head.time, &m);
        break;
    default:
        native_on_exchange(r, peer, &m);
    }
}

/* ---- disk ------------------------------------------------------------------------------------ */

void native_stored(Replica *r)
{
    Native *n = r->native;
    uint64_t stored = ledger_stored_seq(r->ledger);
    const PendingMeta *p;
    WireNative m = {.kind = WIRE_NATIVE_PROMISE, .epoch = n->epoch};

    while ((p = g_queue_peek_head(&n->pending)) != NULL && p->seq <= stored) {
        n->stored = p->meta;
        g_free(g_queue_pop_head(&n->pending));
    }
    if (n->phase == NATIVE_PHASE_PROMISING && !n->promise_sent && stored >= n->promise_seq) {
        n->promise_sent = true;
        native_send(r, &m);
    }
    native_acknowledge(r);
    native_confirm(r);
}

/* ---- who turns out to be foreign ------------------------------------------------------------- */

void native_heard(Replica *r)
{
    Native *n = r->native;

    for (uint32_t i = 0; i < n->n_peers; i++) {
        NativePeer *p = &n->peers[i];

        if (p->silent && native_has_spoken(r, p->id)) {
            p->silent = false;
            p->foreign = true;
            trace(
                &r->tracer, TRACE_NOTICE,
                "native: member %u, which was silent, is foreign: the documented protocol is used",
                p->id.nodeid);
            if (native_rank(r) == 0) {
                native_come_back(r);
                return;
            }
            n->alarm =
                mono_min(n->alarm, native_documented_alarm(r)); /* the first may have stopped */
        }
    }
}

void native_quorum(Replica *r)
{
    if (!r->quorate && ledger_confirmed(r->ledger) != UINT64_MAX) {
        ledger_release(r->ledger, 0, -EBUSY, REPLICA_TEXT_UNKNOWN, r->up);
    } else if (r->quorate && r->native->n_peers > 0) {
        native_try_start(r);
        if (native_votes_changed(r)) {
            native_ask_restart(r);
        }
    }
}

/* ---- the documented protocol ------------------------------------------------------------------
 */

/* Never when all members are native: whose content wins must not depend on who was slow to say so.
 * Nor before a foreign member has forgotten what a term made void. */
bool native_documented(const Replica *r)
{
    return !native_peers_all(r->native) && !r->native->voided;
}

void native_documented_begins(Replica *r)
{
    Native *n = r->native;

    native_batch_reset(r);
    native_content_drop(n);
    native_set_phase(r, NATIVE_PHASE_DOCUMENTED, "a member is foreign");
    n->alarm = native_documented_alarm(r);
}

static void report_excess(Replica *r)
{
    g_autoptr(GPtrArray) all = memdb_all(r->db);
    uint32_t large = 0;

    for (guint i = 0; i < all->len; i++) {
        large += ((const Entry *)all->pdata[i])->size > CFS_FILE_SIZE_MAX ? 1 : 0;
    }
    if (large > 0 || memdb_content_bytes(r->db) > CFS_TOTAL_SIZE_MAX) {
        trace(
            &r->tracer, TRACE_WARNING,
            "native: the content exceeds what a foreign member is made for: %u files above 1 MiB, "
            "%" G_GUINT64_FORMAT " bytes in all; nothing is cut",
            large, memdb_content_bytes(r->db));
    }
}

/* Content of a quorate group with foreign members is newer than that of all terms before it: so
 * the members that know of terms count one on. */
void native_documented_synced(Replica *r)
{
    Native *n = r->native;
    uint64_t highest = MAX(n->meta.promised, n->meta.term);

    if (n->phase != NATIVE_PHASE_DOCUMENTED) {
        return;
    }
    memdb_set_limits(r->db, &documented_limits);
    report_excess(r);
    ledger_confirm(r->ledger, UINT64_MAX, r->up);
    if (!r->quorate) {
        return;
    }
    for (uint32_t i = 0; i < n->n_peers; i++) {
        highest = MAX(highest, n->peers[i].hello_term);
    }
    n->meta.promised = highest + 1;
    wire_native_meta_begin_term(&n->meta, highest + 1, memdb_root(r->db).version);
    native_book_meta(r);
}

bool native_decides(const Replica *r)
{
    return r->native != NULL && r->native->phase != NATIVE_PHASE_DOCUMENTED;
}

/* ---- reading --------------------------------------------------------------------------------- */

uint64_t native_base(const Native *n)
{
    return n->base;
}

NativePhase native_phase(const Native *n)
{
    return n->phase;
}

uint64_t native_term(const Native *n)
{
    return n->meta.term;
}
