/* SPDX-License-Identifier: Apache-2.0 */
/* pvecm_join: tokens, joining by one or with a password, recovering from an interrupted join. */
#include "cli/pvecm_ask.h"
#include "cli/pvecm_task.h"
#include "cli/pvecm_verbs.h"

#include "quorum/core/join_info.h"
#include "quorum/core/jointoken.h"
#include "quorum/io/cluster_log.h"
#include "quorum/io/conf_edit.h"
#include "quorum/io/config_api.h"
#include "quorum/io/join_classic.h"
#include "quorum/io/join_client.h"
#include "quorum/io/join_server.h"
#include "quorum/io/node_leave.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

PvecmAddOptions pvecm_add_options = {.votes = PVECM_NOT_GIVEN};
PvecmTokenOptions pvecm_token_options = {.ttl = JOINTOKEN_TTL_SEC, .uses = 1, .votes = 1};

/* The token alone goes to standard output. */
static void say_aside(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "%s\n", line);
}

int pvecm_token(char **operands, Err *err)
{
    const PvecmTokenOptions *o = &pvecm_token_options;
    JoinTokenOptions opt = {.ttl_sec = (unsigned)o->ttl,
                            .uses = (unsigned)o->uses,
                            .votes = (unsigned)o->votes,
                            .node = o->node,
                            .say = say_aside};
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
    if (!cluster_configured(&cluster_paths)) {
        return err_setf(err, -ENOENT,
                        "this node is in no cluster: make one with 'pvecm create NAME' first");
    }
    if (pvecm_make.dry_run) {
        printf("would make a token for %d node(s), good for %d s\n", o->uses, o->ttl);
        return 0;
    }
    r = join_token_create(cluster_paths.pve, &opt, &line, err);
    if (r == 0) {
        printf("%s\n", line);
        cluster_log(LOG_INFO, "a join token for %d node(s) was made, good for %d s", o->uses,
                    o->ttl);
    }
    jointoken_free_line(line);
    return r;
}

static int tell(JoinOutcome outcome, const char *done)
{
    switch (outcome) {
    case JOIN_DONE:
        pvecm_task_say(NULL, done);
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

int pvecm_take_votes(int *ret, Err *err)
{
    int votes = pvecm_add_options.votes;

    *ret = votes == PVECM_NOT_GIVEN ? -1 : votes;
    return votes == PVECM_NOT_GIVEN || (votes >= 0 && votes <= 255)
               ? 0
               : err_setf(err, -EINVAL, "--votes %d: expected 0 to 255", votes);
}

static int check_options(bool with_token, Err *err)
{
    const PvecmAddOptions *o = &pvecm_add_options;
    uint32_t nodeid;
    int votes, r;

    if (o->use_ssh) {
        return err_setf(err, -EINVAL,
                        "--use_ssh: nodes do not get into each other as root by ssh; join by token "
                        "('pvecm token' on a member), or with its address and password");
    }
    if ((r = pvecm_take_votes(&votes, err)) < 0 || (r = pvecm_take_nodeid(&nodeid, err)) < 0) {
        return r;
    }
    if (with_token && (o->fingerprint != NULL || votes >= 0 || nodeid != 0)) {
        return err_setf(err, -EINVAL,
                        "a token holds fingerprint and votes already; --fingerprint, --votes and "
                        "--nodeid go with an address and a password");
    }
    return 0;
}

/* Joins by `token`, or under the login. */
static int join(const char *token, ApiSession *session, Err *err)
{
    JoinClientOptions opt = {.token = token,
                             .session = session,
                             .state_dir = PVECM_STATE_DIR,
                             .force = pvecm_make.force,
                             .dry_run = pvecm_make.dry_run,
                             .say = pvecm_task_say};
    NodeChange change = {.paths = &cluster_paths,
                         .state_dir = PVECM_STATE_DIR,
                         .dry_run = pvecm_make.dry_run,
                         .say = pvecm_task_say};
    int r = pvecm_take_votes(&opt.votes, err);

    r = r < 0 ? r : pvecm_take_nodeid(&opt.nodeid, err);
    for (unsigned i = 0; r == 0 && i < COROSYNC_LINKS_MAX; i++) {
        r = pvecm_make.link[i] != NULL ? corosync_link_parse(pvecm_make.link[i], &opt.links[i], err)
                                       : 0;
    }
    if (r == 0) {
        r = node_forget_removed(&change, err);
        r = r < 0 ? r : 0;
    }
    if (r == 0) {
        r = tell(join_client_run(&cluster_paths, &opt, err),
                 opt.dry_run ? "dry run: nothing was changed" : "this node is in the cluster");
    }
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        corosync_link_clear(&opt.links[i]);
    }
    return r;
}

/* Where possible the member makes a token and the node goes on in two phases, which can be taken
 * back; by the documented endpoints otherwise. */
static int join_logged_in(ApiSession *session, Err *err)
{
    bool plain =
        pvecm_add_options.documented || pvecm_make.force || pvecm_make.nodeid != PVECM_NOT_GIVEN;
    g_autofree char *node = NULL;
    g_autofree char *fqdn = NULL;
    g_autoptr(GPtrArray) addresses = NULL;
    char *token = NULL;
    int votes, r = pvecm_take_votes(&votes, err);

    r = r < 0 || plain ? r : join_classic_has_tokens(session, err);
    if (r < 0) {
        return r;
    }
    if (r == 0) {
        pvecm_task_say(NULL, "joining by the documented endpoints");
        return join(NULL, session, err);
    }
    if ((r = cluster_this_node(&node, &fqdn, &addresses, err)) == 0 &&
        (r = join_classic_token(session, node, votes >= 0 ? (unsigned)votes : 1, &token, err)) ==
            0) {
        r = join(token, NULL, err);
    }
    jointoken_free_line(token);
    return r;
}

/* Splits "host", "host:port", "[v6]:port"; a bare IPv6 address is a host. Caller frees both. */
static void split_host(const char *text, char **ret_host, char **ret_port)
{
    const char *end = strchr(text, ']');
    const char *colon = strrchr(text, ':');

    if (text[0] == '[' && end != NULL) {
        *ret_host = g_strndup(text + 1, (gsize)(end - text - 1));
        *ret_port = g_strdup(end[1] == ':' ? end + 2 : JOIN_PORT);
    } else if (colon != NULL && strchr(text, ':') == colon) {
        *ret_host = g_strndup(text, (gsize)(colon - text));
        *ret_port = g_strdup(colon + 1);
    } else {
        *ret_host = g_strdup(text);
        *ret_port = g_strdup(JOIN_PORT);
    }
}

static int add_by_password(const char *host, const char *fingerprint, Err *err)
{
    uint8_t digest[32];
    g_autofree char *name = NULL;
    g_autofree char *port = NULL;
    g_autofree char *connecting = NULL;
    g_autoptr(ApiSession) session = NULL;
    ApiPeer peer = {.digest = digest};
    char *password = NULL;
    int r;

    split_host(host, &name, &port);
    if (*name == '\0' || !g_ascii_string_to_unsigned(port, 10, 1, 65535, NULL, NULL)) {
        return err_setf(err, -EINVAL,
                        "'%s' is neither a token, nor HOST or HOST:PORT, nor what 'pvecm joininfo' "
                        "prints",
                        host);
    }
    peer.host = name;
    peer.port = port;
    if (fingerprint != NULL && !join_fingerprint_parse(fingerprint, digest)) {
        return err_setf(err, -EINVAL, "--fingerprint: expected 32 bytes in hex, joined by colons");
    }
    if (fingerprint == NULL && (r = pvecm_ask_fingerprint(&peer, digest, err)) < 0) {
        return r;
    }
    if ((r = pvecm_ask_password(name, &password, err)) < 0) {
        return r;
    }
    connecting = g_strdup_printf("establishing the connection to '%s'", name);
    pvecm_task_say(NULL, connecting);
    r = api_session_login(&peer, "root@pam", password, &session, err);
    pvecm_free_password(password);
    if (r < 0) {
        return r;
    }
    pvecm_task_say(NULL, "login succeeded");
    return join_logged_in(session, err);
}

static int add(const char *token, bool with_token, Err *err)
{
    g_auto(JoinBlob) blob = {0};
    int r = check_options(with_token, err);

    if (r < 0) {
        return r;
    }
    if (with_token) {
        return join(token, NULL, err);
    }
    if (join_blob_looks_like(token)) {
        r = join_blob_parse(token, &blob, err);
        return r < 0 ? r : add_by_password(blob.address, blob.fingerprint, err);
    }
    return add_by_password(token, pvecm_add_options.fingerprint, err);
}

int pvecm_add(char **operands, Err *err)
{
    char *token = NULL;
    int r = read_token(operands[0], &token, err);

    if (r < 0) {
        return r;
    }
    if (!pvecm_make.dry_run) {
        pvecm_task_begin("clusterjoin", "");
    }
    r = add(token, jointoken_looks_like(token) || strcmp(operands[0], "-") == 0, err);
    r = pvecm_task_end(r, err);
    jointoken_free_line(token);
    return r;
}

int pvecm_joininfo(char **operands, Err *err)
{
    g_autoptr(JsonTree) data = NULL;
    g_autofree char *text = NULL;
    int r = config_api_join_info(cluster_paths.pve, operands[0], &data, err);

    if (r == 0 && (r = join_info_blob(data, &text, err)) == 0) {
        printf("%s\n", text);
    }
    return r;
}

static void tell_recovered(const char *what, bool finished)
{
    const char *how = finished ? "finished" : "taken back";

    printf("the interrupted '%s' %s %s\n", what, pvecm_make.dry_run ? "would be" : "was", how);
    if (!pvecm_make.dry_run) {
        cluster_log(LOG_NOTICE, "an interrupted '%s' was %s", what, how);
    }
}

/* The other plans: leave, delnode, rename, readdress. 1 when there was one. */
static int recover_node_job(Err *err)
{
    NodeChange change = {.paths = &cluster_paths,
                         .state_dir = PVECM_STATE_DIR,
                         .dry_run = pvecm_make.dry_run,
                         .say = pvecm_task_say};
    NodePlanKind kind = NODE_PLAN_N;
    int r = node_job_recover(&change, &kind, err);

    if (r == -EINPROGRESS) {
        fprintf(stderr,
                "it is between two states: mend what is said below, then 'pvecm recover'\n");
    }
    if (r > 0) {
        tell_recovered(node_plan_kind_name(kind), r == 1);
    }
    return r < 0 ? r : r > 0;
}

int pvecm_recover(char **operands, Err *err)
{
    JoinClientOptions opt = {
        .state_dir = PVECM_STATE_DIR, .dry_run = pvecm_make.dry_run, .say = pvecm_task_say};
    JoinOutcome outcome = JOIN_UNDONE;
    int jobs, r;

    (void)operands;
    conf_edit_be_patient(); /* the killed command may have held the cluster's lock */
    jobs = recover_node_job(err);
    if (jobs < 0) {
        return jobs;
    }
    err_clear(err); /* what a job that was taken back says was told */
    r = join_client_recover(&cluster_paths, &opt, &outcome, err);
    if (r < 0 || (r > 0 && outcome == JOIN_STUCK)) {
        return r < 0 ? r : tell(outcome, NULL);
    }
    if (r > 0) {
        tell_recovered("add", outcome == JOIN_DONE);
    } else if (jobs == 0) {
        printf("nothing to recover\n");
    }
    if (pvecm_make.dry_run) {
        printf("dry run: nothing was changed\n");
    }
    return 0;
}
