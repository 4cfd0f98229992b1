/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_world: the facts of a host for the making of commands (guest/core/host_facts): read from
 * this host and the cluster's files, or assumed for another host. Main thread; immutable once made.
 */
#ifndef GUEST_IO_HOST_WORLD_H
#define GUEST_IO_HOST_WORLD_H

#include "guest/core/host_facts.h"
#include "lib/base/err.h"

#include <glib.h>

#define CLUSTER_ROOT "/etc/pve"

typedef struct HostWorld HostWorld;

typedef struct HostWorldOptions {
    const char *root;       /* tree laid out like /etc/pve; NULL: CLUSTER_ROOT */
    const char *assume;     /* "qemu=7.2.0,arch=x86_64,...", or NULL: this host as it is */
    const char *run_dir;    /* NULL: the usual one */
    const char *script_dir; /* of the bridge scripts; NULL: where they are installed */
    bool look_only; /* leave nothing behind, not even the version of QEMU for the next time */
} HostWorldOptions;

/* -EINVAL for a wrong `assume`, errno of files that cannot be read, -ENOTSUP when QEMU is not
 * installed and its version not assumed. */
int host_world_new(const HostWorldOptions *options, HostWorld **ret, Err *err) must_check;
void host_world_free(HostWorld *w);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostWorld, host_world_free)

/* Borrowed, as long as the world lives. */
const HostFacts *host_world_facts(const HostWorld *w);

#endif
