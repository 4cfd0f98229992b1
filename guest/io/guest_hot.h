/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_hot: changes that a running guest takes at once: another disc in a CD drive, another target
 * of the balloon. All other changes wait for its next start. Reference: guest.md section 12.
 * Main thread; blocks as QMP does.
 */
#ifndef GUEST_IO_GUEST_HOT_H
#define GUEST_IO_GUEST_HOT_H

#include "guest/io/guest_edit.h"
#include "guest/io/guest_store.h"

#include <stdint.h>

/* Of what waits in the written configuration, tells QEMU what it can take, and writes that as done.
 * What QEMU refuses goes on waiting, with a warning. */
int guest_hot_apply(GuestStore *s, uint32_t vmid, GuestEdit *edit, Err *err) must_check;

#endif
