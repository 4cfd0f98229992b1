/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hasim_shell: the interactive mode of ha-simulator: a view of nodes and services, commands from
 * standard input, time passing meanwhile.
 */
#ifndef HA_MANAGER_SIM_HASIM_SHELL_H
#define HA_MANAGER_SIM_HASIM_SHELL_H

#include "lib/base/err.h"

#include <stdbool.h>

typedef struct HaSimShellOptions {
    const char *dir; /* scenario to start from; NULL: three nodes, four services */
    bool plain;      /* log lines only, no view */
    bool documented; /* strictly documented conduct */
} HaSimShellOptions;

/* Runs until `quit` or the end of input. 0, or the reason in `err`. With `plain`, a command that
 * makes no sense is an error at the end (-EINVAL), so that scripts notice. */
int hasim_shell_run(const HaSimShellOptions *o, Err *err) must_check;

#endif
