/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pvecm_task: a verb that leaves a task log behind, as reference join, chapter 1, wants it of
 * `create` and `add`. Under a daemon the verb is a task already. Main thread only.
 */
#ifndef CLI_PVECM_TASK_H
#define CLI_PVECM_TASK_H

#include "lib/base/err.h"

/* From here on what is said is recorded. Without a log (full disk) the work goes on. */
void pvecm_task_begin(const char *type, const char *id);

/* Prints a line, and records it; `ctx` is not used. */
void pvecm_task_say(void *ctx, const char *line);

/* The verb's result, which is returned: 0, or what `err` tells. */
int pvecm_task_end(int r, const Err *err);

#endif
