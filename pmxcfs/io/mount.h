/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount: the tree as a file system, by libfuse3's low-level API (reference pmxcfs chapter 5).
 *
 * The kernel keeps names (also missing ones), attributes, pages and directory listings for as long
 * as it likes, and is told when they change: hot stat, read and readdir never enter the daemon.
 * What this node's own callers do, the kernel follows by itself; everything else is told to it by
 * threads of the mount's own, fed through engine_listen, never inside a request.
 *
 * Inode numbers. st_ino and the FUSE node id are the inode of the tree, which is unique for ever.
 * The root is 1. Numbers from 2^63 on are not of the tree: 2^63 + 1 + CfsSpecial for the special
 * entries, 2^63 + 1024 for tree inode 1, which no tree made here has.
 *
 * Writes. What is written through handles collects per file on this node and becomes one change
 * when a handle is closed or synced, or some seconds after the last write to a file that stays
 * open; close and fsync return when it is durable and report its errors. Readers on this node see
 * it at once, other nodes see the change. A handle's truncation to zero is seen by others together
 * with the first bytes written after it, or with close: a file rewritten in place is never seen
 * empty. Data that cannot be committed is dropped, with a log line, and the caller of close or
 * fsync gets the error.
 *
 * Handles that may write use direct I/O: they see every byte at once but cannot be mapped shared.
 * Handles that only read use the page cache and can.
 *
 * Locks by flock and fcntl are the kernel's own, local to the node.
 */
#ifndef PMXCFS_IO_MOUNT_H
#define PMXCFS_IO_MOUNT_H

#include "lib/base/err.h"
#include "lib/base/tracer.h"
#include "pmxcfs/io/engine.h"

#include <sys/types.h>

typedef struct Mount Mount;

typedef struct MountOptions {
    gid_t gid;            /* owning group of everything (www-data) */
    uint32_t threads_max; /* workers; 0: the default */
    /* A user wrote 0 or 1 to `.debug`. Any thread; may be NULL. */
    void (*set_debug)(void *ctx, bool on);
    void *ctx;
} MountOptions;

/* Prepares; registers with engine_listen, so it comes before engine_start. `engine` and the tracer
 * (copied; may be NULL; called from any thread) must outlive the mount. Nothing is mounted yet. */
int mount_new(Engine *engine,
              const char *mountpoint,
              const MountOptions *opt,
              const Tracer *tracer,
              Mount **ret,
              Err *err) must_check;

/* Mounts. A mount of ours left by a crash is detached first, a missing directory made with mode
 * 0750. No thread is started: the caller may still fork. Errors name what a person can do:
 * -ENOENT/-ENODEV (no /dev/fuse), -EPERM, -ENOTDIR, -EBUSY (another file system is mounted there).
 */
int mount_attach(Mount *m, Err *err) must_check;

/* Serves requests with several threads until mount_stop, then commits what open files still hold,
 * and unmounts. 0 after mount_stop, -ENOTCONN when someone else unmounted it. */
int mount_run(Mount *m, Err *err) must_check;

/* Makes mount_run return; from any thread but a worker's, not from a signal handler. The path is
 * free when it returns; requests under way end within ENGINE_ENDING_MS. */
void mount_stop(Mount *m);

/* After mount_run; unmounts what is still mounted. NULL is allowed. */
void mount_free(Mount *m);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Mount, mount_free)

#endif
