/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_stop: ends guests: at once, or by asking the guest. No peer that lies or hangs makes a call
 * last longer than its timeouts. Reference: guest.md section 10. Main thread; blocks.
 */
#ifndef GUEST_IO_GUEST_STOP_H
#define GUEST_IO_GUEST_STOP_H

#include "guest/io/guest_host.h"
#include "lib/base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define GUEST_STOP_MS     60000u /* for `quit` to work, then SIGTERM */
#define GUEST_KILL_MS     10000u /* after SIGTERM, then SIGKILL */
#define GUEST_SHUTDOWN_MS 60000u /* for a guest to turn itself off */

typedef struct GuestStopOptions {
    bool skiplock;
    const char *migrated_from; /* the process of a guest that (perhaps) belongs to another node */
    unsigned timeout_ms;       /* 0: the usual; for shutdown also `startup: down=` */
    bool force;                /* shutdown: stop it when it does not obey */
} GuestStopOptions;

/* Ends QEMU. 0 also when it does not run. -EBUSY for a `lock:` word. */
int guest_stop(const GuestHost *h, uint32_t vmid, const GuestStopOptions *options, Err *err)
    must_check;

/* Asks the guest to turn itself off and waits. -ETIMEDOUT when it does not. */
int guest_shutdown(const GuestHost *h, uint32_t vmid, const GuestStopOptions *options, Err *err)
    must_check;

#endif
