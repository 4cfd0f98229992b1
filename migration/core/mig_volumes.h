/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_volumes: which volumes of a guest move with it, and how; and its configuration with the new
 * names. Pure; one thread at a time per object.
 */
#ifndef MIGRATION_CORE_MIG_VOLUMES_H
#define MIGRATION_CORE_MIG_VOLUMES_H

#include "lib/base/err.h"
#include "lib/base/jsontree.h"
#include "lib/conf/storagecfg.h"
#include "lib/conf/vmconf.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum MigVolumeHow {
    MIG_VOLUME_COPY,   /* as a stream between the storages */
    MIG_VOLUME_MIRROR, /* by QEMU, while the guest writes on */
} MigVolumeHow;

typedef struct MigVolume {
    char *drive;     /* "scsi0", "unused1" */
    char *volid;     /* on the source */
    char *storage;   /* on the source */
    char *to;        /* storage on the target */
    char *format;    /* "raw", "qcow2" */
    char *new_volid; /* on the target; NULL until it is there */
    MigVolumeHow how;
    int64_t size;      /* virtual bytes; 0: not known */
    int64_t used;      /* bytes that are allocated; 0: not known */
    int64_t limit_kib; /* of its storages, KiB per second; 0: none */
    bool snapshots;    /* those inside it go along; of a mirror: before it, as a copy */
    bool kept;         /* a snapshot of the guest refers to it */
    bool base;         /* of a template: keeps its name */
} MigVolume;

typedef struct MigVolumes {
    GPtrArray *list;     /* MigVolume *: volumes that move */
    GPtrArray *problems; /* char *: what cannot move, and why */
    GPtrArray *storages; /* char *: storages the target must have */
    GPtrArray *bridges;  /* char * */
    bool has_disks;      /* any volume at all moves */
} MigVolumes;

void mig_volumes_free(MigVolumes *v);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MigVolumes, mig_volumes_free)

typedef struct MigVolumesHow {
    uint32_t vmid;
    bool online;      /* the guest runs */
    bool local_disks; /* it may take them along while it runs */
    bool force;
    const char *map;
    const char *target; /* node */
} MigVolumesHow;

/* What `conf` refers to, judged by storage.cfg. What stands against the move is in `problems`. */
MigVolumes *mig_volumes_plan(const VmConf *conf, const StorageCfg *cfg, const MigVolumesHow *how);

/* Puts the new names in the place of the old ones, in all sections. */
void mig_volumes_rename(VmConf *conf, const JsonTree *pairs);
/* List of {drive, volid, storage, format, size, how} as `prepare` carries it, and back. */
JsonTree *mig_volumes_write(const MigVolumes *v);
/* List of {storage, size, used}: bytes that the volumes need on each storage of the target. */
JsonTree *mig_volumes_space(const MigVolumes *v);
/* List of {bridge, mtu}: network cards with an MTU of their own; 1: that of the bridge. */
JsonTree *mig_volumes_mtus(const VmConf *conf);
/* What mig_volumes_write wrote, for a journal; never NULL. */
MigVolumes *mig_volumes_restore(const JsonTree *list);
/* Notes the new names of a `prepared`. -EBADMSG when one is missing. */
int mig_volumes_note_new(MigVolumes *v, const JsonTree *volumes, Err *err) must_check;
/* List of {old, new} of volumes whose name changes; NULL when none does. */
JsonTree *mig_volumes_pairs(const MigVolumes *v);
/* Something of it goes as a stream between the storages. */
bool mig_volume_is_copied(const MigVolume *m);
const MigVolume *mig_volumes_find(const MigVolumes *v, const char *volid);
/* What to do when `words` say that there is no space left on a storage of `node`; else "". Caller
 * frees. */
char *mig_volumes_full_advice(const char *words, const char *node, const char *storage);

#endif
