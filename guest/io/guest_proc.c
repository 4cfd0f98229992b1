/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_proc.h"

#include "guest/core/volid.h"
#include "guest/io/textfile.h"
#include "lib/port/clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#define PID_FILE_MAX 32
#define STAT_MAX     4096
#define CMDLINE_MAX  (4 * 1024 * 1024) /* the kernel's own limit is 2 MiB for all words */

void guest_proc_clear(GuestProc *p)
{
    if (p->fd >= 0) {
        (void)close(p->fd); /* a pidfd: nothing to lose */
    }
    *p = (GuestProc)GUEST_PROC_INIT;
}

char *guest_run_path(const char *run_dir, uint32_t vmid, const char *suffix)
{
    return g_strdup_printf("%s/%u.%s", run_dir, vmid, suffix);
}

/* The number in a pid file, 0 for what is none. */
static pid_t parse_pid(const char *text)
{
    char *end = NULL;
    gint64 pid = g_ascii_strtoll(text, &end, 10);

    while (end != NULL && g_ascii_isspace(*end)) {
        end++;
    }
    return end != NULL && *end == '\0' && pid > 1 && pid <= INT_MAX ? (pid_t)pid : 0;
}

/* The same file, also when one of the directories is a link (/var/run and /run). */
static bool same_path(const char *a, const char *b)
{
    g_autofree char *dir_a = g_path_get_dirname(a);
    g_autofree char *dir_b = g_path_get_dirname(b);
    g_autofree char *base_a = g_path_get_basename(a);
    g_autofree char *base_b = g_path_get_basename(b);
    char *real_a;
    char *real_b;
    bool same;

    if (strcmp(a, b) == 0) {
        return true;
    }
    if (strcmp(base_a, base_b) != 0) {
        return false;
    }
    real_a = realpath(dir_a, NULL);
    real_b = realpath(dir_b, NULL);
    same = real_a != NULL && real_b != NULL && strcmp(real_a, real_b) == 0;
    free(real_a);
    free(real_b);
    return same;
}

/* The command line of `pid` has "-pidfile" and then this very file. */
static bool names_pid_file(pid_t pid, const char *pid_file)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", (int)pid);
    g_autofree char *text = NULL;
    const char *previous = "";
    size_t len = 0;

    if (textfile_read(path, CMDLINE_MAX, &text, &len, NULL) < 0) {
        return false; /* it has ended meanwhile */
    }
    for (const char *word = text; word < text + len; word += strlen(word) + 1) {
        if (strcmp(previous, "-pidfile") == 0 && same_path(word, pid_file)) {
            return true;
        }
        previous = word;
    }
    return false;
}

/* `says` looks at the process when the number can no longer change hands. */
static int
find_by(const char *path, bool (*says)(pid_t pid, const char *path), GuestProc *ret, Err *err)
{
    g_autofree char *text = NULL;
    g_auto(GuestProc) proc = GUEST_PROC_INIT;
    size_t len;
    int r = textfile_read(path, PID_FILE_MAX, &text, &len, err);

    if (r == -ENOENT || r == -ENOTDIR) {
        err_clear(err);
        return 0;
    }
    if (r < 0) {
        return r;
    }
    proc.pid = parse_pid(text);
    if (proc.pid == 0) {
        return 0; /* QEMU died while it wrote the file, or it is no pid file */
    }
    proc.fd = pidfd_open(proc.pid, 0);
    if (proc.fd < 0) {
        return errno == ESRCH || errno == EINVAL
                   ? 0
                   : err_setf(err, -errno, "process %d: %s", (int)proc.pid, g_strerror(errno));
    }
    if (!says(proc.pid, path) || guest_proc_wait(&proc, 0)) {
        return 0;
    }
    *ret = proc;
    proc = (GuestProc)GUEST_PROC_INIT;
    return 1;
}

int guest_proc_find(const char *run_dir, uint32_t vmid, GuestProc *ret, Err *err)
{
    g_autofree char *path = guest_run_path(run_dir, vmid, "pid");

    return find_by(path, names_pid_file, ret, err);
}

int guest_proc_scan(const char *run_dir, uint32_t vmid, GuestProc *ret, Err *err)
{
    g_autofree char *path = guest_run_path(run_dir, vmid, "pid");
    g_autoptr(GDir) dir = g_dir_open("/proc", 0, NULL);
    const char *name;

    if (dir == NULL) {
        return err_setf(err, -ENOENT, "/proc is not mounted");
    }
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_auto(GuestProc) proc = GUEST_PROC_INIT;

        proc.pid = parse_pid(name);
        proc.fd = proc.pid > 0 ? pidfd_open(proc.pid, 0) : -1;
        if (proc.fd >= 0 && names_pid_file(proc.pid, path) && !guest_proc_wait(&proc, 0)) {
            *ret = proc;
            proc = (GuestProc)GUEST_PROC_INIT;
            return 1;
        }
    }
    return 0;
}

/* The command line of `pid` has the word "file=" and this very file. */
static bool names_tpm_file(pid_t pid, const char *pid_file)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", (int)pid);
    g_autofree char *text = NULL;
    size_t len = 0;

    if (textfile_read(path, CMDLINE_MAX, &text, &len, NULL) < 0) {
        return false; /* it has ended meanwhile */
    }
    for (const char *word = text; word < text + len; word += strlen(word) + 1) {
        if (g_str_has_prefix(word, "file=") && same_path(word + strlen("file="), pid_file)) {
            return true;
        }
    }
    return false;
}

int guest_proc_find_tpm(const char *run_dir, uint32_t vmid, GuestProc *ret)
{
    g_autofree char *path = guest_run_path(run_dir, vmid, GUEST_TPM_PID);

    return find_by(path, names_tpm_file, ret, NULL);
}

/* "PID (NAME) S PARENT ...": NAME may hold anything. 0 when it has ended. */
static pid_t parent_of(const char *pid)
{
    g_autofree char *path = g_build_filename("/proc", pid, "stat", NULL);
    g_autofree char *text = NULL;
    const char *end;
    size_t len;

    if (textfile_read(path, STAT_MAX, &text, &len, NULL) < 0) {
        return 0;
    }
    end = strrchr(text, ')');
    return end != NULL && strlen(end) > 4 ? (pid_t)g_ascii_strtoll(end + 4, NULL, 10) : 0;
}

static bool has_pid(const GArray *pids, pid_t pid)
{
    for (guint i = 0; i < pids->len; i++) {
        if (g_array_index(pids, pid_t, i) == pid) {
            return true;
        }
    }
    return false;
}

/* One look for each generation. */
void guest_proc_add_children(GArray *pids)
{
    guint before;

    do {
        GDir *dir = g_dir_open("/proc", 0, NULL);
        const char *name;
        before = pids->len;
        while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
            pid_t pid = parse_pid(name);
            if (pid > 0 && !has_pid(pids, pid) && has_pid(pids, parent_of(name))) {
                g_array_append_val(pids, pid);
            }
        }
        g_clear_pointer(&dir, g_dir_close);
    } while (pids->len > before);
}

int guest_proc_identify(pid_t pid, GuestProc *ret, uint32_t *ret_vmid, char **ret_dir, Err *err)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", (int)pid);
    g_auto(GuestProc) proc = {pid, pidfd_open(pid, 0)};
    g_autofree char *text = NULL;
    const char *previous = "";
    size_t len = 0;
    int r = proc.fd < 0 ? err_setf(err, -errno, "process %d: %s", (int)pid, g_strerror(errno))
                        : textfile_read(path, CMDLINE_MAX, &text, &len, err);

    if (r < 0) {
        return r;
    }
    for (const char *word = text; word < text + len; word += strlen(word) + 1) {
        if (strcmp(previous, "-pidfile") == 0) {
            g_autofree char *base = g_path_get_basename(word);
            g_autofree char *stem = g_strndup(base, strcspn(base, "."));
            if (strcmp(base + strlen(stem), ".pid") == 0 && vmid_parse(stem, ret_vmid, NULL) == 0) {
                *ret_dir = g_path_get_dirname(word);
                *ret = proc;
                proc = (GuestProc)GUEST_PROC_INIT;
                return 0;
            }
        }
        previous = word;
    }
    return err_setf(err, -ENOENT, "process %d is no guest's QEMU", (int)pid);
}

bool guest_proc_wait(const GuestProc *p, unsigned timeout_ms)
{
    MonoTime deadline = mono_add_ms(clock_mono(), timeout_ms);

    for (;;) {
        struct pollfd pfd = {.fd = p->fd, .events = POLLIN};
        int64_t left_us = mono_diff_us(deadline, clock_mono());
        int n = poll(&pfd, 1, left_us > 0 ? (int)MIN(left_us / US_PER_MS + 1, INT_MAX) : 0);
        if (n > 0) {
            return true;
        }
        if (n == 0 || errno != EINTR) {
            return false;
        }
    }
}

void guest_proc_signal(const GuestProc *p, int number)
{
    (void)pidfd_send_signal(p->fd, number, NULL, 0); /* fails only when it has ended */
}

int guest_proc_end(const GuestProc *p, unsigned term_ms, unsigned kill_ms, Err *err)
{
    guest_proc_signal(p, SIGTERM);
    if (guest_proc_wait(p, term_ms)) {
        return 0;
    }
    guest_proc_signal(p, SIGKILL);
    if (guest_proc_wait(p, kill_ms)) {
        return 0;
    }
    return err_setf(err, -ETIMEDOUT,
                    "QEMU (process %d) does not end, not even by SIGKILL: it waits for a disk or "
                    "a device of this host",
                    (int)p->pid);
}

char *guest_virtiofs_path(const char *run_dir, uint32_t vmid, int index)
{
    return g_strdup_printf("%s/virtiofsd/vm%u-fs%d", run_dir, vmid, index);
}

void guest_run_sweep(const char *run_dir, uint32_t vmid)
{
    static const char *const suffixes[] = {
        "pid",     "qmp",     "mig",     "qga",   "vnc",  "serial0",  "serial1", "serial2",
        "serial3", "migrate", "storage", "swtpm", "nets", "incoming", "why",     GUEST_TPM_PID};

    for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        g_autofree char *path = guest_run_path(run_dir, vmid, suffixes[i]);
        (void)unlink(path); /* most of them are not there */
    }
    for (int i = 0; i < GUEST_VIRTIOFS_MAX; i++) {
        g_autofree char *path = guest_virtiofs_path(run_dir, vmid, i);
        (void)unlink(path); /* as above */
    }
}

static int compare_vmids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

GArray *guest_run_list(const char *run_dir)
{
    GArray *out = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    GDir *dir = g_dir_open(run_dir, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *stem = g_strndup(name, strcspn(name, "."));
        uint32_t vmid;
        if (strcmp(name + strlen(stem), ".pid") == 0 && vmid_parse(stem, &vmid, NULL) == 0) {
            g_array_append_val(out, vmid);
        }
    }
    if (dir != NULL) {
        g_dir_close(dir);
    }
    g_array_sort(out, compare_vmids);
    return out;
}
