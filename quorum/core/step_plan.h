/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step_plan: runs a list of steps that ends fully done or fully undone. Pure: whoever runs it gives
 * the steps' doing and undoing; this decides what comes next. The step under way is recorded before
 * it begins, so that a process that died can be followed by one that finishes or undoes.
 *
 *   first ... | commit ... last
 *
 * Left of the bar every failure, also the death of the process, leads back to the start. The commit
 * step is the point of no return: somebody else may have acted on it, so a plan found there goes
 * forward first, and back only on a clear refusal. Behind it there is only forward; every step
 * there must be able to run again. One thread per plan.
 */
#ifndef QUORUM_CORE_STEP_PLAN_H
#define QUORUM_CORE_STEP_PLAN_H

#include "lib/base/err.h"

#include <stdbool.h>

typedef struct StepPlan {
    unsigned count;
    unsigned commit; /* index of the point of no return; == count: every step can be undone */
    const char *(*step_name)(unsigned step);
} StepPlan;

typedef struct StepOps {
    /* Performs one step; 0 or -errno with text. May leave it half done: `undo` follows then. */
    int (*perform)(void *ctx, unsigned step, Err *err);
    /* Takes a step back, whether it was done, half done, or not begun. */
    int (*undo)(void *ctx, unsigned step, Err *err);
    /* Remembers durably that `step` begins; plan->count: nothing is under way any more. */
    int (*record)(void *ctx, unsigned step, Err *err);
    /* Does this code of the commit step mean that nothing happened, and never will? */
    bool (*refused)(int code);
    void *ctx;
} StepOps;

typedef enum StepOutcome {
    STEP_DONE,
    STEP_UNDONE, /* everything is as before; `err` says why */
    STEP_STUCK,  /* neither: `err` says what failed; step_plan_recover once that is mended */
} StepOutcome;

/* Runs the whole plan. */
StepOutcome step_plan_run(const StepPlan *plan, const StepOps *ops, Err *err);

/* After a process died, or was stuck, while `step` was under way. */
StepOutcome step_plan_recover(const StepPlan *plan, const StepOps *ops, unsigned step, Err *err);

#endif
