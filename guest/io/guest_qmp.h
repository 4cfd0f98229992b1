/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_qmp: one command, or a few, to a running guest: connect, ask, leave. QEMU talks to one
 * client at a time on the socket RUN_DIR/VMID.qmp, so nobody stays on it. Every call has a deadline
 * (lib/port/qmp): a monitor that hangs or is taken costs that time and no more. Main thread.
 */
#ifndef GUEST_IO_GUEST_QMP_H
#define GUEST_IO_GUEST_QMP_H

#include "lib/base/err.h"
#include "lib/base/jsontree.h"
#include "lib/port/qmp.h"

#include <glib.h>
#include <stdint.h>

/* A connection that the caller frees soon. The text of errors names the guest. */
int guest_qmp_open(const char *run_dir, uint32_t vmid, QmpClient **ret, Err *err) must_check;
/* The same, with events; `handlers` (may be NULL) as in qmp_client_new. */
int guest_qmp_open_with(const char *run_dir,
                        uint32_t vmid,
                        const QmpHandlers *handlers,
                        QmpClient **ret,
                        Err *err) must_check;

/* Connect, one command, leave. Takes `arguments` (may be NULL); `timeout_ms` 0: by the command's
 * nature. The caller owns *ret; `ret` may be NULL. */
int guest_qmp_call(const char *run_dir,
                   uint32_t vmid,
                   const char *command,
                   JsonTree *arguments,
                   unsigned timeout_ms,
                   JsonTree **ret,
                   Err *err) must_check;

/* The word of query-status: "running", "paused", "shutdown", ... Caller frees. */
int guest_qmp_status(const char *run_dir, uint32_t vmid, char **ret, Err *err) must_check;

/* A command of the human monitor; QEMU reports its failures as text, which is returned. Caller
 * frees. */
int guest_qmp_human(QmpClient *qmp, const char *line, char **ret, Err *err) must_check;

/* One question to the guest agent: connect, synchronise, ask, leave. */
int guest_agent_call(const char *run_dir,
                     uint32_t vmid,
                     const char *command,
                     JsonTree *arguments,
                     unsigned timeout_ms,
                     JsonTree **ret,
                     Err *err) must_check;

/* True when an agent answers within `timeout_ms`. */
bool guest_agent_alive(const char *run_dir, uint32_t vmid, unsigned timeout_ms);

#endif
