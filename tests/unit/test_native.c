/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what the native protocol promises, in cases that can be read: who waits for whom, what a
 * member that is cut off may not acknowledge, who is left out, what foreign members see. Method:
 * replicas on a bus that delivers every message to all of a view in one order, and disks that write
 * when told to. The many other orders of events are for tests/sim.
 */
#include "lib/wire/wire_native.h"
#include "pmxcfs/core/dcdb.h"
#include "pmxcfs/core/native.h"
#include "pmxcfs/core/replica.h"

#include <errno.h>
#include <string.h>

#define NODES 3u

typedef struct Node {
    Memdb *db;
    Replica *replica;
    bool in_view, deaf; /* deaf: gets nothing */
    bool stopped;       /* gets all of it later */
    GQueue backlog;     /* of Late* */
    uint64_t submitted, stored;
    MonoTime timer;
    GBytes *record;
    bool answered;
    int result;
    char *text;
    guint saved;
} Node;

typedef struct Message {
    uint32_t from;
    GBytes *bytes;
} Message;

/* What a stopped process has still to hear: a message, or a view. */
typedef struct Late {
    uint32_t from;
    GBytes *bytes;
    GroupMember members[NODES];
    uint32_t n_members, n_joined;
} Late;

typedef struct Bus {
    Node nodes[NODES + 1];
    GQueue queue; /* of Message* */
    MonoTime now;
    bool slow_disks; /* nothing is written until disks() */
    guint normal, native;
    uint32_t listed; /* nodes in the list that corosync gives */
} Bus;

static void step(Bus *b, uint32_t id, ReplicaEvent ev);

static void perform(Bus *b, uint32_t id, const ReplicaAction *a)
{
    Node *n = &b->nodes[id];
    Message *m;

    switch (a->kind) {
    case REPLICA_ACT_SEND:
        m = g_new(Message, 1);
        *m = (Message){id, g_bytes_ref(a->bytes)};
        g_queue_push_tail(&b->queue, m);
        break;
    case REPLICA_ACT_STORE:
        n->submitted = a->seq;
        if (a->delta->record != NULL) {
            g_clear_pointer(&n->record, g_bytes_unref);
            n->record = g_bytes_ref(a->delta->record);
        }
        break;
    case REPLICA_ACT_ANSWER:
        n->answered = true;
        n->result = a->result;
        g_free(n->text);
        n->text = g_strdup(a->text);
        break;
    case REPLICA_ACT_TIMER:
        n->timer = a->at;
        break;
    case REPLICA_ACT_SAVE_LOSING_TREE:
        n->saved++;
        break;
    default:
        break;
    }
}

static void step(Bus *b, uint32_t id, ReplicaEvent ev)
{
    g_auto(ReplicaUpdate) up;

    ev.now = b->now;
    ev.wall.sec = 1700000000;
    replica_update_init(&up);
    replica_step(b->nodes[id].replica, &ev, &up);
    for (guint i = 0; i < up.actions->len; i++) {
        perform(b, id, &g_array_index(up.actions, ReplicaAction, i));
    }
}

static void group(Bus *b, uint32_t id, GroupEvent ev)
{
    step(b, id, (ReplicaEvent){.kind = REPLICA_EV_GROUP, .group = &ev});
}

static void hear(Bus *b, uint32_t id, const Late *l)
{
    gsize size = 0;
    const void *data = l->bytes != NULL ? g_bytes_get_data(l->bytes, &size) : NULL;
    GroupEvent message = {
        .kind = GROUP_EV_MESSAGE, .sender = {l->from, l->from}, .data = data, .size = size};
    GroupEvent view = {.kind = GROUP_EV_VIEW,
                       .members = l->members,
                       .n_members = l->n_members,
                       .joined = l->members,
                       .n_joined = l->n_joined};

    group(b, id, l->bytes != NULL ? message : view);
}

/* Now, or as soon as the process runs. */
static void tell(Bus *b, uint32_t id, const Late *l)
{
    Node *n = &b->nodes[id];

    if (n->deaf) {
        return;
    }
    if (n->stopped) {
        Late *kept = g_memdup2(l, sizeof *l);

        kept->bytes = l->bytes != NULL ? g_bytes_ref(l->bytes) : NULL;
        g_queue_push_tail(&n->backlog, kept);
        return;
    }
    hear(b, id, l);
}

static void late_free(Late *l)
{
    g_clear_pointer(&l->bytes, g_bytes_unref);
    g_free(l);
}

static void count_message(Bus *b, const void *data, gsize size)
{
    WireDfsmMessage m;

    if (wire_dfsm_decode(data, size, 1, &m) == 0) {
        b->normal += m.head.type == WIRE_DFSM_NORMAL ? 1 : 0;
        b->native += wire_dfsm_epoch_equal(&m.head.epoch, &wire_native_epoch) ? 1 : 0;
    }
}

static void disk(Bus *b, uint32_t id)
{
    Node *n = &b->nodes[id];

    if (n->stored < n->submitted) {
        n->stored = n->submitted;
        step(b, id, (ReplicaEvent){.kind = REPLICA_EV_STORED, .seq = n->stored});
    }
}

/* Delivers until nothing is left to say. */
static void settle(Bus *b)
{
    bool more = true;

    while (more) {
        Message *m = g_queue_pop_head(&b->queue);

        more = m != NULL;
        if (m != NULL) {
            gsize size;
            const void *data = g_bytes_get_data(m->bytes, &size);

            count_message(b, data, size);
            if (b->nodes[m->from].in_view) {
                group(b, m->from, (GroupEvent){.kind = GROUP_EV_SENT});
            }
            for (uint32_t id = 1; id <= NODES; id++) {
                if (b->nodes[id].in_view && b->nodes[m->from].in_view) {
                    tell(b, id, &(Late){.from = m->from, .bytes = m->bytes});
                }
            }
            g_bytes_unref(m->bytes);
            g_free(m);
        }
        for (uint32_t id = 1; id <= NODES && !b->slow_disks; id++) {
            more = more || b->nodes[id].stored < b->nodes[id].submitted;
            disk(b, id);
        }
        more = more || !g_queue_is_empty(&b->queue);
    }
}

static void pass(Bus *b, int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 100) {
        b->now = mono_add_ms(b->now, 100);
        for (uint32_t id = 1; id <= NODES; id++) {
            if (!b->nodes[id].deaf && !b->nodes[id].stopped &&
                !mono_before(b->now, b->nodes[id].timer)) {
                step(b, id, (ReplicaEvent){.kind = REPLICA_EV_TICK});
            }
        }
        settle(b);
    }
}

static void quorum(Bus *b, uint32_t id, bool quorate)
{
    static const ReplicaNode nodes[NODES] = {{1, 1}, {2, 1}, {3, 1}};

    step(b, id,
         (ReplicaEvent){
             .kind = REPLICA_EV_QUORUM, .quorate = quorate, .nodes = nodes, .n_nodes = b->listed});
}

/* A new view of the nodes in `set` (by bit), so many of them new; the others see one of themselves
 * alone. */
static void view_with(Bus *b, uint32_t set, uint32_t n_joined)
{
    Late in = {.n_joined = n_joined};

    for (uint32_t id = 1; id <= NODES; id++) {
        b->nodes[id].in_view = (set & 1u << id) != 0;
        if (b->nodes[id].in_view) {
            in.members[in.n_members++] = (GroupMember){id, id};
        }
    }
    for (uint32_t id = 1; id <= NODES; id++) {
        Late alone = {.members = {{id, id}}, .n_members = 1};

        tell(b, id, b->nodes[id].in_view ? &in : &alone);
    }
}

static void view(Bus *b, uint32_t set)
{
    view_with(b, set, 1);
}

/* The process runs again, and hears what came meanwhile. */
static void wake(Bus *b, uint32_t id)
{
    Node *n = &b->nodes[id];
    Late *l;

    n->stopped = false;
    while ((l = g_queue_pop_head(&n->backlog)) != NULL) {
        hear(b, id, l);
        late_free(l);
    }
    settle(b);
}

#define ALL (1u << 1 | 1u << 2 | 1u << 3)

static void start(Bus *b, uint32_t id, bool native)
{
    Node *n = &b->nodes[id];
    MemdbRoot root = {10, 0, 0};
    g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_unref);
    ReplicaConfig cfg = {.nodeid = id,
                         .pid = id,
                         .durability = REPLICA_DURABILITY_QUORUM,
                         .native = native,
                         .seed = id};

    n->db = memdb_new(NULL, NULL);
    g_ptr_array_add(
        entries, entry_new(&(EntryInit){.inode = 2, .version = 2, .type = ENTRY_DIR, .name = "d"}));
    g_assert_cmpint(memdb_load(n->db, entries, &root, b->now, NULL, NULL), ==, 0);
    n->replica = replica_new(&cfg, n->db, NULL);
    n->timer = MONO_NEVER;
    step(b, id, (ReplicaEvent){.kind = REPLICA_EV_START});
    group(b, id, (GroupEvent){.kind = GROUP_EV_CONNECTED, .self = {id, id}});
    quorum(b, id, true);
}

static void bus_begin(Bus *b, bool third_is_native, uint32_t listed)
{
    *b = (Bus){.now = {1000000}, .listed = listed};
    g_queue_init(&b->queue);
    for (uint32_t id = 1; id <= NODES; id++) {
        start(b, id, id < 3 || third_is_native);
    }
    view(b, ALL);
    settle(b);
}

static void bus_init(Bus *b, bool third_is_native)
{
    bus_begin(b, third_is_native, NODES);
}

static void bus_done(Bus *b)
{
    Message *m;

    while ((m = g_queue_pop_head(&b->queue)) != NULL) {
        g_bytes_unref(m->bytes);
        g_free(m);
    }
    for (uint32_t id = 1; id <= NODES; id++) {
        replica_free(b->nodes[id].replica);
        memdb_free(b->nodes[id].db);
        g_clear_pointer(&b->nodes[id].record, g_bytes_unref);
        g_free(b->nodes[id].text);
        g_queue_clear_full(&b->nodes[id].backlog, (GDestroyNotify)late_free);
    }
}

static ReplicaStatus status(Bus *b, uint32_t id)
{
    ReplicaStatus s;

    replica_status(b->nodes[id].replica, &s);
    return s;
}

static void ask(Bus *b, uint32_t id, TreeOp op)
{
    b->nodes[id].answered = false;
    step(b, id,
         (ReplicaEvent){
             .kind = REPLICA_EV_SUBMIT, .token = 1, .op = &op, .wait = REPLICA_WAIT_DURABLE});
}

static bool has(Bus *b, uint32_t id, const char *path)
{
    g_autoptr(Entry) e = NULL;

    return memdb_lookup(b->nodes[id].db, path, &e) == 0;
}

/* ---- cases ------------------------------------------------------------------------------------
 */

static void members_find_out_and_begin_a_term(void)
{
    Bus b;

    bus_init(&b, true);
    for (uint32_t id = 1; id <= NODES; id++) {
        g_assert_true(status(&b, id).native);
        g_assert_cmpuint(status(&b, id).term, ==, 1);
        g_assert_cmpuint(status(&b, id).synced, ==, 3);
        g_assert_cmpint(status(&b, id).mode, ==, GROUP_MODE_SYNCED);
    }
    bus_done(&b);
}

static void answered_when_a_majority_has_it_on_disk(void)
{
    Bus b;

    bus_init(&b, true);
    b.slow_disks = true;
    ask(&b, 1, (TreeOp){.kind = TREE_OP_MKDIR, .path = "lock"});
    settle(&b);
    g_assert_true(has(&b, 1, "lock") && has(&b, 2, "lock") && has(&b, 3, "lock"));
    g_assert_false(b.nodes[1].answered);
    disk(&b, 1);
    settle(&b);
    g_assert_false(b.nodes[1].answered); /* our own disk alone is not enough */
    disk(&b, 3);
    settle(&b);
    g_assert_true(b.nodes[1].answered);
    g_assert_cmpint(b.nodes[1].result, ==, 0);
    g_assert_cmpuint(b.normal, ==, 0);
    bus_done(&b);
}

/* Goal: changes asked for together go in one message; the writer's own disk needs no message of its
 * own at once, and one that comes later serves who syncs elsewhere. */
static void changes_share_messages(void)
{
    static const char *const path[] = {"a", "b", "c"};
    Bus b;

    bus_init(&b, true);
    b.native = 0;
    for (guint i = 0; i < G_N_ELEMENTS(path); i++) {
        TreeOp op = {.kind = TREE_OP_MKDIR, .path = path[i]};

        b.nodes[1].answered = false;
        step(&b, 1,
             (ReplicaEvent){.kind = REPLICA_EV_SUBMIT,
                            .token = i + 1,
                            .op = &op,
                            .wait = REPLICA_WAIT_DURABLE,
                            .more = i + 1 < G_N_ELEMENTS(path)});
    }
    settle(&b);
    g_assert_true(b.nodes[1].answered);
    g_assert_true(has(&b, 2, "a") && has(&b, 2, "b") && has(&b, 3, "c"));
    g_assert_cmpuint(b.native, ==, 3); /* the changes, and the disks of the others */

    b.nodes[3].deaf = true;
    ask(&b, 1, (TreeOp){.kind = TREE_OP_MKDIR, .path = "e"});
    settle(&b);
    g_assert_true(b.nodes[1].answered);
    b.nodes[2].answered = false;
    step(&b, 2, (ReplicaEvent){.kind = REPLICA_EV_SYNC, .token = 9, .seq = G_MAXUINT64});
    g_assert_false(b.nodes[2].answered);
    pass(&b, 100);
    g_assert_true(b.nodes[2].answered);
    g_assert_cmpint(b.nodes[2].result, ==, 0);
    bus_done(&b);
}

/* Goal: without quorum nobody waits for what only a quorum can confirm, whenever he began. */
static void without_quorum_nobody_waits(void)
{
    Bus b;

    bus_init(&b, true);
    ask(&b, 1, (TreeOp){.kind = TREE_OP_MKDIR, .path = "lock"});
    b.slow_disks = true;
    settle(&b); /* delivered, and on no disk */
    g_assert_false(b.nodes[1].answered);
    quorum(&b, 1, false);
    g_assert_true(b.nodes[1].answered);
    g_assert_cmpint(b.nodes[1].result, ==, -EBUSY);
    b.nodes[1].answered = false;
    step(&b, 1, (ReplicaEvent){.kind = REPLICA_EV_SYNC, .token = 1, .seq = 1});
    g_assert_true(b.nodes[1].answered);
    g_assert_cmpint(b.nodes[1].result, ==, -EBUSY);
    bus_done(&b);
}

/* Goal: a sync of what is on disk does not wait for a later change that the disk refused. */
static void a_change_taken_back_is_not_waited_for(void)
{
    TreeOp op = {.kind = TREE_OP_CREATE, .path = "d/refused"};
    Bus b;

    bus_init(&b, true);
    b.slow_disks = true;
    step(&b, 1,
         (ReplicaEvent){
             .kind = REPLICA_EV_SUBMIT, .token = 1, .op = &op, .wait = REPLICA_WAIT_APPLIED});
    settle(&b);
    g_assert_true(b.nodes[1].answered && b.nodes[1].result == 0);
    b.nodes[1].answered = false;
    step(&b, 1, (ReplicaEvent){.kind = REPLICA_EV_SYNC, .token = 1, .seq = 1});
    g_assert_false(b.nodes[1].answered);
    step(&b, 1,
         (ReplicaEvent){
             .kind = REPLICA_EV_STORE_FAILED, .seq = b.nodes[1].submitted, .code = -ENOSPC});
    g_assert_false(has(&b, 1, "d/refused"));
    g_assert_true(b.nodes[1].answered);
    g_assert_cmpint(b.nodes[1].result, ==, 0);
    bus_done(&b);
}

/* Corosync tells of lost quorum first and of the new view later, or the other way round. */
static void cut_off_before_the_own_message_is_refused_at_once(bool view_first)
{
    Bus b;

    bus_init(&b, true);
    ask(&b, 1, (TreeOp){.kind = TREE_OP_MKDIR, .path = "lock"});
    g_assert_false(b.nodes[1].answered);
    for (int i = 0; i < 2; i++) {
        if (view_first == (i == 0)) {
            view(&b, 1u << 2 | 1u << 3);
        } else {
            quorum(&b, 1, false);
        }
    }
    g_assert_true(b.nodes[1].answered);
    g_assert_cmpint(b.nodes[1].result, ==, -EACCES);
    settle(&b);
    g_assert_false(has(&b, 1, "lock"));
    bus_done(&b);
}

static void quorum_lost_then_view(void)
{
    cut_off_before_the_own_message_is_refused_at_once(false);
}

static void view_then_quorum_lost(void)
{
    cut_off_before_the_own_message_is_refused_at_once(true);
}

/* The moment of 2.: node 1 sees its own message, and nobody else ever does. */
static void cut_off_after_the_own_message_acknowledges_nothing(void)
{
    Bus b;

    bus_init(&b, true);
    b.nodes[2].deaf = b.nodes[3].deaf = true;
    ask(&b, 1, (TreeOp){.kind = TREE_OP_MKDIR, .path = "lock"});
    settle(&b);
    g_assert_true(has(&b, 1, "lock"));
    g_assert_false(b.nodes[1].answered);
    b.nodes[2].deaf = b.nodes[3].deaf = false;
    view(&b, 1u << 2 | 1u << 3);
    quorum(&b, 1, false);
    settle(&b);
    g_assert_true(b.nodes[1].answered);
    g_assert_cmpint(b.nodes[1].result, ==, -EBUSY);
    g_assert_cmpstr(b.nodes[1].text, ==, REPLICA_TEXT_UNKNOWN);

    /* The majority gives the same lock to another, and that stands when all are together. */
    ask(&b, 2, (TreeOp){.kind = TREE_OP_MKDIR, .path = "lock"});
    settle(&b);
    g_assert_true(b.nodes[2].answered && b.nodes[2].result == 0);
    view(&b, ALL);
    quorum(&b, 1, true);
    settle(&b);
    g_assert_cmpuint(status(&b, 1).synced, ==, 3);
    g_assert_cmpuint(b.nodes[1].saved, ==, 1); /* what it had is kept beside */
    for (uint32_t id = 1; id <= NODES; id++) {
        g_autoptr(Entry) e = NULL;

        g_assert_cmpint(memdb_lookup(b.nodes[id].db, "lock", &e), ==, 0);
        g_assert_cmpuint(e->writer, ==, 2);
    }
    bus_done(&b);
}

static void one_who_is_behind_loses_nothing_and_saves_nothing(void)
{
    Bus b;

    bus_init(&b, true);
    view(&b, 1u << 1 | 1u << 2);
    quorum(&b, 3, false);
    settle(&b);
    ask(&b, 2, (TreeOp){.kind = TREE_OP_CREATE, .path = "d/new"});
    settle(&b);
    g_assert_true(b.nodes[2].answered && b.nodes[2].result == 0);
    view(&b, ALL);
    quorum(&b, 3, true);
    settle(&b);
    g_assert_true(has(&b, 3, "d/new"));
    g_assert_cmpuint(b.nodes[3].saved, ==, 0);
    bus_done(&b);
}

/* Goal: who is cut off hears messages of its own behind others that it never gets, and so has more
 * versions than those who acknowledged what it lacks. Their content leads. */
static void own_messages_of_one_cut_off_do_not_lead(void)
{
    Bus b;

    bus_init(&b, true);
    ask(&b, 2, (TreeOp){.kind = TREE_OP_CREATE, .path = "d/all"});
    settle(&b);
    b.nodes[1].deaf = true;
    ask(&b, 3, (TreeOp){.kind = TREE_OP_CREATE, .path = "d/acknowledged"});
    settle(&b);
    g_assert_true(b.nodes[3].answered && b.nodes[3].result == 0);
    b.nodes[1].deaf = false;
    b.nodes[2].deaf = b.nodes[3].deaf = true;
    b.slow_disks = true; /* the view ends in the same moment */
    for (int i = 0; i < 4; i++) {
        g_autofree char *path = g_strdup_printf("d/own-%d", i);

        ask(&b, 1, (TreeOp){.kind = TREE_OP_CREATE, .path = path});
        settle(&b);
    }
    g_assert_true(has(&b, 1, "d/own-3"));
    view(&b, 1u << 1);
    b.slow_disks = b.nodes[2].deaf = false;
    settle(&b);
    view(&b, 1u << 1 | 1u << 2);
    settle(&b);
    pass(&b, NATIVE_ANSWER_MS);
    g_assert_true(status(&b, 1).native && status(&b, 2).native);
    g_assert_true(has(&b, 1, "d/acknowledged") && has(&b, 2, "d/acknowledged"));
    g_assert_false(has(&b, 1, "d/own-0") || has(&b, 2, "d/own-0"));
    g_assert_cmpuint(b.nodes[1].saved, ==, 1);
    bus_done(&b);
}

static void a_silent_member_is_left_out(void)
{
    Bus b;

    bus_init(&b, true);
    view(&b, 1u << 1 | 1u << 3); /* node 2 goes, so that there is something to agree on */
    settle(&b);
    b.nodes[3].deaf = true;
    view(&b, ALL);
    settle(&b);
    g_assert_false(status(&b, 1).native);
    pass(&b, NATIVE_ANSWER_MS + 200);
    g_assert_true(status(&b, 1).native && status(&b, 2).native);
    ask(&b, 1, (TreeOp){.kind = TREE_OP_CREATE, .path = "d/while-silent"});
    settle(&b);
    g_assert_true(b.nodes[1].answered && b.nodes[1].result == 0);
    bus_done(&b);
}

/* Goal: a process that joins and never says anything is not taken for a foreign one for ever; also
 * not when it is the lowest, who would have to begin the documented exchange. */
static void who_never_greets_is_left_out(gconstpointer number)
{
    uint32_t silent = GPOINTER_TO_UINT(number), a = silent == 1 ? 2 : 1, c = silent == 3 ? 2 : 3;
    Bus b = {.now = {1000000}, .listed = NODES};

    g_queue_init(&b.queue);
    for (uint32_t id = 1; id <= NODES; id++) {
        b.nodes[id].deaf = id == silent;
        start(&b, id, true);
    }
    view(&b, ALL);
    settle(&b);
    pass(&b, NATIVE_HELLO_MS + 2 * (NATIVE_ANSWER_MS + NODES * NATIVE_RANK_MS) + 500);
    g_assert_true(status(&b, a).native && status(&b, c).native);
    ask(&b, a, (TreeOp){.kind = TREE_OP_CREATE, .path = "d/f"});
    settle(&b);
    g_assert_true(b.nodes[a].answered && b.nodes[a].result == 0);
    g_assert_true(has(&b, c, "d/f"));
    /* A new view: it is still not waited for. */
    view(&b, ALL);
    settle(&b);
    g_assert_true(status(&b, a).native && status(&b, c).native);
    bus_done(&b);
}

/* Is a proposal on its way that nobody has heard yet? */
static bool start_is_on_its_way(const Bus *b)
{
    for (const GList *l = b->queue.head; l != NULL; l = l->next) {
        gsize size;
        const void *data = g_bytes_get_data(((const Message *)l->data)->bytes, &size);
        WireDfsmMessage dm;
        WireNative m;

        if (wire_dfsm_decode(data, size, 1, &dm) == 0 && dm.head.type == WIRE_DFSM_UPDATE &&
            wire_native_decode(dm.payload, dm.payload_size, &m) == 0 &&
            m.kind == WIRE_NATIVE_START) {
            return true;
        }
    }
    return false;
}

/* Goal: a foreign process that left and came back while a proposal to go on without it was on its
 * way is not left out by that: it has had no time to say anything. */
static void a_start_of_an_earlier_view_means_nothing(void)
{
    Bus b = {.now = {1000000}, .listed = NODES};

    g_queue_init(&b.queue);
    for (uint32_t id = 1; id <= NODES; id++) {
        b.nodes[id].deaf = id == 2;
        start(&b, id, id != 2);
    }
    view(&b, ALL);
    settle(&b);
    for (int i = 0; i < 300 && !start_is_on_its_way(&b); i++) {
        settle(&b);
        b.now = mono_add_ms(b.now, 100);
        step(&b, 1, (ReplicaEvent){.kind = REPLICA_EV_TICK});
        step(&b, 3, (ReplicaEvent){.kind = REPLICA_EV_TICK});
    }
    g_assert_true(start_is_on_its_way(&b));
    view(&b, 1u << 1 | 1u << 3);
    b.nodes[2].deaf = false;
    view(&b, ALL);
    settle(&b);
    pass(&b, NATIVE_HELLO_MS + 500);
    g_assert_false(status(&b, 1).native || status(&b, 3).native);
    ask(&b, 2, (TreeOp){.kind = TREE_OP_CREATE, .path = "d/foreign"});
    settle(&b);
    g_assert_true(b.nodes[2].answered && b.nodes[2].result == 0);
    g_assert_true(has(&b, 1, "d/foreign") && has(&b, 3, "d/foreign"));
    bus_done(&b);
}

/* Goal: the disk of a node that was just added counts as soon as the others have it in their list,
 * which may come after it has joined the group. */
static void a_node_that_is_added_counts(void)
{
    Bus b;

    bus_begin(&b, true, 2);
    pass(&b, NATIVE_ANSWER_MS);
    g_assert_true(status(&b, 1).native && status(&b, 3).native);
    b.listed = 3;
    for (uint32_t id = 1; id <= NODES; id++) {
        quorum(&b, id, true);
    }
    settle(&b);
    pass(&b, NATIVE_RESTART_MS + 200);
    b.nodes[2].deaf = true;
    ask(&b, 1, (TreeOp){.kind = TREE_OP_CREATE, .path = "d/two-of-three"});
    settle(&b);
    g_assert_true(b.nodes[1].answered && b.nodes[1].result == 0);
    g_assert_cmpuint(status(&b, 1).term, ==, 2);
    pass(&b, NATIVE_ANSWER_MS);
    g_assert_cmpuint(status(&b, 1).term, ==, 2); /* once is enough */
    bus_done(&b);
}

/* Goal: the same where the member that should see to it stops just then. */
static void the_first_stops_as_a_node_is_added(void)
{
    Bus b;

    bus_begin(&b, true, 2);
    pass(&b, NATIVE_ANSWER_MS);
    b.listed = 3;
    b.nodes[1].deaf = true;
    quorum(&b, 2, true);
    quorum(&b, 3, true);
    ask(&b, 2, (TreeOp){.kind = TREE_OP_CREATE, .path = "d/without-the-first"});
    settle(&b);
    g_assert_false(b.nodes[2].answered); /* node 3 does not count yet */
    pass(&b, NATIVE_RESTART_MS + NATIVE_ANSWER_MS + 2 * NATIVE_RANK_MS + 2 * NATIVE_ANSWER_MS);
    g_assert_true(b.nodes[2].answered && b.nodes[2].result == 0);
    g_assert_cmpuint(status(&b, 2).term, ==, 2);
    g_assert_true(has(&b, 3, "d/without-the-first"));
    bus_done(&b);
}

static void with_a_foreign_member_the_documented_protocol_is_used(void)
{
    Bus b;

    bus_init(&b, false);
    g_assert_false(status(&b, 1).native);
    pass(&b, NATIVE_HELLO_MS + 200);
    for (uint32_t id = 1; id <= NODES; id++) {
        g_assert_cmpint(status(&b, id).mode, ==, GROUP_MODE_SYNCED);
        g_assert_false(status(&b, id).native);
    }
    b.native = 0;
    ask(&b, 1, (TreeOp){.kind = TREE_OP_CREATE, .path = "d/f"});
    settle(&b);
    g_assert_true(b.nodes[1].answered && b.nodes[1].result == 0);
    g_assert_true(has(&b, 3, "d/f"));
    g_assert_cmpuint(b.normal, ==, 1);
    g_assert_cmpuint(b.native, ==, 0);

    /* Without it the rest goes over to the native protocol, by itself. */
    view(&b, 1u << 1 | 1u << 2);
    settle(&b);
    g_assert_true(status(&b, 1).native && status(&b, 2).native);
    g_assert_true(has(&b, 2, "d/f"));
    bus_done(&b);
}

/* A documented change of node 2 that was on its way when a term began. */
static void send_documented(Bus *b, const char *path)
{
    WireDfsmHeader head = {
        .type = WIRE_DFSM_NORMAL, .subtype = TREE_OP_MKDIR, .version = 1, .count = 1};
    g_autoptr(GBytes) payload = NULL;
    Message *m = g_new(Message, 1);
    gsize size;
    const void *data;

    g_assert_cmpint(dcdb_encode_op(&(TreeOp){.kind = TREE_OP_MKDIR, .path = path}, &payload), ==,
                    0);
    data = g_bytes_get_data(payload, &size);
    *m = (Message){2, wire_dfsm_encode(&head, data, size)};
    g_queue_push_tail(&b->queue, m);
    settle(b);
}

static void come_in(Bus *b, uint32_t id)
{
    pass(b, 100); /* who left wants to come back some time later */
    group(b, id, (GroupEvent){.kind = GROUP_EV_CONNECTED, .self = {id, id}});
    view_with(b, ALL, 1);
    settle(b);
    pass(b, NATIVE_HELLO_MS + 200);
}

/* A term runs beside node 3, foreign and stopped, which hears of a change that the term made void;
 * then it runs, and the first in line has left. */
static void begin_with_a_stopped_foreign_member(Bus *b)
{
    *b = (Bus){.now = {1000000}, .listed = NODES};
    g_queue_init(&b->queue);
    b->nodes[3].stopped = true;
    for (uint32_t id = 1; id <= NODES; id++) {
        start(b, id, id < 3);
    }
    view(b, ALL);
    settle(b);
    pass(b, NATIVE_HELLO_MS + 2 * NATIVE_ANSWER_MS);
    view_with(b, ALL, 0); /* what it says to the exchange of the first view, nobody waits for */
    settle(b);
    g_assert_true(status(b, 1).native && status(b, 2).native);
    send_documented(b, "void");
    g_assert_false(has(b, 1, "void") || has(b, 2, "void"));
    wake(b, 3);
    g_assert_cmpint(status(b, 1).mode, ==, GROUP_MODE_LEAVE);
    view_with(b, 1u << 2 | 1u << 3, 0);
    settle(b);
}

static void check_that_it_stays_void(Bus *b)
{
    for (uint32_t id = 1; id <= NODES; id++) {
        g_assert_cmpint(status(b, id).mode, ==, GROUP_MODE_SYNCED);
        g_assert_false(has(b, id, "void"));
    }
    ask(b, 2, (TreeOp){.kind = TREE_OP_MKDIR, .path = "after"});
    settle(b);
    g_assert_true(b->nodes[2].answered && b->nodes[2].result == 0);
    g_assert_true(has(b, 1, "after") && has(b, 3, "after"));
}

/* Goal: what a term made void stays void at a foreign member that was stopped and heard of it. */
static void what_a_term_made_void_stays_void(void)
{
    Bus b;

    begin_with_a_stopped_foreign_member(&b);
    pass(&b, 1000);
    g_assert_cmpint(status(&b, 3).mode, ==, GROUP_MODE_START_SYNC);
    come_in(&b, 1);
    check_that_it_stays_void(&b);
    bus_done(&b);
}

/* Goal: the same where who left does not return: then the next one leaves and comes back. */
static void void_though_the_first_does_not_return(void)
{
    Bus b;

    begin_with_a_stopped_foreign_member(&b);
    pass(&b, NATIVE_ANSWER_MS + 2 * NATIVE_RANK_MS);
    g_assert_cmpint(status(&b, 2).mode, ==, GROUP_MODE_LEAVE);
    g_assert_false(has(&b, 3, "void"));
    view_with(&b, 1u << 3, 0);
    settle(&b);
    group(&b, 1, (GroupEvent){.kind = GROUP_EV_CONNECTED, .self = {1, 1}});
    come_in(&b, 2);
    check_that_it_stays_void(&b);
    bus_done(&b);
}

/* Goal: a foreign member is taken in also while the first in line is stopped. */
static void a_foreign_member_gets_in_though_the_first_is_stopped(void)
{
    Bus b;

    b = (Bus){.now = {1000000}, .listed = NODES};
    g_queue_init(&b.queue);
    b.nodes[3].stopped = true;
    for (uint32_t id = 1; id <= NODES; id++) {
        start(&b, id, id < 3);
    }
    view(&b, ALL);
    settle(&b);
    pass(&b, NATIVE_HELLO_MS + 2 * NATIVE_ANSWER_MS);
    g_assert_true(status(&b, 2).native);
    b.nodes[1].stopped = true;
    wake(&b, 3);
    g_assert_cmpint(status(&b, 2).mode, ==, GROUP_MODE_SYNCED);
    pass(&b, NATIVE_ANSWER_MS + 2 * NATIVE_RANK_MS);
    g_assert_cmpint(status(&b, 2).mode, ==, GROUP_MODE_LEAVE);
    bus_done(&b);
}

/* A file that no documented message could carry, among smaller changes. */
static void large_files_travel_in_pieces(void)
{
    g_autofree guint8 *content = g_malloc0(5000000);
    g_autoptr(GBytes) data = g_bytes_new(content, 5000000);
    g_autoptr(Entry) e = NULL;
    Bus b;

    bus_init(&b, true);
    ask(&b, 2, (TreeOp){.kind = TREE_OP_CREATE, .path = "d/large"});
    settle(&b);
    ask(&b, 2, (TreeOp){.kind = TREE_OP_WRITE, .path = "d/large", .data = data});
    step(&b, 2,
         (ReplicaEvent){.kind = REPLICA_EV_SUBMIT,
                        .token = 2,
                        .op = &(TreeOp){.kind = TREE_OP_CREATE, .path = "d/small"},
                        .wait = REPLICA_WAIT_APPLIED});
    settle(&b);
    g_assert_true(b.nodes[2].answered);
    g_assert_cmpint(b.nodes[2].result, ==, 5000000);
    g_assert_cmpint(memdb_lookup(b.nodes[3].db, "d/large", &e), ==, 0);
    g_assert_cmpuint(e->size, ==, 5000000);
    g_assert_true(has(&b, 3, "d/small"));
    bus_done(&b);
}

static void malformed_messages_change_nothing(void)
{
    WireDfsmHeader head = {.type = WIRE_DFSM_UPDATE, .version = 1, .epoch = wire_native_epoch};
    uint8_t before[ENTRY_DIGEST_SIZE], after[ENTRY_DIGEST_SIZE];
    Bus b;

    bus_init(&b, true);
    memdb_checksum(b.nodes[1].db, before);
    for (guint i = 0; i < 200; i++) {
        uint8_t junk[80];
        g_autoptr(GBytes) message = NULL;
        gsize size;
        const void *data;

        memset(junk, (int)i, sizeof junk);
        junk[0] = (uint8_t)(i % 16);
        junk[1] = 0;
        message = wire_dfsm_encode(&head, junk, i % sizeof junk);
        data = g_bytes_get_data(message, &size);
        group(&b, 1,
              (GroupEvent){.kind = GROUP_EV_MESSAGE, .sender = {2, 2}, .data = data, .size = size});
    }
    settle(&b);
    memdb_checksum(b.nodes[1].db, after);
    g_assert_cmpmem(before, sizeof before, after, sizeof after);
    g_assert_cmpint(status(&b, 1).mode, ==, GROUP_MODE_SYNCED);
    bus_done(&b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/native/members-find-out-and-begin-a-term", members_find_out_and_begin_a_term);
    g_test_add_func("/native/answered-when-a-majority-has-it-on-disk",
                    answered_when_a_majority_has_it_on_disk);
    g_test_add_func("/native/changes-share-messages", changes_share_messages);
    g_test_add_func("/native/without-quorum-nobody-waits", without_quorum_nobody_waits);
    g_test_add_func("/native/a-change-taken-back-is-not-waited-for",
                    a_change_taken_back_is_not_waited_for);
    g_test_add_func("/native/quorum-lost-then-view", quorum_lost_then_view);
    g_test_add_func("/native/view-then-quorum-lost", view_then_quorum_lost);
    g_test_add_func("/native/cut-off-after-the-own-message-acknowledges-nothing",
                    cut_off_after_the_own_message_acknowledges_nothing);
    g_test_add_func("/native/one-who-is-behind-loses-nothing-and-saves-nothing",
                    one_who_is_behind_loses_nothing_and_saves_nothing);
    g_test_add_func("/native/own-messages-of-one-cut-off-do-not-lead",
                    own_messages_of_one_cut_off_do_not_lead);
    g_test_add_func("/native/a-silent-member-is-left-out", a_silent_member_is_left_out);
    g_test_add_func("/native/a-start-of-an-earlier-view-means-nothing",
                    a_start_of_an_earlier_view_means_nothing);
    g_test_add_data_func("/native/who-never-greets-is-left-out/lowest", GUINT_TO_POINTER(1),
                         who_never_greets_is_left_out);
    g_test_add_data_func("/native/who-never-greets-is-left-out/last", GUINT_TO_POINTER(3),
                         who_never_greets_is_left_out);
    g_test_add_func("/native/a-node-that-is-added-counts", a_node_that_is_added_counts);
    g_test_add_func("/native/the-first-stops-as-a-node-is-added",
                    the_first_stops_as_a_node_is_added);
    g_test_add_func("/native/with-a-foreign-member-the-documented-protocol-is-used",
                    with_a_foreign_member_the_documented_protocol_is_used);
    g_test_add_func("/native/what-a-term-made-void-stays-void", what_a_term_made_void_stays_void);
    g_test_add_func("/native/void-though-the-first-does-not-return",
                    void_though_the_first_does_not_return);
    g_test_add_func("/native/a-foreign-member-gets-in-though-the-first-is-stopped",
                    a_foreign_member_gets_in_though_the_first_is_stopped);
    g_test_add_func("/native/large-files-travel-in-pieces", large_files_travel_in_pieces);
    g_test_add_func("/native/malformed-messages-change-nothing", malformed_messages_change_nothing);
    return g_test_run();
}
