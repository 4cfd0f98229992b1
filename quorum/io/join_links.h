/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_links: does every link of a node that joins reach the members? One of several links that is
 * dead goes unnoticed otherwise, until the others fail. Blocks; one thread.
 */
#ifndef QUORUM_IO_JOIN_LINKS_H
#define QUORUM_IO_JOIN_LINKS_H

#include "lib/base/err.h"

#include <glib.h>

#define JOIN_LINKS_TIMEOUT_SEC 15 /* from being in the ring until each link was up once */

/* Waits until corosync has had a connection on each link that `self` and a member share by the
 * configuration `conf` of `size` bytes, to all members that are in the ring. -EHOSTUNREACH names
 * the first link that had none; 0 also for transports that tell nothing about links. */
int join_links_wait(const char *conf, gsize size, const char *self, Err *err) must_check;

#endif
