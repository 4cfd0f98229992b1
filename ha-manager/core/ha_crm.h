/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_crm: the cluster resource manager daemon of one node: waits for quorum, stands by as slave, or
 * works as master. Reference: ha.md section 4.
 *
 *   startup -> wait_for_quorum -> slave -> master -> lost_manager_lock -> wait_for_quorum
 *                            `-----------> master
 *
 *   wait_for_quorum    no lock; nothing is written
 *   slave              somebody else has the lock
 *   master             the lock is ours since the start of the round; a watchdog is open, unless
 *                      HA is disarmed; only here is manager_status written
 *   lost_manager_lock  passed through: the watchdog is closed (a CRM runs no services)
 *
 * The daemon calls ha_crm_round, sleeps as told, and calls again, until told to exit.
 */
#ifndef HA_MANAGER_CORE_HA_CRM_H
#define HA_MANAGER_CORE_HA_CRM_H

#include "ha-manager/core/ha_env.h"
#include "ha-manager/core/ha_manager.h"
#include "ha-manager/core/ha_names.h"

#include <stdbool.h>

typedef struct HaCrm HaCrm;

/* What the daemon does after a round. */
typedef struct HaNext {
    bool exit;        /* done: the daemon ends */
    int64_t sleep_ms; /* otherwise: until the next round */
} HaNext;

/* `env` is borrowed. Logs the change from startup. */
HaCrm *ha_crm_new(const HaEnv *env);
void ha_crm_free(HaCrm *crm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaCrm, ha_crm_free)

/* One round; tells when the next is due, or that this was the last. */
HaNext ha_crm_round(HaCrm *crm, HaNow now);

/* Asks for an orderly end; takes effect in the following rounds. */
void ha_crm_request_shutdown(HaCrm *crm);

/* As it is after the last round. */
HaCrmState ha_crm_state(const HaCrm *crm);

/* The status as the master has it; NULL when this CRM is not master. Borrowed. */
const HaManagerStatus *ha_crm_manager_status(const HaCrm *crm);

/* See ha_manager_note_no_spare; nothing when this CRM is not master. */
void ha_crm_note_no_spare(HaCrm *crm, bool no_spare);

/* manager_status as read at the start of the last round that could read it: when this node has
 * become master in that round, what the former one left. NULL: never read. Borrowed until the next
 * round. */
const HaManagerStatus *ha_crm_status_read(const HaCrm *crm);

#endif
