/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch: hears of changes of the cluster's tree, local and remote, in order (the feed `.events`,
 * man page pmxcfs-events(5)). Survives restarts of the daemon: it continues behind the last change
 * it gave, and says so when changes may have been missed. With a daemon that has no feed it looks
 * at
 * `.version` instead, and can then only say that something changed.
 *
 * One thread at a time per object.
 */
#ifndef LIB_CFS_WATCH_H
#define LIB_CFS_WATCH_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define CFS_WATCH_POLL_MS   1000 /* without a feed: between looks at `.version` */
#define CFS_WATCH_REOPEN_MS 200  /* while the file system is away */

typedef struct CfsWatch CfsWatch;

typedef enum CfsChangeKind {
    CFS_CHANGE_ENTRY,    /* `op` happened to `path` (rename: and `to`) */
    CFS_CHANGE_ANYTHING, /* anything may have changed: read again what you care for */
    CFS_CHANGE_QUORUM,   /* `quorate` tells whether changes are possible now */
} CfsChangeKind;

typedef struct CfsChange {
    CfsChangeKind kind;
    uint64_t seq; /* number of the change, ascending; 0 without a feed */
    char *op;     /* "write", ...; NULL without a feed */
    char *path;   /* relative to the mount; NULL unless ENTRY */
    char *to;     /* rename only */
    bool own;     /* made on this node */
    bool undone;  /* taken back: the disk refused it */
    bool quorate; /* QUORUM */
    char *line;   /* as read from the feed; NULL without one */
} CfsChange;

/* Frees what a change owns; safe on a zeroed one. */
void cfs_change_clear(CfsChange *c);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CfsChange, cfs_change_clear)

/* Does it concern `path` or something below it (CFS_CHANGE_ANYTHING concerns everything)? `path` is
 * relative to the mount, without slashes at its ends; "" is all of it. */
bool cfs_change_concerns(const CfsChange *c, const char *path);

typedef struct CfsWatchOptions {
    uint64_t since;      /* changes after this number; 0: those from now on */
    bool fail_when_gone; /* an error instead of waiting when the file system goes away */
} CfsWatchOptions;

/* `pve`: "/etc/pve". `opt` may be NULL. -ENOENT, -ENOTCONN, ...: not mounted. */
int cfs_watch_open(const char *pve, const CfsWatchOptions *opt, CfsWatch **ret, Err *err)
    must_check;
void cfs_watch_close(CfsWatch *w); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CfsWatch, cfs_watch_close)

/* Waits for the next change, at most `timeout_ms` (negative: for ever): 1 and *ret (to be cleared
 * by the caller), 0 when the time is over, or -errno (-ENOTCONN with fail_when_gone, -EBADMSG). */
int cfs_watch_next(CfsWatch *w, int64_t timeout_ms, CfsChange *ret, Err *err) must_check;

/* Number of the newest change given, or known when it was opened; 0 without a feed. */
uint64_t cfs_watch_seq(const CfsWatch *w);

#endif
