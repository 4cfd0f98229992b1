/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rrdcached: updates through the RRD caching daemon, over one connection that is kept. Each
 * exchange has a deadline: a daemon that hangs costs the thread that calls no more than that. One
 * thread per object.
 */
#ifndef PMXCFS_IO_RRDCACHED_H
#define PMXCFS_IO_RRDCACHED_H

#include "lib/base/err.h"

#include <glib.h>

#define RRDCACHED_TIMEOUT_MS 2000 /* of one exchange, unless told otherwise */
#define RRDCACHED_RETRY_MS   5000 /* between attempts to connect */
#define RRDCACHED_BATCH_MAX  256u /* updates in one exchange */

typedef struct Rrdcached Rrdcached;

typedef struct RrdcachedUpdate {
    const char *path; /* absolute; no white space, no control characters, no quotes */
    const char *row;
    int result; /* out: 0, -ENOENT (no such file), -EINVAL (refused, see text) */
    char text[128];
} RrdcachedUpdate;

/* Does not connect yet. `timeout_ms` is for each exchange; 0: RRDCACHED_TIMEOUT_MS. */
Rrdcached *rrdcached_new(const char *socket_path, int64_t timeout_ms);
void rrdcached_free(Rrdcached *c); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rrdcached, rrdcached_free)

/* Sends `n` updates (at most RRDCACHED_BATCH_MAX) and fills their results. -ENOTCONN: no daemon,
 * and none was sent; -EIO: the connection broke, any of them may have been taken. */
int rrdcached_update(Rrdcached *c, RrdcachedUpdate *updates, unsigned n) must_check;

#endif
