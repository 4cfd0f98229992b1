/* SPDX-License-Identifier: Apache-2.0 */
/* qm_all: all guests of the node at its start and its end. Guests that HA manages are HA's. */
#include "cli/qm_run.h"

#include "guest/core/startorder.h"
#include "guest/io/guest_edit.h"
#include "guest/io/guest_proc.h"
#include "guest/io/guest_start.h"
#include "lib/port/clock.h"

#include <errno.h>
#include <gio/gio.h>
#include <stdio.h>
#include <string.h>

#define SELF           "/proc/self/exe"
#define QUORUM_POLL_MS 1000

/* StartOrder elements of the guests that matter: those with onboot, or those that run. */
static int list_guests(const GuestHost *h, bool stopping, GArray *out, Err *err)
{
    g_autoptr(GArray) vmids = NULL;
    int r = guest_tree_list(h->tree, NULL, &vmids, err);

    for (guint i = 0; r == 0 && i < vmids->len; i++) {
        uint32_t vmid = g_array_index(vmids, uint32_t, i);
        g_auto(GuestProc) proc = GUEST_PROC_INIT;
        g_autoptr(VmConf) conf = NULL;
        Err bad = ERR_INIT;
        if (guest_conf_read(h->tree, NULL, vmid, NULL, NULL, &conf, &bad) < 0) {
            fprintf(stderr, "warning: VM %u: %s\n", vmid, err_text(&bad));
            continue;
        }
        StartOrder o = startorder_read(vmid, conf);
        int running = guest_proc_find(h->run_dir, vmid, &proc, &bad);
        int managed = qm_run_is_managed(h, vmid, err);
        if (managed < 0) {
            return managed;
        }
        if (managed == 0 && !o.template && (stopping ? running == 1 : o.onboot && running == 0)) {
            g_array_append_val(out, o);
        }
    }
    startorder_sort(out, stopping);
    return r;
}

/* At the start of a node the cluster may take a while. */
static int wait_quorum(const GuestHost *h, unsigned timeout_ms, Err *err)
{
    MonoTime deadline = mono_add_ms(clock_mono(), timeout_ms);
    bool told = false;

    for (;;) {
        int r = guest_tree_check_quorum(h->tree, err);
        if (r != -EACCES || !mono_before(clock_mono(), deadline)) {
            return r;
        }
        if (!told) {
            printf("waiting for quorum\n");
            (void)fflush(stdout);
            told = true;
        }
        err_clear(err);
        g_usleep(QUORUM_POLL_MS * 1000); /* the mount shows it as a mode, without an event */
    }
}

static bool start_one(const GuestHost *h, uint32_t vmid)
{
    GuestStartOptions options = GUEST_START_OPTIONS_INIT;
    Err err = ERR_INIT;

    printf("starting VM %u\n", vmid);
    (void)fflush(stdout);
    if (guest_start(h, vmid, &options, &err) < 0) {
        fprintf(stderr, "VM %u: %s\n", vmid, err_text(&err));
        return false;
    }
    return true;
}

int qm_startall(char **operands, Err *err)
{
    g_autoptr(GArray) guests = g_array_new(FALSE, FALSE, sizeof(StartOrder));
    g_autoptr(GuestHost) h = NULL;
    unsigned timeout_ms = 0;
    unsigned failed = 0;
    int r = qm_run_timeout(&timeout_ms, err);

    (void)operands; /* it has none */
    if (r == 0) {
        r = qm_run_open(&h, err);
    }
    if (r == 0) {
        r = wait_quorum(h, timeout_ms, err);
    }
    if (r == 0) {
        r = list_guests(h, false, guests, err);
    }
    for (guint i = 0; r == 0 && i < guests->len; i++) {
        const StartOrder *o = &g_array_index(guests, StartOrder, i);
        bool later =
            i + 1 < guests->len && g_array_index(guests, StartOrder, i + 1).order != o->order;
        failed += !start_one(h, o->vmid);
        if (later && o->up_sec > 0) {
            g_usleep((gulong)o->up_sec * G_USEC_PER_SEC); /* what the guest's owner asked for */
        }
    }
    if (r == 0 && failed > 0) {
        return err_setf(err, -EIO, "%u of %u guests did not start", failed, guests->len);
    }
    return r;
}

/* One `qm shutdown` for each guest of one order, all at a time. */
static GSubprocess *stop_one(const GuestHost *h, const StartOrder *o)
{
    g_autofree char *vmid = g_strdup_printf("%u", o->vmid);
    g_autofree char *down = g_strdup_printf("%u", MAX(o->down_sec, 1));
    const char *argv[] = {SELF, "shutdown",  vmid,       "--timeout", down,          "--forceStop",
                          "1",  "--run-dir", h->run_dir, "--root",    h->tree->root, NULL};
    g_autoptr(GError) error = NULL;
    GSubprocess *process;

    printf("shutting down VM %s\n", vmid);
    (void)fflush(stdout);
    process = g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_NONE, &error);
    if (process == NULL) {
        fprintf(stderr, "VM %s: %s\n", vmid, error->message);
    }
    return process;
}

static unsigned stop_group(const GuestHost *h, const GArray *guests, guint first, guint end)
{
    g_autoptr(GPtrArray) processes = g_ptr_array_new();
    unsigned failed = 0;

    for (guint i = first; i < end; i++) {
        g_ptr_array_add(processes, stop_one(h, &g_array_index(guests, StartOrder, i)));
    }
    for (guint i = 0; i < processes->len; i++) {
        GSubprocess *process = processes->pdata[i];
        if (process == NULL || !g_subprocess_wait_check(process, NULL, NULL)) {
            failed++; /* it has said why */
        }
        g_clear_object(&process);
    }
    return failed;
}

int qm_stopall(char **operands, Err *err)
{
    g_autoptr(GArray) guests = g_array_new(FALSE, FALSE, sizeof(StartOrder));
    g_autoptr(GuestHost) h = NULL;
    unsigned failed = 0;
    guint first = 0;
    int r = qm_run_open(&h, err);

    (void)operands; /* it has none */
    if (r == 0) {
        r = list_guests(h, true, guests, err);
    }
    while (r == 0 && first < guests->len) {
        uint32_t order = g_array_index(guests, StartOrder, first).order;
        guint end = first;
        while (end < guests->len && g_array_index(guests, StartOrder, end).order == order) {
            end++;
        }
        failed += stop_group(h, guests, first, end);
        first = end;
    }
    if (r == 0 && failed > 0) {
        return err_setf(err, -EIO, "%u of %u guests did not stop", failed, guests->len);
    }
    return r;
}
