/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_change: what `qm set` and a cold start do to a guest's configuration. A change of a running
 * guest waits in the section [PENDING] unless its option counts at once; a disk that is taken away
 * stays as `unusedN`, and only taking that away frees the volume. Reference guest.md sections 2, 3
 * and 12. Pure: the caller reads and writes the file and frees volumes.
 */
#ifndef GUEST_CORE_GUEST_CHANGE_H
#define GUEST_CORE_GUEST_CHANGE_H

#include "lib/base/err.h"
#include "lib/conf/vmconf.h"

#include <glib.h>
#include <stdbool.h>

typedef struct GuestChange {
    GHashTable *set;   /* key -> value, both borrowed by the functions below */
    GPtrArray *remove; /* char *: keys */
    GPtrArray *revert; /* char *: keys whose pending change is dropped */
    bool force;        /* free the volumes of removed disks at once */
    bool running;      /* the guest runs: most changes wait */
} GuestChange;

/* Empty lists, owned by the caller. */
void guest_change_init(GuestChange *c);
void guest_change_clear(GuestChange *c);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GuestChange, guest_change_clear)

/* Checks everything first, then changes `conf`; on failure it is untouched. `freed` (GPtrArray of
 * char *) gets the volumes that nothing refers to any more and that the change asked to free: to be
 * freed after the file was written, never before. -EINVAL, -ENOENT for a key that is not there,
 * -EPERM for what protection forbids. */
int guest_change_apply(VmConf *conf, const GuestChange *change, GPtrArray *freed, Err *err)
    must_check;

/* Moves what is pending into the main section: before a cold start, or when the guest is off. */
void guest_pending_apply(VmConf *conf, GPtrArray *freed);

/* One pending change, for `qm pending`. */
typedef struct GuestPending {
    const char *key;     /* borrowed from the file */
    const char *current; /* value now, or NULL */
    const char *next;    /* value that waits, or NULL */
    bool removed;        /* it will go */
    bool forced;         /* and its volume is freed */
} GuestPending;

/* All keys of main and pending, sorted: GuestPending elements. The caller owns the array. */
GArray *guest_pending_list(const VmConf *conf);

/* True when a drive of any section refers to `volid`. */
bool guest_uses_volume(const VmConf *conf, const char *volid);

/* Remembers a volume as unusedN, unless something refers to it. -ENOSPC when all numbers are taken.
 */
int guest_keep_unused(VmConf *conf, const char *volid, Err *err) must_check;

/* A configuration word that forbids what the caller wants to do: -EBUSY naming the lock, unless
 * `skip`. */
int guest_check_lock(const VmConf *conf, bool skip, Err *err) must_check;

/* "xxxxxxxx-xxxx-4xxx-..." from 16 bytes. Caller frees. */
char *guest_uuid(const guint8 bytes[16]);

#endif
