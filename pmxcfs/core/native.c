/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/native.h"

#include "pmxcfs/core/ledger.h"
#include "pmxcfs/core/native_priv.h"
#include "pmxcfs/core/pmxcfs_limits.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

STRTAB_DEFINE(native_phase, NativePhase, NATIVE_PHASE_LIST, NATIVE_PHASE_N)

static const MemdbLimits native_limits = {CFS_FILE_SIZE_MAX_NATIVE, CFS_TOTAL_SIZE_MAX_NATIVE,
                                          CFS_INODES_MAX};
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

static bool all_native(const Native *n)
{
    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (!n->peers[i].native && !n->peers[i].silent) {
            return false;
        }
    }
    return n->n_peers > 0;
}

/* Members that are not suspected and stand before us in line. */
static uint32_t rank(const Replica *r)
{
    const Native *n = r->native;
    GroupMember self = dfsm_self(r->dfsm);
    uint32_t before = 0;

    for (uint32_t i = 0; i < n->n_peers && !group_member_equal(&n->peers[i].id, &self); i++) {
        before += n->peers[i].suspect ? 0 : 1;
    }
    return before;
}

/* How long the phase may last before we do something about it. */
static MonoTime alarm_of(const Replica *r, NativePhase phase)
{
    int64_t turn = NATIVE_ANSWER_MS + (int64_t)rank(r) * NATIVE_RANK_MS;

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
        return all_native(r->native) ? MONO_NEVER : mono_add_ms(r->now, turn);
    case NATIVE_PHASE_DOCUMENTED:
    case NATIVE_PHASE_N:
        break;
    }
    return MONO_NEVER;
}

/* The only place where the phase changes. */
void native_set_phase(Replica *r, NativePhase next, const char *why)
{
    Native *n = r->native;
    NativePhase was = n->phase;

    assert(native_phase_allowed(was, next));
    n->phase = next;
    n->alarm = alarm_of(r, next);
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

    n->meta.clean = UINT64_MAX;
    if (data != NULL && wire_native_decode_meta(data, size, &n->meta) < 0) {
        trace(&r->tracer, TRACE_ERR, "native: record of terms cannot be read: begun anew");
        n->meta = (WireNativeMeta){.clean = UINT64_MAX};
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

NativePeer *native_peer(Native *n, GroupMember who)
{
    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (group_member_equal(&n->peers[i].id, &who)) {
            return &n->peers[i];
        }
    }
    return NULL;
}

NativePeer *native_self(Replica *r)
{
    NativePeer *self = native_peer(r->native, dfsm_self(r->dfsm));

    assert(self != NULL); /* only asked while in a view */
    return self;
}

static bool is_self(const Replica *r, const NativePeer *p)
{
    GroupMember self = dfsm_self(r->dfsm);

    return group_member_equal(&p->id, &self);
}

void native_send_payload(Replica *r, GBytes *payload)
{
    gsize size;
    const void *data = g_bytes_get_data(payload, &size);

    dfsm_send_foreign_epoch(r->dfsm, WIRE_DFSM_UPDATE, &wire_native_epoch, data, size);
}

static void send_with(Replica *r, const WireNative *m, const uint32_t (*members)[3])
{
    g_autoptr(GBytes) payload = wire_native_encode(m, members);

    native_send_payload(r, payload);
}

void native_send(Replica *r, const WireNative *m)
{
    send_with(r, m, NULL);
}

/* ---- who is who ------------------------------------------------------------------------------ */

static bool any_foreign(const Native *n)
{
    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (n->peers[i].foreign) {
            return true;
        }
    }
    return false;
}

static bool any_silent(const Native *n)
{
    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (n->peers[i].silent) {
            return true;
        }
    }
    return false;
}

static void say_hello(Replica *r, uint32_t flags)
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
    send_with(r, &m, known);
}

/* Distinct nodes among the members that `pick` takes. */
static uint32_t count_nodes(const Native *n, bool (*pick)(const NativePeer *))
{
    uint32_t nodes = 0, last = 0;

    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (pick(&n->peers[i]) && (nodes == 0 || n->peers[i].id.nodeid != last)) {
            nodes++;
            last = n->peers[i].id.nodeid;
        }
    }
    return nodes;
}

/* Votes of the nodes of the members that `pick` takes, as the exchange counts them. */
static uint32_t count_votes(const Native *n, bool (*pick)(const NativePeer *))
{
    uint32_t votes = 0, last = 0;
    bool any = false;

    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (pick(&n->peers[i]) && (!any || n->peers[i].id.nodeid != last)) {
            votes += n->peers[i].votes;
            last = n->peers[i].id.nodeid;
            any = true;
        }
    }
    return votes;
}

/* Votes of a node by the node list; one that is not in it has none. */
static uint32_t votes_of(const Replica *r, uint32_t nodeid)
{
    for (uint32_t i = 0; i < r->n_nodes; i++) {
        if (r->nodes[i].nodeid == nodeid) {
            return MIN(r->nodes[i].votes, 1u << 16);
        }
    }
    return 0;
}

static uint32_t all_votes(const Replica *r)
{
    uint32_t votes = 0;

    for (uint32_t i = 0; i < r->n_nodes; i++) {
        votes += MIN(r->nodes[i].votes, 1u << 16);
    }
    return votes;
}

static bool is_candidate(const NativePeer *p)
{
    return !p->suspect;
}

static bool has_promised(const NativePeer *p)
{
    return p->in && p->promised;
}

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

static bool quorum_has(const Replica *r, uint32_t nodeid)
{
    for (uint32_t i = 0; i < r->n_quorum_nodes; i++) {
        if (r->quorum_nodes[i] == nodeid) {
            return true;
        }
    }
    return false;
}

/* Are the candidates exactly the nodes of which corosync says that they have quorum? Then that is
 * so by the administrator's rules (two nodes, fewer expected votes), whatever the majority is. */
static bool quorum_is_ours(const Replica *r)
{
    const Native *n = r->native;

    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (!n->peers[i].suspect && !quorum_has(r, n->peers[i].id.nodeid)) {
            return false;
        }
    }
    return r->n_quorum_nodes > 0 && count_nodes(n, is_candidate) == r->n_quorum_nodes;
}

/* What a term with the present candidates needs; false: it cannot be begun. */
static bool find_needs(const Replica *r, uint32_t *ret_needed, uint32_t *ret_readers)
{
    const Native *n = r->native;
    uint32_t all = all_votes(r), majority = all / 2 + 1, candidates = 0, last = 0;

    for (uint32_t i = 0; i < n->n_peers; i++) { /* ascending: one node's members are neighbours */
        if (!n->peers[i].suspect && n->peers[i].id.nodeid != last) {
            last = n->peers[i].id.nodeid;
            candidates += votes_of(r, last);
        }
    }
    if (!r->quorate || all == 0) {
        return false;
    }
    if (candidates >= majority) {
        *ret_needed = majority;
        *ret_readers = all - majority + 1;
        return true;
    }
    *ret_needed = MAX(candidates, 1);
    *ret_readers = 1;
    return quorum_is_ours(r);
}

/* ---- beginning an exchange ------------------------------------------------------------------- */

static void propose(Replica *r, const char *why)
{
    Native *n = r->native;
    uint32_t members[GROUP_MEMBERS_MAX][3];
    WireNative m = {.kind = WIRE_NATIVE_START, .n_members = n->n_peers};

    if (!find_needs(r, &m.needed, &m.readers)) {
        return;
    }
    m.epoch = dfsm_new_epoch(r->dfsm);
    for (uint32_t i = 0; i < n->n_peers; i++) {
        members[i][0] = n->peers[i].id.nodeid;
        members[i][1] = n->peers[i].id.pid;
        members[i][2] = n->peers[i].suspect ? 0 : 1 + votes_of(r, n->peers[i].id.nodeid);
    }
    trace(&r->tracer, TRACE_INFO, "native: proposes an exchange of %u of %u members (%s)",
          count_nodes(n, is_candidate), n->n_peers, why);
    n->started = true;
    send_with(r, &m, members);
}

/* The first in line begins, as soon as all are known to be native and have quorum. */
static void try_start(Replica *r)
{
    Native *n = r->native;
    bool idle = n->phase == NATIVE_PHASE_WAITING || n->phase == NATIVE_PHASE_DOCUMENTED;

    if (idle && !n->started && n->n_peers > 0 && all_native(n) && rank(r) == 0) {
        propose(r, "all members speak the native protocol");
    }
}

static void try_documented(Replica *r)
{
    const Native *n = r->native;

    if (n->phase == NATIVE_PHASE_WAITING && any_foreign(n) && !n->voided &&
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
static void come_back(Replica *r)
{
    dfsm_leave(r->dfsm, "a member is foreign"); /* all begin again in the view of our return */
}

static void forget_restart(Native *n)
{
    n->restart = MONO_NEVER;
    n->overdue = false;
}

static void leave_view(Replica *r)
{
    Native *n = r->native;

    native_lost(r);
    native_batch_reset(r);
    native_content_drop(n);
    n->n_peers = 0;
    forget_restart(n);
    n->started = false;
    native_set_phase(r, NATIVE_PHASE_DOCUMENTED, "out of the group");
}

/* Has the member said anything by the documented protocol? */
static bool has_spoken(const Replica *r, GroupMember who)
{
    uint32_t n;
    const DfsmMember *members = dfsm_members(r->dfsm, &n);

    for (uint32_t i = 0; i < n; i++) {
        if (group_member_equal(&members[i].id, &who)) {
            return members[i].spoke;
        }
    }
    return false;
}

/* What is known of a process holds as long as it stays a member. True: somebody is new. */
static bool rebuild_peers(Replica *r, const DfsmMember *members, uint32_t n_members)
{
    Native *n = r->native;
    g_autofree NativePeer *old = g_memdup2(n->peers, sizeof n->peers);
    uint32_t n_old = n->n_peers, n_known = 0;

    memset(n->peers, 0, sizeof n->peers);
    n->n_peers = n_members;
    for (uint32_t i = 0; i < n_members; i++) {
        NativePeer *p = &n->peers[i];

        p->id = members[i].id;
        p->native = is_self(r, p);
        for (uint32_t j = 0; j < n_old; j++) {
            if (group_member_equal(&old[j].id, &p->id)) {
                n_known++;
                p->native = p->native || old[j].native;
                p->foreign = old[j].foreign;
                p->silent = old[j].silent;
                p->suspect = old[j].suspect && !is_self(r, p);
            }
        }
    }
    return n_known < n_members;
}

void native_view(Replica *r, const DfsmMember *members, uint32_t n_members)
{
    Native *n = r->native;

    if (n_members == 0) {
        leave_view(r);
        return;
    }
    native_batch_reset(r); /* frees the streams of the old peers */
    native_content_drop(n);
    n->voided = !rebuild_peers(r, members, n_members) && n->voided;
    n->started = n->probed = false;
    forget_restart(n);
    n->since = r->now;
    if (r->cfg.durability == REPLICA_DURABILITY_QUORUM) {
        ledger_confirm(r->ledger, 0, r->up);
    }
    native_set_phase(r, NATIVE_PHASE_WAITING, "new view");
    if (!all_native(n) && !n->voided) {
        n->alarm = mono_add_ms(r->now, NATIVE_HELLO_MS);
    }
    say_hello(r, 0);
    try_documented(r);
    try_start(r);
}

/* ---- messages -------------------------------------------------------------------------------- */

static void ask_restart(Replica *r)
{
    Native *n = r->native;

    if (!n->overdue) {
        n->restart = mono_min(n->restart, mono_add_ms(n->since, NATIVE_RESTART_MS));
    }
}

static void on_hello(Replica *r, NativePeer *peer, const WireNative *m)
{
    Native *n = r->native;
    bool running = n->phase != NATIVE_PHASE_WAITING && n->phase != NATIVE_PHASE_DOCUMENTED;

    if (m->version != WIRE_NATIVE_VERSION) {
        return; /* another one than ours is foreign */
    }
    peer->native = true;
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
        ask_restart(r);
    }
    if (n->phase == NATIVE_PHASE_WAITING && all_native(n)) {
        n->alarm = alarm_of(r, n->phase);
    }
    try_start(r);
}

/* Is the member list of `m` that of our view? */
static bool same_members(const Native *n, const WireNative *m)
{
    for (uint32_t i = 0; i < m->n_members && m->n_members == n->n_peers; i++) {
        GroupMember who;
        uint32_t share;

        wire_native_member(m, i, &who.nodeid, &who.pid, &share);
        if (!group_member_equal(&who, &n->peers[i].id)) {
            return false;
        }
    }
    return m->n_members == n->n_peers;
}

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

static void reset_peers(Native *n, const WireNative *m)
{
    for (uint32_t i = 0; i < n->n_peers; i++) {
        NativePeer *p = &n->peers[i];
        uint32_t nodeid, pid, share;

        wire_native_member(m, i, &nodeid, &pid, &share);
        p->in = share > 0;
        p->votes = share > 0 ? share - 1 : 0;
        p->native = p->native || p->in;
        p->silent = !p->native; /* else nobody could have proposed it */
        p->foreign = false;
        p->suspect = !p->in;
        p->has_state = p->promised = p->synced = p->blank = false;
        p->acked = 0;
    }
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

static void on_start(Replica *r, GroupMember sender, const WireNative *m)
{
    Native *n = r->native;

    if (!same_members(n, m)) {
        return; /* of a view that is over: another one follows */
    }
    if (dfsm_mode(r->dfsm) == GROUP_MODE_UPDATE) {
        replica_group_lost(r); /* of what waits here others may have applied a part */
    }
    native_batch_reset(r);
    native_content_drop(n);
    reset_peers(n, m);
    n->started = false;
    forget_restart(n);
    n->since = r->now;
    n->epoch = m->epoch;
    n->needed = m->needed;
    n->readers = m->readers;
    n->promise_sent = n->term_booked = false;
    n->voided = n->voided || any_silent(n);
    if (r->cfg.durability == REPLICA_DURABILITY_QUORUM) {
        ledger_confirm(r->ledger, 0, r->up);
    }
    dfsm_begin_other(r->dfsm, &n->epoch, "exchange of the native protocol");
    report_left_out(r);
    if (!native_self(r)->in) {
        native_set_phase(r, NATIVE_PHASE_LEFT_OUT, "we did not answer in time");
        say_hello(r, WIRE_NATIVE_HELLO_WANT);
        return;
    }
    trace(&r->tracer, TRACE_DEBUG, "native: exchange begun by member %u", sender.nodeid);
    native_set_phase(r, NATIVE_PHASE_COLLECTING, "exchange begun");
    tell_state(r);
}

/* ---- states ---------------------------------------------------------------------------------- */

/* Up to which version the content belongs to the term. */
static uint64_t clean_version(const NativePeer *p)
{
    return MIN(p->meta.clean, p->version);
}

/* Is the content of `a` to be preferred to that of `b`? By term and version; among contents of no
 * term by the documented rule. Content that does not count leads only over its like, or where so
 * few count (`any`) that it may be the only one with what was acknowledged. */
static bool leads_over(const NativePeer *a, const NativePeer *b, bool any)
{
    if (counts(a) != counts(b) && !any) {
        return counts(a);
    }
    if (a->meta.term != b->meta.term) {
        return a->meta.term > b->meta.term;
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
    bool any = count_votes(n, tells_content) < n->readers;

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
    uint32_t in = count_votes(n, is_in);

    if (count_nodes(n, tells_content) == 0) {
        return in >= n->needed;
    }
    return count_votes(n, tells_content) >= n->readers || in + 1 >= n->needed + n->readers;
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
              count_nodes(n, tells_content));
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
    if (n->phase == NATIVE_PHASE_PROMISING && count_votes(n, has_promised) >= n->needed) {
        activate(r);
    }
}

static void on_exchange(Replica *r, NativePeer *peer, const WireNative *m)
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
        on_start(r, sender, &m);
        break;
    case WIRE_NATIVE_BATCH:
    case WIRE_NATIVE_PIECE:
        native_on_change(r, sender, dm->head.time, &m);
        break;
    default:
        on_exchange(r, peer, &m);
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

/* ---- time ------------------------------------------------------------------------------------ */

/* When to look whether a documented exchange has ended. */
static MonoTime documented_alarm(const Replica *r)
{
    return mono_add_ms(r->now, NATIVE_ANSWER_MS + (int64_t)rank(r) * NATIVE_RANK_MS);
}

/* The next exchange goes without those whose state is missing, if enough remain; else all get
 * another chance. */
static void leave_out_silent(Replica *r)
{
    Native *n = r->native;
    uint32_t needed, readers;

    for (uint32_t i = 0; i < n->n_peers; i++) {
        n->peers[i].suspect = n->peers[i].suspect || (n->peers[i].in && !n->peers[i].has_state);
    }
    native_self(r)->suspect = false;
    if (!find_needs(r, &needed, &readers)) {
        for (uint32_t i = 0; i < n->n_peers; i++) {
            n->peers[i].suspect = false;
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
    for (uint32_t i = 0; i < n->n_peers && !is_self(r, &n->peers[i]); i++) {
        n->peers[i].suspect = true;
    }
    if (!find_needs(r, &needed, &readers)) {
        for (uint32_t i = 0; i < n->n_peers; i++) {
            n->peers[i].suspect = was[i];
        }
    }
}

static void waited_too_long(Replica *r)
{
    Native *n = r->native;

    n->alarm = alarm_of(r, n->phase);
    if (all_native(n)) {
        if (r->quorate) {
            pass_over(r);
            propose(r, "nobody else did");
        }
        return;
    }
    if (n->voided) {
        come_back(r); /* who left for it has not returned */
        return;
    }
    n->alarm = documented_alarm(r);
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
    try_documented(r);
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
        if (!n->peers[i].native && has_spoken(r, n->peers[i].id)) {
            return; /* a foreign member waits for all, and so must we */
        }
    }
    n->alarm = documented_alarm(r);
    if (!r->quorate) {
        return;
    }
    for (uint32_t i = 0; i < n->n_peers; i++) {
        NativePeer *p = &n->peers[i];

        p->silent = p->silent || !p->native;
        p->suspect = p->suspect || p->silent;
        p->foreign = p->foreign && !p->silent;
    }
    propose(r, "a member says nothing at all");
}

void native_heard(Replica *r)
{
    Native *n = r->native;

    for (uint32_t i = 0; i < n->n_peers; i++) {
        NativePeer *p = &n->peers[i];

        if (p->silent && has_spoken(r, p->id)) {
            p->silent = false;
            p->foreign = true;
            trace(
                &r->tracer, TRACE_NOTICE,
                "native: member %u, which was silent, is foreign: the documented protocol is used",
                p->id.nodeid);
            if (rank(r) == 0) {
                come_back(r);
                return;
            }
            n->alarm = mono_min(n->alarm, documented_alarm(r)); /* the first may have stopped */
        }
    }
}

static void ring_alarm(Replica *r)
{
    Native *n = r->native;

    if (native_decides(r) && n->phase != NATIVE_PHASE_WAITING && !all_native(n)) {
        come_back(r);
        return;
    }
    switch (n->phase) {
    case NATIVE_PHASE_WAITING:
        waited_too_long(r);
        break;
    case NATIVE_PHASE_COLLECTING:
        n->alarm = alarm_of(r, n->phase);
        leave_out_silent(r);
        propose(r, "not all members told their state");
        break;
    case NATIVE_PHASE_PROMISING:
        n->alarm = alarm_of(r, n->phase);
        trace(&r->tracer, TRACE_WARNING,
              "native: %u of %u promises needed for term %" G_GUINT64_FORMAT
              ": waiting for the disks of other members",
              count_votes(n, has_promised), n->needed, n->term);
        break;
    case NATIVE_PHASE_FETCHING:
        n->alarm = alarm_of(r, n->phase);
        trace(&r->tracer, TRACE_WARNING, "native: no content comes from member %u: asks again",
              n->peers[n->leader].id.nodeid);
        say_hello(r, WIRE_NATIVE_HELLO_WANT);
        break;
    case NATIVE_PHASE_LEFT_OUT:
        n->alarm = alarm_of(r, n->phase);
        say_hello(r, WIRE_NATIVE_HELLO_WANT);
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
    uint32_t before = rank(r);

    if (before > 0 && !n->overdue) {
        n->overdue = true;
        n->restart = mono_add_ms(r->now, NATIVE_ANSWER_MS + (int64_t)before * NATIVE_RANK_MS);
        return;
    }
    forget_restart(n);
    if (before > 0) {
        pass_over(r);
    }
    propose(r, "a member asks for it, or votes changed");
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

/* Would an exchange of the same members count otherwise than that of the term does? A node that was
 * just added has no votes in a term which began before the node list was heard of: its disk would
 * never count, and one more that stops would stop all. */
static bool votes_changed(const Replica *r)
{
    const Native *n = r->native;
    uint32_t needed, readers;

    if (n->phase == NATIVE_PHASE_WAITING || n->phase == NATIVE_PHASE_DOCUMENTED ||
        !find_needs(r, &needed, &readers)) {
        return false;
    }
    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (n->peers[i].in && n->peers[i].votes != votes_of(r, n->peers[i].id.nodeid)) {
            return true;
        }
    }
    return needed != n->needed || readers != n->readers;
}

void native_quorum(Replica *r)
{
    if (!r->quorate && ledger_confirmed(r->ledger) != UINT64_MAX) {
        ledger_release(r->ledger, 0, -EBUSY, REPLICA_TEXT_UNKNOWN, r->up);
    } else if (r->quorate && r->native->n_peers > 0) {
        try_start(r);
        if (votes_changed(r)) {
            ask_restart(r);
        }
    }
}

/* ---- the documented protocol ------------------------------------------------------------------
 */

/* Never when all members are native: whose content wins must not depend on who was slow to say so.
 * Nor before a foreign member has forgotten what a term made void. */
bool native_documented(const Replica *r)
{
    return !all_native(r->native) && !r->native->voided;
}

void native_documented_begins(Replica *r)
{
    Native *n = r->native;

    native_batch_reset(r);
    native_content_drop(n);
    native_set_phase(r, NATIVE_PHASE_DOCUMENTED, "a member is foreign");
    n->alarm = documented_alarm(r);
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

static bool is_synced(const NativePeer *p)
{
    return p->in && p->synced;
}

uint32_t native_synced(const Native *n)
{
    uint32_t synced = 0;

    for (uint32_t i = 0; i < n->n_peers; i++) {
        synced += is_synced(&n->peers[i]) ? 1 : 0;
    }
    return synced;
}
