/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/cfs/cfslock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct CfsLock {
    char *path;
    ino_t inode; /* of the directory we made: another one means another holder */
};

static bool valid_name(const char *name)
{
    return *name != '\0' && strlen(name) <= 255 && strchr(name, '/') == NULL &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* 1 taken, 0 somebody else holds it, -errno. */
static int try_once(const char *path, const char *parent, ino_t *ret_inode)
{
    struct stat st;

    if (mkdir(path, 0700) == 0) {
        /* Nobody else removes a fresh lock. */
        *ret_inode = stat(path, &st) == 0 ? st.st_ino : 0;
        return 1;
    }
    if (errno == ENOENT) {
        return g_mkdir_with_parents(parent, 0700) == 0 ? 0 : -errno; /* a cluster that is new */
    }
    return errno == EEXIST ? 0 : -errno;
}

/* Asks the cluster to remove the lock if it is expired. */
static void poke(const char *path)
{
    const struct timespec zero[2] = {{0, 0}, {0, 0}};

    /* EACCES for a live lock, ENOENT for one that is gone: both are fine. */
    (void)!utimensat(AT_FDCWD, path, zero, 0);
}

static int held_too_long(const char *path, unsigned timeout_ms, Err *err)
{
    return err_setf(err, -ETIMEDOUT,
                    "lock '%s' was not free within %u s: another node or task holds it", path,
                    timeout_ms / 1000);
}

int cfslock_acquire(const char *pve, const char *name, unsigned timeout_ms, CfsLock **ret, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    g_autofree char *parent = g_build_filename(pve, "priv", "lock", NULL);
    g_autofree char *path = NULL;
    ino_t inode = 0;
    int r;

    if (!valid_name(name)) {
        return err_setf(err, -EINVAL, "'%s' is no name for a lock", name);
    }
    path = g_build_filename(parent, name, NULL);
    while ((r = try_once(path, parent, &inode)) == 0) {
        if (g_get_monotonic_time() >= deadline) {
            return held_too_long(path, timeout_ms, err);
        }
        poke(path);
        g_usleep(CFSLOCK_RETRY_MS * 1000);
    }
    if (r < 0) {
        return err_setf(err, r, "lock '%s': %s", path,
                        r == -EACCES ? "no quorum, or no permission" : strerror(-r));
    }
    *ret = g_new0(CfsLock, 1);
    (*ret)->path = g_steal_pointer(&path);
    (*ret)->inode = inode;
    return 0;
}

static bool still_ours(const CfsLock *l)
{
    struct stat st;

    return stat(l->path, &st) == 0 && st.st_ino == l->inode;
}

int cfslock_renew(CfsLock *l, Err *err)
{
    const struct timespec zero_now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};

    if (!still_ours(l)) {
        return err_setf(err, -ESTALE, "lock '%s' is no longer ours", l->path);
    }
    if (utimensat(AT_FDCWD, l->path, zero_now, 0) < 0) {
        int r = -errno;

        return err_setf(err, r, "lock '%s': %s", l->path,
                        r == -EACCES ? "no quorum" : strerror(-r));
    }
    return 0;
}

ino_t cfslock_inode(const CfsLock *l)
{
    return l->inode;
}

void cfslock_release(CfsLock *l)
{
    if (l == NULL) {
        return;
    }
    if (still_ours(l)) {
        (void)rmdir(l->path); /* otherwise it expires by itself */
    }
    g_free(l->path);
    g_free(l);
}
