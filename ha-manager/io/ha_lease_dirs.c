/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_lease_dirs.h"

#include "ha-manager/io/ha_tree.h"
#include "lib/base/strmap.h"
#include "lib/port/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct HaLeaseDirs {
    char *pve;
    HaPatience *patience; /* NULL: no limit */
    MonoTime (*until)(void *ctx);
    void *ctx;
    StrMap *inodes;   /* file -> uint64_t *: as it looked last; not there: none */
    int64_t unknowns; /* looks that told nothing */
};

HaLeaseDirs *ha_lease_dirs_new(const HaLeasesOptions *options)
{
    HaLeaseDirs *d = g_new(HaLeaseDirs, 1);

    *d = (HaLeaseDirs){.pve = g_strdup(options->pve),
                       .patience = options->patience,
                       .until = options->until,
                       .ctx = options->ctx,
                       .inodes = strmap_new(g_free)};
    return d;
}

void ha_lease_dirs_free(HaLeaseDirs *d)
{
    if (d != NULL) {
        strmap_free(d->inodes);
        g_free(d->pve);
        g_free(d);
    }
}

static char *path_of(const HaLeaseDirs *d, const char *file)
{
    return g_build_filename(d->pve, "priv", "lock", file, NULL);
}

/* While the cluster filesystem is not there (it restarts, or its process died and left the mount)
 * nothing is known of a lock: it is not gone, and it may have changed. */
static bool is_away(const char *pve)
{
    return ha_tree_check(pve, NULL) < 0;
}

/* 0: *ret is how it looks; an error: that could not be seen. */
static int look_once(const char *path, HaLeaseLook *ret)
{
    struct stat st;

    *ret = (HaLeaseLook){0};
    if (stat(path, &st) < 0) {
        return -errno;
    }
    *ret = (HaLeaseLook){true, st.st_ino, st.st_mtim.tv_sec};
    return 0;
}

static void remember(HaLeaseDirs *d, const char *file, HaLeaseLook look)
{
    uint64_t *inode;

    if (look.there) {
        inode = g_new(uint64_t, 1);
        *inode = look.inode;
        strmap_set(d->inodes, file, inode);
    } else {
        (void)strmap_remove(d->inodes, file); /* whether it was in it does not matter */
    }
}

/* What says nothing: a lock of ours is still ours, for it is the same one; a lock of others has
 * changed since any look before, so its age counts anew and nobody takes it; a mark is there. */
static HaLeaseLook unknown_look(HaLeaseDirs *d, const char *file)
{
    const uint64_t *inode = strmap_get(d->inodes, file);

    return (HaLeaseLook){true, inode != NULL ? *inode : 0, -++d->unknowns};
}

static HaLeaseLook dirs_look(void *ctx, const char *file)
{
    HaLeaseDirs *d = ctx;
    g_autofree char *path = path_of(d, file);
    HaLeaseLook look;
    int r = look_once(path, &look);

    if (r == -ENOENT && !is_away(d->pve)) {
        r = look_once(path, &look); /* the tree may have come just after the look before */
        r = r == -ENOENT ? 0 : r;
    }
    if (r < 0) {
        return unknown_look(d, file);
    }
    remember(d, file, look);
    return look;
}

typedef struct Change {
    int (*make)(const char *pve, const char *path, time_t when);
    char *pve;
    char *path;
    time_t when;
} Change;

static void change_free(void *data)
{
    Change *c = data;

    g_free(c->pve);
    g_free(c->path);
    g_free(c);
}

static int change_run(void *data, Err *err)
{
    const Change *c = data;

    (void)err; /* the number says it all */
    return c->make(c->pve, c->path, c->when);
}

/* Makes the change, for as long as there is patience with it. */
static int change(const HaLeaseDirs *d,
                  int (*make)(const char *pve, const char *path, time_t when),
                  const char *file,
                  time_t when)
{
    g_autofree char *path = path_of(d, file);
    Change *c;

    if (d->patience == NULL) {
        return make(d->pve, path, when);
    }
    c = g_new(Change, 1);
    *c = (Change){make, g_strdup(d->pve), g_steal_pointer(&path), when};
    return ha_patience_run(d->patience, change_run, c, change_free, d->until(d->ctx), NULL);
}

static int mkdir_with_parents(const char *path)
{
    g_autofree char *parent = NULL;

    if (mkdir(path, 0700) == 0) {
        return 0;
    }
    if (errno != ENOENT) {
        return errno == EEXIST ? -EBUSY : -errno;
    }
    parent = g_path_get_dirname(path);
    if (g_mkdir_with_parents(parent, 0700) < 0) {
        return -errno;
    }
    return mkdir(path, 0700) == 0 ? 0 : errno == EEXIST ? -EBUSY : -errno;
}

/* A directory below the empty mount point would be a lock that only this node sees. */
static int do_mkdir(const char *pve, const char *path, time_t when)
{
    int r;

    (void)when;
    if (is_away(pve)) {
        return -ENOTCONN;
    }
    r = mkdir_with_parents(path);
    if (r == 0 && is_away(pve)) {
        (void)rmdir(path); /* else it was made in the tree, and runs out there */
        return -ENOTCONN;
    }
    return r;
}

/* "There is no such lock" needs a tree to be true. */
static int absent(const char *pve, int in_tree)
{
    return is_away(pve) ? -ENOTCONN : in_tree;
}

static int do_rmdir(const char *pve, const char *path, time_t when)
{
    (void)when;
    if (rmdir(path) == 0) {
        return 0;
    }
    return errno == ENOENT ? absent(pve, 0) : -errno;
}

static int do_touch(const char *pve, const char *path, time_t when)
{
    const struct timespec times[2] = {{when, 0}, {when, 0}};

    if (utimensat(AT_FDCWD, path, times, 0) == 0) {
        return 0;
    }
    return errno == ENOENT ? absent(pve, -ENOENT) : -errno;
}

static int dirs_make(void *ctx, const char *file)
{
    return change(ctx, do_mkdir, file, 0);
}

static int dirs_remove(void *ctx, const char *file)
{
    return change(ctx, do_rmdir, file, 0);
}

static int dirs_touch(void *ctx, const char *file, int64_t mtime)
{
    return change(ctx, do_touch, file, (time_t)mtime);
}

static int64_t dirs_wall(void *ctx)
{
    (void)ctx;
    return clock_wall().sec;
}

const HaLeasesFolder ha_lease_dirs = {
    .look = dirs_look,
    .make = dirs_make,
    .remove = dirs_remove,
    .touch = dirs_touch,
    .wall = dirs_wall,
};
