/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_work: one disk of a guest: larger, elsewhere, from outside, found again: `qm disk`.
 * Reference: guest.md sections 10 and 14. Main thread; blocks.
 */
#ifndef GUEST_IO_DISK_WORK_H
#define GUEST_IO_DISK_WORK_H

#include "guest/io/guest_store.h"
#include "lib/base/err.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct DiskResize {
    const char *disk;
    const char *size; /* "+5G": larger by so much; "32G": so large */
    const char *digest;
    bool skiplock;
} DiskResize;

/* Also while the guest runs. */
int disk_resize(GuestStore *s, uint32_t vmid, const DiskResize *how, Err *err) must_check;

typedef struct DiskMove {
    const char *disk;
    const char *storage;     /* NULL with target_vmid */
    const char *format;      /* NULL: as it is */
    uint32_t target_vmid;    /* gives it to another guest; 0: moves it to `storage` */
    const char *target_disk; /* with target_vmid: as what; NULL: as what it is */
    bool delete_source;      /* else the old volume stays as unused */
    const char *digest;
    bool skiplock;
} DiskMove;

/* Moves a disk to another storage, or gives it to another guest. Blocks; on failure the guest
 * has its disk as before. */
int disk_move(GuestStore *s, uint32_t vmid, const DiskMove *how, Err *err) must_check;

typedef struct DiskImport {
    const char *source; /* absolute path or volume */
    const char *storage;
    const char *format;
    const char *target_disk; /* NULL: the next unusedN */
    bool skiplock;
} DiskImport;

/* Takes an image in as a disk of the guest. Blocks; on failure nothing of it stays. */
int disk_import(GuestStore *s, uint32_t vmid, const DiskImport *how, Err *err) must_check;

/* Sizes as they are, volumes that nobody names as unused. `vmid` 0: all guests of this node. */
int disk_rescan(GuestStore *s, uint32_t vmid, bool dryrun, Err *err) must_check;

#endif
