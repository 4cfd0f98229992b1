/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/io/mig_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <linux/tcp.h> /* the C library's own does not know tcpi_min_rtt */
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/time.h>
#include <unistd.h>

#define ROOM_LEAST     (16 * 1024)
#define ROOM_MOST      (4 * 1024 * 1024)
#define BYTES_PER_US   125 /* 1 Gbit/s */
#define DESCRIPTOR_MAX 65536

void mig_socket_timeout(int fd, unsigned timeout_ms)
{
    struct timeval t = {.tv_sec = timeout_ms / 1000,
                        .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t); /* only later without */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
}

int mig_address_parse(const char *address, unsigned port, struct sockaddr_storage *ret)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

    if (inet_pton(AF_INET, address, &in.sin_addr) == 1) {
        memcpy(ret, &in, sizeof in);
        return sizeof in;
    }
    if (inet_pton(AF_INET6, address, &in6.sin6_addr) == 1) {
        memcpy(ret, &in6, sizeof in6);
        return sizeof in6;
    }
    return -EINVAL;
}

int mig_socket_connect(const char *address, unsigned port, unsigned timeout_ms, Err *err)
{
    struct sockaddr_storage to;
    int size = mig_address_parse(address, port, &to);
    int fd;

    if (size < 0) {
        return err_setf(err, size, "'%s' is no address", address);
    }
    fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        mig_socket_timeout(fd, timeout_ms);
    }
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, (socklen_t)size) < 0) {
        int r = -errno;

        if (fd >= 0) {
            (void)close(fd); /* never was a connection */
        }
        return err_setf(err, r, "connecting to %s port %u: %s", address, port, g_strerror(-r));
    }
    return fd;
}

/* ---- what waits in sockets ------------------------------------------------------------------- */

int mig_socket_room(int64_t rtt_us)
{
    int64_t most = (ROOM_MOST - ROOM_LEAST) / BYTES_PER_US;

    return ROOM_LEAST + (int)CLAMP(rtt_us, 0, most) * BYTES_PER_US;
}

int64_t mig_socket_rtt_us(int fd)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;

    /* Until a round trip was measured the kernel says all ones. */
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
                   size > offsetof(struct tcp_info, tcpi_min_rtt) && info.tcpi_min_rtt != UINT32_MAX
               ? (int64_t)info.tcpi_min_rtt
               : -1;
}

static bool is_connected_to(int fd, const struct sockaddr_storage *to)
{
    struct sockaddr_storage a = {0};
    socklen_t size = sizeof a;
    const struct sockaddr_in *x = (const struct sockaddr_in *)&a;
    const struct sockaddr_in *y = (const struct sockaddr_in *)to;
    const struct sockaddr_in6 *x6 = (const struct sockaddr_in6 *)&a;
    const struct sockaddr_in6 *y6 = (const struct sockaddr_in6 *)to;

    if (getpeername(fd, (struct sockaddr *)&a, &size) < 0 || a.ss_family != to->ss_family) {
        return false;
    }
    return a.ss_family == AF_INET
               ? x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr
               : x6->sin6_port == y6->sin6_port &&
                     memcmp(&x6->sin6_addr, &y6->sin6_addr, sizeof x6->sin6_addr) == 0;
}

/* Descriptor `n` of the process: 1 when it is such a connection, and bounded now. */
static int bound_one(int process, int n, const struct sockaddr_storage *to)
{
    int fd = pidfd_getfd(process, n, 0);
    int r = 0;

    if (fd < 0) {
        return errno == EBADF ? 0 : -errno; /* closed meanwhile */
    }
    if (is_connected_to(fd, to)) {
        int room = mig_socket_room(mig_socket_rtt_us(fd));

        r = setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room) < 0 ? -errno : 1;
    }
    (void)close(fd); /* our copy */
    return r;
}

int mig_socket_bound(int64_t pid, const char *address, unsigned port, Err *err)
{
    g_autofree char *path = g_strdup_printf("/proc/%" G_GINT64_FORMAT "/fd", pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    struct sockaddr_storage to;
    int r = mig_address_parse(address, port, &to);
    int process = r < 0 ? -1 : pidfd_open((pid_t)pid, 0);
    const char *name;
    int found = 0;

    r = r < 0 ? r : process < 0 ? -errno : dir == NULL ? -ESRCH : 0;
    while (r >= 0 && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *entry = g_build_filename(path, name, NULL);
        g_autofree char *target = g_file_read_link(entry, NULL);
        guint64 n = 0;

        if (target == NULL || !g_str_has_prefix(target, "socket:") ||
            !g_ascii_string_to_unsigned(name, 10, 0, DESCRIPTOR_MAX, &n, NULL)) {
            continue;
        }
        r = bound_one(process, (int)n, &to);
        found += r > 0;
    }
    if (process >= 0) {
        (void)close(process);
    }
    return r < 0 ? err_setf(err, r, "the sockets of process %" G_GINT64_FORMAT ": %s", pid,
                            g_strerror(-r))
                 : found;
}
