/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_scope: the group of processes in which a guest's QEMU and its helpers run, with its share
 * of the host's processors and a bound for its memory: `VMID.scope` in `qemu.slice`. Made by
 * systemd where that runs (so that restarts of services never touch guests), else a cgroup made
 * here: v2, or the v1 controllers cpu and memory. Main thread.
 */
#ifndef GUEST_IO_GUEST_SCOPE_H
#define GUEST_IO_GUEST_SCOPE_H

#include "guest/core/guestconf.h"
#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define GUEST_SCOPE_ROOT "/sys/fs/cgroup"

typedef struct GuestLimits {
    double cpulimit;      /* processors, 0: no limit */
    int64_t cpuunits;     /* weight; 0: the usual one */
    int64_t memory_bytes; /* what the group may have at most, 0: no limit */
} GuestLimits;

typedef enum GuestScopeKind {
    GUEST_SCOPE_NONE, /* this host offers no group that could be used */
    GUEST_SCOPE_SYSTEMD,
    GUEST_SCOPE_V2,
    GUEST_SCOPE_V1, /* only where CPU limits are asked for */
} GuestScopeKind;

/* What a configuration asks for. The memory is nobody's wish: it is what the guest can have plus a
 * margin that QEMU and its helpers never need unless something has gone wrong in them, so that a
 * program that leaks takes its own guest down and not the node. */
GuestLimits guest_scope_limits(const GuestConf *conf);

/* How this host makes groups. `root` is GUEST_SCOPE_ROOT, or another tree of the same shape, for
 * which systemd is not asked; so in all that follows. */
GuestScopeKind guest_scope_kind(const char *root);

/* Puts `pids` (pid_t, QEMU first) with all they will start into the scope of the guest and sets the
 * limits. Helpers that have ended meanwhile are passed over. *ret says how; GUEST_SCOPE_NONE with 0
 * when CPU limits were not asked for and there is nothing to use. -ENOTSUP when they were and
 * cannot be had. *ret_why is NULL, or why the memory is not bounded though the group exists; the
 * caller frees it. */
int guest_scope_enter(const char *root,
                      uint32_t vmid,
                      const GArray *pids,
                      const GuestLimits *limits,
                      GuestScopeKind *ret,
                      char **ret_why,
                      Err *err) must_check;

/* New limits of processors for a guest that runs. */
int guest_scope_set(const char *root, uint32_t vmid, pid_t pid, const GuestLimits *limits, Err *err)
    must_check;

/* Another bound of memory for a guest that runs; nothing where its group has none. */
int guest_scope_set_memory(const char *root, uint32_t vmid, int64_t bytes, Err *err) must_check;

/* Removes the group of a guest that has ended; systemd does so by itself. Waits a moment for
 * helpers that end with QEMU. */
void guest_scope_remove(const char *root, uint32_t vmid);

/* Directory of the group of version 2 that a guest's process is in; NULL when it is in none of its
 * own. Caller frees. */
char *guest_scope_group(pid_t pid);

/* Bytes that the group uses, or -errno. */
int64_t guest_scope_memory(pid_t pid);

/* cpu.weight for `cpuunits`: 1..10000, 100 when not said. */
int64_t guest_scope_weight(int64_t cpuunits);

#endif
