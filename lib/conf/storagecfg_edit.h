/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storagecfg_edit: changes of storage.cfg as text: a storage is added, gets other properties, or
 * goes. All other lines, comments included, stay as they are. What the kinds of storage know is one
 * table here; `pvesm add` and storage.cfg(5) follow it. Reference: guest.md section 20. Pure; any
 * thread.
 */
#ifndef LIB_CONF_STORAGECFG_EDIT_H
#define LIB_CONF_STORAGECFG_EDIT_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum StoragePropKind {
    STORAGE_PROP_TEXT,
    STORAGE_PROP_FLAG,
    STORAGE_PROP_NUMBER,
    STORAGE_PROP_PATH,    /* absolute */
    STORAGE_PROP_CONTENT, /* list of kinds of content */
    STORAGE_PROP_NODES,   /* list of node names */
    STORAGE_PROP_FORMAT,
    STORAGE_PROP_PREALLOCATION,
    STORAGE_PROP_MOUNTPOINT, /* a flag or an absolute path */
} StoragePropKind;

typedef struct StorageProp {
    const char *name;
    StoragePropKind kind;
    const char *types; /* kinds of storage that have it, separated by blanks; NULL: all */
    bool fixed;        /* says where the data is: set when added, never changed */
    const char *text;  /* one line for people */
} StorageProp;

/* All that is known; `i` below their number. Static. */
size_t storage_prop_count(void);
const StorageProp *storage_prop_at(size_t i);

/* All of these give the whole new text, which the caller frees. `props` are pairs key, value (char
 * *), one after the other; for flags 1 and 0. `remove` (char *) may be NULL. What they return:
 * -EEXIST, -ENOENT (no such storage), -EINVAL with property and accepted values. */
int storagecfg_add(const char *text,
                   const char *type,
                   const char *id,
                   const GPtrArray *props,
                   char **ret,
                   Err *err) must_check;
int storagecfg_change(const char *text,
                      const char *id,
                      const GPtrArray *props,
                      const GPtrArray *remove,
                      char **ret,
                      Err *err) must_check;
int storagecfg_remove(const char *text, const char *id, char **ret, Err *err) must_check;

#endif
