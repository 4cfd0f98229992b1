/* SPDX-License-Identifier: Apache-2.0 */
#include "quorum/io/services.h"

#include "lib/port/process.h"

#include <errno.h>
#include <gio/gio.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *unit;
    const char *pid_file;
    const char *argv[3]; /* how to start it without systemd */
} services[SERVICE_N] = {
    [SERVICE_COROSYNC] = {"corosync", "/run/corosync.pid", {"corosync", NULL}},
    [SERVICE_PMXCFS] = {"pve-cluster", "/run/pve-cluster.pid", {"pmxcfs", NULL}},
    [SERVICE_QDEVICE] = {"corosync-qdevice",
                         "/run/corosync-qdevice/corosync-qdevice.pid",
                         {"corosync-qdevice", NULL}},
    [SERVICE_QNETD] = {"corosync-qnetd",
                       "/run/corosync-qnetd/corosync-qnetd.pid",
                       {"corosync-qnetd", NULL}},
};

const char *service_name(Service s)
{
    return services[s].unit;
}

/* Runs a command to its end. 0 or -EIO with what it wrote; `ret_status` (may be NULL) takes its
 * exit status instead of treating it as a failure. */
static int run(const char *const *argv, int *ret_status, Err *err)
{
    g_autoptr(GError) gerror = NULL;
    g_autoptr(GSubprocess) child = NULL;
    g_autofree char *output = NULL;

    child = g_subprocess_newv(
        argv, G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE, &gerror);
    if (child == NULL ||
        !g_subprocess_communicate_utf8(child, NULL, NULL, &output, NULL, &gerror)) {
        return err_setf(err, -EIO, "%s: %s", argv[0], gerror->message);
    }
    if (!g_subprocess_get_if_exited(child)) {
        return err_setf(err, -EIO, "%s was killed", argv[0]);
    }
    if (ret_status != NULL) {
        *ret_status = g_subprocess_get_exit_status(child);
        return 0;
    }
    if (g_subprocess_get_exit_status(child) != 0) {
        return err_setf(err, -EIO, "%s failed with status %d: %s", argv[0],
                        g_subprocess_get_exit_status(child),
                        output != NULL ? g_strstrip(output) : "");
    }
    return 0;
}

typedef enum Manager { MANAGER_SYSTEMD, MANAGER_COMMAND, MANAGER_DIRECT } Manager;

static Manager manager(void)
{
    if (g_getenv("QUORATE_SERVICE_COMMAND") != NULL) {
        return MANAGER_COMMAND;
    }
    return access("/run/systemd/system", F_OK) == 0 ? MANAGER_SYSTEMD : MANAGER_DIRECT;
}

static int managed(const char *verb, Service s, int *ret_status, Err *err)
{
    const char *command = g_getenv("QUORATE_SERVICE_COMMAND");
    const char *const by_command[] = {command, verb, services[s].unit, NULL};
    const char *const by_systemd[] = {"systemctl", strcmp(verb, "status") == 0 ? "is-active" : verb,
                                      services[s].unit, NULL};

    return run(command != NULL ? by_command : by_systemd, ret_status, err);
}

/* ---- direct ---------------------------------------------------------------------------------- */

/* The pid in the pid file when that process lives and is the daemon; 0 otherwise. */
static pid_t direct_pid(Service s)
{
    g_autofree char *text = NULL;
    g_autofree char *comm_path = NULL;
    g_autofree char *comm = NULL;
    guint64 pid;

    if (!g_file_get_contents(services[s].pid_file, &text, NULL, NULL) ||
        !g_ascii_string_to_unsigned(g_strstrip(text), 10, 2, G_MAXINT, &pid, NULL)) {
        return 0;
    }
    comm_path = g_strdup_printf("/proc/%" G_GUINT64_FORMAT "/comm", pid);
    if (!g_file_get_contents(comm_path, &comm, NULL, NULL)) {
        return 0;
    }
    /* The kernel keeps 15 bytes of the name; a recycled pid is not ours to kill. */
    return strncmp(g_strstrip(comm), services[s].argv[0], 15) == 0 ? (pid_t)pid : 0;
}

static int direct_stop(Service s, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + SERVICE_STOP_TIMEOUT_MS * INT64_C(1000);
    pid_t pid = direct_pid(s);

    if (pid == 0) {
        return 0;
    }
    if (kill(pid, SIGTERM) < 0 && errno != ESRCH) {
        int r = -errno;

        return err_setf(err, r, "stopping %s (pid %d): %s", services[s].unit, (int)pid,
                        strerror(-r));
    }
    while (kill(pid, 0) == 0) {
        if (g_get_monotonic_time() > deadline) {
            return err_setf(err, -ETIMEDOUT, "%s (pid %d) does not end within %d s",
                            services[s].unit, (int)pid, SERVICE_STOP_TIMEOUT_MS / 1000);
        }
        g_usleep(50 * 1000);
    }
    return 0;
}

static int direct_start(Service s, Err *err)
{
    return direct_pid(s) != 0 ? 0 : run(services[s].argv, NULL, err);
}

/* ---- public ---------------------------------------------------------------------------------- */

int service_start(Service s, Err *err)
{
    return manager() == MANAGER_DIRECT ? direct_start(s, err) : managed("start", s, NULL, err);
}

int service_stop(Service s, Err *err)
{
    return manager() == MANAGER_DIRECT ? direct_stop(s, err) : managed("stop", s, NULL, err);
}

int service_restart(Service s, Err *err)
{
    int r;

    if (manager() != MANAGER_DIRECT) {
        return managed("restart", s, NULL, err);
    }
    r = direct_stop(s, err);
    return r < 0 ? r : direct_start(s, err);
}

int service_running(Service s, Err *err)
{
    int status = 0;
    int r;

    if (manager() == MANAGER_DIRECT) {
        return direct_pid(s) != 0;
    }
    r = managed("status", s, &status, err);
    return r < 0 ? r : status == 0;
}

int service_enable(Service s, bool enable, Err *err)
{
    const char *const argv[] = {"systemctl", enable ? "enable" : "disable", services[s].unit, NULL};

    return manager() == MANAGER_SYSTEMD ? run(argv, NULL, err) : 0;
}

int service_start_local(Err *err)
{
    static const char *const argv[] = {"pmxcfs", "-l", NULL};

    return run(argv, NULL, err);
}

int service_stop_local(Err *err)
{
    return direct_stop(SERVICE_PMXCFS, err);
}

int service_reload_corosync(Err *err)
{
    static const char *const argv[] = {"corosync-cfgtool", "-R", NULL};
    const ProcessOptions opt = {.timeout_ms = SERVICE_RELOAD_TIMEOUT_MS};

    return process_check(argv, &opt, NULL, err);
}
