/* SPDX-License-Identifier: Apache-2.0 */
/* pvecm: make a cluster, look at it, take it apart. Verbs live in pvecm_*.c. */
#include "cli/cmdline.h"
#include "cli/pvecm_verbs.h"
#include "lib/port/secrecy.h"

int main(int argc, char **argv)
{
    secrecy_hide_memory(); /* tokens, passwords and keys (INV-8) */
    return cli_main("pvecm", "Manages the cluster this node belongs to.", pvecm_verbs, argc, argv);
}
