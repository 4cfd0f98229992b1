/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/io/mig_probe.h"

#include "lib/port/clock.h"
#include "migration/io/mig_socket.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEND_MS    200
#define PIECE_SIZE ((size_t)256 * 1024)

/* ---- the target ------------------------------------------------------------------------------ */

static bool readable(int fd, MonoTime until)
{
    int64_t ms = mono_diff_us(until, clock_mono()) / US_PER_MS;
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return ms > 0 && poll(&p, 1, (int)ms) > 0;
}

static void *swallow_main(void *data)
{
    MigLease *lease = data;
    MonoTime until = mono_add_ms(clock_mono(), MIG_PROBE_MS);
    g_autofree char *piece = g_malloc(PIECE_SIZE);
    int fd = readable(lease->fd, until) ? accept4(lease->fd, NULL, NULL, SOCK_CLOEXEC) : -1;

    while (fd >= 0 && readable(fd, until)) {
        if (recv(fd, piece, PIECE_SIZE, MSG_DONTWAIT) <= 0) {
            break;
        }
    }
    if (fd >= 0) {
        (void)close(fd); /* nothing that came matters */
    }
    mig_lease_free(lease);
    return NULL;
}

int mig_probe_listen(MigPorts *ports, const char *address, unsigned *ret_port, Err *err)
{
    MigLease *lease = NULL;
    unsigned position = 0;
    int r = mig_ports_take(ports, address, &lease, &position, &lease, err);

    mig_ports_leave(ports, &lease);
    if (r < 0) {
        return r;
    }
    *ret_port = lease->port;
    g_thread_unref(g_thread_new("mig-probe", swallow_main, lease));
    return 0;
}

/* ---- the source ------------------------------------------------------------------------------ */

/* A firewall that drops is noticed by time alone. */
static int wait_connected(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof error;

    if (poll(&p, 1, MIG_PROBE_MS) <= 0) {
        return -ETIMEDOUT;
    }
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? -errno : -error;
}

static int open_connection(const char *address, unsigned port, int *ret_fd)
{
    struct sockaddr_storage to;
    int size = mig_address_parse(address, port, &to);
    int fd, r = 0;

    if (size < 0) {
        return size;
    }
    fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, (const struct sockaddr *)&to, (socklen_t)size) < 0) {
        r = errno == EINPROGRESS ? wait_connected(fd) : -errno;
    }
    if (r < 0) {
        (void)close(fd); /* never was a connection */
        return r;
    }
    *ret_fd = fd;
    return 0;
}

/* All that was sent has arrived when the other side, which reads to our end, ends as well. */
static int64_t measure(int fd)
{
    g_autofree char *piece = g_malloc0(PIECE_SIZE);
    MonoTime began = clock_mono();
    MonoTime until = mono_add_ms(began, SEND_MS);
    int64_t bytes = 0, us;

    while (mono_before(clock_mono(), until)) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        ssize_t n = poll(&p, 1, SEND_MS) > 0 ? send(fd, piece, PIECE_SIZE, MSG_NOSIGNAL) : 0;

        if (n < 0) {
            return 0;
        }
        bytes += n;
    }
    (void)shutdown(fd, SHUT_WR); /* a connection that is gone shows below */
    if (!readable(fd, mono_add_ms(clock_mono(), MIG_PROBE_MS))) {
        return 0;
    }
    us = mono_diff_us(clock_mono(), began);
    return us > 0 ? (int64_t)((double)bytes * 1e6 / (double)us) : 0;
}

int mig_probe_connect(const char *address, unsigned port, int64_t *ret_speed, Err *err)
{
    int fd = -1;
    int r = open_connection(address, port, &fd);

    if (r < 0) {
        return err_setf(err, r, "port %u at %s: %s", port, address, g_strerror(-r));
    }
    if (ret_speed != NULL) {
        *ret_speed = measure(fd);
    }
    (void)close(fd); /* nothing of worth was sent */
    return 0;
}
