/* SPDX-License-Identifier: Apache-2.0 */
#include "pmxcfs/io/shmipc.h"

#include "pmxcfs/io/shmring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The handshake, in libqb's layout. */
enum { ID_AUTHENTICATE = -1, ID_DISCONNECT = -3, TYPE_SHM = 1 };

struct wire_hello {
    int32_t id, pad0, size, pad1;
    uint32_t message_max, pad2;
};

struct wire_welcome {
    int32_t id, pad0, size, pad1, error, pad2;
    int32_t type;
    uint32_t message_max;
    uint64_t connection;
    char request[PATH_MAX];
    char response[PATH_MAX];
    char event[PATH_MAX];
};

_Static_assert(sizeof(struct wire_hello) == 24, "as libqb has it");
_Static_assert(sizeof(struct wire_welcome) == 40 + 3 * PATH_MAX, "as libqb has it");

/* libqb's clients never ask for less. */
#define MESSAGE_MIN sizeof(struct wire_welcome)
/* Messages taken from one connection before the others have their turn. */
#define TURN_MAX 8
#define BACKLOG  256
/* Out of descriptors: nobody new for so long. */
#define RETRY_MS 100

struct ShmIpc {
    GMainContext *context;
    const ShmIpcHandlers *handlers;
    void *ctx;
    char *name;
    int fd;
    GSource *source;  /* of the listening socket, or a timer while descriptors are short */
    GPtrArray *conns; /* of ShmIpcConn, owned */
    guint handshakes; /* connections that are not yet accepted */
    uint64_t serial;
};

struct ShmIpcConn {
    ShmIpc *s;
    int fd;
    GSource *source; /* of the socket */
    GSource *timer;  /* handshake, then work left for the next turn */
    uint64_t serial;
    struct wire_hello hello;
    size_t hello_size; /* bytes of it that came */
    ShmIpcPeer peer;
    bool accepted;
    bool paused;
    bool closing;
    void *user;
    char dir[64]; /* "" until made */
    int dirfd;
    ShmRing request, response, event;
};

static void drop_source(GSource **source)
{
    if (*source != NULL) {
        g_source_destroy(*source);
        g_clear_pointer(source, g_source_unref);
    }
}

static void start_timer(ShmIpcConn *c, guint ms, GSourceFunc fn)
{
    drop_source(&c->timer);
    c->timer = g_timeout_source_new(ms);
    g_source_set_callback(c->timer, fn, c, NULL);
    g_source_attach(c->timer, c->s->context);
}

/* ---- end of a connection ---- */

static void conn_free(gpointer data)
{
    ShmIpcConn *c = data;

    drop_source(&c->source);
    drop_source(&c->timer);
    if (c->accepted) {
        c->s->handlers->closed(c->s->ctx, c);
    } else {
        c->s->handshakes--;
    }
    shmring_close(&c->request);
    shmring_close(&c->response);
    shmring_close(&c->event);
    if (c->dir[0] != '\0') {
        (void)close(c->dirfd);
        (void)rmdir(c->dir); /* nobody but us can put anything there */
    }
    (void)shutdown(c->fd, SHUT_RDWR);
    (void)close(c->fd);
    g_free(c);
}

static gboolean end_now(gpointer ctx)
{
    ShmIpcConn *c = ctx;

    (void)g_ptr_array_remove_fast(c->s->conns, c);
    return G_SOURCE_REMOVE;
}

void shmipc_close(ShmIpcConn *c)
{
    if (!c->closing) {
        c->closing = true;
        drop_source(&c->source);
        start_timer(c, 0, end_now);
    }
}

/* ---- handshake ---- */

/* A folder that the client can pass through but not change. */
static int make_dir(ShmIpcConn *c)
{
    g_snprintf(c->dir, sizeof c->dir, "/dev/shm/qb-%d-%d-%d-XXXXXX", getpid(), c->peer.pid, c->fd);
    if (mkdtemp(c->dir) == NULL) {
        int rc = -errno;

        c->dir[0] = '\0';
        return rc;
    }
    c->dirfd = open(c->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (c->dirfd < 0 || fchown(c->dirfd, (uid_t)-1, c->peer.gid) < 0 ||
        fchmod(c->dirfd, 0710) < 0) {
        return -errno;
    }
    return 0;
}

static int make_rings(ShmIpcConn *c)
{
    static const char *const kinds[] = {"request", "response", "event"};
    ShmRing *rings[] = {&c->request, &c->response, &c->event};
    int rc = make_dir(c);

    for (unsigned i = 0; rc == 0 && i < G_N_ELEMENTS(rings); i++) {
        char name[64];

        g_snprintf(name, sizeof name, "qb-%s-%s", kinds[i], c->s->name);
        rc = shmring_create(rings[i], c->dirfd, c->dir, name, c->peer.message_max, c->peer.uid,
                            c->peer.gid);
    }
    return rc;
}

static void welcome(ShmIpcConn *c, int error)
{
    g_autofree struct wire_welcome *w = g_new0(struct wire_welcome, 1);

    w->id = ID_AUTHENTICATE;
    w->size = (int32_t)sizeof *w;
    w->error = error;
    if (error == 0) {
        w->type = TYPE_SHM;
        w->message_max = (uint32_t)c->peer.message_max;
        w->connection = c->serial; /* for the client a number without meaning */
        g_snprintf(w->request, PATH_MAX, "%s/%s", c->dir, c->request.name);
        g_snprintf(w->response, PATH_MAX, "%s/%s", c->dir, c->response.name);
        g_snprintf(w->event, PATH_MAX, "%s/%s", c->dir, c->event.name);
    }
    /* The socket is fresh: all of it fits, or the client is gone. */
    if (send(c->fd, w, sizeof *w, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof *w) {
        shmipc_close(c);
    }
}

static void finish_handshake(ShmIpcConn *c)
{
    int rc = 0;

    drop_source(&c->timer);
    if (c->hello.id != ID_AUTHENTICATE) {
        shmipc_close(c);
        return;
    }
    c->peer.message_max = MAX(c->hello.message_max, MESSAGE_MIN);
    rc = c->s->handlers->accept(c->s->ctx, &c->peer, c, &c->user);
    if (rc == 0) {
        c->accepted = true;
        c->s->handshakes--;
        rc = make_rings(c);
    }
    welcome(c, rc);
    if (rc < 0) {
        shmipc_close(c);
    }
}

/* Credentials come with the first bytes: the kernel's word on who sent them. */
static bool take_credentials(ShmIpcConn *c, struct msghdr *msg)
{
    for (struct cmsghdr *m = CMSG_FIRSTHDR(msg); m != NULL; m = CMSG_NXTHDR(msg, m)) {
        if (m->cmsg_level == SOL_SOCKET && m->cmsg_type == SCM_CREDENTIALS &&
            m->cmsg_len == CMSG_LEN(sizeof(struct ucred))) {
            struct ucred who;

            memcpy(&who, CMSG_DATA(m), sizeof who);
            c->peer.uid = who.uid;
            c->peer.gid = who.gid;
            c->peer.pid = who.pid;
            return true;
        }
    }
    return false;
}

static void read_hello(ShmIpcConn *c)
{
    union {
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = (uint8_t *)&c->hello + c->hello_size,
                        .iov_len = sizeof c->hello - c->hello_size};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    ssize_t n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0 || !take_credentials(c, &msg)) {
        shmipc_close(c);
        return;
    }
    c->hello_size += (size_t)n;
    if (c->hello_size == sizeof c->hello) {
        finish_handshake(c);
    }
}

static gboolean handshake_late(gpointer ctx)
{
    shmipc_close(ctx);
    return G_SOURCE_REMOVE;
}

/* ---- messages ---- */

/* libqb's clients ask for the end with a message of their own. */
static bool is_disconnect(GBytes *message)
{
    gsize size;
    const void *data = g_bytes_get_data(message, &size);
    int32_t id = 0;

    if (size >= sizeof id) {
        memcpy(&id, data, sizeof id);
    }
    return size == 0 || id == ID_DISCONNECT;
}

static gboolean take_turn(gpointer ctx);

static void take_messages(ShmIpcConn *c)
{
    for (int i = 0; i < TURN_MAX && !c->closing && !c->paused; i++) {
        g_autoptr(GBytes) message = NULL;
        int rc = shmring_take(&c->request, &message);

        if (rc == 0) {
            return;
        }
        if (rc < 0 || is_disconnect(message)) {
            shmipc_close(c);
            return;
        }
        c->s->handlers->message(c->s->ctx, c, message);
    }
    if (!c->closing && !c->paused) {
        start_timer(c, 0, take_turn); /* there may be more, after the others */
    }
}

static gboolean take_turn(gpointer ctx)
{
    ShmIpcConn *c = ctx;

    drop_source(&c->timer);
    take_messages(c);
    return G_SOURCE_REMOVE;
}

/* A byte on the socket says: look into the ring. How many there are does not matter. */
static void read_nudges(ShmIpcConn *c)
{
    char bytes[64];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        shmipc_close(c);
        return;
    }
    take_messages(c);
}

static gboolean on_readable(gint fd, GIOCondition got, gpointer ctx)
{
    ShmIpcConn *c = ctx;

    (void)fd;
    if ((got & G_IO_IN) == 0) {
        shmipc_close(c); /* hung up, nothing left to read */
    } else if (!c->accepted) {
        read_hello(c);
    } else {
        read_nudges(c);
    }
    return c->closing ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

void *shmipc_user(const ShmIpcConn *c)
{
    return c->user;
}

void shmipc_pause(ShmIpcConn *c)
{
    c->paused = true;
}

void shmipc_resume(ShmIpcConn *c)
{
    if (c->paused) {
        c->paused = false;
        if (!c->closing) {
            start_timer(c, 0, take_turn);
        }
    }
}

int shmipc_send(ShmIpcConn *c, const struct iovec *iov, int n)
{
    return c->closing ? -ENOTCONN : shmring_put(&c->response, iov, n);
}

/* ---- listening ---- */

static void watch(GSource **source, int fd, GUnixFDSourceFunc fn, gpointer ctx, GMainContext *where)
{
    *source = g_unix_fd_source_new(fd, G_IO_IN | G_IO_HUP | G_IO_ERR);
    g_source_set_callback(*source, G_SOURCE_FUNC(fn), ctx, NULL);
    g_source_attach(*source, where);
}

/* Who connects and says nothing must not keep out who has something to say. */
static void drop_oldest_handshake(ShmIpc *s)
{
    ShmIpcConn *oldest = NULL;

    for (guint i = 0; i < s->conns->len; i++) {
        ShmIpcConn *c = g_ptr_array_index(s->conns, i);

        if (!c->accepted && !c->closing && (oldest == NULL || c->serial < oldest->serial)) {
            oldest = c;
        }
    }
    if (oldest != NULL) {
        shmipc_close(oldest);
    }
}

static gboolean listen_again(gpointer ctx);

static gboolean on_connect(gint fd, GIOCondition got, gpointer ctx)
{
    ShmIpc *s = ctx;
    int on = 1;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    ShmIpcConn *c;

    (void)got;
    if (client < 0) {
        if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) {
            return G_SOURCE_CONTINUE; /* it went away again */
        }
        drop_source(&s->source);
        s->source = g_timeout_source_new(RETRY_MS);
        g_source_set_callback(s->source, listen_again, s, NULL);
        g_source_attach(s->source, s->context);
        return G_SOURCE_REMOVE;
    }
    if (setsockopt(client, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0) {
        (void)close(client);
        return G_SOURCE_CONTINUE;
    }
    if (s->handshakes >= SHMIPC_HANDSHAKES_MAX) {
        drop_oldest_handshake(s);
    }
    c = g_new0(ShmIpcConn, 1);
    c->s = s;
    c->fd = client;
    c->dirfd = -1;
    c->serial = ++s->serial;
    s->handshakes++;
    g_ptr_array_add(s->conns, c);
    watch(&c->source, client, on_readable, c, s->context);
    start_timer(c, SHMIPC_HANDSHAKE_MS, handshake_late);
    return G_SOURCE_CONTINUE;
}

static gboolean listen_again(gpointer ctx)
{
    ShmIpc *s = ctx;

    drop_source(&s->source);
    watch(&s->source, s->fd, on_connect, s, s->context);
    return G_SOURCE_REMOVE;
}

static int listen_at(const char *name)
{
    /* The abstract address is the name padded with NUL to the full length. */
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int on = 1;
    int fd, rc;

    if (strlen(name) > sizeof addr.sun_path - 2) {
        return -ENAMETOOLONG;
    }
    memcpy(addr.sun_path + 1, name, strlen(name));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    /* Inherited by clients from the moment they connect: no byte comes without credentials. */
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(fd, BACKLOG) < 0) {
        rc = -errno;
        (void)close(fd);
        return rc;
    }
    return fd;
}

int shmipc_new(const char *name,
               GMainContext *context,
               const ShmIpcHandlers *handlers,
               void *ctx,
               ShmIpc **ret,
               Err *err)
{
    ShmIpc *s;
    int fd = listen_at(name);

    if (fd < 0) {
        return err_setf(err, fd, "ipc: cannot listen at '%s': %s", name, g_strerror(-fd));
    }
    shmring_guard_install();
    s = g_new0(ShmIpc, 1);
    s->context = g_main_context_ref(context);
    s->handlers = handlers;
    s->ctx = ctx;
    s->name = g_strdup(name);
    s->fd = fd;
    s->conns = g_ptr_array_new_with_free_func(conn_free);
    watch(&s->source, fd, on_connect, s, context);
    *ret = s;
    return 0;
}

void shmipc_free(ShmIpc *s)
{
    if (s == NULL) {
        return;
    }
    drop_source(&s->source);
    (void)close(s->fd);
    g_ptr_array_unref(s->conns);
    g_main_context_unref(s->context);
    g_free(s->name);
    g_free(s);
}
