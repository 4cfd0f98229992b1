/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/io/mig_link.h"

#include "lib/port/clock.h"
#include "migration/core/mig_limits.h"
#include "migration/io/mig_socket.h"
#include "migration/io/mig_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_PIECE 65536
#define OUTPUT_MAX (32u * 1024 * 1024) /* a peer that does not read ends the connection */
#define LINGER_MS  2000                /* for what is still to be sent when a link is closed */

struct MigLink {
    gint refs;
    GMainContext *context;
    MigLinkHandlers handlers;
    int fd;
    SSL *ssl;
    bool accepted, greeted, connected, shaken, closed, closing, wants_write;
    MonoTime heard, opened, close_by;
    GSource *io, *timer;
    GByteArray *in, *out;
    char address[INET6_ADDRSTRLEN];
};

MigLink *mig_link_ref(MigLink *l)
{
    g_atomic_int_inc(&l->refs);
    return l;
}

void mig_link_unref(MigLink *l)
{
    if (l == NULL || !g_atomic_int_dec_and_test(&l->refs)) {
        return;
    }
    SSL_free(l->ssl);
    if (l->fd >= 0) {
        (void)close(l->fd); /* everything that matters was sent */
    }
    g_byte_array_unref(l->in);
    g_byte_array_unref(l->out);
    if (l->context != NULL) {
        g_main_context_unref(l->context);
    }
    g_free(l);
}

static void unref_link(void *l)
{
    mig_link_unref(l);
}

static void drop(GSource **source)
{
    if (*source != NULL) {
        g_source_destroy(*source);
        g_source_unref(*source);
        *source = NULL;
    }
}

/* Nothing is sent or heard any more. */
static void shut(MigLink *l)
{
    l->closed = true;
    drop(&l->io);
    drop(&l->timer);
    if (l->fd >= 0) {
        (void)shutdown(l->fd, SHUT_RDWR); /* the peer shall know at once */
    }
}

static void lose(MigLink *l, const Err *why)
{
    MigLinkHandlers h = l->handlers;

    if (l->closed) {
        return;
    }
    shut(l);
    if (!l->closing && h.lost != NULL) {
        h.lost(h.ctx, l, why);
    }
}

static void losef(MigLink *l, int code, const char *text)
{
    Err err = ERR_INIT;

    (void)err_setf(&err, code, "%s", text);
    lose(l, &err);
}

/* ---- sending --------------------------------------------------------------------------------- */

static gboolean on_io(gint fd, GIOCondition condition, gpointer data);

static void watch(MigLink *l)
{
    bool write = l->wants_write || !l->connected || l->out->len > 0;

    if (l->closed) {
        return;
    }
    drop(&l->io);
    l->io = g_unix_fd_source_new(l->fd, write ? G_IO_IN | G_IO_OUT : G_IO_IN);
    g_source_set_callback(l->io, G_SOURCE_FUNC(on_io), mig_link_ref(l), unref_link);
    (void)g_source_attach(l->io, l->context);
}

/* True when the call shall be tried again later; else the link is lost. */
static bool again(MigLink *l, int rc, const char *what)
{
    int code = SSL_get_error(l->ssl, rc);
    Err err = ERR_INIT;

    if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE) {
        l->wants_write = code == SSL_ERROR_WANT_WRITE;
        ERR_clear_error();
        return true;
    }
    mig_tls_reason(l->ssl, &err, l->shaken ? -EPIPE : -EKEYREJECTED, what);
    lose(l, &err);
    return false;
}

static bool flush(MigLink *l)
{
    while (l->out->len > 0 && !l->closed) {
        int n = SSL_write(l->ssl, l->out->data, (int)MIN(l->out->len, 1024u * 1024));

        if (n <= 0) {
            return again(l, n, "sending");
        }
        g_byte_array_remove_range(l->out, 0, (guint)n);
    }
    if (l->closing && !l->closed) {
        (void)SSL_shutdown(l->ssl); /* politeness; the socket is closed in any case */
        shut(l);
    }
    return !l->closed;
}

static void put(MigLink *l, GBytes *message)
{
    gsize size = 0;
    const void *data = g_bytes_get_data(message, &size);

    if (l->closed) {
        return;
    }
    if (l->out->len + size > OUTPUT_MAX) {
        losef(l, -ENOBUFS, "the other agent does not read");
        return;
    }
    g_byte_array_append(l->out, data, (guint)size);
    if (l->shaken && flush(l)) {
        watch(l);
    }
}

typedef struct Send {
    MigLink *link;
    GBytes *message;
} Send;

static gboolean on_send(gpointer data)
{
    Send *s = data;

    put(s->link, s->message);
    return G_SOURCE_REMOVE;
}

static void send_free(void *data)
{
    Send *s = data;

    mig_link_unref(s->link);
    g_bytes_unref(s->message);
    g_free(s);
}

void mig_link_send(MigLink *l, GBytes *message)
{
    Send *s;

    if (message == NULL) {
        return;
    }
    s = g_new(Send, 1);
    *s = (Send){mig_link_ref(l), message};
    g_main_context_invoke_full(l->context, G_PRIORITY_HIGH, on_send, s, send_free);
}

static gboolean on_close(gpointer data)
{
    MigLink *l = data;

    l->closing = true;
    l->close_by = mono_add_ms(clock_mono(), LINGER_MS);
    if (!l->shaken) {
        shut(l);
    } else if (!l->closed && flush(l)) {
        watch(l);
    }
    return G_SOURCE_REMOVE;
}

void mig_link_close(MigLink *l)
{
    g_main_context_invoke_full(l->context, G_PRIORITY_HIGH, on_close, mig_link_ref(l), unref_link);
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void hand_out(MigLink *l, WireMig *m)
{
    l->greeted = l->greeted || m->type != WIRE_MIG_PING;
    if (m->type != WIRE_MIG_PING && !l->closing && l->handlers.message != NULL) {
        l->handlers.message(l->handlers.ctx, l, m);
    }
}

static void take_messages(MigLink *l)
{
    while (!l->closed) {
        g_auto(WireMig) m = {0};
        Err err = ERR_INIT;
        int64_t size = wire_mig_size(l->in->data, l->in->len, &err);
        int r;

        if (size == 0 || (size > 0 && l->in->len < (guint64)size)) {
            return;
        }
        r = size < 0 ? (int)size : wire_mig_decode(l->in->data, (size_t)size, &m, &err);
        if (r < 0) {
            lose(l, &err);
            return;
        }
        g_byte_array_remove_range(l->in, 0, (guint)size);
        hand_out(l, &m);
    }
}

static bool receive(MigLink *l)
{
    guint8 piece[READ_PIECE];

    for (;;) {
        int n = SSL_read(l->ssl, piece, sizeof piece);

        if (n <= 0) {
            return again(l, n, "the other agent");
        }
        l->heard = clock_mono();
        g_byte_array_append(l->in, piece, (guint)n);
        take_messages(l);
        if (l->closed) {
            return false;
        }
    }
}

static bool finish_connect(MigLink *l)
{
    int error = 0;
    socklen_t size = sizeof error;

    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
        error = errno;
    }
    if (error != 0) {
        losef(l, -error, g_strerror(error));
        return false;
    }
    l->connected = true;
    return true;
}

static bool shake(MigLink *l)
{
    int rc = SSL_do_handshake(l->ssl);

    if (rc != 1) {
        if (again(l, rc, "TLS with the other agent")) {
            watch(l);
        }
        return false;
    }
    l->shaken = true;
    l->heard = clock_mono();
    if (l->handlers.ready != NULL) {
        l->handlers.ready(l->handlers.ctx, l);
    }
    return !l->closed;
}

static gboolean on_io(gint fd, GIOCondition condition, gpointer data)
{
    MigLink *l = data;

    (void)fd;
    (void)condition;
    if (l->closed || (!l->connected && !finish_connect(l)) || (!l->shaken && !shake(l))) {
        return G_SOURCE_CONTINUE; /* ignored when the source was destroyed */
    }
    l->wants_write = false;
    if (receive(l) && flush(l)) {
        watch(l);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean on_timer(gpointer data)
{
    MigLink *l = data;
    MonoTime now = clock_mono();

    if (l->closing && !mono_before(now, l->close_by)) {
        shut(l);
    } else if (!mono_before(now, mono_add_ms(l->heard, MIG_LOST_MS))) {
        losef(l, -ETIMEDOUT,
              l->shaken ? "nothing was heard of the other agent for 5 seconds"
                        : "no answer from the other agent within 5 seconds");
    } else if (l->accepted && !l->greeted && !l->closing &&
               !mono_before(now, mono_add_ms(l->opened, MIG_HELLO_MS))) {
        losef(l, -ETIMEDOUT, "it did not say who it is within 10 seconds");
    } else if (l->shaken && !l->closing) {
        g_autoptr(GBytes) ping = wire_mig_encode(WIRE_MIG_PING, NULL);

        put(l, ping);
    }
    return G_SOURCE_CONTINUE;
}

/* ---- making ---------------------------------------------------------------------------------- */

static void name_peer(MigLink *l)
{
    struct sockaddr_storage a = {0};
    socklen_t size = sizeof a;

    if (getpeername(l->fd, (struct sockaddr *)&a, &size) < 0) {
        return; /* stays "" */
    }
    if (a.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&a;

        (void)inet_ntop(AF_INET, &in->sin_addr, l->address, sizeof l->address);
    } else if (a.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a;

        (void)inet_ntop(AF_INET6, &in6->sin6_addr, l->address, sizeof l->address);
    }
}

static int new_link(GMainContext *context,
                    const MigIdentity *me,
                    const char *expect,
                    int fd,
                    const MigLinkHandlers *handlers,
                    MigLink **ret,
                    Err *err)
{
    MigLink *l = g_new0(MigLink, 1);
    int one = 1;
    int r;

    l->refs = 1;
    l->context = context != NULL ? g_main_context_ref(context) : NULL;
    l->handlers = *handlers;
    l->fd = fd;
    l->in = g_byte_array_new();
    l->out = g_byte_array_new();
    l->accepted = l->connected = expect == NULL;
    l->opened = l->heard = clock_mono();
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* only slower without */
    r = mig_tls_new(me->pve, me->node, expect, fd, &l->ssl, err);
    if (r < 0) {
        mig_link_unref(l);
        return r;
    }
    name_peer(l);
    l->timer = g_timeout_source_new(MIG_PING_MS);
    g_source_set_callback(l->timer, on_timer, mig_link_ref(l), unref_link);
    (void)g_source_attach(l->timer, context);
    *ret = l;
    watch(l);
    return 0;
}

int mig_link_connect(GMainContext *context,
                     const MigIdentity *me,
                     const char *name,
                     const char *address,
                     unsigned port,
                     const MigLinkHandlers *handlers,
                     MigLink **ret,
                     Err *err)
{
    struct sockaddr_storage to;
    int size = mig_address_parse(address, port, &to);
    int fd;

    if (size < 0) {
        return err_setf(err, size, "'%s' is no address of node '%s'", address, name);
    }
    fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return err_setf(err, -errno, "a socket: %s", g_strerror(errno));
    }
    if (connect(fd, (const struct sockaddr *)&to, (socklen_t)size) < 0 && errno != EINPROGRESS) {
        int r = -errno;

        (void)close(fd); /* never was a connection */
        return err_setf(err, r, "connecting to the agent of node '%s' at %s port %u: %s", name,
                        address, port, g_strerror(-r));
    }
    return new_link(context, me, name, fd, handlers, ret, err);
}

int mig_link_accept(GMainContext *context,
                    const MigIdentity *me,
                    int fd,
                    const MigLinkHandlers *handlers,
                    MigLink **ret,
                    Err *err)
{
    return new_link(context, me, NULL, fd, handlers, ret, err);
}

void mig_link_set_handlers(MigLink *l, const MigLinkHandlers *handlers)
{
    l->handlers = *handlers;
}

bool mig_link_peer_has_name(MigLink *l, const char *name)
{
    return l->shaken && mig_tls_peer_has_name(l->ssl, name);
}

char *mig_link_peer_subject(MigLink *l)
{
    return l->shaken ? mig_tls_peer_subject(l->ssl) : NULL;
}

int64_t mig_link_rtt_us(const MigLink *l)
{
    return mig_socket_rtt_us(l->fd);
}

const char *mig_link_peer_address(const MigLink *l)
{
    return l->address;
}

void mig_link_steal(MigLink *l, int *ret_fd, void **ret_ssl, GByteArray **ret_rest)
{
    l->closed = true;
    drop(&l->io);
    drop(&l->timer);
    (void)g_unix_set_fd_nonblocking(l->fd, FALSE, NULL); /* a connected socket */
    *ret_fd = l->fd;
    *ret_ssl = l->ssl;
    *ret_rest = g_byte_array_ref(l->in);
    l->fd = -1;
    l->ssl = NULL;
}
