/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_priv: what the parts of the mount share. See mount.h for what it is.
 *
 *   mount.c          life: mount, serve, unmount
 *   mount_node.c     what the kernel knows: one node per inode it was told of
 *   mount_guard.c    ends the kernel's waiting when the daemon is killed
 *   mount_call.c     one request: its answers, and room for those that wait for the engine
 *   mount_attr.c     attributes, entries, statfs
 *   mount_name.c     requests that work on names
 *   mount_dir.c      listings
 *   mount_file.c     open, read, close
 *   mount_view.c     what a file looks like to whom
 *   mount_write.c    write, flush, fsync
 *   mount_commit.c   what was written becomes a change
 *   mount_linger.c   also when the handle is not closed
 *   mount_setattr.c  truncate, times, chmod, chown
 *   mount_special.c  links and virtual files of the top level
 *   mount_events.c   the virtual file that waits for changes
 *   mount_notify.c   tells the kernel what changed
 *
 * Lock order: node table, node, (engine's tree lock). The engine's listener takes the node table's
 * and a node's lock for a moment; nothing that holds one waits for the engine's thread.
 */
#ifndef PMXCFS_IO_MOUNT_PRIV_H
#define PMXCFS_IO_MOUNT_PRIV_H

#include "pmxcfs/core/cfspath.h"
#include "pmxcfs/core/pmxcfs_limits.h"
#include "pmxcfs/io/mount.h"
#include "pmxcfs/io/mount_overlay.h"
#include "pmxcfs/io/mount_stats.h"

#include <fuse_lowlevel.h>
#include <stdatomic.h>

/* ---- numbers ------------------------------------------------------------------------------- */

/* How long the kernel may keep what it was told; it is told when that changes. */
#define MOUNT_KEEP_SEC (86400.0 * 365)

#define MOUNT_THREADS_MAX  40u /* workers by default */
#define MOUNT_THREADS_MIN  12u
#define MOUNT_THREADS_IDLE 8u /* workers kept when idle: each holds a buffer for a whole write */
/* Workers that never wait for the engine or the kernel, so that reads are always answered. */
#define MOUNT_THREADS_FREE 8u

/* After so many files in a row that were made and closed with nothing written, the next is taken
 * for one more: it goes to the disk while its maker gets the answer and closes it. Else a new file
 * waits for its content, so that both cost one commit. */
#define MOUNT_LONE_MIN 4u

#define MOUNT_WRITE_MAX (1024u * 1024u) /* largest request; the kernel's own limit is the same */
/* Written and not committed, all files together; beyond, a write commits its file before it
 * returns. */
#define MOUNT_PENDING_MAX (64u * 1024u * 1024u)

/* The first write after a truncation to nothing waits at most this long for those who opened the
 * file before and read it through the page cache: they shall not see parts of both. */
#define MOUNT_READERS_WAIT_US 100000

/* A file whose content changed in place is read around the page cache for so long. The kernel has
 * one size of a file for all who read it through its pages, and does not always take the size of
 * our answer: not while another change of the size is under way. New pages cut at an old size are
 * read then. One read around the cache is one answer, of one moment. */
#define MOUNT_BUSY_US (2 * G_USEC_PER_SEC)
/* An answer with a size that the kernel was asking for when the content changed has arrived, or was
 * ignored, after this long. */
#define MOUNT_SIZE_TOLD_US 100000

/* Threads that tell the kernel of changes: one for inodes, the others for names. */
#define MOUNT_NAME_NOTIFIERS 3u
#define MOUNT_NOTIFIERS      (1u + MOUNT_NAME_NOTIFIERS)
/* Things to tell the kernel that may wait in one notifier; beyond, it forgets the list and tells
 * the kernel to look at everything again. */
#define MOUNT_NOTIFY_MAX 16384u

#define MOUNT_SPECIAL_BASE (UINT64_C(1) << 63)
#define MOUNT_INO_ONE      (MOUNT_SPECIAL_BASE + 1024) /* tree inode 1; FUSE_ROOT_ID is the root */

/* ---- guard --------------------------------------------------------------------------------- */

/* For the thread that lives as long as the process, right after mounting. Without a guard all
 * works, but after a SIGKILL at the wrong moment. */
void mount_guard_start(Mount *m);
void mount_guard_stop(Mount *m);

/* ---- nodes --------------------------------------------------------------------------------- */

/* A file that has handles which may write, or wait for the end of its creation. Guarded by the
 * lock of its node. */
typedef struct MountFile {
    GCond cond;    /* `busy` ended, or a reader through the page cache closed */
    guint waiting; /* for that: to wake nobody costs a system call, too */
    uint32_t handles;
    bool busy;       /* an operation that names this file is with the engine: its path must stay */
    Overlay overlay; /* written, not yet submitted; over `inflight`, over the tree */
    bool has_inflight; /* submitted, not yet applied */
    OverlayOp inflight;
    GSList *open;   /* of MountHandle */
    guint cuts;     /* of them: those that cut the file to nothing, with nothing written after */
    uint32_t mtime; /* of the newest write, Unix seconds */
    uint64_t seq;   /* engine number of the newest change not yet known durable, or 0 */
    guint looks;    /* of mount_linger.c, since the newest write */
} MountFile;

/* What the kernel knows of one inode, from the reply that names it to the forget. */
typedef struct MountNode {
    uint64_t ino;     /* FUSE node id */
    uint32_t refs;    /* table lock */
    uint64_t nlookup; /* table lock; answers that named it minus forgets */

    GMutex lock;     /* guards all below */
    uint64_t parent; /* node id of the directory in which the kernel was told to find it */
    char *name;
    Entry *orphan;         /* last state of an entry that is gone */
    uint64_t heard;        /* version of the newest change that the listener heard of */
    Entry *previous;       /* changed by another node: the state that the kernel still believes in,
                              until it is told; what it caches must be of one moment with that */
    bool overtaken;        /* ... and a handle here wrote after that: who reads around the page
                              cache sees what was written */
    bool untold;           /* its content changed and the kernel was not told */
    gint64 previous_until; /* when it is told at the latest, also if readers are under way */
    gint64 changed;        /* when its content last changed in place; 0: not in this node's life */
    bool size_told;        /* the kernel asked for the attributes since */
    uint32_t settling;     /* a change is visible and its pages are just being dropped: the kernel
                              must not hear of the new size before */
    bool pages_cached; /* a read went to the page cache since the kernel last dropped the pages */
    uint32_t cached_opens; /* handles that read through the page cache */
    MountFile *file;       /* NULL: no handle can write */
    GPtrArray *listing;    /* directory: children by inode, for the requests after the first */
    uint64_t listing_of;   /* Mount.changes when it was made */
} MountNode;

typedef struct MountNodes MountNodes;

MountNodes *mount_nodes_new(void);
void mount_nodes_free(MountNodes *t);

/* The node with one more reference; made when missing. */
MountNode *mount_node_get(MountNodes *t, uint64_t ino);
/* The same, NULL when the kernel does not know the inode and nobody else holds it. */
MountNode *mount_node_find(MountNodes *t, uint64_t ino);
void mount_node_put(MountNodes *t, MountNode *n); /* NULL is allowed */
/* The kernel is about to be told of it once more; or forgot it `n` times. */
void mount_node_told(MountNodes *t, MountNode *n);
void mount_node_forget(MountNodes *t, uint64_t ino, uint64_t n);
/* All node ids. Caller frees. */
GArray *mount_nodes_list(MountNodes *t);

/* Waits for, and tells of, what `cond` of the file is about; false when `until` (0: never) came.
 * Node lock held, file there. */
bool mount_file_wait(MountNode *n, gint64 until);
void mount_file_wake(MountNode *n);

/* Makes sure `n->file` exists and counts a handle; the opposite frees it when nothing is left.
 * Node lock held. */
void mount_file_hold(MountNode *n);
void mount_file_drop(Mount *m, MountNode *n);

/* ---- mount --------------------------------------------------------------------------------- */

typedef struct MountNotify MountNotify;
typedef struct MountGate MountGate;
typedef struct MountEvents MountEvents;
typedef struct MountLinger MountLinger;

struct Mount {
    Engine *engine;
    char *mountpoint;
    pid_t guard; /* process that ends the connection when this one dies; 0: none */
    MountOptions opt;
    Tracer tracer;
    struct fuse_session *session; /* from mount_attach on */
    bool mounted;                 /* by us, not yet unmounted */
    atomic_bool serving;          /* workers answer requests */
    MountNodes *nodes;
    MountStats *stats;
    MountNotify *notify;
    MountGate *gate;
    MountEvents *events;
    MountLinger *linger;
    atomic_uint_fast64_t changes;  /* deltas heard of */
    atomic_uint_fast64_t last_seq; /* newest engine number answered as applied */
    atomic_size_t pending;         /* bytes in overlays */
    atomic_uint lone_creates;      /* files in a row that were made and closed empty */

    GMutex views_lock; /* guards `views` */
    GSList *views;     /* open virtual files */

    GMutex expect_lock; /* guards `expect` */
    GSList *expect;     /* of MountExpect: own changes of names now with the engine */

    GMutex later_lock; /* guards `later` */
    GCond later_cond;
    guint later; /* calls of mount_commit_then that have not ended */
    bool later_awaited;

    GMutex run_lock; /* guards the rest */
    GCond run_cond;
    bool running, stopping;
    pthread_t loop;
};

static inline uint64_t mount_ino_of(uint64_t tree)
{
    return tree == 0 ? FUSE_ROOT_ID : tree == 1 ? MOUNT_INO_ONE : tree;
}

static inline uint64_t mount_tree_of(uint64_t ino)
{
    return ino == FUSE_ROOT_ID ? 0 : ino == MOUNT_INO_ONE ? 1 : ino;
}

static inline uint64_t mount_ino_of_special(CfsSpecial s)
{
    return MOUNT_SPECIAL_BASE + 1 + (uint64_t)s;
}

/* CfsSpecial or -1. */
static inline int mount_special_of(uint64_t ino)
{
    uint64_t n = ino - MOUNT_SPECIAL_BASE - 1;
    return n < CFS_SPECIAL_N ? (int)n : -1;
}

/* Special entry that `name` in directory `parent` is, or -1. */
static inline int mount_special_child(uint64_t parent, const char *name)
{
    return parent == FUSE_ROOT_ID ? cfs_special_from_name(name) : -1;
}

/* Appends the mount's counters in Prometheus text form, for `.metrics`. */
void mount_format_metrics(Mount *m, GString *out);

uint32_t mount_now(void); /* Unix seconds modulo 2^32 */

/* ---- one request (mount_call.c) ------------------------------------------------------------ */

typedef struct MountCall {
    Mount *m;
    fuse_req_t req;
    MountOp op;
    int64_t start_us;
} MountCall;

/* The request `req`, from now on. */
MountCall mount_call(fuse_req_t req, MountOp op);

/* The answers; each ends the request. `error` is 0 or a negative errno. */
void mount_reply(const MountCall *c, int error);
void mount_reply_attr(const MountCall *c, const struct stat *st, double timeout);
/* Also takes back the mention of the node when the kernel does not want the answer any more. */
void mount_reply_entry(const MountCall *c, const struct fuse_entry_param *e);
/* False: nobody wants the handle any more; no release follows. */
bool mount_reply_open(const MountCall *c, const struct fuse_file_info *fi);
bool mount_reply_create(const MountCall *c,
                        const struct fuse_entry_param *e,
                        const struct fuse_file_info *fi);
void mount_reply_write(const MountCall *c, size_t count);
void mount_reply_buf(const MountCall *c, const void *data, size_t size);
/* False: the kernel did not take the listing. */
bool mount_reply_dir(const MountCall *c, const void *data, size_t size);
void mount_reply_zeros(const MountCall *c, size_t size);
void mount_reply_link(const MountCall *c, const char *target);
void mount_reply_poll(const MountCall *c, unsigned events);
void mount_reply_statfs(const MountCall *c, const struct statvfs *st);

/* A request that may have to wait for the engine or the kernel, with copies of its arguments. */
typedef struct MountTask MountTask;
struct MountTask {
    MountCall call;
    void (*run)(MountTask *t); /* answers the request */
    uint64_t ino, to_ino;
    char *name, *to_name;
    struct fuse_file_info fi;
    struct stat attr;
    int to_set;
    unsigned flags;
    char *data; /* to be written */
    size_t size;
    off_t off;
};

MountTask *mount_task_new(
    fuse_req_t req, MountOp op, void (*run)(MountTask *t), uint64_t ino, const char *name);
/* Runs the task, on this thread or, when too many are waiting already, when one of them is done. */
void mount_task_start(MountTask *t);

MountGate *mount_gate_new(uint32_t most);
void mount_gate_free(MountGate *g);

/* ---- attributes and entries (mount_attr.c) ------------------------------------------------- */

/* Attributes of a tree entry; returns how long the kernel may keep them. `pid`: of the asker, or 0;
 * `handle`: through which it asks, or NULL. Node lock held. */
double mount_attr_locked(
    Mount *m, MountNode *n, const Entry *e, pid_t pid, const void *handle, struct stat *ret);
/* Of a special entry; for a file its text is made to know the size. */
void mount_attr_special(Mount *m, CfsSpecial s, struct stat *ret);

/* The entry that node `n` stands for, or its last state when it is gone (*ret_gone, may be NULL).
 * NULL when it never was. Node lock held. */
Entry *mount_entry_locked(Mount *m, MountNode *n, bool *ret_gone);
/* The same, and takes the node lock, also with NULL. Waits a moment for the listener when the tree
 * has a change that it did not hear of yet. `settled`: waits too while pages are being dropped; not
 * for requests that hold pages. */
Entry *mount_entry_and_lock(Mount *m, MountNode *n, bool settled, bool *ret_gone);

/* Fills `ret` for the tree's child `name` of `parent` and counts it as told to the kernel. With
 * -ENOENT too: then it says for how long the name may be taken as missing. */
int mount_entry_fill(Mount *m, uint64_t parent, const char *name, struct fuse_entry_param *ret)
    must_check;
/* The same for a special entry. */
void mount_entry_fill_special(Mount *m, CfsSpecial s, struct fuse_entry_param *ret);

/* Full path of child `name` of directory `parent`. -ENOENT, -ENAMETOOLONG. */
int mount_child_path(Mount *m, uint64_t parent, const char *name, char **ret) must_check;

/* ---- files (mount_file.c, mount_view.c, mount_write.c, mount_commit.c) --------------------- */

typedef struct MountHandle {
    MountNode *node; /* one reference */
    bool writes;
    bool direct;  /* bypasses the page cache */
    pid_t pid;    /* who opened it */
    bool fresh;   /* opened and not used yet: a size set to 0 now is its O_TRUNC */
    bool cuts;    /* cut the file to nothing; seen by its process at once, by others with the first
                     bytes written by anyone, or with its close */
    bool unsaved; /* wrote or cut what is not known to be durable */
    int error;    /* what it wrote was dropped, perhaps by the close of another handle: told by its
                     next write, and once by its fsync or close */
    int lost;     /* the making of the file itself was taken back: told by all that it does. It may
                     have been told by the close of a copy of the descriptor, which nobody looks
                     at */
} MountHandle;

/* Takes its own reference of the node `ino`. */
MountHandle *mount_handle_new(Mount *m, uint64_t ino, bool writes, pid_t pid);
void mount_handle_free(Mount *m, MountHandle *h);
/* Node lock held. */
void mount_handle_cut(MountHandle *h);
/* A write of it was refused: a truncation nobody wrote after is given up with it. */
void mount_handle_refused(MountHandle *h, int error);
/* The error that the next write of it gets, or 0. Node lock held. */
int mount_handle_error(const MountHandle *h);
/* `r`, or where that is 0 the error that the handle has not heard of. */
int mount_handle_result(MountHandle *h, int r);
/* The file was made by change `seq`, applied and perhaps not yet durable. */
void mount_handle_applied(Mount *m, MountHandle *h, uint64_t seq);
MountHandle *mount_handle_of(const struct fuse_file_info *fi); /* NULL: it only reads */
/* Is there anything that a flush or release of this handle must do? */
bool mount_handle_has_work(const MountHandle *h, bool release);
/* How the kernel shall treat the handle. */
void mount_handle_fill(MountHandle *h, struct fuse_file_info *fi);

/* Size of the file as `pid` or `handle` sees it. Node lock held. */
uint32_t mount_view_size(const MountNode *n, const Entry *base, pid_t pid, const void *handle);
/* Something is written and not yet applied. Node lock held. */
bool mount_view_differs(const MountNode *n);
/* What the kernel and its page cache shall see in place of *e; `direct`: a reader around the cache,
 * who must not miss what was written here (see `overtaken`). Node lock held. */
void mount_shown_locked(const MountNode *n, Entry **e, bool direct);
/* What was not empty before has another content now. Node lock held. */
void mount_changed_locked(MountNode *n, const Entry *before);
/* May the file be read through the page cache? Node lock held. */
bool mount_view_cached(const MountNode *n);
/* The kernel asks for the attributes: for how long may it keep them? Node lock held. */
double mount_view_keep(MountNode *n);
/* A caller here changes the file: nobody is shown an earlier state any more. Node lock held. */
void mount_settle_locked(MountNode *n);
/* Drops the pages of a change for which `settling` was counted when it became visible, and counts
 * down. As mount_inval_data_now. */
void mount_inval_settling(Mount *m, MountNode *n);
/* `len` bytes at `off` as the layers show them. Caller frees. Node lock held, file there. */
uint8_t *mount_view_compose(const MountNode *n, const Entry *base, uint32_t off, uint32_t len);
/* Makes what was written to a removed file part of its last state. Node lock held. */
void mount_keep_orphan(MountNode *n);
/* Size of what lies below the overlay. Node lock held, file there. */
uint32_t mount_below_locked(const MountNode *n, const Entry *base);
/* A truncation that waited for bytes is now one for all; cuts or extends. As above. */
void mount_cut_locked(Mount *m, MountNode *n, const Entry *base);
void mount_truncate_locked(Mount *m, MountNode *n, const Entry *base, uint32_t size);

/* Makes what was written to the file one change and waits as `wait` says; also for what was only
 * applied before. `all`: also a truncation that nobody wrote after. 0 or -errno. What could not be
 * committed is dropped then, with all that is unsaved of the file: what one handle wrote may not
 * lie on what another failed to. Each handle is told, and there is a log line. Only from a task, a
 * thread that serves nobody, or when nobody is served. */
int mount_commit(Mount *m, MountNode *n, ReplicaWait wait, bool all, Err *err);
/* The same, REPLICA_WAIT_DURABLE, without waiting in local mode: `then` is called once with the
 * result, by any thread, and must not wait. The node and the mount must last until then. In local
 * mode the call may write to the disk and hang with it, after which only this thread is missing.
 */
void mount_commit_then(Mount *m, MountNode *n, bool all, void (*then)(void *ctx, int r), void *ctx);
void mount_commit_await(Mount *m); /* until all of these have been called */
/* Commits what is still open when nobody is served any more. */
void mount_commit_all(Mount *m);
/* Commits files that were written and then left open without another write for some seconds. The
 * second one: something was written to `f` that is no change yet; node lock held. */
MountLinger *mount_linger_new(Mount *m);
void mount_linger_wrote(Mount *m, MountFile *f);
void mount_linger_start(MountLinger *l);
void mount_linger_stop(MountLinger *l); /* also when it was not started */
void mount_linger_free(MountLinger *l);

/* Frees the handles for which no release came. */
void mount_handles_free(Mount *m);

/* Waits until no operation on the path of `n` is with the engine, and takes that place. */
void mount_path_hold(MountNode *n);
void mount_path_release(Mount *m, MountNode *n);
/* Change `seq` of the file was applied and is perhaps not yet durable. Node lock held, file there.
 */
void mount_applied_locked(Mount *m, MountNode *n, uint64_t seq);

/* ---- own changes --------------------------------------------------------------------------- */

/* Submits a change of names that the kernel will know of from the answer: it is not told again. */
int mount_submit(Mount *m, const TreeOp *op, ReplicaWait wait, uint64_t *ret_seq, Err *err)
    must_check;
/* Is this edit of a change on this node one of those? */
bool mount_expected(Mount *m, TreeOpKind kind, const MemdbEdit *edit);

/* ---- telling the kernel (mount_notify.c) --------------------------------------------------- */

MountNotify *mount_notify_new(Mount *m);
/* The threads begin; they have ended when the second returns, also when they never began. */
void mount_notify_start(MountNotify *n);
void mount_notify_stop(MountNotify *n);
void mount_notify_free(MountNotify *n);
/* The engine's listener. */
void mount_notify_listen(void *mount, const EngineNotice *notice);

/* Queues an inode whose content changed. */
void mount_notify_data(MountNotify *n, uint64_t ino);
/* Queues a name and the listing it is in. */
void mount_notify_name(MountNotify *n, uint64_t parent, const char *name);

/* At once, from a request. Attributes: from any. Pages or listing: only from a task, and of an
 * inode whose pages the request does not hold. */
void mount_inval_attr_now(Mount *m, uint64_t ino);
void mount_inval_data_now(Mount *m, uint64_t ino);

/* ---- special entries (mount_special.c) ----------------------------------------------------- */

/* The requests for special files; they answer. */
void mount_special_open(const MountCall *c, CfsSpecial s, struct fuse_file_info *fi);
void mount_special_read(
    const MountCall *c, CfsSpecial s, size_t size, off_t off, const struct fuse_file_info *fi);
void mount_special_write(
    const MountCall *c, CfsSpecial s, const char *data, size_t size, off_t off);
void mount_special_release(const MountCall *c, CfsSpecial s, const struct fuse_file_info *fi);
void mount_special_free_all(Mount *m); /* those for which no release came */
/* Text of a special file; NULL when it cannot be made. Caller frees. */
GString *mount_special_text(Mount *m, CfsSpecial s);

MountEvents *mount_events_new(Mount *m);
void mount_events_start(MountEvents *ev); /* its thread */
void mount_events_stop(MountEvents *ev);  /* who waits, and who asks from now on, reads the end */
void mount_events_join(MountEvents *ev);  /* ends the thread */
void mount_events_free(MountEvents *ev);
void mount_events_open(const MountCall *c, struct fuse_file_info *fi);
void mount_events_read(const MountCall *c, size_t size, off_t off, const struct fuse_file_info *fi);
void mount_events_close(Mount *m, const struct fuse_file_info *fi);

/* ---- the operations ------------------------------------------------------------------------ */

/* As fuse_lowlevel.h says for each: they end with one answer. On any worker. */
void mount_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void mount_op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n);
void mount_op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void mount_op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void mount_op_setattr(
    fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void mount_op_readlink(fuse_req_t req, fuse_ino_t ino);
void mount_op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void mount_op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void mount_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void mount_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void mount_op_rename(fuse_req_t req,
                     fuse_ino_t parent,
                     const char *name,
                     fuse_ino_t to_parent,
                     const char *to_name,
                     unsigned int flags);
void mount_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t to_parent, const char *to_name);
void mount_op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void mount_op_create(
    fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void mount_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void mount_op_read(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void mount_op_write(fuse_req_t req,
                    fuse_ino_t ino,
                    const char *data,
                    size_t size,
                    off_t off,
                    struct fuse_file_info *fi);
void mount_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void mount_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void mount_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void mount_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void mount_op_readdir(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void mount_op_readdirplus(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void mount_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void mount_op_statfs(fuse_req_t req, fuse_ino_t ino);
void mount_op_poll(fuse_req_t req,
                   fuse_ino_t ino,
                   struct fuse_file_info *fi,
                   struct fuse_pollhandle *ph);

#endif
