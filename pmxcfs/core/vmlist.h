/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmlist: which guest is configured on which node. Pure, one owner. Reference: pmxcfs chapter 7.1.
 */
#ifndef PMXCFS_CORE_VMLIST_H
#define PMXCFS_CORE_VMLIST_H

#include "pmxcfs/core/cfspath.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Vmlist Vmlist;

typedef struct VmlistGuest {
    uint32_t vmid;
    CfsGuestType type;
    uint32_t version;     /* number of the last registration, of all guests of this process */
    bool freed_for_peers; /* see vmlist_free_for_peers */
    char node[];
} VmlistGuest;

Vmlist *vmlist_new(void);
/* An empty list that goes on counting where `old` stands: for a rebuild. */
Vmlist *vmlist_new_after(const Vmlist *old);
void vmlist_free(Vmlist *l);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vmlist, vmlist_free)

/* Is the VMID of `guest` registered with another node or type? `as_peer`: as the original sees
 * it. */
bool vmlist_conflicts(const Vmlist *l, const CfsGuest *guest, bool as_peer);

/* Registers or re-registers: new guest version, list version +1. */
void vmlist_register(Vmlist *l, const CfsGuest *guest);

/* Forgets a VMID: list version +1. Nothing when it is unknown. */
void vmlist_unregister(Vmlist *l, uint32_t vmid);

/* The original frees a VMID when a mere directory with the name of a guest config goes away, and
 * would then accept a second config (reference 18.1.7). We keep the guest and refuse that locally,
 * but must agree with foreign peers on what they accept. */
void vmlist_free_for_peers(Vmlist *l, uint32_t vmid);

/* For a rebuild: adds with the version of the same guest in `old` when `unchanged`, else with a
 * new one. Does not count up the list version; false when the VMID is already there. */
bool vmlist_carry(Vmlist *l, const Vmlist *old, const CfsGuest *guest, bool unchanged);
void vmlist_count_rebuild(Vmlist *l); /* list version +1 */

/* Borrowed until the next change; NULL when unknown. */
const VmlistGuest *vmlist_find(const Vmlist *l, uint32_t vmid);
GArray *vmlist_ids(const Vmlist *l); /* uint32_t, ascending; caller frees */
uint32_t vmlist_version(const Vmlist *l);

/* Exact bytes of `.vmlist`, guests ascending by VMID. */
void vmlist_format(const Vmlist *l, GString *out);

#endif
