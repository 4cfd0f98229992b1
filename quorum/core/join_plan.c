/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/core/join_plan.h"

#include "quorum/core/step_plan.h"

#include <errno.h>

STRTAB_DEFINE(join_plan_step, JoinPlanStep, JOIN_PLAN_LIST, JOIN_PLAN_N)

static const char *name_of(unsigned step)
{
    return join_plan_step_name((JoinPlanStep)step);
}

static const StepPlan plan = {
    .count = JOIN_PLAN_N, .commit = JOIN_PLAN_READY, .step_name = name_of};

static int perform(void *ctx, unsigned step, Err *err)
{
    const JoinPlanOps *ops = ctx;

    return ops->perform(ops->ctx, (JoinPlanStep)step, err);
}

static int undo(void *ctx, unsigned step, Err *err)
{
    const JoinPlanOps *ops = ctx;

    return ops->undo(ops->ctx, (JoinPlanStep)step, err);
}

static int record(void *ctx, unsigned step, Err *err)
{
    const JoinPlanOps *ops = ctx;

    return ops->record(ops->ctx, (JoinPlanStep)step, err);
}

/* The cluster's clear "no": everything else leaves open whether it counts the node. */
static bool cluster_refused(int code)
{
    return code == -EPERM || code == -ENOENT;
}

static JoinOutcome outcome_of(StepOutcome outcome)
{
    switch (outcome) {
    case STEP_DONE:
        return JOIN_DONE;
    case STEP_UNDONE:
        return JOIN_UNDONE;
    case STEP_STUCK:
        break;
    }
    return JOIN_STUCK;
}

static StepOps ops_of(const JoinPlanOps *ops)
{
    return (StepOps){.perform = perform,
                     .undo = undo,
                     .record = record,
                     .refused = cluster_refused,
                     .ctx = (void *)ops};
}

JoinOutcome join_plan_run(const JoinPlanOps *ops, Err *err)
{
    StepOps steps = ops_of(ops);

    return outcome_of(step_plan_run(&plan, &steps, err));
}

JoinOutcome join_plan_recover(const JoinPlanOps *ops, JoinPlanStep step, Err *err)
{
    StepOps steps = ops_of(ops);

    return outcome_of(step_plan_recover(&plan, &steps, step, err));
}
