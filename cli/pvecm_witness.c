/* SPDX-License-Identifier: Apache-2.0 */
/* pvecm_witness: the verbs about the witness, by token and in the documented way. */
#include "cli/pvecm_verbs.h"

#include "lib/conf/corosync_conf.h"
#include "lib/port/clock.h"
#include "lib/port/process.h"
#include "quorum/io/witness_host.h"
#include "quorum/io/witness_setup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

PvecmWitnessOptions pvecm_witness_options = {.ttl = WITNESS_TTL_SEC, .port = WITNESS_PORT};

static void print_line(void *ctx, const char *line)
{
    (void)ctx;
    printf("%s\n", line);
    (void)fflush(stdout); /* progress: a failing terminal must not stop the work */
}

static void tell(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "%s\n", line); /* standard output has the token alone */
}

static WitnessSetup setup_options(void)
{
    return (WitnessSetup){.paths = &cluster_paths,
                          .force = pvecm_make.force,
                          .dry_run = pvecm_make.dry_run,
                          .say = print_line};
}

int pvecm_witness_token(char **operands, Err *err)
{
    const PvecmWitnessOptions *o = &pvecm_witness_options;
    WitnessHostOptions opt = {.address = o->address,
                              .port = (unsigned)o->port,
                              .ttl_sec = (unsigned)o->ttl,
                              .dry_run = pvecm_make.dry_run,
                              .token = print_line,
                              .say = tell};

    (void)operands;
    if (o->ttl < 1 || o->ttl > JOINTOKEN_TTL_MAX_SEC || o->port < 1 || o->port > 65535) {
        return err_setf(err, -EINVAL, "--ttl goes from 1 to %d, --port from 1 to 65535",
                        JOINTOKEN_TTL_MAX_SEC);
    }
    if (o->address != NULL && !witness_valid_host(o->address)) {
        return err_setf(err, -EINVAL, "--address '%s' is no host name or address", o->address);
    }
    if (!opt.dry_run) {
        tell(NULL, "waiting for 'pvecm witness setup TOKEN' on a node of the cluster");
    }
    return witness_host_serve(&opt, err);
}

static int done(int r)
{
    if (r == 0) {
        printf("%s\n", pvecm_make.dry_run ? "dry run: nothing was changed" : "done");
    }
    return r;
}

/* "-" is read from standard input, so that the token needs not stand in the argument list (INV-8).
 */
int pvecm_witness_setup(char **operands, Err *err)
{
    g_auto(WitnessToken) token = {0};
    WitnessSetup s = setup_options();
    WitnessPeer peer;
    char line[WITNESS_LINE_MAX + 2] = "";
    int r;

    if (strcmp(operands[0], "-") == 0) {
        if (fgets(line, sizeof line, stdin) == NULL) {
            return err_setf(err, -EINVAL, "no token on standard input");
        }
        r = witness_token_parse(line, &token, err);
        explicit_bzero(line, sizeof line);
    } else {
        r = witness_token_parse(operands[0], &token, err);
    }
    if (r < 0) {
        return r;
    }
    if (clock_wall().sec > token.expires.sec) {
        return err_setf(err, -ETIME, "the token has expired: make a new one on the witness host");
    }
    peer = witness_peer_by_token(&token);
    return done(witness_setup(&s, &peer, err));
}

int pvecm_qdevice_setup(char **operands, Err *err)
{
    WitnessSetup s = setup_options();
    WitnessPeer peer;

    if (!witness_valid_host(operands[0])) {
        return err_setf(err, -EINVAL, "'%s' is no address", operands[0]);
    }
    if (pvecm_witness_options.network != NULL) {
        printf("--network is not needed: nothing goes from node to node by ssh\n");
    }
    printf("root's ssh to '%s' is used for two commands (a token of 'pvecm witness token' there "
           "does without)\n",
           operands[0]);
    peer = witness_peer_by_ssh(operands[0]);
    return done(witness_setup(&s, &peer, err));
}

int pvecm_witness_remove(char **operands, Err *err)
{
    WitnessSetup s = setup_options();

    (void)operands;
    return done(witness_remove(&s, err));
}

int pvecm_witness_status(char **operands, Err *err)
{
    static const char *const argv[] = {"corosync-qdevice-tool", "-s", "-v", NULL};
    g_autofree char *text = NULL;
    g_autofree char *out = NULL;
    g_autoptr(CorosyncConf) conf = NULL;
    gsize size = 0;
    int r = pvecm_read_cluster_conf(&text, &size, err);

    (void)operands;
    if (r < 0 || (r = corosync_conf_parse(text, size, &conf, err)) < 0) {
        return r;
    }
    if (corosync_conf_get(conf, "quorum.device.model") == NULL) {
        return err_setf(err, -ENOENT, "the cluster has no witness");
    }
    r = process_check(argv, NULL, &out, err);
    if (r == 0) {
        fputs(out, stdout);
    }
    return r;
}
