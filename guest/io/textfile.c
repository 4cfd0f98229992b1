/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* `expected`: bytes it is said to have, 0 when that is not known (files of /proc). */
static int read_all(int fd, size_t max, size_t expected, GString *out)
{
    char piece[16384];

    for (;;) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n == 0) {
            return 0;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if ((size_t)n > max - out->len) {
            return -EFBIG;
        }
        g_string_append_len(out, piece, n);
        if (out->len == expected) {
            return 0; /* one question less to the file system, of thousands for `qm list` */
        }
    }
}

int textfile_read(const char *path, size_t max, char **ret, size_t *ret_len, Err *err)
{
    g_autoptr(GString) out = g_string_new(NULL);
    struct stat st;
    /* Without O_NONBLOCK a FIFO in the place of the file would hold us for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int r;

    if (fd < 0) {
        return err_setf(err, -errno, "%s: %s", path, g_strerror(errno));
    }
    r = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
    if (r == 0) {
        r = read_all(fd, max, (size_t)st.st_size, out);
    }
    (void)close(fd); /* only read from: nothing can be lost */
    if (r < 0) {
        return err_setf(err, r, "%s: %s", path,
                        r == -EINVAL ? "not a regular file" : g_strerror(-r));
    }
    *ret_len = out->len;
    *ret = g_string_free(g_steal_pointer(&out), FALSE);
    return 0;
}

int textfile_tell(const char *path, const char *text, Err *err)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int r = 0;

    if (fd < 0) {
        return err_setf(err, -errno, "%s: %s", path, g_strerror(errno));
    }
    if (write(fd, text, strlen(text)) < 0) {
        r = err_setf(err, -errno, "%s: %s", path, g_strerror(errno));
    }
    (void)close(fd); /* the kernel answered the write */
    return r;
}
