/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stat_host: what the kernel tells about this machine, read from /proc. Nothing here can hang on a
 * guest or a storage. Main thread.
 */
#ifndef GUEST_IO_STAT_HOST_H
#define GUEST_IO_STAT_HOST_H

#include "guest/core/stat_line.h"
#include "lib/base/err.h"

#include <glib.h>

typedef struct StatHost StatHost;

/* `proc`: where /proc is; copied. */
StatHost *stat_host_new(const char *proc);
void stat_host_free(StatHost *h);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StatHost, stat_host_free)

/* Shares of processor time are those since the last call; at the first one, since the machine
 * started. *ret_taps: traffic of guests (stat_text_devices); caller unrefs. Fails when not even
 * processors and memory can be told. */
int stat_host_read(StatHost *h, StatNode *ret, GHashTable **ret_taps, Err *err) must_check;

/* "some" and "full" of one file, NAN where there is none. */
void stat_host_pressure(const char *path, double *ret_some, double *ret_full);

#endif
