/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/cfs/cfsfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_fd(int fd, gsize max, GByteArray *out)
{
    guint8 buf[16384];

    for (;;) {
        ssize_t n = read(fd, buf, sizeof buf);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : 0;
        }
        if (out->len + (gsize)n > max) {
            return -EFBIG;
        }
        g_byte_array_append(out, buf, (guint)n);
    }
}

int cfsfile_read(const char *path, gsize max, char **ret, gsize *ret_size, Err *err)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : read_fd(fd, max, out);

    if (fd >= 0) {
        (void)close(fd); /* nothing was written */
    }
    if (r < 0) {
        return err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    if (ret_size != NULL) {
        *ret_size = out->len;
    }
    g_byte_array_append(out, (const guint8 *)"", 1);
    *ret = (char *)g_byte_array_free(g_steal_pointer(&out), FALSE);
    return 0;
}

static int write_fd(int fd, const char *data, gsize size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        data += n;
        size -= (gsize)n;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

char *cfsfile_temp_path(const char *path)
{
    char host[HOST_NAME_MAX + 1] = "";

    (void)gethostname(host, sizeof host - 1); /* cannot fail with a buffer of this size */
    return g_strdup_printf("%s.tmp.%s.%d", path, host, (int)gettid());
}

/* When quorum goes between writing and renaming, the new file can be neither renamed nor removed.
 * As the name is this thread's alone, one that is there is such a leftover, or that of a dead
 * process: it must not stand in the way of every later write. */
static int create_temp(const char *temp)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = open(temp, flags, 0600);

    if (fd < 0 && errno == EEXIST && unlink(temp) == 0) {
        fd = open(temp, flags, 0600);
    }
    return fd < 0 ? -errno : fd;
}

int cfsfile_write(const char *path, const void *data, gsize size, Err *err)
{
    g_autofree char *temp = cfsfile_temp_path(path);
    int fd = create_temp(temp);
    int r;

    if (fd < 0) {
        return err_setf(err, fd, "%s: %s", temp, strerror(-fd));
    }
    r = write_fd(fd, data, size);
    if (close(fd) < 0 && r == 0) {
        r = -errno; /* on the cluster filesystem this is where a refused change shows */
    }
    if (r == 0 && rename(temp, path) < 0) {
        r = -errno;
    }
    if (r < 0) {
        (void)unlink(temp); /* refused too when quorum is gone: the next write removes it */
        return err_setf(err, r, "%s: %s", path, strerror(-r));
    }
    return 0;
}
