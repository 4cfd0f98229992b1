/* SPDX-License-Identifier: Apache-2.0 */
/* mig_socket: addresses as text, and blocking connections to another node, with an end to every
 * wait. Any thread. */
#ifndef MIGRATION_IO_MIG_SOCKET_H
#define MIGRATION_IO_MIG_SOCKET_H

#include "lib/base/err.h"

#include <sys/socket.h>

/* `address` (a number, IPv4 or IPv6) with `port`: its size, or -EINVAL, which leaves `ret` as it
 * was. */
int mig_address_parse(const char *address, unsigned port, struct sockaddr_storage *ret) must_check;

/* A connection to `address` (a number, IPv4 or IPv6), or -errno. Connecting, and every later read
 * and write, gives up after `timeout_ms`. The caller closes it. */
int mig_socket_connect(const char *address, unsigned port, unsigned timeout_ms, Err *err)
    must_check;

/* The same limit for reads and writes of any socket. */
void mig_socket_timeout(int fd, unsigned timeout_ms);

#endif
