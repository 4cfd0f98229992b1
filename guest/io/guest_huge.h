/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_huge: huge pages for guests (`hugepages`): added to the kernel's pools when too few are
 * free, and given back after the guests' ends. What was added is written down in RUN/hugepages; who
 * counts and changes pools holds RUN/hugepages.lock, from counting until QEMU has its pages. Works
 * on a tree like /sys, which tests bring themselves. Main thread; blocks.
 */
#ifndef GUEST_IO_GUEST_HUGE_H
#define GUEST_IO_GUEST_HUGE_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>

#define GUEST_HUGE_SYSFS "/sys"

typedef struct GuestHuge GuestHuge;

/* Makes that the pages which `objects` (char *, values of -object and any other words) take are
 * free. *ret is NULL when they take none, else the caller's: guest_huge_done() once QEMU has them,
 * and in any case guest_huge_free(), before which no other guest gets huge pages. -ENOMEM when
 * there are not enough, -EBUSY when another guest takes its pages all the time. */
int guest_huge_take(const char *sysfs,
                    const char *run_dir,
                    const GPtrArray *objects,
                    GuestHuge **ret,
                    Err *err) must_check;

/* QEMU has its pages. `keep`: those that were added for it are left to the host when it ends. */
void guest_huge_done(GuestHuge *h, bool keep);

/* What was added and nobody uses goes back. NULL is fine. */
void guest_huge_free(GuestHuge *h);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestHuge, guest_huge_free)

/* The same after a guest has ended. Costs nothing where there is nothing to give back. */
int guest_huge_give_back(const char *sysfs, const char *run_dir, Err *err) must_check;

#endif
