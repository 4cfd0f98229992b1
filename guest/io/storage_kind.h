/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage_kind: what a kind of storage can do with volumes, as one table of functions. A further
 * kind is one file kind_NAME.c and one line in storage_kind.c; nothing else changes. Where a volume
 * is, its kind has said already in guest/core/storage_path.
 *
 * The callers (volume.c) have checked names, content and node, and hold the storage lock where it
 * says so. Functions that a kind cannot do are NULL.
 */
#ifndef GUEST_IO_STORAGE_KIND_H
#define GUEST_IO_STORAGE_KIND_H

#include "guest/core/storage_path.h"
#include "guest/io/qemuimg.h"
#include "lib/base/err.h"
#include "lib/conf/storagecfg.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct StorageStatus {
    uint64_t total; /* bytes */
    uint64_t used;
    uint64_t avail;
} StorageStatus;

/* One volume of a list. */
typedef struct VolumeItem {
    char *volume; /* without storage */
    VolumeName name;
    const char *format; /* "raw", "qcow2", "iso", "tar.zst" */
    uint64_t size;      /* what a guest sees; 0 when that could not be found out */
    uint64_t used;
    int64_t ctime;
    char *parent; /* base volume, or NULL */
} VolumeItem;

void volume_item_free(void *item);

typedef struct VolumeInfo {
    uint64_t size;
    uint64_t used;
    guint snapshots; /* kept inside the image */
} VolumeInfo;

typedef struct VolumeSpec {
    uint32_t vmid;
    const char *name;   /* full last part, or NULL: the next free one */
    const char *format; /* "raw", "qcow2", "vmdk" */
    uint64_t size;
} VolumeSpec;

typedef struct StorageKind {
    const char *type;
    const char *const *formats; /* of disks, the default first, NULL at the end */

    /* Makes it usable, or says why not. */
    int (*activate)(const Storage *s, Err *err);
    int (*status)(const Storage *s, StorageStatus *ret, Err *err);
    /* Adds VolumeItem * to `ret`. `content` NULL: all kinds; `vmid` 0: all guests. */
    int (*list)(const Storage *s, const char *content, uint32_t vmid, GPtrArray *ret, Err *err);

    /* Under the storage lock: takes a name by making an empty volume of it. Caller frees. */
    int (*reserve)(const Storage *s, const VolumeSpec *spec, char **ret_volume, Err *err);
    /* Makes the reserved volume what `spec` wants; on failure it is still only reserved. */
    int (*fill)(const Storage *s,
                const VolumeName *name,
                const VolumeSpec *spec,
                const ImageProgress *progress,
                Err *err);
    /* Makes the reserved volume a clone of `base`, whose data stays there. `name->base` is set. */
    int (*fill_clone)(const Storage *s, const VolumeName *name, const VolumeName *base, Err *err);
    /* Under the storage lock: -EBUSY while clones need it. */
    int (*free)(const Storage *s, const VolumeName *name, Err *err);
    /* Under the storage lock: the volume becomes a base, under another name. */
    int (*make_base)(const Storage *s, const VolumeName *name, char **ret_volume, Err *err);

    /* Under the storage lock: the volume becomes one of guest `vmid`. */
    int (*give)(
        const Storage *s, const VolumeName *name, uint32_t vmid, char **ret_volume, Err *err);

    int (*info)(const Storage *s, const VolumeName *name, VolumeInfo *ret, Err *err);
    int (*resize)(const Storage *s, const VolumeName *name, uint64_t size, Err *err);
    int (*snapshot)(const Storage *s,
                    const VolumeName *name,
                    ImageSnapshotAction action,
                    const char *snapshot,
                    Err *err);
} StorageKind;

/* -ENOTSUP for kinds whose volumes are found but not managed yet. */
int storage_kind_of(const Storage *s, const StorageKind **ret, Err *err) must_check;

extern const StorageKind storage_kind_dir;
extern const StorageKind storage_kind_nfs;
extern const StorageKind storage_kind_cifs;
extern const StorageKind storage_kind_cephfs;

#endif
