/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/io/mig_relay.h"

#include "lib/port/clock.h"
#include "lib/wire/wire_nbd.h"
#include "migration/io/mig_socket.h"
#include "migration/io/mig_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PIECE      (256u * 1024)
#define LOOK_MS    200   /* how soon a change of `settled` and `ended` is seen */
#define SILENT_MS  30000 /* the network acknowledges nothing for so long: the other node is gone */
#define PROBE_SEC  10    /* ... or does not answer, asked so often */
#define PROBES_MAX 3

struct MigRelay {
    gint refs;
    int local; /* the socket that listens, then the connection of QEMU */
    int remote;
    SSL *ssl; /* NULL: none */
    uint16_t flags;
    char *path;
    gint settled, ended; /* set by the handle's owner */
    MonoTime heard;      /* thread only: last time a byte came from either side */
};

/* Bytes on their way in one direction. */
typedef struct Way {
    uint8_t *data;
    size_t from, to;
    bool over; /* nothing more comes */
} Way;

static void unref(MigRelay *r)
{
    if (!g_atomic_int_dec_and_test(&r->refs)) {
        return;
    }
    SSL_free(r->ssl);
    if (r->remote >= 0) {
        (void)close(r->remote); /* whoever needs an answer has had it */
    }
    if (r->local >= 0) {
        (void)close(r->local);
    }
    g_free(r->path);
    g_free(r);
}

/* ---- the way to the target ------------------------------------------------------------------- */

static void watch_network(int fd)
{
    const int on = 1, idle = PROBE_SEC, count = PROBES_MAX, silent = SILENT_MS;

    /* Where one of these is refused, the end is noticed later. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent, sizeof silent);
}

/* Exactly `size` bytes from a blocking socket. */
static int receive_all(int fd, void *data, size_t size, Err *err)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = recv(fd, (uint8_t *)data + done, size - done, 0);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            int r = n == 0 ? -EPIPE : errno == EAGAIN ? -ETIMEDOUT : -errno;

            return err_setf(err, r, "the disks of the target: %s", g_strerror(-r));
        }
        done += (size_t)n;
    }
    return 0;
}

static int send_all(int fd, const void *data, size_t size, Err *err)
{
    ssize_t n = send(fd, data, size, MSG_NOSIGNAL); /* a few bytes: all or none */

    if (n != (ssize_t)size) {
        int r = n < 0 ? -errno : -EIO;

        return err_setf(err, r, "the disks of the target: %s", g_strerror(-r));
    }
    return 0;
}

/* NBD as far as the request for TLS, and TLS. */
static int shake_hands(MigRelay *r, const MigRelayTo *to, Err *err)
{
    uint8_t greeting[WIRE_NBD_GREETING_SIZE], ask[WIRE_NBD_STARTTLS_SIZE];
    uint8_t reply[WIRE_NBD_REPLY_SIZE];
    int ret = receive_all(r->remote, greeting, sizeof greeting, err);

    if (ret == 0 && wire_nbd_greeting_decode(greeting, sizeof greeting, &r->flags) < 0) {
        ret = err_setf(err, -EPROTO, "the disks of the target: no NBD server answers");
    }
    if (ret == 0) {
        wire_nbd_starttls_encode(r->flags, ask);
        ret = send_all(r->remote, ask, sizeof ask, err);
    }
    if (ret == 0) {
        ret = receive_all(r->remote, reply, sizeof reply, err);
    }
    if (ret == 0 && wire_nbd_starttls_reply_decode(reply, sizeof reply) < 0) {
        ret = err_setf(err, -EPROTO, "the disks of the target: TLS is refused");
    }
    if (ret == 0) {
        ret = mig_tls_new(to->pve, to->node, to->peer, r->remote, &r->ssl, err);
    }
    if (ret == 0 && SSL_do_handshake(r->ssl) != 1) {
        ret = -EPIPE;
        mig_tls_reason(r->ssl, err, ret, "the disks of the target");
    }
    return ret;
}

/* ---- the way to QEMU ------------------------------------------------------------------------- */

static int listen_at(const char *path, Err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd, r = 0;

    if (g_strlcpy(a.sun_path, path, sizeof a.sun_path) >= sizeof a.sun_path) {
        return err_setf(err, -ENAMETOOLONG, "%s: too long for a socket", path);
    }
    (void)unlink(path); /* of an earlier move; bind says what else is in the way */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 1) < 0) {
        r = -errno;
        if (fd >= 0) {
            (void)close(fd); /* nobody has connected */
        }
        return err_setf(err, r, "%s: %s", path, g_strerror(-r));
    }
    return fd;
}

static bool is_ended(const MigRelay *r)
{
    return g_atomic_int_get(&r->ended) != 0 ||
           (g_atomic_int_get(&r->settled) == 0 &&
            mono_diff_us(clock_mono(), r->heard) / US_PER_MS > MIG_RELAY_SILENCE_MS);
}

/* QEMU's connection takes the place of the socket that listens. */
static bool accept_qemu(MigRelay *r)
{
    struct pollfd p = {.fd = r->local, .events = POLLIN};
    int fd;

    while (poll(&p, 1, LOOK_MS) <= 0) {
        if (is_ended(r)) {
            return false;
        }
    }
    fd = accept4(r->local, NULL, NULL, SOCK_CLOEXEC);
    (void)unlink(r->path); /* for this one only */
    if (fd < 0) {
        return false;
    }
    (void)close(r->local);
    r->local = fd;
    return true;
}

/* Says to QEMU what the server said, and takes the answer that the server has had already. */
static bool greet_qemu(MigRelay *r)
{
    uint8_t greeting[WIRE_NBD_GREETING_SIZE], flags[WIRE_NBD_FLAGS_SIZE];

    mig_socket_timeout(r->local, MIG_RELAY_SILENCE_MS);
    wire_nbd_greeting_encode(r->flags, greeting);
    return send_all(r->local, greeting, sizeof greeting, NULL) == 0 &&
           receive_all(r->local, flags, sizeof flags, NULL) == 0 &&
           wire_nbd_flags_check(flags, sizeof flags, r->flags) == 0;
}

/* ---- passing on ------------------------------------------------------------------------------ */

/* All four: bytes, 0 at the end, -EAGAIN, or another error. */
static ssize_t ssl_result(SSL *ssl, int n)
{
    int why = n > 0 ? SSL_ERROR_NONE : SSL_get_error(ssl, n);

    if (n > 0) {
        return n;
    }
    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -EAGAIN
           : why == SSL_ERROR_ZERO_RETURN                            ? 0
                                                                     : -EPIPE;
}

static ssize_t plain_result(ssize_t n)
{
    return n >= 0 ? n : errno == EINTR ? -EAGAIN : -errno;
}

static ssize_t take(MigRelay *r, bool remote, void *data, size_t size)
{
    if (remote && r->ssl != NULL) {
        return ssl_result(r->ssl, SSL_read(r->ssl, data, (int)size));
    }
    return plain_result(recv(remote ? r->remote : r->local, data, size, 0));
}

static ssize_t give(MigRelay *r, bool remote, const void *data, size_t size)
{
    if (remote && r->ssl != NULL) {
        return ssl_result(r->ssl, SSL_write(r->ssl, data, (int)size));
    }
    return plain_result(send(remote ? r->remote : r->local, data, size, MSG_NOSIGNAL));
}

/* One step of one direction: 1 when something moved, 0 when nothing can, -1 at its end. */
static int move(MigRelay *r, Way *w, bool to_remote)
{
    int moved = 0;
    ssize_t n;

    if (w->from == w->to && !w->over) {
        n = take(r, !to_remote, w->data, PIECE);
        if (n < 0 && n != -EAGAIN) {
            return -1;
        }
        w->over = n == 0;
        w->from = 0;
        w->to = n > 0 ? (size_t)n : 0;
        moved = n > 0;
    }
    while (w->from < w->to) {
        n = give(r, to_remote, w->data + w->from, w->to - w->from);
        if (n == -EAGAIN) {
            return moved;
        }
        if (n <= 0) {
            return -1;
        }
        w->from += (size_t)n;
        moved = 1;
    }
    return w->over ? -1 : moved;
}

static void wait_for(MigRelay *r, const Way *out, const Way *in)
{
    struct pollfd p[2] = {{.fd = r->local}, {.fd = r->remote}};
    bool settled = g_atomic_int_get(&r->settled) != 0;

    p[0].events = (short)((out->from == out->to ? POLLIN : 0) | (in->from < in->to ? POLLOUT : 0));
    p[1].events = (short)((in->from == in->to ? POLLIN : 0) | (out->from < out->to ? POLLOUT : 0));
    for (int i = 0; i < 2; i++) {
        if (p[i].events == 0) {
            p[i].fd = -1; /* else its end would wake us again and again */
        }
    }
    (void)poll(p, 2, settled ? -1 : LOOK_MS); /* a failure only means to look at once */
}

static void pass_on(MigRelay *r)
{
    Way out = {.data = g_malloc(PIECE)}, in = {.data = g_malloc(PIECE)};
    int sent = 0, got = 0;

    while (sent >= 0 && got >= 0 && !is_ended(r)) {
        sent = move(r, &out, true);
        got = sent < 0 ? 0 : move(r, &in, false);
        if (sent > 0 || got > 0) {
            r->heard = clock_mono();
        } else if (sent == 0 && got == 0) {
            wait_for(r, &out, &in);
        }
    }
    g_free(out.data);
    g_free(in.data);
}

static bool unblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

static gpointer relay_main(gpointer data)
{
    MigRelay *r = data;

    r->heard = clock_mono();
    if (accept_qemu(r) && (r->ssl == NULL || greet_qemu(r)) && unblock(r->local) &&
        unblock(r->remote)) {
        r->heard = clock_mono();
        pass_on(r);
    }
    (void)unlink(r->path); /* mostly gone */
    if (r->ssl != NULL) {
        (void)SSL_shutdown(r->ssl); /* politeness */
        ERR_clear_error();
    }
    /* The owner of the handle may keep it: whoever waits for an answer must not wait for that. */
    (void)shutdown(r->local, SHUT_RDWR);
    (void)shutdown(r->remote, SHUT_RDWR);
    unref(r);
    return NULL;
}

/* ---- the handle ------------------------------------------------------------------------------ */

int mig_relay_open(const MigRelayTo *to, MigRelay **ret, Err *err)
{
    MigRelay *r = g_new0(MigRelay, 1);
    int fd = mig_socket_connect(to->address, to->port, MIG_RELAY_CONNECT_MS, err);
    int rc = MIN(fd, 0);

    r->refs = 1;
    r->local = -1;
    r->remote = MAX(fd, -1);
    r->path = g_strdup(to->path);
    if (rc == 0) {
        watch_network(r->remote);
        rc = to->peer != NULL ? shake_hands(r, to, err) : 0;
    }
    if (rc == 0) {
        r->local = listen_at(r->path, err);
        rc = MIN(r->local, 0);
    }
    if (rc < 0) {
        unref(r);
        return rc;
    }
    g_atomic_int_inc(&r->refs);
    g_thread_unref(g_thread_new("mig-relay", relay_main, r));
    *ret = r;
    return 0;
}

void mig_relay_settled(MigRelay *r)
{
    g_atomic_int_set(&r->settled, 1);
}

void mig_relay_free(MigRelay *r)
{
    if (r != NULL) {
        if (g_atomic_int_get(&r->settled) == 0) {
            g_atomic_int_set(&r->ended, 1);
        }
        unref(r);
    }
}
