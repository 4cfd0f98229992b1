/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_work: what a command holds while it does more to a guest than one edit of its
 * configuration: a lock that ends with the process, and notes of what would be left if it were
 * killed. Whoever gets the lock knows that the `lock:` word of a snapshot, or a note, belongs to
 * nobody any more (guest_recover). Taken after the lock of the configuration, never before. Notes
 * are of this boot: no process survives it. Main thread.
 */
#ifndef GUEST_IO_GUEST_WORK_H
#define GUEST_IO_GUEST_WORK_H

#include "guest/io/guest_tree.h"
#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define GUEST_WORK_WAIT_MS 10000u /* for the command before, which is about to end */

/* Words of a note. */
#define GUEST_WORK_VOLUME "volume" /* VOLUME: goes, unless the configuration names it */
#define GUEST_WORK_COPY   "copy"   /* DISK VOLUME: QEMU copies to it */
#define GUEST_WORK_RAN    "ran"    /* the guest was stopped for it, and shall go on */
#define GUEST_WORK_START  "start"  /* QEMU is being started; until that is done it stands still */

typedef struct GuestWork GuestWork;

/* -EBUSY when another command is at work and does not end within `timeout_ms`. */
int guest_work_begin(
    const GuestTree *t, uint32_t vmid, unsigned timeout_ms, GuestWork **ret, Err *err) must_check;

/* Adds a line. What cannot be noted is not worth failing for. */
void guest_work_note(GuestWork *w, const char *word, const char *rest);

/* Lines of a command that was killed (char *), found at the beginning. Borrowed. */
const GPtrArray *guest_work_found(const GuestWork *w);
/* They are dealt with. */
void guest_work_forget(GuestWork *w);

/* Drops our own notes and gives the lock back. NULL is allowed. */
void guest_work_end(GuestWork *w);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestWork, guest_work_end)

/* True when there are notes, of whoever. */
bool guest_work_is_noted(const GuestTree *t, uint32_t vmid);

#endif
