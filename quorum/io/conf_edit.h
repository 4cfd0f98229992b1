/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_edit: read, change and write the cluster's corosync.conf under the cluster-wide lock, so
 * that two changes never lose one another. The cluster filesystem carries the file to every host
 * and tells corosync. Blocks; any thread, one edit at a time per object.
 */
#ifndef QUORUM_IO_CONF_EDIT_H
#define QUORUM_IO_CONF_EDIT_H

#include "lib/conf/corosync_nodes.h"
#include "quorum/io/own_lock.h"

#define CONF_EDIT_LOCK       "file-corosync_conf"
#define CONF_EDIT_TIMEOUT_MS 10000

typedef struct ConfEdit {
    char *pve;
    OwnLock *lock;
    CorosyncConf *conf;
    uint64_t version; /* at the beginning */
} ConfEdit;

/* From now on this process waits for a lock until it has expired: to finish or take back what was
 * killed while it held one. */
void conf_edit_be_patient(void);

/* Takes the lock and reads. -ENOENT: no cluster; errors of cfslock_acquire. */
int conf_edit_begin(const char *pve, ConfEdit *ret, Err *err) must_check;

/* Checks the changed document, writes it, keeps the lock until conf_edit_done. Nothing is written
 * when the version did not change. -EINVAL: the result would not be good (a bug of the caller, or
 * damaged before). */
int conf_edit_commit(ConfEdit *e, Err *err) must_check;

/* Has corosync read the configuration as soon as this host has that version, without the second
 * that the cluster filesystem grants the other nodes; they hear of it then. Best effort. */
void conf_edit_spread(uint64_t version);

/* Gives the lock back, then conf_edit_spread: nobody shall wait for corosync. */
void conf_edit_tell(ConfEdit *e);

void conf_edit_done(ConfEdit *e);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ConfEdit, conf_edit_done)

#endif
