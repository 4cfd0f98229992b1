/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_host: what the QEMU of this node can do. Asked of the program once, by its monitor, and kept
 * as long as the program stays the same file: a move does not wait for it. Any thread.
 */
#ifndef MIGRATION_IO_MIG_HOST_H
#define MIGRATION_IO_MIG_HOST_H

#include "lib/base/err.h"
#include "lib/base/jsontree.h"

#include <stdbool.h>

typedef struct MigHosts MigHosts;

typedef struct MigHost {
    char *version;      /* "7.2.22" */
    JsonTree *machines; /* array of names of machine types, aliases included */
    JsonTree *cpu;      /* all that the largest CPU here has: flag -> true or false */
    bool zstd;          /* channels may be compressed */
} MigHost;

MigHosts *mig_hosts_new(void);

/* QEMU for "x86_64" or "aarch64", with KVM or without. Borrowed; it stays until the daemon ends.
 * -ENOENT without the program; -EIO when it does not start, as without working KVM. The first call
 * takes as long as a start of QEMU. */
int mig_hosts_get(MigHosts *h, const char *arch, bool kvm, const MigHost **ret, Err *err)
    must_check;

/* Asks on a thread of its own what a first move would wait for. */
void mig_hosts_warm(MigHosts *h);

/* MTU of a bridge of this node; 0: there is none of that name. */
int64_t mig_host_mtu(const char *bridge);

#endif
