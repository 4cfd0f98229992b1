/* SPDX-License-Identifier: Apache-2.0 */
/* Facts of this host, read from the kernel and from the installed QEMU. */
#include "guest/io/host_world_priv.h"

#include "guest/io/textfile.h"
#include "lib/cfs/cfsfile.h"
#include "lib/port/process.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <scsi/sg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define CPUINFO_MAX     (8 * 1024 * 1024) /* grows with the number of CPUs */
#define SMALL_FILE_MAX  65536
#define INITIATOR_FILE  "/etc/iscsi/initiatorname.iscsi"
#define VERSION_PATTERN "version "

/* ------------------------------------------------------------------- fixed */

static Arch host_arch(void)
{
    struct utsname name;
    int arch = uname(&name) == 0 ? arch_from_name(name.machine) : -1;

    return arch >= 0 ? (Arch)arch : ARCH_X86_64;
}

/* What changes when another binary is installed. Caller frees; NULL when there is none. */
static char *binary_stamp(const char *program)
{
    struct stat st;

    return stat(program, &st) < 0
               ? NULL
               : g_strdup_printf("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT
                                 ".%09ld %s ",
                                 (guint64)st.st_dev, (guint64)st.st_ino, (gint64)st.st_mtim.tv_sec,
                                 st.st_mtim.tv_nsec, program);
}

static int ask_version(const char *program, char **ret, Err *err)
{
    const char *argv[] = {program, "--version", NULL};
    g_autofree char *out = NULL;
    const char *at;
    int r = process_check(argv, NULL, &out, err);

    if (r < 0) {
        return err_wrapf(err, -ENOTSUP, "version of QEMU");
    }
    at = strstr(out, VERSION_PATTERN);
    if (at == NULL) {
        return err_setf(err, -ENOTSUP, "%s: does not tell its version", program);
    }
    at += strlen(VERSION_PATTERN);
    *ret = g_strndup(at, strspn(at, "0123456789."));
    return 0;
}

/* Starting QEMU only to ask for its version takes half as long as starting a guest: the answer is
 * kept beside the pid files, for this very binary. */
static int probe_qemu(HostWorld *w, Err *err)
{
    g_autofree char *program = g_strdup_printf("/usr/bin/qemu-system-%s", arch_name(w->facts.arch));
    g_autofree char *cache = g_build_filename(w->facts.run_dir, "qemu-version", NULL);
    g_autofree char *stamp = binary_stamp(program);
    g_autofree char *version = NULL;
    g_autofree char *text = NULL;
    size_t len;
    int r;

    if (stamp != NULL && textfile_read(cache, SMALL_FILE_MAX, &text, &len, NULL) == 0 &&
        g_str_has_prefix(text, stamp) &&
        qemu_version_parse(text + strlen(stamp), &w->facts.qemu, NULL) == 0) {
        return 0;
    }
    r = ask_version(program, &version, err);
    if (r == 0) {
        r = qemu_version_parse(version, &w->facts.qemu, err);
    }
    if (r == 0 && stamp != NULL && !w->look_only) {
        g_autofree char *line = g_strconcat(stamp, version, NULL);
        (void)!cfsfile_write(cache, line, strlen(line), NULL); /* no such directory: asked again */
    }
    return r;
}

/* The value of the first "KEY : VALUE" line of /proc/cpuinfo; "" when there is none. */
static char *cpuinfo_value(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    const char *end;

    at = at != NULL ? strchr(at, ':') : NULL;
    if (at == NULL) {
        return g_strdup("");
    }
    at += 1 + strspn(at + 1, " \t");
    end = at + strcspn(at, "\n");
    return g_strndup(at, (gsize)(end - at));
}

static void probe_cpu(HostWorld *w)
{
    g_autofree char *text = NULL;
    g_autofree char *sizes = NULL;
    size_t len;

    if (textfile_read("/proc/cpuinfo", CPUINFO_MAX, &text, &len, NULL) < 0) {
        return;
    }
    if (!w->vendor_known) {
        w->facts.cpu_vendor = host_world_keep(w, cpuinfo_value(text, "vendor_id"));
    }
    if (w->facts.phys_bits == 0) {
        sizes = cpuinfo_value(text, "address sizes"); /* "46 bits physical, 48 bits virtual" */
        w->facts.phys_bits = (int)CLAMP(g_ascii_strtoll(sizes, NULL, 10), 0, 64);
    }
    w->facts.cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
}

static bool kvm_amd_param(const char *name)
{
    g_autofree char *path = g_strdup_printf("/sys/module/kvm_amd/parameters/%s", name);
    g_autofree char *text = NULL;
    size_t len;

    return textfile_read(path, SMALL_FILE_MAX, &text, &len, NULL) == 0 &&
           (text[0] == 'Y' || text[0] == '1');
}

/* Where the processor keeps the encryption bit: CPUID leaf 0x8000001f. */
static void probe_sev(HostWorld *w)
{
#if defined(__x86_64__) || defined(__i386__)
    unsigned eax;
    unsigned ebx;
    unsigned ecx;
    unsigned edx;

    if (w->caps_known || __get_cpuid(0x8000001f, &eax, &ebx, &ecx, &edx) == 0) {
        return;
    }
    w->facts.sev = (SevCaps){.std = (eax & 2u) != 0 && kvm_amd_param("sev"),
                             .es = (eax & 8u) != 0 && kvm_amd_param("sev_es"),
                             .snp = (eax & 16u) != 0 && kvm_amd_param("sev_snp"),
                             .cbitpos = (int)(ebx & 0x3fu),
                             .reduced_phys_bits = (int)(ebx >> 6 & 0x3fu)};
#else
    (void)w;
#endif
}

static void probe_tdx(HostWorld *w)
{
    g_autofree char *text = NULL;
    size_t len;

    if (!w->caps_known) {
        w->facts.tdx = textfile_read("/sys/module/kvm_intel/parameters/tdx", SMALL_FILE_MAX, &text,
                                     &len, NULL) == 0 &&
                       (text[0] == 'Y' || text[0] == '1');
    }
}

/* "InitiatorName=iqn..." */
static void probe_initiator(HostWorld *w)
{
    static const char key[] = "InitiatorName=";
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    size_t len;

    if (textfile_read(INITIATOR_FILE, SMALL_FILE_MAX, &text, &len, NULL) < 0) {
        return;
    }
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        g_strstrip(*line);
        if (g_str_has_prefix(*line, key) && strpbrk(*line, ", ") == NULL) {
            w->facts.iscsi_initiator = host_world_keep(w, g_strdup(*line + strlen(key)));
            return;
        }
    }
}

int host_probe(HostWorld *w, Err *err)
{
    if (w->facts.arch == ARCH_N) {
        w->facts.arch = host_arch();
    }
    if (!w->qemu_known) {
        int r = probe_qemu(w, err);
        if (r < 0) {
            return r;
        }
    }
    if (w->assumed) {
        w->facts.has_vhost_net = true; /* the usual */
        return 0;
    }
    probe_cpu(w);
    probe_sev(w);
    probe_tdx(w);
    probe_initiator(w);
    w->facts.has_vhost_net = access("/dev/vhost-net", R_OK | W_OK) == 0;
    return 0;
}

/* ----------------------------------------------------------------- lookups */

/* Paths below the cluster's tree are looked up in the tree that was given. */
static bool world_exists(void *ctx, const char *path)
{
    const HostWorld *w = ctx;
    static const char pci[] = "/sys/bus/pci/";

    if (g_str_has_prefix(path, CLUSTER_ROOT "/")) {
        g_autofree char *moved = g_build_filename(w->root, path + strlen(CLUSTER_ROOT "/"), NULL);
        return access(moved, F_OK) == 0;
    }
    if (g_str_has_prefix(path, pci)) {
        return w->any_pci || access(path, F_OK) == 0;
    }
    return w->assumed || access(path, F_OK) == 0;
}

static int read_number(const char *path)
{
    g_autofree char *text = NULL;
    size_t len;
    int r = textfile_read(path, SMALL_FILE_MAX, &text, &len, NULL);

    return r < 0 ? r : (int)CLAMP(g_ascii_strtoll(text, NULL, 10), 0, 1 << 20);
}

static int world_bridge_mtu(void *ctx, const char *bridge)
{
    g_autofree char *path = g_strdup_printf("/sys/class/net/%s/mtu", bridge);

    (void)ctx;
    return read_number(path);
}

static int world_scsi_type(void *ctx, const char *path)
{
    struct sg_scsi_id id;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int r;

    (void)ctx;
    if (fd < 0) {
        return -errno;
    }
    memset(&id, 0, sizeof id);
    r = ioctl(fd, SG_GET_SCSI_ID, &id) < 0 ? -errno : id.scsi_type;
    (void)close(fd); /* only asked something */
    return r;
}

/* With pci=any nobody knows which functions a device has, and any answer is a convention: two
 * functions (as graphics cards have: picture and sound) in the first PCI domain, and a single
 * function 1 in others, whose devices are mostly virtual functions behind their own bridge. */
static void any_functions(const char *slot, GPtrArray *ret)
{
    if (g_str_has_prefix(slot, "0000:")) {
        g_ptr_array_add(ret, g_strdup_printf("%s.0", slot));
    }
    g_ptr_array_add(ret, g_strdup_printf("%s.1", slot));
}

static void world_pci_functions(void *ctx, const char *slot, GPtrArray *ret)
{
    const HostWorld *w = ctx;

    if (w->any_pci) {
        any_functions(slot, ret);
        return;
    }
    for (int f = 0; f < 8; f++) {
        g_autofree char *address = g_strdup_printf("%s.%d", slot, f);
        g_autofree char *path = g_strconcat("/sys/bus/pci/devices/", address, NULL);
        if (access(path, F_OK) == 0) {
            g_ptr_array_add(ret, g_steal_pointer(&address));
        }
    }
}

static bool world_hugepages(void *ctx, int mib)
{
    g_autofree char *path = g_strdup_printf("/sys/kernel/mm/hugepages/hugepages-%dkB", mib * 1024);

    (void)ctx;
    return access(path, F_OK) == 0;
}

static bool world_numa_node(void *ctx, int node)
{
    g_autofree char *path = g_strdup_printf("/sys/devices/system/node/node%d", node);

    (void)ctx;
    return access(path, F_OK) == 0;
}

void host_probe_lookups(HostWorld *w)
{
    w->facts.lookup =
        (HostLookup){.ctx = w, .exists = world_exists, .pci_functions = world_pci_functions};
    if (w->assumed) {
        return; /* another host: what is not said is not known */
    }
    w->facts.lookup.bridge_mtu = world_bridge_mtu;
    w->facts.lookup.scsi_type = world_scsi_type;
    w->facts.lookup.hugepages = world_hugepages;
    w->facts.lookup.numa_node = world_numa_node;
}
