/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_ports: ports 60001 to 60050 of this node. A port is reserved by a listening socket that stays
 * open and is handed to QEMU, so nobody else can take it in between. When all are taken, requests
 * wait in a queue, first come first served, and are told their place. Any thread.
 */
#ifndef MIGRATION_IO_MIG_PORTS_H
#define MIGRATION_IO_MIG_PORTS_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>

typedef struct MigPorts MigPorts;
typedef struct MigLease {
    MigPorts *ports;
    unsigned port;
    int fd; /* listening; -1 once it was given away */
} MigLease;

MigPorts *mig_ports_new(unsigned first, unsigned last);
void mig_ports_free(MigPorts *p);

/* A listening socket at `address` (numeric). -EAGAIN: all are taken, or others wait in front; then
 * `*ret_position` is the place in the queue of `ticket`, from 1; call again later. */
int mig_ports_take(MigPorts *p,
                   const char *address,
                   const void *ticket,
                   unsigned *ret_position,
                   MigLease **ret,
                   Err *err) must_check;
/* Leaves the queue. */
void mig_ports_leave(MigPorts *p, const void *ticket);
/* Closes our copy of the socket (QEMU keeps its own); the port stays reserved. */
void mig_lease_close_fd(MigLease *l);
void mig_lease_free(MigLease *l); /* NULL is allowed */

typedef struct MigPortsUse {
    unsigned total, taken, waiting;
} MigPortsUse;
/* As it is now. Any thread. */
MigPortsUse mig_ports_use(MigPorts *p);

#endif
