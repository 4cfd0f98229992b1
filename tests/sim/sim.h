/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim: a whole cluster in one process, on a virtual clock, from a seed.
 *
 * Every host has a model of corosync (sim_ring: agreed order, views, quorum, flow control), of a
 * disk (sim_disk: group commit, crash, full, slow, lost) and one process with the product's own
 * replica and tree (sim_node). Clients issue changes (sim_client), faults are injected (sim_fault),
 * and what must hold is checked after every change (sim_check). Nothing here reads a clock or any
 * other source of chance: the same seed and options give the same run, to the last line of trace.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "lib/base/prng.h"
#include "pmxcfs/core/replica.h"

#include <glib.h>

#define SIM_HOSTS_MAX 16u

typedef struct Sim Sim;
typedef struct SimNode SimNode;
typedef struct SimRing SimRing;
typedef struct SimDisk SimDisk;
typedef struct SimClients SimClients;
typedef struct SimCheck SimCheck;

typedef struct SimOptions {
    uint64_t seed;
    uint32_t hosts; /* 0: chosen by the seed */
    uint32_t steps; /* of the phase with faults; 0: chosen by the seed */
    bool native;    /* nodes announce the native protocol */
    bool mixed;     /* with native: some nodes never do */
    bool verbose;   /* trace to stdout */
} SimOptions;

/* ---- sim.c: time, chance, the run ---- */

typedef void (*SimFn)(Sim *sim, void *data);

/* Calls fn(data) at `at` (not before now); `data` is then freed with `free_data` (may be NULL). */
void sim_at(Sim *sim, MonoTime at, SimFn fn, void *data, GDestroyNotify free_data);
void sim_after_us(Sim *sim, int64_t us, SimFn fn, void *data, GDestroyNotify free_data);
MonoTime sim_now(const Sim *sim);
Prng *sim_rng(Sim *sim);
int64_t sim_random(Sim *sim, int64_t lo, int64_t hi);
bool sim_chance(Sim *sim, uint32_t num, uint32_t den);
const SimOptions *sim_options(const Sim *sim);
SimNode *sim_node(Sim *sim, uint32_t host); /* hosts are 1 to options.hosts */
SimRing *sim_ring(Sim *sim);
SimClients *sim_clients(Sim *sim);
SimCheck *sim_check(Sim *sim);

/* Ends the run: something that must hold does not. */
void sim_fail(Sim *sim, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
/* One line of the transcript; `host` 0: of no host. */
void sim_trace(Sim *sim, uint32_t host, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

typedef struct SimResult {
    uint64_t digest;                         /* differs when the run went differently */
    uint32_t acknowledged, unknown, refused; /* changes by answer */
    int64_t heal_ms;                         /* time from the last fault to agreement */
} SimResult;

/* One run; returns when everything held, else ends the program with the story on stderr. */
void sim_run(const SimOptions *opt, SimResult *ret);

/* ---- sim_ring.c: corosync ---- */

SimRing *sim_ring_new(Sim *sim);
void sim_ring_free(SimRing *r);
bool sim_ring_up(const SimRing *r, uint32_t host); /* corosync runs there */
bool sim_ring_quorate(const SimRing *r, uint32_t host);
uint32_t sim_ring_votes(const SimRing *r, uint32_t host);
uint32_t sim_ring_hosts(const SimRing *r, uint32_t host); /* of its ring, by bit; 0: it is down */
/* Fewer than a majority may go on, or have been told to: what others acknowledged may be lost, if
 * only corosync, and not the process, has seen them since. */
bool sim_ring_below_majority(const SimRing *r);
/* What a process does through libcpg. */
void sim_ring_connect(SimRing *r, uint32_t host, uint32_t pid); /* then CONNECTED or DISCONNECTED */
void sim_ring_leave(SimRing *r, uint32_t host, uint32_t pid);
void sim_ring_send(SimRing *r, uint32_t host, uint32_t pid, GBytes *message);
void sim_ring_died(SimRing *r, uint32_t host, uint32_t pid, bool ghost);
/* Faults. `part`: component of each host, from index 1. */
void sim_ring_partition(SimRing *r, const uint8_t *part);
void sim_ring_stop(SimRing *r, uint32_t host);
void sim_ring_start(SimRing *r, uint32_t host);
void sim_ring_flow(SimRing *r, uint32_t host, bool stopped);
void sim_ring_isolate_sender(SimRing *r, uint32_t host); /* cut off right after its next message */
/* Lowers expected votes on the ring of `host` to its own, if all other hosts are off. */
void sim_ring_lower_expected(SimRing *r, uint32_t host);
void sim_ring_heal(SimRing *r); /* all hosts up and together, no ghosts, no flow control */

/* ---- sim_disk.c ---- */

SimDisk *sim_disk_new(Sim *sim, uint32_t host);
void sim_disk_free(SimDisk *d);
/* The store, as the replica's actions use it. */
void sim_disk_submit(SimDisk *d, MemdbDelta *delta, uint64_t seq);
void sim_disk_write_now(SimDisk *d, const MemdbDelta *delta); /* while no process runs */
void sim_disk_resume(SimDisk *d);
int sim_disk_probe(const SimDisk *d);
/* What a process that starts finds: entries (new array), meta (new reference or NULL). */
GPtrArray *sim_disk_read(const SimDisk *d, MemdbRoot *ret_root, GBytes **ret_meta);
void sim_disk_write_initial(SimDisk *d, GPtrArray *entries, MemdbRoot root);
/* The process ended: what was not committed is gone, the transaction on its way may be either. */
void sim_disk_crash(SimDisk *d);
void sim_disk_wipe(SimDisk *d);
bool sim_disk_wiped(const SimDisk *d);        /* ever, or changed in local mode */
void sim_disk_set_code(SimDisk *d, int code); /* every commit fails with it; 0: works */
void sim_disk_set_slow(SimDisk *d, bool slow);

/* ---- sim_node.c: a process ---- */

SimNode *sim_node_new(Sim *sim, uint32_t host);
void sim_node_free(SimNode *n);
void sim_node_start(SimNode *n); /* reads the disk and joins */
void sim_node_kill(SimNode *n, bool ghost);
void sim_node_pause(SimNode *n, bool paused);
void sim_node_jump_clock(SimNode *n, int64_t sec);
void sim_node_set_native(SimNode *n, bool native); /* from its next start on */
bool sim_node_native(const SimNode *n);
bool sim_node_running(const SimNode *n);
bool sim_node_paused(const SimNode *n);
uint32_t sim_node_host(const SimNode *n);
/* Changes that were no step of the version, since the last step or since the view began. */
uint32_t sim_node_lost(const SimNode *n);
/* Since when the process has run without a pause; since when it has known that it has no quorum
 * (MONO_NEVER: it has). */
MonoTime sim_node_runs_since(const SimNode *n);
MonoTime sim_node_inquorate_since(const SimNode *n);
Memdb *sim_node_db(SimNode *n);
void sim_node_status(SimNode *n, ReplicaStatus *ret);
SimDisk *sim_node_disk(SimNode *n);
/* Copies the event and hands it to the process, in order, when it gets to it. */
void sim_node_group_event(SimNode *n, uint32_t pid, const GroupEvent *ev);
void sim_node_quorum(SimNode *n, bool quorate);
void sim_node_stored(SimNode *n, uint64_t seq, int code); /* code 0: stored */
/* Asks for a change; false when no process runs. The answer comes as sim_clients_answer. */
bool sim_node_submit(SimNode *n, uint64_t token, const TreeOp *op);
/* Asks for everything up to now to be made durable, as fsync does. */
bool sim_node_sync(SimNode *n, uint64_t token);
/* The node runs in local mode for the time of one change, then stops. No process may run. */
void sim_node_local_change(SimNode *n, const TreeOp *op);

/* ---- sim_client.c: who uses the file system ---- */

SimClients *sim_clients_new(Sim *sim);
void sim_clients_free(SimClients *c);
void sim_clients_step(SimClients *c);                 /* somebody does something */
void sim_clients_sync(SimClients *c, uint32_t host);  /* one fsync of what is there already */
void sim_clients_burst(SimClients *c, uint32_t host); /* several new files at once */
/* Path of a file whose creation was acknowledged, or NULL. */
char *sim_clients_acknowledged(SimClients *c);
void sim_clients_answer(SimClients *c, uint64_t token, int result);
void sim_clients_node_died(SimClients *c, uint32_t host); /* who waits there learns nothing */
uint32_t sim_clients_waiting(const SimClients *c);
void sim_clients_check_end(SimClients *c, SimNode *n); /* everything acknowledged is there */
void sim_clients_count(const SimClients *c, SimResult *ret);

/* ---- sim_fault.c ---- */

void sim_fault_step(Sim *sim);
void sim_fault_stop(Sim *sim); /* everything works again */

/* ---- sim_check.c ---- */

SimCheck *sim_check_new(Sim *sim);
void sim_check_free(SimCheck *c);
void sim_check_changed(SimCheck *c, SimNode *n);       /* this node's tree or mode changed */
bool sim_check_converged(SimCheck *c, char **ret_why); /* all agree; else what is missing */

#endif
