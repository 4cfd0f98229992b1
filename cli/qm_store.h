/* SPDX-License-Identifier: Apache-2.0 */
/* qm_store: what the verbs share that read and change configurations and volumes. Main thread only.
 */
#ifndef CLI_QM_STORE_H
#define CLI_QM_STORE_H

#include "cli/cmdline.h"
#include "guest/io/guest_store.h"
#include "lib/base/jsontree.h"
#include "lib/conf/vmconf.h"

#include <glib.h>
#include <stdint.h>

/* Set by the option parser; each verb lists those that it has. */
typedef struct QmStoreOptions {
    GHashTable *config; /* options of VMID.conf as typed: key -> value, char * */
    char *delete_list;
    char *revert_list;
    char *digest;
    char *idlist;
    char *name;
    char *description;
    char *storage;
    char *target;
    char *snapname;
    char *format;
    char *pool;
    char *archive;
    char *disk;
    char *target_disk;
    int vmid;
    int target_vmid;
    int bwlimit; /* KiB/s, 0: no limit */
    int force;
    int skiplock;
    int start;
    int unique;
    int live_restore;
    int ha_managed;
    int current;
    int why; /* of pending changes */
    int full;
    int purge;
    int unreferenced;
    int delete_source;
    int dryrun;
    int background_delay;
} QmStoreOptions;
extern QmStoreOptions qm_store;

/* An option for each of VMID.conf, then `more` (ends with an empty entry). Lives until the end. */
GOptionEntry *qm_config_options(const GOptionEntry *more);

/* The host and its storages; progress on stdout, an end by Ctrl-C that cleans up. */
int qm_store_open(GuestStore **ret, Err *err) must_check;
/* qm_store_open, and the VMID of the first operand, of whose guest the traces of killed commands
 * are removed first. */
int qm_store_begin(char **operands, GuestStore **ret, uint32_t *ret_vmid, Err *err) must_check;

/* Words of a list separated by `,`, `;` or blanks. char *, owned by the caller. */
GPtrArray *qm_words(const char *list);

/* On stdout, indented. */
void qm_print_json(const JsonTree *tree);

/* A value as it is shown: secrets as stars. Borrowed. */
const char *qm_shown_value(const char *key, const char *value);

/* The verbs: see `run` of CliVerb. */
int qm_create(char **operands, Err *err);
int qm_set(char **operands, Err *err);
int qm_config(char **operands, Err *err);
int qm_pending(char **operands, Err *err);
int qm_list(char **operands, Err *err);
int qm_destroy(char **operands, Err *err);
int qm_unlock(char **operands, Err *err);
int qm_nextid(char **operands, Err *err);
int qm_clone(char **operands, Err *err);
int qm_template(char **operands, Err *err);
int qm_disk_resize(char **operands, Err *err);
int qm_disk_move(char **operands, Err *err);
int qm_disk_import(char **operands, Err *err);
int qm_importovf(char **operands, Err *err);
int qm_disk_rescan(char **operands, Err *err);
int qm_disk_unlink(char **operands, Err *err);
int qm_cloudinit_dump(char **operands, Err *err);
int qm_cloudinit_pending(char **operands, Err *err);
int qm_cloudinit_update(char **operands, Err *err);

#endif
