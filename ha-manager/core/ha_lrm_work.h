/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_lrm_work: the requests an LRM has to carry out: those waiting, those a worker is busy with,
 * and the results. Reference: ha.md section 13.2.
 */
#ifndef HA_MANAGER_CORE_HA_LRM_WORK_H
#define HA_MANAGER_CORE_HA_LRM_WORK_H

#include "ha-manager/core/ha_env.h"
#include "ha-manager/core/ha_manager_status.h"

#include <stdbool.h>

typedef struct HaWork HaWork;

HaWork *ha_work_new(const HaEnv *env);
void ha_work_free(HaWork *w);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HaWork, ha_work_free)

/* Queues what the manager wants of the services on this node, and forgets those that are gone. */
void ha_work_queue_services(HaWork *w, const HaManagerStatus *ms);

/* Queues only what is to leave this node: all that an LRM does that is about to end. */
void ha_work_queue_motions(HaWork *w, const HaManagerStatus *ms);

/* Services that may run and whose guest is on this node while the manager believes them elsewhere,
 * and not on their way here: the master that asked for the move died, and the next one has not
 * looked yet. */
unsigned ha_work_strayed(const HaWork *w, const HaManagerStatus *ms);

/* Queues a stop that is reported to nobody, for every service that may run on this node: of a node
 * that goes down (timeout_s -1), or that has lost its lease (0: at once). What has strayed here is
 * stopped with the rest. `incoming`: also services that are on their way here. */
void ha_work_queue_stops(HaWork *w, const HaManagerStatus *ms, int64_t timeout_s, bool incoming);

/* The same (timeout_s -1) for what has come here since, once each. Gives the number of those, and
 * in `*ret_incoming` that of the services that are still on their way here. */
guint ha_work_queue_arrivals(HaWork *w, const HaManagerStatus *ms, guint *ret_incoming);

/* Collects what is finished and starts what waits. Gives the number of requests left. */
guint ha_work_run(HaWork *w, const HaManagerStatus *ms);

/* Stops of ha_work_queue_stops that failed so far. */
unsigned ha_work_stop_failures(const HaWork *w);
void ha_work_forget_stop_failures(HaWork *w);

/* uid -> HaResult *; borrowed. */
const StrMap *ha_work_results(const HaWork *w);

#endif
