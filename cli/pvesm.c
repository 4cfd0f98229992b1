/* SPDX-License-Identifier: Apache-2.0 */
/* pvesm: the storages of the cluster and the volumes on them. Verbs live in pvesm_*.c. */
#include "cli/cmdline.h"
#include "cli/pvesm_verbs.h"

int main(int argc, char **argv)
{
    return cli_main("pvesm", "Manages storages and the volumes on them.", pvesm_verbs(), argc,
                    argv);
}
