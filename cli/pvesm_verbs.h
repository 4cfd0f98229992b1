/* SPDX-License-Identifier: Apache-2.0 */
/* pvesm_verbs: the table of verbs of `pvesm` and what they share. Main thread only. */
#ifndef CLI_PVESM_VERBS_H
#define CLI_PVESM_VERBS_H

#include "cli/cmdline.h"

#include <glib.h>

/* Set by the option parser. */
typedef struct PvesmOptions {
    char *root;     /* --root: tree laid out like /etc/pve */
    char *content;  /* --content */
    char *storage;  /* --storage */
    char *format;   /* --format */
    char *snapshot; /* --snapshot */
    char *base;     /* --base */
    char *delete_snapshot;
    char *digest;
    char *delete_list;
    int vmid; /* 0: all */
    int with_snapshots;
    int allow_rename;
    int enabled;
    GPtrArray *props; /* pairs of char *: properties of a storage, for add and set */
} PvesmOptions;
extern PvesmOptions pvesm_options;

/* The table; options of add and set are made from what kinds of storage know. */
const CliVerb *pvesm_verbs(void);

/* The verbs: see `run` of CliVerb. */
int pvesm_status(char **operands, Err *err);
int pvesm_list(char **operands, Err *err);
int pvesm_path(char **operands, Err *err);
int pvesm_alloc(char **operands, Err *err);
int pvesm_free(char **operands, Err *err);
int pvesm_export(char **operands, Err *err);
int pvesm_import(char **operands, Err *err);
int pvesm_add(char **operands, Err *err);
int pvesm_set(char **operands, Err *err);
int pvesm_remove(char **operands, Err *err);
int pvesm_config(char **operands, Err *err);

#endif
