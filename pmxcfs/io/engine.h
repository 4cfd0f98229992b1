/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine: the one place where readers, writers, the replica, the group and the disk meet.
 *
 * It owns the tree, the replica, the status store and the thread "cfs". FUSE workers and IPC call
 * the functions below from any thread: reads take a short reader lock and get references to
 * immutable entries; changes are done by one owner at a time, and their callers wait for the
 * answer, with a deadline (INV-4). In cluster mode the owner is the cfs thread, to which changes
 * are queued; in local mode, where no message has to go round, the calling thread itself becomes
 * the owner for the moment. No lock is held across a wait, a send or a disk operation.
 *
 * Lock order: ARCHITECTURE.md.
 */
#ifndef PMXCFS_IO_ENGINE_H
#define PMXCFS_IO_ENGINE_H

#include "lib/base/err.h"
#include "pmxcfs/core/memdb.h"
#include "pmxcfs/core/replica.h"
#include "pmxcfs/core/status.h"
#include "pmxcfs/io/feed.h"

typedef struct Engine Engine;

/* A change or sync that the cfs thread has not answered after this time is given up by its caller
 * (-EBUSY, the outcome is unknown). A backstop: replica.h has the shorter deadlines that callers
 * meet in practice. */
#define ENGINE_ANSWER_MS 120000
/* The same from engine_ending on: a daemon that is to stop does not wait for a quorum or a disk. */
#define ENGINE_ENDING_MS 3000

/* ---- reading: any thread, never blocks on group or disk (INV-3) ------------------------------ */

Entry *engine_get(Engine *e, uint64_t inode);                           /* reference or NULL */
Entry *engine_child(Engine *e, uint64_t parent, const char *name);      /* reference or NULL */
int engine_lookup(Engine *e, const char *path, Entry **ret) must_check; /* -ENOENT, -ENOTDIR */
GPtrArray *engine_list(Engine *e, uint64_t dir); /* references, ascending by name; NULL: no dir */
char *engine_path(Engine *e, uint64_t inode);    /* NULL: gone */
void engine_usage(Engine *e, uint64_t *ret_bytes, uint32_t *ret_entries, MemdbLimits *ret_limits);
bool engine_quorate(Engine *e);
const char *engine_nodename(const Engine *e);
bool engine_is_local(const Engine *e);

/* Text of a virtual file: `.version`, `.members`, `.vmlist`, `.rrd`, `.clusterlog`, `.debug`,
 * `.metrics`, freshly made. Caller frees with g_string_free. -ENOENT for another name. */
int engine_view(Engine *e, const char *name, GString **ret) must_check;

/* What `.events` shows; borrowed, lives as long as the engine. */
Feed *engine_feed(Engine *e);

/* ---- changing: any thread, blocks until answered -------------------------------------------- */

/* Performs one change; `op` and its strings are only used during the call, `op->data` is kept by
 * reference. `wait` says what "done" means; *ret_seq (may be NULL) gets the number that
 * engine_sync takes. Result: >= 0 (WRITE: byte count) or the errno of reference 5.5/5.6: -EACCES
 * without quorum, ... -EIO with text when the disk failed, -EAGAIN never. When the outcome cannot
 * be known (connection lost after the send), -EBUSY and a text that says it may have happened. */
int engine_submit(Engine *e, const TreeOp *op, ReplicaWait wait, uint64_t *ret_seq, Err *err)
    must_check;

/* Waits until everything up to `seq` is durable as promised; 0 or -errno of the failed commit. 0
 * stands for nothing: it succeeds at once. */
int engine_sync(Engine *e, uint64_t seq, Err *err) must_check;

/* For who does not want to wait: `then` is called once, with the outcome, by whichever thread knows
 * of it, also by this one before the call returns; with no lock held. It must neither ask for
 * changes nor wait for anything. In local mode the call writes to the disk by itself where it can,
 * which spares two hand-overs, and returns when that is done: when the disk hangs, never. `then`
 * is called in time all the same (INV-4), so the caller must hold nothing that others wait for. */
typedef void (*EngineThen)(void *ctx, int result, const Err *err);

/* As engine_submit, REPLICA_WAIT_DURABLE. */
void engine_submit_then(Engine *e, const TreeOp *op, EngineThen then, void *ctx);
/* As engine_sync. */
void engine_sync_then(Engine *e, uint64_t seq, EngineThen then, void *ctx);

/* In local mode: what was applied goes to the disk now, for who knows that somebody will wait for
 * it in a moment. Writes, and may hang, like engine_submit_then. */
void engine_hurry(Engine *e);

/* `utime(path, 0)` on a lock directory: ask for removal of an expired lock (reference chapter 6),
 * then the MTIME operation whose result is returned. */
int engine_lock_poke(Engine *e, const char *path, Err *err) must_check;

/* Have all members of the group the same content? Waits for the answer: how many of them left the
 * group as they compared, since theirs differs (or they stopped just then), and all of it as JSON
 * with node ids. -EBUSY: not synchronised, or the members changed meanwhile; -ENOTCONN: local mode.
 */
int engine_verify(Engine *e, char **ret, Err *err) must_check;

/* ---- status: any thread; stored here first, then multicast --------------------------------- */

/* A key of this node, with the errors of statusgroup_set; that of any node (-ENOENT; new
 * reference); one line of the cluster log; its newest `max` lines as JSON, with `user` only
 * those of that user. */
int engine_status_set(Engine *e, const char *key, const void *value, size_t size, Err *err)
    must_check;
int engine_status_get(Engine *e, const char *node, const char *key, GBytes **ret) must_check;
int engine_log(Engine *e,
               uint8_t priority,
               const char *ident,
               const char *tag,
               uint32_t pid,
               const char *text,
               Err *err) must_check;
int engine_clusterlog(Engine *e, const char *user, uint32_t max, GString **ret) must_check;

/* Guests: see memdb_find_guest and memdb_guests. */
bool engine_find_guest(
    Engine *e, uint32_t vmid, char **ret_node, char **ret_type, uint32_t *ret_version);
GArray *engine_guests(Engine *e);

/* Takes RRD values of all nodes (`id` without "rrd/", `value` a text with its NUL; borrowed) to
 * where they are kept; before engine_start only. Called on the cfs thread; must only queue. */
void engine_on_rrd(Engine *e, void (*fn)(void *ctx, const char *id, GBytes *value), void *ctx);

/* ---- hearing of changes -------------------------------------------------------------------- */

typedef enum EngineNoticeKind {
    ENGINE_NOTICE_DELTA,  /* the tree changed: `delta` (borrowed) */
    ENGINE_NOTICE_QUORUM, /* quorate or not: all modes changed */
    ENGINE_NOTICE_STATUS, /* a virtual view changed */
} EngineNoticeKind;

typedef struct EngineNotice {
    EngineNoticeKind kind;
    const MemdbDelta *delta;
    bool own; /* the change came from a caller on this node */
    bool quorate;
} EngineNotice;

/* Registers a listener; before engine_start only. Called by the owner, one notice at a time, after
 * the change became visible to readers and before its caller is answered; may read, must not ask
 * for changes, must only queue and return. */
void engine_listen(Engine *e, void (*fn)(void *ctx, const EngineNotice *n), void *ctx);

/* ---- life ---------------------------------------------------------------------------------- */

typedef struct EngineConfig {
    const char *nodename;
    const char *database;           /* path */
    const char *host_corosync_conf; /* /etc/corosync/corosync.conf */
    bool local;                     /* -l */
    ReplicaDurability durability;
    bool native;
    const char *node_address; /* address of chapter 2.2, for `nodeip` */
    const char *vfs;          /* SQLite VFS for tests, NULL: the default */
} EngineConfig;

/* Opens the database, loads the tree, imports corosync.conf on a fresh database unless `local`. A
 * damaged file is set aside with a name that says when and why, and begun anew, when the host's
 * corosync.conf names other nodes from which the content comes back; else it is refused. No thread
 * is started. Strings of the configuration are copied. */
int engine_open(const EngineConfig *cfg, Engine **ret, Err *err) must_check;
/* Starts the store, the cfs thread and, in cluster mode, the corosync services. After a failure
 * only engine_free is left. */
int engine_start(Engine *e, Err *err) must_check;
/* The daemon is about to stop: who waits now or later does so for ENGINE_ENDING_MS from the first
 * call on at most (-EBUSY, the outcome is unknown). Any thread, does not wait. */
void engine_ending(Engine *e);
/* Ends what engine_start started: waiters get -EBUSY, groups are left, the store is closed. Later
 * changes are answered -EBUSY, reads go on. Safe before engine_start and twice. */
void engine_stop(Engine *e);
void engine_free(Engine *e); /* NULL is allowed; stops first */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Engine, engine_free)

#endif
