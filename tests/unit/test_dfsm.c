/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: one member of a process group behaves as documented, event by event. Method: a member is
 * fed by hand; what it sends, delivers and decides is compared. Every pair of mode and message is
 * tried.
 */
#include "pmxcfs/core/dfsm.h"

#include <errno.h>
#include <string.h>

#define SELF_NODE 2u
#define SELF_PID  200u

typedef struct Rig {
    Dfsm *d;
    GPtrArray *sent; /* of GBytes*: every message in order */
    GString *log;    /* what the hooks saw */
    bool joining, left;
    MonoTime join_at;
    MonoTime now;
    uint32_t synced_mask; /* process_states: members by index that are synced */
    int states_result, update_result, commit_result, deliver_result;
    bool hold;
    uint8_t csum;
} Rig;

static void rig_send(void *ctx, GBytes *message)
{
    g_ptr_array_add(((Rig *)ctx)->sent, g_bytes_ref(message));
}

static void rig_join(void *ctx, MonoTime at)
{
    ((Rig *)ctx)->joining = true;
    ((Rig *)ctx)->join_at = at;
}

static void rig_leave(void *ctx)
{
    ((Rig *)ctx)->left = true;
}

static GBytes *rig_state(void *ctx)
{
    (void)ctx;
    return g_bytes_new_static("S", 1);
}

static int rig_states(void *ctx, DfsmMember *members, uint32_t n, uint32_t self)
{
    Rig *rig = ctx;

    g_string_append_printf(rig->log, "states %u self %u;", n, self);
    for (uint32_t i = 0; i < n; i++) {
        g_assert_nonnull(members[i].state);
        members[i].synced = (rig->synced_mask >> i & 1) != 0;
    }
    return rig->states_result;
}

static int rig_update(void *ctx, const void *payload, size_t size)
{
    Rig *rig = ctx;

    g_string_append_printf(rig->log, "update %.*s;", (int)size, (const char *)payload);
    return rig->update_result;
}

static int rig_commit(void *ctx)
{
    Rig *rig = ctx;

    g_string_append(rig->log, "commit;");
    return rig->commit_result;
}

static int rig_deliver(void *ctx, const DfsmDelivery *d)
{
    Rig *rig = ctx;

    g_string_append_printf(rig->log, "%u:%.*s%s;", d->sender.nodeid, (int)d->size,
                           (const char *)d->payload, d->own ? "(own)" : "");
    return rig->deliver_result;
}

static void rig_checksum(void *ctx, uint8_t csum[WIRE_DFSM_CSUM_SIZE])
{
    memset(csum, ((Rig *)ctx)->csum, WIRE_DFSM_CSUM_SIZE);
}

static void rig_view(void *ctx, const DfsmMember *members, uint32_t n)
{
    (void)members;
    g_string_append_printf(((Rig *)ctx)->log, "view %u;", n);
}

static void rig_send_failed(void *ctx, uint64_t count, int code)
{
    g_string_append_printf(((Rig *)ctx)->log, "failed %u %d;", (unsigned)count, code);
}

static bool rig_hold(void *ctx)
{
    return ((Rig *)ctx)->hold;
}

static Rig *rig_new(void)
{
    Rig *rig = g_new0(Rig, 1);
    DfsmConfig cfg = {.name = "test", .version = 1, .verify_interval_ms = 3600000, .seed = 1};
    DfsmHooks hooks = {.ctx = rig,
                       .send = rig_send,
                       .join = rig_join,
                       .leave = rig_leave,
                       .get_state = rig_state,
                       .process_states = rig_states,
                       .process_update = rig_update,
                       .commit = rig_commit,
                       .deliver = rig_deliver,
                       .checksum = rig_checksum,
                       .view = rig_view,
                       .send_failed = rig_send_failed,
                       .hold_sync = rig_hold};

    rig->sent = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    rig->log = g_string_new(NULL);
    rig->now.us = 1000000;
    rig->d = dfsm_new(&cfg, &hooks, NULL);
    dfsm_start(rig->d, rig->now, (WallTime){1000});
    g_assert_true(rig->joining);
    return rig;
}

static void rig_free(Rig *rig)
{
    dfsm_free(rig->d);
    g_ptr_array_unref(rig->sent);
    g_string_free(rig->log, TRUE);
    g_free(rig);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rig, rig_free)

static void event(Rig *rig, GroupEvent ev)
{
    dfsm_group_event(rig->d, &ev, rig->now, (WallTime){1000});
}

static void connect_to_group(Rig *rig)
{
    event(rig, (GroupEvent){.kind = GROUP_EV_CONNECTED, .self = {SELF_NODE, SELF_PID}});
}

/* A view of the nodes whose bits are set; pid is 100 times the node id. */
static void view(Rig *rig, uint32_t nodes, uint32_t joined)
{
    GroupMember members[8], in[8];
    uint32_t n = 0, n_in = 0;

    for (uint32_t i = 7; i > 0; i--) { /* any order */
        if ((nodes >> i & 1) != 0) {
            members[n++] = (GroupMember){i, 100 * i};
        }
        if ((joined >> i & 1) != 0) {
            in[n_in++] = (GroupMember){i, 100 * i};
        }
    }
    event(rig, (GroupEvent){.kind = GROUP_EV_VIEW,
                            .members = members,
                            .n_members = n,
                            .joined = in,
                            .n_joined = n_in});
}

#define N(node) (1u << (node))

static void message(Rig *rig, uint32_t node, GBytes *bytes)
{
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);

    event(rig,
          (GroupEvent){
              .kind = GROUP_EV_MESSAGE, .sender = {node, 100 * node}, .data = data, .size = size});
    g_bytes_unref(bytes);
}

static void normal(Rig *rig, uint32_t node, uint64_t count, const char *text)
{
    WireDfsmHeader head = {.type = WIRE_DFSM_NORMAL, .subtype = 1, .version = 1, .count = count};

    message(rig, node, wire_dfsm_encode(&head, text, strlen(text)));
}

static void state_message_of(Rig *rig,
                             uint32_t node,
                             WireDfsmType type,
                             WireDfsmEpoch epoch,
                             const void *payload,
                             size_t size)
{
    WireDfsmHeader head = {.type = (uint16_t)type, .version = 1, .epoch = epoch};

    message(rig, node, wire_dfsm_encode(&head, payload, size));
}

static const WireDfsmEpoch exchange = {7, 8, 1, 100};

static void state_message(Rig *rig, uint32_t node, WireDfsmType type, const char *text)
{
    state_message_of(rig, node, type, exchange, text, strlen(text));
}

static GroupMode mode(const Rig *rig)
{
    return dfsm_mode(rig->d);
}

/* Type of the n-th message sent, -1 when there was none. */
static int sent_type(const Rig *rig, guint n)
{
    WireDfsmMessage m;
    gsize size;
    const void *data;

    if (n >= rig->sent->len) {
        return -1;
    }
    data = g_bytes_get_data(rig->sent->pdata[n], &size);
    g_assert_cmpint(wire_dfsm_decode(data, size, 1, &m), ==, 0);
    return m.head.type;
}

static void expect_log(Rig *rig, const char *want)
{
    g_assert_cmpstr(rig->log->str, ==, want);
    g_string_truncate(rig->log, 0);
}

/* Brings the member of node 2 into a view with nodes 1 and 3 and into the wanted mode. */
static Rig *rig_in(GroupMode wanted)
{
    Rig *rig = rig_new();

    if (wanted == GROUP_MODE_START) {
        connect_to_group(rig);
        return rig;
    }
    connect_to_group(rig);
    view(rig, N(1) | N(2) | N(3), N(2));
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_START_SYNC);
    state_message(rig, 1, WIRE_DFSM_SYNC_START, "");
    if (wanted == GROUP_MODE_SYNCED || wanted == GROUP_MODE_UPDATE) {
        rig->synced_mask = wanted == GROUP_MODE_SYNCED ? 7 : 5;
        state_message(rig, 1, WIRE_DFSM_STATE, "1");
        state_message(rig, 2, WIRE_DFSM_STATE, "2");
        state_message(rig, 3, WIRE_DFSM_STATE, "3");
    } else if (wanted == GROUP_MODE_LEAVE) {
        dfsm_leave(rig->d, "test");
    } else if (wanted == GROUP_MODE_VERSION_ERROR) {
        WireDfsmHeader newer = {.type = WIRE_DFSM_NORMAL, .version = 2};

        message(rig, 1, wire_dfsm_encode(&newer, NULL, 0));
    }
    g_assert_cmpint(mode(rig), ==, wanted);
    while (dfsm_unsent_bytes(rig->d) > 0) {
        event(rig, (GroupEvent){.kind = GROUP_EV_SENT});
    }
    g_string_truncate(rig->log, 0);
    g_ptr_array_set_size(rig->sent, 0);
    return rig;
}

/* ---- views ---- */

static void only_member_is_synced(void)
{
    g_autoptr(Rig) rig = rig_new();

    connect_to_group(rig);
    view(rig, N(2), N(2));
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_SYNCED);
    g_assert_cmpint(sent_type(rig, 0), ==, -1);
    expect_log(rig, "view 1;");
}

static void lowest_member_begins_the_exchange(void)
{
    g_autoptr(Rig) rig = rig_new();

    connect_to_group(rig);
    view(rig, N(2) | N(3), N(2));
    g_assert_cmpint(sent_type(rig, 0), ==, WIRE_DFSM_SYNC_START);
    view(rig, N(1) | N(2) | N(3), N(1));
    g_assert_cmpuint(rig->sent->len, ==, 1);
}

static void lowest_member_may_hold_the_exchange(void)
{
    g_autoptr(Rig) rig = rig_new();

    connect_to_group(rig);
    rig->hold = true;
    view(rig, N(2) | N(3), N(2));
    g_assert_cmpuint(rig->sent->len, ==, 0);
    dfsm_start_sync(rig->d);
    g_assert_cmpint(sent_type(rig, 0), ==, WIRE_DFSM_SYNC_START);
}

static void epochs_differ_between_views(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_SYNCED);
    WireDfsmEpoch first;

    view(rig, N(1) | N(2), 0);
    first = *dfsm_epoch(rig->d);
    g_assert_cmpuint(first.nodeid, ==, SELF_NODE);
    g_assert_cmpuint(first.pid, ==, SELF_PID);
    view(rig, N(1) | N(2), 0);
    g_assert_false(wire_dfsm_epoch_equal(&first, dfsm_epoch(rig->d)));
}

static void view_without_us(void)
{
    g_autoptr(Rig) starting = rig_in(GROUP_MODE_START);
    g_autoptr(Rig) synced = rig_in(GROUP_MODE_SYNCED);

    view(starting, N(1) | N(3), 0);
    g_assert_cmpint(mode(starting), ==, GROUP_MODE_START);
    view(synced, N(1) | N(3), 0);
    g_assert_cmpint(mode(synced), ==, GROUP_MODE_LEAVE);
    g_assert_true(synced->left);
    g_assert_true(synced->joining);
    expect_log(synced, "view 0;");
}

/* ---- exchange ---- */

static void exchange_that_finds_us_equal(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_START_SYNC);

    rig->synced_mask = 7;
    state_message(rig, 3, WIRE_DFSM_STATE, "3");
    state_message(rig, 1, WIRE_DFSM_STATE, "1");
    expect_log(rig, "");
    state_message(rig, 2, WIRE_DFSM_STATE, "2");
    expect_log(rig, "states 3 self 1;");
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_SYNCED);
}

static void begin_makes_us_tell_our_state(void)
{
    g_autoptr(Rig) rig = rig_new();

    connect_to_group(rig);
    view(rig, N(1) | N(2), N(2));
    state_message(rig, 1, WIRE_DFSM_SYNC_START, "");
    g_assert_cmpint(sent_type(rig, 0), ==, WIRE_DFSM_STATE);
    g_assert_true(wire_dfsm_epoch_equal(dfsm_epoch(rig->d), &exchange));
}

static void begin_again_forgets_states(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_START_SYNC);
    WireDfsmEpoch again = {9, 9, 3, 300};

    rig->synced_mask = 7;
    state_message(rig, 1, WIRE_DFSM_STATE, "1");
    state_message_of(rig, 3, WIRE_DFSM_SYNC_START, again, NULL, 0); /* not the lowest: honoured */
    state_message(rig, 2, WIRE_DFSM_STATE, "2");                    /* old epoch: ignored */
    for (uint32_t node = 1; node <= 3; node++) {
        g_assert_cmpint(mode(rig), ==, GROUP_MODE_START_SYNC);
        state_message_of(rig, node, WIRE_DFSM_STATE, again, "s", 1);
    }
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_SYNCED);
}

static void states_must_come_once_and_from_members(void)
{
    g_autoptr(Rig) twice = rig_in(GROUP_MODE_START_SYNC);
    g_autoptr(Rig) stranger = rig_in(GROUP_MODE_START_SYNC);

    state_message(twice, 1, WIRE_DFSM_STATE, "1");
    state_message(twice, 1, WIRE_DFSM_STATE, "1");
    g_assert_cmpint(mode(twice), ==, GROUP_MODE_LEAVE);
    state_message(stranger, 5, WIRE_DFSM_STATE, "5");
    g_assert_cmpint(mode(stranger), ==, GROUP_MODE_LEAVE);
}

static void updates_then_commit(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_UPDATE);

    state_message(rig, 1, WIRE_DFSM_UPDATE, "a");
    state_message(rig, 1, WIRE_DFSM_UPDATE, "b");
    state_message(rig, 1, WIRE_DFSM_UPDATE_COMPLETE, "");
    expect_log(rig, "update a;update b;commit;");
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_SYNCED);
}

static void failing_hooks_make_us_leave(void)
{
    g_autoptr(Rig) states = rig_in(GROUP_MODE_START_SYNC);
    g_autoptr(Rig) update = rig_in(GROUP_MODE_UPDATE);
    g_autoptr(Rig) commit = rig_in(GROUP_MODE_UPDATE);
    g_autoptr(Rig) apply = rig_in(GROUP_MODE_SYNCED);

    states->states_result = update->update_result = commit->commit_result = apply->deliver_result =
        -EIO;
    for (uint32_t node = 1; node <= 3; node++) {
        state_message(states, node, WIRE_DFSM_STATE, "s");
    }
    state_message(update, 1, WIRE_DFSM_UPDATE, "a");
    state_message(commit, 1, WIRE_DFSM_UPDATE_COMPLETE, "");
    normal(apply, 1, 1, "x");
    g_assert_cmpint(mode(states), ==, GROUP_MODE_LEAVE);
    g_assert_cmpint(mode(update), ==, GROUP_MODE_LEAVE);
    g_assert_cmpint(mode(commit), ==, GROUP_MODE_LEAVE);
    g_assert_cmpint(mode(apply), ==, GROUP_MODE_LEAVE);
}

static void new_view_breaks_the_exchange(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_UPDATE);

    normal(rig, 1, 4, "lost"); /* second queue: the others have applied it */
    view(rig, N(1) | N(2), 0);
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_START_SYNC);
    state_message(rig, 1, WIRE_DFSM_UPDATE, "late"); /* old epoch */
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_START_SYNC);
    g_assert_cmpuint(dfsm_queued(rig->d), ==, 0);
}

/* ---- order of queued messages ---- */

static void synced_node_delivers_queued_messages_by_count(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_START_SYNC);

    normal(rig, 1, 7, "c7");
    normal(rig, 3, 5, "c5");
    normal(rig, 2, 6, "c6");
    normal(rig, 1, 5, "d5");
    rig->synced_mask = 3; /* node 3 is behind */
    for (uint32_t node = 1; node <= 3; node++) {
        state_message(rig, node, WIRE_DFSM_STATE, "s");
    }
    expect_log(rig, "states 3 self 1;1:d5;2:c6(own);1:c7;");
    normal(rig, 3, 8, "now");
    expect_log(rig, "3:now;");
    state_message(rig, 1, WIRE_DFSM_UPDATE_COMPLETE, "");
    expect_log(rig, "3:c5;");
}

static void updated_node_keeps_the_order_of_the_synced_ones(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_START_SYNC);

    normal(rig, 1, 7, "c7");
    normal(rig, 2, 6, "c6"); /* own, from before: comes last */
    normal(rig, 1, 5, "c5");
    rig->synced_mask = 5;
    for (uint32_t node = 1; node <= 3; node++) {
        state_message(rig, node, WIRE_DFSM_STATE, "s");
    }
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_UPDATE);
    normal(rig, 3, 1, "a");
    normal(rig, 2, 9, "b"); /* own, sent meanwhile: the others apply it on arrival */
    normal(rig, 1, 8, "c");
    expect_log(rig, "states 3 self 1;");
    state_message(rig, 1, WIRE_DFSM_UPDATE_COMPLETE, "");
    expect_log(rig, "commit;1:c5;1:c7;3:a;2:b(own);1:c;2:c6(own);");
}

static void join_makes_each_send_its_queue_again(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_START_SYNC);
    GBytes *again;
    WireDfsmMessage m;
    gsize size;
    const void *data;

    normal(rig, 2, 6, "mine");
    normal(rig, 1, 5, "theirs");
    view(rig, N(1) | N(2) | N(3) | N(4), N(4));
    g_assert_cmpuint(rig->sent->len, ==, 1);
    again = rig->sent->pdata[0];
    data = g_bytes_get_data(again, &size);
    g_assert_cmpint(wire_dfsm_decode(data, size, 1, &m), ==, 0);
    g_assert_cmpuint(m.head.count, ==, 6);
    g_assert_cmpmem(m.payload, m.payload_size, "mine", 4);
    g_assert_cmpuint(dfsm_queued(rig->d), ==, 0);
}

static void departure_keeps_the_queue_but_not_of_the_departed(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_START_SYNC);

    normal(rig, 1, 5, "kept");
    normal(rig, 3, 4, "gone");
    view(rig, N(1) | N(2), 0);
    g_assert_cmpuint(rig->sent->len, ==, 0);
    state_message(rig, 1, WIRE_DFSM_SYNC_START, "");
    rig->synced_mask = 3;
    state_message(rig, 1, WIRE_DFSM_STATE, "1");
    state_message(rig, 2, WIRE_DFSM_STATE, "2");
    expect_log(rig, "view 2;states 2 self 1;1:kept;");
}

static void queue_is_bounded(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_START_SYNC);

    for (uint32_t i = 0; i < DFSM_QUEUE_LEN_MAX; i++) {
        normal(rig, 1, i + 1, "");
    }
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_START_SYNC);
    normal(rig, 1, DFSM_QUEUE_LEN_MAX + 1, "");
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_LEAVE);
    g_assert_cmpuint(dfsm_queued(rig->d), ==, 0);
}

/* ---- every mode against every message ---- */

static void feed(Rig *rig, WireDfsmType type)
{
    static const uint8_t verify[40] = {1};

    switch (type) {
    case WIRE_DFSM_NORMAL:
        normal(rig, 1, 1, "n");
        break;
    case WIRE_DFSM_VERIFY_REQUEST:
        state_message_of(rig, 1, type, *dfsm_epoch(rig->d), verify, 8);
        break;
    case WIRE_DFSM_VERIFY:
        state_message_of(rig, 1, type, *dfsm_epoch(rig->d), verify, 40);
        break;
    case WIRE_DFSM_SYNC_START:
    case WIRE_DFSM_STATE:
    case WIRE_DFSM_UPDATE:
    case WIRE_DFSM_UPDATE_COMPLETE:
    case WIRE_DFSM_TYPE_N:
        state_message_of(rig, 1, type, *dfsm_epoch(rig->d), "p", 1);
        break;
    }
}

static GroupMode mode_after(GroupMode was, DfsmReaction reaction)
{
    switch (reaction) {
    case DFSM_LEAVE:
        return GROUP_MODE_LEAVE;
    case DFSM_COMMIT:
        return GROUP_MODE_SYNCED;
    case DFSM_IGNORE:
    case DFSM_QUEUE:
    case DFSM_DELIVER:
    case DFSM_BEGIN:
    case DFSM_COLLECT:
    case DFSM_UPDATE:
    case DFSM_RELEASE:
    case DFSM_ANSWER:
    case DFSM_COMPARE:
    case DFSM_REACTION_N:
        break;
    }
    return was;
}

static void every_mode_meets_every_message(void)
{
    for (GroupMode m = 0; m < GROUP_MODE_N; m++) {
        for (WireDfsmType t = 0; t <= WIRE_DFSM_TYPE_N; t++) {
            g_autoptr(Rig) rig = m == GROUP_MODE_ERROR ? NULL : rig_in(m);
            DfsmReaction reaction = dfsm_reaction(m, t);
            bool out = m >= GROUP_MODE_LEAVE;

            g_assert_nonnull(dfsm_reaction_name(reaction));
            g_assert_true(!out || reaction == DFSM_IGNORE);
            if (rig == NULL) {
                continue; /* never entered */
            }
            feed(rig, t);
            g_assert_cmpint(mode(rig), ==, mode_after(m, reaction));
            g_assert_cmpint(reaction == DFSM_QUEUE, ==, dfsm_queued(rig->d) == 1);
            g_assert_cmpint(reaction == DFSM_DELIVER, ==, strstr(rig->log->str, "1:n;") != NULL);
            g_assert_cmpint(reaction == DFSM_BEGIN, ==, sent_type(rig, 0) == WIRE_DFSM_STATE);
        }
    }
}

static void every_mode_meets_every_group_event(void)
{
    for (GroupMode m = 0; m < GROUP_MODE_ERROR; m++) {
        for (GroupEventKind k = 0; k < GROUP_EV_N; k++) {
            g_autoptr(Rig) rig = rig_in(m);
            bool out = m >= GROUP_MODE_LEAVE;

            rig->joining = false;
            switch (k) {
            case GROUP_EV_CONNECTED:
                connect_to_group(rig);
                g_assert_cmpint(mode(rig), ==, GROUP_MODE_START);
                break;
            case GROUP_EV_VIEW:
                view(rig, N(1) | N(2), 0);
                g_assert_cmpint(mode(rig), ==, out ? m : GROUP_MODE_START_SYNC);
                break;
            case GROUP_EV_MESSAGE:
                message(rig, 1, g_bytes_new_static("short", 5));
                g_assert_cmpint(mode(rig), ==, out ? m : GROUP_MODE_LEAVE);
                break;
            case GROUP_EV_SENT:
            case GROUP_EV_SEND_FAILED: /* nothing is unsent: ignored */
            case GROUP_EV_BACKPRESSURE:
                event(rig, (GroupEvent){.kind = k, .code = -EIO, .on = true});
                g_assert_cmpint(mode(rig), ==, m);
                break;
            case GROUP_EV_DISCONNECTED:
                event(rig, (GroupEvent){.kind = k, .code = -EIO});
                g_assert_cmpint(mode(rig), ==, GROUP_MODE_START);
                g_assert_true(rig->joining);
                break;
            case GROUP_EV_N:
                break;
            }
        }
    }
}

static void modes_follow_the_table(void)
{
    /* Error modes are left only for START, ERROR never. */
    for (GroupMode to = 0; to < GROUP_MODE_N; to++) {
        g_assert_cmpint(dfsm_mode_allowed(GROUP_MODE_ERROR, to), ==, to == GROUP_MODE_ERROR);
        g_assert_true(to != GROUP_MODE_SYNCED || !dfsm_mode_allowed(GROUP_MODE_LEAVE, to));
    }
    g_assert_false(dfsm_mode_allowed(GROUP_MODE_START, GROUP_MODE_UPDATE));
    g_assert_false(dfsm_mode_allowed(GROUP_MODE_SYNCED, GROUP_MODE_UPDATE));
}

/* ---- protocol versions and lengths ---- */

static void other_versions(void)
{
    g_autoptr(Rig) newer = rig_in(GROUP_MODE_SYNCED);
    g_autoptr(Rig) older = rig_in(GROUP_MODE_SYNCED);
    WireDfsmHeader head = {.type = WIRE_DFSM_NORMAL, .version = 2};

    message(newer, 1, wire_dfsm_encode(&head, NULL, 0));
    g_assert_cmpint(mode(newer), ==, GROUP_MODE_VERSION_ERROR);
    g_assert_cmpint(newer->join_at.us - newer->now.us, >=, DFSM_VERSION_RETRY_MS * US_PER_MS);
    head.version = 0;
    message(older, 1, wire_dfsm_encode(&head, NULL, 0));
    g_assert_cmpint(mode(older), ==, GROUP_MODE_SYNCED);
    expect_log(older, "");
}

static void too_long_message_is_no_message(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_SYNCED);
    g_autofree void *big = g_malloc0(GROUP_MESSAGE_MAX + 1);

    event(rig, (GroupEvent){.kind = GROUP_EV_MESSAGE,
                            .sender = {1, 100},
                            .data = big,
                            .size = GROUP_MESSAGE_MAX + 1});
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_LEAVE);
}

/* ---- sending ---- */

static void messages_are_numbered_from_one(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_SYNCED);

    g_assert_cmpuint(dfsm_send(rig->d, 1, "a", 1), ==, 1);
    g_assert_cmpuint(dfsm_send(rig->d, 1, "b", 1), ==, 2);
    g_assert_cmpuint(dfsm_unsent_bytes(rig->d), ==, 50);
    event(rig, (GroupEvent){.kind = GROUP_EV_SENT});
    g_assert_cmpuint(dfsm_unsent_bytes(rig->d), ==, 25);
    event(rig, (GroupEvent){.kind = GROUP_EV_SEND_FAILED, .code = -EIO});
    g_assert_cmpuint(dfsm_unsent_bytes(rig->d), ==, 0);
    expect_log(rig, "failed 2 -5;");
}

static void state_message_that_cannot_be_sent_makes_us_leave(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_SYNCED);

    dfsm_send_update_complete(rig->d);
    event(rig, (GroupEvent){.kind = GROUP_EV_SEND_FAILED, .code = -EIO});
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_LEAVE);
}

/* ---- leaving and coming back ---- */

static void waits_grow_with_repeated_faults(void)
{
    g_autoptr(Rig) rig = rig_new();
    int64_t last = 0;

    for (int i = 0; i < 8; i++) {
        int64_t wait;

        connect_to_group(rig);
        view(rig, N(2), N(2));
        dfsm_leave(rig->d, "fault");
        wait = mono_diff_us(rig->join_at, rig->now) / US_PER_MS;
        g_assert_cmpint(wait, >=, MIN(DFSM_REJOIN_FIRST_MS << i, DFSM_REJOIN_MAX_MS));
        g_assert_cmpint(wait, <=, DFSM_REJOIN_MAX_MS * 5 / 4);
        g_assert_true(i > 4 || wait > last);
        last = wait;
    }
    connect_to_group(rig);
    view(rig, N(2), N(2));
    rig->now = mono_add_ms(rig->now, DFSM_HEALTHY_MS);
    dfsm_tick(rig->d, rig->now, (WallTime){1000});
    dfsm_leave(rig->d, "fault after a good time");
    g_assert_cmpint(mono_diff_us(rig->join_at, rig->now) / US_PER_MS, <=,
                    DFSM_REJOIN_FIRST_MS * 5 / 4);
}

static void lost_connection_is_retried_soon(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_SYNCED);

    event(rig, (GroupEvent){.kind = GROUP_EV_DISCONNECTED, .code = -ECONNRESET});
    g_assert_cmpint(mono_diff_us(rig->join_at, rig->now) / US_PER_MS, <=,
                    DFSM_CONNECT_FIRST_MS * 5 / 4);
    expect_log(rig, "view 0;");
    for (int i = 0; i < 10; i++) {
        event(rig, (GroupEvent){.kind = GROUP_EV_DISCONNECTED, .code = -ECONNREFUSED});
        g_assert_cmpint(mono_diff_us(rig->join_at, rig->now) / US_PER_MS, <=,
                        DFSM_CONNECT_MAX_MS * 5 / 4);
    }
}

static void staying_out_lasts_until_asked_back(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_SYNCED);

    rig->joining = false;
    dfsm_leave_and_stay_out(rig->d, "disk");
    event(rig, (GroupEvent){.kind = GROUP_EV_DISCONNECTED});
    g_assert_false(rig->joining);
    dfsm_rejoin(rig->d);
    g_assert_true(rig->joining);
    rig->joining = false;
    dfsm_rejoin(rig->d);
    g_assert_false(rig->joining);
}

/* ---- verification ---- */

static void lowest_member_verifies_every_hour(void)
{
    g_autoptr(Rig) rig = rig_new();

    connect_to_group(rig);
    view(rig, N(2), N(2));
    g_assert_cmpint(dfsm_next_tick(rig->d).us, ==, 1000000 + 3600 * US_PER_SEC);
    rig->now = dfsm_next_tick(rig->d);
    dfsm_tick(rig->d, rig->now, (WallTime){1000});
    g_assert_cmpint(sent_type(rig, 0), ==, WIRE_DFSM_VERIFY_REQUEST);
    rig->now = dfsm_next_tick(rig->d);
    dfsm_tick(rig->d, rig->now, (WallTime){1000}); /* the first one was not delivered yet */
    g_assert_cmpint(sent_type(rig, 1), ==, -1);
    message(rig, 2, g_bytes_ref(rig->sent->pdata[0]));
    g_assert_cmpint(sent_type(rig, 1), ==, WIRE_DFSM_VERIFY);
    message(rig, 2, g_bytes_ref(rig->sent->pdata[1]));
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_SYNCED);
}

static void verify(Rig *rig, uint64_t id, uint8_t csum)
{
    uint8_t payload[40] = {0};

    payload[0] = (uint8_t)id;
    memset(payload + 8, csum, 32);
    state_message(rig, 1, WIRE_DFSM_VERIFY, "");
    if (mode(rig) == GROUP_MODE_SYNCED) {
        state_message_of(rig, 1, WIRE_DFSM_VERIFY, exchange, payload, sizeof payload);
    }
}

static void different_content_makes_us_leave(void)
{
    static const uint8_t id[8] = {5};
    uint8_t answer[40] = {5};
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_SYNCED);

    rig->csum = 7;
    state_message_of(rig, 1, WIRE_DFSM_VERIFY_REQUEST, exchange, id, sizeof id);
    g_assert_cmpint(sent_type(rig, 0), ==, -1); /* only the one who asked answers */
    memset(answer + 8, 7, 32);
    answer[0] = 4; /* another round: skipped */
    answer[8] = 9;
    state_message_of(rig, 1, WIRE_DFSM_VERIFY, exchange, answer, sizeof answer);
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_SYNCED);
    answer[0] = 5;
    answer[8] = 7;
    state_message_of(rig, 1, WIRE_DFSM_VERIFY, exchange, answer, sizeof answer);
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_SYNCED);
    answer[8] = 9;
    state_message_of(rig, 1, WIRE_DFSM_VERIFY, exchange, answer, sizeof answer);
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_LEAVE);
}

static void malformed_verification_makes_us_leave(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_SYNCED);

    verify(rig, 1, 1);
    g_assert_cmpint(mode(rig), ==, GROUP_MODE_LEAVE);
}

static void stalled_exchange_is_reported_again_and_again(void)
{
    g_autoptr(Rig) rig = rig_in(GROUP_MODE_START_SYNC);

    for (int i = 0; i < 3; i++) {
        MonoTime at = dfsm_next_tick(rig->d);

        g_assert_cmpint(mono_diff_us(at, rig->now), ==, DFSM_STALL_MS * US_PER_MS);
        rig->now = at;
        dfsm_tick(rig->d, at, (WallTime){1000});
        g_assert_cmpint(mode(rig), ==, GROUP_MODE_START_SYNC);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } tests[] = {
        {"/dfsm/only-member-is-synced", only_member_is_synced},
        {"/dfsm/lowest-member-begins-the-exchange", lowest_member_begins_the_exchange},
        {"/dfsm/lowest-member-may-hold-the-exchange", lowest_member_may_hold_the_exchange},
        {"/dfsm/epochs-differ-between-views", epochs_differ_between_views},
        {"/dfsm/view-without-us", view_without_us},
        {"/dfsm/exchange-that-finds-us-equal", exchange_that_finds_us_equal},
        {"/dfsm/begin-makes-us-tell-our-state", begin_makes_us_tell_our_state},
        {"/dfsm/begin-again-forgets-states", begin_again_forgets_states},
        {"/dfsm/states-come-once-and-from-members", states_must_come_once_and_from_members},
        {"/dfsm/updates-then-commit", updates_then_commit},
        {"/dfsm/failing-hooks-make-us-leave", failing_hooks_make_us_leave},
        {"/dfsm/new-view-breaks-the-exchange", new_view_breaks_the_exchange},
        {"/dfsm/synced-node-delivers-by-count", synced_node_delivers_queued_messages_by_count},
        {"/dfsm/updated-node-keeps-their-order", updated_node_keeps_the_order_of_the_synced_ones},
        {"/dfsm/join-makes-each-send-its-queue-again", join_makes_each_send_its_queue_again},
        {"/dfsm/departure-keeps-the-queue", departure_keeps_the_queue_but_not_of_the_departed},
        {"/dfsm/queue-is-bounded", queue_is_bounded},
        {"/dfsm/every-mode-meets-every-message", every_mode_meets_every_message},
        {"/dfsm/every-mode-meets-every-event", every_mode_meets_every_group_event},
        {"/dfsm/modes-follow-the-table", modes_follow_the_table},
        {"/dfsm/other-versions", other_versions},
        {"/dfsm/too-long-message-is-no-message", too_long_message_is_no_message},
        {"/dfsm/messages-are-numbered-from-one", messages_are_numbered_from_one},
        {"/dfsm/unsendable-state-makes-us-leave", state_message_that_cannot_be_sent_makes_us_leave},
        {"/dfsm/waits-grow-with-repeated-faults", waits_grow_with_repeated_faults},
        {"/dfsm/lost-connection-is-retried-soon", lost_connection_is_retried_soon},
        {"/dfsm/staying-out-lasts-until-asked", staying_out_lasts_until_asked_back},
        {"/dfsm/lowest-member-verifies-every-hour", lowest_member_verifies_every_hour},
        {"/dfsm/different-content-makes-us-leave", different_content_makes_us_leave},
        {"/dfsm/malformed-verification", malformed_verification_makes_us_leave},
        {"/dfsm/stalled-exchange-is-reported", stalled_exchange_is_reported_again_and_again},
    };

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add_func(tests[i].name, tests[i].fn);
    }
    return g_test_run();
}
