/* SPDX-License-Identifier: Apache-2.0 */
/* guest_ovf: an OVF description and the files of its disks, as they lie in its folder. Any thread;
 * blocks. */
#ifndef GUEST_IO_GUEST_OVF_H
#define GUEST_IO_GUEST_OVF_H

#include "guest/core/ovf.h"

/* Errors as ovf_parse; -ENOENT for a file that is missing, -EINVAL for one that is not a file of
 * this folder (links count as what they name) or not of the size that the description says. */
int guest_ovf_read(const char *path, Ovf **ret, Err *err) must_check;

#endif
