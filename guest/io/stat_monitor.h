/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat_monitor: what only the QEMU of a guest can tell: bytes of its disks, memory that the guest
 * itself counts as free. Many monitors are asked at the same time, each with a deadline; one that
 * hangs costs nobody anything and is asked less often. QEMU talks to one client at a time, so each
 * connection is short. Main thread; answers come in its default GLib context.
 */
#ifndef GUEST_IO_STAT_MONITOR_H
#define GUEST_IO_STAT_MONITOR_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct StatMonitors StatMonitors;

/* Each may be unknown. */
typedef struct StatMonitorWords {
    int64_t disk_read;
    int64_t disk_written;
    int64_t mem; /* in use by the count of the guest */
} StatMonitorWords;

/* `run_dir` is copied. */
StatMonitors *stat_monitors_new(const char *run_dir);
void stat_monitors_free(StatMonitors *m);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StatMonitors, stat_monitors_free)

/* Once in each round for each guest that runs: asks it in this round, unless it was silent lately.
 * Another `pid` is another guest: what is known of the former is forgotten. */
void stat_monitors_ask(StatMonitors *m, uint32_t vmid, pid_t pid);
/* The guest does not run any more. */
void stat_monitors_forget(StatMonitors *m, uint32_t vmid);

/* Some have not answered and have time left to do so. */
bool stat_monitors_busy(const StatMonitors *m);

/* The last answer, if it came lately. */
StatMonitorWords stat_monitors_get(const StatMonitors *m, uint32_t vmid);

#endif
