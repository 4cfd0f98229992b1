/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_nodes: disks of a running QEMU in the form that machines from version 10 on use: a tree of
 * block nodes under a throttle filter "drive-KEY", in place of one drive. The filter stays for as
 * long as the disk does; what is below it can be exchanged: "format-KEY" by "format-KEY-1" and so
 * on. Main thread; blocks.
 */
#ifndef GUEST_IO_GUEST_NODES_H
#define GUEST_IO_GUEST_NODES_H

#include "guest/io/guest_host.h"
#include "lib/base/err.h"
#include "lib/conf/vmconf.h"
#include "lib/port/qmp.h"

#include <stdbool.h>
#include <stdint.h>

/* How QEMU has the disk or CD drive `key`, which may be empty: as a tree of nodes or as a drive.
 * -ENOTSUP when it has none. */
int guest_nodes_form(QmpClient *qmp, const char *key, bool *ret_nodes, Err *err) must_check;

/* What the disk is made of, by a start of the guest. */
typedef struct GuestNodes {
    JsonTree *group; /* throttle group */
    JsonTree *tree;
} GuestNodes;

void guest_nodes_clear(GuestNodes *n);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GuestNodes, guest_nodes_clear)

/* The same for another value of the disk. `section` is what else the guest has. -ENOTSUP when QEMU
 * can be told of the volume as a drive only. */
int guest_nodes_plan(const GuestHost *h,
                     uint32_t vmid,
                     const VmSection *section,
                     const char *key,
                     const char *value,
                     GuestNodes *ret,
                     Err *err) must_check;

/* Opens the volume of `plan` beside the disk, for a copy. *ret_now is the node below the filter,
 * *ret_copy the new one; the caller frees both. Copies of earlier times that nothing uses go. */
int guest_nodes_add_copy(QmpClient *qmp,
                         const char *key,
                         const GuestNodes *plan,
                         char **ret_now,
                         char **ret_copy,
                         Err *err) must_check;

/* Closes all copies of the disk that nothing uses. */
void guest_nodes_drop_copies(QmpClient *qmp, const char *key);

/* Another disc in a CD drive, or none (`plan` NULL). A drive that cannot get the new one is left
 * empty. */
int guest_nodes_change_disc(QmpClient *qmp, const char *key, const GuestNodes *plan, Err *err)
    must_check;

#endif
