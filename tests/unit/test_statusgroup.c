/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: after any change of membership all nodes show the same keys and the same log; what a node
 * refuses or does not know harms nobody; the bytes are those of the documented peers.
 * Method: up to four status groups in one process on a bus that gives every message to every member
 * in one order; views are made by hand. The bus can also send bytes of its own, as a peer would.
 */
#include "lib/wire/wire_clog.h"
#include "lib/wire/wire_dfsm.h"
#include "pmxcfs/core/statusgroup.h"
#include "tests/unit/testdata.h"

#include <errno.h>
#include <string.h>

#define N 4

typedef struct Node {
    Status *s;
    StatusGroup *g;
    GroupMember id;
    bool in;        /* joined the group */
    bool silent;    /* a stopped process: what comes for it waits */
    GQueue unread;  /* of Unread */
    GPtrArray *rrd; /* of char*: "id=value" handed to the writer */
    guint joins;
} Node;

typedef struct Message {
    GroupMember sender;
    GBytes *bytes;
} Message;

/* An event that a silent node has not seen yet. */
typedef struct Unread {
    GroupEvent ev;
    GBytes *bytes;
    GroupMember members[N], joined[N];
} Unread;

typedef struct Bus {
    Node nodes[N];
    GQueue messages;  /* of Message, in their one order */
    GPtrArray *trace; /* of GBytes: all that was sent */
    MonoTime now;
    WallTime wall;
} Bus;

static void perform(Bus *b, Node *n, StatusGroupUpdate *up)
{
    for (guint i = 0; i < up->actions->len; i++) {
        StatusGroupAction *a = &g_array_index(up->actions, StatusGroupAction, i);

        switch (a->kind) {
        case STATUSGROUP_ACT_SEND: {
            Message *m = g_new0(Message, 1);

            g_assert_true(n->in);
            m->sender = n->id;
            m->bytes = g_bytes_ref(a->bytes);
            g_queue_push_tail(&b->messages, m);
            g_ptr_array_add(b->trace, g_bytes_ref(a->bytes));
            break;
        }
        case STATUSGROUP_ACT_JOIN:
            n->joins++;
            break;
        case STATUSGROUP_ACT_LEAVE:
            g_error("node %u leaves", n->id.nodeid);
            break;
        case STATUSGROUP_ACT_RRD:
            g_ptr_array_add(
                n->rrd, g_strdup_printf("%s=%s", a->id, (char *)g_bytes_get_data(a->bytes, NULL)));
            break;
        case STATUSGROUP_ACT_TIMER:
        case STATUSGROUP_ACT_N:
            break;
        }
    }
}

static void keep_unread(Node *n, const GroupEvent *ev)
{
    Unread *u = g_new0(Unread, 1);

    u->ev = *ev;
    u->bytes = g_bytes_new(ev->data, ev->size);
    u->ev.data = g_bytes_get_data(u->bytes, NULL);
    for (guint i = 0; i < ev->n_members; i++) {
        u->members[i] = ev->members[i];
    }
    for (guint i = 0; i < ev->n_joined; i++) {
        u->joined[i] = ev->joined[i];
    }
    u->ev.members = u->members;
    u->ev.joined = u->joined;
    g_queue_push_tail(&n->unread, u);
}

static void unread_free(gpointer data)
{
    Unread *u = data;

    g_bytes_unref(u->bytes);
    g_free(u);
}

static void feed(Bus *b, Node *n, const GroupEvent *ev)
{
    g_auto(StatusGroupUpdate) up = {0};

    if (n->silent) {
        keep_unread(n, ev);
        return;
    }
    statusgroup_update_init(&up);
    statusgroup_event(n->g, ev, b->now, b->wall, &up);
    perform(b, n, &up);
}

static void boot(Bus *b, guint i, uint32_t pid)
{
    static const StatusNode lab[] = {
        {1, (char *)"n1", 1}, {2, (char *)"n2", 1}, {3, (char *)"n3", 1}};
    Node *n = &b->nodes[i];
    g_auto(StatusGroupUpdate) up = {0};
    char name[8], address[16];
    StatusGroupConfig cfg = {.node_address = address, .seed = i};

    g_snprintf(name, sizeof name, "n%u", i + 1);
    g_snprintf(address, sizeof address, "10.99.0.1%u", i + 1);
    n->id = (GroupMember){i + 1, pid};
    n->s = status_new(name, pid, b->wall, NULL);
    status_set_cluster(n->s, "lab", 5, lab, G_N_ELEMENTS(lab));
    n->g = statusgroup_new(&cfg, n->s, NULL);
    n->rrd = g_ptr_array_new_with_free_func(g_free);
    n->in = false;
    n->joins = 0;
    statusgroup_update_init(&up);
    statusgroup_start(n->g, b->now, b->wall, &up);
    perform(b, n, &up);
    g_assert_cmpuint(n->joins, ==, 1);
    feed(b, n, &(GroupEvent){.kind = GROUP_EV_CONNECTED, .self = n->id});
}

static void halt(Bus *b, guint i)
{
    Node *n = &b->nodes[i];

    g_queue_clear_full(&n->unread, unread_free);
    statusgroup_free(g_steal_pointer(&n->g));
    status_free(g_steal_pointer(&n->s));
    g_clear_pointer(&n->rrd, g_ptr_array_unref);
    n->in = false;
}

static Bus *bus_new(void)
{
    Bus *b = g_new0(Bus, 1);

    g_queue_init(&b->messages);
    b->trace = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    b->now = (MonoTime){1000000};
    b->wall = (WallTime){1795309371};
    for (guint i = 0; i < 3; i++) {
        boot(b, i, 100 + i);
    }
    return b;
}

static void message_free(gpointer data)
{
    Message *m = data;

    g_bytes_unref(m->bytes);
    g_free(m);
}

static void bus_free(Bus *b)
{
    for (guint i = 0; i < N; i++) {
        if (b->nodes[i].g != NULL) {
            halt(b, i);
        }
    }
    g_queue_clear_full(&b->messages, message_free);
    g_ptr_array_unref(b->trace);
    g_free(b);
}

/* Delivers everything, and what comes of it. */
static void run(Bus *b)
{
    for (guint steps = 0; !g_queue_is_empty(&b->messages); steps++) {
        Message *m = g_queue_pop_head(&b->messages);
        gsize size;
        const void *data = g_bytes_get_data(m->bytes, &size);

        g_assert_cmpuint(steps, <, 10000);
        for (guint i = 0; i < N; i++) {
            Node *n = &b->nodes[i];

            if (n->in && n->id.nodeid == m->sender.nodeid) {
                feed(b, n, &(GroupEvent){.kind = GROUP_EV_SENT});
            }
            if (n->in) {
                feed(
                    b, n,
                    &(GroupEvent){
                        .kind = GROUP_EV_MESSAGE, .sender = m->sender, .data = data, .size = size});
            }
        }
        message_free(m);
    }
}

/* The nodes whose bit is set form a view of their own; the others hear nothing. */
static void view(Bus *b, guint mask)
{
    GroupMember members[N], joined[N];
    uint32_t n_members = 0, n_joined = 0;

    for (guint i = 0; i < N; i++) {
        if ((mask >> i & 1) != 0) {
            members[n_members++] = b->nodes[i].id;
            if (!b->nodes[i].in) {
                joined[n_joined++] = b->nodes[i].id;
            }
        }
    }
    for (guint i = 0; i < N; i++) {
        Node *n = &b->nodes[i];

        n->in = (mask >> i & 1) != 0;
        if (n->in) {
            feed(b, n,
                 &(GroupEvent){.kind = GROUP_EV_VIEW,
                               .members = members,
                               .n_members = n_members,
                               .joined = joined,
                               .n_joined = n_joined});
        }
    }
}

static void all_in(Bus *b)
{
    view(b, 7);
    run(b);
    for (guint i = 0; i < 3; i++) {
        g_assert_cmpint(statusgroup_mode(b->nodes[i].g), ==, GROUP_MODE_SYNCED);
        g_assert_cmpuint(statusgroup_members(b->nodes[i].g), ==, 3);
    }
}

static int set_raw(Bus *b, guint i, const char *key, const void *value, gsize size)
{
    g_auto(StatusGroupUpdate) up = {0};
    int rc;

    statusgroup_update_init(&up);
    rc = statusgroup_set(b->nodes[i].g, key, value, size, b->now, b->wall, &up, NULL);
    g_assert_true(rc == 0 || up.actions->len == 0);
    perform(b, &b->nodes[i], &up);
    return rc;
}

static void set(Bus *b, guint i, const char *key, const char *text)
{
    g_assert_cmpint(set_raw(b, i, key, text, strlen(text) + 1), ==, 0);
}

static void write_log(Bus *b, guint i, const char *text)
{
    g_auto(StatusGroupUpdate) up = {0};

    statusgroup_update_init(&up);
    g_assert_cmpint(
        statusgroup_log(b->nodes[i].g, 6, "root@pam", "tst", 1, text, b->now, b->wall, &up, NULL),
        ==, 0);
    perform(b, &b->nodes[i], &up);
}

/* What `viewer` knows of `node`'s key; "-" when nothing. */
static void assert_key(Bus *b, guint viewer, const char *node, const char *key, const char *want)
{
    g_autoptr(GBytes) value = NULL;
    int rc = status_get(b->nodes[viewer].s, node, key, &value);

    g_assert_cmpstr(rc < 0 ? "-" : g_bytes_get_data(value, NULL), ==, want);
}

static char *text_of(Bus *b, guint i, void (*format)(Status *s, GString *out))
{
    GString *out = g_string_new(NULL);

    format(b->nodes[i].s, out);
    return g_string_free(out, FALSE);
}

static void format_log(Status *s, GString *out)
{
    status_format_clusterlog(s, NULL, 1000, out);
}

static void format_members(Status *s, GString *out)
{
    status_format_members(s, out);
}

static void format_keys(Status *s, GString *out)
{
    status_format_version(s, "", 0, out);
}

static void assert_same_log(Bus *b, guint mask)
{
    g_autofree char *first = NULL;

    for (guint i = 0; i < 3; i++) {
        g_autofree char *log = text_of(b, i, format_log);

        if ((mask >> i & 1) != 0) {
            if (first == NULL) {
                first = g_strdup(log);
            }
            g_assert_cmpstr(first, ==, log);
        }
    }
}

static void assert_online(Bus *b, guint viewer, guint mask)
{
    g_autofree char *text = text_of(b, viewer, format_members);

    for (guint i = 0; i < 3; i++) {
        g_autofree char *want =
            g_strdup_printf("\"n%u\": { \"id\": %u, \"online\": %u", i + 1, i + 1, mask >> i & 1);

        g_assert_nonnull(strstr(text, want));
    }
}

/* ---- all is well ---- */

static void keys_and_log_travel(void)
{
    Bus *b = bus_new();

    set(b, 0, "kv/early", "before the group");
    write_log(b, 1, "before the group");
    all_in(b);
    set(b, 0, "kv/x", "one");
    write_log(b, 2, "in the group");
    run(b);
    for (guint i = 0; i < 3; i++) {
        assert_key(b, i, "n1", "kv/early", "before the group");
        assert_key(b, i, "n1", "kv/x", "one");
        assert_online(b, i, 7);
    }
    assert_same_log(b, 7);
    g_assert_cmpint(set_raw(b, 0, "kv/x", "", 0), ==, 0);
    run(b);
    for (guint i = 0; i < 3; i++) {
        assert_key(b, i, "n1", "kv/x", "-");
    }
    bus_free(b);
}

static void addresses_travel(void)
{
    Bus *b = bus_new();
    g_autofree char *text = NULL;

    all_in(b);
    text = text_of(b, 2, format_members);
    g_assert_nonnull(strstr(text, "\"n1\": { \"id\": 1, \"online\": 1, \"ip\": \"10.99.0.11\"}"));
    g_assert_nonnull(strstr(text, "\"ip\": \"10.99.0.13\"}"));
    bus_free(b);
}

static void rrd_goes_to_every_writer(void)
{
    Bus *b = bus_new();

    all_in(b);
    set(b, 1, "rrd/pve-node-9.0/n2", "1:2:3");
    run(b);
    for (guint i = 0; i < 3; i++) {
        g_assert_cmpuint(b->nodes[i].rrd->len, ==, 1);
        g_assert_cmpstr(g_ptr_array_index(b->nodes[i].rrd, 0), ==, "pve-node-9.0/n2=1:2:3");
    }
    bus_free(b);
}

static void local_mode(void)
{
    Status *s = status_new("n1", 1, (WallTime){5}, NULL);
    const StatusGroupConfig cfg = {.local = true, .node_address = "10.0.0.1"};
    StatusGroup *g = statusgroup_new(&cfg, s, NULL);
    g_auto(StatusGroupUpdate) up = {0};
    g_autoptr(GBytes) value = NULL;
    g_autoptr(GString) members = g_string_new(NULL);

    statusgroup_update_init(&up);
    statusgroup_start(g, (MonoTime){1}, (WallTime){5}, &up);
    g_assert_cmpint(statusgroup_set(g, "kv/x", "v", 2, (MonoTime){1}, (WallTime){5}, &up, NULL), ==,
                    0);
    g_assert_cmpint(
        statusgroup_log(g, 6, "i", "t", 1, "x", (MonoTime){1}, (WallTime){5}, &up, NULL), ==, 0);
    g_assert_cmpuint(up.actions->len, ==, 0);
    g_assert_cmpint(statusgroup_set(g, "rrd/a", "v", 2, (MonoTime){1}, (WallTime){5}, &up, NULL),
                    ==, 0);
    g_assert_cmpuint(up.actions->len, ==, 1); /* for the files */
    g_assert_cmpint(status_get(s, NULL, "kv/x", &value), ==, 0);
    status_format_members(s, members);
    g_assert_cmpstr(members->str, ==, "{\n\"nodename\": \"n1\",\n\"version\": 0\n}\n");
    statusgroup_free(g);
    status_free(s);
}

/* ---- comings and goings ---- */

static void partition_and_heal(void)
{
    Bus *b = bus_new();

    all_in(b);
    set(b, 0, "kv/a", "1");
    set(b, 2, "kv/c", "1");
    set(b, 2, "kv/gone", "1");
    run(b);
    /* n3 alone: it removes a key and changes another; the rest goes on. */
    b->nodes[2].in = false;
    view(b, 3);
    run(b);
    assert_online(b, 0, 3);
    assert_key(b, 0, "n3", "kv/c", "1"); /* of a node that left: stays */
    set(b, 0, "kv/a", "2");
    write_log(b, 0, "majority");
    run(b);
    b->nodes[0].in = b->nodes[1].in = false;
    b->nodes[2].in = true;
    feed(b, &b->nodes[2],
         &(GroupEvent){.kind = GROUP_EV_VIEW, .members = &b->nodes[2].id, .n_members = 1});
    run(b);
    assert_online(b, 2, 4);
    set(b, 2, "kv/c", "2");
    g_assert_cmpint(set_raw(b, 2, "kv/gone", "", 0), ==, 0);
    write_log(b, 2, "minority");
    run(b);
    b->nodes[2].in = false;
    all_in(b);
    for (guint i = 0; i < 3; i++) {
        assert_key(b, i, "n1", "kv/a", "2");
        assert_key(b, i, "n3", "kv/c", "2");
        assert_key(b, i, "n3", "kv/gone", "-"); /* removed while we did not hear */
        assert_online(b, i, 7);
    }
    assert_same_log(b, 7);
    bus_free(b);
}

/* 18.1.22: what a daemon set before it was restarted is gone, in whatever way it comes back. */
static void restarted_daemon(gconstpointer same_pid)
{
    Bus *b = bus_new();

    all_in(b);
    set(b, 1, "kv/old", "x");
    set(b, 1, "kv/both", "x");
    run(b);
    halt(b, 1);
    view(b, 5);
    run(b);
    assert_online(b, 0, 5);
    b->wall.sec += 100;
    boot(b, 1, same_pid != NULL ? 101 : 999);
    set(b, 1, "kv/both", "y");
    all_in(b);
    for (guint i = 0; i < 3; i++) {
        assert_key(b, i, "n2", "kv/old", "-");
        assert_key(b, i, "n2", "kv/both", "y");
    }
    assert_same_log(b, 7);
    bus_free(b);
}

/* 18.2: a synchronisation that changes nothing leaves the versions, so clients keep their caches.
 */
static void resync_keeps_versions(void)
{
    Bus *b = bus_new();
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    char *tail;

    all_in(b);
    set(b, 0, "kv/x", "1");
    set(b, 0, "kv/x", "2");
    set(b, 1, "tasklist", "[]");
    run(b);
    before = text_of(b, 2, format_keys);
    view(b, 3);
    run(b);
    all_in(b);
    after = text_of(b, 2, format_keys);
    tail = strstr(after, "\"kvstore\"");
    g_assert_nonnull(strstr(before, tail));
    g_assert_nonnull(strstr(tail, "\"kv/x\": 1"));
    bus_free(b);
}

/* An address sent in the old view and queued during the exchange does not end the new one. */
static void old_address_in_the_queue(void)
{
    Bus *b = bus_new();

    all_in(b);
    set(b, 0, "kv/x", "1");
    run(b);
    view(b, 7); /* exchange begins: STATE messages are on their way */
    g_assert_cmpint(statusgroup_mode(b->nodes[0].g), ==, GROUP_MODE_START_SYNC);
    set(b, 0, "nodeip", "10.99.9.9"); /* queued by all until the states are in */
    while (!g_queue_is_empty(&b->messages) &&
           statusgroup_mode(b->nodes[1].g) == GROUP_MODE_START_SYNC) {
        Message *m = g_queue_pop_head(&b->messages);
        gsize size;
        const void *data = g_bytes_get_data(m->bytes, &size);

        for (guint i = 0; i < 3; i++) {
            feed(b, &b->nodes[i],
                 &(GroupEvent){
                     .kind = GROUP_EV_MESSAGE, .sender = m->sender, .data = data, .size = size});
        }
        message_free(m);
    }
    assert_key(b, 1, "n1", "kv/x", "1"); /* not dropped for a moment */
    run(b);
    assert_key(b, 1, "n1", "kv/x", "1");
    bus_free(b);
}

/* Time passes for all that run. */
static void wait_ms(Bus *b, int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 100) {
        b->now = mono_add_ms(b->now, 100);
        for (guint k = 0; k < N; k++) {
            Node *n = &b->nodes[k];
            g_auto(StatusGroupUpdate) up = {0};

            if (n->in && !n->silent) {
                statusgroup_update_init(&up);
                statusgroup_tick(n->g, b->now, b->wall, &up);
                perform(b, n, &up);
            }
        }
        run(b);
    }
}

static void wake(Bus *b, guint i)
{
    Node *n = &b->nodes[i];
    Unread *u;

    n->silent = false;
    while ((u = g_queue_pop_head(&n->unread)) != NULL) {
        feed(b, n, &u->ev);
        unread_free(u);
    }
}

/* 18.1.5: a stopped process does not hold the others up, whichever it is, and is one of them again
 * when it goes on. */
static void silent_member(gconstpointer number)
{
    guint silent = GPOINTER_TO_UINT(number);
    guint a = silent == 0 ? 1 : 0;
    guint c = silent == 2 ? 1 : 2;
    Bus *b = bus_new();

    all_in(b);
    set(b, silent, "kv/mine", "kept");
    run(b);
    b->nodes[silent].silent = true;
    view(b, 7);
    run(b);
    b->wall.sec++;
    set(b, a, "kv/x", "1");
    write_log(b, c, "while one is silent");
    run(b);
    wait_ms(b, 2 * STATUSGROUP_ANSWER_MS + 2000);
    for (guint i = 0; i < 3; i++) {
        if (i != silent) {
            g_assert_cmpint(statusgroup_mode(b->nodes[i].g), ==, GROUP_MODE_SYNCED);
            assert_key(b, i, a == 0 ? "n1" : "n2", "kv/x", "1");
        }
    }
    assert_same_log(b, 7u & ~(1u << silent));
    b->wall.sec++;
    wake(b, silent);
    run(b);
    set(b, silent, "kv/back", "yes");
    write_log(b, silent, "back again");
    run(b);
    wait_ms(b, 2 * STATUSGROUP_ANSWER_MS);
    for (guint i = 0; i < 3; i++) {
        const char *names[] = {"n1", "n2", "n3"};

        g_assert_cmpint(statusgroup_mode(b->nodes[i].g), ==, GROUP_MODE_SYNCED);
        assert_key(b, i, names[a], "kv/x", "1");
        assert_key(b, i, names[silent], "kv/mine", "kept");
        assert_key(b, i, names[silent], "kv/back", "yes");
    }
    assert_same_log(b, 7);
    bus_free(b);
}

static void out_of_the_group(void)
{
    Bus *b = bus_new();

    all_in(b);
    feed(b, &b->nodes[0], &(GroupEvent){.kind = GROUP_EV_DISCONNECTED, .code = -ENOTCONN});
    b->nodes[0].in = false;
    assert_online(b, 0, 1);
    g_assert_cmpuint(b->nodes[0].joins, ==, 2);
    set(b, 0, "kv/alone", "x"); /* success: it is sent when we are back */
    write_log(b, 0, "alone");
    g_assert_true(g_queue_is_empty(&b->messages));
    view(b, 6);
    run(b);
    feed(b, &b->nodes[0], &(GroupEvent){.kind = GROUP_EV_CONNECTED, .self = b->nodes[0].id});
    all_in(b);
    assert_key(b, 1, "n1", "kv/alone", "x");
    assert_same_log(b, 7);
    bus_free(b);
}

/* ---- refused and unknown ---- */

/* 18.1.23 */
static void refused_values_are_not_sent(void)
{
    Bus *b = bus_new();
    g_autofree char *big = g_malloc0(40000);

    all_in(b);
    g_assert_cmpint(set_raw(b, 0, "kv/x", big, 32769), ==, -EFBIG);
    g_assert_cmpint(set_raw(b, 0, "nodeip", "10.0.0.1", 8), ==, -ENOMEM);
    g_assert_cmpint(set_raw(b, 0, "rrd/a", "1:2", 3), ==, -ENOMEM);
    g_assert_cmpint(set_raw(b, 0, "rrd/a", "", 0), ==, -ENOMEM);
    g_assert_true(g_queue_is_empty(&b->messages));
    bus_free(b);
}

/* Sends a NORMAL message as `sender`, which may be a stranger, with any content. */
static void inject(Bus *b, GroupMember sender, uint16_t subtype, const void *payload, gsize size)
{
    const WireDfsmHeader head = {
        .type = WIRE_DFSM_NORMAL, .subtype = subtype, .count = 1000000, .time = 1};
    Message *m = g_new0(Message, 1);

    m->sender = sender;
    m->bytes = wire_dfsm_encode(&head, payload, size);
    g_queue_push_tail(&b->messages, m);
    run(b);
}

static void bad_messages_change_nothing(void)
{
    Bus *b = bus_new();
    g_autofree char *field = g_malloc0(40000);
    g_autofree char *full = g_strnfill(300, 'x');
    const GroupMember n2 = {2, 101}, stranger = {9, 900};
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;

    all_in(b);
    before = text_of(b, 0, format_keys);
    g_strlcpy(field, "kv/x", 5);
    inject(b, n2, 1, field, 255);   /* too short */
    inject(b, n2, 1, full, 300);    /* no NUL in the key */
    inject(b, n2, 1, field, 40000); /* value too long */
    inject(b, n2, 1, NULL, 0);
    inject(b, n2, 2, field, 300);    /* UPDATE_COMPLETE */
    inject(b, n2, 3, "no entry", 9); /* malformed log */
    inject(b, n2, 3, NULL, 0);
    inject(b, n2, 77, field, 300);      /* unknown kind */
    inject(b, stranger, 1, field, 300); /* not in the node list */
    after = text_of(b, 0, format_keys);
    g_assert_cmpstr(strstr(before, "\"kvstore\""), ==, strstr(after, "\"kvstore\""));
    for (guint i = 0; i < 3; i++) {
        g_assert_cmpint(statusgroup_mode(b->nodes[i].g), ==, GROUP_MODE_SYNCED);
    }
    bus_free(b);
}

static void wrong_states_do_not_stop_anybody(void)
{
    Bus *b = bus_new();

    view(b, 7);
    /* n2's STATE is replaced by one with nonsense in it: the header stays. */
    for (guint done = 0; done == 0 && !g_queue_is_empty(&b->messages);) {
        Message *m = g_queue_pop_head(&b->messages);
        gsize size;
        const uint8_t *data = g_bytes_get_data(m->bytes, &size);
        g_autofree uint8_t *copy = g_memdup2(data, size);

        if (m->sender.nodeid == 2 && data[0] == WIRE_DFSM_STATE) {
            memset(copy + 32, 0xee, size - 32);
            done = 1;
        }
        for (guint i = 0; i < 3; i++) {
            feed(b, &b->nodes[i],
                 &(GroupEvent){
                     .kind = GROUP_EV_MESSAGE, .sender = m->sender, .data = copy, .size = size});
        }
        message_free(m);
    }
    run(b);
    for (guint i = 0; i < 3; i++) {
        g_assert_cmpint(statusgroup_mode(b->nodes[i].g), ==, GROUP_MODE_SYNCED);
    }
    write_log(b, 0, "life goes on");
    run(b);
    bus_free(b);
}

static void too_much_unsent(void)
{
    Bus *b = bus_new();
    g_autofree char *big = g_malloc0(32768);
    int rc = 0;
    guint i;

    all_in(b);
    for (i = 0; rc == 0 && i < 1000; i++) { /* nothing is delivered, nothing reported as sent */
        g_autofree char *key = g_strdup_printf("kv/%u", i % 100);

        rc = set_raw(b, 0, key, big, 32768);
    }
    g_assert_cmpint(rc, ==, -EBUSY);
    g_assert_cmpuint(i, <, 300);
    run(b);
    set(b, 0, "kv/again", "x");
    bus_free(b);
}

/* ---- bytes ---- */

/* The messages of the captured session, from the same events. */
static void captured_bytes(void)
{
    static const char *const files[] = {
        "wire-kvstore-normal-update-3.hex", "wire-kvstore-normal-update-4.hex",
        "wire-kvstore-normal-update-5.hex", "wire-kvstore-normal-log.hex",
        "wire-kvstore-normal-update-6.hex", "wire-kvstore-normal-update-7.hex"};
    Bus *b = bus_new();
    guint first;

    b->wall.sec = 1795309381;
    all_in(b);
    first = b->trace->len;
    set(b, 0, "kv/foo", "bar");
    set(b, 0, "tasklist", "[]");
    set(b, 0, "rrd/pve-node-9.0/n1", "1:2:3:4");
    {
        g_auto(StatusGroupUpdate) up = {0};

        statusgroup_update_init(&up);
        g_assert_cmpint(statusgroup_log(b->nodes[0].g, 6, "root@pam", "tst", 13529,
                                        "hello w\xc3\xb6rld", b->now, b->wall, &up, NULL),
                        ==, 0);
        perform(b, &b->nodes[0], &up);
    }
    g_assert_cmpint(set_raw(b, 0, "kv/foo", "", 0), ==, 0);
    set(b, 0, "kv/bar", "baz");
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autoptr(GBytes) want = testdata_sample(files[i]);
        GBytes *got = g_ptr_array_index(b->trace, first + i);
        g_autofree uint8_t *w = NULL;
        g_autofree uint8_t *g = NULL;
        gsize size = g_bytes_get_size(got);

        if (want == NULL) {
            break;
        }
        g_test_message("%s", files[i]);
        g_assert_cmpuint(g_bytes_get_size(want), ==, size);
        w = g_memdup2(g_bytes_get_data(want, NULL), size);
        g = g_memdup2(g_bytes_get_data(got, NULL), size);
        memset(w + 16, 0, 8); /* the count is that of another session */
        memset(g + 16, 0, 8);
        g_assert_cmpmem(g, size, w, size);
    }
    bus_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/statusgroup/keys-and-log-travel", keys_and_log_travel);
    g_test_add_func("/statusgroup/addresses-travel", addresses_travel);
    g_test_add_func("/statusgroup/rrd-goes-to-every-writer", rrd_goes_to_every_writer);
    g_test_add_func("/statusgroup/local-mode", local_mode);
    g_test_add_func("/statusgroup/partition-and-heal", partition_and_heal);
    g_test_add_data_func("/statusgroup/restarted-daemon/new-pid", NULL, restarted_daemon);
    g_test_add_data_func("/statusgroup/restarted-daemon/same-pid", "same", restarted_daemon);
    g_test_add_func("/statusgroup/resync-keeps-versions", resync_keeps_versions);
    g_test_add_func("/statusgroup/old-address-in-the-queue", old_address_in_the_queue);
    g_test_add_data_func("/statusgroup/silent-member/lowest", GUINT_TO_POINTER(0), silent_member);
    g_test_add_data_func("/statusgroup/silent-member/middle", GUINT_TO_POINTER(1), silent_member);
    g_test_add_data_func("/statusgroup/silent-member/last", GUINT_TO_POINTER(2), silent_member);
    g_test_add_func("/statusgroup/out-of-the-group", out_of_the_group);
    g_test_add_func("/statusgroup/refused-values-are-not-sent", refused_values_are_not_sent);
    g_test_add_func("/statusgroup/bad-messages-change-nothing", bad_messages_change_nothing);
    g_test_add_func("/statusgroup/wrong-states-stop-nobody", wrong_states_do_not_stop_anybody);
    g_test_add_func("/statusgroup/too-much-unsent", too_much_unsent);
    g_test_add_func("/statusgroup/captured-bytes", captured_bytes);
    return g_test_run();
}
