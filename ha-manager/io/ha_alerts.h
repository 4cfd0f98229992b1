/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_alerts: what a person must hear of: mail and hooks (ha-manager(8), "Alerts"), run in the
 * background. And what a change of manager_status has to say that the core does not: services in
 * error, recovered services, a cluster that could not carry the loss of a node any more.
 */
#ifndef HA_MANAGER_IO_HA_ALERTS_H
#define HA_MANAGER_IO_HA_ALERTS_H

#include "ha-manager/core/ha_env.h"
#include "ha-manager/core/ha_manager_status.h"
#include "ha-manager/io/ha_workers.h"

typedef struct HaAlertPaths {
    const char *hooks;    /* directory of executables, run in order of their names */
    const char *mail;     /* file of addresses, one a line; none: no mail */
    const char *sendmail; /* program that takes a message with its addressees; none: no mail */
    unsigned patience_ms; /* for each of these programs; then it is killed */
} HaAlertPaths;

extern const HaAlertPaths ha_alert_paths; /* of the daemons */

/* Sends in a child of `workers`: neither a program that fails nor one that hangs keeps the caller
 * or the other programs. `status_json`: the status at this moment, for the mail; may be NULL. */
void ha_alerts_send(HaWorkers *workers,
                    const HaAlertPaths *paths,
                    const HaNotice *notice,
                    const char *master,
                    const char *status_json);

typedef struct HaAlerts HaAlerts;

HaAlerts *ha_alerts_new(void);
void ha_alerts_free(HaAlerts *a);

/* Takes note of what another master wrote: it has told people of that. A node that becomes master
 * compares what its first round makes of it, and neither repeats nor forgets anything. */
void ha_alerts_observe(HaAlerts *a, const HaManagerStatus *ms);

/* Compares with the status of the call before; calls `notify` for each service that got worse, or
 * was recovered. */
void ha_alerts_look(HaAlerts *a,
                    const HaManagerStatus *ms,
                    void (*notify)(void *ctx, const HaNotice *notice),
                    void *ctx);

/* Calls `notify` when redundancy has gone or come back. `told_lost`: what people were told last, by
 * whichever master (HaManagerStatus.no_spare). `why`: NULL when every node's loss could be carried,
 * else the reason why not. Returns what they have been told now. */
bool ha_alerts_look_at_spare(bool told_lost,
                             const char *why,
                             void (*notify)(void *ctx, const HaNotice *notice),
                             void *ctx);

#endif
