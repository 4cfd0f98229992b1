/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Corosync: hosts that reach each other share one log in one order. An entry is ordered when its
 * host has the token; the others receive it later, each at its own pace, and deliver in order. When
 * the set of hosts changes, those who go on together first bring each other to the same point:
 * everything up to the first entry that none of them has, and after that what they themselves sent.
 * So a message that only its sender had received when it was cut off takes effect there and nowhere
 * else.
 */
#include "tests/sim/sim.h"

#include <errno.h>
#include <string.h>

typedef enum LogKind { LOG_MESSAGE, LOG_JOIN, LOG_LEAVE } LogKind;

typedef struct LogEntry {
    LogKind kind;
    GroupMember who;
    uint64_t connection; /* JOIN: of its process */
    GBytes *message;
    uint32_t have; /* hosts that received it, by bit */
} LogEntry;

/* Hosts that share a log; lives as long as an event or a host refers to it. */
typedef struct Ring {
    gatomicrefcount refs;
    GPtrArray *log; /* of LogEntry* */
    uint32_t hosts; /* by bit */
} Ring;

typedef struct Host {
    bool up;
    Ring *ring;
    guint delivered; /* entries of the ring's log */
    GQueue outbox;   /* of LogEntry*: not ordered yet */
    bool ordering;   /* an order event is on its way */
    bool stopped;    /* flow control */
    bool isolate;    /* cut off right after the next message is ordered */
    GArray *members; /* of GroupMember: the group as this host sees it */
    GArray *ghosts;  /* of GroupMember: gone, but still members */
    uint32_t pid;    /* connected process; 0: none */
    uint64_t connection;
    bool active; /* the JOIN of this connection has been delivered */
    bool quorate;
    uint32_t told;     /* hosts of the ring, as the process was told last */
    uint32_t expected; /* votes, when they were lowered by hand; 0: those of all hosts */
    bool waits;        /* two_node: has not seen the other since it was started */
} Host;

struct SimRing {
    Sim *sim;
    Host hosts[SIM_HOSTS_MAX + 1];
    uint8_t part[SIM_HOSTS_MAX + 1]; /* hosts in the same part reach each other */
    uint32_t votes[SIM_HOSTS_MAX + 1];
    bool two_node;                 /* corosync's, which also waits for all: one of two is enough */
    bool lowered;                  /* expected votes were, once */
    uint64_t connections, reforms; /* a reform that was overtaken is void */
};

typedef struct RingEvent {
    SimRing *r;
    Ring *ring; /* one reference, or NULL */
    uint32_t host;
    guint index;
    uint64_t number;
    bool flag;
} RingEvent;

#define BIT(host) (1u << (host))

static void try_deliver(SimRing *r, uint32_t host);
static void order_later(SimRing *r, uint32_t host);

/* ---- objects --------------------------------------------------------------------------------- */

static void entry_free(LogEntry *e)
{
    g_clear_pointer(&e->message, g_bytes_unref);
    g_free(e);
}

static Ring *ring_new(uint32_t hosts)
{
    Ring *ring = g_new0(Ring, 1);

    g_atomic_ref_count_init(&ring->refs);
    ring->log = g_ptr_array_new_with_free_func((GDestroyNotify)entry_free);
    ring->hosts = hosts;
    return ring;
}

static Ring *ring_ref(Ring *ring)
{
    g_atomic_ref_count_inc(&ring->refs);
    return ring;
}

static void ring_unref(Ring *ring)
{
    if (g_atomic_ref_count_dec(&ring->refs)) {
        g_ptr_array_unref(ring->log);
        g_free(ring);
    }
}

static void ring_event_free(gpointer data)
{
    RingEvent *ev = data;

    g_clear_pointer(&ev->ring, ring_unref);
    g_free(ev);
}

static void post(SimRing *r, int64_t us, SimFn fn, RingEvent ev)
{
    RingEvent *copy = g_memdup2(&ev, sizeof ev);

    copy->r = r;
    if (copy->ring != NULL) {
        (void)ring_ref(copy->ring);
    }
    sim_after_us(r->sim, us, fn, copy, ring_event_free);
}

static uint32_t n_hosts(const SimRing *r)
{
    return sim_options(r->sim)->hosts;
}

SimRing *sim_ring_new(Sim *sim)
{
    SimRing *r = g_new0(SimRing, 1);
    bool uneven = sim_chance(sim, 1, 5);
    Ring *ring;

    r->sim = sim;
    ring = ring_new(BIT(n_hosts(r) + 1) - 2);
    for (uint32_t host = 1; host <= n_hosts(r); host++) {
        Host *h = &r->hosts[host];

        h->up = true;
        h->quorate = true;
        r->votes[host] = uneven ? (uint32_t)sim_random(sim, 1, 3) : 1;
        h->ring = ring_ref(ring);
        h->members = g_array_new(FALSE, FALSE, sizeof(GroupMember));
        h->ghosts = g_array_new(FALSE, FALSE, sizeof(GroupMember));
        g_queue_init(&h->outbox);
        h->told = ring->hosts;
    }
    r->two_node = n_hosts(r) == 2 && sim_chance(sim, 1, 2);
    ring_unref(ring);
    return r;
}

void sim_ring_free(SimRing *r)
{
    for (uint32_t host = 1; host <= n_hosts(r); host++) {
        Host *h = &r->hosts[host];

        g_clear_pointer(&h->ring, ring_unref);
        g_array_unref(h->members);
        g_array_unref(h->ghosts);
        g_queue_clear_full(&h->outbox, (GDestroyNotify)entry_free);
    }
    g_free(r);
}

/* ---- what processes see ---------------------------------------------------------------------- */

static void tell(SimRing *r, uint32_t host, const GroupEvent *ev)
{
    sim_node_group_event(sim_node(r->sim, host), r->hosts[host].pid, ev);
}

static void tell_view(SimRing *r, uint32_t host, const GArray *joined, const GArray *left)
{
    const Host *h = &r->hosts[host];
    GroupEvent ev = {.kind = GROUP_EV_VIEW,
                     .members = (const void *)h->members->data,
                     .n_members = h->members->len,
                     .joined = joined != NULL ? (const void *)joined->data : NULL,
                     .n_joined = joined != NULL ? joined->len : 0,
                     .left = left != NULL ? (const void *)left->data : NULL,
                     .n_left = left != NULL ? left->len : 0};

    if (h->active) {
        tell(r, host, &ev);
    }
}

static bool has_member(const GArray *members, GroupMember who)
{
    for (guint i = 0; i < members->len; i++) {
        if (group_member_equal(&g_array_index(members, GroupMember, i), &who)) {
            return true;
        }
    }
    return false;
}

static void remove_member(GArray *members, GroupMember who)
{
    for (guint i = 0; i < members->len; i++) {
        if (group_member_equal(&g_array_index(members, GroupMember, i), &who)) {
            g_array_remove_index(members, i);
            return;
        }
    }
}

static void one_member(GArray *list, GroupMember who)
{
    g_array_set_size(list, 0);
    g_array_append_val(list, who);
}

static void deliver_entry(SimRing *r, uint32_t host, const LogEntry *e)
{
    Host *h = &r->hosts[host];
    g_autoptr(GArray) change = g_array_new(FALSE, FALSE, sizeof(GroupMember));
    GroupEvent ev = {.kind = GROUP_EV_MESSAGE, .sender = e->who};
    gsize size;

    one_member(change, e->who);
    switch (e->kind) {
    case LOG_MESSAGE:
        if (h->active) {
            ev.data = g_bytes_get_data(e->message, &size);
            ev.size = size;
            tell(r, host, &ev);
        }
        break;
    case LOG_JOIN:
        if (!has_member(h->members, e->who)) {
            g_array_append_val(h->members, e->who);
        }
        if (e->who.nodeid == host && e->connection == h->connection) {
            h->active = true;
        }
        tell_view(r, host, change, NULL);
        break;
    case LOG_LEAVE:
        if (has_member(h->members, e->who)) {
            remove_member(h->members, e->who);
            tell_view(r, host, NULL, change);
        }
        break;
    }
}

/* ---- ordering and receiving ------------------------------------------------------------------ */

static void try_deliver(SimRing *r, uint32_t host)
{
    Host *h = &r->hosts[host];

    while (h->up && h->delivered < h->ring->log->len) {
        const LogEntry *e = h->ring->log->pdata[h->delivered];

        if ((e->have & BIT(host)) == 0) {
            return;
        }
        h->delivered++;
        deliver_entry(r, host, e);
    }
}

static void receive(Sim *sim, void *data)
{
    const RingEvent *ev = data;
    SimRing *r = ev->r;
    LogEntry *e = ev->ring->log->pdata[ev->index];

    (void)sim;
    if (r->hosts[ev->host].ring != ev->ring || r->part[ev->host] != r->part[e->who.nodeid] ||
        !r->hosts[e->who.nodeid].up) {
        return; /* lost; if it was not the last chance, the next ring brings it */
    }
    e->have |= BIT(ev->host);
    try_deliver(r, ev->host);
}

/* All hosts of the ring still reach each other: the token goes round. */
static bool token_moves(const SimRing *r, const Ring *ring)
{
    uint8_t part = 0;
    bool first = true;

    for (uint32_t host = 1; host <= n_hosts(r); host++) {
        if ((ring->hosts & BIT(host)) == 0) {
            continue;
        }
        if (!r->hosts[host].up || r->hosts[host].ring != ring ||
            (!first && r->part[host] != part)) {
            return false;
        }
        part = r->part[host];
        first = false;
    }
    return true;
}

static void cut_off(SimRing *r, uint32_t host)
{
    uint8_t part[SIM_HOSTS_MAX + 1];

    memcpy(part, r->part, sizeof part);
    part[host] = (uint8_t)(host + 100);
    sim_ring_partition(r, part);
}

static void put_in_log(SimRing *r, uint32_t host, LogEntry *e)
{
    Host *h = &r->hosts[host];
    guint index = h->ring->log->len;

    e->have = BIT(host);
    g_ptr_array_add(h->ring->log, e);
    if (h->isolate && e->kind == LOG_MESSAGE) {
        h->isolate = false;
        cut_off(r, host);
    }
    for (uint32_t other = 1; other <= n_hosts(r); other++) {
        if (other != host && (h->ring->hosts & BIT(other)) != 0) {
            int64_t us = sim_random(r->sim, 50, sim_chance(r->sim, 1, 30) ? 20000 : 800);

            post(r, us, receive, (RingEvent){.ring = h->ring, .host = other, .index = index});
        }
    }
    try_deliver(r, host);
}

static void order(Sim *sim, void *data)
{
    const RingEvent *ev = data;
    SimRing *r = ev->r;
    Host *h = &r->hosts[ev->host];
    LogEntry *e;

    (void)sim;
    h->ordering = false;
    if (!h->up || !token_moves(r, h->ring) || h->stopped) {
        return; /* taken up again by the next ring, or when flow control ends */
    }
    e = g_queue_pop_head(&h->outbox);
    if (e == NULL) {
        return;
    }
    if (e->kind == LOG_MESSAGE && h->pid == e->who.pid) {
        tell(r, ev->host, &(GroupEvent){.kind = GROUP_EV_SENT});
    }
    put_in_log(r, ev->host, e);
    order_later(r, ev->host);
}

static void order_later(SimRing *r, uint32_t host)
{
    Host *h = &r->hosts[host];

    if (!h->ordering && !g_queue_is_empty(&h->outbox)) {
        h->ordering = true;
        post(r, sim_random(r->sim, 20, 700), order, (RingEvent){.host = host});
    }
}

static void enqueue(SimRing *r, uint32_t host, LogEntry entry)
{
    g_queue_push_tail(&r->hosts[host].outbox, g_memdup2(&entry, sizeof entry));
    order_later(r, host);
}

/* ---- libcpg ---------------------------------------------------------------------------------- */

void sim_ring_connect(SimRing *r, uint32_t host, uint32_t pid)
{
    Host *h = &r->hosts[host];
    GroupMember self = {host, pid};

    if (!h->up) {
        GroupEvent ev = {.kind = GROUP_EV_DISCONNECTED, .code = -ECONNREFUSED};

        sim_node_group_event(sim_node(r->sim, host), pid, &ev);
        return;
    }
    h->pid = pid;
    h->connection = ++r->connections;
    h->active = false;
    tell(r, host, &(GroupEvent){.kind = GROUP_EV_CONNECTED, .self = self});
    enqueue(r, host, (LogEntry){.kind = LOG_JOIN, .who = self, .connection = h->connection});
}

static void disconnect(SimRing *r, uint32_t host)
{
    r->hosts[host].pid = 0;
    r->hosts[host].connection = 0;
    r->hosts[host].active = false;
}

void sim_ring_leave(SimRing *r, uint32_t host, uint32_t pid)
{
    if (r->hosts[host].pid == pid) {
        disconnect(r, host);
        enqueue(r, host, (LogEntry){.kind = LOG_LEAVE, .who = {host, pid}});
    }
}

void sim_ring_send(SimRing *r, uint32_t host, uint32_t pid, GBytes *message)
{
    if (r->hosts[host].pid == pid) {
        enqueue(
            r, host,
            (LogEntry){.kind = LOG_MESSAGE, .who = {host, pid}, .message = g_bytes_ref(message)});
    }
}

static void ghost_goes(Sim *sim, void *data)
{
    const RingEvent *ev = data;
    Host *h = &ev->r->hosts[ev->host];

    (void)sim;
    if (h->ghosts->len > 0) {
        GroupMember who = g_array_index(h->ghosts, GroupMember, 0);

        g_array_remove_index(h->ghosts, 0);
        enqueue(ev->r, ev->host, (LogEntry){.kind = LOG_LEAVE, .who = who});
    }
}

void sim_ring_died(SimRing *r, uint32_t host, uint32_t pid, bool ghost)
{
    Host *h = &r->hosts[host];
    GroupMember who = {host, pid};

    if (h->pid != pid) {
        return;
    }
    disconnect(r, host);
    if (ghost) {
        g_array_append_val(h->ghosts, who);
        post(r, sim_random(r->sim, 1, 60) * US_PER_SEC, ghost_goes, (RingEvent){.host = host});
        return;
    }
    enqueue(r, host, (LogEntry){.kind = LOG_LEAVE, .who = who});
}

/* ---- a new ring ------------------------------------------------------------------------------ */

/* Brings the hosts of `set`, which were together in `old` and stay together, to the same point. */
static void recover(SimRing *r, Ring *old, uint32_t set)
{
    guint hole = old->log->len;

    for (guint i = 0; i < old->log->len && hole == old->log->len; i++) {
        if ((((const LogEntry *)old->log->pdata[i])->have & set) == 0) {
            hole = i;
        }
    }
    for (uint32_t host = 1; host <= n_hosts(r); host++) {
        Host *h = &r->hosts[host];

        if ((set & BIT(host)) == 0) {
            continue;
        }
        for (guint i = h->delivered; i < old->log->len; i++) {
            const LogEntry *e = old->log->pdata[i];

            if ((e->have & set) != 0 && (i < hole || (set & BIT(e->who.nodeid)) != 0)) {
                deliver_entry(r, host, e);
            }
        }
        h->delivered = old->log->len;
    }
}

/* Members that stay: those whose host is in `set`. */
static void keep_members(const GArray *members, uint32_t set, GArray *into)
{
    for (guint i = 0; i < members->len; i++) {
        GroupMember m = g_array_index(members, GroupMember, i);

        if ((set & BIT(m.nodeid)) != 0 && !has_member(into, m)) {
            g_array_append_val(into, m);
        }
    }
}

static GArray *difference(const GArray *a, const GArray *b)
{
    GArray *d = g_array_new(FALSE, FALSE, sizeof(GroupMember));

    for (guint i = 0; i < a->len; i++) {
        GroupMember m = g_array_index(a, GroupMember, i);

        if (!has_member(b, m)) {
            g_array_append_val(d, m);
        }
    }
    return d;
}

/* Shows the change to the member list `now`: in one event, or leaves before joins. Who was not in
 * the same ring all the time has left, even if the same process is back already. */
static void change_view(SimRing *r, uint32_t host, uint32_t same, const GArray *now, bool in_two)
{
    Host *h = &r->hosts[host];
    g_autoptr(GArray) kept = g_array_new(FALSE, FALSE, sizeof(GroupMember));
    g_autoptr(GArray) joined = NULL;
    g_autoptr(GArray) left = NULL;

    keep_members(h->members, same, kept);
    joined = difference(now, kept);
    left = difference(h->members, kept);
    if (joined->len == 0 && left->len == 0) {
        return;
    }
    g_array_set_size(h->members, 0);
    g_array_append_vals(h->members, kept->data, kept->len);
    if (in_two && left->len > 0 && joined->len > 0) {
        tell_view(r, host, NULL, left);
        g_array_set_size(left, 0);
    }
    g_array_append_vals(h->members, joined->data, joined->len);
    tell_view(r, host, joined, left);
}

static void form_ring(SimRing *r, uint32_t set)
{
    Ring *ring = ring_new(set);
    g_autoptr(GArray) members = g_array_new(FALSE, FALSE, sizeof(GroupMember));
    uint32_t same[SIM_HOSTS_MAX + 1] = {0}; /* hosts that come from the same ring */
    bool in_two = sim_chance(r->sim, 1, 2);

    for (uint32_t host = 1; host <= n_hosts(r); host++) {
        if ((set & BIT(host)) == 0 || same[host] != 0) {
            continue;
        }
        for (uint32_t other = host; other <= n_hosts(r); other++) {
            if ((set & BIT(other)) != 0 && r->hosts[other].ring == r->hosts[host].ring) {
                same[host] |= BIT(other);
            }
        }
        for (uint32_t other = host + 1; other <= n_hosts(r); other++) {
            if ((same[host] & BIT(other)) != 0) {
                same[other] = same[host];
            }
        }
        recover(r, r->hosts[host].ring, same[host]);
        keep_members(r->hosts[host].members, same[host], members);
    }
    for (uint32_t host = 1; host <= n_hosts(r); host++) {
        if ((set & BIT(host)) != 0) {
            ring_unref(r->hosts[host].ring);
            r->hosts[host].ring = ring_ref(ring);
            r->hosts[host].delivered = 0;
            change_view(r, host, same[host], members, in_two);
            order_later(r, host);
        }
    }
    ring_unref(ring);
}

static void quorum_changes(Sim *sim, void *data)
{
    const RingEvent *ev = data;

    if (ev->r->hosts[ev->host].up && ev->r->hosts[ev->host].quorate == ev->flag) {
        sim_node_quorum(sim_node(sim, ev->host), ev->flag);
    }
}

uint32_t sim_ring_votes(const SimRing *r, uint32_t host)
{
    return r->votes[host];
}

uint32_t sim_ring_hosts(const SimRing *r, uint32_t host)
{
    return r->hosts[host].up ? r->hosts[host].ring->hosts : 0;
}

bool sim_ring_below_majority(const SimRing *r)
{
    return r->lowered || r->two_node;
}

/* Votes of the hosts in `set`. */
static uint32_t votes_in(const SimRing *r, uint32_t set)
{
    uint32_t votes = 0;

    for (uint32_t host = 1; host <= n_hosts(r); host++) {
        votes += (set & BIT(host)) != 0 ? r->votes[host] : 0;
    }
    return votes;
}

static uint32_t all_hosts(const SimRing *r)
{
    return BIT(n_hosts(r) + 1) - 2;
}

/* Members of one ring count with the highest number that one of them expects, and with no fewer
 * votes than are there. */
static bool have_quorum(SimRing *r, uint32_t host)
{
    uint32_t set = r->hosts[host].ring->hosts, have = votes_in(r, set), expected = have;

    if (r->two_node) {
        r->hosts[host].waits = r->hosts[host].waits && set != all_hosts(r);
        return !r->hosts[host].waits;
    }
    for (uint32_t other = 1; other <= n_hosts(r); other++) {
        const Host *h = &r->hosts[other];

        if ((set & BIT(other)) != 0) {
            expected = MAX(expected, h->expected > 0 ? h->expected : votes_in(r, all_hosts(r)));
        }
    }
    r->hosts[host].expected = expected;
    return 2 * have > expected;
}

static void update_quorum(SimRing *r)
{
    for (uint32_t host = 1; host <= n_hosts(r); host++) {
        Host *h = &r->hosts[host];
        bool quorate = h->up && have_quorum(r, host);

        if (h->up && (quorate != h->quorate || h->told != h->ring->hosts)) {
            h->told = h->ring->hosts;
            post(r, sim_random(r->sim, 0, sim_chance(r->sim, 1, 10) ? 400000 : 4000),
                 quorum_changes, (RingEvent){.host = host, .flag = quorate});
        }
        h->quorate = quorate;
    }
}

void sim_ring_lower_expected(SimRing *r, uint32_t host)
{
    uint32_t set = sim_ring_hosts(r, host);

    for (uint32_t other = 1; other <= n_hosts(r); other++) {
        bool in = (set & BIT(other)) != 0;

        if (set == 0 || r->two_node || r->part[other] != r->part[host] ||
            in != r->hosts[other].up) {
            return;
        }
    }
    sim_trace(r->sim, host, "expected votes are lowered to %u", votes_in(r, set));
    r->lowered = true;
    for (uint32_t other = 1; other <= n_hosts(r); other++) {
        r->hosts[other].expected = (set & BIT(other)) != 0 ? votes_in(r, set) : 0;
    }
    update_quorum(r);
}

/* Who declares one half to be all has to see to it that the other half is off. */
static bool may_part(const SimRing *r)
{
    return !r->two_node && !r->lowered;
}

/* The network was back before the token was given up: what was lost is sent again. */
static void go_on(SimRing *r, uint32_t set)
{
    for (uint32_t host = 1; host <= n_hosts(r); host++) {
        Host *h = &r->hosts[host];

        if ((set & BIT(host)) == 0) {
            continue;
        }
        for (guint i = h->delivered; i < h->ring->log->len; i++) {
            if ((((const LogEntry *)h->ring->log->pdata[i])->have & BIT(host)) == 0) {
                post(r, sim_random(r->sim, 50, 800), receive,
                     (RingEvent){.ring = h->ring, .host = host, .index = i});
            }
        }
        order_later(r, host);
    }
}

static void reform(Sim *sim, void *data)
{
    const RingEvent *ev = data;
    SimRing *r = ev->r;
    uint32_t done = 0;

    (void)sim;
    if (ev->number != r->reforms) {
        return;
    }
    for (uint32_t host = 1; host <= n_hosts(r); host++) {
        uint32_t set = 0;

        if (!r->hosts[host].up || (done & BIT(host)) != 0) {
            continue;
        }
        for (uint32_t other = host; other <= n_hosts(r); other++) {
            if (r->hosts[other].up && r->part[other] == r->part[host]) {
                set |= BIT(other);
            }
        }
        done |= set;
        if (r->hosts[host].ring->hosts != set || !token_moves(r, r->hosts[host].ring)) {
            form_ring(r, set);
        } else {
            go_on(r, set);
        }
    }
    update_quorum(r);
}

/* Hosts notice after a while that the token is lost, or that somebody can be reached again. */
static void reform_later(SimRing *r)
{
    r->reforms++;
    post(r, sim_random(r->sim, 200000, 3000000), reform, (RingEvent){.number = r->reforms});
}

/* ---- faults ---------------------------------------------------------------------------------- */

void sim_ring_partition(SimRing *r, const uint8_t *part)
{
    g_autoptr(GString) text = g_string_new(NULL);
    bool parts = false;

    for (uint32_t host = 1; host <= n_hosts(r); host++) {
        parts = parts || part[host] != part[1];
    }
    if (parts && !may_part(r)) {
        return;
    }
    for (uint32_t host = 1; host <= n_hosts(r); host++) {
        r->part[host] = part[host];
        g_string_append_printf(text, " %u", part[host]);
    }
    sim_trace(r->sim, 0, "network parts:%s", text->str);
    reform_later(r);
}

void sim_ring_stop(SimRing *r, uint32_t host)
{
    Host *h = &r->hosts[host];
    GroupEvent ev = {.kind = GROUP_EV_DISCONNECTED, .code = -ECONNRESET};

    if (!h->up) {
        return;
    }
    sim_trace(r->sim, host, "corosync stops");
    if (h->pid != 0) {
        tell(r, host, &ev);
    }
    sim_node_quorum(sim_node(r->sim, host), false);
    disconnect(r, host);
    h->up = false;
    h->quorate = false;
    h->stopped = false;
    g_array_set_size(h->ghosts, 0);
    g_array_set_size(h->members, 0);
    g_queue_clear_full(&h->outbox, (GDestroyNotify)entry_free);
    reform_later(r);
}

void sim_ring_start(SimRing *r, uint32_t host)
{
    Host *h = &r->hosts[host];

    if (h->up) {
        return;
    }
    sim_trace(r->sim, host, "corosync starts");
    h->up = true;
    ring_unref(h->ring);
    h->ring = ring_new(BIT(host));
    h->delivered = 0;
    h->told = BIT(host);
    h->expected = 0;
    h->waits = r->two_node;
    h->quorate = have_quorum(r, host);
    sim_node_quorum(sim_node(r->sim, host), h->quorate);
    reform_later(r);
}

void sim_ring_flow(SimRing *r, uint32_t host, bool stopped)
{
    Host *h = &r->hosts[host];

    if (!h->up || h->stopped == stopped) {
        return;
    }
    h->stopped = stopped;
    if (h->pid != 0) {
        tell(r, host, &(GroupEvent){.kind = GROUP_EV_BACKPRESSURE, .on = stopped});
    }
    order_later(r, host);
}

void sim_ring_isolate_sender(SimRing *r, uint32_t host)
{
    r->hosts[host].isolate = may_part(r);
}

void sim_ring_heal(SimRing *r)
{
    static const uint8_t together[SIM_HOSTS_MAX + 1];

    for (uint32_t host = 1; host <= n_hosts(r); host++) {
        Host *h = &r->hosts[host];

        sim_ring_start(r, host);
        sim_ring_flow(r, host, false);
        h->isolate = false;
        while (h->ghosts->len > 0) {
            GroupMember who = g_array_index(h->ghosts, GroupMember, 0);

            g_array_remove_index(h->ghosts, 0);
            enqueue(r, host, (LogEntry){.kind = LOG_LEAVE, .who = who});
        }
    }
    sim_ring_partition(r, together);
}

bool sim_ring_up(const SimRing *r, uint32_t host)
{
    return r->hosts[host].up;
}

bool sim_ring_quorate(const SimRing *r, uint32_t host)
{
    return r->hosts[host].quorate;
}
