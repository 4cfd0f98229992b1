/* SPDX-License-Identifier: Apache-2.0 */
/* qm_run: what the verbs of running guests share. Main thread only. */
#ifndef CLI_QM_RUN_H
#define CLI_QM_RUN_H

#include "cli/cmdline.h"
#include "guest/io/guest_host.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Set by the option parser; each verb lists those that it has. */
typedef struct QmRunOptions {
    int timeout; /* seconds; 0: the usual */
    int skiplock;
    int force_stop;
    int keep_active;
    int overrule_shutdown;
    int verbose;
    int full;
    char *migrated_from;
    char *migration_type;
    char *migration_network;
    char *state_uri;
    char *machine;
    char *force_cpu;
    char *target_storage;
    char *config;
    char **pass_fds;
    int nocheck;
    int to_disk;
    char *state_storage;
    int vmstate;
    char *description;
    int start_after; /* --start */
    int force;
    int synchronous;
    int pass_stdin;
    int crypted;
    char *iface;
    char *escape;
} QmRunOptions;
extern QmRunOptions qm_run;

/* The host as --root and --run-dir say, with progress on stdout and warnings on stderr. */
int qm_run_open(GuestHost **ret, Err *err) must_check;

/* qm_run_open, and the VMID of the first operand. */
int qm_run_begin(char **operands, GuestHost **ret, uint32_t *ret_vmid, Err *err) must_check;

/* The same for a verb that changes the guest: what a command that was killed has left is put right
 * first (guest_recover). */
int qm_run_change(char **operands, GuestHost **ret, uint32_t *ret_vmid, Err *err) must_check;

/* The guest is configured on this node. */
int qm_run_check_here(const GuestHost *h, uint32_t vmid, Err *err) must_check;

/* --timeout in ms, 0 when it was not given. -EINVAL when it is no sensible time. */
int qm_run_timeout(unsigned *ret_ms, Err *err) must_check;

/* 1 when HA starts and stops the guest, 0 when not. */
int qm_run_is_managed(const GuestHost *h, uint32_t vmid, Err *err) must_check;

/* A guest that HA manages is started and stopped by HA. 1 when the request was handed over to
 * ha-manager with these words ("set", "vm:100", ..., NULL), 0 when it is the caller's to do. `what`
 * is for people: "start". */
int qm_run_ask_ha(const GuestHost *h,
                  uint32_t vmid,
                  const char *what,
                  const char *const *words,
                  Err *err) must_check;

/* The verbs: see `run` of CliVerb. */
int qm_start(char **operands, Err *err);
int qm_stop(char **operands, Err *err);
int qm_shutdown(char **operands, Err *err);
int qm_status(char **operands, Err *err);
int qm_wait(char **operands, Err *err);
int qm_cleanup(char **operands, Err *err);
int qm_reset(char **operands, Err *err);
int qm_reboot(char **operands, Err *err);
int qm_suspend(char **operands, Err *err);
int qm_resume(char **operands, Err *err);
int qm_sendkey(char **operands, Err *err);
int qm_nbdstop(char **operands, Err *err);
int qm_monitor(char **operands, Err *err);
int qm_snapshot(char **operands, Err *err);
int qm_rollback(char **operands, Err *err);
int qm_delsnapshot(char **operands, Err *err);
int qm_listsnapshot(char **operands, Err *err);
int qm_guest_cmd(char **operands, Err *err);
int qm_guest_exec(char **operands, Err *err);
int qm_guest_exec_status(char **operands, Err *err);
int qm_guest_passwd(char **operands, Err *err);
int qm_startall(char **operands, Err *err);
int qm_stopall(char **operands, Err *err);
int qm_terminal(char **operands, Err *err);
int qm_vncproxy(char **operands, Err *err);

#endif
