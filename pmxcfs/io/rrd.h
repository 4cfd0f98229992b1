/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rrd: writes RRD values into files, through rrdcached while it is there, on a thread of its own
 * (reference pmxcfs chapter 13). Whoever hands values over never waits: what cannot be written fast
 * enough is dropped, oldest first, and counted.
 */
#ifndef PMXCFS_IO_RRD_H
#define PMXCFS_IO_RRD_H

#include "lib/base/err.h"
#include "lib/base/tracer.h"

#include <glib.h>
#include <stdint.h>

#define RRD_BASE_DIR      "/var/lib/rrdcached/db"
#define RRD_CACHED_SOCKET "/var/run/rrdcached.sock"
#define RRD_QUEUE_MAX     65536u /* values that wait: one of each source of a large cluster */
#define RRD_STOP_MS       2000   /* at stop, so long is written on */

typedef struct RrdWriter RrdWriter;

typedef struct RrdWriterConfig {
    const char *base_dir;      /* NULL: RRD_BASE_DIR */
    const char *cached_socket; /* NULL: RRD_CACHED_SOCKET; "": files only */
    int64_t cached_timeout_ms; /* 0: RRDCACHED_TIMEOUT_MS */
    const Tracer *tracer;      /* may be NULL; copied; called on the writer's thread */
} RrdWriterConfig;

typedef struct RrdWriterStats {
    uint64_t written; /* taken by files or rrdcached */
    uint64_t cached;  /* of them by rrdcached */
    uint64_t
        refused; /* unknown source, malformed value, or refused by RRD (often: same time twice) */
    uint64_t dropped; /* no room in the queue */
    uint64_t waiting;
} RrdWriterStats;

/* Starts the thread; owned by the caller until rrd_writer_stop. */
RrdWriter *rrd_writer_start(const RrdWriterConfig *cfg);

/* Queues one value: `id` without "rrd/", `value` a text with its NUL (as STATUSGROUP_ACT_RRD gives
 * them). Takes its own references. Any thread; never blocks on disk or daemon. */
void rrd_writer_push(RrdWriter *w, const char *id, GBytes *value);

/* Writes what waits, for at most RRD_STOP_MS, then ends the thread. NULL is allowed. */
void rrd_writer_stop(RrdWriter *w);

void rrd_writer_stats(RrdWriter *w, RrdWriterStats *ret); /* any thread */

#endif
