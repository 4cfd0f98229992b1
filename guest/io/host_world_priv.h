/* SPDX-License-Identifier: Apache-2.0 */
/* host_world_priv: what host_world.c, host_probe.c and host_assume.c share. */
#ifndef GUEST_IO_HOST_WORLD_PRIV_H
#define GUEST_IO_HOST_WORLD_PRIV_H

#include "guest/io/host_world.h"

struct HostWorld {
    HostFacts facts;
    char *root;
    bool assumed; /* nothing of this host may be looked at, except below `root` */
    bool look_only; /* nothing is written, not even what would be quicker the next time */
    bool any_pci; /* every PCI device is taken to exist */
    bool qemu_known;
    bool vendor_known;
    bool caps_known;
    GPtrArray *strings; /* char *: owned texts that `facts` borrows */
    StorageCfg *storages;
    MappingCfg *pci_map;
    MappingCfg *usb_map;
    MappingCfg *dir_map;
    SectionLines *cpu_models;
};

/* Takes a text over and gives it back for `facts`. */
const char *host_world_keep(HostWorld *w, char *text);

/* host_assume.c: sets what --assume says. */
int host_assume(HostWorld *w, const char *text, Err *err) must_check;

/* host_probe.c: fills in what is not known yet from this host. */
int host_probe(HostWorld *w, Err *err) must_check;
void host_probe_lookups(HostWorld *w);

#endif
