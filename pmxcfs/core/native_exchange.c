/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/ledger.h"
#include "pmxcfs/core/native_priv.h"
#include "pmxcfs/core/pmxcfs_limits.h"

#include <string.h>

static const MemdbLimits native_limits = {CFS_FILE_SIZE_MAX_NATIVE, CFS_TOTAL_SIZE_MAX_NATIVE,
                                          CFS_INODES_MAX};

/* ---- beginning one --------------------------------------------------------------------------- */

void native_propose(Replica *r, const char *why)
{
    Native *n = r->native;
    uint32_t members[GROUP_MEMBERS_MAX][3];
    WireNative m = {.kind = WIRE_NATIVE_START, .n_members = n->n_peers};

    if (!native_find_needs(r, &m.needed, &m.readers)) {
        return;
    }
    m.epoch = dfsm_new_epoch(r->dfsm);
    for (uint32_t i = 0; i < n->n_peers; i++) {
        members[i][0] = n->peers[i].id.nodeid;
        members[i][1] = n->peers[i].id.pid;
        members[i][2] = n->peers[i].suspect ? 0 : 1 + native_votes_of(r, n->peers[i].id.nodeid);
    }
    trace(&r->tracer, TRACE_INFO, "native: proposes an exchange of %u of %u members (%s)",
          native_count_nodes(n, native_is_candidate), n->n_peers, why);
    n->started = true;
    native_send_with(r, &m, members);
}

/* The first in line begins, as soon as all are known to be native and have quorum. */
void native_try_start(Replica *r)
{
    Native *n = r->native;
    bool idle = n->phase == NATIVE_PHASE_WAITING || n->phase == NATIVE_PHASE_DOCUMENTED;

    if (idle && !n->started && n->n_peers > 0 && native_peers_all(n) && native_rank(r) == 0) {
        native_propose(r, "all members speak the native protocol");
    }
}

void native_forget_restart(Native *n)
{
    n->restart = MONO_NEVER;
    n->overdue = false;
}

void native_ask_restart(Replica *r)
{
    Native *n = r->native;

    if (!n->overdue) {
        n->restart = mono_min(n->restart, mono_add_ms(n->since, NATIVE_RESTART_MS));
    }
}

/* Would an exchange of the same members count otherwise than that of the term does? A node that was
 * just added has no votes in a term which began before the node list was heard of: its disk would
 * never count, and one more that stops would stop all. */
bool native_votes_changed(const Replica *r)
{
    const Native *n = r->native;
    uint32_t needed, readers;

    if (n->phase == NATIVE_PHASE_WAITING || n->phase == NATIVE_PHASE_DOCUMENTED ||
        !native_find_needs(r, &needed, &readers)) {
        return false;
    }
    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (n->peers[i].in && n->peers[i].votes != native_votes_of(r, n->peers[i].id.nodeid)) {
            return true;
        }
    }
    return needed != n->needed || readers != n->readers;
}

/* ---- begun ----------------------------------------------------------------------------------- */

static void tell_state(Replica *r)
{
    Native *n = r->native;
    MemdbRoot root = memdb_root(r->db);
    bool blank = n->meta.term == 0 && root.version <= NATIVE_BLANK_MAX;
    uint8_t digest[WIRE_NATIVE_DIGEST_SIZE];
    WireNative m = {.kind = WIRE_NATIVE_STATE,
                    .epoch = n->epoch,
                    .flags = blank ? WIRE_NATIVE_STATE_BLANK : 0,
                    .mtime = root.mtime,
                    .tree_version = root.version,
                    .digest = digest,
                    .meta = n->meta};

    nsync_tree_digest(r->db, digest);
    native_send(r, &m);
}

static void report_left_out(Replica *r)
{
    const Native *n = r->native;

    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (!n->peers[i].in) {
            trace(&r->tracer, TRACE_WARNING,
                  "native: member %u (process %u) does not answer: left out", n->peers[i].id.nodeid,
                  n->peers[i].id.pid);
        }
    }
}

/* One that was sent in an earlier view means nothing: another one follows. Its list may even be
 * that of this view, when a process left and came back meanwhile; such a member would be left out
 * without having had its time to say something. But each sends its greeting first when a view
 * begins. */
void native_on_start(Replica *r, const NativePeer *sender, const WireNative *m)
{
    Native *n = r->native;

    if (!sender->greeted || !native_peers_same(n, m)) {
        return;
    }
    if (dfsm_mode(r->dfsm) == GROUP_MODE_UPDATE) {
        replica_group_lost(r); /* of what waits here others may have applied a part */
    }
    native_note_told(r);
    native_batch_reset(r);
    native_content_drop(n);
    native_peers_reset(n, m);
    n->started = false;
    native_forget_restart(n);
    n->since = r->now;
    n->epoch = m->epoch;
    n->needed = m->needed;
    n->readers = m->readers;
    n->promise_sent = n->term_booked = false;
    n->voided = n->voided || native_peers_silent(n);
    if (r->cfg.durability == REPLICA_DURABILITY_QUORUM) {
        ledger_confirm(r->ledger, 0, r->up);
    }
    dfsm_begin_other(r->dfsm, &n->epoch, "exchange of the native protocol");
    report_left_out(r);
    if (!native_self(r)->in) {
        native_set_phase(r, NATIVE_PHASE_LEFT_OUT, "we did not answer in time");
        native_say_hello(r, WIRE_NATIVE_HELLO_WANT);
        return;
    }
    trace(&r->tracer, TRACE_DEBUG, "native: exchange begun by member %u", sender->id.nodeid);
    native_set_phase(r, NATIVE_PHASE_COLLECTING, "exchange begun");
    tell_state(r);
}

/* ---- states ---------------------------------------------------------------------------------- */

/* Content made outside of the group tells nothing about what was acknowledged in it, no more than a
 * database that was just made. */
static bool counts(const NativePeer *p)
{
    return !p->blank && p->meta.clean == UINT64_MAX;
}

static bool tells_content(const NativePeer *p)
{
    return p->in && counts(p);
}

static bool is_in(const NativePeer *p)
{
    return p->in;
}

/* Up to which version the content belongs to the term. */
static uint64_t clean_version(const NativePeer *p)
{
    return MIN(p->meta.clean, p->version);
}

/* Up to which version a caller may have been answered. A member that is cut off hears messages of
 * its own behind others that it never gets, and applies them: its version is higher than that of
 * those who have acknowledged what it lacks, but nobody was told of it. */
static uint64_t told_version(const NativePeer *p)
{
    return MIN(p->meta.told, clean_version(p));
}

/* Is the content of `a` to be preferred to that of `b`? By term and by the version that others rely
 * on; among contents of no term by the documented rule. Content that does not count leads only over
 * its like, or where so few count (`any`) that it may be the only one with what was acknowledged.
 */
static bool leads_over(const NativePeer *a, const NativePeer *b, bool any)
{
    if (counts(a) != counts(b) && !any) {
        return counts(a);
    }
    if (a->meta.term != b->meta.term) {
        return a->meta.term > b->meta.term;
    }
    if (told_version(a) != told_version(b)) {
        return told_version(a) > told_version(b);
    }
    if (clean_version(a) != clean_version(b)) {
        return clean_version(a) > clean_version(b);
    }
    if (counts(a) != counts(b)) {
        return counts(a);
    }
    return a->meta.term == 0 && a->mtime > b->mtime;
}

static void find_leader(Native *n)
{
    bool any = native_count_votes(n, tells_content) < n->readers;

    n->leader = n->n_peers;
    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (n->peers[i].in &&
            (n->leader == n->n_peers || leads_over(&n->peers[i], &n->peers[n->leader], any))) {
            n->leader = i;
        }
    }
}

/* May these states decide? Enough of those that count must have told, or all nodes, because then
 * nobody else can know better; when none counts, there is nothing to lose. */
static bool states_suffice(const Native *n)
{
    uint32_t in = native_count_votes(n, is_in);

    if (native_count_nodes(n, tells_content) == 0) {
        return in >= n->needed;
    }
    return native_count_votes(n, tells_content) >= n->readers || in + 1 >= n->needed + n->readers;
}

static void promise(Replica *r)
{
    Native *n = r->native;
    uint64_t highest = 0;

    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (n->peers[i].in) {
            highest = MAX(highest, MAX(n->peers[i].meta.promised, n->peers[i].meta.term));
        }
    }
    n->term = highest + 1;
    n->meta.promised = n->term;
    native_book_meta(r);
    n->promise_seq = ledger_last_seq(r->ledger);
}

static void states_complete(Replica *r)
{
    Native *n = r->native;
    const NativePeer *self = native_self(r);
    bool lacking;

    if (!states_suffice(n)) {
        trace(&r->tracer, TRACE_WARNING,
              "native: %u members with content are too few to decide whose is right: waiting for "
              "more",
              native_count_nodes(n, tells_content));
        native_set_phase(r, NATIVE_PHASE_WAITING, "too few members with content");
        return;
    }
    find_leader(n);
    n->base = n->peers[n->leader].version;
    lacking = memcmp(self->digest, n->peers[n->leader].digest, sizeof self->digest) != 0;
    trace(&r->tracer, TRACE_INFO,
          "native: member %u leads at term %" G_GUINT64_FORMAT " version %" G_GUINT64_FORMAT "%s",
          n->peers[n->leader].id.nodeid, n->peers[n->leader].meta.term, n->base,
          lacking ? "; this node lacks content" : "");
    promise(r);
    native_set_phase(r, NATIVE_PHASE_PROMISING, "all states are known");
    native_content_begin(r, lacking);
}

static void on_state(Replica *r, NativePeer *peer, const WireNative *m)
{
    Native *n = r->native;

    if (n->phase != NATIVE_PHASE_COLLECTING || peer->has_state) {
        return;
    }
    peer->has_state = true;
    peer->blank = (m->flags & WIRE_NATIVE_STATE_BLANK) != 0;
    peer->meta = m->meta;
    peer->version = m->tree_version;
    peer->mtime = m->mtime;
    memcpy(peer->digest, m->digest, sizeof peer->digest);
    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (n->peers[i].in && !n->peers[i].has_state) {
            return;
        }
    }
    states_complete(r);
}

/* ---- the term -------------------------------------------------------------------------------- */

static void activate(Replica *r)
{
    Native *n = r->native;
    const NativePeer *leader = &n->peers[n->leader];

    for (uint32_t i = 0; i < n->n_peers; i++) {
        NativePeer *p = &n->peers[i];

        p->synced = p->in && memcmp(p->digest, leader->digest, sizeof p->digest) == 0;
    }
    memdb_set_limits(r->db, &native_limits);
    trace(&r->tracer, TRACE_NOTICE,
          "native protocol: term %" G_GUINT64_FORMAT " active, %u of %u members have its content",
          n->term, native_synced(n), n->n_peers);
    if (n->taker != NULL) {
        native_set_phase(r, NATIVE_PHASE_FETCHING, "the term is active");
        native_content_commit(r);
        return;
    }
    wire_native_meta_begin_term(&n->meta, n->term, n->base);
    native_book_meta(r);
    n->term_seq = ledger_last_seq(r->ledger);
    n->term_booked = true;
    n->ack_due = n->base;
    ledger_rebase(r->ledger, n->base);
    native_set_phase(r, NATIVE_PHASE_ACTIVE, "the term is active");
    dfsm_set_synced(r->dfsm, "has the content of the term");
}

static void on_promise(Replica *r, NativePeer *peer)
{
    Native *n = r->native;

    peer->promised = true;
    if (n->phase == NATIVE_PHASE_PROMISING &&
        native_count_votes(n, native_has_promised) >= n->needed) {
        activate(r);
    }
}

void native_on_exchange(Replica *r, NativePeer *peer, const WireNative *m)
{
    if (!peer->in || !wire_dfsm_epoch_equal(&m->epoch, &r->native->epoch) ||
        r->native->phase == NATIVE_PHASE_WAITING || r->native->phase == NATIVE_PHASE_DOCUMENTED ||
        r->native->phase == NATIVE_PHASE_LEFT_OUT) {
        return;
    }
    switch (m->kind) {
    case WIRE_NATIVE_STATE:
        on_state(r, peer, m);
        break;
    case WIRE_NATIVE_PROMISE:
        on_promise(r, peer);
        break;
    case WIRE_NATIVE_ACK:
        native_on_ack(r, peer, m);
        break;
    case WIRE_NATIVE_TOP:
    case WIRE_NATIVE_LEAF:
    case WIRE_NATIVE_ENTRY:
    case WIRE_NATIVE_WANT_LEAVES:
    case WIRE_NATIVE_WANT_ENTRIES:
        native_content_take(r, peer, m);
        break;
    default:
        break;
    }
}
