/* SPDX-License-Identifier: Apache-2.0 */
/* The first and only program of the Linux guest in the tests: counts on the console, and turns the
 * machine off when it reads a q there. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

int main(void)
{
    struct termios raw;
    int console;

    (void)mkdir("/dev", 0755);                       /* it may be there */
    (void)mount("dev", "/dev", "devtmpfs", 0, NULL); /* the kernel may have done it */
    console = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
    if (console < 0) {
        return 1;
    }
    if (tcgetattr(console, &raw) == 0) {
        cfmakeraw(&raw);
        (void)tcsetattr(console, TCSANOW, &raw); /* line by line works as well */
    }
    for (unsigned long n = 1;; n++) {
        struct pollfd fd = {.fd = console, .events = POLLIN};
        char key = 0;

        dprintf(console, "%08lX\n", n);
        if (poll(&fd, 1, 50) > 0 && read(console, &key, 1) == 1 && key == 'q') {
            sync();
            (void)reboot(RB_POWER_OFF); /* does not come back */
        }
    }
}
