/* SPDX-License-Identifier: Apache-2.0 */
/* qm_power: buttons of a running guest: reset, reboot, suspend, resume, keys; its monitor. */
#include "cli/qm_run.h"

#include "guest/core/guest_change.h"
#include "guest/io/guest_edit.h"
#include "guest/io/guest_proc.h"
#include "guest/io/guest_qmp.h"
#include "guest/io/guest_start.h"
#include "guest/io/guest_stop.h"
#include "guest/io/guest_suspend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MONITOR_PROMPT "qm> "
#define LINE_MAX_BYTES 4096

static int check_running(const GuestHost *h, uint32_t vmid, Err *err)
{
    g_auto(GuestProc) proc = GUEST_PROC_INIT;
    g_autoptr(VmConf) conf = NULL;
    int r = guest_conf_read(h->tree, NULL, vmid, NULL, NULL, &conf, err);

    if (r == 0) {
        r = guest_check_lock(conf, qm_run.skiplock != 0, err);
    }
    if (r == 0) {
        r = guest_proc_find(h->run_dir, vmid, &proc, err);
        r = r == 0 ? err_setf(err, -ESRCH, "VM %u is not running", vmid) : MIN(r, 0);
    }
    return r;
}

int qm_reset(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    uint32_t vmid;
    int r = qm_run_change(operands, &h, &vmid, err);

    if (r == 0) {
        r = check_running(h, vmid, err);
    }
    return r < 0 ? r : guest_qmp_call(h->run_dir, vmid, "system_reset", NULL, 0, NULL, err);
}

/* Down and up again, so that pending changes come true. */
int qm_reboot(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    GuestStopOptions stop = {0};
    GuestStartOptions start = GUEST_START_OPTIONS_INIT;
    uint32_t vmid;
    int r = qm_run_change(operands, &h, &vmid, err);

    if (r == 0) {
        r = qm_run_timeout(&stop.timeout_ms, err);
    }
    if (r == 0) {
        r = check_running(h, vmid, err);
    }
    if (r == 0) {
        r = guest_shutdown(h, vmid, &stop, err);
    }
    return r < 0 ? r : guest_start(h, vmid, &start, err);
}

int qm_suspend(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    uint32_t vmid;
    int r = qm_run_change(operands, &h, &vmid, err);

    if (r == 0 && qm_run.state_storage != NULL && !qm_run.to_disk) {
        r = err_setf(err, -EINVAL, "--statestorage needs --todisk");
    }
    if (r < 0) {
        return r;
    }
    return qm_run.to_disk ? guest_sleep(h, vmid, qm_run.state_storage, qm_run.skiplock != 0, err)
                          : guest_pause(h, vmid, qm_run.skiplock != 0, err);
}

/* One that sleeps on disk is started, which goes on from there. */
int qm_resume(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    g_autoptr(VmConf) conf = NULL;
    uint32_t vmid;
    int r = qm_run_change(operands, &h, &vmid, err);

    if (r == 0 && !qm_run.nocheck) {
        r = guest_conf_read(h->tree, NULL, vmid, NULL, NULL, &conf, err);
    }
    if (r < 0) {
        return r;
    }
    if (conf != NULL &&
        g_strcmp0(vmsection_get(vmconf_main(conf), "lock"), GUEST_LOCK_SUSPENDED) == 0) {
        GuestStartOptions start = GUEST_START_OPTIONS_INIT;
        return guest_start(h, vmid, &start, err);
    }
    return guest_resume(h, vmid, qm_run.skiplock != 0, qm_run.nocheck != 0, err);
}

/* "ctrl-alt-delete": QEMU knows the names. */
int qm_sendkey(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    g_auto(GStrv) names = g_strsplit(operands[1], "-", -1);
    JsonTree *args;
    JsonTree *keys;
    uint32_t vmid;
    int r = qm_run_begin(operands, &h, &vmid, err);

    if (r == 0) {
        r = check_running(h, vmid, err);
    }
    if (r < 0) {
        return r;
    }
    args = jsontree_new_object();
    keys = jsontree_new_array();
    for (char **name = names; *name != NULL; name++) {
        JsonTree *key = jsontree_new_object();
        jsontree_set_text(key, "type", "qcode");
        jsontree_set_text(key, "data", *name);
        jsontree_add(keys, key);
    }
    jsontree_set(args, "keys", keys);
    return guest_qmp_call(h->run_dir, vmid, "send-key", args, 0, NULL, err);
}

int qm_nbdstop(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    uint32_t vmid;
    int r = qm_run_begin(operands, &h, &vmid, err);

    return r < 0 ? r : guest_qmp_call(h->run_dir, vmid, "nbd-server-stop", NULL, 25000, NULL, err);
}

/* One command of the human monitor, with a connection of its own: others have their turn. */
static void one_line(const GuestHost *h, uint32_t vmid, const char *line)
{
    g_autoptr(QmpClient) qmp = NULL;
    g_autofree char *answer = NULL;
    Err err = ERR_INIT;
    int r = guest_qmp_open(h->run_dir, vmid, &qmp, &err);

    if (r == 0) {
        r = guest_qmp_human(qmp, line, &answer, &err);
    }
    if (r < 0) {
        printf("ERROR: %s\n", err_text(&err));
    } else {
        printf("%s", answer);
    }
    (void)fflush(stdout);
}

int qm_monitor(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    bool people = isatty(STDIN_FILENO) != 0;
    char line[LINE_MAX_BYTES];
    uint32_t vmid;
    int r = qm_run_begin(operands, &h, &vmid, err);

    if (r == 0) {
        qm_run.skiplock = 1; /* looking is allowed while somebody works */
        r = check_running(h, vmid, err);
    }
    if (r < 0) {
        return r;
    }
    if (people) {
        printf("Entering the monitor of VM %u - type 'help' for help, 'quit' leaves\n", vmid);
    }
    for (;;) {
        if (people) {
            printf(MONITOR_PROMPT);
            (void)fflush(stdout);
        }
        if (fgets(line, sizeof line, stdin) == NULL) {
            return 0;
        }
        g_strstrip(line);
        if (strcmp(line, "quit") == 0 || strcmp(line, "q") == 0) {
            return 0;
        }
        if (line[0] != '\0') {
            one_line(h, vmid, line);
        }
    }
}
