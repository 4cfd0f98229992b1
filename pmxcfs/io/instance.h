/* SPDX-License-Identifier: Apache-2.0 */
/*
 * instance: what makes a process the one pmxcfs of this node: its directories, the instance lock,
 * the pid file, the restart flag, and who this node is. Main thread only. Reference:
 * pmxcfs 1.1, 2.2, 2.3.
 */
#ifndef PMXCFS_IO_INSTANCE_H
#define PMXCFS_IO_INSTANCE_H

#include "lib/base/err.h"

#include <glib.h>
#include <sys/types.h>

#define INSTANCE_LOCK_WAIT_MS 10000

typedef struct InstancePaths {
    const char *state_dir; /* /var/lib/pve-cluster */
    const char *run_dir;   /* /run/pve-cluster */
    const char *pid_file;  /* /run/pve-cluster.pid */
} InstancePaths;

/* Short node name: the host name up to its first dot. Caller frees. -EINVAL when it is no node
 * name. */
int instance_nodename(char **ret, Err *err) must_check;

/* First address the host name resolves to that is no loopback address. Caller frees. -EADDRNOTAVAIL
 * with a text that says what to put into /etc/hosts. */
int instance_address(const char *nodename, char **ret, Err *err) must_check;

/* gid of a group by name; -ENOENT. */
int instance_group(const char *name, gid_t *ret, Err *err) must_check;

/* Makes state and run directory (0750), the latter owned root:gid. */
int instance_directories(const InstancePaths *p, gid_t gid, Err *err) must_check;

/* Takes the instance lock; the descriptor keeps it for the life of the process. Waits for a
 * predecessor that is just ending. -EBUSY names the pid of the holder where it can be known. */
int instance_lock(const InstancePaths *p, int *ret_fd, Err *err) must_check;

/* Writes the pid file by temp file and rename, mode 0644. */
int instance_write_pid(const InstancePaths *p, pid_t pid, Err *err) must_check;
void instance_remove_pid(const InstancePaths *p);

/* The flag that tells clients the daemon will be back (0440, root:gid). Failure is harmless:
 * clients then do not wait. */
void instance_set_restart_flag(const InstancePaths *p, gid_t gid);
void instance_clear_restart_flag(const InstancePaths *p);

#endif
