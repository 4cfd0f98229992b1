/* SPDX-License-Identifier: Apache-2.0 */
/* qm_stop: the verbs that end guests, or wait for their end. */
#include "cli/qm_run.h"

#include "guest/io/guest_end.h"
#include "guest/io/guest_proc.h"
#include "guest/io/guest_stop.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define CLEANUP_WAIT_MS 30000u

static int begin(char **operands, GuestHost **h, uint32_t *vmid, GuestStopOptions *o, Err *err)
{
    int r = qm_run_change(operands, h, vmid, err);

    o->skiplock = qm_run.skiplock != 0;
    o->migrated_from = qm_run.migrated_from;
    o->force = qm_run.force_stop != 0;
    if (r == 0) {
        r = qm_run_timeout(&o->timeout_ms, err);
    }
    if (r == 0 && o->migrated_from == NULL) {
        r = qm_run_check_here(*h, *vmid, err);
    }
    return r;
}

static int
ask_ha(const GuestHost *h, uint32_t vmid, const char *what, const char *timeout, Err *err)
{
    g_autofree char *sid = g_strdup_printf("vm:%u", vmid);
    const char *const words[] = {"crm-command", "stop", sid, timeout, NULL};

    return qm_run.migrated_from != NULL ? 0 : qm_run_ask_ha(h, vmid, what, words, err);
}

int qm_stop(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    GuestStopOptions options = {0};
    uint32_t vmid;
    int r = begin(operands, &h, &vmid, &options, err);

    if (r == 0) {
        r = ask_ha(h, vmid, "stop", "0", err);
    }
    return r != 0 ? MIN(r, 0) : guest_stop(h, vmid, &options, err);
}

int qm_shutdown(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    GuestStopOptions options = {0};
    uint32_t vmid;
    int r = begin(operands, &h, &vmid, &options, err);

    if (r == 0) {
        unsigned ms = options.timeout_ms > 0 ? options.timeout_ms : GUEST_SHUTDOWN_MS;
        g_autofree char *timeout = g_strdup_printf("%u", ms / 1000);
        r = ask_ha(h, vmid, "shutdown", timeout, err);
    }
    return r != 0 ? MIN(r, 0) : guest_shutdown(h, vmid, &options, err);
}

int qm_wait(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    g_auto(GuestProc) proc = GUEST_PROC_INIT;
    unsigned timeout_ms = 0;
    uint32_t vmid;
    int r = qm_run_begin(operands, &h, &vmid, err);

    if (r == 0) {
        r = qm_run_timeout(&timeout_ms, err);
    }
    if (r == 0) {
        r = qm_run_check_here(h, vmid, err);
    }
    if (r == 0) {
        r = guest_proc_find(h->run_dir, vmid, &proc, err);
    }
    if (r == 1 && !guest_proc_wait(&proc, timeout_ms > 0 ? timeout_ms : (unsigned)INT_MAX)) {
        return err_setf(err, -ETIMEDOUT, "VM %u still runs", vmid);
    }
    return MIN(r, 0);
}

/* cleanup VMID CLEAN GUEST-REQUESTED: for the event daemon. */
int qm_cleanup(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    GuestEnd end = {.reason = "crashed"};
    uint32_t vmid;
    int r = qm_run_begin(operands, &h, &vmid, err);

    for (int i = 1; r == 0 && i <= 2; i++) {
        if (strcmp(operands[i], "0") != 0 && strcmp(operands[i], "1") != 0) {
            r = err_setf(err, -EINVAL, "'%s': expected 0 or 1", operands[i]);
        }
    }
    if (r < 0) {
        return r;
    }
    end.guest_requested = operands[2][0] == '1';
    end.reason = operands[1][0] == '1' ? "shutdown" : "crashed";
    return guest_end(h, vmid, &end, CLEANUP_WAIT_MS, err);
}
