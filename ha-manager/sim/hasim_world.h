/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hasim_world: a cluster in memory, for ha-simulator: hardware, membership, cluster filesystem,
 * locks, watchdogs and guests, all on one virtual clock in whole seconds. Reference:
 * ha-scenarios.md sections 2, 4, 5 and 6. Knows nothing of CRM and LRM beyond holding them.
 *
 * One thread.
 */
#ifndef HA_MANAGER_SIM_HASIM_WORLD_H
#define HA_MANAGER_SIM_HASIM_WORLD_H

#include "ha-manager/core/ha_crm.h"
#include "ha-manager/core/ha_env.h"
#include "ha-manager/core/ha_lrm.h"
#include "lib/base/err.h"
#include "lib/base/strmap.h"

#include <stdbool.h>
#include <stdint.h>

#define HASIM_LOCK_LIFE     120 /* s after the last renewal */
#define HASIM_WATCHDOG_LIFE 60  /* s after the last feeding */

typedef struct HaSimWorld HaSimWorld;
typedef struct HaSimNode HaSimNode;

/* A CRM or an LRM on a node: its environment clock goes on when the daemon is gone. */
typedef struct HaSimDaemon {
    HaSimWorld *world;
    HaSimNode *node;
    bool is_lrm;
    char *source; /* "node1/crm" */
    int64_t clock;
    HaEnv env;
    HaCrm *crm; /* the one that fits is set while the daemon runs */
    HaLrm *lrm;
    int64_t watchdog; /* handle, 0: none */
} HaSimDaemon;

typedef enum HaSimShutdown { HASIM_NO_SHUTDOWN, HASIM_SHUTDOWN, HASIM_REBOOT } HaSimShutdown;

/* An open watchdog handle. */
typedef struct HaSimWatchdog {
    int64_t handle;
    int64_t fed; /* time */
} HaSimWatchdog;

struct HaSimNode {
    char *name;
    bool power;
    bool network;
    bool cfs_rw_fail;
    bool cfs_update_fail;
    bool restart_lrm; /* the LRM is to come back after its exit */
    HaSimShutdown shutdown;
    double maxcpu; /* 0: not told */
    double maxmem;
    char *version;
    HaSimDaemon crm;
    HaSimDaemon lrm;
    StrMap *running;   /* sid -> non-NULL */
    GArray *watchdogs; /* HaSimWatchdog */
    char *lrm_status;  /* text of the file; NULL: none */
};

typedef struct HaSimGuest {
    char *node;        /* owns the configuration */
    char *lock;        /* in the configuration; NULL: none */
    int failed_starts; /* of a failing service, since the last success */
    int failed_moves;
    bool has_static; /* its static stats are known; without them no scheduler knows the guest */
    HaLoad load;
} HaSimGuest;

typedef struct HaSimLock {
    char *node;
    int64_t time;
} HaSimLock;

/* One line of the log; `level` is the four letters shown. */
typedef void (*HaSimLog)(
    void *ctx, const char *level, int64_t time, const char *source, const char *text);

struct HaSimWorld {
    int64_t time;
    StrMap *nodes;          /* name -> HaSimNode * */
    StrMap *guests;         /* sid -> HaSimGuest * */
    StrMap *locks;          /* name -> HaSimLock * */
    char *files[HA_FILE_N]; /* text; NULL: none */
    char **types;           /* resource types beside vm and ct, NULL terminated */
    bool default_static;    /* no static stats were given: every guest has the same */
    bool default_dynamic;
    bool lrm_status_written; /* by any LRM of this run */
    int64_t next_watchdog;
    uint64_t next_seed;
    const HaTiming *timing;
    HaConduct conduct;
    HaSimLog log;
    void *log_ctx;
};

HaSimWorld *hasim_world_new(HaSimLog log, void *log_ctx);
void hasim_world_free(HaSimWorld *w);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaSimWorld, hasim_world_free)

/* Name copied; owned by the world. */
HaSimNode *hasim_world_add_node(HaSimWorld *w, const char *name);
HaSimNode *hasim_world_node(const HaSimWorld *w, const char *name); /* NULL: no such node */
HaSimGuest *hasim_world_add_guest(HaSimWorld *w, const char *sid, const char *node);
HaSimGuest *hasim_world_guest(const HaSimWorld *w, const char *sid);
/* Gives a guest the stats it has where a scenario does not tell any. */
void hasim_world_default_load(const HaSimWorld *w, HaSimGuest *g);

/* One line of the transcript, under the virtual time. */
void hasim_log(const HaSimWorld *w, const char *level, const char *source, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Membership as every node sees it. */
bool hasim_world_quorate(const HaSimWorld *w);
bool hasim_node_online(const HaSimWorld *w, const HaSimNode *n);

/* Power: daemons come and go with it. */
void hasim_node_power_on(HaSimNode *n, HaSimWorld *w);
void hasim_node_power_off(HaSimNode *n, HaSimWorld *w);
void hasim_start_crm(HaSimNode *n, HaSimWorld *w);
void hasim_start_lrm(HaSimNode *n, HaSimWorld *w);

/* A handle of that node has run out; such handles are deleted. */
bool hasim_node_watchdog_expired(HaSimNode *n, const HaSimWorld *w);

/* Text of a file, "" when there is none; borrowed. */
const char *hasim_world_file(const HaSimWorld *w, HaFile file);
void hasim_world_set_file(HaSimWorld *w, HaFile file, const char *text);
/* Applies an edit to a file outside of any daemon. */
int hasim_world_edit(HaSimWorld *w, HaFile file, HaEdit edit, void *data, Err *err) must_check;

/* The loads as told to a scheduler. */
void hasim_world_loads(const HaSimWorld *w, HaScheduler mode, HaLoads *loads);

/* hasim_env.c: the environment of a daemon. */
void hasim_env_init(HaSimDaemon *d);

/* hasim_agent.c: simulated services, called with the LRM's daemon. */
bool hasim_agent_has_type(void *ctx, const char *type);
int hasim_agent_running(void *ctx, const char *sid);
void hasim_agent_start(void *ctx, const char *sid);
void hasim_agent_stop(void *ctx, const char *sid, int64_t timeout_s);
int hasim_agent_migrate(void *ctx, const char *sid, const char *target, bool online);

#endif
