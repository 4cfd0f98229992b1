/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a guest's QEMU and its helpers come into one group with the limits of the configuration and
 * a bound for memory that leaves room for everything; what the host cannot do is told when somebody
 * asked for it, and passed over else. Method: trees of files that look like cgroups v2 and v1
 * (their files stay when they are written, so the folders of groups are made beforehand).
 */
#include "guest/io/guest_scope.h"
#include "tests/lib/test_tree.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#define MIB INT64_C(1048576)

typedef struct Fixture {
    char *root;
    GArray *pids;
} Fixture;

static void set_up(Fixture *f, const void *data)
{
    const pid_t pids[] = {101, 102, 103};

    (void)data;
    f->root = g_dir_make_tmp("guest-scope-XXXXXX", NULL);
    f->pids = g_array_new(FALSE, FALSE, sizeof(pid_t));
    g_array_append_vals(f->pids, pids, G_N_ELEMENTS(pids));
}

static void tear_down(Fixture *f, const void *data)
{
    (void)data;
    test_remove_tree(f->root);
    g_array_unref(f->pids);
    g_free(f->root);
}

static void make(const Fixture *f, const char *dir, const char *files)
{
    g_autofree char *path = g_build_filename(f->root, dir, NULL);
    g_auto(GStrv) names = g_strsplit(files, " ", -1);

    g_assert_cmpint(g_mkdir_with_parents(path, 0755), ==, 0);
    for (char **name = names; *name != NULL; name++) {
        g_autofree char *file = g_build_filename(path, *name, NULL);
        g_assert_true(g_file_set_contents(file, "", 0, NULL));
    }
}

static void make_v2(const Fixture *f)
{
    make(f, ".", "cgroup.controllers cgroup.subtree_control");
    make(f, "qemu.slice", "cgroup.subtree_control");
    make(f, "qemu.slice/100.scope", "cgroup.procs cpu.max cpu.weight memory.max");
}

/* What was written: files are not cut by a write, so the last one is at the front. */
static void expect(const Fixture *f, const char *file, const char *text)
{
    g_autofree char *path = g_build_filename(f->root, file, NULL);
    g_autofree char *said = NULL;

    g_assert_true(g_file_get_contents(path, &said, NULL, NULL));
    g_assert_cmpstr(said, ==, text);
}

static GuestScopeKind enter(const Fixture *f, const GuestLimits *limits, char **ret_why)
{
    Err err = ERR_INIT;
    GuestScopeKind kind = GUEST_SCOPE_SYSTEMD;
    int r = guest_scope_enter(f->root, 100, f->pids, limits, &kind, ret_why, &err);

    g_assert_cmpstr(err_text(&err), ==, "");
    g_assert_cmpint(r, ==, 0);
    return kind;
}

static void test_v2(Fixture *f, const void *data)
{
    g_autofree char *why = NULL;
    GuestLimits limits = {.cpulimit = 1.5, .cpuunits = 300, .memory_bytes = 5120 * MIB};

    (void)data;
    make_v2(f);
    g_assert_cmpint(enter(f, &limits, &why), ==, GUEST_SCOPE_V2);
    g_assert_null(why);
    expect(f, "cgroup.subtree_control", "+cpu +memory");
    expect(f, "qemu.slice/100.scope/cgroup.procs", "103"); /* the last of three */
    expect(f, "qemu.slice/100.scope/cpu.max", "150000 100000");
    expect(f, "qemu.slice/100.scope/cpu.weight", "300");
    expect(f, "qemu.slice/100.scope/memory.max", "5368709120");
}

static void test_v2_bound_changes(Fixture *f, const void *data)
{
    Err err = ERR_INIT;

    (void)data;
    make_v2(f);
    g_assert_cmpint(guest_scope_set_memory(f->root, 100, 7000 * MIB, &err), ==, 0);
    expect(f, "qemu.slice/100.scope/memory.max", "7340032000");
    g_assert_cmpint(guest_scope_set_memory(f->root, 200, 7000 * MIB, &err), ==, 0); /* no group */
}

static void test_v2_no_memory_controller(Fixture *f, const void *data)
{
    g_autofree char *why = NULL;
    g_autofree char *file = g_build_filename(f->root, "qemu.slice/100.scope/memory.max", NULL);
    GuestLimits limits = {.cpulimit = 2, .memory_bytes = 5120 * MIB};

    (void)data;
    make_v2(f);
    g_assert_cmpint(g_remove(file), ==, 0);
    g_assert_cmpint(enter(f, &limits, &why), ==, GUEST_SCOPE_V2);
    g_assert_nonnull(strstr(why, "memory.max"));
    expect(f, "qemu.slice/100.scope/cpu.max", "200000 100000");
}

static void test_v1(Fixture *f, const void *data)
{
    g_autofree char *why = NULL;
    GuestLimits limits = {.cpulimit = 0.5, .memory_bytes = 5120 * MIB};

    (void)data;
    make(f, "cpu", "cgroup.procs");
    make(f, "cpu/qemu.slice/100.scope",
         "cgroup.procs cpu.cfs_period_us cpu.cfs_quota_us cpu.shares");
    make(f, "memory/qemu.slice/100.scope", "cgroup.procs memory.limit_in_bytes");
    g_assert_cmpint(enter(f, &limits, &why), ==, GUEST_SCOPE_V1);
    g_assert_null(why);
    expect(f, "cpu/qemu.slice/100.scope/cpu.cfs_quota_us", "50000");
    expect(f, "cpu/qemu.slice/100.scope/cpu.shares", "1024");
    expect(f, "memory/qemu.slice/100.scope/cgroup.procs", "103");
    expect(f, "memory/qemu.slice/100.scope/memory.limit_in_bytes", "5368709120");
}

static void test_v1_unasked(Fixture *f, const void *data)
{
    g_autofree char *why = NULL;
    GuestLimits limits = {.memory_bytes = 5120 * MIB};

    (void)data;
    make(f, "cpu", "cgroup.procs");
    g_assert_cmpint(enter(f, &limits, &why), ==, GUEST_SCOPE_NONE);
}

static void test_nothing(Fixture *f, const void *data)
{
    Err err = ERR_INIT;
    g_autofree char *why = NULL;
    GuestScopeKind kind = GUEST_SCOPE_SYSTEMD;
    GuestLimits none = {.memory_bytes = 5120 * MIB};
    GuestLimits some = {.cpuunits = 50};

    (void)data;
    g_assert_cmpint(enter(f, &none, &why), ==, GUEST_SCOPE_NONE);
    g_assert_cmpint(guest_scope_enter(f->root, 100, f->pids, &some, &kind, &why, &err), ==,
                    -ENOTSUP);
    g_assert_nonnull(strstr(err_text(&err), "no cgroups"));
    guest_scope_remove(f->root, 100);
}

static GuestLimits limits_of(const char *text)
{
    g_autoptr(VmConf) conf = NULL;
    g_autoptr(GuestConf) gc = NULL;
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    Err err = ERR_INIT;

    g_assert_cmpint(
        vmconf_parse(text, strlen(text), &(VmConfParse){.file = "100.conf"}, &conf, &err), ==, 0);
    g_assert_cmpint(guestconf_new(vmconf_main(conf), 100, warnings, &gc, &err), ==, 0);
    return guest_scope_limits(gc);
}

static void test_bound(void)
{
    /* The usual 512 MiB, a quarter and 4 GiB more. */
    g_assert_cmpint(limits_of("name: a\n").memory_bytes, ==, (512 + 128 + 4096) * MIB);
    g_assert_cmpint(limits_of("memory: 65536\n").memory_bytes, ==, (65536 + 16384 + 4096) * MIB);
    g_assert_cmpint(limits_of("memory: 1024\nivshmem: size=256\n").memory_bytes, ==,
                    (1280 + 320 + 4096) * MIB);
    /* The most that a configuration may ask for does not overflow. */
    g_assert_cmpint(limits_of("memory: 67108864\n").memory_bytes, >, 67108864 * MIB);
}

static void test_weight(void)
{
    g_assert_cmpint(guest_scope_weight(0), ==, 100);
    g_assert_cmpint(guest_scope_weight(262144), ==, 10000);
    g_assert_cmpint(guest_scope_weight(7), ==, 7);
}

#define CASE(name, func) g_test_add("/guest-scope/" name, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    CASE("v2/all-are-in-one-group-with-its-limits", test_v2);
    CASE("v2/the-bound-of-memory-can-change", test_v2_bound_changes);
    CASE("v2/a-host-without-memory-groups-says-so", test_v2_no_memory_controller);
    CASE("v1/both-controllers-have-the-group", test_v1);
    CASE("v1/nothing-is-made-when-nobody-asked", test_v1_unasked);
    CASE("none/only-wishes-are-refused", test_nothing);
    g_test_add_func("/guest-scope/the-bound-leaves-room", test_bound);
    g_test_add_func("/guest-scope/weights-are-clamped", test_weight);
    return g_test_run();
}
