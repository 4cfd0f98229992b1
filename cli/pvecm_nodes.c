/* SPDX-License-Identifier: Apache-2.0 */
/* pvecm_nodes: verbs that change the nodes of a cluster: delnode, leave, rename, readdress. */
#include "cli/pvecm_verbs.h"

#include "quorum/io/node_leave.h"
#include "quorum/io/node_readdress.h"
#include "quorum/io/node_remove.h"
#include "quorum/io/node_rename.h"

#include <errno.h>
#include <stdio.h>

PvecmNodeOptions pvecm_node_options;

static void print_line(void *ctx, const char *line)
{
    (void)ctx;
    printf("%s\n", line);
    (void)fflush(stdout); /* progress: a failing terminal must not stop the work */
}

static NodeChange change_of(void)
{
    return (NodeChange){.paths = &cluster_paths,
                        .state_dir = PVECM_STATE_DIR,
                        .dry_run = pvecm_make.dry_run,
                        .say = print_line};
}

/* Says how it ended. What was done before counts as done. */
static int tell(int r, const char *done, const Err *err)
{
    if (r == -EALREADY) {
        printf("nothing to do: %s\n", err_text(err));
        return 0;
    }
    if (r == -EINPROGRESS) {
        fprintf(stderr,
                "it is between two states: mend what is said below, then 'pvecm recover'\n");
    } else if (r == 0) {
        printf("%s\n", pvecm_make.dry_run ? "dry run: nothing was changed" : done);
    }
    return r;
}

int pvecm_delnode(char **operands, Err *err)
{
    const PvecmNodeOptions *o = &pvecm_node_options;
    NodeChange change = change_of();
    RemoveOptions opt = {.node = operands[0], .adopt_to = o->adopt_to};
    g_autofree char *done = g_strdup_printf("node '%s' is out of the cluster", operands[0]);
    int r;

    if ((o->adopt_to != NULL) + (o->purge != 0) + (o->keep != 0) > 1) {
        return err_setf(err, -EINVAL, "--adopt-to, --purge and --force exclude each other");
    }
    opt.guests = o->adopt_to != NULL ? REMOVE_GUESTS_ADOPT
                 : o->purge          ? REMOVE_GUESTS_ARCHIVE
                 : o->keep           ? REMOVE_GUESTS_LEAVE
                                     : REMOVE_GUESTS_REFUSE;
    r = node_remove(&change, &opt, true, err);
    return tell(r, done, err);
}

int pvecm_leave(char **operands, Err *err)
{
    NodeChange change = change_of();
    LeaveOptions opt = {.keep_guests = pvecm_node_options.keep_guests};
    int r;

    (void)operands;
    r = node_leave(&change, &opt, err);
    return tell(r, "this node is in no cluster any more", err);
}

int pvecm_rename(char **operands, Err *err)
{
    NodeChange change = change_of();
    g_autofree char *done = g_strdup_printf("this node is now called '%s'", operands[0]);
    int r = node_rename(&change, operands[0], err);

    return tell(r, done, err);
}

int pvecm_readdress(char **operands, Err *err)
{
    NodeChange change = change_of();
    CorosyncLink links[COROSYNC_LINKS_MAX] = {0};
    bool any = false;
    int r = 0;

    for (unsigned i = 0; r == 0 && i < COROSYNC_LINKS_MAX; i++) {
        r = pvecm_make.link[i] != NULL ? corosync_link_parse(pvecm_make.link[i], &links[i], err)
                                       : 0;
        any |= links[i].present;
    }
    if (r == 0 && !any) {
        r = err_setf(err, -EINVAL, "say which address is new: --link0 ADDRESS ... --link7 ADDRESS");
    }
    if (r == 0) {
        r = tell(node_readdress(&change, operands[0], links, err),
                 "the node has its new addresses; 'pvecm updatecerts' on it renews its "
                 "certificate",
                 err);
    }
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        corosync_link_clear(&links[i]);
    }
    return r;
}
