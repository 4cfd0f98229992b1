/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/port/stdfds.h"

#include <fcntl.h>
#include <unistd.h>

int stdfds_fill(void)
{
    int fd;

    /* The lowest free number is given out: as long as that is one of the three, it was closed. No
     * O_CLOEXEC: programs that are run have standard streams as well. */
    do {
        fd = open("/dev/null", O_RDWR);
        if (fd < 0) {
            return -1;
        }
    } while (fd <= STDERR_FILENO);
    return close(fd);
}
