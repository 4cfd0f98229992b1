/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/node_job.h"

#include "lib/cfs/cfsfile.h"
#include "quorum/io/quorum_query.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static const NodeJobType *const types[NODE_PLAN_N] = {
    [NODE_PLAN_REMOVE] = &node_remove_type,
    [NODE_PLAN_LEAVE] = &node_leave_type,
    [NODE_PLAN_RENAME] = &node_rename_type,
    [NODE_PLAN_READDRESS] = &node_readdress_type,
};

void node_job_init(NodeJob *job, const NodeChange *change, const NodeJobType *type)
{
    *job = (NodeJob){
        .change = change,
        .type = type,
        .values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
        .journal = true,
    };
}

void node_job_done(NodeJob *job)
{
    g_clear_pointer(&job->values, g_hash_table_unref);
}

void node_job_set(NodeJob *job, const char *name, const char *value)
{
    if (value != NULL) {
        g_hash_table_replace(job->values, g_strdup(name), g_strdup(value));
    }
}

const char *node_job_get(const NodeJob *job, const char *name)
{
    return g_hash_table_lookup(job->values, name);
}

void node_job_say(const NodeJob *job, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    if (job->change->say == NULL) {
        return;
    }
    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    job->change->say(job->change->ctx, text);
}

static void say_line(void *ctx, const char *line)
{
    node_job_say(ctx, "%s", line);
}

bool node_job_wait_quorum(NodeJob *job)
{
    return quorum_wait(say_line, job);
}

/* ---- journal ----------------------------------------------------------------------------------
 */

static char *journal_path(const char *state_dir)
{
    return g_build_filename(state_dir, NODE_JOURNAL, NULL);
}

bool node_job_pending(const char *state_dir)
{
    g_autofree char *path = journal_path(state_dir);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static char *journal_text(const NodeJob *job, unsigned step)
{
    GString *out = g_string_new(NULL);
    GHashTableIter iter;
    gpointer name, value;

    g_string_append_printf(out, "plan: %s\nstep: %s\n", node_plan_kind_name(job->type->kind),
                           node_plan(job->type->kind)->step_name(step));
    g_hash_table_iter_init(&iter, job->values);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        g_string_append_printf(out, "%s: %s\n", (const char *)name, (const char *)value);
    }
    return g_string_free(out, FALSE);
}

static int record(void *ctx, unsigned step, Err *err)
{
    NodeJob *job = ctx;
    g_autofree char *path = journal_path(job->change->state_dir);
    g_autofree char *text = NULL;

    job->step = step;
    if (!job->journal || step == 0) {
        return 0; /* the first step of every plan changes nothing */
    }
    if (step < node_plan(job->type->kind)->count) {
        text = journal_text(job, step);
        return cfsfile_write(path, text, strlen(text), err);
    }
    if (g_unlink(path) < 0 && errno != ENOENT) {
        int r = -errno;

        return err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    return 0;
}

int node_job_note(NodeJob *job, const char *name, const char *value, Err *err)
{
    int r;

    if (value == NULL) {
        (void)g_hash_table_remove(job->values, name);
        return record(job, job->step, err);
    }
    node_job_set(job, name, value);
    if ((r = record(job, job->step, err)) < 0) {
        (void)g_hash_table_remove(job->values, name);
    }
    return r;
}

static int read_journal(const char *state_dir, NodeJob *ret, unsigned *ret_step, Err *err)
{
    g_autofree char *path = journal_path(state_dir);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    const char *plan, *step;
    int kind, at;
    int r = cfsfile_read(path, NODE_JOURNAL_SIZE_MAX, &text, NULL, err);

    if (r < 0) {
        return r;
    }
    lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        char *colon = strstr(lines[i], ": ");

        if (colon != NULL) {
            *colon = '\0';
            node_job_set(ret, lines[i], colon + 2);
        }
    }
    plan = node_job_get(ret, "plan");
    step = node_job_get(ret, "step");
    kind = plan != NULL ? node_plan_kind_from_name(plan) : -1;
    at = kind >= 0 && step != NULL ? node_plan_step((NodePlanKind)kind, step) : -1;
    if (at < 0) {
        return err_setf(err, -EBADMSG, "%s is damaged", path);
    }
    ret->type = types[kind];
    (void)g_hash_table_remove(ret->values, "plan");
    (void)g_hash_table_remove(ret->values, "step");
    *ret_step = (unsigned)at;
    ret->step = *ret_step;
    return 0;
}

/* ---- running ----------------------------------------------------------------------------------
 */

static int perform(void *ctx, unsigned step, Err *err)
{
    NodeJob *job = ctx;

    if (job->type->texts[step] != NULL) {
        node_job_say(job, "%s", job->type->texts[step]);
    }
    return job->type->perform(job, step, err);
}

static int undo(void *ctx, unsigned step, Err *err)
{
    NodeJob *job = ctx;

    return step > 0 ? job->type->undo(job, step, err) : 0;
}

/* The commit steps say so when nothing happened and nothing will. */
static bool refused(int code)
{
    return code == -EPERM;
}

static int code_of(StepOutcome outcome)
{
    switch (outcome) {
    case STEP_DONE:
        return 0;
    case STEP_UNDONE:
        return -ECANCELED;
    case STEP_STUCK:
        break;
    }
    return -EINPROGRESS;
}

static StepOps ops_of(NodeJob *job)
{
    return (StepOps){
        .perform = perform, .undo = undo, .record = record, .refused = refused, .ctx = job};
}

int node_job_run(NodeJob *job, Err *err)
{
    StepOps ops = ops_of(job);
    int lock, r;

    if (!job->journal) {
        return code_of(step_plan_run(node_plan(job->type->kind), &ops, err));
    }
    if ((lock = cluster_lock(job->change->paths, err)) < 0) {
        return lock;
    }
    if (node_job_pending(job->change->state_dir)) {
        r = err_setf(err, -EBUSY, "an earlier command was interrupted: run 'pvecm recover' first");
    } else if (job->change->dry_run) {
        r = perform(job, 0, err);
    } else {
        r = code_of(step_plan_run(node_plan(job->type->kind), &ops, err));
    }
    (void)close(lock); /* ends the lock */
    return r;
}

int node_job_recover(const NodeChange *change, NodePlanKind *ret_kind, Err *err)
{
    g_auto(NodeJob) job = {0};
    StepOps ops = ops_of(&job);
    unsigned step = 0;
    int lock = cluster_lock(change->paths, err);
    int r;

    if (lock < 0) {
        return lock;
    }
    node_job_init(&job, change, NULL);
    r = read_journal(change->state_dir, &job, &step, err);
    if (r == 0) {
        const StepPlan *plan = node_plan(job.type->kind);
        StepOutcome outcome;

        *ret_kind = job.type->kind;
        node_job_say(&job, "an earlier '%s' ended in step '%s'",
                     node_plan_kind_name(job.type->kind), plan->step_name(step));
        outcome = !change->dry_run      ? step_plan_recover(plan, &ops, step, err)
                  : step < plan->commit ? STEP_UNDONE
                                        : STEP_DONE;
        r = outcome == STEP_DONE ? 1 : outcome == STEP_UNDONE ? 2 : -EINPROGRESS;
    } else if (r == -ENOENT) {
        err_clear(err);
        r = 0;
    }
    (void)close(lock); /* ends the lock */
    return r;
}
