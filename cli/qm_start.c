/* SPDX-License-Identifier: Apache-2.0 */
/* qm_start: starts a guest, or a process that waits for one from another node. */
#include "cli/qm_run.h"

#include "guest/core/volid.h"
#include "guest/io/guest_proc.h"
#include "guest/io/guest_start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PASS_FD_MIN 3
#define PASS_FD_MAX 1023

/* --pass-fd: open descriptors of the caller. int elements. */
static int read_fds(GArray *out, Err *err)
{
    for (char **word = qm_run.pass_fds; word != NULL && *word != NULL; word++) {
        char *end = NULL;
        gint64 fd = g_ascii_strtoll(*word, &end, 10);
        int number = (int)fd;
        if (end == *word || *end != '\0' || fd < PASS_FD_MIN || fd > PASS_FD_MAX ||
            fcntl(number, F_GETFD) < 0) {
            return err_setf(err, -EINVAL, "--pass-fd %s: not an open descriptor from %d on", *word,
                            PASS_FD_MIN);
        }
        /* The programs that this verb runs must not get it; QEMU does. */
        if (fcntl(number, F_SETFD, FD_CLOEXEC) < 0) {
            return err_setf(err, -errno, "--pass-fd %s: %s", *word, g_strerror(errno));
        }
        g_array_append_val(out, number);
    }
    return 0;
}

static int check_incoming(const GuestHost *h, Err *err)
{
    static const char *const uris[] = {"defer", "tcp", "unix"};
    bool known = qm_run.state_uri == NULL;

    for (size_t i = 0; !known && i < G_N_ELEMENTS(uris); i++) {
        known = strcmp(qm_run.state_uri, uris[i]) == 0;
    }
    if (!known) {
        return err_setf(err, -EINVAL, "--stateuri %s: expected defer", qm_run.state_uri);
    }
    if (qm_run.migrated_from == NULL) {
        return qm_run.config == NULL && qm_run.state_uri == NULL
                   ? 0
                   : err_setf(err, -EINVAL, "--config and --stateuri need --migratedfrom");
    }
    if (qm_run.config == NULL && strcmp(qm_run.migrated_from, h->tree->node) == 0) {
        return err_setf(err, -EINVAL, "--migratedfrom %s: that is this node", qm_run.migrated_from);
    }
    if (qm_run.config != NULL && qm_run.config[0] != '/') {
        return err_setf(err, -EINVAL, "--config %s: not an absolute path", qm_run.config);
    }
    return 0;
}

static int ask_ha(const GuestHost *h, uint32_t vmid, Err *err)
{
    g_autofree char *sid = g_strdup_printf("vm:%u", vmid);
    const char *const words[] = {"set", sid, "--state", "started", NULL};
    int r = qm_run_check_here(h, vmid, err);

    return r < 0 ? r : qm_run_ask_ha(h, vmid, "start", words, err);
}

/* What the agent that asked for the process reads. */
static int print_ready(const GuestHost *h, uint32_t vmid, Err *err)
{
    g_auto(GuestProc) proc = GUEST_PROC_INIT;
    int r = guest_proc_find(h->run_dir, vmid, &proc, err);

    if (r == 0) {
        return err_setf(err, -EIO, "QEMU ended right after its start");
    }
    if (r == 1) {
        printf("ready: %d\n", (int)proc.pid);
    }
    return MIN(r, 0);
}

int qm_start(char **operands, Err *err)
{
    g_autoptr(GuestHost) h = NULL;
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
    GuestStartOptions options = GUEST_START_OPTIONS_INIT;
    uint32_t vmid;
    int r = qm_run_change(operands, &h, &vmid, err);

    if (r == 0) {
        r = check_incoming(h, err);
    }
    if (r == 0) {
        r = read_fds(fds, err);
    }
    if (r == 0) {
        r = qm_run_timeout(&options.timeout_ms, err);
    }
    if (r == 0 && qm_run.migrated_from == NULL) {
        r = ask_ha(h, vmid, err);
    }
    if (r != 0) {
        return MIN(r, 0); /* refused, or handed over */
    }
    options.skiplock = qm_run.skiplock != 0;
    options.machine = qm_run.machine;
    options.cpu = qm_run.force_cpu;
    options.migrated_from = qm_run.migrated_from;
    options.config = qm_run.config;
    options.fds = (const int *)(const void *)fds->data;
    options.n_fds = fds->len;
    r = guest_start(h, vmid, &options, err);
    return r == 0 && qm_run.migrated_from != NULL ? print_ready(h, vmid, err) : r;
}
