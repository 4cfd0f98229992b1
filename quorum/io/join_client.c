/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/join_client.h"

#include "quorum/io/backups.h"
#include "quorum/io/join_check.h"
#include "quorum/io/join_host.h"
#include "quorum/io/join_journal.h"
#include "quorum/io/join_list.h"
#include "quorum/io/join_ring.h"
#include "quorum/io/join_tree.h"
#include "quorum/io/package_conf.h"
#include "quorum/io/services.h"

#include <errno.h>
#include <unistd.h>

static int perform(void *ctx, JoinPlanStep step, Err *err)
{
    static const struct {
        const char *text;
        int (*fn)(Joiner *j, Err *err);
    } steps[JOIN_PLAN_N] = {
        [JOIN_PLAN_CHECK] = {"checking this node", join_check_node},
        [JOIN_PLAN_HELLO] = {"asking the cluster", join_check_cluster},
        [JOIN_PLAN_SAVE] = {"saving this node's configuration", join_host_save},
        [JOIN_PLAN_STAGE] = {"the cluster takes the node in, without a vote yet", join_list_stage},
        [JOIN_PLAN_KEYS] = {"writing key and configuration of the messaging layer", join_host_keys},
        [JOIN_PLAN_STOP] = {"stopping the local tree", join_host_stop},
        [JOIN_PLAN_COROSYNC] = {"starting corosync, waiting for the cluster", join_ring_enter},
        [JOIN_PLAN_MOUNT] = {"mounting the cluster's tree", join_tree_mount},
        [JOIN_PLAN_FILES] = {"writing certificate and guests", join_tree_fill},
        [JOIN_PLAN_READY] = {"getting the vote", join_list_ready},
    };
    Joiner *j = ctx;

    joiner_say(j, "%s", steps[step].text);
    return steps[step].fn(j, err);
}

static int undo(void *ctx, JoinPlanStep step, Err *err)
{
    Joiner *j = ctx;

    switch (step) {
    case JOIN_PLAN_FILES:
        join_tree_undo_fill(j);
        return 0;
    case JOIN_PLAN_MOUNT:
        join_list_undo_early(j);
        return service_stop(SERVICE_PMXCFS, err);
    case JOIN_PLAN_COROSYNC:
        join_list_undo_early(j);
        return service_stop(SERVICE_COROSYNC, err);
    case JOIN_PLAN_STOP:
        return join_host_undo_stop(j, err);
    case JOIN_PLAN_KEYS:
        return join_host_undo_keys(j, err);
    case JOIN_PLAN_STAGE:
        joiner_say(j, "taking everything back");
        return join_list_undo_stage(j, err);
    case JOIN_PLAN_SAVE:
        return join_host_undo_save(j, err);
    case JOIN_PLAN_HELLO:
    case JOIN_PLAN_CHECK:
    case JOIN_PLAN_READY:
    case JOIN_PLAN_N:
        return 0; /* nothing was changed */
    }
    return -EINVAL;
}

static int record(void *ctx, JoinPlanStep step, Err *err)
{
    return join_journal_record(ctx, step, err);
}

/* The node is in. That old copies take space is no reason to say otherwise. */
static void prune_backups(const Joiner *j)
{
    Err err = ERR_INIT;

    if (backups_prune(j->opt->state_dir, j->backup, &err) < 0) {
        joiner_say(j, "warning: removing old backups: %s", err_text(&err));
    }
}

JoinOutcome join_client_run(const ClusterPaths *paths, const JoinClientOptions *opt, Err *err)
{
    g_auto(Joiner) j = {0};
    JoinPlanOps ops = {.perform = perform, .undo = undo, .record = record, .ctx = &j};
    JoinOutcome outcome = JOIN_UNDONE;
    int lock = cluster_lock(paths, err);

    if (lock < 0) {
        return JOIN_UNDONE;
    }
    joiner_init(&j, paths, opt);
    j.backup = backups_path(opt->state_dir, "join");
    if (join_journal_exists(opt->state_dir)) {
        (void)err_setf(err, -EBUSY, "an earlier join was interrupted: run 'pvecm recover' first");
    } else if (joiner_prepare(&j, opt->token,
                              opt->session != NULL ? api_session_host(opt->session) : NULL,
                              err) == 0) {
        if (!opt->dry_run) {
            outcome = package_conf_clear(paths, opt->say, opt->ctx, err) == 0
                          ? join_plan_run(&ops, err)
                          : JOIN_UNDONE;
        } else if (perform(&j, JOIN_PLAN_CHECK, err) == 0 &&
                   perform(&j, JOIN_PLAN_HELLO, err) == 0) {
            joiner_say(&j, "nothing stands against joining cluster '%s'",
                       joiner_by_token(&j) ? j.token.cluster : j.peer);
            outcome = JOIN_DONE;
        }
    }
    if (outcome == JOIN_DONE && !opt->dry_run) {
        prune_backups(&j);
    }
    (void)close(lock); /* ends the lock */
    return outcome;
}

int join_client_recover(const ClusterPaths *paths,
                        const JoinClientOptions *opt,
                        JoinOutcome *ret,
                        Err *err)
{
    g_auto(Joiner) j = {0};
    JoinPlanOps ops = {.perform = perform, .undo = undo, .record = record, .ctx = &j};
    JoinPlanStep step = JOIN_PLAN_N;
    int lock = cluster_lock(paths, err);
    int r;

    if (lock < 0) {
        return lock;
    }
    joiner_init(&j, paths, opt);
    r = join_journal_read(&j, &step, err);
    if (r == 0) {
        joiner_say(&j, "an earlier join ended in step '%s'", join_plan_step_name(step));
        *ret = !opt->dry_run            ? join_plan_recover(&ops, step, err)
               : step < JOIN_PLAN_READY ? JOIN_UNDONE
                                        : JOIN_DONE;
        if (*ret == JOIN_DONE && !opt->dry_run) {
            prune_backups(&j);
        }
        r = 1;
    } else if (r == -ENOENT) {
        err_clear(err);
        r = 0;
    }
    (void)close(lock); /* ends the lock */
    return r;
}
