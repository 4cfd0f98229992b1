/* SPDX-License-Identifier: Apache-2.0 */
/* qm-bridge: QEMU calls it with the name of a tap that it has made. */
#include "guest/io/guest_net.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    Err err = ERR_INIT;
    int r;

    if (argc != 2) {
        fprintf(stderr, "Usage: qm-bridge INTERFACE\n");
        return 2;
    }
    const char *run_dir = getenv(GUEST_NET_RUN_DIR_ENV);
    r = guest_net_plug(run_dir != NULL ? run_dir : "/var/run/qemu-server", argv[1], &err);
    if (r < 0) {
        fprintf(stderr, "qm-bridge: %s\n", err_text(&err));
        return 1;
    }
    return 0;
}
