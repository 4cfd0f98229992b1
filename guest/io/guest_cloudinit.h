/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_cloudinit: the cloud-init drive of a guest: its files from the configuration, an ISO image
 * of them by genisoimage, and that image on the volume. What the image was made from is remembered
 * in the section [special:cloudinit]. Reference: guest.md section 15. Main thread; blocks.
 */
#ifndef GUEST_IO_GUEST_CLOUDINIT_H
#define GUEST_IO_GUEST_CLOUDINIT_H

#include "guest/io/guest_host.h"
#include "guest/io/storage_set.h"
#include "lib/base/err.h"
#include "lib/conf/vmconf.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* "user", "network" or "meta". The caller frees *ret. */
int guest_cloudinit_text(const StorageSet *set,
                         uint32_t vmid,
                         const VmConf *conf,
                         const char *kind,
                         char **ret,
                         Err *err) must_check;

/* Makes the image anew when the configuration has changed since the last one, or `force`. 1: it
 * was made and `conf` says so (to be written), 0: nothing to do. Nobody may have the drive open. */
int guest_cloudinit_update(const StorageSet *set, uint32_t vmid, VmConf *conf, bool force, Err *err)
    must_check;

/* guest_cloudinit_update for a cold start; opens the storages only when there is such a drive. */
int guest_cloudinit_start(const GuestHost *h, uint32_t vmid, VmConf *conf, Err *err) must_check;

/* One option that differs from what the image was made from. */
typedef struct CloudinitPending {
    const char *key; /* borrowed from the configuration */
    const char *made;
    const char *now;
} CloudinitPending;

/* CloudinitPending elements, sorted by key; the caller owns the array. */
GArray *guest_cloudinit_pending(const VmConf *conf);

#endif
