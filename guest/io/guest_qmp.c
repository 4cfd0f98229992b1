/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_qmp.h"

#include "guest/io/guest_proc.h"

#include <errno.h>

int guest_qmp_open_with(
    const char *run_dir, uint32_t vmid, const QmpHandlers *handlers, QmpClient **ret, Err *err)
{
    g_autofree char *path = guest_run_path(run_dir, vmid, "qmp");
    int r = qmp_client_new(NULL, path, handlers, ret, err);

    return r < 0 ? err_wrapf(err, r, "VM %u", vmid) : 0;
}

int guest_qmp_open(const char *run_dir, uint32_t vmid, QmpClient **ret, Err *err)
{
    return guest_qmp_open_with(run_dir, vmid, NULL, ret, err);
}

int guest_qmp_call(const char *run_dir,
                   uint32_t vmid,
                   const char *command,
                   JsonTree *arguments,
                   unsigned timeout_ms,
                   JsonTree **ret,
                   Err *err)
{
    g_autoptr(JsonTree) args = arguments;
    g_autoptr(QmpClient) qmp = NULL;
    int r = guest_qmp_open(run_dir, vmid, &qmp, err);

    if (r < 0) {
        return r;
    }
    r = qmp_call(qmp, command, g_steal_pointer(&args), timeout_ms, ret, err);
    return r < 0 ? err_wrapf(err, r, "VM %u", vmid) : 0;
}

int guest_qmp_status(const char *run_dir, uint32_t vmid, char **ret, Err *err)
{
    g_autoptr(JsonTree) answer = NULL;
    const char *status;
    int r = guest_qmp_call(run_dir, vmid, "query-status", NULL, 0, &answer, err);

    if (r < 0) {
        return r;
    }
    status = jsontree_get_text(answer, "status");
    if (status == NULL) {
        return err_setf(err, -EBADMSG, "VM %u: QEMU does not tell its status", vmid);
    }
    *ret = g_strdup(status);
    return 0;
}

int guest_qmp_human(QmpClient *qmp, const char *line, char **ret, Err *err)
{
    g_autoptr(JsonTree) answer = NULL;
    JsonTree *args = jsontree_new_object();
    int r;

    jsontree_set_text(args, "command-line", line);
    r = qmp_call(qmp, "human-monitor-command", args, 0, &answer, err);
    if (r < 0) {
        return r;
    }
    *ret = g_strdup(jsontree_text(answer) != NULL ? jsontree_text(answer) : "");
    return 0;
}

int guest_agent_call(const char *run_dir,
                     uint32_t vmid,
                     const char *command,
                     JsonTree *arguments,
                     unsigned timeout_ms,
                     JsonTree **ret,
                     Err *err)
{
    g_autoptr(JsonTree) args = arguments;
    g_autofree char *path = guest_run_path(run_dir, vmid, "qga");
    g_autoptr(QmpClient) agent = NULL;
    int r = qmp_client_new_agent(NULL, path, NULL, &agent, err);

    if (r == -ENOENT || r == -ECONNREFUSED) {
        return err_setf(err, r, "VM %u has no guest agent (set 'agent: 1' and start it again)",
                        vmid);
    }
    if (r == 0) {
        r = qmp_call(agent, command, g_steal_pointer(&args), timeout_ms, ret, err);
    }
    if (r == -ETIMEDOUT) {
        return err_setf(err, r, "VM %u: the guest agent does not answer to '%s'; does it run?",
                        vmid, command);
    }
    return r < 0 ? err_wrapf(err, r, "VM %u: guest agent", vmid) : 0;
}

bool guest_agent_alive(const char *run_dir, uint32_t vmid, unsigned timeout_ms)
{
    return guest_agent_call(run_dir, vmid, "guest-ping", NULL, timeout_ms, NULL, NULL) == 0;
}
