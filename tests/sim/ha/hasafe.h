/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hasafe: the whole HA stack in one process, on a virtual clock, from a seed: the product's own CRM
 * and LRM on every node and its locks (ha_leases.h), with models of power, network, cluster
 * filesystem, watchdog, fence devices and guests under them. Every daemon and worker is a
 * coroutine: each call into its environment takes time, and a pause, a crash, a partition or a
 * reset may come between any two calls.
 *
 * Checked after every change: a service runs on one node at most (INV-5, INV-6). In the end, faults
 * over: every wanted service runs within a bounded time. Quarantine has a drill of its own.
 *
 * Times are microseconds of true time unless said otherwise; a node's own clock runs fast or slow
 * by up to the drift of the timing table.
 */
#ifndef TESTS_SIM_HA_HASAFE_H
#define TESTS_SIM_HA_HASAFE_H

#include "ha-manager/core/ha_crm.h"
#include "ha-manager/core/ha_env.h"
#include "ha-manager/core/ha_lrm.h"
#include "ha-manager/io/ha_leases.h"
#include "lib/base/prng.h"

#include <stdbool.h>
#include <stdint.h>

#define HASAFE_NODES_MAX    5
#define HASAFE_SERVICES_MAX 12
#define HASAFE_LOCKS        (HASAFE_NODES_MAX + 1) /* agent locks, then the manager's */
#define HASAFE_WORKERS      4

typedef struct HaSafe HaSafe;
typedef struct HaSafeNode HaSafeNode;
typedef struct HaSafeTask HaSafeTask;
typedef struct HaSafeFencer HaSafeFencer;
typedef struct HaSafeStraggler HaSafeStraggler;

/* Ways to break the stack, to show that the checks can fail. */
#define HASAFE_DEFECT_LIST(X)                                                                      \
    X(HASAFE_SOUND, "none")                                                                        \
    X(HASAFE_SLOW_RESET, "slow-reset")       /* the watchdog takes longer than the lease */        \
    X(HASAFE_NO_WATCHDOG, "no-watchdog")     /* the device never fires */                          \
    X(HASAFE_FORGET, "forget")               /* a finished start is reported but not done */       \
    X(HASAFE_BLIND_CONFIRM, "blind-confirm") /* a node that came back counts as switched off */    \
    X(HASAFE_LYING_DEVICE, "lying-device")   /* says "off" and does nothing */                     \
    X(HASAFE_PATIENT, "patient")             /* nodes that come and go are taken for good ones */  \
    X(HASAFE_STILL_DATE, "still-date")       /* the date of a CRM stands still */

typedef enum HaSafeDefect { HASAFE_DEFECT_LIST(STRTAB_ENUM) HASAFE_DEFECT_N } HaSafeDefect;
STRTAB_DECLARE(hasafe_defect, HaSafeDefect);

typedef struct HaSafeOptions {
    uint64_t seed;
    const HaTiming *timing;
    HaSafeDefect defect;
    bool verbose;
    bool drill; /* of quarantine (hasafe_flaps.c), instead of random faults */
} HaSafeOptions;

/* What a run did; for the statistics of many. */
typedef struct HaSafeResult {
    unsigned starts, moves, resets, fences, pauses, partitions;
    unsigned agents, switched_off, confirmed; /* fence devices: runs, nodes, proofs taken */
    unsigned dropped;                         /* locks of the boot before */
    unsigned rebooted, quarantines;
    int64_t settle_us; /* from the end of the faults until all wanted services ran */
} HaSafeResult;

/* One run. True when everything held; otherwise the story is on stderr. */
bool hasafe_run(const HaSafeOptions *opt, HaSafeResult *ret);

/* ---- hasafe_task.c: virtual time and coroutines ---- */

typedef void (*HaSafeFn)(HaSafe *s, void *data);
typedef struct HaSafeClock HaSafeClock;

HaSafeClock *hasafe_clock_new(HaSafe *s);
void hasafe_clock_free(HaSafeClock *c); /* ends every task first */
int64_t hasafe_now(const HaSafe *s);
/* Calls fn(s, data) after `us`; `data` is borrowed. */
void hasafe_after(HaSafe *s, int64_t us, HaSafeFn fn, void *data);
/* Runs events until `until`, or until the run has failed. */
void hasafe_run_until(HaSafe *s, int64_t until);

/* Starts a coroutine at once in virtual time; freed when its function returns. */
void hasafe_spawn(HaSafe *s, HaSafeFn fn, void *data);
/* Within a coroutine: lets `us` pass. */
void hasafe_sleep(HaSafe *s, int64_t us);
/* The coroutine that runs, and the end of another one's sleep. */
HaSafeTask *hasafe_self(const HaSafe *s);
void hasafe_wake(HaSafe *s, HaSafeTask *t);

/* ---- the world ---- */

/* A directory in priv/lock as the cluster filesystem keeps it. */
typedef struct HaSafeDir {
    bool there;
    unsigned owner; /* index of the node that made it */
    uint64_t inode;
    int64_t mtime;
    int64_t seen[HASAFE_NODES_MAX]; /* own clock of each member when it last saw a change */
} HaSafeDir;

/* The replicated state; a node that is cut off keeps the copy it had. */
typedef struct HaSafeTree {
    char *files[HA_FILE_N]; /* g_ref_string; NULL: none */
    char *lrm_status[HASAFE_NODES_MAX];
    unsigned where[HASAFE_SERVICES_MAX]; /* owner of the guest's configuration */
    HaSafeDir dirs[2 * HASAFE_LOCKS];    /* the locks, then their marks NAME.take */
} HaSafeTree;

/* What a node's fence device does. */
typedef enum HaSafeDevice {
    HASAFE_NO_DEVICE,
    HASAFE_RIGHT,
    HASAFE_LATE,    /* right, but the node may be up again before it says so */
    HASAFE_FAILING, /* says that it failed, which need not be true */
    HASAFE_HANGING, /* says nothing; may switch off some time later */
} HaSafeDevice;

typedef struct HaSafeDaemon {
    HaSafe *s;
    HaSafeNode *node;
    bool is_lrm;
    unsigned life; /* of the process: a coroutine of an earlier one is dead */
    bool running;
    int64_t paused_until;
    unsigned calls_left; /* the last of these calls is where a pause begins; 0: none is due */
    int64_t pause_us;
    bool asked;         /* to end in order; the process sees it when it next looks */
    HaSafeTask *rester; /* sleeps between two rounds; NULL: it does not */
    HaShutdown why;
    HaSafeStraggler *straggler; /* a change that it no longer waits for; NULL: none */
} HaSafeDaemon;

/* A client of the multiplexer. */
typedef struct HaSafeClient {
    bool open;
    int64_t fed; /* own clock */
} HaSafeClient;

/* A worker of the LRM: a process of its own, which outlives a killed LRM. */
typedef struct HaSafeWorker {
    bool done;
    bool orphan; /* nobody collects it: it frees itself */
    HaSafeDaemon *lrm;
    unsigned boot;
    HaJob job;
    int code;
} HaSafeWorker;

struct HaSafeNode {
    HaSafe *s;
    unsigned index;
    char *name;
    bool up;
    unsigned boot;
    int64_t booted;     /* true time */
    int64_t next_power; /* true time from which it may be switched on */
    int64_t drift_ppm;
    int64_t wall_offset; /* us */
    unsigned part;       /* component of the network */
    bool stable;         /* membership is settled */
    bool synced;         /* reads the tree; else the copy in `view` */
    unsigned view_round; /* of the change that it is about to notice */
    bool quorate;        /* as this node knows it */
    unsigned members;    /* bits: the view of this node */
    int64_t cfs_until;   /* the filesystem stands still until then */
    HaSafeTree view;     /* what is read while cut off */
    HaSafeDaemon crm, lrm;
    HaSafeClient clients[2]; /* of crm and lrm */
    bool mux_dead;           /* has stopped petting, for good */
    int64_t mux_until;       /* the multiplexer stands still until then */
    int64_t fires;           /* true time at which the device fires, while armed */
    int64_t looked_at;       /* true time of the next look at `fires`; 0: none is due */
    bool armed;
    bool ticking; /* the multiplexer's next look is due */
    bool runs[HASAFE_SERVICES_MAX];
    uint64_t guest_lock[HASAFE_SERVICES_MAX]; /* who works on the guest here; 0: nobody */
    GPtrArray *workers;                       /* HaSafeWorker *, of the LRM that runs */
    bool going_down;                          /* an orderly shutdown is under way */
    HaSafeDevice device;
};

struct HaSafe {
    HaSafeOptions opt;
    HaTiming timing; /* in force: that of the options, or a broken one */
    Prng rng;
    HaSafeClock *clock;
    unsigned n_nodes, n_services;
    HaSafeNode nodes[HASAFE_NODES_MAX];
    HaSafeTree tree;
    uint64_t inodes, guest_locks;
    bool dogs_fire; /* watchdogs can be relied on */
    char *lock_names[HASAFE_NODES_MAX];
    bool wanted[HASAFE_SERVICES_MAX];   /* state started is asked for */
    bool disabled[HASAFE_SERVICES_MAX]; /* by somebody who leads it out of its error state */
    bool calm;                          /* no more faults */
    bool failed;
    unsigned view_round; /* counts changes of the network */
    HaSafeResult result;
};

int64_t hasafe_random(HaSafe *s, int64_t lo, int64_t hi);
bool hasafe_chance(HaSafe *s, uint32_t num, uint32_t den);
void hasafe_say(const HaSafe *s, const char *who, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void hasafe_fail(HaSafe *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "vm:100" is service 0. */
int hasafe_service(const char *sid); /* -1: none of ours */
char *hasafe_sid(unsigned service);
HaSafeNode *hasafe_node_by_name(HaSafe *s, const char *name);

void hasafe_tree_copy(HaSafeTree *to, const HaSafeTree *from);
void hasafe_tree_done(HaSafeTree *t);

/* The clock of a node: microseconds since it booted, as it counts them. */
int64_t hasafe_mono(const HaSafeNode *n);

int64_t hasafe_wall(const HaSafeNode *n); /* its date, in Unix seconds */

/* ---- hasafe_node.c: power, membership, watchdog, processes ---- */

void hasafe_power_on(HaSafeNode *n);
void hasafe_power_off(HaSafeNode *n);   /* at once: everything on it is gone */
void hasafe_network_changed(HaSafe *s); /* after any change of `part` or `up` */
void hasafe_daemon_start(HaSafeDaemon *d);
void hasafe_daemon_kill(HaSafeDaemon *d);
void hasafe_daemon_ask(HaSafeDaemon *d, HaShutdown why); /* to end in order */
void hasafe_watchdog_open(HaSafeNode *n, HaSafeClient *client);
void hasafe_watchdog_close(HaSafeNode *n, HaSafeClient *client, bool clean);
/* A service starts or stops running on a node; checks INV-5. */
void hasafe_set_running(HaSafeNode *n, unsigned service, bool running, const char *why);

/* ---- hasafe_env.c ---- */

extern const HaEnvOps hasafe_ops;
/* Who calls: the process of a daemon, or a worker of it. ctx of every HaEnvOps call. */
typedef struct HaSafeCaller {
    HaSafeDaemon *d;
    unsigned life; /* of the daemon, when this caller began */
    unsigned boot;
    HaSafeWorker *worker; /* NULL: the daemon itself */
    int64_t beyond;       /* us: for a dead one time runs away, so that its loops end */
    HaLeases *leases;     /* of a daemon */
    HaSafeFencer *fencer; /* of a CRM */
    HaEnvOps ops;         /* without log where nobody reads it */
    HaEnv env;
} HaSafeCaller;

void hasafe_caller_init(HaSafeCaller *c, HaSafeDaemon *d, HaSafeWorker *worker);
/* The process still exists. */
bool hasafe_alive(const HaSafeCaller *c);
/* Lets a moment pass, as any call does, and waits out pauses. */
void hasafe_call(HaSafeCaller *c);
/* Waits until the filesystem of this node answers. */
bool hasafe_cfs_ready(HaSafeCaller *c);
/* The node can read its cluster filesystem and, when true is returned, write to it. */
bool hasafe_cfs_write(HaSafeCaller *c);
const HaSafeTree *hasafe_view(const HaSafeNode *n);

/* hasafe_tree.c */

/* A change of the tree; `apply` makes it for a node that is in the quorate part. */
typedef struct HaSafeChange HaSafeChange;
struct HaSafeChange {
    int (*apply)(HaSafeNode *n, const HaSafeChange *change);
    unsigned dir;
    int64_t mtime;
    char **where; /* of a file */
    char *text;   /* g_ref_string */
    unsigned service, from, to;
};
/* Has it made: 0, what `apply` says, or an error; then it may still happen later. */
int hasafe_change(HaSafeCaller *c, const HaSafeChange *change);
HaLeases *hasafe_leases_new(HaSafeCaller *c);

/* hasafe_fence.c */
HaSafeFencer *hasafe_fencer_new(void);
void hasafe_fencer_free(HaSafeFencer *f);
bool hasafe_can_fence(void *ctx, const char *node);
int hasafe_fence(void *ctx, const char *node);
void hasafe_fence_over(void *ctx, const char *node);
int hasafe_lock_dead(void *ctx, const char *name);

/* hasafe_agent.c */
int hasafe_agent_running(void *ctx, const char *sid);
void hasafe_agent_start(void *ctx, const char *sid);
void hasafe_agent_stop(void *ctx, const char *sid, int64_t timeout_s);
int hasafe_agent_migrate(void *ctx, const char *sid, const char *target, bool online);
int hasafe_worker_start(void *ctx, const HaJob *job);
int hasafe_worker_reap(void *ctx, HaWorkerExit *ret_exit);
void hasafe_worker_free(HaSafeWorker *w);

/* ---- hasafe.c: until every wanted service runs and stays so ---- */

void hasafe_settle(HaSafe *s);

/* ---- hasafe_flaps.c ---- */

void hasafe_drill(HaSafe *s);

/* ---- hasafe_fault.c ---- */

void hasafe_faults_start(HaSafe *s);
void hasafe_add_command(HaSafe *s, const char *text);
void hasafe_faults_end(HaSafe *s); /* everything mended, nothing paused */
/* Somebody looks at services in error, which need a person, and disables them for a while. */
void hasafe_mend_errors(HaSafe *s);

#endif
