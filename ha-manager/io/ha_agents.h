/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_agents: the resource agents of a node: `vm` by running qm, `ct` by running pct, and `exec`, an
 * executable of the administrator's (ha-manager(8), "Generic services"). Calls run other programs
 * and wait for them: they belong into a worker.
 */
#ifndef HA_MANAGER_IO_HA_AGENTS_H
#define HA_MANAGER_IO_HA_AGENTS_H

#include "lib/base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define HA_AGENT_ENV      "QUORATE_HA_AGENT" /* =1: the guest tools do the work themselves */
#define HA_GENERIC_FOLDER "/etc/quorate/ha-services"

typedef struct HaAgents {
    const char *pve;
    const char *node;
    const char *run_dir;  /* of QEMU guests */
    const char *services; /* executables of generic services */
    /* A line for the log of what a program said. */
    void (*log)(void *ctx, const char *line);
    void *ctx;
} HaAgents;

/* The types beside vm and ct, NULL terminated. */
extern const char *const ha_agent_types[];

/* Is there an agent for services of this type? */
bool ha_agents_has_type(const char *type);

/* 1 runs, 0 does not, or an error: that cannot be told. */
int ha_agents_running(const HaAgents *a, const char *sid) must_check;
void ha_agents_start(const HaAgents *a, const char *sid);
/* -1: with the default patience, 0: at once. */
void ha_agents_stop(const HaAgents *a, const char *sid, int64_t timeout_s);
/* 0 when it now belongs to `target`. */
int ha_agents_migrate(const HaAgents *a, const char *sid, const char *target, bool online)
    must_check;

#endif
