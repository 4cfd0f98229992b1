/* SPDX-License-Identifier: Apache-2.0 */
/* hamgr_verbs: the table of verbs of `ha-manager` and what they share. Main thread only. */
#ifndef CLI_HAMGR_VERBS_H
#define CLI_HAMGR_VERBS_H

#include "cli/cmdline.h"
#include "ha-manager/core/ha_affinity.h"
#include "ha-manager/core/ha_edit.h"
#include "ha-manager/core/ha_manager_status.h"
#include "ha-manager/core/ha_resources.h"
#include "ha-manager/io/ha_cluster.h"
#include "ha-manager/io/ha_tree.h"

/* Set by the option parser; NULL: not given. */
typedef struct HamgrOptions {
    char *state, *group, *failback, *max_restart, *max_relocate, *comment, *type;
    char *unset, *digest;
    char *resources, *nodes, *strict, *affinity, *disable, *resource;
    char *restricted, *nofailback;
    int purge;
    int verbose;
    int dry_run;
    int really;
} HamgrOptions;
extern HamgrOptions hamgr_options;

extern const CliVerb hamgr_verbs[];

/* What every verb starts from; freed by hamgr_close. */
typedef struct Hamgr {
    char *node;
    HaCluster *cluster;
    HaManagerStatus *ms;
    HaResources *resources; /* with the node of each */
} Hamgr;

/* Reads all of it. -errno when the cluster filesystem does not answer or a file cannot be used. */
int hamgr_open(Hamgr *h, Err *err) must_check;
void hamgr_close(Hamgr *h);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Hamgr, hamgr_close)

/* A bare VMID becomes vm:N or ct:N; caller frees. */
int hamgr_sid(const Hamgr *h, const char *word, char **ret, Err *err) must_check;
int hamgr_read(const Hamgr *h, HaFile file, const char *node, char **ret, Err *err) must_check;
/* Under the domain lock. */
int hamgr_update(HaFile file, HaEdit edit, const void *data, Err *err) must_check;

/* Service in error state, or not managed: an error. */
int hamgr_check_motion(const Hamgr *h, const char *sid, Err *err) must_check;
/* The rules as the master has them, groups included. */
int hamgr_affinity(const Hamgr *h, HaAffinity **ret, Err *err) must_check;
/* The properties of `--delete` must be ones of this type: -EINVAL names the first that is not. */
int hamgr_check_unset(const SectionType *type, Err *err) must_check;
/* `--type` must be one of the schema's, or not given: -EINVAL. */
int hamgr_check_type(const SectionSchema *schema, Err *err) must_check;
/* For a terminal: one line, and what would control it becomes `?`. What people and other nodes
 * write down goes through here; JSON has escapes of its own. Caller frees. */
char *hamgr_printable(const char *text);
/* Name and value of each, one a line, behind a tab. */
void hamgr_print_properties(const StrMap *values);
/* State as shown to users: reference 6.10. Static text, or of the status. */
const char *hamgr_shown_state(const Hamgr *h, const char *sid);

/* The verbs: see `run` of CliVerb. */
int hamgr_add(char **operands, Err *err);
int hamgr_set(char **operands, Err *err);
int hamgr_remove(char **operands, Err *err);
int hamgr_config(char **operands, Err *err);
int hamgr_managed(char **operands, Err *err);
int hamgr_migrate(char **operands, Err *err);
int hamgr_relocate(char **operands, Err *err);
int hamgr_stop(char **operands, Err *err);
int hamgr_maintenance(char **operands, Err *err);
int hamgr_disarm(char **operands, Err *err);
int hamgr_arm(char **operands, Err *err);
int hamgr_rules_list(char **operands, Err *err);
int hamgr_rules_config(char **operands, Err *err);
int hamgr_rules_add(char **operands, Err *err);
int hamgr_rules_set(char **operands, Err *err);
int hamgr_rules_remove(char **operands, Err *err);
int hamgr_groupadd(char **operands, Err *err);
int hamgr_groupset(char **operands, Err *err);
int hamgr_groupremove(char **operands, Err *err);
int hamgr_groupconfig(char **operands, Err *err);
int hamgr_status(char **operands, Err *err);
int hamgr_explain(char **operands, Err *err);
int hamgr_simulate(char **operands, Err *err);
int hamgr_why_rebooted(char **operands, Err *err);
int hamgr_fence_test(char **operands, Err *err);

#endif
