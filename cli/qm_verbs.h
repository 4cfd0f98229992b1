/* SPDX-License-Identifier: Apache-2.0 */
/* qm_verbs: the table of verbs of `qm` and what they share. Main thread only. */
#ifndef CLI_QM_VERBS_H
#define CLI_QM_VERBS_H

#include "cli/cmdline.h"
#include "lib/conf/vmconf.h"

#include <stdint.h>

/* Set by the option parser. */
typedef struct QmOptions {
    char *root;     /* --root: tree laid out like /etc/pve */
    char *config;   /* --config: file outside the tree */
    char *assume;   /* --assume: facts of another host */
    char *snapshot; /* --snapshot */
    char *run_dir;  /* --run-dir: sockets and pid files */
    gboolean pretty;
} QmOptions;
extern QmOptions qm_options;

/* Two tables that make one: each ends with an empty entry. */
const CliVerb *qm_store_verbs(void); /* qm_table.c: configurations and volumes */
extern const CliVerb qm_run_verbs[]; /* qm_run_table.c: running guests */

#define QM_ROOT_OPTION                                                                             \
    {                                                                                              \
        "root", 0, 0, G_OPTION_ARG_FILENAME, &qm_options.root,                                     \
            "Use this tree in the place of /etc/pve", "DIR"                                        \
    }
#define QM_RUN_DIR_OPTION                                                                          \
    {                                                                                              \
        "run-dir", 0, 0, G_OPTION_ARG_FILENAME, &qm_options.run_dir,                               \
            "Where sockets and pid files are, /var/run/qemu-server by default", "DIR"              \
    }

/* Reads the configuration of `vmid`: --config, or the file in the tree. Warnings go to stderr. The
 * caller frees *ret_path, which may be NULL. */
int qm_load_config(uint32_t vmid, VmConf **ret, char **ret_path, Err *err) must_check;

/* The verbs: see `run` of CliVerb. */
int qm_showcmd(char **operands, Err *err);

#endif
