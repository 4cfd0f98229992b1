/* SPDX-License-Identifier: Apache-2.0 */
/* mig_socket: addresses as text, and blocking connections to another node, with an end to every
 * wait. Any thread. */
#ifndef MIGRATION_IO_MIG_SOCKET_H
#define MIGRATION_IO_MIG_SOCKET_H

#include "lib/base/err.h"

#include <stdint.h>
#include <sys/socket.h>

/* `address` (a number, IPv4 or IPv6) with `port`: its size, or -EINVAL, which leaves `ret` as it
 * was. */
int mig_address_parse(const char *address, unsigned port, struct sockaddr_storage *ret) must_check;

/* A connection to `address` (a number, IPv4 or IPv6), or -errno. Connecting, and every later read
 * and write, gives up after `timeout_ms`. The caller closes it. */
int mig_socket_connect(const char *address, unsigned port, unsigned timeout_ms, Err *err)
    must_check;

/* What a socket may keep of what is on its way, so that a connection whose shortest round trip is
 * `rtt_us` (negative: not known) still carries 1 Gbit/s. */
int mig_socket_room(int64_t rtt_us);
/* Shortest round trip of a connection so far, microseconds; -1: not known. */
int64_t mig_socket_rtt_us(int fd);
/* The connections of process `pid` to `address` (a number) and `port` keep no more than that, each,
 * of what they send. How many these are, or -errno. The process notices nothing. */
int mig_socket_bound(int64_t pid, const char *address, unsigned port, Err *err) must_check;

/* The same limit for reads and writes of any socket. */
void mig_socket_timeout(int fd, unsigned timeout_ms);

#endif
