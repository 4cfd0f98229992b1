/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/port/qmp.h"

#include "lib/port/clock.h"

#include <assert.h>
#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_PIECE  16384
#define AGENT_MARK  0xff /* before the answer of guest-sync-delimited; no UTF-8 text has it */
#define PENDING_MAX 1024 /* commands without answer: more is a runaway caller */
#define OUTPUT_MAX  (64u * 1024 * 1024) /* a peer that does not read ends the connection */

typedef enum QmpState {
    QMP_STATE_GREETING,    /* connected; the peer has not said hello */
    QMP_STATE_NEGOTIATING, /* qmp_capabilities is on its way */
    QMP_STATE_READY,       /* commands are sent */
    QMP_STATE_CLOSED,      /* nothing is sent or received any more */
} QmpState;

typedef struct Pending {
    uint64_t id;
    MonoTime deadline;
    char *command;
    QmpReply reply;
    void *ctx;
} Pending;

struct QmpClient {
    GMainContext *context; /* NULL: default */
    QmpHandlers handlers;
    QmpState state;
    int fd;
    GSource *input;     /* reads; NULL when closed */
    GSource *output;    /* writes; only while something waits */
    GSource *timer;     /* next deadline */
    GByteArray *in;     /* bytes of the line that is not complete */
    guint seen;         /* of them, known to hold no line end */
    GByteArray *out;    /* bytes to be sent */
    GByteArray *held;   /* commands given before the peer was ready */
    GPtrArray *pending; /* Pending *, oldest first */
    uint64_t next_id;
    bool want_oob;  /* ask for it when the peer greets */
    bool oob;       /* agreed on */
    bool agent;     /* the peer is a guest agent */
    int64_t sync;   /* number the agent must send back */
    bool skipping;  /* up to the mark before its answer */
    unsigned calls; /* callbacks under way: the object stays until they return */
    bool dead;      /* freed by its owner */
};

unsigned qmp_timeout_ms(const char *command)
{
    static const struct {
        const char *prefix;
        unsigned seconds;
    } times[] = {
        {"block-job", 600},
        {"block-stream", 600},
        {"block-commit", 600},
        {"drive-mirror", 600},
        {"guest-fsfreeze-freeze", 3600},
        {"guest-fsfreeze-thaw", 180},
        {"guest-fstrim", 600},
        {"guest-", 10},
        {"query-migrate", 3600},
        {"query-status", 5}, /* somebody looks, and is told as well that it does not answer */
        {"query-", 10},
        {"snapshot-", 3600},
        {"human-monitor-command", 600},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(times); i++) {
        if (g_str_has_prefix(command, times[i].prefix)) {
            return times[i].seconds * 1000;
        }
    }
    return 60000; /* a busy guest takes long even for what is little: that is no failure */
}

/* ------------------------------------------------------------- life cycle */

static void drop_source(GSource **source)
{
    if (*source != NULL) {
        g_source_destroy(*source);
        g_source_unref(*source);
        *source = NULL;
    }
}

static void pending_free(void *data)
{
    Pending *p = data;

    g_free(p->command);
    g_free(p);
}

static void destroy(QmpClient *q)
{
    g_byte_array_unref(q->in);
    g_byte_array_unref(q->out);
    g_byte_array_unref(q->held);
    g_ptr_array_unref(q->pending);
    if (q->context != NULL) {
        g_main_context_unref(q->context);
    }
    g_free(q);
}

/* Every callback is between these two, because it may free the client. */
static void enter(QmpClient *q)
{
    q->calls++;
}

static void leave(QmpClient *q)
{
    assert(q->calls > 0);
    if (--q->calls == 0 && q->dead) {
        destroy(q);
    }
}

static void stop(QmpClient *q)
{
    q->state = QMP_STATE_CLOSED;
    drop_source(&q->input);
    drop_source(&q->output);
    drop_source(&q->timer);
    if (q->fd >= 0) {
        (void)close(q->fd); /* nothing that is still unsent matters now */
        q->fd = -1;
    }
}

static void answer(Pending *p, int r, const JsonTree *value, const Err *err)
{
    if (p->reply != NULL) {
        p->reply(p->ctx, r, value, err);
    }
    pending_free(p);
}

static void answer_all(QmpClient *q, int r, const Err *err)
{
    while (q->pending->len > 0) {
        Pending *p = g_ptr_array_steal_index(q->pending, 0);
        answer(p, r, NULL, err);
    }
}

/* The peer is gone or not to be trusted. */
static void fail(QmpClient *q, const Err *why)
{
    if (q->state == QMP_STATE_CLOSED) {
        return;
    }
    enter(q);
    stop(q);
    answer_all(q, why->code, why);
    if (!q->dead && q->handlers.closed != NULL) {
        q->handlers.closed(q->handlers.ctx, why);
    }
    leave(q);
}

static void failf(QmpClient *q, int code, const char *text)
{
    Err err = ERR_INIT;

    (void)err_setf(&err, code, "QMP: %s", text);
    fail(q, &err);
}

void qmp_client_free(QmpClient *q)
{
    Err err = ERR_INIT;

    if (q == NULL || q->dead) {
        return;
    }
    enter(q);
    q->dead = true;
    stop(q);
    (void)err_setf(&err, -ECANCELED, "QMP: the connection was given up");
    answer_all(q, -ECANCELED, &err);
    leave(q);
}

/* --------------------------------------------------------------- deadlines */

static gboolean on_timer(void *data);

/* Sets the timer to the nearest deadline. */
static void arm_timer(QmpClient *q)
{
    MonoTime next = MONO_NEVER;

    drop_source(&q->timer);
    if (q->state == QMP_STATE_CLOSED) {
        return;
    }
    for (guint i = 0; i < q->pending->len; i++) {
        next = mono_min(next, ((const Pending *)q->pending->pdata[i])->deadline);
    }
    if (next.us == MONO_NEVER.us) {
        return;
    }
    int64_t wait_ms = mono_diff_us(next, clock_mono()) / US_PER_MS + 1;
    q->timer = g_timeout_source_new((guint)CLAMP(wait_ms, 0, 24 * 3600 * 1000));
    g_source_set_callback(q->timer, on_timer, q, NULL);
    (void)g_source_attach(q->timer, q->context);
}

static Pending *take_late(QmpClient *q, MonoTime now)
{
    for (guint i = 0; i < q->pending->len; i++) {
        if (!mono_before(now, ((const Pending *)q->pending->pdata[i])->deadline)) {
            return g_ptr_array_steal_index(q->pending, i);
        }
    }
    return NULL;
}

static gboolean on_timer(void *data)
{
    QmpClient *q = data;
    MonoTime now = clock_mono();
    Pending *p;

    enter(q);
    while (!q->dead && (p = take_late(q, now)) != NULL) {
        Err err = ERR_INIT;
        bool greeting = p->id == 0 || q->agent;
        (void)err_setf(&err, -ETIMEDOUT, "QMP: no answer to '%s' in time", p->command);
        answer(p, -ETIMEDOUT, NULL, &err);
        if (greeting) {
            fail(q, &err); /* it will not do anything, or we would not know what */
        }
    }
    if (!q->dead) {
        arm_timer(q);
    }
    leave(q);
    return G_SOURCE_REMOVE; /* a new one was made */
}

/* ----------------------------------------------------------------- sending */

static gboolean on_writable(int fd, GIOCondition condition, void *data);

static void watch_output(QmpClient *q)
{
    if (q->output == NULL && q->out->len > 0 && q->state != QMP_STATE_CLOSED) {
        q->output = g_unix_fd_source_new(q->fd, G_IO_OUT | G_IO_ERR | G_IO_HUP);
        g_source_set_callback(q->output, G_SOURCE_FUNC(on_writable), q, NULL);
        (void)g_source_attach(q->output, q->context);
    }
}

/* Sends what the socket takes now. */
static int flush(QmpClient *q)
{
    while (q->out->len > 0) {
        ssize_t n = send(q->fd, q->out->data, q->out->len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
        }
        g_byte_array_remove_range(q->out, 0, (guint)n);
    }
    return 0;
}

static gboolean on_writable(int fd, GIOCondition condition, void *data)
{
    QmpClient *q = data;

    (void)fd;
    (void)condition;
    enter(q);
    if (flush(q) < 0) {
        failf(q, -EPIPE, "the connection ended while sending");
    } else if (q->out->len == 0) {
        drop_source(&q->output);
    }
    leave(q);
    return G_SOURCE_CONTINUE; /* ignored when the source was destroyed */
}

static void send_bytes(QmpClient *q, GByteArray *to, const char *line)
{
    g_byte_array_append(to, (const guint8 *)line, (guint)strlen(line));
    if (to == q->out) {
        /* A failure shows up when the socket is watched; callers expect no callback from here. */
        (void)flush(q);
        watch_output(q);
    }
}

static Pending *
add_pending(QmpClient *q, const char *command, unsigned timeout_ms, QmpReply reply, void *ctx)
{
    Pending *p = g_new(Pending, 1);

    *p = (Pending){.id = q->next_id++,
                   .deadline = mono_add_ms(clock_mono(), timeout_ms),
                   .command = g_strdup(command),
                   .reply = reply,
                   .ctx = ctx};
    g_ptr_array_add(q->pending, p);
    arm_timer(q);
    return p;
}

static void execute(QmpClient *q,
                    bool oob,
                    const char *command,
                    JsonTree *arguments,
                    unsigned timeout_ms,
                    QmpReply reply,
                    void *ctx)
{
    g_autoptr(JsonTree) args = arguments;
    g_autofree char *line = NULL;
    const Pending *p;
    Err err = ERR_INIT;

    if (q->state == QMP_STATE_CLOSED || q->pending->len >= PENDING_MAX ||
        q->out->len + q->held->len > OUTPUT_MAX) {
        bool closed = q->state == QMP_STATE_CLOSED;
        (void)err_setf(&err, closed ? -EPIPE : -ENOBUFS, "QMP: %s",
                       closed ? "not connected" : "too many commands wait for an answer");
        if (reply != NULL) {
            reply(ctx, err.code, NULL, &err);
        }
        return;
    }
    timeout_ms = timeout_ms > 0 ? timeout_ms : qmp_timeout_ms(command);
    p = add_pending(q, command, timeout_ms, reply, ctx);
    line = (oob && q->oob ? wire_qmp_encode_oob : wire_qmp_encode)(command, args, p->id);
    send_bytes(q, q->state == QMP_STATE_READY ? q->out : q->held, line);
}

void qmp_execute(QmpClient *q,
                 const char *command,
                 JsonTree *arguments,
                 unsigned timeout_ms,
                 QmpReply reply,
                 void *ctx)
{
    execute(q, false, command, arguments, timeout_ms, reply, ctx);
}

void qmp_client_want_oob(QmpClient *q)
{
    q->want_oob = true;
}

/* --------------------------------------------------------------- receiving */

static Pending *take_pending(QmpClient *q, uint64_t id)
{
    for (guint i = 0; i < q->pending->len; i++) {
        if (((const Pending *)q->pending->pdata[i])->id == id) {
            return g_ptr_array_steal_index(q->pending, i);
        }
    }
    return NULL;
}

static void ready(QmpClient *q)
{
    q->state = QMP_STATE_READY;
    g_byte_array_append(q->out, q->held->data, q->held->len);
    g_byte_array_set_size(q->held, 0);
    (void)flush(q); /* as in send_bytes */
    watch_output(q);
}

static void on_answer(QmpClient *q, const WireQmp *m)
{
    Pending *p = NULL;
    Err err = ERR_INIT;

    if (m->has_id) {
        p = take_pending(q, m->id);
    } else if (q->agent && q->pending->len > 0) {
        p = g_ptr_array_steal_index(q->pending, 0); /* old agents do not repeat ids */
    }
    if (p == NULL) {
        /* An answer that came too late, or QEMU's complaint about something it could not read. */
        return;
    }
    arm_timer(q);
    if (m->kind == WIRE_QMP_RETURN) {
        answer(p, 0, m->data, &err);
        return;
    }
    (void)err_setf(&err, wire_qmp_errno(m->name), "%s: %s", p->command, m->description);
    answer(p, err.code, NULL, &err);
}

static void on_negotiated(void *ctx, int r, const JsonTree *value, const Err *err)
{
    QmpClient *q = ctx;

    (void)value;
    if (r == 0) {
        ready(q);
    } else if (!q->dead) {
        fail(q, err);
    }
}

/* What to answer to the greeting. */
static JsonTree *choose_capabilities(QmpClient *q, const WireQmp *m)
{
    const JsonTree *offered = jsontree_get(m->data, "capabilities");
    JsonTree *arguments = NULL, *list;

    for (guint i = 0; q->want_oob && i < jsontree_count(offered); i++) {
        q->oob = q->oob || g_strcmp0(jsontree_text(jsontree_at(offered, i)), "oob") == 0;
    }
    if (q->oob) {
        list = jsontree_new_array();
        jsontree_add(list, jsontree_new_text("oob"));
        arguments = jsontree_new_object();
        jsontree_set(arguments, "enable", list);
    }
    return arguments;
}

static void on_greeting(QmpClient *q, const WireQmp *m)
{
    g_autofree char *line = NULL;
    g_autoptr(JsonTree) arguments = choose_capabilities(q, m);
    Pending *hello = take_pending(q, 0);

    if (hello != NULL) {
        pending_free(hello);
    }
    q->state = QMP_STATE_NEGOTIATING;
    const Pending *p = add_pending(q, "qmp_capabilities", QMP_CONNECT_MS, on_negotiated, q);
    line = wire_qmp_encode("qmp_capabilities", arguments, p->id);
    send_bytes(q, q->out, line);
}

/* The first line after the mark must be the number we sent; anything else is an older talk. */
static void on_sync(QmpClient *q, const WireQmp *m)
{
    Pending *hello;

    if (m->kind != WIRE_QMP_RETURN || jsontree_int(m->data, -1) != q->sync) {
        q->skipping = true;
        return;
    }
    hello = take_pending(q, 0);
    if (hello != NULL) {
        pending_free(hello);
    }
    arm_timer(q);
    ready(q);
}

static void on_line(QmpClient *q, const char *line, size_t len)
{
    g_auto(WireQmp) m = {0};
    Err err = ERR_INIT;

    if (wire_qmp_decode(line, len, &m, &err) < 0) {
        fail(q, &err);
        return;
    }
    if (q->agent && q->state == QMP_STATE_GREETING) {
        on_sync(q, &m);
        return;
    }
    if ((m.kind == WIRE_QMP_GREETING) != (q->state == QMP_STATE_GREETING)) {
        failf(q, -EBADMSG, "the peer does not speak in turn");
        return;
    }
    switch (m.kind) {
    case WIRE_QMP_GREETING:
        on_greeting(q, &m);
        break;
    case WIRE_QMP_RETURN:
    case WIRE_QMP_ERROR:
        on_answer(q, &m);
        break;
    case WIRE_QMP_EVENT:
        if (q->handlers.event != NULL) {
            q->handlers.event(q->handlers.ctx, &m);
        }
        break;
    }
}

/* Drops what comes before the mark; true when the mark was found. */
static bool skip_to_mark(QmpClient *q)
{
    guint8 *mark = q->in->len > 0 ? memchr(q->in->data, AGENT_MARK, q->in->len) : NULL;

    g_byte_array_remove_range(q->in, 0,
                              mark != NULL ? (guint)(mark - q->in->data) + 1 : q->in->len);
    q->skipping = mark == NULL;
    q->seen = 0;
    return mark != NULL;
}

/* Hands out the complete lines. */
static void take_lines(QmpClient *q)
{
    while (!q->dead && q->state != QMP_STATE_CLOSED) {
        if (q->skipping && !skip_to_mark(q)) {
            return;
        }
        guint8 *end =
            q->in->len > q->seen ? memchr(q->in->data + q->seen, '\n', q->in->len - q->seen) : NULL;
        g_autofree char *line = NULL;
        size_t len;

        if (end == NULL) {
            q->seen = q->in->len;
            if (q->in->len > WIRE_QMP_LINE_MAX) {
                failf(q, -E2BIG, "the peer sends a message without end");
            }
            return;
        }
        len = (size_t)(end - q->in->data);
        line = g_strndup((const char *)q->in->data, len);
        g_byte_array_remove_range(q->in, 0, (guint)len + 1);
        q->seen = 0;
        while (len > 0 && line[len - 1] == '\r') {
            len--;
        }
        if (len > 0) {
            on_line(q, line, len);
        }
    }
}

static gboolean on_readable(int fd, GIOCondition condition, void *data)
{
    QmpClient *q = data;
    char piece[READ_PIECE];
    ssize_t n;

    (void)condition;
    enter(q);
    n = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
    if (n > 0) {
        g_byte_array_append(q->in, (const guint8 *)piece, (guint)n);
        take_lines(q);
    } else if (n == 0) {
        failf(q, -EPIPE, "the peer closed the connection");
    } else if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
        failf(q, -EPIPE, g_strerror(errno));
    }
    leave(q);
    return G_SOURCE_CONTINUE; /* ignored when the source was destroyed */
}

/* -------------------------------------------------------------- connecting */

static int
new_client(GMainContext *context, int fd, const QmpHandlers *handlers, QmpClient **ret, Err *err)
{
    QmpClient *q;

    if (!g_unix_set_fd_nonblocking(fd, TRUE, NULL)) {
        (void)close(fd);
        return err_setf(err, -EINVAL, "QMP: not a socket");
    }
    q = g_new0(QmpClient, 1);
    q->context = context != NULL ? g_main_context_ref(context) : NULL;
    q->handlers = handlers != NULL ? *handlers : (QmpHandlers){0};
    q->fd = fd;
    q->in = g_byte_array_new();
    q->out = g_byte_array_new();
    q->held = g_byte_array_new();
    q->pending = g_ptr_array_new_with_free_func(pending_free);
    /* Id 0 stands for the greeting: its deadline is the deadline of the peer. */
    (void)add_pending(q, "greeting", QMP_CONNECT_MS, NULL, NULL);
    q->input = g_unix_fd_source_new(fd, G_IO_IN | G_IO_ERR | G_IO_HUP);
    g_source_set_callback(q->input, G_SOURCE_FUNC(on_readable), q, NULL);
    (void)g_source_attach(q->input, context);
    *ret = q;
    return 0;
}

int qmp_client_new_fd(
    GMainContext *context, int fd, const QmpHandlers *handlers, QmpClient **ret, Err *err)
{
    return new_client(context, fd, handlers, ret, err);
}

int qmp_client_new_agent_fd(
    GMainContext *context, int fd, const QmpHandlers *handlers, QmpClient **ret, Err *err)
{
    g_autofree char *line = NULL;
    QmpClient *q = NULL;
    int r = new_client(context, fd, handlers, &q, err);

    if (r < 0) {
        return r;
    }
    q->agent = true;
    q->skipping = true;
    q->sync = clock_mono().us & INT32_MAX;
    /* The mark in front ends a half-sent command of somebody before us. */
    line = g_strdup_printf(
        "\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%" G_GINT64_FORMAT "}}\n",
        q->sync);
    send_bytes(q, q->out, line);
    *ret = q;
    return 0;
}

static int connect_to(const char *path, Err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof address.sun_path) {
        return err_setf(err, -ENAMETOOLONG, "QMP: socket path '%s' is too long", path);
    }
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return err_setf(err, -errno, "QMP: %s", g_strerror(errno));
    }
    /* A Unix socket connects at once or not at all; EAGAIN is a listener whose queue is full. */
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int code = -errno;
        (void)close(fd);
        return err_setf(err, code, "QMP: %s: %s", path, g_strerror(-code));
    }
    return fd;
}

int qmp_client_new(
    GMainContext *context, const char *path, const QmpHandlers *handlers, QmpClient **ret, Err *err)
{
    int fd = connect_to(path, err);

    return fd < 0 ? fd : qmp_client_new_fd(context, fd, handlers, ret, err);
}

int qmp_client_new_agent(
    GMainContext *context, const char *path, const QmpHandlers *handlers, QmpClient **ret, Err *err)
{
    int fd = connect_to(path, err);

    return fd < 0 ? fd : qmp_client_new_agent_fd(context, fd, handlers, ret, err);
}

/* -------------------------------------------------------------------- call */

typedef struct Call {
    bool done;
    int r;
    JsonTree *value;
    Err err;
} Call;

static void on_call_done(void *ctx, int r, const JsonTree *value, const Err *err)
{
    Call *c = ctx;

    c->done = true;
    c->r = r;
    c->value = jsontree_copy(value);
    c->err = *err;
}

/* Until the answer has come; then `c` is used up. */
static int wait_call(QmpClient *q, Call *c, JsonTree **ret, Err *err)
{
    while (!c->done) {
        (void)g_main_context_iteration(q->context, TRUE);
    }
    if (c->r < 0) {
        if (err != NULL) {
            *err = c->err;
        }
        return c->r;
    }
    if (ret != NULL) {
        *ret = c->value;
    } else {
        jsontree_free(c->value);
    }
    return 0;
}

int qmp_call(QmpClient *q,
             const char *command,
             JsonTree *arguments,
             unsigned timeout_ms,
             JsonTree **ret,
             Err *err)
{
    Call c = {.err = ERR_INIT};
    int r;

    enter(q);
    qmp_execute(q, command, arguments, timeout_ms, on_call_done, &c);
    r = wait_call(q, &c, ret, err);
    leave(q);
    return r;
}

int qmp_call_oob(
    QmpClient *q, const char *command, JsonTree *arguments, unsigned timeout_ms, Err *err)
{
    Call c = {.err = ERR_INIT};
    int r;

    enter(q);
    execute(q, true, command, arguments, timeout_ms, on_call_done, &c);
    r = wait_call(q, &c, NULL, err);
    leave(q);
    return r;
}

/* One message with a descriptor beside it. The first byte carries it, so all of the line must go
 * at once or (when the socket takes less) the rest as usual. */
static int send_with_fd(QmpClient *q, const char *line, int fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)line, .iov_len = strlen(line)};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.space,
                             .msg_controllen = sizeof control.space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    ssize_t n;

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    do {
        n = sendmsg(q->fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -errno;
    }
    if ((size_t)n < strlen(line)) {
        send_bytes(q, q->out, line + n);
    }
    return 0;
}

int qmp_give_fd(QmpClient *q, const char *name, int fd, Err *err)
{
    g_autoptr(JsonTree) args = jsontree_new_object();
    g_autofree char *line = NULL;
    Call c = {.err = ERR_INIT};
    /* Afterwards the peer is ready and nothing waits to be sent. */
    int r = qmp_call(q, "query-version", NULL, 0, NULL, err);

    if (r < 0) {
        return r;
    }
    jsontree_set_text(args, "fdname", name);
    enter(q);
    const Pending *p = add_pending(q, "getfd", qmp_timeout_ms("getfd"), on_call_done, &c);
    line = wire_qmp_encode("getfd", args, p->id);
    r = send_with_fd(q, line, fd);
    if (r < 0) {
        failf(q, -EPIPE, "the connection ended while sending"); /* answers the call as well */
    }
    r = wait_call(q, &c, NULL, err);
    leave(q);
    return r;
}
