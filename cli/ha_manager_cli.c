/* SPDX-License-Identifier: Apache-2.0 */
/* ha-manager: high availability of the cluster's services. Verbs live in hamgr_*.c. */
#include "cli/hamgr_verbs.h"

int main(int argc, char **argv)
{
    return cli_main("ha-manager", "Manages the high availability of services.", hamgr_verbs, argc,
                    argv);
}
