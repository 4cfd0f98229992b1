/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ha_settings: the keys of datacenter.cfg that HA reads: ha, crs, max_workers, fencing. Reference:
 * ha.md section 2.9. Unknown keys and values that make no sense leave the default.
 *
 * One key is our own: `ha: timing=PROFILE` (ha_timing.h).
 *
 * Threshold and margin are fractions here; in the file a value above 1 is percent (the documented
 * form), up to 1 a fraction (the older one).
 */
#ifndef HA_MANAGER_CORE_HA_SETTINGS_H
#define HA_MANAGER_CORE_HA_SETTINGS_H

#include "ha-manager/core/ha_names.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum HaFencing { HA_FENCING_WATCHDOG, HA_FENCING_HARDWARE, HA_FENCING_BOTH } HaFencing;

typedef struct HaSettings {
    char shutdown_policy[32]; /* as written; see ha_policy_from_name */
    char scheduler[32];       /* as written; see ha_scheduler_from_name */
    char timing[32];          /* profile wanted, as written; "": by who is in the cluster */
    bool rebalance_on_start;
    bool auto_rebalance;
    bool topsis;       /* auto rebalance by topsis instead of bruteforce */
    double threshold;  /* imbalance above which something is moved */
    double margin;     /* least relative improvement */
    int hold_duration; /* rounds the imbalance must last */
    int max_workers;
    HaFencing fencing;
} HaSettings;

void ha_settings_init(HaSettings *s);
/* Reads datacenter.cfg; whatever it does not say, or not sensibly, is the default. */
void ha_settings_parse(const char *text, HaSettings *ret_settings);

#endif
