/* SPDX-License-Identifier: Apache-2.0 */
/*
 * corosync_device: the quorum device (witness) of a corosync.conf: `quorum { device { ... } }`.
 * Pure; one thread per document. Reference: join chapter 14; corosync-qdevice(8).
 *
 * Its algorithm and votes follow the number of nodes that vote, as documented. Even: `ffsplit` with
 * one vote, one of two equal halves goes on. Odd: `lms` without `votes`, corosync's own default of
 * one less than the nodes, the last node that sees the witness goes on. (corosync-qdevice does not
 * start with ffsplit and a number of votes other than 1, so resting at 0 is no choice.)
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

/* Makes algorithm and votes of a device of model net fit the nodes; true when something changed.
 * Does not raise the version: it is part of the change that made it necessary. */
bool corosync_device_follow(CorosyncConf *conf);

#endif
