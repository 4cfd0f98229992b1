/* SPDX-License-Identifier: Apache-2.0 */
/* pvecm_join: tokens, joining by one, and recovering from a join that was interrupted. */
#include "cli/pvecm_verbs.h"

#include "quorum/core/jointoken.h"
#include "quorum/io/join_client.h"
#include "quorum/io/join_server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

PvecmTokenOptions pvecm_token_options = {.ttl = JOINTOKEN_TTL_SEC, .uses = 1, .votes = 1};

static void print_line(void *ctx, const char *line)
{
    (void)ctx;
    printf("%s\n", line);
    (void)fflush(stdout); /* progress: a failing terminal must not stop the work */
}

int pvecm_token(char **operands, Err *err)
{
    const PvecmTokenOptions *o = &pvecm_token_options;
    JoinTokenOptions opt = {.ttl_sec = (unsigned)o->ttl,
                            .uses = (unsigned)o->uses,
                            .votes = (unsigned)o->votes,
                            .node = o->node};
    char *line = NULL;
    int r;

    (void)operands;
    if (o->ttl < 1 || o->ttl > JOINTOKEN_TTL_MAX_SEC) {
        return err_setf(err, -EINVAL, "--ttl %d: expected 1 to %d seconds", o->ttl,
                        JOINTOKEN_TTL_MAX_SEC);
    }
    if (o->uses < 1 || o->uses > 1000 || o->votes < 0 || o->votes > 255) {
        return err_setf(err, -EINVAL, "--uses goes from 1 to 1000, --votes from 0 to 255");
    }
    if (o->node != NULL && !corosync_valid_name(o->node)) {
        return err_setf(err, -EINVAL, "--node %s: no node name", o->node);
    }
    r = join_token_create(cluster_paths.pve, &opt, &line, err);
    if (r == 0) {
        printf("%s\n", line);
    }
    jointoken_free_line(line);
    return r;
}

static int tell(JoinOutcome outcome, const char *done)
{
    switch (outcome) {
    case JOIN_DONE:
        printf("%s\n", done);
        return 0;
    case JOIN_UNDONE:
        return -ECANCELED;
    case JOIN_STUCK:
        fprintf(stderr, "the node is between two states: repeat 'pvecm recover'\n");
        return -EIO;
    }
    return -EINVAL;
}

/* A token given as "-" is read from stdin, so that it needs not stand in the argument list (INV-8).
 */
static int read_token(const char *operand, char **ret, Err *err)
{
    char line[JOINTOKEN_LINE_MAX + 2];

    if (strcmp(operand, "-") != 0) {
        *ret = g_strdup(operand);
        return 0;
    }
    if (fgets(line, sizeof line, stdin) == NULL) {
        return err_setf(err, -EINVAL, "no token on standard input");
    }
    *ret = g_strdup(line);
    explicit_bzero(line, sizeof line);
    return 0;
}

int pvecm_add(char **operands, Err *err)
{
    JoinClientOptions opt = {
        .state_dir = "/var/lib/pve-cluster", .dry_run = pvecm_make.dry_run, .say = print_line};
    char *token = NULL;
    int r = read_token(operands[0], &token, err);

    for (unsigned i = 0; r == 0 && i < COROSYNC_LINKS_MAX; i++) {
        r = pvecm_make.link[i] != NULL ? corosync_link_parse(pvecm_make.link[i], &opt.links[i], err)
                                       : 0;
    }
    if (r == 0 && !jointoken_looks_like(token)) {
        r = err_setf(err, -EINVAL, "'%s' is no join token: make one with 'pvecm token' on a member",
                     token);
    }
    if (r == 0) {
        opt.token = token;
        r = tell(join_client_run(&cluster_paths, &opt, err),
                 opt.dry_run ? "dry run: nothing was changed" : "this node is in the cluster");
    }
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        corosync_link_clear(&opt.links[i]);
    }
    jointoken_free_line(token);
    return r;
}

int pvecm_recover(char **operands, Err *err)
{
    JoinClientOptions opt = {.state_dir = "/var/lib/pve-cluster", .say = print_line};
    JoinOutcome outcome = JOIN_UNDONE;
    int r = join_client_recover(&cluster_paths, &opt, &outcome, err);

    (void)operands;
    if (r <= 0) {
        if (r == 0) {
            printf("nothing to recover\n");
        }
        return r;
    }
    if (outcome == JOIN_UNDONE) {
        printf("the interrupted join was taken back\n");
        return 0;
    }
    return tell(outcome, "the interrupted join was finished: this node is in the cluster");
}
