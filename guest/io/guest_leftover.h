/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_leftover: the name a configuration has until it is complete (cfsfile_temp_path, or
 * `VMID.conf.tmp.PID` of other tools) stays behind when its writer is killed. Writers hold the lock
 * of the VMID: who has that lock knows that what is there belongs to nobody. Main thread.
 */
#ifndef GUEST_IO_GUEST_LEFTOVER_H
#define GUEST_IO_GUEST_LEFTOVER_H

#include "guest/io/guest_tree.h"

#include <stdint.h>

/* Removes them all from this node's folder, for `held`, whose lock the caller has, and for every
 * other VMID whose lock is free now. What cannot be removed (no quorum) is left to the next. */
void guest_leftover_sweep(const GuestTree *t, uint32_t held);

/* The same for one file of which the caller has the only writer's lock. */
void guest_leftover_drop(const char *path);

#endif
