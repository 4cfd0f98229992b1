/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_world: a cluster in memory, for ha-simulator: hardware, membership, cluster filesystem,
 * locks, watchdogs and guests, all on one virtual clock in whole seconds. Reference:
 * ha-scenarios.md sections 2, 4, 5 and 6. Knows nothing of CRM and LRM beyond holding them.
 *
 * One thread.
 */
#ifndef HA_MANAGER_SIM_SIM_WORLD_H
#define HA_MANAGER_SIM_SIM_WORLD_H

#include "ha-manager/core/ha_crm.h"
#include "ha-manager/core/ha_env.h"
#include "ha-manager/core/ha_lrm.h"
#include "lib/base/err.h"
#include "lib/base/strmap.h"

#include <stdbool.h>
#include <stdint.h>

#define SIM_LOCK_LIFE     120 /* s after the last renewal */
#define SIM_WATCHDOG_LIFE 60  /* s after the last feeding */

typedef struct SimWorld SimWorld;
typedef struct SimNode SimNode;

/* A CRM or an LRM on a node: its environment clock goes on when the daemon is gone. */
typedef struct SimDaemon {
    SimWorld *world;
    SimNode *node;
    bool is_lrm;
    char *source; /* "node1/crm" */
    int64_t clock;
    HaEnv env;
    HaCrm *crm; /* the one that fits is set while the daemon runs */
    HaLrm *lrm;
    int64_t watchdog; /* handle, 0: none */
} SimDaemon;

typedef enum SimShutdown { SIM_NO_SHUTDOWN, SIM_SHUTDOWN, SIM_REBOOT } SimShutdown;

/* An open watchdog handle. */
typedef struct SimWatchdog {
    int64_t handle;
    int64_t fed; /* time */
} SimWatchdog;

struct SimNode {
    char *name;
    bool power;
    bool network;
    bool cfs_rw_fail;
    bool cfs_update_fail;
    bool restart_lrm; /* the LRM is to come back after its exit */
    SimShutdown shutdown;
    double maxcpu; /* 0: not told */
    double maxmem;
    char *version;
    SimDaemon crm;
    SimDaemon lrm;
    StrMap *running;   /* sid -> non-NULL */
    GArray *watchdogs; /* SimWatchdog */
    char *lrm_status;  /* text of the file; NULL: none */
};

typedef struct SimGuest {
    char *node;        /* owns the configuration */
    char *lock;        /* in the configuration; NULL: none */
    int failed_starts; /* of a failing service, since the last success */
    int failed_moves;
    bool has_static;
    bool has_dynamic;
    HaLoad load;
} SimGuest;

typedef struct SimLock {
    char *node;
    int64_t time;
} SimLock;

/* One line of the log; `level` is the four letters shown. */
typedef void (*SimLog)(
    void *ctx, const char *level, int64_t time, const char *source, const char *text);

struct SimWorld {
    int64_t time;
    StrMap *nodes;          /* name -> SimNode * */
    StrMap *guests;         /* sid -> SimGuest * */
    StrMap *locks;          /* name -> SimLock * */
    char *files[HA_FILE_N]; /* text; NULL: none */
    char **types;           /* resource types beside vm and ct, NULL terminated */
    bool default_static;    /* no static stats were given: every guest has the same */
    bool default_dynamic;
    bool lrm_status_written; /* by any LRM of this run */
    int64_t next_watchdog;
    uint64_t next_seed;
    const HaTiming *timing;
    HaConduct conduct;
    SimLog log;
    void *log_ctx;
};

SimWorld *sim_world_new(SimLog log, void *log_ctx);
void sim_world_free(SimWorld *w);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SimWorld, sim_world_free)

SimNode *sim_world_add_node(SimWorld *w, const char *name);
SimNode *sim_world_node(const SimWorld *w, const char *name); /* NULL: no such node */
SimGuest *sim_world_add_guest(SimWorld *w, const char *sid, const char *node);
SimGuest *sim_world_guest(const SimWorld *w, const char *sid);

void sim_log(const SimWorld *w, const char *level, const char *source, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Membership as every node sees it. */
bool sim_world_quorate(const SimWorld *w);
bool sim_node_online(const SimWorld *w, const SimNode *n);

/* Power: daemons come and go with it. */
void sim_node_power_on(SimNode *n, SimWorld *w);
void sim_node_power_off(SimNode *n, SimWorld *w);
void sim_start_crm(SimNode *n, SimWorld *w);
void sim_start_lrm(SimNode *n, SimWorld *w);

/* A handle of that node has run out; such handles are deleted. */
bool sim_node_watchdog_expired(SimNode *n, const SimWorld *w);

/* Text of a file, "" when there is none; borrowed. */
const char *sim_world_file(const SimWorld *w, HaFile file);
void sim_world_set_file(SimWorld *w, HaFile file, const char *text);
/* Applies an edit to a file outside of any daemon. */
int sim_world_edit(SimWorld *w, HaFile file, HaEdit edit, void *data, Err *err) must_check;

/* The loads as told to a scheduler. */
void sim_world_loads(const SimWorld *w, HaScheduler mode, HaLoads *loads);

/* sim_env.c: the environment of a daemon. */
void sim_env_init(SimDaemon *d);

/* sim_agent.c: simulated services, called with the LRM's daemon. */
bool sim_agent_has_type(void *ctx, const char *type);
int sim_agent_running(void *ctx, const char *sid);
void sim_agent_start(void *ctx, const char *sid);
void sim_agent_stop(void *ctx, const char *sid, int64_t timeout_s);
int sim_agent_migrate(void *ctx, const char *sid, const char *target, bool online);

#endif
