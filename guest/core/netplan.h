/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netplan: what must be done on a host so that a guest's network card is connected: its tap on the
 * bridge, with VLAN, firewall bridge and rate limit. Gives the commands, runs none.
 * Reference: guest.md section 22 ("Guest plumbing"). Pure.
 *
 *   plain             tap -> BRIDGE
 *   firewall=1        tap -> fwbrVMIDiN -> fwlnVMIDiN - fwprVMIDpN -> BRIDGE
 *   tag, plain bridge                   ... -> BRIDGEvTAG <- UPLINK.TAG
 *   tag, VLAN-aware bridge              ... -> BRIDGE, the port carries the tag
 */
#ifndef GUEST_CORE_NETPLAN_H
#define GUEST_CORE_NETPLAN_H

#include "lib/base/err.h"
#include "lib/conf/propstring.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define NETPLAN_CARDS_MAX 32

/* What the host looks like around the bridge. */
typedef struct NetFacts {
    bool vlan_aware;          /* the bridge filters VLANs itself */
    int mtu;                  /* of the bridge; 0: not known */
    const GPtrArray *uplinks; /* char *: its ports that lead out of the host */
    /* An interface is there. */
    bool (*exists)(void *ctx, const char *name);
    void *ctx;
} NetFacts;

/* "tapVMIDiN"; -EINVAL when the kernel takes no name that long. Caller frees. */
int netplan_tap(uint32_t vmid, int index, char **ret, Err *err) must_check;

/* Reads "tapVMIDiN". -EINVAL for any other name. */
int netplan_parse_tap(const char *tap, uint32_t *ret_vmid, int *ret_index, Err *err) must_check;

/* Commands that connect the tap: each element a GStrv, in order. `net` is a value of props_net. The
 * caller owns the array. -EINVAL for names that get too long, -ENODEV for a tag on a bridge that
 * leads nowhere. */
int netplan_plug(uint32_t vmid,
                 int index,
                 const PropString *net,
                 const NetFacts *facts,
                 GPtrArray **ret,
                 Err *err) must_check;

/* Commands that take a tap off all that netplan_plug(net) made, while its guest runs. */
GPtrArray *netplan_detach(uint32_t vmid, int index, const PropString *net, const NetFacts *facts);

/* Commands that remove what netplan_plug made beside the tap and is still there. */
GPtrArray *netplan_unplug(uint32_t vmid, int index, const NetFacts *facts);

#endif
