/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_priv: what the files of the engine share: engine.c (life, queue, callers), engine_open.c
 * (database to tree), engine_loop.c (events in, actions out), engine_cluster.c (corosync),
 * engine_status.c (status store and its group), engine_save.c (copies of replaced content),
 * engine_view.c (reading), engine_conf.c (what a corosync.conf must be).
 *
 * Locks are those of the system, not of GLib, whose own the thread checker cannot see.
 */
#ifndef PMXCFS_IO_ENGINE_PRIV_H
#define PMXCFS_IO_ENGINE_PRIV_H

#include "lib/base/tracer.h"
#include "pmxcfs/core/statusgroup.h"
#include "pmxcfs/io/corosync_conf_sync.h"
#include "pmxcfs/io/corosync_info.h"
#include "pmxcfs/io/engine.h"
#include "pmxcfs/io/feed.h"
#include "pmxcfs/io/group_cpg.h"
#include "pmxcfs/io/loop_timer.h"
#include "pmxcfs/io/store.h"

#include <pthread.h>
#include <stdatomic.h>

#define ENGINE_LISTENERS_MAX 8
#define ENGINE_SEED_MS       60000 /* for the first commit of a fresh database */

typedef enum JobKind {
    JOB_SUBMIT,
    JOB_SYNC,
    JOB_CANCEL,
    JOB_VERIFY,
    JOB_STORED,
    JOB_STORE_FAILED,
    JOB_PROBED,
    JOB_SAVED, /* the losing tree is on disk, or is not */
    JOB_STATUS,
    JOB_STOP,
} JobKind;

/* One thing for the cfs thread to do. */
typedef struct Job {
    struct Job *next;
    JobKind kind;
    uint64_t token, seq;
    TreeOp *op;
    ReplicaWait wait;
    int code;
    StatusGroupUpdate status; /* STATUS: actions still to be performed */
} Job;

/* A caller who waits, found by token under wait_lock: in `ask`, on its own stack, or, when it wants
 * to be called (`then`), from the heap. */
typedef struct Waiter {
    pthread_cond_t cond; /* for `ask` */
    bool done;
    int result;
    uint64_t seq;
    char text[ERR_TEXT_MAX];
    EngineThen then;
    void *ctx;
    uint64_t token;
    bool change;     /* it asked for a change, else for a sync */
    TreeOpKind kind; /* of that change */
    MonoTime start;
    struct Waiter *next; /* among those that were answered and are to be called */
} Waiter;

typedef struct EngineListener {
    void (*fn)(void *ctx, const EngineNotice *n);
    void *ctx;
} EngineListener;

struct Engine {
    /* fixed after engine_open */
    char *nodename, *database, *host_conf, *address, *vfs;
    ReplicaDurability durability;
    bool native, local;
    bool disowned; /* the database is of another cluster */
    WallTime start;
    Tracer log_db, log_dcdb, log_status, log_quorum;
    EngineListener listeners[ENGINE_LISTENERS_MAX];
    guint n_listeners;
    Feed *feed;

    /* tree: changed by the cfs thread under the writer lock, read by all under the reader lock */
    pthread_rwlock_t tree_lock;
    Memdb *db;

    /* status store, its group, and what else views show; under status_lock */
    pthread_mutex_t status_lock;
    Status *status;
    StatusGroup *status_group;
    ReplicaStatus shown;
    void (*rrd)(void *ctx, const char *id, GBytes *value); /* fixed after engine_start */
    void *rrd_ctx;

    _Atomic bool quorate;

    /* callers */
    pthread_mutex_t wait_lock;
    GHashTable *waiters; /* token -> Waiter */
    uint64_t last_token;
    bool closed;                  /* nobody is accepted any more; under wait_lock */
    bool ending;                  /* engine_ending; under wait_lock */
    struct timespec ending_until; /* with `ending`: nobody waits longer (monotonic clock) */
    guint at_store;               /* callers who lead its writing now; under wait_lock */
    bool store_closes;            /* no more of them; under wait_lock */
    pthread_cond_t at_store_cond; /* the last of them has left */

    /* queue to the cfs thread */
    pthread_mutex_t queue_lock;
    Job *first, **last;
    Job *stored; /* the JOB_STORED in the queue that a later one may grow; under queue_lock */

    /* disk */
    Store *store;      /* views look at it under status_lock */
    GPtrArray *seeds;  /* of MemdbDelta: what engine_open changed, written by engine_start */
    uint64_t seq_base; /* numbers that the seeds took: store number = replica number + this */
    pthread_mutex_t seed_lock;
    pthread_cond_t seed_cond;
    uint64_t seed_stored;
    int seed_code;
    char seed_text[ERR_TEXT_MAX];
    bool seeding;

    /* Who has this lock is the owner of replica, tree (as its writer) and the copies below. In
     * cluster mode that is always the cfs thread, because what a change leads to belongs to its
     * loop. In local mode a change is quickest where it is asked for: callers, and the store's
     * thread with what it has committed, become the owner for the one step. Taken before any other
     * lock. */
    pthread_mutex_t owner_lock;
    bool ended;        /* nothing more may be stepped; under owner_lock */
    bool caller_leads; /* no need to wake the store's thread: the caller looks after it */
    Waiter *answered, **answered_last; /* called by who gives up the lock */
    uint64_t submitted;                /* newest number given to the store, its own counting */
    uint64_t hurried;                  /* of them, those that the store was told not to hold back */
    int64_t clock_lead; /* most that the clock was ahead of the time since boot, in seconds */
    bool clock_known;   /* it is set */

    /* cfs thread */
    GMainContext *context;
    GMainLoop *loop;
    GThread *thread;
    GSource *queue_source;
    LoopTimer *tick, *status_tick, *probe;
    uint64_t status_seen; /* generation that listeners know of */
    Replica *replica;
    /* cluster mode only */
    CorosyncConfSync *conf_sync;
    CorosyncInfo *info;
    GroupCpg *config_cpg, *status_cpg;
    ReplicaNode nodes[REPLICA_NODES_MAX];
    guint n_nodes;
    const uint32_t *quorum_nodes; /* borrowed from `info` */
    guint n_quorum_nodes;
    GThread *prober; /* short-lived helper that may block on the disk */
    /* copies of content that is replaced */
    GThread *saver; /* NULL: none is being written */
    GQueue to_save; /* of SaveTask*: those behind the one being written */
    GQueue held;    /* of MemdbDelta*, to be stored when all copies are on disk */
    guint saving;   /* copies under way, those that wait included */
    int save_code;  /* of the first that failed */
};

/* ---- engine.c ---- */
Engine *engine_new(const EngineConfig *cfg); /* everything empty, nothing open */
Job *engine_job_new(JobKind kind);
void engine_job_free(Job *job);
void engine_push(Engine *e, Job *job); /* takes the job; any thread */
Job *engine_take_all(Engine *e);       /* the whole queue, oldest first */
bool engine_has_jobs(Engine *e);
/* Hands an answer to who waits for `token`, if anybody still does. Owner only. */
void engine_answer(Engine *e, uint64_t token, int result, uint64_t seq, const char *text);
void engine_answer_all(Engine *e, int result, const char *text);
void engine_call_answered(Engine *e, Waiter *first); /* no lock held */
void engine_notify(Engine *e, const EngineNotice *n);

/* ---- engine_open.c ---- */
/* Has the store write what a fresh database gets first; blocks until it is on disk, at most
 * ENGINE_SEED_MS. */
int engine_write_seeds(Engine *e, Err *err) must_check;

/* 0, or -EINVAL when `op` would leave a corosync.conf that corosync cannot live with (any thread).
 */
int engine_check_conf(Engine *e, const TreeOp *op, Err *err) must_check;

/* ---- engine_loop.c ---- */
void engine_loop_init(Engine *e); /* sources on a context of its own; no thread yet */
void engine_loop_done(Engine *e);
gpointer engine_thread(gpointer data);
/* To be the owner; true. False, and the lock is not held, when the engine has ended. */
bool engine_own(Engine *e) must_check;
/* Also calls those who were answered meanwhile and wanted that. No lock may be held. */
void engine_disown(Engine *e);
/* One event to the replica and all that follows from it; sets the times of `ev`. Owner only. */
void engine_step(Engine *e, ReplicaEvent *ev);
/* Performs one job of those that need the owner; `more`: another such one follows at once. Owner
 * only. */
void engine_do_job(Engine *e, const Job *job, bool more);

/* ---- engine_save.c: owner only ---- */
void engine_save_init(Engine *e);
void engine_save_done(Engine *e);
/* Hands a delta to the store; behind copies that are under way it waits for them. `more`: another
 * one follows at once. */
void engine_store(Engine *e, const ReplicaAction *a, bool more);
/* Begins to write the content that is about to be replaced to a file beside the database. */
void engine_save_losing_tree(Engine *e, const ReplicaAction *a);
void engine_saved(Engine *e, int code); /* such a copy has ended */

/* ---- engine_status.c ---- */
void engine_status_init(Engine *e);  /* the mode must be known */
void engine_status_start(Engine *e); /* these on the cfs thread */
void engine_status_event(void *ctx, const GroupEvent *ev);
void engine_status_tick(void *ctx);
void engine_status_perform(Engine *e, const StatusGroupUpdate *up); /* and tells listeners */

/* ---- engine_cluster.c: on the cfs thread ---- */
/* Joins corosync: its quorum, its node list, both groups; leaves all of them. */
void engine_cluster_start(Engine *e);
void engine_cluster_stop(Engine *e);

#endif
