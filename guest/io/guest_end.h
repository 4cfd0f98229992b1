/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_end: what remains to be done when a guest's QEMU has ended: its interfaces, sockets, cgroup
 * and pid file go, the end is written down in RUN_DIR/VMID.exit, pending changes come true, the
 * post-stop hook runs. Several may try at once (the verb that stopped it, the event daemon): the
 * first one does it, because only it still finds the note of the start, RUN_DIR/VMID.run.
 * Main thread; blocks.
 */
#ifndef GUEST_IO_GUEST_END_H
#define GUEST_IO_GUEST_END_H

#include "guest/io/guest_edit.h"
#include "guest/io/guest_host.h"
#include "lib/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Notes that the guest runs now; `migrated_from` NULL for one that was started here. */
int guest_end_expect(
    const GuestHost *h, uint32_t vmid, pid_t pid, const char *migrated_from, Err *err) must_check;

typedef struct GuestEnd {
    const char *reason;   /* "shutdown", "stopped", "killed", "crashed", "migrated", "suspended" */
    bool guest_requested; /* the guest turned itself off */
    bool foreign;         /* its configuration is (or soon will be) another node's: do not touch */
} GuestEnd;

/* Says why the guest is about to end, before it does: whoever sees the end first writes it down. */
void guest_end_announce(const GuestHost *h, uint32_t vmid, const char *reason);

/* Waits until the process is gone, at most `wait_ms` (-EBUSY when it stays), then does all of the
 * above; 0 also when it had been done before. */
int guest_end(const GuestHost *h, uint32_t vmid, const GuestEnd *end, unsigned wait_ms, Err *err)
    must_check;

/* A guest that was started here, whose process is gone, and whose end nobody has seen: writes it
 * down as crash. For use before a start. */
int guest_end_overlooked(const GuestHost *h, uint32_t vmid, Err *err) must_check;

/* What waited for a cold start comes true and is written. */
int guest_apply_pending(const GuestHost *h, uint32_t vmid, GuestEdit *edit, Err *err) must_check;

/* True between guest_end_expect and guest_end. */
bool guest_end_is_due(const GuestHost *h, uint32_t vmid);

#endif
