/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: every rule that looks at a path alone (reference pmxcfs 5.2, 5.3, 6, 7.1).
 * Method: tables of paths with the answer that the rule gives. */
#include "pmxcfs/core/cfspath.h"
#include "pmxcfs/core/pmxcfs_limits.h"

static void test_guest(void)
{
    static const struct {
        const char *path;
        bool ok;
        uint32_t vmid;
        CfsGuestType type;
    } cases[] = {
        {"nodes/n1/qemu-server/100.conf", true, 100, CFS_GUEST_QEMU},
        {"/nodes//n1/lxc/1.conf", true, 1, CFS_GUEST_LXC},
        {"nodes/a-b/openvz/4294967295.conf", true, 4294967295u, CFS_GUEST_OPENVZ},
        {"nodes/n1/qemu-server/4294967296.conf", false, 0, 0},
        {"nodes/n1/qemu-server/99999999999999999999999.conf", false, 0, 0},
        {"nodes/n1/qemu-server/0100.conf", false, 0, 0},
        {"nodes/n1/qemu-server/.conf", false, 0, 0},
        {"nodes/n1/qemu-server/100.con", false, 0, 0},
        {"nodes/n1/qemu-server/100.conf.tmp", false, 0, 0},
        {"nodes/n1/qemu-server/10x.conf", false, 0, 0},
        {"nodes/n1/qemu-server/-1.conf", false, 0, 0},
        {"nodes/n1/qemu-server/sub/100.conf", false, 0, 0},
        {"nodes/n1/qemu-server/100.conf/x", false, 0, 0},
        {"nodes/bad_node/qemu-server/100.conf", false, 0, 0},
        {"nodes/-n/qemu-server/100.conf", false, 0, 0},
        {"nodes/n-/qemu-server/100.conf", false, 0, 0},
        {"nodes/n1/qemu/100.conf", false, 0, 0},
        {"node/n1/qemu-server/100.conf", false, 0, 0},
        {"qemu-server/100.conf", false, 0, 0},
        {"", false, 0, 0},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        CfsGuest guest = {0};
        g_test_message("%s", cases[i].path);
        g_assert_cmpint(cfspath_guest(cases[i].path, &guest), ==, cases[i].ok);
        g_assert_cmpuint(guest.vmid, ==, cases[i].vmid);
        g_assert_cmpuint(guest.type, ==, cases[i].type);
    }
    CfsGuest guest;
    g_assert_true(cfspath_guest("nodes/abc/lxc/7.conf", &guest));
    g_assert_cmpmem(guest.node, guest.node_len, "abc", 3);
    g_assert_cmpstr(cfs_guest_type_name(CFS_GUEST_LXC), ==, "lxc");
    g_assert_cmpstr(cfs_guest_type_dir(CFS_GUEST_QEMU), ==, "qemu-server");
    g_assert_null(cfs_guest_type_name((CfsGuestType)9));
    g_assert_null(cfs_guest_type_dir((CfsGuestType)9));
}

static void test_normalize(void)
{
    static const char *const cases[][2] = {
        {"", ""},
        {".", ""},
        {"/", ""},
        {"///", ""},
        {"a", "a"},
        {"a//b", "a/b"},
        {"/a/b/", "a/b"},
        {"a/./b", "a/./b"},
        {"./a", "./a"},
        {"..", ".."},
        {"a/../b", "a/../b"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *got = cfspath_normalize(cases[i][0]);
        g_assert_cmpstr(got, ==, cases[i][1]);
    }
    char buf[4];
    g_assert_true(cfspath_normalize_buf("//a//b", buf, 4));
    g_assert_cmpstr(buf, ==, "a/b");
    g_assert_false(cfspath_normalize_buf("a/bc", buf, 4));
    g_assert_false(cfspath_normalize_buf("a", buf, 0));
}

static void test_private(void)
{
    static const struct {
        const char *path;
        bool private;
    } cases[] = {
        {"priv", true},
        {"priv/x", true},
        {"//priv//x", true},
        {"privx", false},
        {"a/priv", false},
        {"nodes/n1/priv", true},
        {"nodes//n1/priv/k", true},
        {"nodes/n1/x/priv", false},
        {"nodes/priv", false},
        {"nodes/priv/x", false},
        {"nodes", false},
        {"", false},
        {".", false},
        {"/nodes/n1//priv", true},
        {"nodes/n1/privy", false},
        {"x/n1/priv", false},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("%s", cases[i].path);
        g_assert_cmpint(cfspath_is_private(cases[i].path), ==, cases[i].private);
        g_assert_cmpuint(cfspath_mode(cases[i].path, true, true) & 055, ==,
                         cases[i].private ? 0 : 055);
    }
}

static void test_locks(void)
{
    g_assert_true(cfspath_is_lock("priv/lock/a"));
    g_assert_true(cfspath_is_lock("/priv//lock/a/"));
    g_assert_false(cfspath_is_lock("priv/lock"));
    g_assert_false(cfspath_is_lock("priv/lock/a/b"));
    g_assert_false(cfspath_is_lock("priv/locks/a"));
    g_assert_true(cfspath_is_below_lock("priv/lock/a/b/c"));
    g_assert_true(cfspath_is_below_lock("priv/lock/a"));
    g_assert_false(cfspath_is_below_lock("priv/lock"));
    g_assert_false(cfspath_is_below_lock("x/priv/lock/a"));
}

static void test_executable(void)
{
    static const char *const yes[] = {"vps.mount", "vps.postumount", "100.start", "1.premount"};
    static const char *const no[] = {"vps.x",   "0.start",    "012.stop", ".start",
                                     "a.start", "1a.stop",    "1.stop.x", "vps",
                                     "",        "vpss.mount", "1.conf"};

    for (size_t i = 0; i < G_N_ELEMENTS(yes); i++) {
        g_assert_true(cfspath_is_executable(yes[i]));
    }
    for (size_t i = 0; i < G_N_ELEMENTS(no); i++) {
        g_assert_false(cfspath_is_executable(no[i]));
    }
}

static void test_names(void)
{
    g_autofree char *longest = g_strnfill(CFS_NAME_MAX, 'x');
    g_autofree char *too_long = g_strnfill(CFS_NAME_MAX + 1, 'x');

    g_assert_true(cfspath_name_ok("a"));
    g_assert_true(cfspath_name_ok("__version__"));
    g_assert_true(cfspath_name_ok("\xff\n\""));
    g_assert_true(cfspath_name_ok(longest));
    g_assert_false(cfspath_name_ok(too_long));
    g_assert_false(cfspath_name_ok(""));
    g_assert_false(cfspath_name_ok("."));
    g_assert_false(cfspath_name_ok(".."));
    g_assert_false(cfspath_name_ok("a/b"));
}

static void test_specials(void)
{
    for (int i = 0; i < CFS_SPECIAL_N; i++) {
        g_assert_cmpint(cfs_special_from_name(cfs_special_name((CfsSpecial)i)), ==, i);
    }
    g_assert_cmpint(cfs_special_from_name("nodes"), ==, -1);
    g_autofree char *local = cfs_special_target(CFS_SPECIAL_LOCAL, "n1");
    g_assert_cmpstr(local, ==, "nodes/n1");
    g_autofree char *lxc = cfs_special_target(CFS_SPECIAL_LXC, "n1");
    g_assert_cmpstr(lxc, ==, "nodes/n1/lxc");
    g_assert_null(cfs_special_target(CFS_SPECIAL_VERSION, "n1"));
    g_assert_cmpuint(cfs_special_mode(CFS_SPECIAL_LOCAL, true), ==, 0755);
    g_assert_cmpuint(cfs_special_mode(CFS_SPECIAL_LOCAL, false), ==, 0555);
    g_assert_cmpuint(cfs_special_mode(CFS_SPECIAL_DEBUG, false), ==, 0640);
    g_assert_cmpuint(cfs_special_mode(CFS_SPECIAL_VMLIST, false), ==, 0440);
}

static void test_modes(void)
{
    g_assert_cmpuint(cfspath_mode("", true, false), ==, 0755);
    g_assert_cmpuint(cfspath_mode("a", true, true), ==, 0755);
    g_assert_cmpuint(cfspath_mode("a", true, false), ==, 0555);
    g_assert_cmpuint(cfspath_mode("a", false, true), ==, 0640);
    g_assert_cmpuint(cfspath_mode("a", false, false), ==, 0440);
    g_assert_cmpuint(cfspath_mode("priv", true, true), ==, 0700);
    g_assert_cmpuint(cfspath_mode("priv", true, false), ==, 0500);
    g_assert_cmpuint(cfspath_mode("priv/a", false, true), ==, 0600);
    g_assert_cmpuint(cfspath_mode("priv/a", false, false), ==, 0400);
    g_assert_cmpuint(cfspath_mode("a/vps.mount", false, true), ==, 0740);
    g_assert_cmpuint(cfspath_mode("a/vps.mount", true, true), ==, 0755);
    g_assert_cmpuint(cfspath_mode("vps.mount", false, false), ==, 0540);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cfspath/guest/only-the-documented-form-is-a-guest-config", test_guest);
    g_test_add_func("/cfspath/normalize/one-spelling-per-path", test_normalize);
    g_test_add_func("/cfspath/private/spelling-does-not-matter", test_private);
    g_test_add_func("/cfspath/locks/direct-and-below", test_locks);
    g_test_add_func("/cfspath/names/executable", test_executable);
    g_test_add_func("/cfspath/names/what-may-be-created", test_names);
    g_test_add_func("/cfspath/specials/names-targets-modes", test_specials);
    g_test_add_func("/cfspath/modes/by-path-type-and-quorum", test_modes);
    return g_test_run();
}
