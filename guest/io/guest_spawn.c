/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_spawn.h"

#include "guest/core/drive.h"
#include "guest/core/storage_path.h"
#include "guest/io/guest_huge.h"
#include "guest/io/guest_net.h"
#include "guest/io/guest_pci.h"
#include "guest/io/guest_tpm.h"
#include "guest/io/guest_virtiofs.h"
#include "guest/io/rawhead.h"
#include "guest/io/textfile.h"
#include "lib/cfs/cfsfile.h"
#include "lib/port/process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define KVM_DEVICE       "/dev/kvm"
#define HUGE_DIR         "/run/hugepages/kvm"
#define SPICE_PORT_FIRST 61000
#define SPICE_PORT_LAST  61998
#define VARS_FILE_MAX    (64 * 1024 * 1024)
#define GIVE_UP_TERM_MS  1000u
#define GIVE_UP_KILL_MS  10000u

/* ------------------------------------------------------------------ checks */

static int check_path(const GuestSpawn *s, const Drive *d, Err *err)
{
    const char *file = propstring_text(d->props, "file");
    g_autoptr(VolumeSource) source = NULL;
    int r;

    if (d->volid.kind == VOLID_NONE || d->volid.kind == VOLID_CDROM) {
        return 0;
    }
    r = volume_locate(s->facts, file, &source, err);
    if (r == 0 && source->path != NULL && access(source->path, F_OK) < 0) {
        r = err_setf(err, -errno, "volume '%s': %s: %s", file, source->path, g_strerror(errno));
    }
    return r < 0 ? err_wrapf(err, r, "%s", d->name) : 0;
}

static int check_volumes(const GuestSpawn *s, Err *err)
{
    g_autoptr(GPtrArray) drives = NULL;
    int r = drives_list(s->conf, false, &drives, err);

    for (guint i = 0; r == 0 && i < drives->len; i++) {
        r = check_path(s, drives->pdata[i], err);
    }
    return r;
}

static bool has_word(const GuestSpawn *s, const char *part)
{
    for (guint i = 0; i < s->cmd->argv->len; i++) {
        if (strstr(s->cmd->argv->pdata[i], part) != NULL) {
            return true;
        }
    }
    return false;
}

static int check_kvm(const GuestSpawn *s, Err *err)
{
    if (has_word(s, "accel=kvm") && access(KVM_DEVICE, R_OK | W_OK) < 0) {
        return err_setf(err, -ENOTSUP,
                        "kvm: this node has no usable " KVM_DEVICE
                        " (%s): enable virtualisation in its firmware, or set 'kvm: 0' for slow "
                        "emulation",
                        g_strerror(errno));
    }
    return 0;
}

int guest_spawn_check(const GuestSpawn *s, Err *err)
{
    int r = check_kvm(s, err);

    if (r == 0) {
        r = guest_net_check(s->conf, err);
    }
    if (r == 0) {
        r = check_volumes(s, err);
    }
    if (r == 0) {
        r = guest_virtiofs_check(s->conf, s->facts, err);
    }
    if (r == 0) {
        r = guest_pci_check(GUEST_PCI_SYSFS, s->cmd->passed, err);
    }
    return r < 0 ? r : guest_tpm_check(s->conf, err);
}

int guest_spawn_spice_port(int *ret, Err *err)
{
    for (int port = SPICE_PORT_FIRST; port <= SPICE_PORT_LAST; port++) {
        struct sockaddr_in addr = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool free_now;
        if (fd < 0) {
            return err_setf(err, -errno, "socket: %s", g_strerror(errno));
        }
        free_now = bind(fd, (const struct sockaddr *)&addr, sizeof addr) == 0;
        (void)close(fd); /* QEMU takes it; somebody faster makes QEMU say so */
        if (free_now) {
            *ret = port;
            return 0;
        }
    }
    return err_setf(err, -EADDRINUSE, "no free SPICE port in %d-%d", SPICE_PORT_FIRST,
                    SPICE_PORT_LAST);
}

/* ------------------------------------------------------------- preparations */

/* Variables of a firmware without efidisk0: a copy that is gone after the guest's end. */
static int make_vars(const GuestSpawn *s, Err *err)
{
    g_autofree char *dir = g_build_filename(s->host->run_dir, "efidisk", NULL);
    g_autofree char *path = g_strdup_printf("%s/%u-ovmf.fd", dir, s->vmid);
    g_autofree char *from = NULL;
    g_autofree char *text = NULL;
    size_t len;
    int r;

    if (!has_word(s, path)) {
        return 0;
    }
    from = has_word(s, "AAVMF_CODE")
               ? g_build_filename(s->facts->arm_firmware_dir, "AAVMF_VARS.fd", NULL)
               : g_build_filename(s->facts->firmware_dir, "OVMF_VARS.fd", NULL);
    r = textfile_read(from, VARS_FILE_MAX, &text, &len, err);
    if (r == 0 && g_mkdir_with_parents(dir, 0700) < 0) {
        r = err_setf(err, -errno, "%s: %s", dir, g_strerror(errno));
    }
    return r < 0 ? r : cfsfile_write(path, text, len, err);
}

/* The file systems of huge pages that the command names: HUGE_DIR/2048kB and so on. */
static int mount_hugepages(const GuestSpawn *s, Err *err)
{
    static const int sizes[] = {2048, 1048576};

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *dir = g_strdup_printf(HUGE_DIR "/%dkB", sizes[i]);
        g_autofree char *data = g_strdup_printf("pagesize=%dk", sizes[i]);
        struct stat here;
        struct stat above;
        if (!has_word(s, dir)) {
            continue;
        }
        if (g_mkdir_with_parents(dir, 0755) < 0 || stat(dir, &here) < 0 ||
            stat(HUGE_DIR, &above) < 0) {
            return err_setf(err, -errno, "hugepages: %s: %s", dir, g_strerror(errno));
        }
        if (here.st_dev == above.st_dev && mount("hugetlbfs", dir, "hugetlbfs", 0, data) < 0) {
            return err_setf(err, -errno, "hugepages: %s: %s", dir, g_strerror(errno));
        }
    }
    return 0;
}

static int prepare(const GuestSpawn *s, Err *err)
{
    int r;

    guest_tpm_end(s->host->run_dir, s->vmid); /* of a QEMU that was killed unseen */
    guest_run_sweep(s->host->run_dir, s->vmid);
    guest_net_sweep(s->vmid);
    r = guest_net_write(s->host->run_dir, s->conf, err);
    if (r == 0) {
        r = guest_pci_prepare(GUEST_PCI_SYSFS, s->cmd->passed, err);
    }
    if (r == 0) {
        r = make_vars(s, err);
    }
    if (r == 0) {
        r = mount_hugepages(s, err);
    }
    if (r == 0 && !s->disks_in_use) {
        r = rawhead_fill_drives(s->conf, s->facts, NULL, err);
    }
    if (r == 0) {
        r = guest_virtiofs_start(s->conf, s->facts, s->helpers, err);
    }
    return r < 0 ? r : guest_tpm_start(s->conf, s->facts, err);
}

/* ----------------------------------------------------------------- running */

/* CPUs of "0-3,8". The list was checked with the configuration. */
static void parse_cpus(const char *text, cpu_set_t *ret)
{
    g_auto(GStrv) ranges = g_strsplit(text, ",", -1);

    CPU_ZERO(ret);
    for (char **range = ranges; *range != NULL; range++) {
        char *end = NULL;
        gint64 first = g_ascii_strtoll(*range, &end, 10);
        gint64 last = *end == '-' ? g_ascii_strtoll(end + 1, NULL, 10) : first;
        for (gint64 cpu = first; cpu <= last && cpu < CPU_SETSIZE; cpu++) {
            CPU_SET((size_t)cpu, ret);
        }
    }
}

/* QEMU inherits the processors of this process; they are given back afterwards. */
static int pin(const GuestSpawn *s, cpu_set_t *ret_old, Err *err)
{
    const char *affinity = guestconf_text(s->conf, "affinity");
    cpu_set_t wanted;

    if (sched_getaffinity(0, sizeof *ret_old, ret_old) < 0) {
        return err_setf(err, -errno, "affinity: %s", g_strerror(errno));
    }
    if (affinity == NULL) {
        return 0;
    }
    parse_cpus(affinity, &wanted);
    if (sched_setaffinity(0, sizeof wanted, &wanted) < 0) {
        return err_setf(err, -errno, "affinity: this node has none of the CPUs %s", affinity);
    }
    return 0;
}

/* The words of the command, and a monitor that migrations have for themselves. */
static GPtrArray *final_words(const GuestSpawn *s)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *path = guest_run_path(s->host->run_dir, s->vmid, "mig");

    for (guint i = 0; i < s->cmd->argv->len; i++) {
        g_ptr_array_add(words, g_strdup(s->cmd->argv->pdata[i]));
    }
    g_ptr_array_add(words, g_strdup("-chardev"));
    g_ptr_array_add(words, g_strdup_printf("socket,id=qmp-mig,path=%s,server=on,wait=off", path));
    g_ptr_array_add(words, g_strdup("-mon"));
    g_ptr_array_add(words, g_strdup("chardev=qmp-mig,mode=control"));
    g_ptr_array_add(words, NULL);
    return words;
}

/* "qemu-system-x86_64: -drive ...: reason" without the program's name; the first such line. */
static const char *first_reason(const char *said, GStrv lines)
{
    for (char **line = lines; *line != NULL; line++) {
        const char *at = strstr(g_strstrip(*line), ": ");
        if (strstr(*line, "warning:") == NULL && **line != '\0') {
            return at != NULL && g_str_has_prefix(*line, "qemu-system") ? at + 2 : *line;
        }
    }
    return *said != '\0' ? said : "QEMU ended without a word";
}

static void relay_warnings(const GuestSpawn *s, const char *said)
{
    g_auto(GStrv) lines = g_strsplit(said, "\n", -1);

    for (char **line = lines; *line != NULL; line++) {
        if (**line != '\0') {
            guest_say(s->host, GUEST_SAY_WARNING, "QEMU: %s", *line);
        }
    }
}

/* Whatever runs under the guest's pid file now must not stay. */
static void give_up(const GuestSpawn *s)
{
    g_auto(GuestProc) proc = GUEST_PROC_INIT;

    if (guest_proc_find(s->host->run_dir, s->vmid, &proc, NULL) == 1) {
        (void)!guest_proc_end(&proc, GIVE_UP_TERM_MS, GIVE_UP_KILL_MS, NULL);
    }
    guest_net_sweep(s->vmid);
    guest_virtiofs_give_up(s->conf, s->facts);
    guest_tpm_end(s->host->run_dir, s->vmid);
    guest_pci_release(GUEST_PCI_SYSFS, s->vmid);
    guest_run_sweep(s->host->run_dir, s->vmid);
}

static int run_qemu(const GuestSpawn *s, Err *err)
{
    g_autoptr(GPtrArray) words = final_words(s);
    ProcessOptions options = {
        .timeout_ms = s->timeout_ms, .keep_fds = s->fds, .n_keep_fds = s->n_fds};
    g_auto(ProcessResult) result = {0};
    g_auto(GStrv) lines = NULL;
    cpu_set_t old;
    int r = pin(s, &old, err);

    if (r < 0) {
        return r;
    }
    (void)g_setenv(GUEST_NET_RUN_DIR_ENV, s->host->run_dir, TRUE); /* for qm-bridge */
    r = process_run((const char *const *)words->pdata, &options, &result, err);
    (void)sched_setaffinity(0, sizeof old, &old); /* it was allowed a moment ago */
    if (r < 0) {
        return err_wrapf(err, r, "QEMU did not start");
    }
    if (result.status != 0) {
        lines = g_strsplit(result.err, "\n", -1);
        return err_setf(err, -EIO, "QEMU did not start: %s", first_reason(result.err, lines));
    }
    relay_warnings(s, result.err);
    return 0;
}

int guest_spawn_run(const GuestSpawn *s, GuestProc *ret, Err *err)
{
    g_autoptr(GuestHuge) huge = NULL;
    int r = prepare(s, err);

    if (r == 0) {
        r = guest_huge_take(GUEST_HUGE_SYSFS, s->host->run_dir, s->cmd->argv, &huge, err);
    }
    if (r == 0) {
        r = run_qemu(s, err);
    }
    if (r == 0) {
        int found = guest_proc_find(s->host->run_dir, s->vmid, ret, err);
        r = found < 0    ? found
            : found == 0 ? err_setf(err, -EIO, "QEMU ended right after its start")
                         : 0;
    }
    if (r < 0) {
        give_up(s);
        return r;
    }
    guest_huge_done(huge, guestconf_bool(s->conf, "keephugepages"));
    guest_tpm_list(s->host->run_dir, s->vmid, s->helpers);
    guest_proc_add_children(s->helpers);
    return 0;
}
