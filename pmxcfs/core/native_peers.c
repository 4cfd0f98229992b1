/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/core/native_priv.h"

#include <assert.h>
#include <string.h>

NativePeer *native_peer(Native *n, GroupMember who)
{
    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (group_member_equal(&n->peers[i].id, &who)) {
            return &n->peers[i];
        }
    }
    return NULL;
}

bool native_is_self(const Replica *r, const NativePeer *p)
{
    GroupMember self = dfsm_self(r->dfsm);

    return group_member_equal(&p->id, &self);
}

NativePeer *native_self(Replica *r)
{
    NativePeer *self = native_peer(r->native, dfsm_self(r->dfsm));

    assert(self != NULL); /* only asked while in a view */
    return self;
}

bool native_peers_all(const Native *n)
{
    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (!n->peers[i].native && !n->peers[i].silent) {
            return false;
        }
    }
    return n->n_peers > 0;
}

bool native_peers_foreign(const Native *n)
{
    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (n->peers[i].foreign) {
            return true;
        }
    }
    return false;
}

bool native_peers_silent(const Native *n)
{
    for (uint32_t i = 0; i < n->n_peers; i++) {
        if (n->peers[i].silent) {
            return true;
        }
    }
    return false;
}

/* Members that are not suspected and stand before us in line. */
uint32_t native_rank(const Replica *r)
{
    const Native *n = r->native;
    GroupMember self = dfsm_self(r->dfsm);
    uint32_t before = 0;

    for (uint32_t i = 0; i < n->n_peers && !group_member_equal(&n->peers[i].id, &self); i++) {
        before += n->peers[i].suspect ? 0 : 1;
    }
    return before;
}

/* Has the member said anything by the documented protocol? */
bool native_has_spoken(const Replica *r, GroupMember who)
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

/* Distinct nodes among the members that `pick` takes. */
uint32_t native_count_nodes(const Native *n, bool (*pick)(const NativePeer *))
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
uint32_t native_count_votes(const Native *n, bool (*pick)(const NativePeer *))
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
uint32_t native_votes_of(const Replica *r, uint32_t nodeid)
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

bool native_is_candidate(const NativePeer *p)
{
    return !p->suspect;
}

bool native_has_promised(const NativePeer *p)
{
    return p->in && p->promised;
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
    return r->n_quorum_nodes > 0 && native_count_nodes(n, native_is_candidate) == r->n_quorum_nodes;
}

/* What a term with the present candidates needs; false: it cannot be begun. */
bool native_find_needs(const Replica *r, uint32_t *ret_needed, uint32_t *ret_readers)
{
    const Native *n = r->native;
    uint32_t all = all_votes(r), majority = all / 2 + 1, candidates = 0, last = 0;

    for (uint32_t i = 0; i < n->n_peers; i++) { /* ascending: one node's members are neighbours */
        if (!n->peers[i].suspect && n->peers[i].id.nodeid != last) {
            last = n->peers[i].id.nodeid;
            candidates += native_votes_of(r, last);
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

/* What is known of a process holds as long as it stays a member. True: somebody is new. */
bool native_peers_rebuild(Replica *r, const DfsmMember *members, uint32_t n_members)
{
    Native *n = r->native;
    g_autofree NativePeer *old = g_memdup2(n->peers, sizeof n->peers);
    uint32_t n_old = n->n_peers, n_known = 0;

    memset(n->peers, 0, sizeof n->peers);
    n->n_peers = n_members;
    for (uint32_t i = 0; i < n_members; i++) {
        NativePeer *p = &n->peers[i];

        p->id = members[i].id;
        p->native = native_is_self(r, p);
        for (uint32_t j = 0; j < n_old; j++) {
            if (group_member_equal(&old[j].id, &p->id)) {
                n_known++;
                p->native = p->native || old[j].native;
                p->foreign = old[j].foreign;
                p->silent = old[j].silent;
                p->suspect = old[j].suspect && !native_is_self(r, p);
            }
        }
    }
    return n_known < n_members;
}

/* Is the member list of `m` that of our view? */
bool native_peers_same(const Native *n, const WireNative *m)
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

void native_peers_reset(Native *n, const WireNative *m)
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
