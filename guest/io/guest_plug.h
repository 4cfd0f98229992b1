/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_plug: performs the steps of guest/core/hotplan on a running guest's QEMU. Either all of
 * them are done, or those that were are taken back. Main thread; blocks as QMP does, and until the
 * guest gives a device up.
 */
#ifndef GUEST_IO_GUEST_PLUG_H
#define GUEST_IO_GUEST_PLUG_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdint.h>

#define GUEST_UNPLUG_MS 20000u /* a guest that is busy needs seconds; one without driver never */

/* `steps` as hotplan_make gives them. -ETIMEDOUT when the guest does not give a device up: QEMU is
 * then as before, but for a device that the guest releases later all the same. */
int guest_plug_run(const char *run_dir, uint32_t vmid, const GPtrArray *steps, Err *err) must_check;

#endif
