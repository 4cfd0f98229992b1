/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memdb: the tree in memory and the rules of every change (reference pmxcfs chapters 4, 6, 7).
 *
 * Pure: no I/O, no clock, no threads. One owner thread changes it; other threads may read while
 * holding the reader side of whatever lock the guard below maps to. Every successful change gives a
 * MemdbDelta: what the store must write, what the kernel caches and the change feed must hear, and
 * what an undo needs. A failed change alters nothing.
 *
 * Also kept here, because they follow from the same changes: the guest list (vmlist.h), the change
 * counters of tracked files (tracked.h), and lock timers (locks.h).
 */
#ifndef PMXCFS_CORE_MEMDB_H
#define PMXCFS_CORE_MEMDB_H

#include "lib/base/err.h"
#include "lib/base/strtab.h"
#include "lib/base/timeval.h"
#include "lib/base/tracer.h"
#include "pmxcfs/core/entry.h"
#include "pmxcfs/core/treeop.h"

typedef struct Memdb Memdb;

/* Version record of the whole tree (row 0). */
typedef struct MemdbRoot {
    uint64_t version;
    uint32_t writer;
    uint32_t mtime;
} MemdbRoot;

/* `before` NULL: the entry is new; `after` NULL: it is gone; else same inode, new state. A path is
 * NULL without its entry, and for an entry that a cycle keeps out of reach. */
typedef struct MemdbEdit {
    Entry *before;
    Entry *after;
    char *path_before; /* full path without leading slash */
    char *path_after;
} MemdbEdit;

/* Immutable once made, reference counted, any thread. */
typedef struct MemdbDelta {
    int refs;     /* atomic; not by GLib, whose atomics the thread checker cannot see */
    uint64_t seq; /* set by whoever submits it to the store; 0 until then */
    MemdbRoot root_before, root_after;
    GArray *edits;        /* of MemdbEdit, in the order in which the store must do them */
    bool replaces_tree;   /* synchronisation commit: everything may have changed */
    TreeOpKind kind;      /* of the operation (not meaningful when replaces_tree) */
    size_t payload_bytes; /* content bytes to be written */
    GBytes *record; /* NULL, or a value that must reach the disk with this change or not at all:
                       MEMDB_RECORD_KEY of the store. Set before anybody else sees the delta */
} MemdbDelta;

#define MEMDB_RECORD_KEY "replica"

MemdbDelta *memdb_delta_ref(MemdbDelta *d);
void memdb_delta_unref(MemdbDelta *d);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemdbDelta, memdb_delta_unref)

/* Called around each moment in which readers must stay out: pointer swaps only, never hashing or
 * building. The adapter maps it to a writer lock; tests leave it empty. */
typedef struct MemdbGuard {
    void (*enter)(void *ctx);
    void (*leave)(void *ctx);
    void *ctx;
} MemdbGuard;

typedef struct MemdbLimits {
    uint32_t file_size_max;  /* bytes */
    uint64_t total_size_max; /* bytes of content */
    uint32_t inodes_max;
} MemdbLimits;

Memdb *memdb_new(const Tracer *tracer, const MemdbGuard *guard); /* both may be NULL; copied */
void memdb_free(Memdb *db);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Memdb, memdb_free)

/* The limits in force; the documented ones until set. Lowering them never refuses what exists. */
void memdb_set_limits(Memdb *db, const MemdbLimits *limits);
const MemdbLimits *memdb_limits(const Memdb *db);

/* ---- loading ------------------------------------------------------------------------------- */

/* Kinds of fault that a set of entries can have; `memdb_load` names each one it meets. */
#define MEMDB_FAULT_LIST(X)                                                                        \
    X(MEMDB_FAULT_NAME_EMPTY, "name-empty")                                                        \
    X(MEMDB_FAULT_NAME_INVALID, "name-invalid") /* slash, NUL, "." or "..", too long */            \
    X(MEMDB_FAULT_TYPE, "unknown-type")                                                            \
    X(MEMDB_FAULT_DIR_DATA, "directory-with-data")                                                 \
    X(MEMDB_FAULT_ROOT_NAME, "root-record-name")                                                   \
    X(MEMDB_FAULT_PARENT_MISSING, "parent-missing")                                                \
    X(MEMDB_FAULT_PARENT_FILE, "parent-is-a-file")                                                 \
    X(MEMDB_FAULT_DUPLICATE_NAME, "duplicate-name")                                                \
    X(MEMDB_FAULT_DUPLICATE_INODE, "duplicate-inode")                                              \
    X(MEMDB_FAULT_DUPLICATE_VMID, "duplicate-vmid")                                                \
    X(MEMDB_FAULT_CYCLE, "cycle")                                                                  \
    X(MEMDB_FAULT_FILE_SIZE, "file-too-large")                                                     \
    X(MEMDB_FAULT_TOTAL_SIZE, "tree-too-large")                                                    \
    X(MEMDB_FAULT_TOO_MANY, "too-many-entries")                                                    \
    X(MEMDB_FAULT_VERSION_BEHIND, "tree-version-behind") /* repaired at load: clamped */           \
    X(MEMDB_FAULT_VERSION_RANGE, "version-out-of-range")                                           \
    X(MEMDB_FAULT_ROOT_MISSING, "root-record-missing") /* no error: a fresh tree */

typedef enum MemdbFaultKind { MEMDB_FAULT_LIST(STRTAB_ENUM) MEMDB_FAULT_N } MemdbFaultKind;

/* memdb_fault_name(MEMDB_FAULT_CYCLE) is "cycle". */
STRTAB_DECLARE(memdb_fault, MemdbFaultKind);

typedef struct MemdbFault {
    MemdbFaultKind kind;
    bool fatal; /* the original would refuse, or we cannot keep the entry */
    uint64_t inode;
    char text[256]; /* one line for people: what is wrong with which entry */
} MemdbFault;

/* Appends one fault to an array of MemdbFault (may be NULL). */
void memdb_fault_add(
    GArray *faults, MemdbFaultKind kind, bool fatal, uint64_t inode, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* Versions and inodes above this leave no room to count: SQLite integers are signed, and the
 * original dies when its counter wraps (reference 3.4). The tree's own is clamped at load. */
#define MEMDB_VERSION_MAX (UINT64_C(1) << 62)

/* Fills an empty tree. `entries`: array of Entry* in any order (child may precede parent), without
 * inode 0; `root` NULL when there was no row 0 (the tree then starts at version 1, time 0). Checks
 * everything; appends each fault to `faults` (may be NULL). With a fatal fault returns -EBADMSG,
 * text of the first one in `err`, and the tree stays empty. Takes references of its own. Rebuilds
 * guest list, tracked counters (all 1) and lock timers.
 *
 * Not fatal, because the original keeps them too: names that cannot be reached, sizes above the
 * limits in force (up to the hard ones of the native format), directories in a cycle, which stay
 * unreachable. A tree version behind its entries is raised. */
int memdb_load(Memdb *db,
               GPtrArray *entries,
               const MemdbRoot *root,
               MonoTime now,
               GArray *faults,
               Err *err) must_check;

/* A delta without edits that makes the store write the version record as it is now: for a fresh
 * file, and after a repair at load. */
MemdbDelta *memdb_root_delta(const Memdb *db);

/* The same for any record: what takes a number in the store without changing anything. */
MemdbDelta *memdb_empty_delta(const MemdbRoot *root);

/* ---- reading (owner thread, or any thread under the reader lock) ---------------------------- */

/* A copy: version, writer, time. */
MemdbRoot memdb_root(const Memdb *db);
Entry *memdb_get(const Memdb *db, uint64_t inode); /* new reference or NULL; 0 gives the root */
Entry *memdb_child(const Memdb *db, uint64_t parent, const char *name); /* new reference or NULL */

/* Resolves a path by the rules of chapter 4 (empty components skipped, "." alone is the root). New
 * reference in *ret. -ENOENT, -ENOTDIR. */
int memdb_lookup(const Memdb *db, const char *path, Entry **ret) must_check;

/* References of all children, ascending by name (bytes); NULL when `dir` is no directory. */
GPtrArray *memdb_list(const Memdb *db, uint64_t dir);

/* Full path of an inode without leading slash ("" for the root); NULL when unknown. */
char *memdb_path(const Memdb *db, uint64_t inode);

uint32_t memdb_count(const Memdb *db);         /* entries including the root */
uint64_t memdb_content_bytes(const Memdb *db); /* sum of all file sizes */

/* All entries including a synthesised root entry, ascending by inode, new references. */
GPtrArray *memdb_all(const Memdb *db);

/* ---- changing (owner thread) --------------------------------------------------------------- */

/* Performs CREATE, WRITE, MKDIR, DELETE, RENAME, MTIME or UNLOCK by the rules of chapter 4, in the
 * documented order of checks. `now` drives lock timers only. Returns 0 (WRITE: the byte count) and
 * the delta (one reference to the caller), or the documented -errno and nothing changed.
 *
 * Beyond the documented rules, unless `from_peer`:
 *   -ENOSPC        content or entries would pass the limits in force
 *   -ENAMETOOLONG  name above CFS_NAME_MAX bytes, path of CFS_PATH_MAX bytes and more
 *   -EACCES        a directory would get the name of a guest config (18.1.7)
 *   -EISDIR, -ENOTDIR  rename between a file and a directory
 *   truncating an empty file upward gives zeros, not a hollow file
 * `from_peer` means: decide by the documented rules alone, as the original does, so that trees stay
 * equal. It is to be set, on the sending node too, for every change that is delivered by a group
 * in which a member may be foreign; memdb_check has refused the rest before it was sent.
 *
 * With `from_peer` one failure leaves a delta all the same, so set *ret_delta to NULL before: a
 * rename of a directory with entries onto an existing target answers -ENOTEMPTY, and the target is
 * gone without a step of the version, as with the original (18.1.8).
 *
 * Always: -EINVAL for a rename onto itself or below itself and for UNLOCK_REQUEST; -EOVERFLOW when
 * the version counter is used up; -ESTALE for UNLOCK of something that is not this very lock. */
int memdb_apply(Memdb *db,
                const TreeOp *op,
                TreeOrigin from,
                bool from_peer,
                MonoTime now,
                MemdbDelta **ret_delta) must_check;

/* What memdb_apply would answer to a local caller, without doing it: the sender's check before a
 * multicast. An UNLOCK_REQUEST is judged like the UNLOCK it may lead to. */
int memdb_check(const Memdb *db, const TreeOp *op, TreeOrigin from) must_check;

/* Takes back the newest change that has not been undone: deltas must be undone in reverse order, to
 * the root record that each found. Guest versions, tracked counters and timers go on counting.
 * Returns in *ret the delta that describes this change for caches and feed (one reference). */
void memdb_undo(Memdb *db, const MemdbDelta *delta, MonoTime now, MemdbDelta **ret);

/* Replaces the content of the tree as a synchronisation commit does (reference 10.5): entries and
 * root as in memdb_load; entries that are unchanged (the same object, or the same digest) keep
 * their cached digests, guest versions and lock timers. The root record is taken as given, never
 * raised, because the index must equal the leader's. Two configs of one VMID are reported, not
 * refused: the group has them, and staying out of it would not remove one. Fatal faults: -EBADMSG,
 * nothing changed. */
int memdb_replace(Memdb *db,
                  GPtrArray *entries,
                  const MemdbRoot *root,
                  MonoTime now,
                  MemdbDelta **ret_delta,
                  Err *err) must_check;

/* ---- digests (owner thread) ---------------------------------------------------------------- */

/* Index of the tree (payload of STATE, reference 10.1). */
GBytes *memdb_index(Memdb *db);

/* Tree checksum (VERIFY, reference 10.2): all entries in one SHA-256. Cached until the next
 * change. */
void memdb_checksum(Memdb *db, uint8_t ret_csum[ENTRY_DIGEST_SIZE]);

/* ---- locks (reference chapter 6; owner thread) ---------------------------------------------- */

/* Has the lock at `path` been held for more than CFS_LOCK_TIMEOUT_SEC with this checksum? Starts
 * its timer when none runs. False when `path` is no directory below priv/lock or has another
 * checksum. */
bool memdb_lock_expired(Memdb *db,
                        const char *path,
                        const uint8_t csum[ENTRY_DIGEST_SIZE],
                        MonoTime now);

/* ---- views (owner thread or reader lock) ---------------------------------------------------- */

void memdb_format_vmlist(const Memdb *db, GString *out); /* `.vmlist`, exact bytes (7.1) */
/* the lines `"path": n,\n` of `.version` */
void memdb_format_tracked(const Memdb *db, GString *out);
uint32_t memdb_vmlist_version(const Memdb *db);

/* The node and type of a guest; false when the VMID is unknown. Strings are copied: free with
 * g_free. */
bool memdb_find_guest(
    const Memdb *db, uint32_t vmid, char **ret_node, char **ret_type, uint32_t *ret_version);
/* All VMIDs ascending (GArray of uint32_t, caller frees). */
GArray *memdb_guests(const Memdb *db);

#endif
