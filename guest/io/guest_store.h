/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_store: what verbs that make and change guests share: the host, its storages, what is known
 * of the data centre, random identity, and the disks that a verb has made so far and takes back
 * when it fails. Main thread.
 */
#ifndef GUEST_IO_GUEST_STORE_H
#define GUEST_IO_GUEST_STORE_H

#include "guest/core/guest_fresh.h"
#include "guest/io/guest_host.h"
#include "guest/io/guest_work.h"
#include "guest/io/storage_set.h"
#include "lib/base/err.h"
#include "lib/conf/vmconf.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct GuestStore {
    GuestHost *host;    /* owned */
    StorageSet *set;    /* owned */
    VmConf *datacenter; /* datacenter.cfg: `key: value` lines; owned */
    GPtrArray *made;    /* char *: volumes made since the last guest_store_keep */
    char *qemu;         /* version that is installed, or NULL */
    uint32_t vmid;      /* whose configuration the verb holds; 0: none */
    GuestWork *work;    /* once there was something to note */
} GuestStore;

/* Takes `host` over, also on failure. */
int guest_store_open(GuestHost *host, GuestStore **ret, Err *err) must_check;
/* Frees what has been made and not kept, with a warning when that fails. */
void guest_store_close(GuestStore *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestStore, guest_store_close)

/* A volume made for this verb: to be removed again unless the verb succeeds. */
void guest_store_add(GuestStore *s, const char *volid);
/* The verb succeeded: what was made stays. */
void guest_store_keep(GuestStore *s);
/* The verb failed: what was made goes, newest first. */
void guest_store_undo(GuestStore *s);

/* From here on the verb holds the configuration of this guest: notes (guest_work) of volumes that
 * it makes for it let the next verb take them back when this one is killed. */
void guest_store_works_on(GuestStore *s, uint32_t vmid);
/* A note, as guest_work_note: before the file is written that does not name the volume any more. */
void guest_store_note(GuestStore *s, const char *word, const char *rest);

/* Frees volumes (char *) that the guest's file does not name any more; what stays is told. */
void guest_store_free(GuestStore *s, uint32_t vmid, const GPtrArray *freed);

/* Where new identity comes from; asks for QEMU's version when `with_qemu`. */
FreshSource guest_store_fresh(GuestStore *s, bool with_qemu);

/* 1 when the guest's QEMU runs here, 0 when not, or -errno. */
int guest_store_running(const GuestStore *s, uint32_t vmid, Err *err) must_check;
/* -EBUSY when it runs; `why` ends the sentence: "cannot be destroyed". */
int guest_store_check_off(const GuestStore *s, uint32_t vmid, const char *why, Err *err) must_check;

/* `lower=`, `upper=` of next-id in datacenter.cfg, or the usual. */
int guest_store_next_id(const GuestStore *s, uint32_t *ret, Err *err) must_check;

#endif
