/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_manager: what the master does: node states, service states, fencing, commands, placement.
 * Reference: ha.md sections 5 to 12. Made when a CRM becomes master, dropped when it ceases to be;
 * it starts from manager_status and is its only writer.
 *
 * Order in a round (ha_manager_round): membership, LRM answers, node states, settings, group
 * migration, configuration, usage, rules, commands, disarm or balancing, then the service state
 * machine until nothing changes, then manager_status is written.
 */
#ifndef HA_MANAGER_CORE_HA_MANAGER_H
#define HA_MANAGER_CORE_HA_MANAGER_H

#include "ha-manager/core/ha_env.h"
#include "ha-manager/core/ha_manager_status.h"
#include "lib/base/err.h"

typedef struct HaManager HaManager;

/* When nodes were last seen online: node -> MonoTime * (g_free). A CRM that keeps it from before it
 * became master (HaConduct.keep_last_seen) passes it in; the manager only borrows it. */
StrMap *ha_last_seen_new(void);
void ha_last_seen_note(StrMap *last_seen, const char *node, MonoTime now);

/* Reads manager_status and the scheduler settings. `epoch_seen`: the highest this node knows of.
 * `env` and `last_seen` are borrowed and must outlive the manager. */
int ha_manager_new(const HaEnv *env,
                   StrMap *last_seen,
                   uint64_t epoch_seen,
                   HaManager **ret_manager,
                   Err *err) must_check;
void ha_manager_free(HaManager *m);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaManager, ha_manager_free)

/* Tells what the file holds now. When another node has written it meanwhile, the next write goes
 * out with a higher epoch than that one's. */
void ha_manager_observe(HaManager *m, const HaManagerStatus *file);

/* One round. An error leaves manager_status unwritten; the next round starts over. */
int ha_manager_round(HaManager *m, HaNow now, Err *err) must_check;

/* Notes what people were told last of the cluster's redundancy; written with the next round, so
 * that the next master does not repeat it. */
void ha_manager_note_no_spare(HaManager *m, bool no_spare);

/* A disarm is recorded and complete. */
bool ha_manager_is_disarmed(const HaManager *m);

/* The status as the manager has it; borrowed. */
const HaManagerStatus *ha_manager_status(const HaManager *m);

#endif
