/* SPDX-License-Identifier: Apache-2.0 */
/* pvecm_verbs: the table of verbs of `pvecm` and what they share. Main thread only. */
#ifndef CLI_PVECM_VERBS_H
#define CLI_PVECM_VERBS_H

#include "cli/cmdline.h"

#include <stdint.h>

#define PVECM_APIVERSION 1 /* join API version (reference join, chapter 8) */

/* Where things are. */
#define PVECM_CLUSTER_CONF "/etc/pve/corosync.conf"
#define PVECM_HOST_CONF    "/etc/corosync/corosync.conf"
#define PVECM_STATE_DIR    "/var/lib/pve-cluster"

#define PVECM_NOT_GIVEN G_MININT /* a number nobody gave */

/* Options of the verbs that make and change clusters; set by the option parser. */
typedef struct PvecmMakeOptions {
    char *link[8];
    int nodeid, votes, token_coefficient, token;
    gboolean dry_run, force, silent, unmerge;
} PvecmMakeOptions;
extern PvecmMakeOptions pvecm_make;

/* --nodeid: 0 when it was not given, -EINVAL when it is none. */
int pvecm_take_nodeid(uint32_t *ret, Err *err) must_check;

typedef struct PvecmTokenOptions {
    int ttl, uses, votes;
    char *node;
} PvecmTokenOptions;
extern PvecmTokenOptions pvecm_token_options;

/* Options of joining with a password. */
typedef struct PvecmAddOptions {
    char *fingerprint;
    int votes; /* PVECM_NOT_GIVEN */
    gboolean use_ssh, documented;
} PvecmAddOptions;
extern PvecmAddOptions pvecm_add_options;

/* --votes of a node that is added, `ret` negative when it was not given. */
int pvecm_take_votes(int *ret, Err *err) must_check;

/* Options of the verbs that change which nodes there are. */
typedef struct PvecmNodeOptions {
    char *adopt_to;
    gboolean purge, keep, keep_guests;
} PvecmNodeOptions;
extern PvecmNodeOptions pvecm_node_options;

/* Options of the verbs about the witness. */
typedef struct PvecmWitnessOptions {
    char *address, *network;
    int ttl, port;
} PvecmWitnessOptions;
extern PvecmWitnessOptions pvecm_witness_options;

/* Options of the verbs that programs of other nodes call. */
typedef struct PvecmInternalOptions {
    char *new_node_ip, *migration_network;
    int apiversion;
    gboolean get_migration_ip, run_command;
} PvecmInternalOptions;
extern PvecmInternalOptions pvecm_internal_options;

extern const CliVerb pvecm_verbs[];

/* The cluster's configuration text; -ENOENT when this node is in no cluster. */
int pvecm_read_cluster_conf(char **ret, gsize *ret_size, Err *err) must_check;

/* The verbs: see `run` of CliVerb. Those that programs of other nodes call: */
int pvecm_addnode(char **operands, Err *err);
int pvecm_mtunnel(char **operands, Err *err);

/* Those that change which nodes there are: */
int pvecm_delnode(char **operands, Err *err);
int pvecm_leave(char **operands, Err *err);
int pvecm_rename(char **operands, Err *err);
int pvecm_readdress(char **operands, Err *err);

/* All others: */
int pvecm_status(char **operands, Err *err);
int pvecm_nodes(char **operands, Err *err);
int pvecm_expected(char **operands, Err *err);
int pvecm_check(char **operands, Err *err);
int pvecm_keygen(char **operands, Err *err);
int pvecm_apiver(char **operands, Err *err);
int pvecm_create(char **operands, Err *err);
int pvecm_updatecerts(char **operands, Err *err);
int pvecm_token(char **operands, Err *err);
int pvecm_add(char **operands, Err *err);
int pvecm_joininfo(char **operands, Err *err);
int pvecm_recover(char **operands, Err *err);
int pvecm_witness_token(char **operands, Err *err);
int pvecm_witness_setup(char **operands, Err *err);
int pvecm_witness_remove(char **operands, Err *err);
int pvecm_witness_status(char **operands, Err *err);
int pvecm_qdevice_setup(char **operands, Err *err);

#endif
