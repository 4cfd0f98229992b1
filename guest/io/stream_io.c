/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/stream_io.h"

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

bool stream_is_cancelled(const StorageSet *set)
{
    return set->progress.cancel != NULL && *set->progress.cancel != 0;
}

void stream_tell(const StorageSet *set, uint64_t done, uint64_t total)
{
    if (set->progress.percent != NULL && total > 0) {
        set->progress.percent(set->progress.ctx, (double)done * 100 / (double)total);
    }
}

int stream_write(int fd, const void *data, size_t len, Err *err)
{
    const uint8_t *at = data;

    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno != EINTR) {
            return err_setf(err, -errno, "writing: %s", g_strerror(errno));
        }
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int stream_read(const StorageSet *set, int fd, void *buf, size_t len, size_t *ret, Err *err)
{
    uint8_t *at = buf;
    size_t have = 0;

    while (have < len) {
        ssize_t n = read(fd, at + have, len - have);
        if (stream_is_cancelled(set)) {
            return err_setf(err, -ECANCELED, "interrupted");
        }
        if (n < 0 && errno != EINTR) {
            return err_setf(err, -errno, "reading: %s", g_strerror(errno));
        }
        if (n == 0) {
            break;
        }
        have += n > 0 ? (size_t)n : 0;
    }
    *ret = have;
    return 0;
}

bool stream_is_zero(const uint8_t *buf, size_t n)
{
    return n == 0 || (buf[0] == 0 && memcmp(buf, buf + 1, n - 1) == 0);
}
