/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_tree.h"

#include "guest/core/volid.h"
#include "guest/io/host_world.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const guest_folders[] = {"qemu-server", "lxc"};
#define FOLDER_VM 0

void guest_tree_free(GuestTree *t)
{
    if (t == NULL) {
        return;
    }
    g_free(t->root);
    g_free(t->node);
    g_free(t->lock_dir);
    g_free(t);
}

void guest_place_clear(GuestPlace *p)
{
    g_clear_pointer(&p->node, g_free);
}

static int read_node(const char *root, char **ret, Err *err)
{
    g_autofree char *link = g_build_filename(root, "local", NULL);
    char target[512];
    ssize_t n = readlink(link, target, sizeof target - 1);

    if (n <= 0) {
        int r = n < 0 ? -errno : -ENOENT;
        return err_setf(err, r, "%s: %s: is the cluster's tree mounted (pmxcfs)?", link,
                        g_strerror(-r));
    }
    target[n] = '\0';
    *ret = g_path_get_basename(target);
    return 0;
}

int guest_tree_open(const char *root, const char *lock_dir, GuestTree **ret, Err *err)
{
    g_autoptr(GuestTree) t = g_new0(GuestTree, 1);
    int r;

    t->root = g_strdup(root != NULL ? root : CLUSTER_ROOT);
    t->lock_dir = g_strdup(lock_dir != NULL ? lock_dir : GUEST_LOCK_DIR);
    r = read_node(t->root, &t->node, err);
    if (r < 0) {
        return r;
    }
    *ret = g_steal_pointer(&t);
    return 0;
}

char *guest_tree_path(const GuestTree *t, const char *node, uint32_t vmid)
{
    return g_strdup_printf("%s/nodes/%s/qemu-server/%u.conf", t->root,
                           node != NULL ? node : t->node, vmid);
}

int guest_tree_check_quorum(const GuestTree *t, Err *err)
{
    g_autofree char *link = g_build_filename(t->root, "local", NULL);
    struct stat st;

    if (lstat(link, &st) < 0) {
        return err_setf(err, -errno, "%s: %s", link, g_strerror(errno));
    }
    if (!(st.st_mode & S_IWUSR)) {
        return err_setf(err, -EACCES, "the cluster has no quorum: nothing can be changed now");
    }
    return 0;
}

/* ------------------------------------------------------------------ walking */

/* Names in a directory that is allowed to be absent. */
static int walk(const char *path, void (*each)(void *ctx, const char *name), void *ctx, Err *err)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    int r;

    if (dir == NULL) {
        r = -errno;
        return r == -ENOENT ? 0 : err_setf(err, r, "%s: %s", path, g_strerror(-r));
    }
    errno = 0;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            each(ctx, entry->d_name);
        }
        errno = 0;
    }
    r = -errno;
    (void)closedir(dir); /* only read from */
    return r < 0 ? err_setf(err, r, "%s: %s", path, g_strerror(-r)) : 0;
}

static void add_id(void *ctx, const char *name)
{
    size_t len = strlen(name);
    uint32_t vmid;

    if (len > 5 && strcmp(name + len - 5, ".conf") == 0) {
        g_autofree char *digits = g_strndup(name, len - 5);
        if (vmid_parse(digits, &vmid, NULL) == 0) {
            g_array_append_val((GArray *)ctx, vmid);
        }
    }
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void add_name(void *ctx, const char *name)
{
    g_ptr_array_add(ctx, g_strdup(name));
}

static int list_nodes(const GuestTree *t, GPtrArray **ret, Err *err)
{
    g_autoptr(GPtrArray) nodes = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *path = g_build_filename(t->root, "nodes", NULL);
    int r = walk(path, add_name, nodes, err);

    if (r == 0) {
        *ret = g_steal_pointer(&nodes);
    }
    return r;
}

int guest_tree_list(const GuestTree *t, const char *node, GArray **ret, Err *err)
{
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_autofree char *path =
        g_build_filename(t->root, "nodes", node != NULL ? node : t->node, "qemu-server", NULL);
    int r = walk(path, add_id, ids, err);

    if (r < 0) {
        return r;
    }
    g_array_sort(ids, compare_ids);
    *ret = g_steal_pointer(&ids);
    return 0;
}

int guest_tree_next_id(const GuestTree *t, uint32_t low, uint32_t high, uint32_t *ret, Err *err)
{
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_autoptr(GPtrArray) nodes = NULL;
    uint32_t next = low;
    int r = list_nodes(t, &nodes, err);

    for (guint i = 0; r == 0 && i < nodes->len; i++) {
        for (size_t k = 0; r == 0 && k < G_N_ELEMENTS(guest_folders); k++) {
            g_autofree char *path =
                g_build_filename(t->root, "nodes", nodes->pdata[i], guest_folders[k], NULL);
            r = walk(path, add_id, ids, err);
        }
    }
    if (r < 0) {
        return r;
    }
    g_array_sort(ids, compare_ids);
    for (guint i = 0; i < ids->len; i++) {
        uint32_t id = g_array_index(ids, uint32_t, i);
        next = id == next ? next + 1 : next;
    }
    if (next >= high) {
        return err_setf(err, -ENOSPC, "no VMID is free from %u to %u", low, high - 1);
    }
    *ret = next;
    return 0;
}

/* ----------------------------------------------------------------- finding */

static bool is_here(const GuestTree *t, const char *node, size_t folder, uint32_t vmid)
{
    g_autofree char *name = g_strdup_printf("%u.conf", vmid);
    g_autofree char *path =
        g_build_filename(t->root, "nodes", node, guest_folders[folder], name, NULL);
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int guest_tree_find(const GuestTree *t, uint32_t vmid, GuestPlace *ret, Err *err)
{
    g_autoptr(GPtrArray) nodes = NULL;
    int r;

    if (is_here(t, t->node, FOLDER_VM, vmid)) {
        *ret = (GuestPlace){g_strdup(t->node), false};
        return 0;
    }
    r = list_nodes(t, &nodes, err);
    if (r < 0) {
        return r;
    }
    for (guint i = 0; i < nodes->len; i++) {
        for (size_t k = 0; k < G_N_ELEMENTS(guest_folders); k++) {
            if (is_here(t, nodes->pdata[i], k, vmid)) {
                *ret = (GuestPlace){g_strdup(nodes->pdata[i]), k != FOLDER_VM};
                return 0;
            }
        }
    }
    return err_setf(err, -ENOENT, "there is no guest %u", vmid);
}

int guest_tree_check_here(const GuestTree *t, uint32_t vmid, Err *err)
{
    g_auto(GuestPlace) place = {0};
    int r = guest_tree_find(t, vmid, &place, err);

    if (r < 0) {
        return r;
    }
    if (place.container) {
        return err_setf(err, -ENOENT, "guest %u is a container (on node '%s')", vmid, place.node);
    }
    if (strcmp(place.node, t->node) != 0) {
        return err_setf(err, -ENOENT, "guest %u is on node '%s', not here: run this there", vmid,
                        place.node);
    }
    return 0;
}
