/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confschema: every option of VMID.conf in one table: type, limits, default, how a change takes
 * effect on a running guest. Checks, the command line, `qm set`, and the manual page vmid.conf(5)
 * all read this table and no other. Reference: guest.md section 3. Constant; any thread.
 */
#ifndef GUEST_CORE_CONFSCHEMA_H
#define GUEST_CORE_CONFSCHEMA_H

#include "lib/base/err.h"
#include "lib/conf/propstring.h"

#include <glib.h>
#include <stdbool.h>

enum {                          /* ConfOption.flags */
       CONF_IMMEDIATE = 1 << 0, /* a change counts at once, also while the guest runs */
       CONF_HOTPLUG = 1 << 1,   /* can change a running guest when its class is enabled */
       CONF_DISK = 1 << 2,      /* a volume the guest may boot from */
       CONF_VOLUME =
           1 << 3, /* refers to a volume of its own (disks, EFI disk, TPM state, unused) */
       CONF_INTERNAL = 1 << 4, /* kept by the program itself, never set by hand */
       CONF_ROOT = 1 << 5,     /* only for root: reaches beyond the guest */
       CONF_SECRET = 1 << 6,   /* shown as stars */
};

typedef struct ConfOption {
    PropKey value; /* name (without index), kind, limits, fallback, text */
    int count;     /* 0: no index; else the indexes first..first+count-1 */
    int first;
    const PropSchema *props; /* the value is a property string, or NULL */
    unsigned flags;
    const char *hotplug; /* class in the option `hotplug`: network, disk, usb, cpu, memory ... */
} ConfOption;

/* All options, sorted by name. */
size_t confschema_count(void);
const ConfOption *confschema_at(size_t i);

/* The option that `key` ("net0", "cores") belongs to, or NULL; *ret_index (may be NULL) gets its
 * index, -1 when the option has none. */
const ConfOption *confschema_find(const char *key, int *ret_index);

/* Checks `value` for `key` and gives its stored form: booleans are 1 or 0, property strings have
 * their usual order. -ENOENT for a key that is not in the table, -EINVAL with key and accepted
 * values. For property strings `unknown` works as in propstring_parse. Caller frees *ret. */
int confschema_check(const char *key, const char *value, GPtrArray *unknown, char **ret, Err *err)
    must_check;

#endif
