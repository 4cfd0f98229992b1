/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage_path: from a volume id to where QEMU finds the data. One small interface per kind of
 * storage (StorageOps, in the storage_*.c files): read the volume's name, say where it is. Nothing
 * is opened or looked at; a further kind is one more file and one more line in the table.
 * Reference: guest.md sections 5, 20, 21. Pure.
 */
#ifndef GUEST_CORE_STORAGE_PATH_H
#define GUEST_CORE_STORAGE_PATH_H

#include "guest/core/host_facts.h"
#include "lib/base/err.h"
#include "lib/conf/storagecfg.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* What the name of a volume tells. */
typedef struct VolumeName {
    const char *content; /* "images", "iso", "vztmpl", "backup", "snippets", "import" */
    uint32_t owner;      /* VMID, 0 when it belongs to no guest */
    char *name;          /* the last part, without base volume and folders */
    const char *format;  /* "raw", "qcow2", "vmdk", "subvol"; NULL when the content has none */
    char *base;          /* of a linked clone: the base volume, as written; else NULL */
    bool is_base;        /* it is the base of clones, and read-only */
} VolumeName;

void volume_name_clear(VolumeName *n);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VolumeName, volume_name_clear)

typedef enum SourceKind {
    SOURCE_FILE,        /* path */
    SOURCE_HOST_DEVICE, /* path of a block device */
    SOURCE_HOST_CDROM,  /* path of the host's drive */
    SOURCE_RBD,
    SOURCE_ISCSI,
} SourceKind;

/* When io_uring may be the default way of doing I/O. */
typedef enum UringUse {
    URING_ALWAYS,
    URING_DIRECT, /* only without the host's page cache */
    URING_NEVER,
} UringUse;

typedef struct VolumeSource {
    SourceKind kind;
    const char *content; /* as in VolumeName; "images" for paths */
    const char *format;  /* "raw", "qcow2", "vmdk" */
    char *path;          /* file and device kinds */
    uint32_t owner;      /* VMID in the name, 0 when there is none */
    UringUse uring;
    bool buffered;         /* the storage wants the page cache when no cache mode is chosen */
    bool chain;            /* snapshots are volumes of their own, linked by backing files */
    bool discard_no_unref; /* with `chain`: keep the clusters of discarded data */

    char *pool; /* RBD */
    char *namespace;
    char *image;
    GPtrArray *hosts; /* char *: monitors "host" or "host:port", may be empty */
    char *user;       /* NULL without authentication */
    char *keyring;    /* path */

    char *portal; /* iSCSI */
    char *target;
    int lun;
} VolumeSource;

void volume_source_free(VolumeSource *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VolumeSource, volume_source_free)

typedef struct StorageOps {
    const char *type;
    /* -EINVAL when no volume of this kind is called so. */
    int (*parse)(const Storage *s, const char *volume, VolumeName *ret, Err *err);
    /* `ret` comes with content, format and owner filled in. */
    int (*locate)(const Storage *s,
                  const VolumeName *name,
                  const HostFacts *host,
                  VolumeSource *ret,
                  Err *err);
} StorageOps;

/* The kind of `s`; NULL when it is not known here. */
const StorageOps *storage_ops(const Storage *s);

/* Reads the name of a volume on `s`. */
int volume_name_parse(const Storage *s, const char *volume, VolumeName *ret, Err *err) must_check;

/* Where `volid` (a volume id or absolute path) is on the host. -ENOENT, -EINVAL, and -ENOTSUP for
 * storages whose volumes are no disks. */
int volume_locate(const HostFacts *host, const char *volid, VolumeSource **ret, Err *err)
    must_check;

/* Refuses a storage that is not meant for what the volume is (-EINVAL), or that is disabled or not
 * for the host's node (-EACCES). */
int volume_check_content(const HostFacts *host, const char *volid, Err *err) must_check;

/* Reading "vm-VMID-REST", "base-VMID-REST", and "base-.../vm-..." of clones: what kinds without
 * folders have in common. */
int volume_name_parse_flat(const char *volume, VolumeName *ret, Err *err) must_check;

/* The folder of `content` below the path of a storage that is a directory. Caller frees. */
char *storage_content_dir(const Storage *s, const char *content);

extern const StorageOps storage_ops_btrfs;
extern const StorageOps storage_ops_cephfs;
extern const StorageOps storage_ops_cifs;
extern const StorageOps storage_ops_dir;
extern const StorageOps storage_ops_iscsi;
extern const StorageOps storage_ops_iscsidirect;
extern const StorageOps storage_ops_lvm;
extern const StorageOps storage_ops_lvmthin;
extern const StorageOps storage_ops_nfs;
extern const StorageOps storage_ops_rbd;
extern const StorageOps storage_ops_zfs;
extern const StorageOps storage_ops_zfspool;

#endif
