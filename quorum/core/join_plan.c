/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/core/join_plan.h"

#include <errno.h>

STRTAB_DEFINE(join_plan_step, JoinPlanStep, JOIN_PLAN_LIST, JOIN_PLAN_N)

/* Takes back `from` and everything before it, newest first. Ends at the first step that cannot be
 * taken back: an older step must not be undone below a newer one that is still there. */
static JoinOutcome go_back(const JoinPlanOps *ops, JoinPlanStep from, Err *err)
{
    Err e = ERR_INIT;
    int r = 0;

    for (int i = (int)from; i >= 0 && r == 0; i--) {
        r = ops->undo(ops->ctx, (JoinPlanStep)i, &e);
        if (r < 0) {
            (void)err_wrapf(&e, r, "undoing step '%s'", join_plan_step_name((JoinPlanStep)i));
        }
    }
    if (r == 0) {
        r = ops->record(ops->ctx, JOIN_PLAN_N, &e);
    }
    if (r < 0) {
        (void)err_wrapf(&e, r, "%s; then", err != NULL ? err_text(err) : "");
        if (err != NULL) {
            *err = e;
        }
        return JOIN_STUCK;
    }
    return JOIN_UNDONE;
}

/* The cluster's clear "no": everything else leaves open whether it counts the node. */
static int cluster_refused(int code)
{
    return code == -EPERM || code == -ENOENT;
}

static JoinOutcome make_ready(const JoinPlanOps *ops, Err *err)
{
    int r = ops->perform(ops->ctx, JOIN_PLAN_READY, err);

    if (r == 0) {
        r = ops->record(ops->ctx, JOIN_PLAN_N, err);
        return r == 0 ? JOIN_DONE : JOIN_STUCK;
    }
    if (cluster_refused(r)) {
        return go_back(ops, JOIN_PLAN_FILES, err);
    }
    return JOIN_STUCK;
}

JoinOutcome join_plan_run(const JoinPlanOps *ops, Err *err)
{
    for (int i = 0; i < JOIN_PLAN_READY; i++) {
        JoinPlanStep step = (JoinPlanStep)i;
        int r = ops->record(ops->ctx, step, err);

        if (r == 0) {
            r = ops->perform(ops->ctx, step, err);
        }
        if (r < 0) {
            return go_back(ops, step, err);
        }
    }
    if (ops->record(ops->ctx, JOIN_PLAN_READY, err) < 0) {
        return go_back(ops, JOIN_PLAN_FILES, err);
    }
    return make_ready(ops, err);
}

JoinOutcome join_plan_recover(const JoinPlanOps *ops, JoinPlanStep step, Err *err)
{
    if (step == JOIN_PLAN_READY) {
        return make_ready(ops, err);
    }
    (void)err_setf(err, -EINTR, "an earlier join ended in step '%s'", join_plan_step_name(step));
    return go_back(ops, step, err);
}
