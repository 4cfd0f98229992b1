/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_disks: the disks of a configuration as volumes: what `scsi0: local:32` asks for is made,
 * what is named is looked at, and the line says what is true. Reference: guest.md section 5.
 * Main thread; blocks.
 */
#ifndef GUEST_IO_GUEST_DISKS_H
#define GUEST_IO_GUEST_DISKS_H

#include "guest/io/guest_store.h"
#include "lib/base/err.h"
#include "lib/conf/propstring.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define CLOUDINIT_BYTES UINT64_C(4194304)
#define TPMSTATE_BYTES  UINT64_C(4194304)

/* True when the value of a drive asks for a volume that is yet to be made. */
bool guest_disk_is_wish(const char *value);

/* The value as it is written down: wishes made (and added to s->made), sizes filled in. `section`
 * is what else the guest has. Caller frees *ret. */
int guest_disk_resolve(GuestStore *s,
                       uint32_t vmid,
                       const VmSection *section,
                       const char *key,
                       const char *value,
                       char **ret,
                       Err *err) must_check;

/* Checks a section as a whole: every value, every drive. */
int guest_disks_check(const VmSection *section, uint32_t vmid, Err *err) must_check;

/* One drive of a section that has a volume on a storage. */
typedef struct GuestDisk {
    char *key;         /* "scsi0" */
    PropString *props; /* owned */
    const char *volid; /* borrowed from `props` */
    bool cdrom;
    bool cloudinit; /* made anew whenever needed */
} GuestDisk;

void guest_disk_free(void *disk);

/* GuestDisk *, sorted by key; unused ones too when asked for. Empty drives and paths are left out.
 * -EINVAL names the drive. The caller owns the array. */
int guest_disks_of(const VmSection *section, bool with_unused, GPtrArray **ret, Err *err)
    must_check;

/* The value with another volume and size; keeps all else but `format`. Caller frees. */
char *guest_disk_with(const GuestDisk *d, const char *volid, uint64_t size);

/* Volumes of all sections that belong to the guest: its disks, unused ones, cloud-init, saved
 * states. char *, each once, sorted. The caller owns the array. */
GPtrArray *guest_volumes_of(const VmConf *conf);

#endif
