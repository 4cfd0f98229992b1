/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_recover: puts right what a command that was killed has left of a guest, before the next one
 * begins: half a snapshot, a guest that stands still, volumes that nobody names, copies that QEMU
 * goes on with, the `lock:` word. `create` and `clone` leave a guest that only `destroy` takes;
 * `rollback` is to be done again (guest_snapshot). Main thread; blocks as those commands do.
 */
#ifndef GUEST_IO_GUEST_RECOVER_H
#define GUEST_IO_GUEST_RECOVER_H

#include "guest/io/guest_host.h"

#include <stdint.h>

/* Nothing happens while a command is at work on the guest, on another node's guest, or without
 * quorum. What does not succeed is told and left to the next. */
void guest_recover(const GuestHost *h, uint32_t vmid);

#endif
