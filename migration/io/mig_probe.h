/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mig_probe: can the source reach the ports of the target, and how fast? The target listens on one
 * of them for a moment and swallows what comes; the source connects. It is never the socket that
 * QEMU gets: a connection of the probe would stand first in its queue. Any thread.
 */
#ifndef MIGRATION_IO_MIG_PROBE_H
#define MIGRATION_IO_MIG_PROBE_H

#include "lib/base/err.h"
#include "migration/io/mig_ports.h"

#include <stdbool.h>
#include <stdint.h>

#define MIG_PROBE_MS 3000 /* for a connection, and for all it sends */

/* Comes back at once; the port is free again when the probe has ended. -EAGAIN: all are taken. */
int mig_probe_listen(MigPorts *ports, const char *address, unsigned *ret_port, Err *err) must_check;

/* Blocks until connected or refused, at most MIG_PROBE_MS; with `ret_speed` (may be NULL) some
 * tenths of a second more, for the bytes per second that get through in plain. */
int mig_probe_connect(const char *address, unsigned port, int64_t *ret_speed, Err *err) must_check;

#endif
