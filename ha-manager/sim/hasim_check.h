/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hasim_check: what ha-simulator says about a rules or fence configuration file. Reference:
 * ha-scenarios.md sections 7 and 8.
 */
#ifndef HA_MANAGER_SIM_HASIM_CHECK_H
#define HA_MANAGER_SIM_HASIM_CHECK_H

#include "lib/base/err.h"

/* The report on the file's text; caller frees. */
int hasim_check_rules(const char *text, char **ret_report, Err *err) must_check;

/* `file`: the path as given, for messages. A file with errors still gives a report. */
char *hasim_check_fence(const char *text, const char *file);

#endif
