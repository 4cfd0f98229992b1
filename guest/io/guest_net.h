/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_net: connects the taps of a guest to the host's bridges, as guest/core/netplan says. QEMU
 * makes the taps and calls `qm-bridge` for each; what the cards are is in RUN_DIR/VMID.nets, which
 * the start wrote, so nobody needs the cluster's tree for it. Main thread; blocks.
 */
#ifndef GUEST_IO_GUEST_NET_H
#define GUEST_IO_GUEST_NET_H

#include "guest/core/guestconf.h"
#include "lib/base/err.h"

#include <stdint.h>

#define GUEST_NET_RUN_DIR_ENV "QUORATE_RUN_DIR" /* given to QEMU for its children */

/* Every bridge a card wants is there. -ENODEV naming card and bridge. */
int guest_net_check(const GuestConf *conf, Err *err) must_check;

/* Writes down all cards with a bridge; called before QEMU is started or gets a new card. */
int guest_net_write(const char *run_dir, const GuestConf *conf, Err *err) must_check;

/* Connects the tap of this name: what `qm-bridge` does. */
int guest_net_plug(const char *run_dir, const char *tap, Err *err) must_check;

/* Removes what belongs to this tap; what is not there is fine. */
int guest_net_unplug(const char *tap, Err *err) must_check;

/* Takes the tap of a running guest off what it was connected to as `net` says. */
int guest_net_detach(const char *tap, const PropString *net, Err *err) must_check;

/* guest_net_unplug for all cards of a guest that has ended. */
void guest_net_sweep(uint32_t vmid);

#endif
