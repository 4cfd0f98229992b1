/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_proc: the QEMU process of a guest as the host sees it: found through its pid file, known
 * by its command line, ended by signals. Names of the files beside it. A process is held by a
 * descriptor, so a number that the kernel has given to another program is never signalled.
 * Reference: guest.md section 9. Any thread; blocks where a timeout is given.
 */
#ifndef GUEST_IO_GUEST_PROC_H
#define GUEST_IO_GUEST_PROC_H

#include "lib/base/err.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct GuestProc {
    pid_t pid; /* 0: does not run */
    int fd;    /* pidfd, -1 when it does not run */
} GuestProc;

#define GUEST_PROC_INIT                                                                            \
    {                                                                                              \
        0, -1                                                                                      \
    }

void guest_proc_clear(GuestProc *p);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GuestProc, guest_proc_clear)

/* 1 when the guest's QEMU runs (then *ret holds it), 0 when not: the pid file is there, the process
 * lives, and its command line names this pid file. -errno when the pid file cannot be read. */
int guest_proc_find(const char *run_dir, uint32_t vmid, GuestProc *ret, Err *err) must_check;

#define GUEST_TPM_PID "swtpm.pid"
/* The same for the emulator of the guest's TPM, whose command line names its own pid file. */
int guest_proc_find_tpm(const char *run_dir, uint32_t vmid, GuestProc *ret) must_check;

/* Adds all that the processes in `pids` (pid_t) have started and that lives. */
void guest_proc_add_children(GArray *pids);

/* What guest a process runs: by its command line. -ENOENT when it is no guest's QEMU. The caller
 * frees *ret_dir, the runtime directory. */
int guest_proc_identify(pid_t pid, GuestProc *ret, uint32_t *ret_vmid, char **ret_dir, Err *err)
    must_check;

/* By its pidfd, so that it never hits another process. One that has ended is no error. */
void guest_proc_signal(const GuestProc *p, int number);

/* The same for one that has not written its pid file yet: looks at all processes. */
int guest_proc_scan(const char *run_dir, uint32_t vmid, GuestProc *ret, Err *err) must_check;

/* True once the process has ended, or after `timeout_ms` false. */
bool guest_proc_wait(const GuestProc *p, unsigned timeout_ms);

/* SIGTERM, after `term_ms` SIGKILL; waits for the end. -ETIMEDOUT when it survives even that for
 * `kill_ms` (a process stuck in the kernel). */
int guest_proc_end(const GuestProc *p, unsigned term_ms, unsigned kill_ms, Err *err) must_check;

/* "RUN_DIR/VMID.SUFFIX". Caller frees. */
char *guest_run_path(const char *run_dir, uint32_t vmid, const char *suffix);

#define GUEST_VIRTIOFS_MAX 10
/* The socket of one shared directory. Caller frees. */
char *guest_virtiofs_path(const char *run_dir, uint32_t vmid, int index);

/* Removes the sockets, the pid file and the other leftovers of a guest that does not run. */
void guest_run_sweep(const char *run_dir, uint32_t vmid);

/* VMIDs whose pid file is in `run_dir`: uint32_t, sorted. Empty when there is no directory. The
 * caller owns the array. */
GArray *guest_run_list(const char *run_dir);

#endif
