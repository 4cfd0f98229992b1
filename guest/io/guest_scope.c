/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_scope.h"

#include "guest/io/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEMD_RUNS  "/run/systemd/system" /* sd_booted(3) looks here too */
#define CGROUP_ROOT   "/sys/fs/cgroup"
#define CGROUP_V1_CPU CGROUP_ROOT "/cpu"
#define SLICE         "qemu.slice"
#define PERIOD_US     100000
#define DBUS_MS       10000
#define JOIN_TRIES    50 /* of 100 ms: systemd does what it was asked to do in a job */
#define MAKE_TRIES    3  /* another guest's end may remove the folder under our hands */
#define SMALL_MAX     65536

#define V1_SHARES_PER_WEIGHT 1024 / 100 /* both kernels' idea of "usual" */

int64_t guest_scope_weight(int64_t cpuunits)
{
    return cpuunits <= 0 ? 100 : CLAMP(cpuunits, 1, 10000);
}

GuestLimits guest_scope_limits(const GuestConf *conf)
{
    const char *limit = guestconf_text(conf, "cpulimit");

    return (GuestLimits){
        .cpulimit = limit != NULL ? g_ascii_strtod(limit, NULL) : 0,
        .cpuunits = guestconf_has(conf, "cpuunits") ? guestconf_int(conf, "cpuunits") : 0};
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static GuestScopeKind scope_kind(void)
{
    if (exists(SYSTEMD_RUNS)) {
        return GUEST_SCOPE_SYSTEMD;
    }
    if (exists(CGROUP_ROOT "/cgroup.controllers")) {
        return GUEST_SCOPE_V2;
    }
    return exists(CGROUP_V1_CPU "/cgroup.procs") ? GUEST_SCOPE_V1 : GUEST_SCOPE_NONE;
}

static int put(const char *dir, const char *file, const char *text, Err *err)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int r = 0;

    if (fd < 0) {
        return err_setf(err, -errno, "%s: %s", path, g_strerror(errno));
    }
    if (write(fd, text, strlen(text)) < 0) {
        r = err_setf(err, -errno, "%s: %s", path, g_strerror(errno));
    }
    (void)close(fd); /* the kernel answered the write */
    return r;
}

static int put_int(const char *dir, const char *file, int64_t value, Err *err)
{
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, value);

    return put(dir, file, text, err);
}

static char *scope_dir(GuestScopeKind kind, uint32_t vmid)
{
    return g_strdup_printf("%s/" SLICE "/%u.scope",
                           kind == GUEST_SCOPE_V1 ? CGROUP_V1_CPU : CGROUP_ROOT, vmid);
}

/* ---------------------------------------------------------------- our own */

static int set_v2(const char *dir, const GuestLimits *l, Err *err)
{
    g_autofree char *max = l->cpulimit > 0
                               ? g_strdup_printf("%" G_GINT64_FORMAT " %d",
                                                 (int64_t)(l->cpulimit * PERIOD_US), PERIOD_US)
                               : g_strdup_printf("max %d", PERIOD_US);
    int r = put(dir, "cpu.max", max, err);

    return r < 0 ? r : put_int(dir, "cpu.weight", guest_scope_weight(l->cpuunits), err);
}

static int set_v1(const char *dir, const GuestLimits *l, Err *err)
{
    int64_t quota = l->cpulimit > 0 ? (int64_t)(l->cpulimit * PERIOD_US) : -1;
    int64_t shares = guest_scope_weight(l->cpuunits) * V1_SHARES_PER_WEIGHT;
    int r = put_int(dir, "cpu.cfs_period_us", PERIOD_US, err);

    if (r == 0) {
        r = put_int(dir, "cpu.cfs_quota_us", quota, err);
    }
    return r < 0 ? r : put_int(dir, "cpu.shares", MAX(shares, 2), err);
}

static int set_own(GuestScopeKind kind, const char *dir, const GuestLimits *l, Err *err)
{
    return kind == GUEST_SCOPE_V2 ? set_v2(dir, l, err) : set_v1(dir, l, err);
}

static int make_dir(GuestScopeKind kind, const char *dir, Err *err)
{
    g_autofree char *slice = g_path_get_dirname(dir);

    if (mkdir(slice, 0755) < 0 && errno != EEXIST) {
        return err_setf(err, -errno, "%s: %s", slice, g_strerror(errno));
    }
    if (kind == GUEST_SCOPE_V2) {
        /* A host that does not hand these out refuses cpu.max below, with its reason. */
        (void)!put(CGROUP_ROOT, "cgroup.subtree_control", "+cpu +memory", NULL);
        (void)!put(slice, "cgroup.subtree_control", "+cpu +memory", NULL);
    }
    if (mkdir(dir, 0755) < 0 && errno != EEXIST) {
        return err_setf(err, -errno, "%s: %s", dir, g_strerror(errno));
    }
    return 0;
}

static int enter_own(GuestScopeKind kind, uint32_t vmid, pid_t pid, Err *err)
{
    g_autofree char *dir = scope_dir(kind, vmid);
    int r = 0;

    for (int i = 0; i < MAKE_TRIES; i++) {
        r = make_dir(kind, dir, err);
        if (r == 0) {
            r = put_int(dir, "cgroup.procs", pid, err);
        }
        if (r != -ENOENT) {
            return r;
        }
    }
    return r;
}

/* ---------------------------------------------------------------- systemd */

static void add_limits(GVariantBuilder *b, const GuestLimits *l)
{
    g_variant_builder_add(b, "(sv)", "CPUWeight",
                          g_variant_new_uint64((guint64)guest_scope_weight(l->cpuunits)));
    g_variant_builder_add(b, "(sv)", "CPUQuotaPerSecUSec",
                          g_variant_new_uint64(l->cpulimit > 0
                                                   ? (guint64)(l->cpulimit * (double)G_USEC_PER_SEC)
                                                   : G_MAXUINT64));
}

static int ask_systemd(const char *method, GVariant *arguments, Err *err)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) args = g_variant_ref_sink(arguments);
    g_autoptr(GDBusConnection) bus = g_bus_get_sync(G_BUS_TYPE_SYSTEM, NULL, &error);
    g_autoptr(GVariant) answer = NULL;

    if (bus != NULL) {
        answer = g_dbus_connection_call_sync(bus, "org.freedesktop.systemd1",
                                             "/org/freedesktop/systemd1",
                                             "org.freedesktop.systemd1.Manager", method, args, NULL,
                                             G_DBUS_CALL_FLAGS_NONE, DBUS_MS, NULL, &error);
    }
    return answer != NULL ? 0 : err_setf(err, -EIO, "systemd: %s: %s", method, error->message);
}

static bool is_in_scope(uint32_t vmid, pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cgroup", (int)pid);
    g_autofree char *name = g_strdup_printf("/%u.scope", vmid);
    g_autofree char *text = NULL;
    size_t len;

    return textfile_read(path, SMALL_MAX, &text, &len, NULL) == 0 && strstr(text, name) != NULL;
}

static int enter_systemd(uint32_t vmid, pid_t pid, const GuestLimits *l, Err *err)
{
    g_autofree char *name = g_strdup_printf("%u.scope", vmid);
    g_autofree char *text = g_strdup_printf("Guest %u", vmid);
    guint32 number = (guint32)pid;
    GVariantBuilder b;
    int r;

    /* A scope of an earlier run that ended badly is kept by systemd for people to look at. */
    (void)!ask_systemd("ResetFailedUnit", g_variant_new("(s)", name), NULL);
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sv)"));
    g_variant_builder_add(&b, "(sv)", "Description", g_variant_new_string(text));
    g_variant_builder_add(&b, "(sv)", "PIDs",
                          g_variant_new_fixed_array(G_VARIANT_TYPE_UINT32, &number, 1, 4));
    g_variant_builder_add(&b, "(sv)", "Slice", g_variant_new_string(SLICE));
    g_variant_builder_add(&b, "(sv)", "KillMode", g_variant_new_string("process"));
    g_variant_builder_add(&b, "(sv)", "SendSIGKILL", g_variant_new_boolean(FALSE));
    g_variant_builder_add(&b, "(sv)", "TimeoutStopUSec", g_variant_new_uint64(G_MAXUINT64));
    g_variant_builder_add(&b, "(sv)", "MemoryAccounting", g_variant_new_boolean(TRUE));
    add_limits(&b, l);
    r = ask_systemd("StartTransientUnit",
                    g_variant_new("(ssa(sv)a(sa(sv)))", name, "replace", &b, NULL), err);
    for (int i = 0; r == 0 && i < JOIN_TRIES; i++) {
        if (is_in_scope(vmid, pid)) {
            return 0;
        }
        g_usleep(100 * 1000); /* systemd tells the end of its job on the bus only */
    }
    return r < 0 ? r : err_setf(err, -ETIMEDOUT, "systemd: %s did not come up in time", name);
}

static int set_systemd(uint32_t vmid, const GuestLimits *l, Err *err)
{
    g_autofree char *name = g_strdup_printf("%u.scope", vmid);
    GVariantBuilder b;

    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sv)"));
    add_limits(&b, l);
    return ask_systemd("SetUnitProperties", g_variant_new("(sba(sv))", name, TRUE, &b), err);
}

/* ------------------------------------------------------------------ front */

static bool asks(const GuestLimits *l)
{
    return l->cpulimit > 0 || l->cpuunits > 0;
}

int guest_scope_enter(
    uint32_t vmid, pid_t pid, const GuestLimits *limits, GuestScopeKind *ret, Err *err)
{
    GuestScopeKind kind = scope_kind();
    int r = 0;

    if (kind == GUEST_SCOPE_SYSTEMD) {
        r = enter_systemd(vmid, pid, limits, err);
    } else if (kind == GUEST_SCOPE_V2 || (kind == GUEST_SCOPE_V1 && asks(limits))) {
        g_autofree char *dir = scope_dir(kind, vmid);
        r = enter_own(kind, vmid, pid, err);
        if (r == 0 && asks(limits)) {
            r = set_own(kind, dir, limits, err);
        }
    } else {
        kind = GUEST_SCOPE_NONE;
    }
    if (r < 0 && !asks(limits)) {
        kind = GUEST_SCOPE_NONE; /* it runs as well without a group of its own */
        err_clear(err);
        r = 0;
    }
    if (r == 0 && kind == GUEST_SCOPE_NONE && asks(limits)) {
        r = err_setf(err, -ENOTSUP, "this host has no cgroups for cpulimit and cpuunits");
    }
    if (r < 0) {
        return err_wrapf(err, r, "limits of the guest");
    }
    *ret = kind;
    return 0;
}

int guest_scope_set(uint32_t vmid, pid_t pid, const GuestLimits *limits, Err *err)
{
    GuestScopeKind kind = scope_kind();
    g_autofree char *dir = scope_dir(kind, vmid);
    int r;

    if (kind == GUEST_SCOPE_NONE) {
        return err_setf(err, -ENOTSUP, "this host has no cgroups for cpulimit and cpuunits");
    }
    if (kind == GUEST_SCOPE_SYSTEMD) {
        return set_systemd(vmid, limits, err);
    }
    r = is_in_scope(vmid, pid) ? 0 : enter_own(kind, vmid, pid, err);
    return r < 0 ? r : set_own(kind, dir, limits, err);
}

void guest_scope_remove(uint32_t vmid)
{
    GuestScopeKind kind = scope_kind();
    g_autofree char *dir = scope_dir(kind, vmid);

    if (kind == GUEST_SCOPE_V1 || kind == GUEST_SCOPE_V2) {
        (void)rmdir(dir); /* not there, or a process is still in it: then the next end does it */
    }
}

int64_t guest_scope_memory(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cgroup", (int)pid);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    size_t len;
    int r = textfile_read(path, SMALL_MAX, &text, &len, NULL);

    if (r < 0) {
        return r;
    }
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        if (g_str_has_prefix(*line, "0::/") && strstr(*line, ".scope") != NULL) {
            g_autofree char *file =
                g_build_filename(CGROUP_ROOT, *line + 3, "memory.current", NULL);
            g_autofree char *value = NULL;
            r = textfile_read(file, SMALL_MAX, &value, &len, NULL);
            return r < 0 ? r : g_ascii_strtoll(value, NULL, 10);
        }
    }
    return -ENOENT;
}
