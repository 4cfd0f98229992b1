/* SPDX-License-Identifier: Apache-2.0 */
/* qm_run_table: the verbs that work on running guests. */
#include "cli/qm_run.h"
#include "cli/qm_verbs.h"

#include <limits.h>

#define TIMEOUT_OPTION(text)                                                                       \
    {                                                                                              \
        "timeout", 0, 0, G_OPTION_ARG_INT, &qm_run.timeout, text, "SECONDS"                        \
    }
#define SKIPLOCK_OPTION                                                                            \
    CLI_FLAG("skiplock", qm_run.skiplock, "Do not look at the guest's lock; root only")
#define MIGRATED_FROM_OPTION(text)                                                                 \
    {                                                                                              \
        "migratedfrom", 0, 0, G_OPTION_ARG_STRING, &qm_run.migrated_from, text, "NODE"             \
    }

static GOptionEntry start_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    TIMEOUT_OPTION("Until QEMU must be up"),
    SKIPLOCK_OPTION,
    {"machine", 0, 0, G_OPTION_ARG_STRING, &qm_run.machine, "Use this machine type", "TYPE"},
    {"force-cpu", 0, 0, G_OPTION_ARG_STRING, &qm_run.force_cpu, "Use this as QEMU's -cpu", "CPU"},
    MIGRATED_FROM_OPTION("Receive the guest from this node, which still owns it"),
    {"config", 0, 0, G_OPTION_ARG_FILENAME, &qm_run.config,
     "With --migratedfrom: read the configuration from this file", "FILE"},
    {"stateuri", 0, 0, G_OPTION_ARG_STRING, &qm_run.state_uri,
     "With --migratedfrom: 'defer', the one way there is", "defer"},
    {"migration_type", 0, 0, G_OPTION_ARG_STRING, &qm_run.migration_type,
     "With --migratedfrom: for the agent, not looked at", "TYPE"},
    {"migration_network", 0, 0, G_OPTION_ARG_STRING, &qm_run.migration_network,
     "With --migratedfrom: for the agent, not looked at", "CIDR"},
    {"targetstorage", 0, 0, G_OPTION_ARG_STRING, &qm_run.target_storage,
     "With --migratedfrom: for the agent, not looked at", "MAP"},
    {"pass-fd", 0, 0, G_OPTION_ARG_STRING_ARRAY, &qm_run.pass_fds,
     "QEMU inherits this descriptor of the caller", "NUMBER"},
    {0},
};

static GOptionEntry stop_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    TIMEOUT_OPTION("Until signals are sent, 60 by default"),
    SKIPLOCK_OPTION,
    MIGRATED_FROM_OPTION("End the process of a guest that belongs to another node"),
    CLI_FLAG("keepActive", qm_run.keep_active, "Accepted; volumes of files need no deactivation"),
    CLI_FLAG("overrule-shutdown",
             qm_run.overrule_shutdown,
             "Accepted; a shutdown that waits ends by itself"),
    {0},
};

static GOptionEntry shutdown_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    TIMEOUT_OPTION("For the guest to obey; its 'startup: down=' or 60 by default"),
    SKIPLOCK_OPTION,
    CLI_FLAG("forceStop", qm_run.force_stop, "Stop it when it does not obey"),
    CLI_FLAG("keepActive", qm_run.keep_active, "Accepted; volumes of files need no deactivation"),
    {0},
};

static GOptionEntry status_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    CLI_FLAG("verbose", qm_run.verbose, "All that is known"),
    CLI_OUTPUT_FORMAT_OPTION,
    {0},
};

static GOptionEntry wait_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    TIMEOUT_OPTION("How long; for ever by default"),
    {0},
};

static GOptionEntry button_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    SKIPLOCK_OPTION,
    {0},
};

static GOptionEntry reboot_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    TIMEOUT_OPTION("For the guest to turn itself off"),
    {0},
};

static GOptionEntry suspend_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    SKIPLOCK_OPTION,
    CLI_FLAG("todisk", qm_run.to_disk, "Write the memory to a volume and end QEMU"),
    {"statestorage", 0, 0, G_OPTION_ARG_STRING, &qm_run.state_storage,
     "With --todisk: where the volume goes", "STORAGE"},
    {0},
};

static GOptionEntry resume_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    SKIPLOCK_OPTION,
    CLI_FLAG("nocheck", qm_run.nocheck, "Do not look for the guest's file on this node"),
    {0},
};

static GOptionEntry snapshot_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    CLI_FLAG("vmstate", qm_run.vmstate, "With the memory of the running guest"),
    {"description", 0, 0, G_OPTION_ARG_STRING, &qm_run.description, "What it is for", "TEXT"},
    {0},
};

static GOptionEntry rollback_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    CLI_FLAG("start", qm_run.start_after, "Start the guest afterwards, also without memory"),
    {0},
};

static GOptionEntry delsnapshot_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    CLI_FLAG("force", qm_run.force, "Remove it even when a disk cannot be cleaned"),
    {0},
};

static GOptionEntry listsnapshot_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    CLI_OUTPUT_FORMAT_OPTION,
    {0},
};

static GOptionEntry exec_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    TIMEOUT_OPTION("For the program to end, 30 by default"),
    CLI_FLAG("synchronous", qm_run.synchronous, "Wait for its end, 1 by default"),
    CLI_FLAG("pass-stdin", qm_run.pass_stdin, "Give it the standard input, up to 1 MiB"),
    {0},
};

static GOptionEntry passwd_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    CLI_FLAG("crypted", qm_run.crypted, "The password is a hash already"),
    {0},
};

static GOptionEntry terminal_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {"iface", 0, 0, G_OPTION_ARG_STRING, &qm_run.iface, "Which port; the first by default",
     "serialN"},
    {"escape", 0, 0, G_OPTION_ARG_STRING, &qm_run.escape, "Character that leaves, ^O by default",
     "CHARACTER"},
    {0},
};

static GOptionEntry startall_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    TIMEOUT_OPTION("How long to wait for quorum; not at all by default"),
    {0},
};

static GOptionEntry plain_options[] = {
    QM_ROOT_OPTION,
    QM_RUN_DIR_OPTION,
    {0},
};

const CliVerb qm_run_verbs[] = {
    {"start", "VMID", "Start a guest", 1, 1, start_options, qm_start},
    {"stop", "VMID", "End a guest at once, like pulling its plug", 1, 1, stop_options, qm_stop},
    {"shutdown", "VMID", "Ask a guest to turn itself off", 1, 1, shutdown_options, qm_shutdown},
    {"status", "VMID", "Show whether a guest runs", 1, 1, status_options, qm_status},
    {"reset", "VMID", "Press a guest's reset button", 1, 1, button_options, qm_reset},
    {"reboot", "VMID", "Shut a guest down and start it: pending changes come true", 1, 1,
     reboot_options, qm_reboot},
    {"suspend", "VMID", "Pause a guest in memory, or save it to disk", 1, 1, suspend_options,
     qm_suspend},
    {"resume", "VMID", "Let a paused or saved guest go on", 1, 1, resume_options, qm_resume},
    {"sendkey", "VMID KEYS", "Press keys: ctrl-alt-delete", 2, 2, button_options, qm_sendkey},
    {"monitor", "VMID", "Commands of QEMU's own monitor, a line each", 1, 1, plain_options,
     qm_monitor},
    {"nbdstop", "VMID", "Stop the export of disks of a guest that is arriving", 1, 1, plain_options,
     qm_nbdstop},
    {"snapshot", "VMID NAME", "Take a snapshot", 2, 2, snapshot_options, qm_snapshot},
    {"rollback", "VMID NAME", "Go back to a snapshot", 2, 2, rollback_options, qm_rollback},
    {"delsnapshot", "VMID NAME", "Remove a snapshot", 2, 2, delsnapshot_options, qm_delsnapshot},
    {"listsnapshot", "VMID", "Show the snapshots as a tree", 1, 1, listsnapshot_options,
     qm_listsnapshot},
    {"startall", "", "Start all guests with 'onboot' in their order", 0, 0, startall_options,
     qm_startall},
    {"stopall", "", "Shut down all running guests in the reverse order", 0, 0, plain_options,
     qm_stopall},
    {"guest cmd", "VMID COMMAND", "Ask the agent inside the guest: ping, get-fsinfo, ...", 2, 2,
     plain_options, qm_guest_cmd},
    {"agent", "VMID COMMAND", "The same as 'guest cmd'", 2, 2, plain_options, qm_guest_cmd},
    {"guest exec", "VMID [--] PROGRAM [ARGUMENT...]", "Run a program inside the guest", 2, INT_MAX,
     exec_options, qm_guest_exec},
    {"guest exec-status", "VMID PID", "How a program inside the guest is doing", 2, 2,
     plain_options, qm_guest_exec_status},
    {"guest passwd", "VMID USER", "Set a password inside the guest", 2, 2, passwd_options,
     qm_guest_passwd},
    {"terminal", "VMID", "The guest's serial line in this terminal", 1, 1, terminal_options,
     qm_terminal},
    {"vncproxy", "VMID", "The guest's screen on standard input and output, with a ticket", 1, 1,
     plain_options, qm_vncproxy},
    {"wait", "VMID", "Wait until a guest does not run", 1, 1, wait_options, qm_wait},
    {"cleanup", "VMID CLEAN GUEST-REQUESTED", "After the end of QEMU; the event daemon runs this",
     3, 3, plain_options, qm_cleanup},
    {0},
};
