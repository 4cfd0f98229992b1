/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a configuration changes only under its lock, by its owner, from the text the caller has
 * seen, and whole. Method: a tree in a temporary directory; second editors are real processes or
 * second descriptors (flock binds to the open file). */
#include "guest/io/guest_edit.h"
#include "guest/io/guest_leftover.h"
#include "tests/lib/test_tree.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Rig {
    char *top;
    GuestTree *tree;
} Rig;

static void put(const Rig *rig, const char *name, const char *text)
{
    g_autofree char *path =
        g_build_filename(rig->tree != NULL ? rig->tree->root : rig->top, name, NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static char *get(const Rig *rig, const char *name)
{
    g_autofree char *path = g_build_filename(rig->tree->root, name, NULL);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

static void make_dir(const Rig *rig, const char *name)
{
    g_autofree char *path = g_build_filename(rig->top, name, NULL);
    g_assert_cmpint(g_mkdir_with_parents(path, 0755), ==, 0);
}

static void setup(Rig *rig, const void *data)
{
    g_autofree char *link = NULL;
    g_autofree char *locks = NULL;

    (void)data;
    rig->top = g_dir_make_tmp("guest-edit-XXXXXX", NULL);
    make_dir(rig, "nodes/n1/qemu-server");
    make_dir(rig, "nodes/n2/qemu-server");
    make_dir(rig, "nodes/n2/lxc");
    link = g_build_filename(rig->top, "local", NULL);
    locks = g_build_filename(rig->top, "locks", NULL);
    g_assert_cmpint(symlink("nodes/n1", link), ==, 0);
    g_assert_cmpint(guest_tree_open(rig->top, locks, &rig->tree, NULL), ==, 0);
    put(rig, "nodes/n1/qemu-server/100.conf", "cores: 2\nname: a\n");
    put(rig, "nodes/n2/qemu-server/101.conf", "cores: 1\n");
    put(rig, "nodes/n2/lxc/103.conf", "cores: 1\n");
}

static void teardown(Rig *rig, const void *data)
{
    (void)data;
    guest_tree_free(rig->tree);
    test_remove_tree(rig->top);
    g_free(rig->top);
}

static void set_cores(GuestEdit *e, const char *value)
{
    vmsection_set(vmconf_main(guest_edit_conf(e)), "cores", value);
}

static void test_change(Rig *rig, const void *data)
{
    g_autoptr(GuestEdit) e = NULL;
    g_autofree char *text = NULL;

    (void)data;
    g_assert_cmpint(guest_edit_begin(rig->tree, 100, NULL, &e, NULL), ==, 0);
    set_cores(e, "4");
    g_assert_cmpint(guest_edit_commit(e, NULL), ==, 0);
    set_cores(e, "8"); /* once more with the same lock */
    g_assert_cmpint(guest_edit_commit(e, NULL), ==, 0);
    text = get(rig, "nodes/n1/qemu-server/100.conf");
    g_assert_cmpstr(text, ==, "cores: 8\nname: a\n");
}

static void test_two_editors(Rig *rig, const void *data)
{
    GuestEditOptions quick = {.timeout_ms = 50};
    g_autoptr(GuestEdit) first = NULL;
    g_autoptr(GuestEdit) second = NULL;
    Err err = ERR_INIT;

    (void)data;
    g_assert_cmpint(guest_edit_begin(rig->tree, 100, NULL, &first, NULL), ==, 0);
    g_assert_cmpint(guest_edit_begin(rig->tree, 100, &quick, &second, &err), ==, -EBUSY);
    g_assert_nonnull(strstr(err.text, "another command works on it"));
    g_clear_pointer(&first, guest_edit_free);
    g_assert_cmpint(guest_edit_begin(rig->tree, 100, &quick, &second, NULL), ==, 0);
}

static void test_lost_update(Rig *rig, const void *data)
{
    g_autoptr(VmConf) seen = NULL;
    g_autoptr(GuestEdit) e = NULL;
    g_autofree char *text = NULL;
    Err err = ERR_INIT;

    (void)data;
    g_assert_cmpint(guest_conf_read(rig->tree, NULL, 100, NULL, NULL, &seen, NULL), ==, 0);
    put(rig, "nodes/n1/qemu-server/100.conf", "cores: 3\n");
    g_assert_cmpint(
        guest_edit_begin(rig->tree, 100, &(GuestEditOptions){.digest = seen->digest}, &e, &err), ==,
        -ESTALE);
    g_assert_nonnull(strstr(err.text, "changed by somebody else"));
    g_assert_cmpint(guest_edit_begin(rig->tree, 100, NULL, &e, NULL), ==, 0);
    put(rig, "nodes/n1/qemu-server/100.conf", "cores: 5\n"); /* an editor without lock */
    set_cores(e, "6");
    g_assert_cmpint(guest_edit_commit(e, &err), ==, -ESTALE);
    text = get(rig, "nodes/n1/qemu-server/100.conf");
    g_assert_cmpstr(text, ==, "cores: 5\n");
}

static void test_gone_meanwhile(Rig *rig, const void *data)
{
    g_autoptr(GuestEdit) e = NULL;
    g_autofree char *from = guest_tree_path(rig->tree, NULL, 100);
    g_autofree char *to = guest_tree_path(rig->tree, "n2", 100);

    (void)data;
    g_assert_cmpint(guest_edit_begin(rig->tree, 100, NULL, &e, NULL), ==, 0);
    g_assert_cmpint(g_rename(from, to), ==, 0); /* migrated away */
    set_cores(e, "6");
    g_assert_cmpint(guest_edit_commit(e, NULL), ==, -ESTALE);
    g_assert_false(g_file_test(from, G_FILE_TEST_EXISTS));
}

static void test_owner(Rig *rig, const void *data)
{
    g_autoptr(GuestEdit) e = NULL;
    Err err = ERR_INIT;

    (void)data;
    g_assert_cmpint(guest_edit_begin(rig->tree, 101, NULL, &e, &err), ==, -ENOENT);
    g_assert_nonnull(strstr(err.text, "node 'n2'"));
    g_assert_cmpint(guest_edit_begin(rig->tree, 102, NULL, &e, &err), ==, -ENOENT);
    g_assert_cmpstr(err.text, ==, "there is no guest 102");
    g_assert_cmpint(guest_edit_begin(rig->tree, 103, NULL, &e, &err), ==, -ENOENT);
    g_assert_nonnull(strstr(err.text, "container"));
}

static void test_lock_word(Rig *rig, const void *data)
{
    GuestEditOptions skip = {.skiplock = true};
    GuestEditOptions mine = {.my_lock = "clone"};
    g_autoptr(GuestEdit) e = NULL;
    Err err = ERR_INIT;

    (void)data;
    g_assert_cmpint(guest_edit_lock_word(rig->tree, 100, NULL, "clone", NULL), ==, 0);
    g_assert_cmpint(guest_edit_begin(rig->tree, 100, NULL, &e, &err), ==, -EBUSY);
    g_assert_nonnull(strstr(err.text, "(clone)"));
    g_assert_cmpint(guest_edit_begin(rig->tree, 100, &mine, &e, NULL), ==, 0);
    g_clear_pointer(&e, guest_edit_free);
    g_assert_cmpint(guest_edit_begin(rig->tree, 100, &skip, &e, NULL), ==, 0);
    g_clear_pointer(&e, guest_edit_free);
    g_assert_cmpint(guest_edit_lock_word(rig->tree, 100, "backup", NULL, NULL), ==, -EBUSY);
    g_assert_cmpint(guest_edit_lock_word(rig->tree, 100, "clone", NULL, NULL), ==, 0);
    g_assert_cmpint(guest_edit_begin(rig->tree, 100, NULL, &e, NULL), ==, 0);
}

static void test_create(Rig *rig, const void *data)
{
    static const struct {
        uint32_t vmid;
        const char *says;
    } taken[] = {{100, "VM on node 'n1'"}, {101, "VM on node 'n2'"}, {103, "container on node"}};
    g_autoptr(GuestEdit) e = NULL;
    g_autofree char *text = NULL;
    uint32_t next = 0;

    (void)data;
    for (size_t i = 0; i < G_N_ELEMENTS(taken); i++) {
        Err err = ERR_INIT;
        g_assert_cmpint(guest_edit_create(rig->tree, taken[i].vmid, "create", &e, &err), ==,
                        -EEXIST);
        g_assert_nonnull(strstr(err.text, taken[i].says));
    }
    g_assert_cmpint(guest_tree_next_id(rig->tree, 100, 1000, &next, NULL), ==, 0);
    g_assert_cmpuint(next, ==, 102);
    g_assert_cmpint(guest_tree_next_id(rig->tree, 100, 102, &next, NULL), ==, -ENOSPC);
    g_assert_cmpint(guest_edit_create(rig->tree, 102, "create", &e, NULL), ==, 0);
    text = get(rig, "nodes/n1/qemu-server/102.conf");
    g_assert_cmpstr(text, ==, "lock: create\n");
    g_assert_cmpint(guest_edit_remove(e, NULL), ==, 0);
    g_assert_cmpint(guest_tree_check_here(rig->tree, 102, NULL), ==, -ENOENT);
}

static void test_full(Rig *rig, const void *data)
{
    g_autofree char *blob = g_strnfill(VMCONF_TEXT_MAX, 'x');
    g_autoptr(GuestEdit) e = NULL;
    g_autofree char *text = NULL;

    (void)data;
    g_assert_cmpint(guest_edit_begin(rig->tree, 100, NULL, &e, NULL), ==, 0);
    vmsection_set_description(vmconf_main(guest_edit_conf(e)), blob);
    g_assert_cmpint(guest_edit_commit(e, NULL), ==, -EFBIG);
    text = get(rig, "nodes/n1/qemu-server/100.conf");
    g_assert_cmpstr(text, ==, "cores: 2\nname: a\n");
}

static bool is_there(const Rig *rig, const char *name)
{
    g_autofree char *text = get(rig, name);

    return text != NULL;
}

/* What killed commands left goes with the next command; what somebody may be writing stays. */
static void test_leftovers(Rig *rig, const void *data)
{
    g_autoptr(GuestLock) busy = NULL;
    g_autoptr(GuestEdit) e = NULL;

    (void)data;
    put(rig, "nodes/n1/qemu-server/100.conf.tmp.1", "cores: 3\n");
    put(rig, "nodes/n1/qemu-server/100.conf.tmp.99", "co");
    put(rig, "nodes/n1/qemu-server/105.conf.tmp.n1.example.1", "");
    put(rig, "nodes/n1/qemu-server/106.conf.tmp.1", "");
    put(rig, "nodes/n1/qemu-server/100.conf.tmp.x", "");
    put(rig, "nodes/n1/qemu-server/100.conf.old", "");
    put(rig, "nodes/n2/qemu-server/101.conf.tmp.1", "");
    g_assert_cmpint(guest_lock_take(rig->tree, 106, 0, &busy, NULL), ==, 0);
    g_assert_cmpint(guest_edit_begin(rig->tree, 100, NULL, &e, NULL), ==, 0);
    g_assert_false(is_there(rig, "nodes/n1/qemu-server/100.conf.tmp.1"));
    g_assert_false(is_there(rig, "nodes/n1/qemu-server/100.conf.tmp.99"));
    g_assert_false(is_there(rig, "nodes/n1/qemu-server/105.conf.tmp.n1.example.1"));
    g_assert_true(is_there(rig, "nodes/n1/qemu-server/106.conf.tmp.1"));
    g_assert_true(is_there(rig, "nodes/n1/qemu-server/100.conf.tmp.x"));
    g_assert_true(is_there(rig, "nodes/n1/qemu-server/100.conf.old"));
    g_assert_true(is_there(rig, "nodes/n2/qemu-server/101.conf.tmp.1"));
    g_assert_true(is_there(rig, "nodes/n1/qemu-server/100.conf"));
}

static void test_leftovers_of_a_file(Rig *rig, const void *data)
{
    g_autofree char *path = g_build_filename(rig->tree->root, "storage.cfg", NULL);

    (void)data;
    put(rig, "storage.cfg", "");
    put(rig, "storage.cfg.tmp.17", "");
    put(rig, "storage.cfg.tmp.n1.17", "");
    put(rig, "storage.cfg.tmp.x", "");
    put(rig, "datacenter.cfg.tmp.17", "");
    guest_leftover_drop(path);
    g_assert_false(is_there(rig, "storage.cfg.tmp.17"));
    g_assert_false(is_there(rig, "storage.cfg.tmp.n1.17"));
    g_assert_true(is_there(rig, "storage.cfg.tmp.x"));
    g_assert_true(is_there(rig, "datacenter.cfg.tmp.17"));
    g_assert_true(is_there(rig, "storage.cfg"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, fn) g_test_add("/guest-edit/" name, Rig, NULL, setup, fn, teardown)
    ADD("changes-are-written-whole", test_change);
    ADD("two-editors-wait-for-each-other", test_two_editors);
    ADD("updates-are-not-lost", test_lost_update);
    ADD("what-moved-away-is-not-made-again", test_gone_meanwhile);
    ADD("only-the-owner-may-edit", test_owner);
    ADD("lock-words-are-respected", test_lock_word);
    ADD("new-ids-are-free-everywhere", test_create);
    ADD("too-large-is-refused", test_full);
    ADD("what-killed-writers-left-goes", test_leftovers);
    ADD("also-of-one-file-with-a-lock", test_leftovers_of_a_file);
    return g_test_run();
}
