/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_tree.h"

#include "ha-manager/core/ha_limits.h"
#include "lib/cfs/cfsfile.h"
#include "lib/cfs/cfslock.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *ha_tree_path(const char *pve, HaFile file, const char *node)
{
    if (file == HA_FILE_LRM_STATUS) {
        return g_build_filename(pve, "nodes", node, ha_file_name(file), NULL);
    }
    return g_build_filename(pve, ha_file_name(file), NULL);
}

int ha_tree_check(const char *pve, Err *err)
{
    g_autofree char *probe = g_build_filename(pve, ".version", NULL);
    struct stat st;

    if (stat(probe, &st) < 0) {
        return err_setf(err, -ENOTCONN, "%s: the cluster filesystem is not mounted (%s)", pve,
                        strerror(errno));
    }
    return 0;
}

static int read_path(const char *pve, const char *path, char **ret_text, Err *err)
{
    int r = cfsfile_read(path, HA_TEXT_MAX, ret_text, NULL, err);

    if (r != -ENOENT) {
        return r;
    }
    err_clear(err);
    r = ha_tree_check(pve, err); /* "there is no such file" needs a tree to be true */
    if (r == 0) {
        *ret_text = g_strdup("");
    }
    return r;
}

int ha_tree_read(const char *pve, HaFile file, const char *node, char **ret_text, Err *err)
{
    g_autofree char *path = ha_tree_path(pve, file, node);

    return read_path(pve, path, ret_text, err);
}

int ha_tree_write(const char *pve, HaFile file, const char *node, const char *text, Err *err)
{
    g_autofree char *path = ha_tree_path(pve, file, node);
    g_autofree char *dir = g_path_get_dirname(path);
    int r = cfsfile_write(path, text, strlen(text), err);

    if (r == -ENOENT && ha_tree_check(pve, NULL) == 0 && g_mkdir_with_parents(dir, 0755) == 0) {
        err_clear(err);
        r = cfsfile_write(path, text, strlen(text), err);
    }
    return r;
}

static int store(const char *pve, HaFile file, const char *text, Err *err)
{
    if (file == HA_FILE_GROUPS && *text == '\0') {
        g_autofree char *path = ha_tree_path(pve, file, NULL);

        if (unlink(path) < 0 && errno != ENOENT) {
            int r = -errno;

            return err_setf(err, r, "%s: %s", path, strerror(-r));
        }
        return 0;
    }
    return ha_tree_write(pve, file, NULL, text, err);
}

/* Reads and edits; 1: there is nothing to change. */
static int edited(const char *pve, HaFile file, HaEdit edit, void *data, char **ret, Err *err)
{
    g_autofree char *old = NULL;
    int r = ha_tree_read(pve, file, NULL, &old, err);

    return r < 0 ? r : edit(old, ret, data, err);
}

int ha_tree_update(
    const char *pve, HaFile file, HaEdit edit, void *data, unsigned wait_ms, Err *err)
{
    g_autoptr(CfsLock) lock = NULL;
    g_autofree char *look = NULL;
    g_autofree char *text = NULL;
    int r = edited(pve, file, edit, data, &look, err);

    if (r != 0) {
        return r < 0 ? r : 0;
    }
    r = cfslock_acquire(pve, HA_DOMAIN_LOCK, wait_ms, &lock, err);
    if (r < 0) {
        return r;
    }
    r = edited(pve, file, edit, data, &text, err);
    if (r != 0) {
        return r < 0 ? r : 0;
    }
    return store(pve, file, text, err);
}

char *ha_tree_guest_path(const char *pve, const char *sid, const char *node)
{
    const char *colon = strchr(sid, ':');
    g_autofree char *name = NULL;
    g_autofree char *type = NULL;

    if (colon == NULL) {
        return NULL;
    }
    type = g_strndup(sid, (gsize)(colon - sid));
    if (strcmp(type, "exec") == 0) {
        return g_build_filename(pve, "nodes", node, HA_GENERIC_DIR, colon + 1, NULL);
    }
    name = g_strdup_printf("%s.conf", colon + 1);
    if (strcmp(type, "vm") == 0) {
        return g_build_filename(pve, "nodes", node, "qemu-server", name, NULL);
    }
    if (strcmp(type, "ct") == 0) {
        return g_build_filename(pve, "nodes", node, "lxc", name, NULL);
    }
    return NULL;
}
