/* SPDX-License-Identifier: Apache-2.0 */
/*
 * corosync_conf_sync: brings the cluster's corosync.conf to this host (reference pmxcfs 14.3).
 *
 * A bad file never reaches corosync: one that does not pass lib/conf/corosync_check is refused with
 * a log line, as is one whose version is lower than the host's. Writing (temp file, sync, rename,
 * sync of the directory) and the call of corosync-cfgtool happen on a thread of its own, so that
 * nobody waits for them. Any thread may ask; requests are handled in order, and only the newest
 * waiting one counts.
 */
#ifndef PMXCFS_IO_COROSYNC_CONF_SYNC_H
#define PMXCFS_IO_COROSYNC_CONF_SYNC_H

#include "lib/base/err.h"
#include "lib/base/tracer.h"

#include <glib.h>
#include <stdbool.h>

typedef struct CorosyncConfSync CorosyncConfSync;

#define COROSYNC_RELOAD_TIMEOUT_MS 10000

#define COROSYNC_RELOAD_DELAY_MS 1000 /* lets the other nodes receive the file first */

/* What has to be done with a cluster text, given the host's (NULL: none). Pure. */
typedef enum CorosyncConfVerdict {
    COROSYNC_CONF_SAME,    /* identical, or empty: nothing to do */
    COROSYNC_CONF_INSTALL, /* write it */
    COROSYNC_CONF_OLDER,   /* the host has a newer one */
    COROSYNC_CONF_BAD,     /* not a usable corosync.conf; reason in err */
} CorosyncConfVerdict;
CorosyncConfVerdict
corosync_conf_verdict(const char *text, gsize size, const char *host, gsize host_size, Err *err);

/* Writes a file so that after a power loss either the old or the new one is there; mode 0644. */
int corosync_conf_install(const char *path, const char *text, gsize size, Err *err) must_check;

/* `host_path`: /etc/corosync/corosync.conf; copied. `reload`: program to call with -R, NULL for
 * "corosync-cfgtool". */
CorosyncConfSync *
corosync_conf_sync_new(const char *host_path, const char *reload, const Tracer *tracer);

/* Hands over the cluster's text (reference taken). `notify`: tell corosync after a successful write
 * when the host had a version before. */
void corosync_conf_sync_push(CorosyncConfSync *s, GBytes *text, bool notify);

/* Finishes what was pushed, at most a few seconds; NULL is allowed. */
void corosync_conf_sync_free(CorosyncConfSync *s);

#endif
