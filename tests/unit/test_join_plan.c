/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: wherever a join fails or its process dies, the node ends fully in or fully out.
 * Method: a model of what each step changes; every step fails once, half done or before; every step
 * is interrupted once and recovered from.
 */
#include "quorum/core/join_plan.h"

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>

typedef struct Model {
    bool changed[JOIN_PLAN_N]; /* what the step did is there */
    int journal;               /* step under way, JOIN_PLAN_N: none */
    int fail_at, fail_code;    /* step whose perform fails, -1: none */
    bool fail_half;            /* after having changed something */
    int undo_fail_at;
    int die_at; /* everything after this record call fails silently, as for a dead process */
    bool dead;
} Model;

static int perform(void *ctx, JoinPlanStep step, Err *err)
{
    Model *m = ctx;

    if (m->dead) {
        return -EINTR;
    }
    if (m->fail_at == (int)step) {
        m->changed[step] = m->fail_half;
        return err_setf(err, m->fail_code, "step %s failed", join_plan_step_name(step));
    }
    m->changed[step] = true;
    return 0;
}

static int undo(void *ctx, JoinPlanStep step, Err *err)
{
    Model *m = ctx;

    if (m->dead) {
        return -EINTR;
    }
    if (m->undo_fail_at == (int)step) {
        return err_setf(err, -EIO, "disk");
    }
    for (int later = (int)step + 1; later < JOIN_PLAN_N; later++) {
        g_assert_false(m->changed[later]); /* taken back in reverse order */
    }
    m->changed[step] = false;
    return 0;
}

static int record(void *ctx, JoinPlanStep step, Err *err)
{
    Model *m = ctx;

    (void)err;
    if (m->dead) {
        return -EINTR;
    }
    m->journal = (int)step;
    if (m->die_at == (int)step) {
        m->dead = true;
    }
    return 0;
}

static JoinPlanOps ops_of(Model *m)
{
    return (JoinPlanOps){.perform = perform, .undo = undo, .record = record, .ctx = m};
}

static Model fresh(void)
{
    return (Model){.journal = JOIN_PLAN_N, .fail_at = -1, .undo_fail_at = -1, .die_at = -1};
}

static void expect_out(const Model *m)
{
    for (int i = 0; i < JOIN_PLAN_N; i++) {
        g_assert_false(m->changed[i]);
    }
    g_assert_cmpint(m->journal, ==, JOIN_PLAN_N);
}

static void expect_in(const Model *m)
{
    for (int i = 0; i < JOIN_PLAN_N; i++) {
        g_assert_true(m->changed[i]);
    }
    g_assert_cmpint(m->journal, ==, JOIN_PLAN_N);
}

static void all_well_is_in(void)
{
    Model m = fresh();
    JoinPlanOps ops = ops_of(&m);

    g_assert_cmpint(join_plan_run(&ops, NULL), ==, JOIN_DONE);
    expect_in(&m);
}

static void every_failing_step_is_undone(void)
{
    for (int step = 0; step < JOIN_PLAN_READY; step++) {
        for (int half = 0; half < 2; half++) {
            Model m = fresh();
            JoinPlanOps ops = ops_of(&m);
            Err err = ERR_INIT;

            m.fail_at = step;
            m.fail_half = half;
            m.fail_code = -EIO;
            g_assert_cmpint(join_plan_run(&ops, &err), ==, JOIN_UNDONE);
            g_assert_nonnull(strstr(err.text, "failed"));
            expect_out(&m);
        }
    }
}

static void every_death_is_recovered_from(void)
{
    for (int step = 0; step < JOIN_PLAN_N; step++) {
        Model m = fresh();
        JoinPlanOps ops = ops_of(&m);
        Err err = ERR_INIT;

        m.die_at = step;
        (void)join_plan_run(&ops, &err); /* what a dead process returns does not matter */
        m.dead = false;
        m.die_at = -1;
        g_assert_cmpint(m.journal, ==, step);
        if (step == JOIN_PLAN_READY) {
            g_assert_cmpint(join_plan_recover(&ops, JOIN_PLAN_READY, &err), ==, JOIN_DONE);
            expect_in(&m);
        } else {
            g_assert_cmpint(join_plan_recover(&ops, (JoinPlanStep)step, &err), ==, JOIN_UNDONE);
            expect_out(&m);
        }
    }
}

static void unknown_fate_is_kept_open(void)
{
    Model m = fresh();
    JoinPlanOps ops = ops_of(&m);
    Err err = ERR_INIT;

    m.fail_at = JOIN_PLAN_READY;
    m.fail_code = -ETIMEDOUT;
    g_assert_cmpint(join_plan_run(&ops, &err), ==, JOIN_STUCK);
    g_assert_cmpint(m.journal, ==, JOIN_PLAN_READY); /* nothing was taken back: it may count */
    g_assert_true(m.changed[JOIN_PLAN_FILES]);
    m.fail_code = -EPERM; /* asked again, the cluster does not know us */
    g_assert_cmpint(join_plan_recover(&ops, JOIN_PLAN_READY, &err), ==, JOIN_UNDONE);
    expect_out(&m);
}

static void failing_undo_is_told_and_repeated(void)
{
    Model m = fresh();
    JoinPlanOps ops = ops_of(&m);
    Err err = ERR_INIT;

    m.fail_at = JOIN_PLAN_MOUNT;
    m.fail_code = -EIO;
    m.undo_fail_at = JOIN_PLAN_SAVE;
    g_assert_cmpint(join_plan_run(&ops, &err), ==, JOIN_STUCK);
    g_assert_nonnull(strstr(err.text, "undoing step 'save': disk"));
    g_assert_cmpint(m.journal, ==, JOIN_PLAN_MOUNT);
    m.undo_fail_at = -1;
    g_assert_cmpint(join_plan_recover(&ops, JOIN_PLAN_MOUNT, &err), ==, JOIN_UNDONE);
    expect_out(&m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/join-plan/all-well-is-in", all_well_is_in);
    g_test_add_func("/join-plan/every-failing-step-is-undone", every_failing_step_is_undone);
    g_test_add_func("/join-plan/every-death-is-recovered", every_death_is_recovered_from);
    g_test_add_func("/join-plan/unknown-fate-is-kept-open", unknown_fate_is_kept_open);
    g_test_add_func("/join-plan/failing-undo-is-told", failing_undo_is_told_and_repeated);
    return g_test_run();
}
