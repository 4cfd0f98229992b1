/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_scope: the group of processes in which a guest's QEMU runs, with its share of the host's
 * processors: `VMID.scope` in `qemu.slice`. Made by systemd where that runs (so that restarts of
 * services never touch guests), else a cgroup made here: v2, or the v1 cpu controller. Main thread.
 */
#ifndef GUEST_IO_GUEST_SCOPE_H
#define GUEST_IO_GUEST_SCOPE_H

#include "guest/core/guestconf.h"
#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct GuestLimits {
    double cpulimit;  /* processors, 0: no limit */
    int64_t cpuunits; /* weight; 0: the usual one */
} GuestLimits;

typedef enum GuestScopeKind {
    GUEST_SCOPE_NONE, /* this host offers no group that could be used */
    GUEST_SCOPE_SYSTEMD,
    GUEST_SCOPE_V2,
    GUEST_SCOPE_V1, /* cpu controller only */
} GuestScopeKind;

/* What a configuration asks for. */
GuestLimits guest_scope_limits(const GuestConf *conf);

/* Puts `pid` with all it starts into the scope of the guest and sets the limits. *ret says how;
 * GUEST_SCOPE_NONE with 0 when limits were not asked for and there is nothing to use. -ENOTSUP when
 * limits were asked for and cannot be had. */
int guest_scope_enter(
    uint32_t vmid, pid_t pid, const GuestLimits *limits, GuestScopeKind *ret, Err *err) must_check;

/* New limits for a guest that runs. */
int guest_scope_set(uint32_t vmid, pid_t pid, const GuestLimits *limits, Err *err) must_check;

/* Removes the group of a guest that has ended; systemd does so by itself. */
void guest_scope_remove(uint32_t vmid);

/* Bytes that the group uses, or -errno. */
int64_t guest_scope_memory(pid_t pid);

/* cpu.weight for `cpuunits`: 1..10000, 100 when not said. */
int64_t guest_scope_weight(int64_t cpuunits);

#endif
