/* SPDX-License-Identifier: Apache-2.0 */
/* pvecm_make: the verbs that make a cluster of this node and keep its certificates. */
#include "cli/pvecm_task.h"
#include "cli/pvecm_verbs.h"

#include "quorum/io/cluster_create.h"
#include "quorum/io/cluster_log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define READY_WAIT_SEC 10

PvecmMakeOptions pvecm_make = {.nodeid = PVECM_NOT_GIVEN,
                               .votes = 1,
                               .token_coefficient = COROSYNC_TOKEN_COEFFICIENT,
                               .token = COROSYNC_CREATE_TOKEN_MS};

/* Fills `links` from --link0 ... --link7. */
static int take_links(CorosyncLink *links, Err *err)
{
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        int r = pvecm_make.link[i] != NULL ? corosync_link_parse(pvecm_make.link[i], &links[i], err)
                                           : 0;

        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int check_range(const char *option, int value, int min, int max, Err *err)
{
    if (value < min || value > max) {
        return err_setf(err, -EINVAL, "--%s %d: expected %d to %d", option, value, min, max);
    }
    return 0;
}

static int create(ClusterCreate *c, Err *err)
{
    g_autofree char *done = NULL;
    bool task = !c->dry_run && corosync_valid_name(c->name); /* it is part of the task's id */
    int r;

    if (task) {
        pvecm_task_begin("clustercreate", c->name);
    }
    r = cluster_create(&cluster_paths, c, err);
    if (r == 0 && !c->dry_run) {
        done =
            g_strdup_printf("cluster '%s' is up; let other nodes join with 'pvecm token'", c->name);
        pvecm_task_say(NULL, done);
    }
    return task ? pvecm_task_end(r, err) : r;
}

int pvecm_take_nodeid(uint32_t *ret, Err *err)
{
    bool given = pvecm_make.nodeid != PVECM_NOT_GIVEN;

    *ret = given ? (uint32_t)pvecm_make.nodeid : 0;
    return given ? check_range("nodeid", pvecm_make.nodeid, 1, G_MAXINT, err) : 0;
}

int pvecm_create(char **operands, Err *err)
{
    ClusterCreate c = {.name = operands[0], .dry_run = pvecm_make.dry_run, .say = pvecm_task_say};
    int r;

    if ((r = pvecm_take_nodeid(&c.nodeid, err)) == 0 &&
        (r = check_range("votes", pvecm_make.votes, 1, 255, err)) == 0 &&
        (r = check_range("token-coefficient", pvecm_make.token_coefficient, 0, 3600000, err)) ==
            0 &&
        (r = check_range("token", pvecm_make.token, 0, 3600000, err)) == 0 &&
        (r = take_links(c.links, err)) == 0) {
        c.votes = (uint32_t)pvecm_make.votes;
        c.token_coefficient = (uint32_t)pvecm_make.token_coefficient;
        c.token_ms = (uint32_t)pvecm_make.token;
        r = create(&c, err);
    }
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        corosync_link_clear(&c.links[i]);
    }
    return r;
}

/* A node of its own needs keys and certificates as well, for its API. */
static int wait_ready(unsigned wait_sec, Err *err)
{
    const ClusterPaths *p = &cluster_paths;

    return cluster_configured(p) ? cluster_wait_quorate(p, wait_sec, err)
                                 : cluster_wait_writable(p, wait_sec, err);
}

/* Under the lock: a node that joins meanwhile must not get an authority made for itself alone. */
static int update_certs(Err *err)
{
    int lock = cluster_lock(&cluster_paths, err);
    int r = lock < 0 ? lock : wait_ready(0, err);

    if (r == 0) {
        r = cluster_update_certs(&cluster_paths, pvecm_make.force,
                                 pvecm_make.silent ? NULL : pvecm_task_say, NULL, err);
    }
    if (lock >= 0) {
        (void)close(lock); /* ends the lock */
    }
    return r;
}

int pvecm_updatecerts(char **operands, Err *err)
{
    int r;

    (void)operands;
    if ((r = wait_ready(pvecm_make.silent ? 0 : READY_WAIT_SEC, err)) < 0) {
        return pvecm_make.silent ? 0 : r;
    }
    if (pvecm_make.dry_run) {
        r = cluster_preview_certs(&cluster_paths, pvecm_make.force, pvecm_task_say, NULL, err);
        if (r >= 0) {
            printf("dry run: nothing was changed\n");
        }
        return r < 0 ? r : 0;
    }
    r = update_certs(err);
    if (r == 0 && !pvecm_make.silent) {
        printf("all keys and certificates are good\n");
    }
    if (r > 0) {
        cluster_log(LOG_INFO, "%d key(s) and certificate(s) of this node were renewed", r);
    }
    return r < 0 ? r : 0;
}
