/* SPDX-License-Identifier: Apache-2.0 */
/*
 * corosync_device: the quorum device (witness) of a corosync.conf: `quorum { device { ... } }`.
 * Pure; one thread per document. Reference: join chapter 14; corosync-qdevice(8).
 *
 * How many votes it has follows the number of nodes that vote. With an even number `ffsplit` and
 * one vote: one of two equal halves goes on. With an odd number the vote would only raise the
 * quorum without letting one more node fail, so it rests at 0. A device set up with `lms` by force
 * for an odd number has corosync's own default (nodes - 1), which follows by itself.
 */
#ifndef LIB_CONF_COROSYNC_DEVICE_H
#define LIB_CONF_COROSYNC_DEVICE_H

#include "lib/conf/corosync_conf.h"

typedef struct CorosyncDevice {
    const char *model;     /* "net"; borrowed from the document, as all texts */
    const char *host;      /* NULL: none given */
    const char *algorithm; /* NULL: none given */
    const char *votes;     /* NULL: none given */
} CorosyncDevice;

/* False when the document has no device. */
bool corosync_device_get(const CorosyncConf *conf, CorosyncDevice *ret);

/* Nodes with at least one vote. */
unsigned corosync_voters(const CorosyncConf *conf);

/* Writes the section as for the present number of voting nodes: `ffsplit` for even, `lms` for odd.
 * Replaces one that is there. Raises the version. */
void corosync_device_set(CorosyncConf *conf, const char *host);

/* Raises the version when something was removed. */
bool corosync_device_remove(CorosyncConf *conf);

/* Makes the votes of an `ffsplit` device of model net fit the nodes; true when something changed.
 * Does not raise the version: it is part of the change that made it necessary. */
bool corosync_device_follow(CorosyncConf *conf);

#endif
