/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/io/ha_agents.h"

#include "ha-manager/io/ha_tree.h"
#include "lib/cfs/cfsfile.h"
#include "lib/port/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define START_MS       (10 * 60 * 1000) /* disks may have to be activated first */
#define MIGRATE_MS     (24 * 3600 * 1000)
#define STATUS_MS      20000
#define HARD_STOP_MS   1500  /* then the guest is killed: a lost lease leaves no more time */
#define STOP_EXTRA_MS  60000 /* beyond what the guest was given */
#define DEFAULT_STOP_S 60
#define KILL_WAIT_MS   5000
#define STATUS_STOPPED 3 /* exit codes of generic services, as of init scripts */
#define NOT_SUPPORTED  3

const char *const ha_agent_types[] = {"exec", NULL};

bool ha_agents_has_type(const char *type)
{
    return strcmp(type, "vm") == 0 || strcmp(type, "ct") == 0 || strcmp(type, "exec") == 0;
}

static const char *name_of(const char *sid)
{
    const char *colon = strchr(sid, ':');

    return colon != NULL ? colon + 1 : sid;
}

static bool is_type(const char *sid, const char *type)
{
    gsize n = strlen(type);

    return strncmp(sid, type, n) == 0 && sid[n] == ':';
}

static void say(const HaAgents *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(const HaAgents *a, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    a->log(a->ctx, text);
}

/* Exit status of the program, or -errno; what it said on stderr goes to the log. */
static int run(const HaAgents *a, unsigned timeout_ms, const char *const *argv)
{
    ProcessOptions options = {.timeout_ms = timeout_ms, .output_max = 65536};
    g_auto(ProcessResult) result = {0};
    g_auto(GStrv) lines = NULL;
    Err why = ERR_INIT;
    int r = process_run(argv, &options, &result, &why);

    if (r < 0) {
        say(a, "%s %s: %s", argv[0], argv[1], err_text(&why));
        return r;
    }
    lines = g_strsplit(result.err, "\n", -1);
    for (gsize i = 0; lines[i] != NULL; i++) {
        if (lines[i][0] != '\0') {
            say(a, "%s %s %s: %s", argv[0], argv[1], argv[2] != NULL ? argv[2] : "", lines[i]);
        }
    }
    return result.status;
}

/* ---- QEMU guests ---------------------------------------------------------------------------- */

/* The process of a guest, by its pid file: works even when nothing else does. 0: none. */
static pid_t guest_pid(const HaAgents *a, const char *vmid)
{
    g_autofree char *file = g_strdup_printf("%s/%s.pid", a->run_dir, vmid);
    g_autofree char *cmdline = NULL;
    g_autofree char *path = NULL;
    g_autofree char *text = NULL;
    gsize size = 0;
    gint64 pid;

    if (cfsfile_read(file, 64, &text, NULL, NULL) < 0) {
        return 0;
    }
    pid = g_ascii_strtoll(text, NULL, 10);
    path = g_strdup_printf("/proc/%" G_GINT64_FORMAT "/cmdline", pid);
    if (pid <= 1 || cfsfile_read(path, 1024 * 1024, &cmdline, &size, NULL) < 0) {
        return 0;
    }
    return memmem(cmdline, size, file, strlen(file)) != NULL ? (pid_t)pid : 0;
}

/* A guest that a backup has begun to start, but not let run, does not count. */
static bool is_prelaunch(const HaAgents *a, const char *vmid)
{
    const char *const argv[] = {"qm", "status", vmid, "--verbose", NULL};
    g_autofree char *sid = g_strconcat("vm:", vmid, NULL);
    g_autofree char *path = ha_tree_guest_path(a->pve, sid, a->node);
    g_autofree char *text = NULL;
    g_auto(ProcessResult) result = {0};
    ProcessOptions options = {.timeout_ms = STATUS_MS};

    if (path == NULL || cfsfile_read(path, 1024 * 1024, &text, NULL, NULL) < 0 ||
        strstr(text, "lock: backup") == NULL) {
        return false;
    }
    return process_run(argv, &options, &result, NULL) == 0 &&
           strstr(result.out, "prelaunch") != NULL;
}

static int vm_running(const HaAgents *a, const char *vmid)
{
    return guest_pid(a, vmid) > 0 && !is_prelaunch(a, vmid) ? 1 : 0;
}

static void kill_guest(const HaAgents *a, const char *vmid)
{
    pid_t pid = guest_pid(a, vmid);

    if (pid == 0) {
        return;
    }
    say(a, "killing guest %s (PID %d)", vmid, (int)pid);
    if (kill(pid, SIGKILL) < 0) {
        say(a, "kill %d: %s", (int)pid, strerror(errno));
    }
    for (int i = 0; i < KILL_WAIT_MS / 50 && guest_pid(a, vmid) > 0; i++) {
        g_usleep(50 * 1000);
    }
}

static void vm_stop(const HaAgents *a, const char *vmid, int64_t timeout_s)
{
    g_autofree char *seconds = g_strdup_printf("%" G_GINT64_FORMAT, timeout_s);
    const char *const hard[] = {"qm", "stop", vmid, NULL};
    const char *const soft[] = {"qm",    "shutdown",    vmid, "--timeout",
                                seconds, "--forceStop", "1",  NULL};
    unsigned limit_ms = (unsigned)timeout_s * 1000 + STOP_EXTRA_MS;

    if (timeout_s == 0 ? run(a, HARD_STOP_MS, hard) != 0 : run(a, limit_ms, soft) != 0) {
        /* Without the cluster filesystem qm may be unable to; the guest has to stop all the same.
         */
        if (timeout_s == 0) {
            kill_guest(a, vmid);
        }
    }
}

static bool belongs_here(const HaAgents *a, const char *sid)
{
    g_autofree char *path = ha_tree_guest_path(a->pve, sid, a->node);

    return path == NULL || access(path, F_OK) == 0;
}

static int vm_migrate(const HaAgents *a, const char *sid, const char *target, bool online)
{
    const char *vmid = name_of(sid);
    const char *const live[] = {
        "qm", "migrate", vmid, target, "--online", "1", "--with-local-disks",
        "1",  "--force", "1",  NULL};
    const char *const cold[] = {"qm", "migrate", vmid, target, "--with-local-disks",
                                "1",  "--force", "1",  NULL};

    if (!online && vm_running(a, vmid) == 1) {
        vm_stop(a, vmid, DEFAULT_STOP_S);
    }
    (void)run(a, MIGRATE_MS, online ? live : cold); /* what counts is where the guest is now */
    return belongs_here(a, sid) ? -EIO : 0;
}

/* ---- containers ----------------------------------------------------------------------------- */

static int ct_running(const char *vmid)
{
    const char *const argv[] = {"pct", "status", vmid, NULL};
    g_auto(ProcessResult) result = {0};
    ProcessOptions options = {.timeout_ms = STATUS_MS};
    int r = process_run(argv, &options, &result, NULL);

    if (r < 0) {
        return r;
    }
    return result.status != 0 ? -EIO : strstr(result.out, "status: running") != NULL;
}

static void ct_stop(const HaAgents *a, const char *vmid, int64_t timeout_s)
{
    g_autofree char *seconds = g_strdup_printf("%" G_GINT64_FORMAT, timeout_s);
    const char *const hard[] = {"pct", "stop", vmid, NULL};
    const char *const soft[] = {"pct",   "shutdown",    vmid, "--timeout",
                                seconds, "--forceStop", "1",  NULL};

    (void)run(a, (unsigned)timeout_s * 1000 + STOP_EXTRA_MS, timeout_s == 0 ? hard : soft);
}

static int ct_migrate(const HaAgents *a, const char *sid, const char *target)
{
    const char *const argv[] = {"pct", "migrate", name_of(sid), target, NULL};

    if (ct_running(name_of(sid)) == 1) {
        ct_stop(a, name_of(sid), DEFAULT_STOP_S);
    }
    (void)run(a, MIGRATE_MS, argv); /* what counts is where the guest is now */
    return belongs_here(a, sid) ? -EIO : 0;
}

/* ---- generic services ----------------------------------------------------------------------- */

/* Only root's word counts, and only a plain name: it comes from a file that all nodes share. */
static char *service_program(const HaAgents *a, const char *name)
{
    g_autofree char *path = g_build_filename(a->services, name, NULL);
    struct stat st;

    if (strchr(name, '/') != NULL || name[0] == '.' || stat(path, &st) < 0) {
        say(a, "%s: there is no such program", path);
        return NULL;
    }
    if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 022) != 0) {
        say(a, "%s: must be a file that only root can change", path);
        return NULL;
    }
    return g_steal_pointer(&path);
}

static int service(const HaAgents *a,
                   const char *sid,
                   unsigned ms,
                   const char *verb,
                   const char *arg1,
                   const char *arg2)
{
    g_autofree char *program = service_program(a, name_of(sid));
    const char *const argv[] = {program, verb, arg1, arg2, NULL};

    return program == NULL ? -ENOENT : run(a, ms, argv);
}

static int exec_running(const HaAgents *a, const char *sid)
{
    int r = service(a, sid, STATUS_MS, "status", NULL, NULL);

    if (r == 0 || r == STATUS_STOPPED) {
        return r == 0;
    }
    return r < 0 ? r : -EIO;
}

static void exec_stop(const HaAgents *a, const char *sid, int64_t timeout_s)
{
    g_autofree char *seconds = g_strdup_printf("%" G_GINT64_FORMAT, timeout_s);

    (void)service(a, sid, (unsigned)timeout_s * 1000 + STOP_EXTRA_MS, "stop", seconds, NULL);
}

static int hand_over(const HaAgents *a, const char *sid, const char *target)
{
    g_autofree char *from = ha_tree_guest_path(a->pve, sid, a->node);
    g_autofree char *to = ha_tree_guest_path(a->pve, sid, target);
    g_autofree char *dir = g_path_get_dirname(to);

    if (mkdir(dir, 0755) < 0 && errno != EEXIST) {
        say(a, "%s: %s", dir, strerror(errno));
        return -errno;
    }
    if (rename(from, to) < 0) {
        say(a, "%s: %s", to, strerror(errno));
        return -errno;
    }
    return 0;
}

/* Either the service moves itself while it runs, or it is stopped here and started there. */
static int exec_migrate(const HaAgents *a, const char *sid, const char *target, bool online)
{
    int status = NOT_SUPPORTED;

    if (exec_running(a, sid) != 0) {
        status = service(a, sid, MIGRATE_MS, "migrate", target, online ? "online" : "offline");
    }
    if (status == NOT_SUPPORTED && exec_running(a, sid) != 0) {
        exec_stop(a, sid, DEFAULT_STOP_S);
        if (exec_running(a, sid) != 0) {
            return -EBUSY;
        }
    } else if (status != 0 && status != NOT_SUPPORTED) {
        return -EIO;
    }
    return hand_over(a, sid, target);
}

/* ---- all --------------------------------------------------------------------------------------
 */

int ha_agents_running(const HaAgents *a, const char *sid)
{
    if (is_type(sid, "vm")) {
        return vm_running(a, name_of(sid));
    }
    return is_type(sid, "ct") ? ct_running(name_of(sid)) : exec_running(a, sid);
}

void ha_agents_start(const HaAgents *a, const char *sid)
{
    const char *const vm[] = {"qm", "start", name_of(sid), NULL};
    const char *const ct[] = {"pct", "start", name_of(sid), NULL};

    if (is_type(sid, "exec")) {
        (void)service(a, sid, START_MS, "start", NULL, NULL); /* the caller looks whether it runs */
    } else {
        (void)run(a, START_MS, is_type(sid, "vm") ? vm : ct);
    }
}

void ha_agents_stop(const HaAgents *a, const char *sid, int64_t timeout_s)
{
    int64_t s = timeout_s < 0 ? DEFAULT_STOP_S : MIN(timeout_s, 24 * 3600);

    if (is_type(sid, "vm")) {
        vm_stop(a, name_of(sid), s);
    } else if (is_type(sid, "ct")) {
        ct_stop(a, name_of(sid), s);
    } else {
        exec_stop(a, sid, s);
    }
}

int ha_agents_migrate(const HaAgents *a, const char *sid, const char *target, bool online)
{
    if (is_type(sid, "vm")) {
        return vm_migrate(a, sid, target, online);
    }
    return is_type(sid, "ct") ? ct_migrate(a, sid, target) : exec_migrate(a, sid, target, online);
}
