/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/own_lock.h"

#include "lib/port/lockfile.h"

#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct OwnLock {
    int fd; /* holds the local lock; the file tells which lock of the cluster we have */
    CfsLock *lock;
};

/* One at a time on this node. The kernel ends it with the process, and no child inherits it. */
static int take_turn(const char *name, unsigned timeout_ms, int *ret_fd, Err *err)
{
    g_autofree char *path = g_strdup_printf(OWN_LOCK_DIR "/quorate-%s", name);
    int fd = lockfile_take(path, 0600, timeout_ms);

    if (fd == -EBUSY) {
        return err_setf(err, -ETIMEDOUT, "another command on this node holds lock '%s'", name);
    }
    if (fd < 0) {
        return err_setf(err, -EIO, "%s: %s", path, strerror(-fd));
    }
    *ret_fd = fd;
    return 0;
}

/* What the last holder on this node noted; 0: nothing. */
static ino_t noted(int fd)
{
    char text[32] = "";
    guint64 inode = 0;

    if (pread(fd, text, sizeof text - 1, 0) <= 0 ||
        !g_ascii_string_to_unsigned(text, 10, 1, G_MAXUINT64, &inode, NULL)) {
        return 0;
    }
    return (ino_t)inode;
}

static void note(int fd, ino_t inode)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%" PRIu64, (uint64_t)inode);

    /* When it fails a lock of ours that is left behind expires by itself, as any other. */
    if (ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)n, 0) != n) {
        (void)!ftruncate(fd, 0);
    }
}

/* We have the turn, so the holder that noted this lock is dead, or could not remove it. Each lock
 * has an inode of its own: one that another node has taken since is another one. */
static void clear_left_behind(const char *pve, const char *name, int fd)
{
    g_autofree char *path = g_build_filename(pve, "priv", "lock", name, NULL);
    ino_t inode = noted(fd);
    struct stat st;

    if (inode != 0 && stat(path, &st) == 0 && st.st_ino == inode) {
        (void)rmdir(path); /* or it expires */
    }
}

int own_lock_acquire(
    const char *pve, const char *name, unsigned timeout_ms, OwnLock **ret, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    CfsLock *lock = NULL;
    gint64 left_ms;
    int fd = -1;
    int r = take_turn(name, timeout_ms, &fd, err);

    if (r < 0) {
        return r;
    }
    clear_left_behind(pve, name, fd);
    left_ms = MAX((deadline - g_get_monotonic_time()) / 1000, 0);
    if ((r = cfslock_acquire(pve, name, (unsigned)left_ms, &lock, err)) < 0) {
        (void)close(fd);
        return r;
    }
    note(fd, cfslock_inode(lock));
    *ret = g_new0(OwnLock, 1);
    (*ret)->fd = fd;
    (*ret)->lock = lock;
    return 0;
}

int own_lock_renew(OwnLock *l, Err *err)
{
    return cfslock_renew(l->lock, err);
}

void own_lock_release(OwnLock *l)
{
    if (l == NULL) {
        return;
    }
    cfslock_release(l->lock);
    (void)close(l->fd); /* ends the turn */
    g_free(l);
}
