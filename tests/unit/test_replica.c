/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what callers, disk and group see of the replica. Method: events are fed by hand, the
 * actions that come out are performed on a disk and a group that the test plays. How several
 * replicas get on with each other is the matter of tests/sim.
 */
#include "lib/wire/wire_dcdb.h"
#include "pmxcfs/core/replica.h"
#include "pmxcfs/core/treeop.h"

#include <errno.h>
#include <string.h>

#define NODE 2u
#define PID  20u

typedef struct Answer {
    uint64_t token, seq;
    int result;
    char *text;
} Answer;

typedef struct Rig {
    Memdb *db;
    Replica *r;
    MonoTime now;
    WallTime wall;
    uint64_t tokens, stored_seq; /* of the last STORE action */
    GArray *answers;             /* of Answer */
    GPtrArray *sent;             /* of GBytes* */
    uint32_t stores, notices, own_notices, resumes, joins, leaves, saved;
    MonoTime timer, probe;
    bool probing;
} Rig;

static void answer_clear(gpointer data)
{
    g_free(((Answer *)data)->text);
}

static void take_answer(Rig *rig, const ReplicaAction *a)
{
    Answer answer = {a->token, a->seq, a->result, g_strdup(a->text)};

    g_array_append_val(rig->answers, answer);
}

static void perform(Rig *rig, const ReplicaAction *a)
{
    switch (a->kind) {
    case REPLICA_ACT_STORE:
        rig->stores++;
        g_assert_cmpuint(a->seq, ==, ++rig->stored_seq); /* one by one, in order */
        break;
    case REPLICA_ACT_NOTICE:
        rig->notices++;
        rig->own_notices += a->own ? 1 : 0;
        break;
    case REPLICA_ACT_SEND:
        g_ptr_array_add(rig->sent, g_bytes_ref(a->bytes));
        break;
    case REPLICA_ACT_JOIN:
        rig->joins++;
        break;
    case REPLICA_ACT_LEAVE:
        rig->leaves++;
        break;
    case REPLICA_ACT_ANSWER:
        take_answer(rig, a);
        break;
    case REPLICA_ACT_TIMER:
        rig->timer = a->at;
        break;
    case REPLICA_ACT_STORE_RESUME:
        rig->resumes++;
        break;
    case REPLICA_ACT_STORE_PROBE:
        rig->probing = true;
        rig->probe = a->at;
        break;
    case REPLICA_ACT_SAVE_LOSING_TREE:
        g_assert_nonnull(a->text);
        rig->saved++;
        break;
    case REPLICA_ACT_N:
        g_assert_not_reached();
    }
}

static void step(Rig *rig, ReplicaEvent ev)
{
    g_auto(ReplicaUpdate) up;

    ev.now = rig->now;
    ev.wall = rig->wall;
    replica_update_init(&up);
    replica_step(rig->r, &ev, &up);
    for (guint i = 0; i < up.actions->len; i++) {
        perform(rig, &g_array_index(up.actions, ReplicaAction, i));
    }
}

static Rig *rig_new(bool local)
{
    Rig *rig = g_new0(Rig, 1);
    ReplicaConfig cfg = {.local = local, .nodeid = local ? 0 : NODE, .pid = PID, .seed = 1};
    g_autoptr(GPtrArray) none = g_ptr_array_new();

    rig->db = memdb_new(NULL, NULL);
    g_assert_cmpint(memdb_load(rig->db, none, NULL, rig->now, NULL, NULL), ==, 0);
    rig->r = replica_new(&cfg, rig->db, NULL);
    rig->answers = g_array_new(FALSE, FALSE, sizeof(Answer));
    g_array_set_clear_func(rig->answers, answer_clear);
    rig->sent = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    rig->now.us = 1000000;
    rig->wall.sec = 1000;
    rig->timer = MONO_NEVER;
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_START});
    return rig;
}

static void rig_free(Rig *rig)
{
    replica_free(rig->r);
    memdb_free(rig->db);
    g_array_unref(rig->answers);
    g_ptr_array_unref(rig->sent);
    g_free(rig);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rig, rig_free)

/* ---- what tests do and look at ---- */

static uint64_t submit_op(Rig *rig, const TreeOp *op, ReplicaWait wait)
{
    step(rig,
         (ReplicaEvent){.kind = REPLICA_EV_SUBMIT, .token = ++rig->tokens, .op = op, .wait = wait});
    return rig->tokens;
}

static uint64_t submit(Rig *rig, TreeOpKind kind, const char *path)
{
    return submit_op(rig, &(TreeOp){.kind = kind, .path = path}, REPLICA_WAIT_DURABLE);
}

static void stored(Rig *rig, uint64_t seq)
{
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_STORED, .seq = seq});
}

static void store_failed(Rig *rig, uint64_t seq, int code)
{
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_STORE_FAILED, .seq = seq, .code = code});
}

static const Answer *answer_to(Rig *rig, uint64_t token)
{
    for (guint i = 0; i < rig->answers->len; i++) {
        const Answer *a = &g_array_index(rig->answers, Answer, i);

        if (a->token == token) {
            return a;
        }
    }
    return NULL;
}

static void expect_answer(Rig *rig, uint64_t token, int result)
{
    const Answer *a = answer_to(rig, token);

    g_assert_nonnull(a);
    g_assert_cmpint(a->result, ==, result);
}

static void expect_waiting(Rig *rig, uint64_t token)
{
    g_assert_null(answer_to(rig, token));
}

static bool exists(Rig *rig, const char *path)
{
    g_autoptr(Entry) e = NULL;

    return memdb_lookup(rig->db, path, &e) == 0;
}

static void group(Rig *rig, GroupEvent ev)
{
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_GROUP, .group = &ev});
}

static void quorum(Rig *rig, bool quorate)
{
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_QUORUM, .quorate = quorate});
}

static void message(Rig *rig, uint32_t node, GBytes *bytes)
{
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);

    group(rig,
          (GroupEvent){
              .kind = GROUP_EV_MESSAGE, .sender = {node, 10 * node}, .data = data, .size = size});
}

/* Delivers our own last message. */
static void deliver_own(Rig *rig)
{
    g_assert_cmpuint(rig->sent->len, >, 0);
    message(rig, NODE, rig->sent->pdata[rig->sent->len - 1]);
}

static void deliver_file(Rig *rig, uint32_t node, TreeOpKind kind, const WireDcdbFile *f)
{
    g_autoptr(GBytes) payload = NULL;
    g_autoptr(GBytes) bytes = NULL;
    WireDfsmHeader head = {.subtype = (uint16_t)kind, .version = 1, .time = 77, .count = 1};
    gsize size;
    const void *data;

    g_assert_cmpint(wire_dcdb_encode_file(f, &payload), ==, 0);
    data = g_bytes_get_data(payload, &size);
    bytes = wire_dfsm_encode(&head, data, size);
    message(rig, node, bytes);
}

static void deliver_op(Rig *rig, uint32_t node, TreeOpKind kind, const char *path)
{
    deliver_file(rig, node, kind, &(WireDcdbFile){.path = path});
}

static void view(Rig *rig, uint32_t n)
{
    static const GroupMember members[] = {{NODE, PID}, {1, 10}, {3, 30}};

    group(rig, (GroupEvent){.kind = GROUP_EV_VIEW,
                            .members = members,
                            .n_members = n,
                            .joined = members,
                            .n_joined = n});
}

static void connect_to_group(Rig *rig)
{
    group(rig, (GroupEvent){.kind = GROUP_EV_CONNECTED, .self = {NODE, PID}});
}

/* A member of a synchronised group of 1 to 3 nodes. */
static Rig *rig_in_group(uint32_t n)
{
    static const WireDfsmEpoch epoch = {1, 2, 3, 4};
    Rig *rig = rig_new(false);

    connect_to_group(rig);
    quorum(rig, true);
    view(rig, n);
    if (n > 1) {
        WireDfsmHeader start = {.type = WIRE_DFSM_SYNC_START, .version = 1, .epoch = epoch};
        WireDfsmHeader state = {.type = WIRE_DFSM_STATE, .version = 1, .epoch = epoch};
        g_autoptr(GBytes) begin = wire_dfsm_encode(&start, NULL, 0);
        g_autoptr(GBytes) index = memdb_index(rig->db);
        gsize size;
        const void *data = g_bytes_get_data(index, &size);
        g_autoptr(GBytes) told = wire_dfsm_encode(&state, data, size);

        message(rig, 1, begin);
        for (uint32_t node = 1; node <= n; node++) {
            message(rig, node, told);
        }
    }
    g_ptr_array_set_size(rig->sent, 0);
    return rig;
}

static GroupMode mode(const Rig *rig)
{
    ReplicaStatus status;

    replica_status(rig->r, &status);
    return status.mode;
}

/* ---- local mode ---- */

static void change_is_visible_at_once_and_answered_when_stored(void)
{
    g_autoptr(Rig) rig = rig_new(true);
    uint64_t token = submit(rig, TREE_OP_CREATE, "f");

    g_assert_true(exists(rig, "f"));
    g_assert_cmpuint(rig->own_notices, ==, 1);
    expect_waiting(rig, token);
    stored(rig, 1);
    expect_answer(rig, token, 0);
}

static void write_answers_its_byte_count(void)
{
    g_autoptr(Rig) rig = rig_new(true);
    g_autoptr(GBytes) data = g_bytes_new_static("12345", 5);
    TreeOp op = {.kind = TREE_OP_WRITE, .path = "f", .data = data};
    uint64_t token;

    (void)submit(rig, TREE_OP_CREATE, "f");
    token = submit_op(rig, &op, REPLICA_WAIT_DURABLE);
    stored(rig, 2);
    expect_answer(rig, token, 5);
}

static void refused_change_reaches_neither_disk_nor_caches(void)
{
    g_autoptr(Rig) rig = rig_new(true);
    uint64_t token = submit(rig, TREE_OP_DELETE, "missing");

    expect_answer(rig, token, -ENOENT);
    g_assert_cmpuint(rig->stores + rig->notices, ==, 0);
}

static void applied_change_is_made_durable_by_sync(void)
{
    g_autoptr(Rig) rig = rig_new(true);
    TreeOp op = {.kind = TREE_OP_CREATE, .path = "f"};
    uint64_t token = submit_op(rig, &op, REPLICA_WAIT_APPLIED);

    expect_answer(rig, token, 0);
    g_assert_cmpuint(answer_to(rig, token)->seq, ==, 1);
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_SYNC, .token = 99, .seq = 1});
    expect_waiting(rig, 99);
    stored(rig, 1);
    expect_answer(rig, 99, 0);
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_SYNC, .token = 100, .seq = 1});
    expect_answer(rig, 100, 0);
}

static void one_commit_answers_all_it_holds(void)
{
    g_autoptr(Rig) rig = rig_new(true);
    uint64_t a = submit(rig, TREE_OP_CREATE, "a");
    uint64_t b = submit(rig, TREE_OP_CREATE, "b");
    uint64_t c = submit(rig, TREE_OP_CREATE, "c");

    stored(rig, 2);
    expect_answer(rig, a, 0);
    expect_answer(rig, b, 0);
    expect_waiting(rig, c);
}

static void what_the_disk_refuses_is_taken_back(void)
{
    g_autoptr(Rig) rig = rig_new(true);
    MemdbRoot before;
    uint64_t a, b, c;

    a = submit(rig, TREE_OP_CREATE, "a");
    before = memdb_root(rig->db);
    b = submit(rig, TREE_OP_CREATE, "b");
    c = submit(rig, TREE_OP_MKDIR, "c");
    stored(rig, 1);
    store_failed(rig, 2, -ENOSPC);
    expect_answer(rig, a, 0);
    expect_answer(rig, b, -ENOSPC);
    expect_answer(rig, c, -ENOSPC);
    g_assert_true(exists(rig, "a"));
    g_assert_false(exists(rig, "b"));
    g_assert_false(exists(rig, "c"));
    g_assert_cmpuint(memdb_root(rig->db).version, ==, before.version);
    g_assert_cmpuint(rig->resumes, ==, 1);
    g_assert_cmpuint(rig->notices, ==, 5);
}

static void disk_that_works_again_is_used_again(void)
{
    g_autoptr(Rig) rig = rig_new(true);
    uint64_t token;

    (void)submit(rig, TREE_OP_CREATE, "a");
    store_failed(rig, 1, -ENOSPC);
    token = submit(rig, TREE_OP_CREATE, "a");
    stored(rig, 2);
    expect_answer(rig, token, 0);
    g_assert_true(exists(rig, "a"));
}

static void sync_of_a_lost_change_fails(void)
{
    g_autoptr(Rig) rig = rig_new(true);
    TreeOp op = {.kind = TREE_OP_CREATE, .path = "f"};

    (void)submit_op(rig, &op, REPLICA_WAIT_APPLIED);
    store_failed(rig, 1, -EIO);
    (void)submit(rig, TREE_OP_CREATE, "g");
    stored(rig, 2);
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_SYNC, .token = 99, .seq = 1});
    expect_answer(rig, 99, -EIO);
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_SYNC, .token = 100, .seq = 2});
    expect_answer(rig, 100, 0);
}

static void cancelled_caller_is_not_answered(void)
{
    g_autoptr(Rig) rig = rig_new(true);
    uint64_t token = submit(rig, TREE_OP_CREATE, "f");

    step(rig, (ReplicaEvent){.kind = REPLICA_EV_CANCEL, .token = token});
    stored(rig, 1);
    expect_waiting(rig, token);
    g_assert_true(exists(rig, "f"));
}

static void slow_disk_slows_writers_but_not_for_ever(void)
{
    g_autoptr(Rig) rig = rig_new(true);
    g_autofree void *zeros = g_malloc0(1024 * 1024);
    g_autoptr(GBytes) data = g_bytes_new(zeros, 1024 * 1024);
    TreeOp op = {.kind = TREE_OP_WRITE, .path = "f", .data = data};
    uint32_t n = REPLICA_BACKLOG_MAX / (1024 * 1024);
    uint64_t late;

    (void)submit(rig, TREE_OP_CREATE, "f");
    for (uint32_t i = 0; i < n; i++) {
        (void)submit_op(rig, &op, REPLICA_WAIT_DURABLE);
    }
    late = submit(rig, TREE_OP_CREATE, "late");
    g_assert_false(exists(rig, "late"));
    rig->now = rig->timer;
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_TICK});
    expect_answer(rig, late, -EBUSY);
    late = submit(rig, TREE_OP_CREATE, "later");
    stored(rig, 2);
    g_assert_true(exists(rig, "later"));
}

static void caller_does_not_wait_for_a_disk_for_ever(void)
{
    g_autoptr(Rig) rig = rig_new(true);
    uint64_t token = submit(rig, TREE_OP_CREATE, "f");

    g_assert_cmpint(mono_diff_us(rig->timer, rig->now), ==, REPLICA_DURABLE_MS * US_PER_MS);
    rig->now = rig->timer;
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_TICK});
    expect_answer(rig, token, -EBUSY);
    g_assert_cmpstr(answer_to(rig, token)->text, ==, REPLICA_TEXT_UNKNOWN);
}

static void expired_lock_is_removed_on_request(void)
{
    g_autoptr(Rig) rig = rig_new(true);
    g_autoptr(Entry) e = NULL;
    TreeOp op = {.kind = TREE_OP_UNLOCK_REQUEST, .path = "priv/lock/x"};

    (void)submit(rig, TREE_OP_MKDIR, "priv");
    (void)submit(rig, TREE_OP_MKDIR, "priv/lock");
    (void)submit(rig, TREE_OP_MKDIR, "priv/lock/x");
    g_assert_cmpint(memdb_lookup(rig->db, "priv/lock/x", &e), ==, 0);
    entry_checksum(e, op.csum);
    rig->now = mono_add_sec(rig->now, 120);
    expect_answer(rig, submit_op(rig, &op, REPLICA_WAIT_APPLIED), 0);
    g_assert_true(exists(rig, "priv/lock/x"));
    rig->now = mono_add_sec(rig->now, 1);
    expect_answer(rig, submit_op(rig, &op, REPLICA_WAIT_APPLIED), 0);
    g_assert_false(exists(rig, "priv/lock/x"));
}

static void local_mode_needs_nobody(void)
{
    g_autoptr(Rig) rig = rig_new(true);
    uint64_t token;

    quorum(rig, false);
    connect_to_group(rig);
    view(rig, 3);
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_VERIFY});
    token = submit(rig, TREE_OP_CREATE, "f");
    stored(rig, 1);
    expect_answer(rig, token, 0);
    g_assert_cmpuint(rig->joins + rig->sent->len, ==, 0);
}

/* ---- in a group ---- */

static void change_is_applied_when_its_message_comes_back(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    uint64_t token = submit(rig, TREE_OP_CREATE, "f");

    g_assert_cmpuint(rig->sent->len, ==, 1);
    g_assert_false(exists(rig, "f"));
    deliver_own(rig);
    g_assert_true(exists(rig, "f"));
    expect_waiting(rig, token);
    stored(rig, 1);
    expect_answer(rig, token, 0);
}

static void change_of_another_node_carries_its_id_and_time(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    g_autoptr(Entry) e = NULL;

    deliver_op(rig, 3, TREE_OP_CREATE, "f");
    g_assert_cmpint(memdb_lookup(rig->db, "f", &e), ==, 0);
    g_assert_cmpuint(e->writer, ==, 3);
    g_assert_cmpuint(e->mtime, ==, 77);
    g_assert_cmpuint(rig->own_notices, ==, 0);
    g_assert_cmpuint(rig->stores, ==, 1);
}

static void change_that_cannot_succeed_is_not_sent(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);

    expect_answer(rig, submit(rig, TREE_OP_DELETE, "missing"), -ENOENT);
    g_assert_cmpuint(rig->sent->len, ==, 0);
}

static void without_quorum_changes_fail_at_once(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);

    quorum(rig, false);
    expect_answer(rig, submit(rig, TREE_OP_CREATE, "f"), -EACCES);
    quorum(rig, true);
    expect_waiting(rig, submit(rig, TREE_OP_CREATE, "f"));
    g_assert_cmpuint(rig->sent->len, ==, 1);
}

static void change_delivered_without_quorum_is_not_applied(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    uint64_t token = submit(rig, TREE_OP_CREATE, "f");

    quorum(rig, false);
    deliver_own(rig);
    expect_answer(rig, token, -EPERM);
    g_assert_false(exists(rig, "f"));
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_LEAVE);
    g_assert_cmpuint(rig->leaves, ==, 1);
}

static void change_waits_for_the_end_of_a_synchronisation(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    uint64_t waits, expires;

    view(rig, 2);
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_START_SYNC);
    waits = submit(rig, TREE_OP_CREATE, "f");
    expect_waiting(rig, waits);
    g_assert_cmpuint(rig->sent->len, ==, 0);
    view(rig, 1);
    g_assert_cmpuint(rig->sent->len, ==, 1);
    view(rig, 2);
    expires = submit(rig, TREE_OP_CREATE, "g");
    rig->now = mono_add_ms(rig->now, REPLICA_SEND_MS);
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_TICK});
    expect_answer(rig, expires, -EACCES);
    expect_waiting(rig, waits);
    rig->now = mono_add_ms(rig->now, REPLICA_ANSWER_MS);
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_TICK});
    expect_answer(rig, waits, -EBUSY);
}

static void lost_connection_leaves_the_outcome_open(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    uint64_t token = submit(rig, TREE_OP_CREATE, "f");

    group(rig, (GroupEvent){.kind = GROUP_EV_DISCONNECTED, .code = -ECONNRESET});
    expect_answer(rig, token, -EBUSY);
    g_assert_cmpstr(answer_to(rig, token)->text, ==, REPLICA_TEXT_UNKNOWN);
}

static void message_that_was_refused_did_not_happen(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    uint64_t token;

    group(rig, (GroupEvent){.kind = GROUP_EV_SENT}); /* STATE of the exchange */
    token = submit(rig, TREE_OP_CREATE, "f");
    group(rig, (GroupEvent){.kind = GROUP_EV_SEND_FAILED, .code = -EMSGSIZE});
    expect_answer(rig, token, -EACCES);
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_SYNCED);
}

static void backpressure_holds_changes_back(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);

    group(rig, (GroupEvent){.kind = GROUP_EV_BACKPRESSURE, .on = true});
    (void)submit(rig, TREE_OP_CREATE, "f");
    g_assert_cmpuint(rig->sent->len, ==, 0);
    group(rig, (GroupEvent){.kind = GROUP_EV_BACKPRESSURE, .on = false});
    g_assert_cmpuint(rig->sent->len, ==, 1);
}

static void window_of_own_messages_is_bounded(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);

    for (uint32_t i = 0; i < REPLICA_WINDOW_MESSAGES + 5; i++) {
        g_autofree char *path = g_strdup_printf("f%u", i);

        (void)submit(rig, TREE_OP_CREATE, path);
    }
    g_assert_cmpuint(rig->sent->len, ==, REPLICA_WINDOW_MESSAGES);
    message(rig, NODE, rig->sent->pdata[0]);
    g_assert_cmpuint(rig->sent->len, ==, REPLICA_WINDOW_MESSAGES + 1);
}

static void disk_failure_makes_us_leave_until_it_works(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    uint64_t token = submit(rig, TREE_OP_CREATE, "f");
    uint32_t joins = rig->joins;

    deliver_own(rig);
    store_failed(rig, 1, -ENOSPC);
    expect_answer(rig, token, -ENOSPC);
    g_assert_false(exists(rig, "f"));
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_LEAVE);
    g_assert_true(rig->probing);
    expect_answer(rig, submit(rig, TREE_OP_CREATE, "g"), -ENOSPC);
    rig->probing = false;
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_PROBED, .code = -ENOSPC});
    g_assert_true(rig->probing);
    g_assert_cmpuint(rig->joins, ==, joins);
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_PROBED});
    g_assert_cmpuint(rig->joins, ==, joins + 1);
}

static void disk_failure_of_a_node_alone_is_like_local_mode(void)
{
    g_autoptr(Rig) rig = rig_in_group(1);
    uint64_t token = submit(rig, TREE_OP_CREATE, "f");

    deliver_own(rig);
    store_failed(rig, 1, -ENOSPC);
    expect_answer(rig, token, -ENOSPC);
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_SYNCED);
    token = submit(rig, TREE_OP_CREATE, "f");
    deliver_own(rig);
    stored(rig, 2);
    expect_answer(rig, token, 0);
}

static void truncation_never_makes_a_hollow_file(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    g_autoptr(Entry) e = NULL;
    TreeOp op = {.kind = TREE_OP_WRITE, .path = "f", .offset = 10, .truncate = true};
    uint64_t token;

    deliver_op(rig, 3, TREE_OP_CREATE, "f");
    token = submit_op(rig, &op, REPLICA_WAIT_DURABLE);
    deliver_own(rig);
    stored(rig, 2);
    expect_answer(rig, token, 0);
    g_assert_cmpint(memdb_lookup(rig->db, "f", &e), ==, 0);
    g_assert_cmpuint(e->size, ==, 10);
    g_assert_false(e->hollow);
}

static void begin_exchange(Rig *rig)
{
    static const WireDfsmEpoch epoch = {2, 2, 3, 4};
    WireDfsmHeader start = {.type = WIRE_DFSM_SYNC_START, .version = 1, .epoch = epoch};
    g_autoptr(GBytes) begin = wire_dfsm_encode(&start, NULL, 0);

    view(rig, 3);
    message(rig, 1, begin);
}

static void tell_states(Rig *rig)
{
    static const WireDfsmEpoch epoch = {2, 2, 3, 4};
    WireDfsmHeader state = {.type = WIRE_DFSM_STATE, .version = 1, .epoch = epoch};
    g_autoptr(GBytes) index = memdb_index(rig->db);
    gsize size;
    const void *data = g_bytes_get_data(index, &size);
    g_autoptr(GBytes) told = wire_dfsm_encode(&state, data, size);

    for (uint32_t node = 1; node <= 3; node++) {
        message(rig, node, told);
    }
}

/* The first copy may have been applied by members that a partition kept from us, whose tree we then
 * took over: "exists already" would be a lie (18.1.24). */
static void refusal_of_a_message_sent_twice_is_unknown(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    uint64_t token = submit(rig, TREE_OP_CREATE, "f"), later;
    g_autoptr(GBytes) first = g_bytes_ref(rig->sent->pdata[0]);

    view(rig, 3);
    message(rig, NODE, first);
    g_ptr_array_set_size(rig->sent, 0);
    begin_exchange(rig);
    g_assert_true(g_bytes_equal(rig->sent->pdata[0], first));
    tell_states(rig);
    deliver_op(rig, 3, TREE_OP_CREATE, "f");
    message(rig, NODE, first);
    expect_answer(rig, token, -EBUSY);
    g_assert_cmpstr(answer_to(rig, token)->text, ==, REPLICA_TEXT_UNKNOWN);
    later = submit(rig, TREE_OP_CREATE, "g");
    deliver_op(rig, 3, TREE_OP_CREATE, "g");
    deliver_own(rig);
    expect_answer(rig, later, -EEXIST);
}

/* Goal: after a quiet hour a change is of its own time, not of that of the last event before. */
static void change_carries_the_time_at_which_it_was_asked_for(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    g_autoptr(Entry) e = NULL;

    rig->now = mono_add_sec(rig->now, 3600);
    rig->wall.sec += 3600;
    (void)submit(rig, TREE_OP_CREATE, "f");
    deliver_own(rig);
    g_assert_cmpint(memdb_lookup(rig->db, "f", &e), ==, 0);
    g_assert_cmpuint(e->mtime, ==, 4600);
}

/* ---- verification ---- */

static uint64_t ask_verification(Rig *rig)
{
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_VERIFY, .token = ++rig->tokens});
    return rig->tokens;
}

static void tick_at(Rig *rig, int64_t ms)
{
    rig->now = mono_add_ms(rig->now, ms);
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_TICK});
}

static void verification_tells_that_content_is_equal(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    uint64_t token = ask_verification(rig), other;

    deliver_own(rig); /* the request; then the checksum */
    deliver_own(rig);
    other = ask_verification(rig);
    expect_answer(rig, other, -EBUSY);
    tick_at(rig, REPLICA_VERIFY_LEAVE_MS - 1);
    expect_waiting(rig, token);
    tick_at(rig, 1);
    expect_answer(rig, token, 0);
    g_assert_true(g_str_has_prefix(answer_to(rig, token)->text, "{\"members\":3,\"checksum\":\""));
    g_assert_true(g_str_has_suffix(answer_to(rig, token)->text, ",\"left\":[]}"));
}

static void verification_names_who_leaves(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    uint64_t token = ask_verification(rig);

    deliver_own(rig);
    deliver_own(rig);
    view(rig, 2);
    view(rig, 3); /* it is back already */
    tick_at(rig, REPLICA_VERIFY_LEAVE_MS);
    expect_answer(rig, token, 1);
    g_assert_true(g_str_has_suffix(answer_to(rig, token)->text, ",\"left\":[3]}"));
}

static void verification_that_cannot_be_is_refused(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    g_autoptr(Rig) local = rig_new(true);
    uint64_t token = ask_verification(rig);

    view(rig, 2);
    expect_answer(rig, token, -EBUSY);                 /* the members changed */
    expect_answer(rig, ask_verification(rig), -EBUSY); /* not synchronised */
    expect_answer(local, ask_verification(local), -ENOTCONN);
}

static void verification_does_not_wait_for_ever(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    uint64_t token = ask_verification(rig);

    tick_at(rig, REPLICA_VERIFY_MS);
    expect_answer(rig, token, -ETIMEDOUT);
    token = ask_verification(rig);
    step(rig, (ReplicaEvent){.kind = REPLICA_EV_CANCEL, .token = token});
    token = ask_verification(rig);
    group(rig, (GroupEvent){.kind = GROUP_EV_DISCONNECTED, .code = -ECONNRESET});
    expect_answer(rig, token, -EBUSY);
}

/* 18.1.1: no UPDATE can carry such a file. */
static void hollow_file_of_a_peer_is_filled_before_it_must_be_sent(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    WireDcdbFile grow = {.path = "f", .offset = 9, .truncate = true};
    g_autoptr(Entry) before = NULL;
    g_autoptr(Entry) without = NULL;
    g_autoptr(Entry) after = NULL;
    uint8_t bytes[16];

    deliver_op(rig, 3, TREE_OP_CREATE, "f");
    deliver_file(rig, 3, TREE_OP_WRITE, &grow);
    g_assert_cmpint(memdb_lookup(rig->db, "f", &before), ==, 0);
    g_assert_true(before->hollow);
    quorum(rig, false);
    begin_exchange(rig);
    g_assert_cmpint(memdb_lookup(rig->db, "f", &without), ==, 0);
    g_assert_true(without == before);
    quorum(rig, true);
    begin_exchange(rig);
    g_assert_cmpint(memdb_lookup(rig->db, "f", &after), ==, 0);
    g_assert_false(after->hollow);
    g_assert_cmpuint(after->version, ==, before->version + 1);
    g_assert_cmpuint(after->writer, ==, NODE);
    g_assert_cmpint(entry_read(after, 0, bytes, sizeof bytes), ==, 9);
    g_assert_cmpuint(rig->stores, ==, 3);
}

static void hollow_file_of_one_that_joins_is_left_as_it_is(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    WireDcdbFile grow = {.path = "f", .offset = 9, .truncate = true};
    g_autoptr(Entry) e = NULL;

    deliver_op(rig, 3, TREE_OP_CREATE, "f");
    deliver_file(rig, 3, TREE_OP_WRITE, &grow);
    group(rig, (GroupEvent){.kind = GROUP_EV_DISCONNECTED, .code = -ECONNRESET});
    connect_to_group(rig);
    begin_exchange(rig);
    g_assert_cmpint(memdb_lookup(rig->db, "f", &e), ==, 0);
    g_assert_true(e->hollow);
}

/* 18.1.7: an original that had to take over a tree with twins would be out for good. */
static void hollow_file_beside_twins_is_left_as_it_is(void)
{
    static const char *const dirs[] = {"nodes", "nodes/a", "nodes/a/lxc", "nodes/a/qemu-server"};
    g_autoptr(Rig) rig = rig_in_group(3);
    WireDcdbFile grow = {.path = "f", .offset = 9, .truncate = true};
    g_autoptr(Entry) beside = NULL;
    g_autoptr(Entry) without = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(dirs); i++) {
        deliver_op(rig, 3, TREE_OP_MKDIR, dirs[i]);
    }
    deliver_op(rig, 3, TREE_OP_MKDIR, "nodes/a/lxc/300.conf");
    deliver_op(rig, 3, TREE_OP_CREATE, "nodes/a/qemu-server/300.conf");
    deliver_op(rig, 3, TREE_OP_DELETE, "nodes/a/lxc/300.conf");
    deliver_op(rig, 3, TREE_OP_CREATE, "nodes/a/lxc/300.conf");
    deliver_op(rig, 3, TREE_OP_CREATE, "f");
    deliver_file(rig, 3, TREE_OP_WRITE, &grow);
    begin_exchange(rig);
    g_assert_cmpint(memdb_lookup(rig->db, "f", &beside), ==, 0);
    g_assert_true(beside->hollow);
    tell_states(rig);
    deliver_op(rig, 3, TREE_OP_DELETE, "nodes/a/lxc/300.conf");
    begin_exchange(rig);
    g_assert_cmpint(memdb_lookup(rig->db, "f", &without), ==, 0);
    g_assert_false(without->hollow);
}

/* 18.1.8: what a peer's rename loses is lost on our disk too. */
static void lost_target_of_a_rename_reaches_the_disk(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);

    deliver_op(rig, 3, TREE_OP_MKDIR, "full");
    deliver_op(rig, 3, TREE_OP_CREATE, "full/f");
    deliver_op(rig, 3, TREE_OP_MKDIR, "empty");
    deliver_file(rig, 3, TREE_OP_RENAME, &(WireDcdbFile){.path = "full", .to = "empty"});
    g_assert_false(exists(rig, "empty"));
    g_assert_true(exists(rig, "full/f"));
    g_assert_cmpuint(rig->stores, ==, 4);
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_SYNCED);
}

static void rename_that_must_not_replace_is_left_to_the_caller(void)
{
    g_autoptr(Rig) rig = rig_in_group(3);
    TreeOp op = {.kind = TREE_OP_RENAME, .path = "f", .to = "g", .noreplace = true};

    deliver_op(rig, 3, TREE_OP_CREATE, "f");
    expect_answer(rig, submit_op(rig, &op, REPLICA_WAIT_DURABLE), -EINVAL);
}

/* ---- locks in a group ---- */

static Rig *rig_with_lock(uint32_t n, TreeOp *request)
{
    Rig *rig = rig_in_group(n);
    g_autoptr(Entry) e = NULL;

    deliver_op(rig, 3, TREE_OP_MKDIR, "priv");
    deliver_op(rig, 3, TREE_OP_MKDIR, "priv/lock");
    deliver_op(rig, 3, TREE_OP_MKDIR, "priv/lock/x");
    g_assert_cmpint(memdb_lookup(rig->db, "priv/lock/x", &e), ==, 0);
    *request = (TreeOp){.kind = TREE_OP_UNLOCK_REQUEST, .path = "priv/lock/x"};
    entry_checksum(e, request->csum);
    return rig;
}

static void lock_polling_is_not_multicast_each_time(void)
{
    TreeOp request;
    g_autoptr(Rig) rig = rig_with_lock(3, &request);

    for (int i = 0; i < 100; i++) { /* ten times a second */
        expect_answer(rig, submit_op(rig, &request, REPLICA_WAIT_APPLIED), 0);
        rig->now = mono_add_ms(rig->now, 100);
    }
    g_assert_cmpuint(rig->sent->len, ==, 1);
    rig->now = mono_add_sec(rig->now, 121);
    for (int i = 0; i < 20; i++) {
        (void)submit_op(rig, &request, REPLICA_WAIT_APPLIED);
        rig->now = mono_add_ms(rig->now, 100);
    }
    g_assert_cmpuint(rig->sent->len, ==, 3);
}

static void lowest_node_removes_an_expired_lock(void)
{
    TreeOp request;
    g_autoptr(Rig) rig = rig_with_lock(1, &request);

    (void)submit_op(rig, &request, REPLICA_WAIT_APPLIED);
    g_assert_cmpuint(rig->sent->len, ==, 0);
    rig->now = mono_add_sec(rig->now, 121);
    (void)submit_op(rig, &request, REPLICA_WAIT_APPLIED);
    g_assert_cmpuint(rig->sent->len, ==, 1);
    deliver_own(rig);
    g_assert_false(exists(rig, "priv/lock/x"));
}

/* ---- everything against everything ---- */

static Rig *rig_in_mode(GroupMode wanted)
{
    Rig *rig;

    switch (wanted) {
    case GROUP_MODE_START:
        rig = rig_new(false);
        quorum(rig, true);
        return rig;
    case GROUP_MODE_START_SYNC:
        rig = rig_in_group(3);
        view(rig, 2);
        return rig;
    case GROUP_MODE_SYNCED:
        return rig_in_group(3);
    case GROUP_MODE_LEAVE:
        rig = rig_in_group(3);
        deliver_op(rig, 3, TREE_OP_N, "f");
        return rig;
    case GROUP_MODE_UPDATE:
    case GROUP_MODE_VERSION_ERROR:
    case GROUP_MODE_ERROR:
    case GROUP_MODE_N:
        break;
    }
    return NULL;
}

static void feed(Rig *rig, ReplicaEventKind kind)
{
    static const TreeOp op = {.kind = TREE_OP_CREATE, .path = "fed"};

    step(rig, (ReplicaEvent){.kind = kind,
                             .group = &(GroupEvent){.kind = GROUP_EV_SENT},
                             .quorate = true,
                             .token = 1000,
                             .op = &op,
                             .wait = REPLICA_WAIT_DURABLE,
                             .seq = 1,
                             .code = kind == REPLICA_EV_STORE_FAILED ? -EIO : 0});
}

static void every_mode_takes_every_event(void)
{
    for (GroupMode m = 0; m < GROUP_MODE_N; m++) {
        for (ReplicaEventKind k = 0; k < REPLICA_EV_N; k++) {
            g_autoptr(Rig) rig = rig_in_mode(m);

            if (rig == NULL) {
                continue; /* test_dfsm goes there */
            }
            g_assert_cmpint(mode(rig), ==, m);
            feed(rig, k);
            /* Only a failing disk changes it by itself: others may have what it refused. */
            g_assert_cmpint(mode(rig), ==, k == REPLICA_EV_STORE_FAILED ? GROUP_MODE_LEAVE : m);
            if (k == REPLICA_EV_SUBMIT) {
                /* Nobody is left without an answer, wherever the group is. */
                rig->now = mono_add_ms(rig->now, REPLICA_ANSWER_MS);
                step(rig, (ReplicaEvent){.kind = REPLICA_EV_TICK});
                g_assert_nonnull(answer_to(rig, 1000));
            }
        }
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } tests[] = {
        {"/replica/local/answered-when-stored", change_is_visible_at_once_and_answered_when_stored},
        {"/replica/local/write-answers-its-count", write_answers_its_byte_count},
        {"/replica/local/refused-change", refused_change_reaches_neither_disk_nor_caches},
        {"/replica/local/applied-then-synced", applied_change_is_made_durable_by_sync},
        {"/replica/local/one-commit-answers-all", one_commit_answers_all_it_holds},
        {"/replica/local/refused-by-disk-is-undone", what_the_disk_refuses_is_taken_back},
        {"/replica/local/disk-works-again", disk_that_works_again_is_used_again},
        {"/replica/local/sync-of-a-lost-change", sync_of_a_lost_change_fails},
        {"/replica/local/cancelled-caller", cancelled_caller_is_not_answered},
        {"/replica/local/slow-disk-slows-writers", slow_disk_slows_writers_but_not_for_ever},
        {"/replica/local/no-endless-wait-for-disk", caller_does_not_wait_for_a_disk_for_ever},
        {"/replica/local/expired-lock", expired_lock_is_removed_on_request},
        {"/replica/local/needs-nobody", local_mode_needs_nobody},
        {"/replica/group/applied-at-delivery", change_is_applied_when_its_message_comes_back},
        {"/replica/group/change-of-another", change_of_another_node_carries_its_id_and_time},
        {"/replica/group/refused-is-not-sent", change_that_cannot_succeed_is_not_sent},
        {"/replica/group/no-quorum-fails-at-once", without_quorum_changes_fail_at_once},
        {"/replica/group/delivered-without-quorum", change_delivered_without_quorum_is_not_applied},
        {"/replica/group/waits-for-sync", change_waits_for_the_end_of_a_synchronisation},
        {"/replica/group/lost-connection", lost_connection_leaves_the_outcome_open},
        {"/replica/group/refused-message", message_that_was_refused_did_not_happen},
        {"/replica/group/backpressure", backpressure_holds_changes_back},
        {"/replica/group/window-is-bounded", window_of_own_messages_is_bounded},
        {"/replica/group/disk-failure", disk_failure_makes_us_leave_until_it_works},
        {"/replica/group/disk-failure-alone", disk_failure_of_a_node_alone_is_like_local_mode},
        {"/replica/group/no-hollow-file", truncation_never_makes_a_hollow_file},
        {"/replica/group/message-sent-twice", refusal_of_a_message_sent_twice_is_unknown},
        {"/replica/group/hollow-file-is-filled",
         hollow_file_of_a_peer_is_filled_before_it_must_be_sent},
        {"/replica/group/hollow-file-of-a-joiner", hollow_file_of_one_that_joins_is_left_as_it_is},
        {"/replica/group/time-of-a-change", change_carries_the_time_at_which_it_was_asked_for},
        {"/replica/verify/equal", verification_tells_that_content_is_equal},
        {"/replica/verify/who-leaves", verification_names_who_leaves},
        {"/replica/verify/refused", verification_that_cannot_be_is_refused},
        {"/replica/verify/bounded", verification_does_not_wait_for_ever},
        {"/replica/group/hollow-file-beside-twins", hollow_file_beside_twins_is_left_as_it_is},
        {"/replica/group/lost-target-is-stored", lost_target_of_a_rename_reaches_the_disk},
        {"/replica/group/rename-noreplace", rename_that_must_not_replace_is_left_to_the_caller},
        {"/replica/group/lock-polling", lock_polling_is_not_multicast_each_time},
        {"/replica/group/lowest-removes-lock", lowest_node_removes_an_expired_lock},
        {"/replica/every-mode-takes-every-event", every_mode_takes_every_event},
    };

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add_func(tests[i].name, tests[i].fn);
    }
    return g_test_run();
}
