/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process: the product's tree and replica, with the engine's part played by the simulation.
 * Events are handled one at a time, in order, whenever the process gets to run.
 */
#include "tests/sim/sim.h"

#include <errno.h>
#include <string.h>

/* An event with everything it points to. */
typedef struct Inbox {
    ReplicaEvent ev;
    GroupEvent group;
    GroupMember *members;
    void *data;
    TreeOp *op;
    ReplicaNode nodes[SIM_HOSTS_MAX];
    uint32_t quorum_nodes[SIM_HOSTS_MAX];
} Inbox;

struct SimNode {
    Sim *sim;
    uint32_t host, pid, starts;
    SimDisk *disk;
    Memdb *db; /* NULL: no process */
    Replica *replica;
    Tracer tracer;
    GQueue inbox;   /* of Inbox* */
    bool scheduled; /* a run is on its way */
    bool paused, native;
    MonoTime runs_since, inquorate_since;
    int64_t clock_sec;   /* of the wall clock at virtual time 0 */
    WireDfsmEpoch epoch; /* of the view */
    uint32_t lost;       /* changes without a step since it began, or since the last step */
    uint64_t timer, join, probe, run; /* generations: older ones on their way are void */
};

typedef struct Later {
    SimNode *node;
    uint64_t generation;
} Later;

static void perform(SimNode *n, const ReplicaUpdate *up);

static void inbox_free(Inbox *i)
{
    g_free(i->members);
    g_free(i->data);
    tree_op_free(i->op);
    g_free(i);
}

static void on_trace(void *ctx, TraceLevel level, const char *line)
{
    SimNode *n = ctx;

    if (level <= TRACE_INFO) {
        sim_trace(n->sim, n->host, "%s", line);
    }
}

SimNode *sim_node_new(Sim *sim, uint32_t host)
{
    SimNode *n = g_new0(SimNode, 1);

    n->sim = sim;
    n->host = host;
    n->disk = sim_disk_new(sim, host);
    n->tracer = (Tracer){on_trace, n};
    n->clock_sec = 1700000000 + sim_random(sim, -2, 2);
    g_queue_init(&n->inbox);
    return n;
}

static void drop_process(SimNode *n)
{
    g_clear_pointer(&n->replica, replica_free);
    g_clear_pointer(&n->db, memdb_free);
    g_queue_clear_full(&n->inbox, (GDestroyNotify)inbox_free);
    n->timer++;
    n->join++;
    n->probe++;
    n->run++;
    n->scheduled = false;
    n->paused = false;
}

void sim_node_free(SimNode *n)
{
    drop_process(n);
    sim_disk_free(n->disk);
    g_free(n);
}

/* ---- running --------------------------------------------------------------------------------- */

/* A target lost by a rename of the documented protocol (18.1.8) is no step of the version: states
 * of a view that have the same one are told apart by counting. */
static void count_lost(SimNode *n, const ReplicaUpdate *up)
{
    ReplicaStatus status;

    sim_node_status(n, &status);
    if (!wire_dfsm_epoch_equal(&status.epoch, &n->epoch)) {
        n->epoch = status.epoch;
        n->lost = 0;
    }
    for (guint i = 0; i < up->actions->len; i++) {
        const ReplicaAction *a = &g_array_index(up->actions, ReplicaAction, i);

        if (a->kind != REPLICA_ACT_STORE || a->delta->edits->len == 0) {
            continue;
        }
        if (!a->delta->replaces_tree &&
            a->delta->root_before.version == a->delta->root_after.version) {
            n->lost++;
        } else {
            n->lost = 0;
        }
    }
}

static void handle(SimNode *n, Inbox *i)
{
    g_auto(ReplicaUpdate) up;
    bool group = i->ev.kind == REPLICA_EV_GROUP;

    i->ev.now = sim_now(n->sim);
    i->ev.wall.sec = n->clock_sec + sim_now(n->sim).us / US_PER_SEC;
    i->ev.group = group ? &i->group : NULL;
    i->group.members = i->members;
    i->group.joined = i->members != NULL ? i->members + i->group.n_members : NULL;
    i->group.left = i->members != NULL ? i->group.joined + i->group.n_joined : NULL;
    i->group.data = i->data;
    i->ev.op = i->op;
    if (i->ev.kind == REPLICA_EV_QUORUM) {
        n->inquorate_since =
            i->ev.quorate ? MONO_NEVER : mono_min(n->inquorate_since, sim_now(n->sim));
    }
    replica_update_init(&up);
    replica_step(n->replica, &i->ev, &up);
    count_lost(n, &up);
    perform(n, &up);
}

static void run(Sim *sim, void *data)
{
    const Later *l = data;
    SimNode *n = l->node;
    uint64_t generation = n->run;

    (void)sim;
    if (l->generation != generation || n->replica == NULL) {
        return;
    }
    n->scheduled = false;
    while (n->run == generation && !n->paused && !g_queue_is_empty(&n->inbox)) {
        Inbox *i = g_queue_pop_head(&n->inbox);

        i->ev.more = !g_queue_is_empty(&n->inbox) && sim_chance(n->sim, 3, 4);
        handle(n, i);
        inbox_free(i);
    }
    if (n->run == generation) {
        sim_check_changed(sim_check(n->sim), n);
    }
}

static void later(SimNode *n, MonoTime at, SimFn fn, uint64_t generation)
{
    Later *l = g_new(Later, 1);

    *l = (Later){n, generation};
    sim_at(n->sim, at, fn, l, g_free);
}

static void push(SimNode *n, Inbox *i)
{
    g_queue_push_tail(&n->inbox, i);
    if (!n->scheduled && !n->paused) {
        int64_t us = sim_random(n->sim, 0, sim_chance(n->sim, 1, 50) ? 30000 : 300);

        n->scheduled = true;
        later(n, (MonoTime){sim_now(n->sim).us + us}, run, n->run);
    }
}

static Inbox *push_kind(SimNode *n, ReplicaEventKind kind)
{
    Inbox *i = g_new0(Inbox, 1);

    i->ev.kind = kind;
    push(n, i);
    return i;
}

void sim_node_pause(SimNode *n, bool paused)
{
    if (n->replica == NULL || n->paused == paused) {
        return;
    }
    sim_trace(n->sim, n->host, "%s", paused ? "paused" : "continued");
    n->paused = paused;
    n->runs_since = sim_now(n->sim);
    if (!paused && !n->scheduled) {
        n->scheduled = true;
        later(n, sim_now(n->sim), run, n->run);
    }
}

/* ---- events from outside --------------------------------------------------------------------- */

void sim_node_group_event(SimNode *n, uint32_t pid, const GroupEvent *ev)
{
    size_t members = ev->n_members + ev->n_joined + ev->n_left;
    Inbox *i;

    if (n->replica == NULL || pid != n->pid) {
        return;
    }
    i = g_new0(Inbox, 1);
    i->ev.kind = REPLICA_EV_GROUP;
    i->group = *ev;
    if (members > 0) {
        i->members = g_new(GroupMember, members);
        memcpy(i->members, ev->members, ev->n_members * sizeof *ev->members);
        if (ev->n_joined > 0) {
            memcpy(i->members + ev->n_members, ev->joined, ev->n_joined * sizeof *ev->joined);
        }
        if (ev->n_left > 0) {
            memcpy(i->members + ev->n_members + ev->n_joined, ev->left,
                   ev->n_left * sizeof *ev->left);
        }
    }
    i->data = g_memdup2(ev->data, ev->size);
    push(n, i);
}

void sim_node_quorum(SimNode *n, bool quorate)
{
    if (n->replica != NULL) {
        Inbox *i = push_kind(n, REPLICA_EV_QUORUM);

        i->ev.quorate = quorate;
        i->ev.n_nodes = sim_options(n->sim)->hosts;
        for (uint32_t host = 1; host <= i->ev.n_nodes; host++) {
            i->nodes[host - 1] = (ReplicaNode){host, sim_ring_votes(sim_ring(n->sim), host)};
            if (quorate && (sim_ring_hosts(sim_ring(n->sim), n->host) >> host & 1) != 0) {
                i->quorum_nodes[i->ev.n_quorum_nodes++] = host;
            }
        }
        i->ev.nodes = i->nodes;
        i->ev.quorum_nodes = i->quorum_nodes;
    }
}

void sim_node_stored(SimNode *n, uint64_t seq, int code)
{
    if (n->replica != NULL) {
        Inbox *i = push_kind(n, code == 0 ? REPLICA_EV_STORED : REPLICA_EV_STORE_FAILED);

        i->ev.seq = seq;
        i->ev.code = code;
    }
}

bool sim_node_submit(SimNode *n, uint64_t token, const TreeOp *op)
{
    Inbox *i;

    if (n->replica == NULL) {
        return false;
    }
    i = push_kind(n, REPLICA_EV_SUBMIT);
    i->ev.token = token;
    i->ev.wait = REPLICA_WAIT_DURABLE;
    i->op = tree_op_copy(op);
    return true;
}

/* ---- actions --------------------------------------------------------------------------------- */

static void tick_due(Sim *sim, void *data)
{
    const Later *l = data;

    (void)sim;
    if (l->generation == l->node->timer && l->node->replica != NULL) {
        (void)push_kind(l->node, REPLICA_EV_TICK);
    }
}

static void join_due(Sim *sim, void *data)
{
    const Later *l = data;

    if (l->generation == l->node->join && l->node->replica != NULL) {
        sim_ring_connect(sim_ring(sim), l->node->host, l->node->pid);
    }
}

static void probe_due(Sim *sim, void *data)
{
    const Later *l = data;

    (void)sim;
    if (l->generation == l->node->probe && l->node->replica != NULL) {
        push_kind(l->node, REPLICA_EV_PROBED)->ev.code = sim_disk_probe(l->node->disk);
    }
}

/* The adapter closes the connection: what it had in hand for us is dropped. */
static void forget_group_events(SimNode *n)
{
    GList *next;

    for (GList *link = n->inbox.head; link != NULL; link = next) {
        Inbox *i = link->data;

        next = link->next;
        if (i->ev.kind == REPLICA_EV_GROUP) {
            inbox_free(i);
            g_queue_delete_link(&n->inbox, link);
        }
    }
}

static void perform_one(SimNode *n, const ReplicaAction *a)
{
    switch (a->kind) {
    case REPLICA_ACT_STORE:
        sim_disk_submit(n->disk, a->delta, a->seq);
        break;
    case REPLICA_ACT_NOTICE:
        break;
    case REPLICA_ACT_SEND:
        sim_ring_send(sim_ring(n->sim), n->host, n->pid, a->bytes);
        break;
    case REPLICA_ACT_JOIN:
        later(n, a->at, join_due, ++n->join);
        break;
    case REPLICA_ACT_LEAVE:
        n->join++;
        sim_ring_leave(sim_ring(n->sim), n->host, n->pid);
        forget_group_events(n);
        break;
    case REPLICA_ACT_ANSWER:
        sim_clients_answer(sim_clients(n->sim), a->token, a->result);
        break;
    case REPLICA_ACT_TIMER:
        n->timer++;
        if (a->at.us != MONO_NEVER.us) {
            later(n, a->at, tick_due, n->timer);
        }
        break;
    case REPLICA_ACT_STORE_RESUME:
        sim_disk_resume(n->disk);
        break;
    case REPLICA_ACT_STORE_PROBE:
        later(n, a->at, probe_due, ++n->probe);
        break;
    case REPLICA_ACT_SAVE_LOSING_TREE:
        sim_trace(n->sim, n->host, "saves its tree of version %" G_GUINT64_FORMAT " (%s)",
                  a->root.version, a->text);
        break;
    case REPLICA_ACT_N:
        g_assert_not_reached();
    }
}

static void perform(SimNode *n, const ReplicaUpdate *up)
{
    for (guint i = 0; i < up->actions->len; i++) {
        perform_one(n, &g_array_index(up->actions, ReplicaAction, i));
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

void sim_node_start(SimNode *n)
{
    g_autoptr(GPtrArray) entries = NULL;
    g_autoptr(GBytes) meta = NULL;
    ReplicaConfig cfg = {.durability = REPLICA_DURABILITY_QUORUM, .native = n->native};
    MemdbRoot root;
    Err err = ERR_INIT;

    if (n->replica != NULL) {
        return;
    }
    n->pid = 1000 * n->host + ++n->starts;
    n->runs_since = n->inquorate_since = sim_now(n->sim);
    n->db = memdb_new(&n->tracer, NULL);
    entries = sim_disk_read(n->disk, &root, &meta);
    if (memdb_load(n->db, entries, &root, sim_now(n->sim), NULL, &err) < 0) {
        sim_fail(n->sim, "host %u cannot load its database: %s", n->host, err_text(&err));
    }
    cfg.nodeid = n->host;
    cfg.pid = n->pid;
    cfg.seed = prng_u64(sim_rng(n->sim));
    cfg.meta = meta;
    n->replica = replica_new(&cfg, n->db, &n->tracer);
    sim_trace(n->sim, n->host, "starts at version %" G_GUINT64_FORMAT "%s", root.version,
              n->native ? " (native)" : "");
    (void)push_kind(n, REPLICA_EV_START);
    if (sim_ring_up(sim_ring(n->sim), n->host)) {
        sim_node_quorum(n, sim_ring_quorate(sim_ring(n->sim), n->host));
    }
}

bool sim_node_sync(SimNode *n, uint64_t token)
{
    Inbox *i;

    if (n->replica == NULL) {
        return false;
    }
    i = push_kind(n, REPLICA_EV_SYNC);
    i->ev.token = token;
    i->ev.seq = 1 + (uint64_t)sim_random(n->sim, 0, 20);
    return true;
}

void sim_node_local_change(SimNode *n, const TreeOp *op)
{
    g_autoptr(GPtrArray) entries = NULL;
    g_autoptr(GBytes) meta = NULL;
    g_autoptr(Memdb) db = memdb_new(&n->tracer, NULL);
    g_autoptr(Replica) replica = NULL;
    g_auto(ReplicaUpdate) up;
    ReplicaConfig cfg = {.local = true, .native = n->native};
    ReplicaEvent ev = {.kind = REPLICA_EV_SUBMIT, .token = 1, .op = op};
    MemdbRoot root;
    Err err = ERR_INIT;

    g_assert(n->replica == NULL);
    entries = sim_disk_read(n->disk, &root, &meta);
    if (memdb_load(db, entries, &root, sim_now(n->sim), NULL, &err) < 0) {
        sim_fail(n->sim, "host %u cannot load its database: %s", n->host, err_text(&err));
    }
    cfg.meta = meta;
    replica = replica_new(&cfg, db, &n->tracer);
    ev.now = sim_now(n->sim);
    ev.wall.sec = n->clock_sec + sim_now(n->sim).us / US_PER_SEC;
    replica_update_init(&up);
    replica_step(replica, &ev, &up);
    for (guint i = 0; i < up.actions->len; i++) {
        const ReplicaAction *a = &g_array_index(up.actions, ReplicaAction, i);

        if (a->kind == REPLICA_ACT_STORE) {
            sim_trace(n->sim, n->host, "changes '%s' in local mode", op->path);
            sim_disk_write_now(n->disk, a->delta);
        }
    }
}

void sim_node_kill(SimNode *n, bool ghost)
{
    if (n->replica == NULL) {
        return;
    }
    sim_trace(n->sim, n->host, "killed%s", ghost ? ", and stays in the group" : "");
    sim_ring_died(sim_ring(n->sim), n->host, n->pid, ghost);
    drop_process(n);
    sim_disk_crash(n->disk);
    sim_clients_node_died(sim_clients(n->sim), n->host);
}

void sim_node_jump_clock(SimNode *n, int64_t sec)
{
    sim_trace(n->sim, n->host, "clock jumps by %" G_GINT64_FORMAT " s", sec);
    n->clock_sec += sec;
}

void sim_node_set_native(SimNode *n, bool native)
{
    n->native = native;
}

bool sim_node_native(const SimNode *n)
{
    return n->native;
}

bool sim_node_running(const SimNode *n)
{
    return n->replica != NULL;
}

bool sim_node_paused(const SimNode *n)
{
    return n->paused;
}

MonoTime sim_node_runs_since(const SimNode *n)
{
    return n->runs_since;
}

MonoTime sim_node_inquorate_since(const SimNode *n)
{
    return n->inquorate_since;
}

uint32_t sim_node_lost(const SimNode *n)
{
    return n->lost;
}

uint32_t sim_node_host(const SimNode *n)
{
    return n->host;
}

Memdb *sim_node_db(SimNode *n)
{
    return n->db;
}

void sim_node_status(SimNode *n, ReplicaStatus *ret)
{
    replica_status(n->replica, ret);
}

SimDisk *sim_node_disk(SimNode *n)
{
    return n->disk;
}
