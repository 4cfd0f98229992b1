/* SPDX-License-Identifier: Apache-2.0 */
/*
 * volume_states: the snapshots inside a qcow2 image, without what its guest has now, as records of
 * a stream (guest/core/statestream.h). The image may be open in a QEMU, as long as nobody makes or
 * deletes snapshots of it: that is what `lock: migrate` is for. Main thread; blocks.
 */
#ifndef GUEST_IO_VOLUME_STATES_H
#define GUEST_IO_VOLUME_STATES_H

#include "guest/io/storage_set.h"
#include "lib/base/err.h"

#include <stdint.h>

/* All records; only clusters that differ from the snapshot before are read. -ENOTSUP. */
int volume_states_send(const StorageSet *set, const char *path, int to, Err *err) must_check;

/* Takes them into an image of `size` bytes that reads as zeroes, and makes a snapshot of each. The
 * image has `size` bytes again in the end, and the content of the last snapshot. -EBADMSG. */
int volume_states_receive(
    const StorageSet *set, int from, const char *path, uint64_t size, Err *err) must_check;

#endif
