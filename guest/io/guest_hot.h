/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_hot: changes that a running guest takes at once, as far as its option `hotplug` allows:
 * disks and their limits, discs in CD drives, network cards, USB devices, processors, memory, the
 * balloon, limits of its cgroup. All others wait for its next start, and so does what QEMU or the
 * guest refuses. Reference: guest.md section 12. Main thread; blocks as guest_plug does.
 */
#ifndef GUEST_IO_GUEST_HOT_H
#define GUEST_IO_GUEST_HOT_H

#include "guest/io/guest_edit.h"
#include "guest/io/guest_store.h"

#include <stdint.h>

/* Of what waits in the written configuration, does what can be done while the guest runs, and
 * writes that as done, one option at a time. For all others it says why they go on waiting. */
int guest_hot_apply(GuestStore *s, uint32_t vmid, GuestEdit *edit, Err *err) must_check;

/* Why each pending change of `conf` waits: key -> reason, both char *. Nothing is tried or written.
 * The caller owns the table. */
int guest_hot_explain(
    GuestStore *s, uint32_t vmid, VmConf *conf, GHashTable **ret_reasons, Err *err) must_check;

#endif
