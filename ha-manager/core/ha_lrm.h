/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_lrm: the local resource manager daemon of one node: carries out what the master decides for
 * the services of this node, and holds the node's agent lock while any of them may run. Reference:
 * ha.md section 13.
 *
 *   startup -> wait_for_agent_lock <-> active <-> maintenance
 *                      |                 |            |
 *                      |                 v            v
 *                      `------------> lost_agent_lock -> active
 *
 *   wait_for_agent_lock  no lock, no watchdog, nothing of ours runs
 *   active               lock renewed at the start of the round, watchdog fed as of then
 *   maintenance          services leave; lock and watchdog only while some are left
 *   lost_agent_lock      the lock may expire: nothing is started, the watchdog is not fed
 *
 * The daemon calls ha_lrm_round, sleeps as told (ha_lrm_poll in between when a worker ends), and
 * calls again, until told to exit.
 */
#ifndef HA_MANAGER_CORE_HA_LRM_H
#define HA_MANAGER_CORE_HA_LRM_H

#include "ha-manager/core/ha_crm.h"
#include "ha-manager/core/ha_env.h"
#include "ha-manager/core/ha_names.h"

#include <stdbool.h>

typedef struct HaLrm HaLrm;

/* `env` is borrowed. `boot_id` (may be NULL) is published in the status. Logs the change from
 * startup. */
HaLrm *ha_lrm_new(const HaEnv *env, const char *boot_id);
void ha_lrm_free(HaLrm *lrm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaLrm, ha_lrm_free)

/* One round; tells when the next is due, or that this was the last. */
HaNext ha_lrm_round(HaLrm *lrm, HaNow now);

/* Between rounds, when workers may have ended: collects results, starts what waits, and publishes.
 * Neither renews the lock nor feeds the watchdog. True while requests are left. */
bool ha_lrm_poll(HaLrm *lrm, HaNow now);

/* Why the daemon shall end. */
typedef struct HaShutdown {
    bool node;   /* the machine goes down (or reboots) */
    bool reboot; /* it comes back at once */
} HaShutdown;

/* Asks for an orderly end; ignored when one is under way. */
void ha_lrm_request_shutdown(HaLrm *lrm, HaShutdown why, HaNow now);

/* As they are after the last round. */
HaLrmState ha_lrm_state(const HaLrm *lrm);
HaLrmMode ha_lrm_mode(const HaLrm *lrm);

#endif
