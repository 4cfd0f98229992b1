/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_pci: PCI devices of the host on their way to a guest (`hostpciN`): given to the kernel's
 * vfio-pci, or a part of them (mdev) made. Works on a tree like /sys, which tests bring themselves.
 * Devices stay with vfio-pci after the guest's end: their own driver may take the host down when it
 * finds them in the state a guest left. Main thread; blocks.
 */
#ifndef GUEST_IO_GUEST_PCI_H
#define GUEST_IO_GUEST_PCI_H

#include "guest/core/qemucmd.h"
#include "lib/base/err.h"

#include <glib.h>
#include <stdint.h>

#define GUEST_PCI_SYSFS "/sys"

/* Everything could be given, and nothing has been changed. `passed`: QemuPci *. -ENODEV for a
 * device that is not there, -ENOTSUP when it is in no IOMMU group, -EBUSY when its group has other
 * devices that the host uses, -EINVAL for an mdev type it does not have, -ENOSPC when all parts of
 * it are given away. */
int guest_pci_check(const char *sysfs, const GPtrArray *passed, Err *err) must_check;

/* Does it. -EIO when vfio-pci does not take a device; what it had before is then tried again. */
int guest_pci_prepare(const char *sysfs, const GPtrArray *passed, Err *err) must_check;

/* Takes back what was made for the guest. */
void guest_pci_release(const char *sysfs, uint32_t vmid);

#endif
