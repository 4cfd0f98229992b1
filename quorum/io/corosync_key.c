/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/corosync_key.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

int corosync_key_make(uint8_t ret[COROSYNC_KEY_SIZE], Err *err)
{
    ssize_t n = getrandom(ret, COROSYNC_KEY_SIZE, 0);

    /* Requests of up to 256 bytes are never cut short by the kernel. */
    if (n != COROSYNC_KEY_SIZE) {
        return err_setf(err, -EIO, "the kernel's random source gave no key: %s", strerror(errno));
    }
    return 0;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        data += n;
        size -= (size_t)n;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* Some trees set modes of their own: in /etc/pve all but priv/ is readable by a group. */
static int check_private(int fd)
{
    struct stat st;

    return fstat(fd, &st) < 0 ? -errno : (st.st_mode & 077) != 0 ? -EPERM : 0;
}

int corosync_key_write(const char *path, const void *key, size_t size, Err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
    int r;

    if (fd < 0) {
        r = -errno;
        return err_setf(err, r, "%s: %s", path,
                        r == -EEXIST ? "exists already and is not overwritten" : strerror(-r));
    }
    r = check_private(fd);
    r = r < 0 ? r : write_all(fd, key, size);
    if (close(fd) < 0 && r == 0) {
        r = -errno;
    }
    if (r < 0) {
        (void)g_unlink(path); /* half a key is worse than none */
        return err_setf(err, r, "%s: %s", path,
                        r == -EPERM ? "others than root could read a key there" : strerror(-r));
    }
    return 0;
}
