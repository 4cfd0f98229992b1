/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_leftover.h"

#include "guest/core/volid.h"
#include "guest/io/guest_edit.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#define MIDDLE      ".conf.tmp."
#define TRY_LOCK_MS 1u
#define AT_ONCE     100 /* in one go; more would hold up the verb, the next one goes on */

/* "100.conf.tmp.4711" of other tools, "100.conf.tmp.node1.4711" of cfsfile_write */
static bool is_leftover(const char *name, uint32_t *ret_vmid)
{
    const char *middle = strstr(name, MIDDLE);
    const char *rest = middle != NULL ? middle + strlen(MIDDLE) : "";
    const char *dot = strrchr(rest, '.');
    const char *pid = dot != NULL ? dot + 1 : rest;
    g_autofree char *vmid = middle != NULL ? g_strndup(name, (gsize)(middle - name)) : NULL;

    return *pid != '\0' && pid[strspn(pid, "0123456789")] == '\0' &&
           vmid_parse(vmid, ret_vmid, NULL) == 0;
}

static GPtrArray *list(const char *dir)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    DIR *d = opendir(dir);
    const struct dirent *entry;
    uint32_t vmid;

    while (d != NULL && names->len < AT_ONCE && (entry = readdir(d)) != NULL) {
        if (is_leftover(entry->d_name, &vmid)) {
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

    if (is_leftover(name, &vmid) &&
        (vmid == held || guest_lock_take(t, vmid, TRY_LOCK_MS, &lock, NULL) == 0)) {
        (void)unlink(path); /* the next one tries again */
    }
}

void guest_leftover_sweep(const GuestTree *t, uint32_t held)
{
    g_autofree char *dir = g_build_filename(t->root, "nodes", t->node, "qemu-server", NULL);
    g_autoptr(GPtrArray) names = list(dir);

    for (guint i = 0; i < names->len; i++) {
        drop(t, dir, names->pdata[i], held);
    }
}
