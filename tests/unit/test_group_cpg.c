/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: whatever libcpg answers becomes the right events, in order, and nothing of a connection
 * that was given up is heard any more. Method: this program brings its own cpg_*() functions, which
 * do what each test tells them. */
#include "lib/port/clock.h"
#include "pmxcfs/io/group_cpg.h"

#include <corosync/cpg.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- a libcpg that obeys ------------------------------------------------------------------- */

static struct {
    cs_error_t on_init, on_join, on_dispatch;
    int join_again, send_again; /* so many TRY_AGAIN first */
    cs_error_t on_send;
    int inits, joins, leaves, finals;
    bool open, inside;
    cpg_model_v1_data_t model;
    void *context;
    int fds[2];
    GQueue incoming; /* of char*: "v" a view, else a message */
    GString *sent;
    char group[64];
    uint32_t group_length;
} lib;

cs_error_t
cpg_model_initialize(cpg_handle_t *handle, cpg_model_t model, cpg_model_data_t *data, void *context)
{
    g_assert_cmpint(model, ==, CPG_MODEL_V1);
    lib.inits++;
    if (lib.on_init != CS_OK) {
        return lib.on_init;
    }
    g_assert_false(lib.open);
    lib.open = true;
    lib.model = *(cpg_model_v1_data_t *)(void *)data;
    lib.context = context;
    *handle = 7;
    return CS_OK;
}

cs_error_t cpg_finalize(cpg_handle_t handle)
{
    g_assert_cmpuint(handle, ==, 7);
    g_assert_true(lib.open);
    g_assert_false(lib.inside); /* libcpg does not survive that */
    lib.open = false;
    lib.finals++;
    return CS_OK;
}

cs_error_t cpg_fd_get(cpg_handle_t handle, int *fd)
{
    (void)handle;
    *fd = lib.fds[0];
    return CS_OK;
}

cs_error_t cpg_local_get(cpg_handle_t handle, unsigned int *nodeid)
{
    (void)handle;
    *nodeid = 3;
    return CS_OK;
}

cs_error_t cpg_context_get(cpg_handle_t handle, void **context)
{
    (void)handle;
    *context = lib.context;
    return CS_OK;
}

cs_error_t cpg_join(cpg_handle_t handle, const struct cpg_name *name)
{
    (void)handle;
    lib.joins++;
    memcpy(lib.group, name->value, name->length);
    lib.group_length = name->length;
    if (lib.join_again > 0) {
        lib.join_again--;
        return lib.join_again % 2 == 0 ? CS_ERR_TRY_AGAIN : CS_ERR_EXIST;
    }
    return lib.on_join;
}

cs_error_t cpg_leave(cpg_handle_t handle, const struct cpg_name *name)
{
    (void)handle;
    (void)name;
    lib.leaves++;
    return CS_OK;
}

cs_error_t cpg_mcast_joined(cpg_handle_t handle,
                            cpg_guarantee_t guarantee,
                            const struct iovec *iov,
                            unsigned int n)
{
    (void)handle;
    g_assert_cmpint(guarantee, ==, CPG_TYPE_AGREED);
    g_assert_cmpuint(n, ==, 1);
    if (lib.send_again > 0) {
        lib.send_again--;
        return CS_ERR_TRY_AGAIN;
    }
    if (lib.on_send == CS_OK) {
        g_string_append_len(lib.sent, iov->iov_base, (gssize)iov->iov_len);
    }
    return lib.on_send;
}

static void arrive(const char *what)
{
    g_queue_push_tail(&lib.incoming, (gpointer)what);
    g_assert_cmpint(write(lib.fds[1], "x", 1), ==, 1);
}

cs_error_t cpg_dispatch(cpg_handle_t handle, cs_dispatch_flags_t flags)
{
    const char *what = g_queue_pop_head(&lib.incoming);
    struct cpg_address members[] = {{1, 11, 0}, {3, 33, 0}};
    char byte;

    g_assert_cmpint(flags, ==, CS_DISPATCH_ONE_NONBLOCKING);
    g_assert_true(lib.open);
    if (what == NULL) {
        return lib.on_dispatch != CS_OK ? lib.on_dispatch : CS_ERR_TRY_AGAIN;
    }
    g_assert_cmpint(read(lib.fds[0], &byte, 1), ==, 1);
    lib.inside = true;
    if (strcmp(what, "v") == 0) {
        lib.model.cpg_confchg_fn(handle, NULL, members, 2, NULL, 0, members + 1, 1);
    } else {
        lib.model.cpg_deliver_fn(handle, NULL, 1, 11, (void *)what, strlen(what));
    }
    lib.inside = false;
    return CS_OK;
}

/* ---- fixture ------------------------------------------------------------------------------- */

typedef struct Fix {
    GMainContext *context;
    GroupCpg *group;
    GString *heard;        /* one word per event */
    bool leave_at_message; /* the handler leaves from inside */
} Fix;

static void on_event(void *ctx, const GroupEvent *ev)
{
    Fix *f = ctx;

    switch (ev->kind) {
    case GROUP_EV_CONNECTED:
        g_string_append_printf(f->heard, "connected:%u ", ev->self.nodeid);
        g_assert_cmpuint(ev->self.pid, ==, (uint32_t)getpid());
        break;
    case GROUP_EV_VIEW:
        g_string_append_printf(f->heard, "view:%u/%u/%u ", ev->n_members, ev->n_joined, ev->n_left);
        g_assert_cmpuint(ev->members[1].nodeid, ==, 3);
        g_assert_cmpuint(ev->joined[0].pid, ==, 33);
        break;
    case GROUP_EV_MESSAGE:
        g_string_append_printf(f->heard, "%.*s:%u/%u ", (int)ev->size, (const char *)ev->data,
                               ev->sender.nodeid, ev->sender.pid);
        if (f->leave_at_message) {
            group_cpg_leave(f->group);
        }
        break;
    case GROUP_EV_SENT:
        g_string_append(f->heard, "sent ");
        break;
    case GROUP_EV_SEND_FAILED:
        g_string_append_printf(f->heard, "failed:%s ", g_strerror(-ev->code));
        break;
    case GROUP_EV_BACKPRESSURE:
        g_string_append(f->heard, ev->on ? "stop " : "go ");
        break;
    case GROUP_EV_DISCONNECTED:
        g_string_append_printf(f->heard, "gone:%d ", -ev->code);
        break;
    case GROUP_EV_N:
        g_assert_not_reached();
    }
}

static void setup(Fix *f, gconstpointer data)
{
    GroupCpgEvents events = {on_event, f};

    (void)data;
    memset(&lib, 0, sizeof lib);
    g_queue_init(&lib.incoming);
    lib.on_init = lib.on_join = lib.on_send = lib.on_dispatch = CS_OK;
    lib.sent = g_string_new(NULL);
    g_assert_cmpint(pipe(lib.fds), ==, 0);
    f->context = g_main_context_new();
    f->heard = g_string_new(NULL);
    f->leave_at_message = false;
    f->group = group_cpg_new(f->context, "pve_dcdb_v1", &events, NULL);
}

static void teardown(Fix *f, gconstpointer data)
{
    (void)data;
    group_cpg_free(f->group);
    g_assert_false(lib.open);
    g_assert_cmpint(lib.finals, <=, lib.inits);
    g_main_context_unref(f->context);
    g_string_free(f->heard, TRUE);
    g_string_free(lib.sent, TRUE);
    g_queue_clear(&lib.incoming);
    close(lib.fds[0]);
    close(lib.fds[1]);
}

/* Runs the loop until `expected` was heard, then a little more, and forgets it. */
static void expect(Fix *f, const char *expected)
{
    gint64 end = g_get_monotonic_time() + 90 * G_USEC_PER_SEC;

    while (strlen(f->heard->str) < strlen(expected) && g_get_monotonic_time() < end) {
        if (!g_main_context_iteration(f->context, FALSE)) {
            g_usleep(1000);
        }
    }
    for (int i = 0; i < 20; i++) {
        (void)g_main_context_iteration(f->context, FALSE);
    }
    g_assert_cmpstr(f->heard->str, ==, expected);
    g_string_truncate(f->heard, 0);
}

static void send_text(Fix *f, const char *text)
{
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));

    group_cpg_send(f->group, bytes);
}

static void join(Fix *f)
{
    group_cpg_join(f->group, clock_mono());
    expect(f, "connected:3 ");
}

/* ---- tests --------------------------------------------------------------------------------- */

static void test_normal(Fix *f, gconstpointer data)
{
    (void)data;
    join(f);
    g_assert_cmpuint(lib.group_length, ==, 12); /* the NUL counts */
    arrive("v");
    arrive("hello");
    expect(f, "view:2/1/0 hello:1/11 ");
    send_text(f, "a");
    send_text(f, "b");
    g_assert_cmpuint(f->heard->len, ==, 0); /* never from inside the call */
    expect(f, "sent sent ");
    g_assert_cmpstr(lib.sent->str, ==, "ab");
    group_cpg_leave(f->group);
    g_assert_cmpint(lib.leaves, ==, 1);
    g_assert_false(lib.open);
    send_text(f, "c");
    expect(f, "");
    join(f); /* and again */
    g_assert_cmpint(lib.inits, ==, 2);
}

static void test_not_before(Fix *f, gconstpointer data)
{
    gint64 start = g_get_monotonic_time();

    (void)data;
    group_cpg_join(f->group, mono_add_ms(clock_mono(), 150));
    expect(f, "connected:3 ");
    g_assert_cmpint(g_get_monotonic_time() - start, >=, 150000);
    group_cpg_leave(f->group);
    group_cpg_join(f->group, mono_add_ms(clock_mono(), 50));
    group_cpg_leave(f->group); /* takes it back */
    g_usleep(80000);
    expect(f, "");
    g_assert_cmpint(lib.inits, ==, 1);
}

static void test_no_corosync(Fix *f, gconstpointer data)
{
    (void)data;
    lib.on_init = CS_ERR_LIBRARY;
    group_cpg_join(f->group, clock_mono());
    g_autofree char *gone = g_strdup_printf("gone:%d ", ENOTCONN);
    expect(f, gone);
    lib.on_init = CS_OK;
    join(f);
}

static void test_join_again(Fix *f, gconstpointer data)
{
    (void)data;
    lib.join_again = 5; /* TRY_AGAIN and EXIST in turn */
    join(f);
    gint64 end = g_get_monotonic_time() + 90 * G_USEC_PER_SEC;
    while (lib.joins < 6 && g_get_monotonic_time() < end) {
        (void)g_main_context_iteration(f->context, FALSE);
    }
    g_assert_cmpint(lib.joins, ==, 6);
    send_text(f, "x");
    expect(f, "sent ");
}

static void test_join_refused(Fix *f, gconstpointer data)
{
    (void)data;
    lib.on_join = CS_ERR_ACCESS;
    group_cpg_join(f->group, clock_mono());
    g_autofree char *heard = g_strdup_printf("connected:3 gone:%d ", EACCES);
    expect(f, heard);
    g_assert_false(lib.open);
}

static void test_flow_control(Fix *f, gconstpointer data)
{
    (void)data;
    join(f);
    lib.send_again = 3;
    send_text(f, "a");
    send_text(f, "b");
    expect(f, "stop go sent sent ");
    g_assert_cmpstr(lib.sent->str, ==, "ab");
}

static void test_send_refused(Fix *f, gconstpointer data)
{
    (void)data;
    join(f);
    lib.on_send = CS_ERR_TOO_BIG;
    send_text(f, "a");
    g_autofree char *heard = g_strdup_printf("failed:%s ", g_strerror(EMSGSIZE));
    expect(f, heard);
    lib.on_send = CS_OK;
    send_text(f, "b");
    expect(f, "sent ");
}

static void test_lost_while_sending(Fix *f, gconstpointer data)
{
    (void)data;
    join(f);
    lib.on_send = CS_ERR_BAD_HANDLE;
    send_text(f, "a");
    send_text(f, "b");
    g_autofree char *gone = g_strdup_printf("gone:%d ", ENOTCONN);
    expect(f, gone); /* both are forgotten */
    lib.on_send = CS_OK;
    join(f);
    expect(f, "");
    g_assert_cmpstr(lib.sent->str, ==, "");
}

static void test_lost_while_reading(Fix *f, gconstpointer data)
{
    (void)data;
    join(f);
    arrive("last");
    lib.on_dispatch = CS_ERR_LIBRARY;
    g_autofree char *heard = g_strdup_printf("last:1/11 gone:%d ", ENOTCONN);
    expect(f, heard);
    g_assert_false(lib.open);
}

/* The handler leaves while more is waiting: nothing more is heard, and the handle is closed only
 * after libcpg has come back. */
static void test_leave_from_inside(Fix *f, gconstpointer data)
{
    (void)data;
    join(f);
    f->leave_at_message = true;
    arrive("one");
    arrive("two");
    expect(f, "one:1/11 ");
    g_assert_false(lib.open);
    g_assert_cmpint(lib.finals, ==, 1);
}

#define ADD(name, fn) g_test_add("/group-cpg/" name, Fix, NULL, setup, fn, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("join-receive-send-leave", test_normal);
    ADD("join-not-before-its-time", test_not_before);
    ADD("join-without-corosync-fails-and-can-be-repeated", test_no_corosync);
    ADD("join-is-tried-again", test_join_again);
    ADD("join-refused", test_join_refused);
    ADD("send-waits-for-room-in-order", test_flow_control);
    ADD("send-refused", test_send_refused);
    ADD("connection-lost-while-sending", test_lost_while_sending);
    ADD("connection-lost-while-reading", test_lost_while_reading);
    ADD("leave-from-inside-a-handler", test_leave_from_inside);
    return g_test_run();
}
