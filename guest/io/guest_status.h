/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_status: what is known about a guest: from its configuration, its process, and (in full)
 * from its monitor. A monitor that does not answer leaves its fields out. Reference: guest.md
 * section 11. Main thread; blocks at most some seconds.
 */
#ifndef GUEST_IO_GUEST_STATUS_H
#define GUEST_IO_GUEST_STATUS_H

#include "guest/io/guest_host.h"
#include "lib/base/err.h"
#include "lib/base/jsontree.h"

#include <stdbool.h>
#include <stdint.h>

/* An object; `status` (running, stopped) and `qmpstatus` are always there. -ENOENT names the node
 * that has the guest. The caller owns *ret. */
int guest_status(const GuestHost *h, uint32_t vmid, bool full, JsonTree **ret, Err *err) must_check;

#endif
