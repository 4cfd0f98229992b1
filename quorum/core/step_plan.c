/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/core/step_plan.h"

#include <errno.h>

/* Takes back what stands before `end`, newest first. Ends at the first step that cannot be taken
 * back: an older step must not be undone below a newer one that is still there. */
static StepOutcome go_back(const StepPlan *plan, const StepOps *ops, unsigned end, Err *err)
{
    Err e = ERR_INIT;
    int r = 0;

    for (unsigned i = end; i > 0 && r == 0; i--) {
        r = ops->undo(ops->ctx, i - 1, &e);
        if (r < 0) {
            (void)err_wrapf(&e, r, "undoing step '%s'", plan->step_name(i - 1));
        }
    }
    if (r == 0) {
        r = ops->record(ops->ctx, plan->count, &e);
    }
    if (r < 0) {
        (void)err_wrapf(&e, r, "%s; then", err != NULL ? err_text(err) : "");
        if (err != NULL) {
            *err = e;
        }
        return STEP_STUCK;
    }
    return STEP_UNDONE;
}

/* From the commit step, whose record is written, to the end. */
static StepOutcome go_on(const StepPlan *plan, const StepOps *ops, unsigned from, Err *err)
{
    for (unsigned i = from; i < plan->count; i++) {
        int r = i > from ? ops->record(ops->ctx, i, err) : 0;

        if (r == 0) {
            r = ops->perform(ops->ctx, i, err);
            if (r < 0 && i == plan->commit && ops->refused(r)) {
                return go_back(plan, ops, plan->commit, err);
            }
        }
        if (r < 0) {
            return STEP_STUCK;
        }
    }
    return ops->record(ops->ctx, plan->count, err) == 0 ? STEP_DONE : STEP_STUCK;
}

StepOutcome step_plan_run(const StepPlan *plan, const StepOps *ops, Err *err)
{
    for (unsigned i = 0; i < plan->commit; i++) {
        int r = ops->record(ops->ctx, i, err);

        if (r == 0) {
            r = ops->perform(ops->ctx, i, err);
        }
        if (r < 0) {
            return go_back(plan, ops, i + 1, err);
        }
    }
    if (plan->commit < plan->count && ops->record(ops->ctx, plan->commit, err) < 0) {
        return go_back(plan, ops, plan->commit, err);
    }
    return go_on(plan, ops, plan->commit, err);
}

StepOutcome step_plan_recover(const StepPlan *plan, const StepOps *ops, unsigned step, Err *err)
{
    if (step >= plan->commit) {
        return go_on(plan, ops, step, err);
    }
    (void)err_setf(err, -EINTR, "it was interrupted in step '%s'", plan->step_name(step));
    return go_back(plan, ops, step + 1, err);
}
