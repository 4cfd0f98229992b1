/* SPDX-License-Identifier: Apache-2.0 */
/* qm: QEMU guests of this node. Verbs live in qm_*.c. */
#include "cli/cmdline.h"
#include "cli/qm_verbs.h"

int main(int argc, char **argv)
{
    return cli_main("qm", "Manages the QEMU guests of this node.", qm_verbs, argc, argv);
}
