/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume: what the verbs of guests and pvesm do with volumes, by volume id, whatever kind of
 * storage they are on. Each call either does all it says or leaves nothing behind: a volume that
 * could not be finished is removed again. Volumes are written and synced when a call returns.
 * Reference: guest.md sections 5, 14, 20, 21. Main thread; blocks.
 */
#ifndef GUEST_IO_VOLUME_H
#define GUEST_IO_VOLUME_H

#include "guest/io/storage_kind.h"
#include "guest/io/storage_set.h"
#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* A volume taken apart: storage (usable here) and name. */
typedef struct VolumeRef {
    const Storage *storage;
    const StorageKind *kind;
    VolumeName name;
} VolumeRef;

void volume_ref_clear(VolumeRef *ref);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VolumeRef, volume_ref_clear)

/* -EINVAL for paths and `none`: only volumes are managed. */
int volume_ref(const StorageSet *set, const char *volid, VolumeRef *ret, Err *err) must_check;

/* Where it is; the path need not exist. Absolute paths stand for themselves. Caller frees. */
int volume_path(const StorageSet *set, const char *volid, char **ret, Err *err) must_check;

/* -ENOENT when it is not there. */
int volume_info(const StorageSet *set, const char *volid, VolumeInfo *ret, Err *err) must_check;

/* A new disk that reads as zeroes. `spec->format` NULL: what the storage says. -ENOSPC and others
 * come as the text of qemu-img with -EIO. */
int volume_alloc(const StorageSet *set,
                 const char *storage,
                 const VolumeSpec *spec,
                 char **ret_volid,
                 Err *err) must_check;

int volume_free(const StorageSet *set, const char *volid, Err *err) must_check;

/* Frees it when it is of guest `vmid`; what belongs to another guest, and paths, are left alone
 * with -EPERM. A volume that is gone already is no error. */
int volume_free_of(const StorageSet *set, uint32_t vmid, const char *volid, Err *err) must_check;

/* Both name the same data. */
bool volume_same(const StorageSet *set, const char *a, const char *b);
/* One of the list (char *) does. */
bool volume_is_among(const StorageSet *set, const GPtrArray *volids, const char *volid);

/* Only larger; -EINVAL otherwise. */
int volume_resize(const StorageSet *set, const char *volid, uint64_t size, Err *err) must_check;

typedef struct VolumeCopy {
    const char *from;     /* volume id, or absolute path of an image file */
    const char *snapshot; /* read this state of it; NULL: now */
    const char *storage;  /* where to */
    uint32_t vmid;
    const char *name;   /* last part without suffix, or NULL: next free */
    const char *format; /* NULL: that of `from` when the storage has it, else the storage's */
    uint64_t size_min;  /* at least so large; 0: like `from` */
    bool in_use;        /* a guest has `from` open: only with `snapshot` */
} VolumeCopy;

/* A full copy. An image whose data hangs on other files of the host is refused. */
int volume_copy(const StorageSet *set, const VolumeCopy *copy, char **ret_volid, Err *err)
    must_check;

/* The first half of it: an empty volume of the right size and format. */
int volume_alloc_like(const StorageSet *set, const VolumeCopy *copy, char **ret_volid, Err *err)
    must_check;

/* A linked clone of a base volume on the same storage. */
int volume_clone(const StorageSet *set,
                 const char *base_volid,
                 uint32_t vmid,
                 char **ret_volid,
                 Err *err) must_check;

/* Gives a volume to another guest, under its next free name. -EBUSY when clones hang on it. */
int volume_give(const StorageSet *set, const char *volid, uint32_t vmid, char **ret_volid, Err *err)
    must_check;

/* Gives the disk's new id. -EBUSY when it has snapshots. */
int volume_make_base(const StorageSet *set, const char *volid, char **ret_volid, Err *err)
    must_check;

/* Of a disk that no QEMU has open. */
int volume_snapshot(const StorageSet *set,
                    const char *volid,
                    ImageSnapshotAction action,
                    const char *name,
                    Err *err) must_check;

/* -ENOTSUP with the reason when the volume cannot have snapshots; to be asked before any is made.
 */
int volume_can_snapshot(const StorageSet *set, const char *volid, Err *err) must_check;

/* All disks of a guest (0: of all guests) on the storages that can be used here; each `volume` is a
 * whole volume id. What is wrong with single storages is told through `warn`. */
typedef void (*VolumeWarn)(void *ctx, const char *text);
GPtrArray *volume_list_all(const StorageSet *set, uint32_t vmid, VolumeWarn warn, void *ctx);

#endif
