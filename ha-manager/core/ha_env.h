/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_env: the seam between the HA core and the world.
 *
 * CRM and LRM decide; everything they want to know or to have done goes through these calls, which
 * a daemon implements on the mounted tree, the watchdog multiplexer and the guest tools, and a
 * simulator on memory. The core never sees a path, a socket or a clock. Calls are made on the
 * thread that runs the round, one at a time, and must not call back into the core.
 *
 * Time of a round is passed to the round and is fixed in it; `mono` exists only to notice that the
 * process was paused between two calls.
 *
 * Texts handed out (`ret_text` and the like) are owned by the caller (g_free). Reference: ha.md 1,
 * 2, 13.3.
 */
#ifndef HA_MANAGER_CORE_HA_ENV_H
#define HA_MANAGER_CORE_HA_ENV_H

#include "ha-manager/core/ha_names.h"
#include "ha-manager/core/ha_timing.h"
#include "lib/base/err.h"
#include "lib/base/strmap.h"
#include "lib/base/timeval.h"
#include "lib/base/tracer.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* The files of the stack below the root of the cluster filesystem. */
#define HA_FILE_LIST(X)                                                                            \
    X(HA_FILE_RESOURCES, "ha/resources.cfg")                                                       \
    X(HA_FILE_GROUPS, "ha/groups.cfg")                                                             \
    X(HA_FILE_RULES, "ha/rules.cfg")                                                               \
    X(HA_FILE_FENCE, "ha/fence.cfg")                                                               \
    X(HA_FILE_COMMANDS, "ha/crm_commands")                                                         \
    X(HA_FILE_MANAGER_STATUS, "ha/manager_status")                                                 \
    X(HA_FILE_LRM_STATUS, "lrm_status")                                                            \
    X(HA_FILE_DATACENTER, "datacenter.cfg")

typedef enum HaFile { HA_FILE_LIST(STRTAB_ENUM) HA_FILE_N } HaFile;
STRTAB_DECLARE(ha_file, HaFile);

#define HA_MANAGER_LOCK "ha_manager_lock"

/* Name of the agent lock of a node; caller frees. */
char *ha_agent_lock_name(const char *node);

/* The time of a round. */
typedef struct HaNow {
    MonoTime mono;
    WallTime wall;
} HaNow;

/* A guest of the cluster, whether under HA or not. */
typedef struct HaGuest {
    char *node;   /* owns its configuration file */
    bool started; /* runs, as far as the cluster knows */
} HaGuest;

void ha_guest_free(void *guest);

/* Resources of a node or guest; memory in bytes. maxcpu 0 of a guest: no limit. */
typedef struct HaLoad {
    double maxcpu;
    double maxmem;
    double cpu;
    double mem;
} HaLoad;

typedef struct HaLoads {
    StrMap *nodes;  /* node -> HaLoad * (g_free) */
    StrMap *guests; /* sid -> HaLoad * (g_free) */
} HaLoads;

void ha_loads_init(HaLoads *loads);
void ha_loads_done(HaLoads *loads);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(HaLoads, ha_loads_done)

/* What goes to a person: fencing begun, fencing done, service without a node to run on. */
typedef struct HaNotice {
    const char *prefix; /* FENCE, SUCCEED, ALERT */
    const char *text;
    const char *node; /* the node it is about, or NULL */
    const char *sid;  /* the service it is about, or NULL */
} HaNotice;

/* One request to a resource agent. */
typedef struct HaJob {
    char *sid;
    char *uid;            /* NULL: stop job of a node shutdown, reported to nobody */
    HaServiceState state; /* what is asked for */
    char *target;         /* NULL: none */
    int64_t timeout_s;    /* -1: none */
    unsigned passed_over; /* rounds it had to wait for a free worker */
} HaJob;

void ha_job_free(void *job);

/* A worker that has ended. */
typedef struct HaWorkerExit {
    char *sid;  /* owned by the receiver */
    int code;   /* exit code; HAJOB_* below when it never gave one */
    int signal; /* signal that ended it, 0 when none */
    bool ran;   /* false: could not be started */
} HaWorkerExit;

/* Changes a file's text; `old_text` is "" when there is no file. 0 with *ret_text owned by the
 * caller, 1 for "leave it as it is", or an error. */
typedef int (*HaEdit)(const char *old_text, char **ret_text, void *data, Err *err);

typedef struct HaEnvOps {
    MonoTime (*mono)(void *ctx);
    void (*sleep_ms)(void *ctx, int64_t ms);

    void (*log)(void *ctx, TraceLevel level, const char *text); /* NULL: nobody reads it */
    void (*notify)(void *ctx, const HaNotice *notice);

    /* Membership. `quorate`: this node is in the quorate partition. `refresh` looks again, at the
     * start of a round; an error means that what is known may be stale. `members` fills name ->
     * GINT_TO_POINTER(online) for every configured member. */
    bool (*quorate)(void *ctx);
    int (*refresh)(void *ctx);
    int (*members)(void *ctx, StrMap *ret_online, Err *err);

    /* Files. `node` only for HA_FILE_LRM_STATUS. A missing file reads as "". */
    int (*read)(void *ctx, HaFile file, const char *node, char **ret_text, Err *err);
    int (*write)(void *ctx, HaFile file, const char *node, const char *text, Err *err);
    /* Read, edit and write under the domain lock; an empty result for groups.cfg removes it. */
    int (*update)(void *ctx, HaFile file, HaEdit edit, void *data, Err *err);

    /* Leases: one attempt to take or renew; 0 when held. -ESTALE or -ENOENT: it was ours and is
     * somebody else's, or gone. Neither this nor `write` may take longer than the lease that the
     * watchdog was last fed for allows (HaTiming.giveup_ms), whatever the cluster does. */
    int (*lock)(void *ctx, const char *name);
    int (*unlock)(void *ctx, const char *name);

    /* Proofs of a node's death beside its lease; NULL: there are none.
     * `fence`: the node has been switched off since it was last seen (1), or not yet (0); starts
     * what is needed for that. `can_fence`: there is a device for it. `fence_over`: nobody waits
     * for it any more. `lock_dead`: takes the lock of a node that is proven dead at once; -ESTALE
     * when the lock has changed since `fence` was first asked for: the node has come back. */
    int (*fence)(void *ctx, const char *node);
    bool (*can_fence)(void *ctx, const char *node);
    void (*fence_over)(void *ctx, const char *node);
    int (*lock_dead)(void *ctx, const char *name);

    /* This daemon's watchdog. `feed` counts from `since`, a time of `mono`. */
    int (*watchdog_open)(void *ctx);
    int (*watchdog_feed)(void *ctx, MonoTime since);
    int (*watchdog_close)(void *ctx);

    /* Guests. `guests` fills sid -> HaGuest *. `guest_move` renames the configuration file into the
     * directory of `to`. `guest_lock`: name of the lock in the guest's configuration, or NULL. */
    int (*guests)(void *ctx, StrMap *ret_guests, Err *err);
    char *(*guest_node)(void *ctx, const char *sid);
    int (*guest_move)(void *ctx, const char *sid, const char *from, const char *to, Err *err);
    char *(*guest_lock)(void *ctx, const char *sid);
    int (*guest_unlock)(void *ctx, const char *sid, const char *lock, Err *err);

    /* Facts for placement; an error makes the scheduler fall back to basic. */
    int (*loads)(void *ctx, HaScheduler mode, HaLoads *loads, Err *err);
    char *(*node_version)(void *ctx, const char *node); /* NULL: unknown */

    /* Resource agents: called by ha_agent_run, inside a worker or in line. */
    bool (*agent_has_type)(void *ctx, const char *type);
    int (*agent_running)(void *ctx, const char *sid); /* 1, 0, or an error */
    void (*agent_start)(void *ctx, const char *sid);
    void (*agent_stop)(void *ctx, const char *sid, int64_t timeout_s); /* -1: default, 0: hard */
    int (*agent_migrate)(void *ctx, const char *sid, const char *target, bool online);

    /* Workers; not used when max_workers is 0. `worker_start` begins ha_agent_run for the job
     * elsewhere; `worker_reap` gives one that ended (1) or says that none has (0). */
    int (*worker_start)(void *ctx, const HaJob *job);
    int (*worker_reap)(void *ctx, HaWorkerExit *ret_exit);
} HaEnvOps;

/* Where conduct differs from the documented one. All false: exactly as documented. */
typedef struct HaConduct {
    bool report_config;    /* defects of configuration and status files go to the log */
    bool resource_digest;  /* rules are compiled anew when resources.cfg changes */
    bool keep_last_seen;   /* fence delay runs from when a node was last seen, also as slave */
    bool strict_fence;     /* `started` on a node to be fenced waits for the fence */
    bool guests_first;     /* an LRM that lost its lease stops its guests before the reset */
    bool alert_once;       /* recovery without a node alerts once and says why */
    bool record_proof;     /* why a recovery was safe is kept with the service */
    bool publish_lease;    /* status files say for how long the lock of their writer counts */
    bool follow_moves;     /* a move nobody could report counts by where the guest is */
    bool guard_thaw;       /* a service thaws only once its LRM holds its lease again */
    bool finish_moves;     /* an LRM about to end still carries out moves away from it */
    bool await_moves;      /* an LRM does not go idle while a service is on its way to it, or has
                              come without the master's knowledge */
    bool stop_arrivals;    /* on a node that goes down the LRM waits for what is on its way to it,
                              and stops that, too */
    bool guard_moves;      /* a running guest goes only to a node whose LRM holds its lease */
    bool stops_first;      /* what the LRM itself stops, the manager's wishes do not put off */
    bool join_late;        /* positive rules that a later one connects count as one */
    bool tell_dropped;     /* a queued command that is lost to a state change is named */
    bool rules_by_nodes;   /* a member never seen yet is no reason to compile the rules again */
    bool quarantine;       /* a node that comes and goes gets no services (ha_flaps.h) */
    bool epoch;            /* manager_status carries the number of the master that wrote it */
    bool step_aside;       /* a master whose own node is to be fenced leaves that to another */
    int64_t freeze_max_ms; /* 0: for ever; else a frozen service of a dead node is recovered */
} HaConduct;

extern const HaConduct ha_conduct_documented;
extern const HaConduct ha_conduct_improved;

typedef struct HaEnv {
    const HaEnvOps *ops;
    void *ctx;
    const char *node; /* this node's name */
    const HaTiming *timing;
    HaConduct conduct;
    const char *const *types; /* further resource types beside vm and ct, NULL terminated */
    int max_workers;          /* parallel workers of the LRM; 0: requests run in line */
    uint64_t seed;            /* for unique tokens; must differ between starts of a daemon */
    bool *first_write_done;   /* LRM: where "wrote its first status" is noted; NULL: in itself */
} HaEnv;

/* One line of the daemon's log, through the seam. */
void ha_log(const HaEnv *env, TraceLevel level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
