/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness_sync: makes this host fit what the cluster says about its witness: with a device in
 * corosync.conf, the certificates of priv/qdevice are in the host's store and corosync-qdevice
 * runs; without, both are gone. Called now and then by the join daemon on every node, so that nodes
 * that join, come back or were off when the witness was set up follow by themselves. Blocks; one
 * thread at a time.
 */
#ifndef QUORUM_IO_WITNESS_SYNC_H
#define QUORUM_IO_WITNESS_SYNC_H

#include "lib/base/err.h"

#define WITNESS_TREE_DIR "priv/qdevice" /* in the tree: qnetd-cacert.crt, *.p12, generation */
#define WITNESS_CA_FILE  "qnetd-cacert.crt"
#define WITNESS_P12_FILE "qdevice-net-node.p12"
#define WITNESS_GEN_FILE "generation" /* changes with each enrolment; written last */
#define WITNESS_HOST_DIR "/etc/corosync/qdevice/net"

/* 1: something was changed, with a text for people in `what` (may be NULL); 0: all fits; -errno. */
int witness_sync(const char *pve, char *what, size_t what_size, Err *err) must_check;

#endif
