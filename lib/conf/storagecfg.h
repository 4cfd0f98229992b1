/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storagecfg: storage.cfg, the storages of the cluster: what they are called, of which kind they
 * are, on which nodes, and what may be kept on them. Reference: guest.md section 20.
 *
 * Each storage stands for itself: one that is wrong carries its error and refuses to be used, the
 * others work. Kinds and properties that are not known here are kept for those who know them.
 * `local` is always there. Reading only.
 *
 * Pure. One thread at a time per object.
 */
#ifndef LIB_CONF_STORAGECFG_H
#define LIB_CONF_STORAGECFG_H

#include "lib/base/err.h"
#include "lib/conf/sectionlines.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct Storage {
    const char *type;
    const char *id;
    const SectionLinesEntry *entry;
    char *error; /* why it cannot be used, with its line; NULL when it can */
} Storage;

typedef struct StorageCfg StorageCfg;

/* -EFBIG, -E2BIG, -EBADMSG; what is wrong with single storages is found when they are used. */
int storagecfg_parse(const char *text, size_t len, StorageCfg **ret, Err *err) must_check;
void storagecfg_free(StorageCfg *cfg);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StorageCfg, storagecfg_free)

/* The storage; -ENOENT when there is none of that name, -EINVAL when its section is wrong. */
int storagecfg_get(const StorageCfg *cfg, const char *id, const Storage **ret, Err *err) must_check;

/* All storages in file order, `local` included; borrowed. */
guint storagecfg_count(const StorageCfg *cfg);
const Storage *storagecfg_at(const StorageCfg *cfg, guint i);

/* The value of a property, "" for a flag without value, NULL when absent; borrowed. */
const char *storage_prop(const Storage *s, const char *key);
/* A boolean property; one that stands without value is true. */
bool storage_flag(const Storage *s, const char *key, bool fallback);
/* `content` (images, iso, ...) may be kept on it. */
bool storage_has_content(const Storage *s, const char *content);
/* It is enabled and not restricted to other nodes. */
bool storage_on_node(const Storage *s, const char *node);
/* The same with the reason: -EACCES. */
int storage_check_node(const Storage *s, const char *node, Err *err) must_check;
/* All nodes see the same volumes. */
bool storage_is_shared(const Storage *s);

#endif
