/* SPDX-License-Identifier: Apache-2.0 */
#include "migration/io/mig_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

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
