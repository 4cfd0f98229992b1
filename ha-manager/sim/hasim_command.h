/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hasim_command: the commands of a scenario: power, network, services, requests to the manager.
 * Reference: ha-scenarios.md section 3.
 */
#ifndef HA_MANAGER_SIM_HASIM_COMMAND_H
#define HA_MANAGER_SIM_HASIM_COMMAND_H

#include "ha-manager/sim/hasim_world.h"

/* What commands change beside the world. */
typedef struct HaSimSchedule {
    int64_t next_cmd;  /* no list of commands before this time */
    unsigned skip_crm; /* loops in which CRMs are passed over */
    unsigned skip_lrm;
} HaSimSchedule;

/* Logs and runs one command; `source` is the word shown in the log. -EINVAL, with the reason, for a
 * command that makes no sense; nothing has happened then. */
int hasim_command_run(
    HaSimWorld *w, HaSimSchedule *sched, const char *cmd, const char *source, Err *err) must_check;

/* One line per command, for people. */
const char *hasim_command_help(void);

#endif
