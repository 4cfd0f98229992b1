/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_lease_dirs.h"

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
};

HaLeaseDirs *ha_lease_dirs_new(const HaLeasesOptions *options)
{
    HaLeaseDirs *d = g_new(HaLeaseDirs, 1);

    *d = (HaLeaseDirs){g_strdup(options->pve), options->patience, options->until, options->ctx};
    return d;
}

void ha_lease_dirs_free(HaLeaseDirs *d)
{
    if (d != NULL) {
        g_free(d->pve);
        g_free(d);
    }
}

static char *path_of(const HaLeaseDirs *d, const char *file)
{
    return g_build_filename(d->pve, "priv", "lock", file, NULL);
}

static HaLeaseLook dirs_look(void *ctx, const char *file)
{
    g_autofree char *path = path_of(ctx, file);
    struct stat st;

    if (stat(path, &st) < 0) {
        return (HaLeaseLook){0};
    }
    return (HaLeaseLook){true, st.st_ino, st.st_mtim.tv_sec};
}

typedef struct Change {
    int (*make)(const char *path, time_t when);
    char *path;
    time_t when;
} Change;

static void change_free(void *data)
{
    Change *c = data;

    g_free(c->path);
    g_free(c);
}

static int change_run(void *data, Err *err)
{
    const Change *c = data;

    (void)err; /* the number says it all */
    return c->make(c->path, c->when);
}

/* Makes the change, for as long as there is patience with it. */
static int change(const HaLeaseDirs *d,
                  int (*make)(const char *path, time_t when),
                  const char *file,
                  time_t when)
{
    g_autofree char *path = path_of(d, file);
    Change *c;

    if (d->patience == NULL) {
        return make(path, when);
    }
    c = g_new(Change, 1);
    *c = (Change){make, g_steal_pointer(&path), when};
    return ha_patience_run(d->patience, change_run, c, change_free, d->until(d->ctx), NULL);
}

static int do_mkdir(const char *path, time_t when)
{
    g_autofree char *parent = NULL;

    (void)when;
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

static int do_rmdir(const char *path, time_t when)
{
    (void)when;
    return rmdir(path) == 0 || errno == ENOENT ? 0 : -errno;
}

static int do_touch(const char *path, time_t when)
{
    const struct timespec times[2] = {{when, 0}, {when, 0}};

    return utimensat(AT_FDCWD, path, times, 0) < 0 ? -errno : 0;
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
