/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_scope.h"

#include "guest/io/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEMD_RUNS "/run/systemd/system" /* sd_booted(3) looks here too */
#define SLICE        "qemu.slice"
#define PERIOD_US    100000
#define DBUS_MS      10000
#define JOIN_TRIES   50 /* of 100 ms: systemd does what it was asked to do in a job */
#define MAKE_TRIES   3  /* another guest's end may remove the folder under our hands */
#define LEAVE_TRIES  30 /* of 10 ms: helpers end when they see that QEMU has gone */
#define SMALL_MAX    65536

#define V1_SHARES_PER_WEIGHT 1024 / 100 /* both kernels' idea of "usual" */

#define MIB INT64_C(1048576)
/* Beside the guest's own memory: screens (4 of 512 MiB at most), code translated for guests without
 * KVM (1 GiB), tables of images, buffers of viewers, migrations and shared directories. */
#define MARGIN_BYTES (4096 * MIB)
#define MARGIN_PART  4 /* and a quarter of the memory: what QEMU notes down about each page */
#define MEMORY_USUAL 512
#define UNLIMITED_V1 "-1"
#define UNLIMITED_V2 "max"

int64_t guest_scope_weight(int64_t cpuunits)
{
    return cpuunits <= 0 ? 100 : CLAMP(cpuunits, 1, 10000);
}

static int64_t memory_bound(const GuestConf *conf)
{
    const PropString *memory = guestconf_props(conf, "memory");
    const PropString *shared = guestconf_props(conf, "ivshmem");
    int64_t mib = memory != NULL ? propstring_int(memory, "current") : MEMORY_USUAL;
    int64_t bytes = (mib + (shared != NULL ? propstring_int(shared, "size") : 0)) * MIB;

    return bytes + bytes / MARGIN_PART + MARGIN_BYTES;
}

GuestLimits guest_scope_limits(const GuestConf *conf)
{
    const char *limit = guestconf_text(conf, "cpulimit");

    return (GuestLimits){.cpulimit = limit != NULL ? g_ascii_strtod(limit, NULL) : 0,
                         .cpuunits =
                             guestconf_has(conf, "cpuunits") ? guestconf_int(conf, "cpuunits") : 0,
                         .memory_bytes = memory_bound(conf)};
}

static bool exists(const char *root, const char *file)
{
    g_autofree char *path = g_build_filename(root, file, NULL);

    return access(path, F_OK) == 0;
}

GuestScopeKind guest_scope_kind(const char *root)
{
    if (strcmp(root, GUEST_SCOPE_ROOT) == 0 && access(SYSTEMD_RUNS, F_OK) == 0) {
        return GUEST_SCOPE_SYSTEMD;
    }
    if (exists(root, "cgroup.controllers")) {
        return GUEST_SCOPE_V2;
    }
    return exists(root, "cpu/cgroup.procs") ? GUEST_SCOPE_V1 : GUEST_SCOPE_NONE;
}

static int put(const char *dir, const char *file, const char *text, Err *err)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);

    return textfile_tell(path, text, err);
}

static int put_int(const char *dir, const char *file, int64_t value, Err *err)
{
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, value);

    return put(dir, file, text, err);
}

/* ---------------------------------------------------------------- our own */

/* A group is one folder with v2, and one for each controller with v1. */
typedef struct Group {
    GuestScopeKind kind;
    const char *root;
    char *cpu;
    char *memory; /* the same as `cpu` with v2 */
} Group;

static void group_clear(Group *g)
{
    g_free(g->cpu);
    g_free(g->memory);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Group, group_clear)

static void group_init(Group *g, GuestScopeKind kind, const char *root, uint32_t vmid)
{
    bool v1 = kind == GUEST_SCOPE_V1;

    *g = (Group){.kind = kind, .root = root};
    g->cpu = g_strdup_printf("%s%s/" SLICE "/%u.scope", root, v1 ? "/cpu" : "", vmid);
    g->memory = g_strdup_printf("%s%s/" SLICE "/%u.scope", root, v1 ? "/memory" : "", vmid);
}

static int set_cpu_v2(const Group *g, const GuestLimits *l, Err *err)
{
    g_autofree char *max = l->cpulimit > 0
                               ? g_strdup_printf("%" G_GINT64_FORMAT " %d",
                                                 (int64_t)(l->cpulimit * PERIOD_US), PERIOD_US)
                               : g_strdup_printf("max %d", PERIOD_US);
    int r = put(g->cpu, "cpu.max", max, err);

    return r < 0 ? r : put_int(g->cpu, "cpu.weight", guest_scope_weight(l->cpuunits), err);
}

static int set_cpu_v1(const Group *g, const GuestLimits *l, Err *err)
{
    int64_t quota = l->cpulimit > 0 ? (int64_t)(l->cpulimit * PERIOD_US) : -1;
    int64_t shares = guest_scope_weight(l->cpuunits) * V1_SHARES_PER_WEIGHT;
    int r = put_int(g->cpu, "cpu.cfs_period_us", PERIOD_US, err);

    if (r == 0) {
        r = put_int(g->cpu, "cpu.cfs_quota_us", quota, err);
    }
    return r < 0 ? r : put_int(g->cpu, "cpu.shares", MAX(shares, 2), err);
}

static int set_cpu(const Group *g, const GuestLimits *l, Err *err)
{
    return g->kind == GUEST_SCOPE_V2 ? set_cpu_v2(g, l, err) : set_cpu_v1(g, l, err);
}

static int set_memory(const Group *g, int64_t bytes, Err *err)
{
    bool v2 = g->kind == GUEST_SCOPE_V2;
    const char *file = v2 ? "memory.max" : "memory.limit_in_bytes";

    return bytes > 0 ? put_int(g->memory, file, bytes, err)
                     : put(g->memory, file, v2 ? UNLIMITED_V2 : UNLIMITED_V1, err);
}

static int make_dir(const Group *g, const char *dir, Err *err)
{
    g_autofree char *slice = g_path_get_dirname(dir);

    if (mkdir(slice, 0755) < 0 && errno != EEXIST) {
        return err_setf(err, -errno, "%s: %s", slice, g_strerror(errno));
    }
    if (g->kind == GUEST_SCOPE_V2) {
        /* A host that does not hand these out refuses cpu.max below, with its reason. */
        (void)!put(g->root, "cgroup.subtree_control", "+cpu +memory", NULL);
        (void)!put(slice, "cgroup.subtree_control", "+cpu +memory", NULL);
    }
    if (mkdir(dir, 0755) < 0 && errno != EEXIST) {
        return err_setf(err, -errno, "%s: %s", dir, g_strerror(errno));
    }
    return 0;
}

static int enter_dir(const Group *g, const char *dir, const GArray *pids, Err *err)
{
    int r = 0;

    for (int i = 0; i < MAKE_TRIES; i++) {
        r = make_dir(g, dir, err);
        if (r == 0) {
            r = put_int(dir, "cgroup.procs", g_array_index(pids, pid_t, 0), err);
        }
        if (r != -ENOENT) {
            break;
        }
    }
    for (guint i = 1; r == 0 && i < pids->len; i++) {
        r = put_int(dir, "cgroup.procs", g_array_index(pids, pid_t, i), err);
        r = r == -ESRCH ? 0 : r; /* it has ended */
    }
    return r;
}

static int
enter_own(const Group *g, const GArray *pids, const GuestLimits *l, char **ret_why, Err *err)
{
    bool cpu = l->cpulimit > 0 || l->cpuunits > 0;
    Err why = ERR_INIT;
    int r = enter_dir(g, g->cpu, pids, err);

    if (r == 0 && cpu) {
        r = set_cpu(g, l, err);
    }
    if (r < 0) {
        return r;
    }
    if ((g->kind == GUEST_SCOPE_V1 && enter_dir(g, g->memory, pids, &why) < 0) ||
        set_memory(g, l->memory_bytes, &why) < 0) {
        *ret_why = g_strdup(err_text(&why));
    }
    return 0;
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

static void add_memory(GVariantBuilder *b, int64_t bytes)
{
    g_variant_builder_add(b, "(sv)", "MemoryMax",
                          g_variant_new_uint64(bytes > 0 ? (guint64)bytes : G_MAXUINT64));
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

/* systemd takes processes that live; a helper may have ended. */
static GVariant *living(const GArray *pids)
{
    g_autoptr(GArray) numbers = g_array_new(FALSE, FALSE, sizeof(guint32));

    for (guint i = 0; i < pids->len; i++) {
        guint32 number = (guint32)g_array_index(pids, pid_t, i);
        g_autofree char *path = g_strdup_printf("/proc/%u", number);
        if (i == 0 || access(path, F_OK) == 0) {
            g_array_append_val(numbers, number);
        }
    }
    return g_variant_new_fixed_array(G_VARIANT_TYPE_UINT32, numbers->data, numbers->len, 4);
}

static int enter_systemd(uint32_t vmid, const GArray *pids, const GuestLimits *l, Err *err)
{
    g_autofree char *name = g_strdup_printf("%u.scope", vmid);
    g_autofree char *text = g_strdup_printf("Guest %u", vmid);
    GVariantBuilder b;
    int r;

    /* A scope of an earlier run that ended badly is kept by systemd for people to look at. */
    (void)!ask_systemd("ResetFailedUnit", g_variant_new("(s)", name), NULL);
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sv)"));
    g_variant_builder_add(&b, "(sv)", "Description", g_variant_new_string(text));
    g_variant_builder_add(&b, "(sv)", "PIDs", living(pids));
    g_variant_builder_add(&b, "(sv)", "Slice", g_variant_new_string(SLICE));
    g_variant_builder_add(&b, "(sv)", "KillMode", g_variant_new_string("process"));
    g_variant_builder_add(&b, "(sv)", "SendSIGKILL", g_variant_new_boolean(FALSE));
    g_variant_builder_add(&b, "(sv)", "TimeoutStopUSec", g_variant_new_uint64(G_MAXUINT64));
    g_variant_builder_add(&b, "(sv)", "MemoryAccounting", g_variant_new_boolean(TRUE));
    add_limits(&b, l);
    add_memory(&b, l->memory_bytes);
    r = ask_systemd("StartTransientUnit",
                    g_variant_new("(ssa(sv)a(sa(sv)))", name, "replace", &b, NULL), err);
    for (int i = 0; r == 0 && i < JOIN_TRIES; i++) {
        if (is_in_scope(vmid, g_array_index(pids, pid_t, 0))) {
            return 0;
        }
        g_usleep(100 * 1000); /* systemd tells the end of its job on the bus only */
    }
    return r < 0 ? r : err_setf(err, -ETIMEDOUT, "systemd: %s did not come up in time", name);
}

static int set_systemd(uint32_t vmid, GVariantBuilder *properties, Err *err)
{
    g_autofree char *name = g_strdup_printf("%u.scope", vmid);

    return ask_systemd("SetUnitProperties", g_variant_new("(sba(sv))", name, TRUE, properties),
                       err);
}

/* ------------------------------------------------------------------ front */

static bool asks(const GuestLimits *l)
{
    return l->cpulimit > 0 || l->cpuunits > 0;
}

int guest_scope_enter(const char *root,
                      uint32_t vmid,
                      const GArray *pids,
                      const GuestLimits *limits,
                      GuestScopeKind *ret,
                      char **ret_why,
                      Err *err)
{
    GuestScopeKind kind = guest_scope_kind(root);
    g_auto(Group) group = {0};
    char *why = NULL;
    int r = 0;

    group_init(&group, kind, root, vmid);
    if (kind == GUEST_SCOPE_SYSTEMD) {
        r = enter_systemd(vmid, pids, limits, err);
    } else if (kind == GUEST_SCOPE_V2 || (kind == GUEST_SCOPE_V1 && asks(limits))) {
        r = enter_own(&group, pids, limits, &why, err);
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
    *ret_why = why;
    return 0;
}

int guest_scope_set(const char *root, uint32_t vmid, pid_t pid, const GuestLimits *limits, Err *err)
{
    GuestScopeKind kind = guest_scope_kind(root);
    g_auto(Group) group = {0};
    int r = 0;

    if (kind == GUEST_SCOPE_NONE) {
        return err_setf(err, -ENOTSUP, "this host has no cgroups for cpulimit and cpuunits");
    }
    if (kind == GUEST_SCOPE_SYSTEMD) {
        GVariantBuilder b;
        g_variant_builder_init(&b, G_VARIANT_TYPE("a(sv)"));
        add_limits(&b, limits);
        return set_systemd(vmid, &b, err);
    }
    group_init(&group, kind, root, vmid);
    if (!is_in_scope(vmid, pid)) {
        g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(pid_t));
        g_array_append_val(pids, pid);
        r = enter_dir(&group, group.cpu, pids, err);
    }
    return r < 0 ? r : set_cpu(&group, limits, err);
}

int guest_scope_set_memory(const char *root, uint32_t vmid, int64_t bytes, Err *err)
{
    GuestScopeKind kind = guest_scope_kind(root);
    g_auto(Group) group = {0};

    if (kind == GUEST_SCOPE_NONE) {
        return 0;
    }
    if (kind == GUEST_SCOPE_SYSTEMD) {
        GVariantBuilder b;
        g_variant_builder_init(&b, G_VARIANT_TYPE("a(sv)"));
        add_memory(&b, bytes);
        return set_systemd(vmid, &b, err);
    }
    group_init(&group, kind, root, vmid);
    return access(group.memory, F_OK) < 0 ? 0 : set_memory(&group, bytes, err);
}

/* Gone, or somebody is still in it: then the next end does it. */
static void remove_dir(const char *dir)
{
    for (int i = 0; i < LEAVE_TRIES && rmdir(dir) < 0 && errno == EBUSY; i++) {
        g_usleep(10 * 1000); /* v1 has no event for an empty group */
    }
}

void guest_scope_remove(const char *root, uint32_t vmid)
{
    GuestScopeKind kind = guest_scope_kind(root);
    g_auto(Group) group = {0};

    group_init(&group, kind, root, vmid);
    if (kind == GUEST_SCOPE_V1 || kind == GUEST_SCOPE_V2) {
        remove_dir(group.cpu);
    }
    if (kind == GUEST_SCOPE_V1) {
        remove_dir(group.memory);
    }
}

char *guest_scope_group(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cgroup", (int)pid);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    size_t len;

    if (textfile_read(path, SMALL_MAX, &text, &len, NULL) < 0) {
        return NULL;
    }
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        if (g_str_has_prefix(*line, "0::/") && strstr(*line, ".scope") != NULL) {
            return g_build_filename(GUEST_SCOPE_ROOT, *line + 3, NULL);
        }
    }
    return NULL;
}

int64_t guest_scope_memory(pid_t pid)
{
    static const struct {
        const char *prefix; /* of a line of /proc/PID/cgroup, behind its number */
        const char *root;
        const char *file;
    } places[] = {{"::/", GUEST_SCOPE_ROOT, "memory.current"},
                  {":memory:/", GUEST_SCOPE_ROOT "/memory", "memory.usage_in_bytes"}};
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
        const char *rest = *line + strspn(*line, "0123456789");
        for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
            if (g_str_has_prefix(rest, places[i].prefix) && strstr(rest, ".scope") != NULL) {
                g_autofree char *file = g_build_filename(
                    places[i].root, rest + strlen(places[i].prefix), places[i].file, NULL);
                g_autofree char *value = NULL;
                r = textfile_read(file, SMALL_MAX, &value, &len, NULL);
                return r < 0 ? r : g_ascii_strtoll(value, NULL, 10);
            }
        }
    }
    return -ENOENT;
}
