/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_suspend: guests that pause: in memory, or on disk, where the host may be turned off
 * meanwhile. On disk the configuration says `lock: suspended` and where the memory is; a start goes
 * on from there. Reference: guest.md section 10. Main thread; blocks.
 */
#ifndef GUEST_IO_GUEST_SUSPEND_H
#define GUEST_IO_GUEST_SUSPEND_H

#include "guest/io/guest_host.h"
#include "guest/io/guest_start.h"
#include "lib/base/err.h"
#include "lib/port/qmp.h"

#include <stdbool.h>
#include <stdint.h>

#define GUEST_LOCK_SUSPENDED "suspended"

/* Pauses a running guest. */
int guest_pause(const GuestHost *h, uint32_t vmid, bool skiplock, Err *err) must_check;

/* Lets a paused guest go on; one that sleeps is woken, one that is off is reset. `nocheck`: the
 * caller has proof that the guest belongs here although its file may not show it yet. */
int guest_resume(const GuestHost *h, uint32_t vmid, bool skiplock, bool nocheck, Err *err)
    must_check;

/* Writes the memory to a volume (`storage` NULL: the configured place) and ends QEMU. On failure
 * the guest goes on. */
int guest_sleep(const GuestHost *h, uint32_t vmid, const char *storage, bool skiplock, Err *err)
    must_check;

/* Starts a guest that sleeps on disk. On failure it still sleeps. */
int guest_wake(const GuestHost *h, uint32_t vmid, const GuestStartOptions *options, Err *err)
    must_check;

/* For guest_recover, after a command that was killed. The first: it was about to sleep (`lock:
 * suspending`), and does not. The second: by its file it sleeps, and QEMU is there: the one of
 * before, with nothing more to do, or one that has got the memory and runs. */
int guest_sleep_take_back(const GuestHost *h, uint32_t vmid, Err *err) must_check;
int guest_sleep_settle(const GuestHost *h, uint32_t vmid, QmpClient *qmp, Err *err) must_check;

#endif
