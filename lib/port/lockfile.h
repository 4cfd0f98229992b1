/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lockfile: lock files by flock: one holder at a time on this host. The kernel ends a lock with the
 * last copy of its descriptor, so a dead holder leaves nothing behind; the file stays, since taking
 * it away would let two hold locks on two files of one name. Any thread; calls block.
 */
#ifndef LIB_PORT_LOCKFILE_H
#define LIB_PORT_LOCKFILE_H

#include "lib/base/err.h"

#include <sys/types.h>

/* Waits for the exclusive lock of an open lock file. -EBUSY when it is not free within
 * `timeout_ms`, or what the system says. */
int lockfile_wait(int fd, unsigned timeout_ms) must_check;

/* Opens `path`, which is made when it is not there, and waits as above. The descriptor, which the
 * caller closes: that gives the lock back. -EBUSY and others; nothing is left open then. */
int lockfile_take(const char *path, mode_t mode, unsigned timeout_ms) must_check;

#endif
