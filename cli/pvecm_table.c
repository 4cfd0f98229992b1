/* SPDX-License-Identifier: Apache-2.0 */
/* pvecm_table: which verbs there are. */
#include "cli/pvecm_verbs.h"

#include "quorum/io/cluster_create.h"
#include "quorum/io/cluster_log.h"
#include "quorum/io/corosync_key.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

int pvecm_keygen(char **operands, Err *err)
{
    uint8_t key[COROSYNC_KEY_SIZE];
    int r;

    if (pvecm_make.dry_run) {
        r = access(operands[0], F_OK);
        printf("%s: %s; dry run: nothing was changed\n", operands[0],
               r == 0 ? "exists already and would not be overwritten" : "a key would be made");
        return r == 0 ? CLI_EXIT_FAILED : 0;
    }
    if ((r = corosync_key_make(key, err)) == 0 &&
        (r = corosync_key_write(operands[0], key, sizeof key, err)) == 0) {
        printf("%s: a new key, readable by root alone\n", operands[0]);
        if (cluster_configured(&cluster_paths)) {
            cluster_log(LOG_INFO, "a new corosync key was made in %s", operands[0]);
        }
    }
    explicit_bzero(key, sizeof key);
    return r;
}

static GOptionEntry show_options[] = {CLI_OUTPUT_FORMAT_OPTION, {0}};

#define LINK_OPTION(n)                                                                             \
    {                                                                                              \
        "link" #n, 0, 0, G_OPTION_ARG_STRING, &pvecm_make.link[n],                                 \
            "Address of this node on link " #n, "[address=]ADDRESS[,priority=0..255]"              \
    }

#define LINK_OPTIONS                                                                               \
    LINK_OPTION(0), LINK_OPTION(1), LINK_OPTION(2), LINK_OPTION(3), LINK_OPTION(4),                \
        LINK_OPTION(5), LINK_OPTION(6), LINK_OPTION(7)

#define DRY_RUN_OPTION CLI_FLAG("dry-run", pvecm_make.dry_run, "Only say what would be done")

static GOptionEntry expected_options[] = {DRY_RUN_OPTION, {0}};
static GOptionEntry keygen_options[] = {DRY_RUN_OPTION, {0}};

static GOptionEntry create_options[] = {
    {"nodeid", 0, 0, G_OPTION_ARG_INT, &pvecm_make.nodeid, "Id of this node, default 1", "ID"},
    {"votes", 0, 0, G_OPTION_ARG_INT, &pvecm_make.votes, "Votes of this node, default 1", "N"},
    {"token-coefficient", 0, 0, G_OPTION_ARG_INT, &pvecm_make.token_coefficient,
     "Token time per node beyond two, default 50", "MS"},
    {"token", 0, 0, G_OPTION_ARG_INT, &pvecm_make.token,
     "Token time of two nodes, default 1000; 0: corosync's own", "MS"},
    DRY_RUN_OPTION,
    LINK_OPTIONS,
    {0},
};

static GOptionEntry add_options[] = {
    {"fingerprint", 0, 0, G_OPTION_ARG_STRING, &pvecm_add_options.fingerprint,
     "Of the member's certificate (SHA-256); without it you are asked", "AA:BB:..."},
    {"nodeid", 0, 0, G_OPTION_ARG_INT, &pvecm_make.nodeid, "Id of this node", "ID"},
    {"votes", 0, 0, G_OPTION_ARG_INT, &pvecm_add_options.votes, "Votes of this node, default 1",
     "N"},
    CLI_FLAG("force",
             pvecm_make.force,
             "Join although the cluster lists this name, or old keys are here"),
    CLI_FLAG("documented",
             pvecm_add_options.documented,
             "Use only the documented endpoints, without going back by itself in the cluster"),
    CLI_FLAG("use_ssh", pvecm_add_options.use_ssh, "Refused: no root ssh"),
    CLI_FLAG("dry-run", pvecm_make.dry_run, "Ask the cluster, list problems, change nothing"),
    LINK_OPTIONS,
    {0},
};

static GOptionEntry addnode_options[] = {
    {"nodeid", 0, 0, G_OPTION_ARG_INT, &pvecm_make.nodeid, "Id of the node", "ID"},
    {"votes", 0, 0, G_OPTION_ARG_INT, &pvecm_add_options.votes, "Votes of the node, default 1",
     "N"},
    {"new_node_ip", 0, 0, G_OPTION_ARG_STRING, &pvecm_internal_options.new_node_ip,
     "Address of the node, for clusters with a single link", "ADDRESS"},
    {"apiversion", 0, 0, G_OPTION_ARG_INT, &pvecm_internal_options.apiversion,
     "Join API version of the node", "N"},
    CLI_FLAG("force", pvecm_make.force, "The cluster may list this name already"),
    DRY_RUN_OPTION,
    LINK_OPTIONS,
    {0},
};

static GOptionEntry mtunnel_options[] = {
    CLI_FLAG("get_migration_ip",
             pvecm_internal_options.get_migration_ip,
             "Print this node's address for migrations"),
    {"migration_network", 0, 0, G_OPTION_ARG_STRING, &pvecm_internal_options.migration_network,
     "In this network, not in the one of datacenter.cfg", "CIDR"},
    CLI_FLAG("run-command", pvecm_internal_options.run_command, "Refused: see 'qm migrate'"),
    {0},
};

static GOptionEntry token_options[] = {
    {"ttl", 0, 0, G_OPTION_ARG_INT, &pvecm_token_options.ttl, "Life in seconds, default 3600",
     "SEC"},
    {"uses", 0, 0, G_OPTION_ARG_INT, &pvecm_token_options.uses, "How many nodes, default 1", "N"},
    {"votes", 0, 0, G_OPTION_ARG_INT, &pvecm_token_options.votes, "Votes of the node, default 1",
     "N"},
    {"node", 0, 0, G_OPTION_ARG_STRING, &pvecm_token_options.node, "Only for a node of this name",
     "NAME"},
    DRY_RUN_OPTION,
    {0},
};

static GOptionEntry updatecerts_options[] = {
    CLI_FLAG("force", pvecm_make.force, "Make a new node certificate"),
    CLI_FLAG("silent", pvecm_make.silent, "Say nothing, and do nothing without quorum"),
    CLI_FLAG("unmerge-known-hosts",
             pvecm_make.unmerge,
             "Accepted; there is no merged list of ssh host keys to undo"),
    DRY_RUN_OPTION,
    {0},
};

static GOptionEntry delnode_options[] = {
    {"adopt-to", 0, 0, G_OPTION_ARG_STRING, &pvecm_node_options.adopt_to,
     "This node gets the configurations of its guests", "NODE"},
    CLI_FLAG("purge", pvecm_node_options.purge, "Archive the configurations of its guests"),
    CLI_FLAG(
        "force", pvecm_node_options.keep, "Leave the configurations of its guests where they are"),
    DRY_RUN_OPTION,
    {0},
};

static GOptionEntry leave_options[] = {
    CLI_FLAG("keep-guests", pvecm_node_options.keep_guests, "Take the guests of this node along"),
    DRY_RUN_OPTION,
    {0},
};

static GOptionEntry rename_options[] = {DRY_RUN_OPTION, {0}};
static GOptionEntry recover_options[] = {DRY_RUN_OPTION, {0}};

static GOptionEntry readdress_options[] = {
    DRY_RUN_OPTION,
    LINK_OPTIONS,
    {0},
};

#define DRY_RUN CLI_FLAG("dry-run", pvecm_make.dry_run, "Only check what stands against it")

static GOptionEntry witness_token_options[] = {
    {"address", 0, 0, G_OPTION_ARG_STRING, &pvecm_witness_options.address,
     "By which the nodes reach this host, default its first one", "ADDRESS"},
    {"port", 0, 0, G_OPTION_ARG_INT, &pvecm_witness_options.port,
     "TCP port of the enrolment, default 5402", "PORT"},
    {"ttl", 0, 0, G_OPTION_ARG_INT, &pvecm_witness_options.ttl,
     "How long to wait, in seconds, default 3600", "SEC"},
    DRY_RUN,
    {0},
};

static GOptionEntry witness_setup_options[] = {
    CLI_FLAG("force", pvecm_make.force, "Replace a witness; an odd number of nodes"),
    DRY_RUN,
    {0},
};

static GOptionEntry witness_remove_options[] = {
    CLI_FLAG("force", pvecm_make.force, "Although not all nodes are online"),
    DRY_RUN,
    {0},
};

static GOptionEntry qdevice_setup_options[] = {
    {"network", 0, 0, G_OPTION_ARG_STRING, &pvecm_witness_options.network, "Accepted, not needed",
     "CIDR"},
    CLI_FLAG("force", pvecm_make.force, "Replace a witness; an odd number of nodes"),
    DRY_RUN,
    {0},
};

const CliVerb pvecm_verbs[] = {
    {"create", "CLUSTERNAME", "Make a cluster of this node", 1, 1, create_options, pvecm_create},
    {"status", "", "Show the cluster, its votes and its members", 0, 0, show_options, pvecm_status},
    {"nodes", "", "Show the members", 0, 0, show_options, pvecm_nodes},
    {"expected", "VOTES", "Set the expected votes until membership grows", 1, 1, expected_options,
     pvecm_expected},
    {"token", "", "Print a token that lets a new node join", 0, 0, token_options, pvecm_token},
    {"add", "TOKEN|-|HOST|INFO", "Join by token, or with the password of a member", 1, 1,
     add_options, pvecm_add},
    {"joininfo", "[NODE]", "Print the join information to copy to a new node", 0, 1, NULL,
     pvecm_joininfo},
    {"delnode", "NODE", "Take a node that is gone out of the cluster", 1, 1, delnode_options,
     pvecm_delnode},
    {"leave", "", "Leave the cluster with this node", 0, 0, leave_options, pvecm_leave},
    {"rename", "NAME", "Give this node, which has no guests, another name", 1, 1, rename_options,
     pvecm_rename},
    {"readdress", "NODE", "Give another node other addresses", 1, 1, readdress_options,
     pvecm_readdress},
    {"recover", "", "Finish or take back a command that was interrupted", 0, 0, recover_options,
     pvecm_recover},
    {"witness token", "", "On the host to be: print a token, wait for the cluster", 0, 0,
     witness_token_options, pvecm_witness_token},
    {"witness setup", "TOKEN|-", "Give the cluster this witness", 1, 1, witness_setup_options,
     pvecm_witness_setup},
    {"witness remove", "", "Take the witness away", 0, 0, witness_remove_options,
     pvecm_witness_remove},
    {"witness status", "", "Show how this node sees the witness", 0, 0, NULL, pvecm_witness_status},
    {"qdevice setup", "ADDRESS", "Give the cluster a witness by ssh", 1, 1, qdevice_setup_options,
     pvecm_qdevice_setup},
    {"qdevice remove", "", "Take the witness away", 0, 0, witness_remove_options,
     pvecm_witness_remove},
    {"updatecerts", "", "Make missing keys and certificates, renew old ones", 0, 0,
     updatecerts_options, pvecm_updatecerts},
    {"check", "[FILE]", "Check a corosync.conf before it is used", 0, 1, NULL, pvecm_check},
    {"keygen", "FILE", "Make a new key for the messaging layer", 1, 1, keygen_options,
     pvecm_keygen},
    {"addnode", "NODE", "List a node that joins (called by other programs)", 1, 1, addnode_options,
     pvecm_addnode},
    {"mtunnel", "[ARG...]", "Answer a node that migrates (called by other programs)", 0, INT_MAX,
     mtunnel_options, pvecm_mtunnel},
    {"apiver", "", "Print the version of the join API", 0, 0, NULL, pvecm_apiver},
    {0},
};
