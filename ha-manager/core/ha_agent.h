/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_agent: carrying out one request for one service on this node: the contract between LRM and
 * resource agents. Reference: ha.md section 13.3. Runs inside a worker, or in line.
 */
#ifndef HA_MANAGER_CORE_HA_AGENT_H
#define HA_MANAGER_CORE_HA_AGENT_H

#include "ha-manager/core/ha_env.h"

#include <stdbool.h>

/* `configured`: the service has an entry in resources.cfg.
 * Gives the exit code. */
HaExit ha_agent_run(const HaEnv *env, const HaJob *job, bool configured);

#endif
