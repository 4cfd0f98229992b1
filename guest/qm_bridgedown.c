/* SPDX-License-Identifier: Apache-2.0 */
/* qm-bridgedown: QEMU calls it with the name of a tap that it gives up. */
#include "guest/io/guest_net.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    Err err = ERR_INIT;
    int r;

    if (argc != 2) {
        fprintf(stderr, "Usage: qm-bridgedown INTERFACE\n");
        return 2;
    }
    r = guest_net_unplug(argv[1], &err);
    if (r < 0) {
        fprintf(stderr, "qm-bridgedown: %s\n", err_text(&err));
        return 1;
    }
    return 0;
}
