/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat_daemon: broadcasts what this node, its guests and its storages use, round by round, into the
 * status store of the cluster filesystem. Talks to it by IPC alone: neither the mount nor a guest
 * nor a storage can hold it up for longer than stat_limits says. While the filesystem is away it
 * tries again; after its restart everything is told anew.
 *
 * Main thread; runs in its default GLib context.
 */
#ifndef GUEST_IO_STAT_DAEMON_H
#define GUEST_IO_STAT_DAEMON_H

#include <stdint.h>

typedef struct StatDaemon StatDaemon;

typedef struct StatDaemonOptions {
    const char *run_dir; /* NULL: GUEST_RUN_DIR */
    const char *proc;    /* NULL: /proc */
    int64_t period_ms;   /* 0: STAT_PERIOD_MS */
    uint64_t seed;       /* of the jitter */
} StatDaemonOptions;

/* The first round begins when the context runs. Strings are copied. */
StatDaemon *stat_daemon_new(const StatDaemonOptions *options);
void stat_daemon_free(StatDaemon *d);

#endif
