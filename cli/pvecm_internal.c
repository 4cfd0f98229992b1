/* SPDX-License-Identifier: Apache-2.0 */
/* pvecm_internal: the verbs that programs on other nodes call: addnode, mtunnel. */
#include "cli/pvecm_verbs.h"

#include "lib/cfs/cfsfile.h"
#include "lib/conf/corosync_check.h"
#include "quorum/io/cluster_create.h"
#include "quorum/io/node_add.h"

#include <errno.h>
#include <gio/gio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DATACENTER_CONF "/etc/pve/datacenter.cfg"
#define DATACENTER_MAX  (1024u * 1024u)
#define COMMAND_MAX     256 /* bytes of a line of the tunnel */

PvecmInternalOptions pvecm_internal_options;

/* ---- addnode -----------------------------------------------------------------------------------
 */

static void print_problems(const GPtrArray *problems)
{
    for (guint i = 0; problems != NULL && i < problems->len; i++) {
        const CorosyncProblem *p = g_ptr_array_index(problems, i);
        g_autofree char *text = corosync_problem_format(p);

        fprintf(stderr, "%s: %s\n", p->severity == COROSYNC_ERROR ? "error" : "warning", text);
    }
}

int pvecm_addnode(char **operands, Err *err)
{
    const PvecmInternalOptions *o = &pvecm_internal_options;
    g_autoptr(GPtrArray) problems = NULL;
    g_autoptr(CorosyncConf) conf = NULL;
    Tracer tracer = {0};
    NodeAdd add = {.pve = cluster_paths.pve,
                   .tracer = &tracer,
                   .by = "by 'pvecm addnode'",
                   .apiversion = o->apiversion,
                   .dry_run = pvecm_make.dry_run};
    uint32_t nodeid;
    int votes, lock, r;

    if ((r = pvecm_take_votes(&votes, err)) < 0 || (r = pvecm_take_nodeid(&nodeid, err)) < 0) {
        return r;
    }
    add.node = (CorosyncAddNode){.name = operands[0],
                                 .nodeid = nodeid,
                                 .votes = votes >= 0 ? (uint32_t)votes : 1,
                                 .force = pvecm_make.force,
                                 .fallback_address = o->new_node_ip};
    for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++) {
        add.node.link[i] = pvecm_make.link[i];
    }
    if ((lock = cluster_lock(&cluster_paths, err)) < 0) {
        return lock;
    }
    r = node_add(&add, &conf, &problems, err);
    (void)close(lock); /* ends the lock */
    print_problems(problems);
    if (r == 0 && pvecm_make.dry_run) {
        printf("nothing stands against adding node '%s'; dry run: nothing was changed\n",
               operands[0]);
    } else if (r == 0) {
        printf("node '%s' is listed; it gets its votes when it has shown up\n", operands[0]);
    }
    return r;
}

/* ---- mtunnel -----------------------------------------------------------------------------------
 */

/* The network that the cluster's migrations use; NULL: none is set. Caller frees. */
static char *cluster_network(void)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (cfsfile_read(DATACENTER_CONF, DATACENTER_MAX, &text, NULL, NULL) < 0) {
        return NULL; /* no such file: nothing is set */
    }
    lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        g_auto(GStrv) parts = NULL;

        if (!g_str_has_prefix(lines[i], "migration:")) {
            continue;
        }
        parts = g_strsplit(lines[i] + strlen("migration:"), ",", -1);
        for (guint k = 0; parts[k] != NULL; k++) {
            const char *part = g_strstrip(parts[k]);

            if (g_str_has_prefix(part, "network=")) {
                return g_strdup(part + strlen("network="));
            }
        }
    }
    return NULL;
}

/* This node's one address in the network. Caller frees. */
static int address_in(const char *network, char **ret, Err *err)
{
    g_autoptr(GError) gerror = NULL;
    g_autoptr(GInetAddressMask) mask = g_inet_address_mask_new_from_string(network, &gerror);
    g_autofree char *node = NULL, *fqdn = NULL;
    g_autoptr(GPtrArray) addresses = NULL;
    int r;

    if (mask == NULL) {
        return err_setf(err, -EINVAL, "'%s' is no network: %s", network, gerror->message);
    }
    if ((r = cluster_this_node(&node, &fqdn, &addresses, err)) < 0) {
        return r;
    }
    for (guint i = 0; i < addresses->len; i++) {
        const char *text = g_ptr_array_index(addresses, i);
        g_autoptr(GInetAddress) address =
            text != NULL ? g_inet_address_new_from_string(text) : NULL;

        if (address == NULL || !g_inet_address_mask_matches(mask, address)) {
            continue;
        }
        if (*ret != NULL) {
            return err_setf(err, -EINVAL, "node '%s' has several addresses in %s: %s, %s", node,
                            network, *ret, text);
        }
        *ret = g_strdup(text);
    }
    return *ret != NULL
               ? 0
               : err_setf(err, -EADDRNOTAVAIL, "node '%s' has no address in %s", node, network);
}

static int print_migration_address(Err *err)
{
    g_autofree char *network = pvecm_internal_options.migration_network != NULL
                                   ? g_strdup(pvecm_internal_options.migration_network)
                                   : cluster_network();
    g_autofree char *address = NULL;
    int r;

    if (network == NULL) {
        printf("no ip\n");
        return 0;
    }
    r = address_in(network, &address, err);
    if (r == 0) {
        printf("ip: '%s'\n", address);
    }
    return r;
}

int pvecm_mtunnel(char **operands, Err *err)
{
    char line[COMMAND_MAX];

    (void)operands;
    if (pvecm_internal_options.run_command) {
        return err_setf(err, -EOPNOTSUPP,
                        "--run-command: no command is run for others as root; guests and volumes "
                        "move by 'qm migrate', over TLS (quorate-migrated)");
    }
    if (pvecm_internal_options.get_migration_ip) {
        return print_migration_address(err);
    }
    printf("tunnel online\n");
    (void)fflush(stdout); /* who listens no more ends us by closing our input */
    while (fgets(line, sizeof line, stdin) != NULL && strcmp(g_strchomp(line), "quit") != 0) {
    }
    return 0;
}
