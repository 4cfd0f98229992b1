/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_fresh: what makes a guest itself: addresses of its network cards, its UUID, its generation
 * id, and what is written down once when it is made. A new guest gets what nobody chose, a clone
 * gets all of it anew. Reference: guest.md sections 3, 4 and 14. Pure: random bytes are asked for.
 */
#ifndef GUEST_CORE_GUEST_FRESH_H
#define GUEST_CORE_GUEST_FRESH_H

#include "lib/base/err.h"
#include "lib/conf/vmconf.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRESH_MAC_PREFIX "BC:24:11" /* unless datacenter.cfg says another */

typedef struct FreshSource {
    void (*random)(void *ctx, uint8_t *buf, size_t n);
    void *ctx;
    const char *mac_prefix; /* "BC:24:11"; NULL: FRESH_MAC_PREFIX */
    const char *qemu;       /* version that is installed, or NULL */
    int64_t now_sec;        /* Unix time */
} FreshSource;

/* "AA:BB", one to five bytes of a unicast address. 0 or -EINVAL. */
int fresh_check_prefix(const char *prefix, Err *err) must_check;

/* A network card with an address of its own, when it has none or `renew`. Caller frees *ret. */
int fresh_net(const FreshSource *f, const char *value, bool renew, char **ret, Err *err) must_check;

/* Fills in what a new guest needs and nobody chose: addresses, smbios1 uuid, vmgenid, meta, boot.
 */
int fresh_create(const FreshSource *f, VmSection *main, Err *err) must_check;

/* Makes the section that of another guest: addresses, uuid, generation id and meta are new; what
 * belongs to the old one (unused volumes, locks, snapshots, saved state) is gone. */
int fresh_clone(const FreshSource *f, VmSection *main, Err *err) must_check;

/* Another generation of the same guest, after its state went back. */
void fresh_generation(const FreshSource *f, VmSection *main);

/* "order=scsi0;ide2;net0": the first disk, the first CD drive, the first card; NULL when there is
 * none. Caller frees. */
char *fresh_boot(const VmSection *main);

/* Lower case, sorted, each once. Caller frees. */
char *fresh_tags(const char *value);

#endif
