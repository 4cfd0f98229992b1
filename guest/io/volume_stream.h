/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume_stream: a volume as a stream of bytes, for copies to other nodes: `raw+size`, `qcow2+size`
 * and `snapshots+size`, all with the size a guest sees as 64 bits, little-endian, in front. After
 * `raw` come exactly so many bytes; after `qcow2` comes the file; after `snapshots` come those that
 * are inside a qcow2 file (guest/core/statestream.h), also while a guest has it open, and what is
 * made of them waits for QEMU's mirror. Reference: migration.md section 14.
 * Main thread; blocks.
 */
#ifndef GUEST_IO_VOLUME_STREAM_H
#define GUEST_IO_VOLUME_STREAM_H

#include "guest/io/storage_set.h"
#include "lib/base/err.h"

#include <stdbool.h>

typedef struct VolumeExport {
    const char *format;   /* "raw+size", "qcow2+size", "snapshots+size" */
    const char *snapshot; /* raw+size: this state; NULL: now */
    bool with_snapshots;  /* qcow2+size: the snapshots inside go along */
} VolumeExport;

/* Of a disk that no QEMU has open; `snapshots+size` of any. */
int volume_export(
    const StorageSet *set, const char *volid, const VolumeExport *how, int fd, Err *err) must_check;

typedef struct VolumeImport {
    const char *format;
    bool with_snapshots;
    bool allow_rename;           /* another number when the name is taken */
    const char *delete_snapshot; /* to be removed afterwards, or NULL */
} VolumeImport;

/* Makes the volume `volid`; *ret_volid is what it is called now. A stream that ends early or goes
 * on behind its end is -EBADMSG, and nothing is left. */
int volume_import(const StorageSet *set,
                  const char *volid,
                  const VolumeImport *how,
                  int fd,
                  char **ret_volid,
                  Err *err) must_check;

#endif
