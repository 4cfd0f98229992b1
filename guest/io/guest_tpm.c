/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_tpm.h"

#include "guest/core/storage_path.h"
#include "guest/io/guest_proc.h"
#include "lib/conf/propstring.h"
#include "lib/port/process.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM  "/usr/bin/swtpm"
#define LEAVE_MS 1000u
#define END_MS   5000u

int guest_tpm_check(const GuestConf *conf, Err *err)
{
    if (guestconf_props(conf, "tpmstate0") == NULL || access(PROGRAM, X_OK) == 0) {
        return 0;
    }
    return err_setf(err, -ENOTSUP, "tpmstate0: needs " PROGRAM " (Debian package swtpm)");
}

static GPtrArray *make_words(const GuestConf *conf, const HostFacts *facts, const char *state)
{
    const PropString *tpm = guestconf_props(conf, "tpmstate0");
    uint32_t vmid = guestconf_vmid(conf);
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *control = guest_run_path(facts->run_dir, vmid, "swtpm");
    g_autofree char *pid = guest_run_path(facts->run_dir, vmid, GUEST_TPM_PID);

    g_ptr_array_add(argv, g_strdup(PROGRAM));
    g_ptr_array_add(argv, g_strdup("socket"));
    g_ptr_array_add(argv, g_strdup("--tpmstate"));
    g_ptr_array_add(argv, g_strdup_printf("backend-uri=file://%s,mode=0600", state));
    g_ptr_array_add(argv, g_strdup("--ctrl"));
    g_ptr_array_add(argv, g_strdup_printf("type=unixio,path=%s,mode=0600", control));
    g_ptr_array_add(argv, g_strdup("--pid"));
    g_ptr_array_add(argv, g_strdup_printf("file=%s", pid));
    g_ptr_array_add(argv, g_strdup("--terminate"));
    g_ptr_array_add(argv, g_strdup("--daemon"));
    if (g_strcmp0(propstring_value(tpm, "version"), "v2.0") == 0) {
        g_ptr_array_add(argv, g_strdup("--tpm2"));
    }
    g_ptr_array_add(argv, NULL);
    return argv;
}

int guest_tpm_start(const GuestConf *conf, const HostFacts *facts, Err *err)
{
    const PropString *tpm = guestconf_props(conf, "tpmstate0");
    g_autoptr(VolumeSource) source = NULL;
    g_autoptr(GPtrArray) argv = NULL;
    int r;

    if (tpm == NULL) {
        return 0;
    }
    r = volume_locate(facts, propstring_text(tpm, "file"), &source, err);
    if (r == 0) {
        argv = make_words(conf, facts, source->path);
        r = process_check((const char *const *)argv->pdata, NULL, NULL, err);
    }
    return r < 0 ? err_wrapf(err, r, "tpmstate0") : 0;
}

void guest_tpm_list(const char *run_dir, uint32_t vmid, GArray *pids)
{
    g_auto(GuestProc) proc = GUEST_PROC_INIT;

    if (guest_proc_find_tpm(run_dir, vmid, &proc) == 1) {
        g_array_append_val(pids, proc.pid);
    }
}

/* It writes its state down when QEMU hangs up, and goes; SIGTERM is for one that was never asked.
 */
void guest_tpm_end(const char *run_dir, uint32_t vmid)
{
    g_auto(GuestProc) proc = GUEST_PROC_INIT;

    if (guest_proc_find_tpm(run_dir, vmid, &proc) == 1 && !guest_proc_wait(&proc, LEAVE_MS)) {
        (void)!guest_proc_end(&proc, END_MS, END_MS, NULL); /* the next start says what is in use */
    }
}
