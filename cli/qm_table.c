/* SPDX-License-Identifier: Apache-2.0 */
/* qm_table: the verbs that read and change configurations and volumes. */
#include "cli/qm_verbs.h"

QmOptions qm_options;

static GOptionEntry showcmd_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {"config", 0, 0, G_OPTION_ARG_FILENAME, &qm_options.config,
     "Use this file as the guest's configuration", "FILE"},
    {"assume", 0, 0, G_OPTION_ARG_STRING, &qm_options.assume,
     "Facts of another host: qemu=VERSION,arch=ARCH,cpu-vendor=VENDOR,capabilities=FILE,"
     "pci=any|host,node=NAME,phys-bits=N",
     "FACTS"},
    {"snapshot", 0, 0, G_OPTION_ARG_STRING, &qm_options.snapshot,
     "Use the configuration of this snapshot", "NAME"},
    {"pretty", 0, 0, G_OPTION_ARG_NONE, &qm_options.pretty, "One option a line", NULL},
    {0},
};

const CliVerb qm_store_verbs[] = {
    {"showcmd", "VMID", "Print the QEMU command of a guest; nothing is started or changed", 1, 1,
     showcmd_options, qm_showcmd},
    {0},
};
