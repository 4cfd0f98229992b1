/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/port/lockfile.h"

#include "lib/port/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <sys/file.h>
#include <unistd.h>

#define RETRY_MS 20

int lockfile_wait(int fd, unsigned timeout_ms)
{
    MonoTime deadline = mono_add_ms(clock_mono(), timeout_ms);

    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return -errno;
        }
        if (mono_diff_us(deadline, clock_mono()) <= 0) {
            return -EBUSY;
        }
        g_usleep(RETRY_MS * 1000);
    }
    return 0;
}

int lockfile_take(const char *path, mode_t mode, unsigned timeout_ms)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
    int r = fd < 0 ? -errno : lockfile_wait(fd, timeout_ms);

    if (r < 0 && fd >= 0) {
        (void)close(fd); /* nothing was written */
    }
    return r < 0 ? r : fd;
}
