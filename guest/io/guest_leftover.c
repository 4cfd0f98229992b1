/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_leftover.h"

#include "guest/core/volid.h"
#include "guest/io/guest_edit.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#define CONF        ".conf"
#define TEMP        ".tmp."
#define TRY_LOCK_MS 1u
#define AT_ONCE     100 /* in one go; more would hold up the verb, the next one goes on */

/* "NAME.tmp.4711" of other tools, "NAME.tmp.node1.4711" of cfsfile_write; *ret_name is NAME, the
 * caller's. */
static bool is_leftover(const char *file, char **ret_name)
{
    const char *temp = strstr(file, TEMP);
    const char *rest = temp != NULL ? temp + strlen(TEMP) : "";
    const char *dot = strrchr(rest, '.');
    const char *pid = dot != NULL ? dot + 1 : rest;

    if (*pid == '\0' || pid[strspn(pid, "0123456789")] != '\0') {
        return false;
    }
    *ret_name = g_strndup(file, (gsize)(temp - file));
    return true;
}

static bool is_of_guest(const char *file, uint32_t *ret_vmid)
{
    g_autofree char *name = NULL;

    if (!is_leftover(file, &name) || !g_str_has_suffix(name, CONF)) {
        return false;
    }
    name[strlen(name) - strlen(CONF)] = '\0';
    return vmid_parse(name, ret_vmid, NULL) == 0;
}

static bool is_of_file(const char *file, const char *wanted)
{
    g_autofree char *name = NULL;

    return is_leftover(file, &name) && strcmp(name, wanted) == 0;
}

/* Leftovers of guests, or with `name` those of this file. */
static GPtrArray *list(const char *dir, const char *name)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    DIR *d = opendir(dir);
    const struct dirent *entry;
    uint32_t vmid;

    while (d != NULL && names->len < AT_ONCE && (entry = readdir(d)) != NULL) {
        if (name != NULL ? is_of_file(entry->d_name, name) : is_of_guest(entry->d_name, &vmid)) {
            g_ptr_array_add(names, g_strdup(entry->d_name));
        }
    }
    if (d != NULL) {
        (void)closedir(d); /* only read from */
    }
    return names;
}

/* With the lock held no writer is at work, and the name, if it is still there, is nobody's. */
static void drop(const GuestTree *t, const char *dir, const char *name, uint32_t held)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autoptr(GuestLock) lock = NULL;
    uint32_t vmid = 0;

    if (is_of_guest(name, &vmid) &&
        (vmid == held || guest_lock_take(t, vmid, TRY_LOCK_MS, &lock, NULL) == 0)) {
        (void)unlink(path); /* the next one tries again */
    }
}

void guest_leftover_sweep(const GuestTree *t, uint32_t held)
{
    g_autofree char *dir = g_build_filename(t->root, "nodes", t->node, "qemu-server", NULL);
    g_autoptr(GPtrArray) names = list(dir, NULL);

    for (guint i = 0; i < names->len; i++) {
        drop(t, dir, names->pdata[i], held);
    }
}

void guest_leftover_drop(const char *path)
{
    g_autofree char *dir = g_path_get_dirname(path);
    g_autofree char *file = g_path_get_basename(path);
    g_autoptr(GPtrArray) names = list(dir, file);

    for (guint i = 0; i < names->len; i++) {
        g_autofree char *temp = g_build_filename(dir, names->pdata[i], NULL);
        (void)unlink(temp); /* the next one tries again */
    }
}
