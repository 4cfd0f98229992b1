/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_stats: counters of the mount: requests by kind and result, their latency, bytes, and what
 * the kernel was told. Any thread; no locks.
 */
#ifndef PMXCFS_IO_MOUNT_STATS_H
#define PMXCFS_IO_MOUNT_STATS_H

#include "lib/base/strtab.h"

#include <glib.h>
#include <stdint.h>

#define MOUNT_OP_LIST(X)                                                                           \
    X(MOUNT_OP_LOOKUP, "lookup")                                                                   \
    X(MOUNT_OP_FORGET, "forget")                                                                   \
    X(MOUNT_OP_GETATTR, "getattr")                                                                 \
    X(MOUNT_OP_SETATTR, "setattr")                                                                 \
    X(MOUNT_OP_READLINK, "readlink")                                                               \
    X(MOUNT_OP_MKNOD, "mknod")                                                                     \
    X(MOUNT_OP_MKDIR, "mkdir")                                                                     \
    X(MOUNT_OP_UNLINK, "unlink")                                                                   \
    X(MOUNT_OP_RMDIR, "rmdir")                                                                     \
    X(MOUNT_OP_RENAME, "rename")                                                                   \
    X(MOUNT_OP_LINK, "link")                                                                       \
    X(MOUNT_OP_SYMLINK, "symlink")                                                                 \
    X(MOUNT_OP_CREATE, "create")                                                                   \
    X(MOUNT_OP_OPEN, "open")                                                                       \
    X(MOUNT_OP_READ, "read")                                                                       \
    X(MOUNT_OP_WRITE, "write")                                                                     \
    X(MOUNT_OP_FLUSH, "flush")                                                                     \
    X(MOUNT_OP_FSYNC, "fsync")                                                                     \
    X(MOUNT_OP_RELEASE, "release")                                                                 \
    X(MOUNT_OP_OPENDIR, "opendir")                                                                 \
    X(MOUNT_OP_READDIR, "readdir")                                                                 \
    X(MOUNT_OP_READDIRPLUS, "readdirplus")                                                         \
    X(MOUNT_OP_FSYNCDIR, "fsyncdir")                                                               \
    X(MOUNT_OP_STATFS, "statfs")                                                                   \
    X(MOUNT_OP_POLL, "poll")
typedef enum MountOp { MOUNT_OP_LIST(STRTAB_ENUM) MOUNT_OP_N } MountOp;
STRTAB_DECLARE(mount_op, MountOp);

/* What else is counted. */
#define MOUNT_COUNT_LIST(X)                                                                        \
    X(MOUNT_COUNT_BYTES_READ, "pmxcfs_mount_read_bytes_total")                                     \
    X(MOUNT_COUNT_BYTES_WRITTEN, "pmxcfs_mount_written_bytes_total")                               \
    X(MOUNT_COUNT_COMMITS, "pmxcfs_mount_commits_total")                                           \
    X(MOUNT_COUNT_COMMITS_LOST, "pmxcfs_mount_commits_lost_total")                                 \
    X(MOUNT_COUNT_INVAL_DATA, "pmxcfs_mount_notify_data_total")                                    \
    X(MOUNT_COUNT_INVAL_ATTR, "pmxcfs_mount_notify_attr_total")                                    \
    X(MOUNT_COUNT_INVAL_NAME, "pmxcfs_mount_notify_name_total")                                    \
    X(MOUNT_COUNT_INVAL_RETRY, "pmxcfs_mount_notify_retry_total")                                  \
    X(MOUNT_COUNT_INVAL_ALL, "pmxcfs_mount_notify_wholesale_total")
typedef enum MountCount { MOUNT_COUNT_LIST(STRTAB_ENUM) MOUNT_COUNT_N } MountCount;
STRTAB_DECLARE(mount_count, MountCount);

typedef struct MountStats MountStats;

MountStats *mount_stats_new(void);
void mount_stats_free(MountStats *s);

/* A request of kind `op` was answered with `error` (0 or positive errno) after `us`. */
void mount_stats_request(MountStats *s, MountOp op, int error, int64_t us);
void mount_stats_add(MountStats *s, MountCount what, uint64_t n);

/* Requests of all kinds so far but forget, which the kernel sends on its own account. */
uint64_t mount_stats_requests(const MountStats *s);

/* Appends everything in Prometheus text form. */
void mount_stats_format(const MountStats *s, GString *out);

#endif
