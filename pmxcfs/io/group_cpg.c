/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/group_cpg.h"

#include "lib/port/clock.h"
#include "pmxcfs/io/loop_timer.h"

#include <corosync/cpg.h>
#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

struct GroupCpg {
    GMainContext *context;
    const char *name;
    GroupCpgEvents events;
    Tracer tracer;
    cpg_handle_t handle;
    bool open;        /* handle is valid */
    bool joined;      /* cpg_join was accepted */
    bool dispatching; /* inside cpg_dispatch: the handle must stay open */
    bool close_later;
    bool failed; /* the failure was logged; do not log the next ones */
    bool backpressure;
    GSource *watch;      /* descriptor of the open connection */
    LoopTimer *join_due; /* connect or join */
    LoopTimer *send_due; /* send what waits */
    MonoTime join_until; /* deadline of the joining under way */
    GQueue unsent;       /* of GBytes* */
    MonoTime send_until; /* deadline of the first one */
    int64_t retry_ms;
};

/* ---- errors -------------------------------------------------------------------------------- */

static int errno_of(cs_error_t rc)
{
    switch (rc) {
    case CS_OK:
        return 0;
    case CS_ERR_TRY_AGAIN:
        return -EAGAIN;
    case CS_ERR_TIMEOUT:
        return -ETIMEDOUT;
    case CS_ERR_INVALID_PARAM:
        return -EINVAL;
    case CS_ERR_NO_MEMORY:
    case CS_ERR_NO_RESOURCES:
        return -ENOMEM;
    case CS_ERR_EXIST:
        return -EEXIST;
    case CS_ERR_NOT_EXIST:
        return -ENOENT;
    case CS_ERR_ACCESS:
    case CS_ERR_SECURITY:
        return -EACCES;
    case CS_ERR_TOO_BIG:
        return -EMSGSIZE;
    case CS_ERR_NAME_TOO_LONG:
        return -ENAMETOOLONG;
    default:
        return -ENOTCONN; /* LIBRARY, BAD_HANDLE, ...: the connection is of no use any more */
    }
}

static void emit(GroupCpg *c, const GroupEvent *ev)
{
    c->events.event(c->events.ctx, ev);
}

/* ---- closing ------------------------------------------------------------------------------- */

static void drop_watch(GroupCpg *c)
{
    if (c->watch != NULL) {
        g_source_destroy(c->watch);
        g_clear_pointer(&c->watch, g_source_unref);
    }
}

static void forget_unsent(GroupCpg *c)
{
    g_queue_clear_full(&c->unsent, (GDestroyNotify)g_bytes_unref);
    loop_timer_set(c->send_due, MONO_NEVER);
    c->backpressure = false;
}

/* Nothing of this connection counts any more; the handle itself may have to live a little. */
static void close_connection(GroupCpg *c)
{
    drop_watch(c);
    forget_unsent(c);
    c->joined = false;
    if (!c->open) {
        return;
    }
    if (c->dispatching) {
        c->close_later = true;
        return;
    }
    c->open = false;
    c->close_later = false;
    (void)cpg_finalize(c->handle); /* the other side may be gone already */
}

static void lose_connection(GroupCpg *c, int code)
{
    if (!c->failed) {
        trace(&c->tracer, TRACE_WARNING, "group '%s': no connection to corosync: %s", c->name,
              strerror(-code));
        c->failed = true;
    }
    close_connection(c);
    emit(c, &(GroupEvent){.kind = GROUP_EV_DISCONNECTED, .code = code});
}

/* ---- receiving ----------------------------------------------------------------------------- */

/* The object behind a handle; NULL when what comes is of a connection that was given up. */
static GroupCpg *of_handle(cpg_handle_t handle)
{
    GroupCpg *c = NULL;

    if (cpg_context_get(handle, (void **)&c) != CS_OK || c == NULL || c->close_later) {
        return NULL;
    }
    return c;
}

static void on_deliver(cpg_handle_t handle,
                       const struct cpg_name *group,
                       uint32_t nodeid,
                       uint32_t pid,
                       void *data,
                       size_t size)
{
    GroupCpg *c = of_handle(handle);

    (void)group;
    if (c != NULL) {
        emit(c, &(GroupEvent){
                    .kind = GROUP_EV_MESSAGE, .sender = {nodeid, pid}, .data = data, .size = size});
    }
}

static uint32_t
copy_members(const struct cpg_address *list, size_t n, GroupMember out[GROUP_MEMBERS_MAX])
{
    uint32_t count = (uint32_t)MIN(n, GROUP_MEMBERS_MAX);

    for (uint32_t i = 0; i < count; i++) {
        out[i] = (GroupMember){list[i].nodeid, list[i].pid};
    }
    return count;
}

static void on_confchg(cpg_handle_t handle,
                       const struct cpg_name *group,
                       const struct cpg_address *members,
                       size_t n_members,
                       const struct cpg_address *left,
                       size_t n_left,
                       const struct cpg_address *joined,
                       size_t n_joined)
{
    GroupCpg *c = of_handle(handle);
    GroupMember lists[3][GROUP_MEMBERS_MAX];
    GroupEvent ev = {
        .kind = GROUP_EV_VIEW, .members = lists[0], .left = lists[1], .joined = lists[2]};

    (void)group;
    if (c == NULL) {
        return;
    }
    ev.n_members = copy_members(members, n_members, lists[0]);
    ev.n_left = copy_members(left, n_left, lists[1]);
    ev.n_joined = copy_members(joined, n_joined, lists[2]);
    emit(c, &ev);
}

/* Hands up what has come, in order; not without end, so that quorum news do not wait behind it. */
static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
    GroupCpg *c = data;
    cs_error_t rc = CS_OK;

    (void)fd;
    (void)condition;
    c->dispatching = true;
    for (int i = 0; i < GROUP_CPG_BATCH && rc == CS_OK && !c->close_later; i++) {
        rc = cpg_dispatch(c->handle, CS_DISPATCH_ONE_NONBLOCKING);
    }
    c->dispatching = false;
    if (c->close_later) {
        close_connection(c);
        return G_SOURCE_REMOVE;
    }
    if (rc != CS_OK && rc != CS_ERR_TRY_AGAIN) {
        lose_connection(c, errno_of(rc));
        return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

/* ---- joining ------------------------------------------------------------------------------- */

static bool connect_now(GroupCpg *c, GroupMember *ret_self, int *ret_code)
{
    cpg_model_v1_data_t model = {
        .model = CPG_MODEL_V1, .cpg_deliver_fn = on_deliver, .cpg_confchg_fn = on_confchg};
    unsigned int nodeid = 0;
    int fd = -1;
    cs_error_t rc = cpg_model_initialize(&c->handle, CPG_MODEL_V1, (cpg_model_data_t *)&model, c);

    if (rc == CS_OK) {
        c->open = true;
        rc = cpg_local_get(c->handle, &nodeid);
    }
    if (rc == CS_OK) {
        rc = cpg_fd_get(c->handle, &fd);
    }
    if (rc != CS_OK) {
        *ret_code = errno_of(rc);
        return false;
    }
    c->watch = g_unix_fd_source_new(fd, G_IO_IN | G_IO_ERR | G_IO_HUP);
    g_source_set_callback(c->watch, G_SOURCE_FUNC(on_readable), c, NULL);
    /* No loop runs inside a dispatch here. To keep such a one off, GLib would take the descriptor
     * out of its set and back with each message, and wake itself for both. */
    g_source_set_can_recurse(c->watch, TRUE);
    g_source_attach(c->watch, c->context);
    *ret_self = (GroupMember){nodeid, (uint32_t)getpid()};
    return true;
}

static void try_again_soon(GroupCpg *c, LoopTimer *timer)
{
    loop_timer_set(timer, mono_add_ms(clock_mono(), c->retry_ms));
    c->retry_ms = MIN(c->retry_ms * 2, GROUP_CPG_RETRY_MAX_MS);
}

/* EXIST: corosync has not yet noticed that the connection before this one is gone. */
static void join_now(GroupCpg *c)
{
    struct cpg_name name = {.length = (uint32_t)strlen(c->name) + 1};
    cs_error_t rc;

    memcpy(name.value, c->name, name.length);
    rc = cpg_join(c->handle, &name);
    if (rc == CS_OK) {
        c->joined = true;
        c->retry_ms = GROUP_CPG_RETRY_MS;
        if (c->failed) {
            trace(&c->tracer, TRACE_NOTICE, "group '%s': connected to corosync", c->name);
        }
        c->failed = false;
    } else if ((rc == CS_ERR_TRY_AGAIN || rc == CS_ERR_EXIST) &&
               mono_before(clock_mono(), c->join_until)) {
        try_again_soon(c, c->join_due);
    } else {
        lose_connection(c, errno_of(rc));
    }
}

static void on_join_due(void *ctx)
{
    GroupCpg *c = ctx;
    GroupMember self;
    int code = 0;

    if (!c->open) {
        c->join_until = mono_add_ms(clock_mono(), GROUP_CPG_JOIN_MS);
        c->retry_ms = GROUP_CPG_RETRY_MS;
        if (!connect_now(c, &self, &code)) {
            lose_connection(c, code);
            return;
        }
        emit(c, &(GroupEvent){.kind = GROUP_EV_CONNECTED, .self = self});
    }
    if (c->open && !c->joined) { /* the handler may have thought better of it */
        join_now(c);
    }
}

void group_cpg_join(GroupCpg *c, MonoTime at)
{
    loop_timer_set(c->join_due, at);
}

void group_cpg_leave(GroupCpg *c)
{
    struct cpg_name name = {.length = (uint32_t)strlen(c->name) + 1};

    loop_timer_set(c->join_due, MONO_NEVER);
    if (c->open && c->joined && !c->close_later) {
        memcpy(name.value, c->name, name.length);
        (void)cpg_leave(c->handle, &name); /* closing the connection has the same effect */
    }
    close_connection(c);
}

/* ---- sending ------------------------------------------------------------------------------- */

static void tell_backpressure(GroupCpg *c, bool on)
{
    if (c->backpressure != on) {
        c->backpressure = on;
        emit(c, &(GroupEvent){.kind = GROUP_EV_BACKPRESSURE, .on = on});
    }
}

/* Takes the first message off the queue and tells what became of it. */
static void sent_or_failed(GroupCpg *c, int code)
{
    GBytes *first = g_queue_pop_head(&c->unsent);

    g_bytes_unref(first);
    c->send_until = mono_add_ms(clock_mono(), GROUP_CPG_SEND_MS);
    c->retry_ms = GROUP_CPG_RETRY_MS;
    emit(c, &(GroupEvent){.kind = code == 0 ? GROUP_EV_SENT : GROUP_EV_SEND_FAILED, .code = code});
}

/* What a result of cpg_mcast_joined means; false: no more can be sent now. */
static bool after_send(GroupCpg *c, cs_error_t rc)
{
    int code = errno_of(rc);

    if (code == 0) {
        tell_backpressure(c, false);
        sent_or_failed(c, 0);
        return true;
    }
    if (code == -ENOTCONN) {
        lose_connection(c, code);
        return false;
    }
    if (code == -EAGAIN && mono_before(clock_mono(), c->send_until)) {
        try_again_soon(c, c->send_due);
        tell_backpressure(c, true);
        return false;
    }
    sent_or_failed(c, code == -EAGAIN ? -ETIMEDOUT : code);
    return true;
}

static void on_send_due(void *ctx)
{
    GroupCpg *c = ctx;
    bool more = true;

    for (int i = 0; more && i < GROUP_CPG_BATCH; i++) {
        GBytes *first = g_queue_peek_head(&c->unsent);
        gsize size;
        if (first == NULL || !c->open) {
            return;
        }
        struct iovec iov = {.iov_base = (void *)g_bytes_get_data(first, &size)};
        iov.iov_len = size;
        more = after_send(c, cpg_mcast_joined(c->handle, CPG_TYPE_AGREED, &iov, 1));
    }
    if (more && c->open && c->unsent.length > 0) {
        loop_timer_set(c->send_due, clock_mono());
    }
}

void group_cpg_send(GroupCpg *c, GBytes *message)
{
    if (!c->open || c->close_later) {
        return;
    }
    if (c->unsent.length == 0) {
        c->send_until = mono_add_ms(clock_mono(), GROUP_CPG_SEND_MS);
        loop_timer_set(c->send_due, clock_mono());
    }
    g_queue_push_tail(&c->unsent, g_bytes_ref(message));
}

/* ---- life ---------------------------------------------------------------------------------- */

GroupCpg *group_cpg_new(GMainContext *context,
                        const char *name,
                        const GroupCpgEvents *events,
                        const Tracer *tracer)
{
    GroupCpg *c = g_new0(GroupCpg, 1);

    g_assert(strlen(name) < CPG_MAX_NAME_LENGTH);
    c->context = context;
    c->name = name;
    c->events = *events;
    if (tracer != NULL) {
        c->tracer = *tracer;
    }
    c->retry_ms = GROUP_CPG_RETRY_MS;
    g_queue_init(&c->unsent);
    c->join_due = loop_timer_new(context, on_join_due, c);
    c->send_due = loop_timer_new(context, on_send_due, c);
    return c;
}

void group_cpg_free(GroupCpg *c)
{
    if (c == NULL) {
        return;
    }
    g_assert(!c->dispatching);
    group_cpg_leave(c);
    loop_timer_free(c->join_due);
    loop_timer_free(c->send_due);
    g_free(c);
}
