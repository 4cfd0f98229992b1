/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/storage_set.h"

#include "guest/io/storage_kind.h"
#include "guest/io/textfile.h"
#include "lib/cfs/cfslock.h"
#include "lib/port/lockfile.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>


void storage_set_free(StorageSet *set)
{
    if (set != NULL) {
        storagecfg_free(set->cfg);
        g_free(set);
    }
}

int storage_set_open(const GuestTree *tree, StorageSet **ret, Err *err)
{
    g_autoptr(StorageSet) set = g_new0(StorageSet, 1);
    g_autofree char *path = g_build_filename(tree->root, "storage.cfg", NULL);
    g_autofree char *text = NULL;
    size_t len = 0;
    int r = textfile_read(path, SECTIONLINES_TEXT_MAX, &text, &len, err);

    if (r < 0 && r != -ENOENT) {
        return r;
    }
    err_clear(err);
    r = storagecfg_parse(text != NULL ? text : "", len, &set->cfg, err);
    if (r < 0) {
        return r;
    }
    set->tree = tree;
    set->facts.node = tree->node;
    set->facts.storages = set->cfg;
    *ret = g_steal_pointer(&set);
    return 0;
}

int storage_set_use(const StorageSet *set, const char *id, const Storage **ret, Err *err)
{
    const StorageKind *kind = NULL;
    const Storage *s = NULL;
    int r = storagecfg_get(set->cfg, id, &s, err);

    if (r == 0) {
        r = storage_check_node(s, set->tree->node, err);
    }
    if (r == 0) {
        r = storage_kind_of(s, &kind, err);
    }
    if (r == 0) {
        r = kind->activate(s, err);
    }
    if (r < 0) {
        return r;
    }
    *ret = s;
    return 0;
}

/* ------------------------------------------------------------------- locks */

struct StorageLock {
    CfsLock *cluster;
    int fd;
};

void storage_lock_release(StorageLock *l)
{
    if (l == NULL) {
        return;
    }
    cfslock_release(l->cluster);
    if (l->fd >= 0) {
        (void)close(l->fd); /* nothing was written */
    }
    g_free(l);
}

static int take_local(const StorageSet *set, const Storage *s, StorageLock *l, Err *err)
{
    bool usual = strcmp(set->tree->lock_dir, GUEST_LOCK_DIR) == 0;
    const char *dir = usual ? STORAGE_LOCK_DIR : set->tree->lock_dir;
    g_autofree char *path = g_strdup_printf("%s/pve-storage-%s", dir, s->id);

    if (g_mkdir_with_parents(dir, 0755) < 0) {
        return err_setf(err, -errno, "%s: %s", dir, g_strerror(errno));
    }
    l->fd = lockfile_take(path, 0640, STORAGE_LOCK_TIMEOUT_MS);
    if (l->fd == -EBUSY) {
        return err_setf(err, -EBUSY, "storage '%s' is locked by another command (%s)", s->id, path);
    }
    return l->fd < 0 ? err_setf(err, l->fd, "%s: %s", path, g_strerror(-l->fd)) : 0;
}

int storage_lock_take(const StorageSet *set, const Storage *s, StorageLock **ret, Err *err)
{
    g_autoptr(StorageLock) l = g_new0(StorageLock, 1);
    int r;

    l->fd = -1;
    if (storage_is_shared(s)) {
        g_autofree char *name = g_strdup_printf("storage-%s", s->id);
        r = cfslock_acquire(set->tree->root, name, STORAGE_LOCK_TIMEOUT_MS, &l->cluster, err);
        r = r < 0 ? err_wrapf(err, r, "storage '%s'", s->id) : 0;
    } else {
        r = take_local(set, s, l, err);
    }
    if (r < 0) {
        return r;
    }
    *ret = g_steal_pointer(&l);
    return 0;
}
