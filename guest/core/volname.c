/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/volname.h"

#include <errno.h>
#include <string.h>

/* N of "vm-VMID-disk-N" and "base-VMID-disk-N", whatever suffix follows; -1 for other names. */
static gint64 number_of(const char *name, uint32_t vmid)
{
    g_autofree char *vm = g_strdup_printf("vm-%u-disk-", vmid);
    g_autofree char *base = g_strdup_printf("base-%u-disk-", vmid);
    const char *at = g_str_has_prefix(name, vm)     ? name + strlen(vm)
                     : g_str_has_prefix(name, base) ? name + strlen(base)
                                                    : "";
    size_t digits = strspn(at, "0123456789");

    if (digits == 0 || digits > 9 || (at[digits] != '\0' && at[digits] != '.')) {
        return -1;
    }
    return g_ascii_strtoll(at, NULL, 10);
}

int volname_next(const GPtrArray *names, uint32_t vmid, unsigned *ret, Err *err)
{
    bool taken[VOLNAME_MAX_PER_GUEST] = {false};

    for (guint i = 0; i < names->len; i++) {
        gint64 n = number_of(names->pdata[i], vmid);
        if (n >= 0 && n < VOLNAME_MAX_PER_GUEST) {
            taken[n] = true;
        }
    }
    for (unsigned n = 0; n < VOLNAME_MAX_PER_GUEST; n++) {
        if (!taken[n]) {
            *ret = n;
            return 0;
        }
    }
    return err_setf(err, -ENOSPC, "guest %u has all of %d volumes here", vmid,
                    VOLNAME_MAX_PER_GUEST);
}

int volname_check(const char *name, uint32_t vmid, Err *err)
{
    g_autofree char *vm = g_strdup_printf("vm-%u-", vmid);
    g_autofree char *base = g_strdup_printf("base-%u-", vmid);
    bool ok = strlen(name) <= VOLNAME_LEAF_MAX &&
              ((g_str_has_prefix(name, vm) && name[strlen(vm)] != '\0') ||
               (g_str_has_prefix(name, base) && name[strlen(base)] != '\0'));

    for (const char *c = name; ok && *c != '\0'; c++) {
        ok = g_ascii_isalnum(*c) || strchr("._+-", *c) != NULL;
    }
    if (!ok) {
        return err_setf(err, -EINVAL,
                        "'%.80s' is not a name for a volume of guest %u: it must begin with "
                        "vm-%u- and hold letters, digits, '.', '_', '+', '-'",
                        name, vmid, vmid);
    }
    return 0;
}

char *volname_to_base(const char *name)
{
    if (g_str_has_prefix(name, "vm-")) {
        return g_strconcat("base-", name + strlen("vm-"), NULL);
    }
    if (g_str_has_prefix(name, "base-")) {
        return g_strconcat("vm-", name + strlen("base-"), NULL);
    }
    return NULL;
}
