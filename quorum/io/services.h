/* SPDX-License-Identifier: Apache-2.0 */
/*
 * services: starts and stops corosync and pmxcfs on this node. With systemd through systemctl;
 * where no systemd runs (containers, the lab) either through the program named by
 * QUORATE_SERVICE_COMMAND, called as `PROGRAM start|stop|restart|status NAME`, or directly: the
 * daemons put themselves in the background and are stopped by their pid files. No shell is
 * involved. Any thread; blocks.
 */
#ifndef QUORUM_IO_SERVICES_H
#define QUORUM_IO_SERVICES_H

#include "lib/base/err.h"

#include <stdbool.h>

#define SERVICE_STOP_TIMEOUT_MS   20000
#define SERVICE_RELOAD_TIMEOUT_MS 5000 /* corosync may be between two memberships */

typedef enum Service {
    SERVICE_COROSYNC, /* corosync.service */
    SERVICE_PMXCFS,   /* pve-cluster.service */
    SERVICE_QDEVICE,  /* corosync-qdevice.service */
    SERVICE_QNETD,    /* corosync-qnetd.service, on the witness host */
    SERVICE_N
} Service;

const char *service_name(Service s); /* name of the systemd unit without suffix */

/* Already running or already stopped counts as success. -EIO with the output of the failing
 * command, -ETIMEDOUT when a daemon does not end. */
int service_start(Service s, Err *err) must_check;
int service_stop(Service s, Err *err) must_check;
int service_restart(Service s, Err *err) must_check;

/* 1 running, 0 not, -errno. */
int service_running(Service s, Err *err) must_check;

/* Shall it start when the host does? Nothing to do where no systemd runs. */
int service_enable(Service s, bool enable, Err *err) must_check;

/* Runs pmxcfs in forced local mode, beside any service manager, and ends it again: to change what a
 * node without quorum holds in its tree. The service must be stopped before. */
int service_start_local(Err *err) must_check;
int service_stop_local(Err *err) must_check;

/* Tells corosync on all nodes to read its configuration again (corosync-cfgtool -R). */
int service_reload_corosync(Err *err) must_check;

#endif
