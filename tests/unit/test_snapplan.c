/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: snapshots change the text of a configuration as section 13 of the reference says, whatever
 * is in the file; guests start in the order they ask for. Method: small files, results compared.
 */
#include "guest/core/snapplan.h"
#include "guest/core/startorder.h"

#include <errno.h>
#include <string.h>

static VmConf *parse(const char *text)
{
    VmConf *conf = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(vmconf_parse(text, strlen(text), &(VmConfParse){.file = "t"}, &conf, &err), ==,
                    0);
    return conf;
}

static const char *main_value(const VmConf *conf, const char *key)
{
    return vmsection_get(vmconf_main(conf), key);
}

static int take(VmConf *conf, const char *name)
{
    VmSection *section = NULL;
    int r = snapplan_prepare(conf, name, "why", 1000, &section, NULL);

    if (r == 0) {
        g_assert_cmpstr(vmsection_get(section, "snapstate"), ==, "prepare");
        snapplan_commit(conf, name);
    }
    return r;
}

static void test_take(void)
{
    g_autoptr(VmConf) conf =
        parse("#mine\ncores: 2\nlock: snapshot\nscsi0: st:100/a.qcow2,size=1G\n");
    VmSection *section = NULL;

    g_assert_cmpint(take(conf, "one"), ==, 0);
    g_assert_cmpint(snapplan_find(conf, "one", false, &section, NULL), ==, 0);
    g_assert_cmpstr(vmsection_get(section, "cores"), ==, "2");
    g_assert_cmpstr(vmsection_get(section, "snaptime"), ==, "1000");
    g_assert_null(vmsection_get(section, "lock"));
    g_assert_null(vmsection_get(section, "snapstate"));
    g_assert_cmpstr(section->description, ==, "why");
    g_assert_cmpstr(vmconf_main(conf)->description, ==, "mine");
    g_assert_cmpstr(main_value(conf, "parent"), ==, "one");
    g_assert_cmpint(take(conf, "one"), ==, -EEXIST);
    g_assert_cmpint(take(conf, "current"), ==, -EINVAL);
    g_assert_cmpint(take(conf, "pending"), ==, -EINVAL);
    g_assert_cmpint(take(conf, "../x"), ==, -EINVAL);
    vmsection_set(vmconf_main(conf), "template", "1");
    g_assert_cmpint(take(conf, "two"), ==, -EPERM);
}

static void test_half_made(void)
{
    g_autoptr(VmConf) conf = parse("cores: 1\n\n[bad]\ncores: 1\nsnapstate: delete\n");
    VmSection *section = NULL;

    g_assert_cmpint(snapplan_find(conf, "bad", false, &section, NULL), ==, -EBUSY);
    g_assert_cmpint(snapplan_find(conf, "bad", true, &section, NULL), ==, 0);
    g_assert_cmpint(snapplan_find(conf, "none", true, &section, NULL), ==, -ENOENT);
}

static void test_remove(void)
{
    g_autoptr(VmConf) conf =
        parse("parent: bb\n\n[aa]\nsnaptime: 1\n\n[bb]\nparent: aa\nsnaptime: 2\n\n"
              "[cc]\nparent: bb\nsnaptime: 3\n");

    snapplan_remove(conf, "bb");
    g_assert_cmpstr(main_value(conf, "parent"), ==, "aa");
    g_assert_cmpstr(vmsection_get(vmconf_section(conf, VM_SECTION_SNAPSHOT, "cc"), "parent"), ==,
                    "aa");
    snapplan_remove(conf, "aa");
    g_assert_null(main_value(conf, "parent"));
    g_assert_null(vmsection_get(vmconf_section(conf, VM_SECTION_SNAPSHOT, "cc"), "parent"));
}

static void test_rollback(void)
{
    g_autoptr(VmConf) conf =
        parse("#now\ncores: 4\nlock: rollback\nscsi0: st:100/a.qcow2\nscsi1: st:100/new.qcow2\n"
              "ide2: st:iso/x.iso,media=cdrom\nunused0: st:100/old.qcow2\nvmgenid: 11\n\n"
              "[PENDING]\ncores: 8\n\n"
              "[one]\n#then\ncores: 2\nscsi0: st:100/a.qcow2\nsnaptime: 5\nvmstate: st:100/m.raw\n"
              "runningmachine: pc\nrunningcpu: q\nvmgenid: 10\n");
    Err err = ERR_INIT;

    g_assert_cmpint(snapplan_rollback(conf, "one", "99", &err), ==, 0);
    g_assert_cmpstr(main_value(conf, "cores"), ==, "2");
    g_assert_cmpstr(main_value(conf, "lock"), ==, "rollback");
    g_assert_cmpstr(main_value(conf, "parent"), ==, "one");
    g_assert_cmpstr(main_value(conf, "vmgenid"), ==, "99");
    g_assert_cmpstr(main_value(conf, "unused0"), ==, "st:100/new.qcow2");
    g_assert_cmpstr(main_value(conf, "unused1"), ==, "st:100/old.qcow2");
    g_assert_null(main_value(conf, "unused2"));
    g_assert_null(main_value(conf, "snaptime"));
    g_assert_null(main_value(conf, "vmstate"));
    g_assert_null(main_value(conf, "runningmachine"));
    g_assert_null(vmconf_section(conf, VM_SECTION_PENDING, NULL));
    g_assert_cmpstr(vmconf_main(conf)->description, ==, "now");
    g_assert_nonnull(vmconf_section(conf, VM_SECTION_SNAPSHOT, "one"));
    g_assert_cmpint(snapplan_rollback(conf, "none", NULL, &err), ==, -ENOENT);
}

static void test_tree(void)
{
    g_autoptr(VmConf) conf =
        parse("parent: bb\n\n[aa]\n#first\nsnaptime: 1\n\n[bb]\nparent: aa\nsnaptime: 3\n\n"
              "[cc]\nparent: aa\nsnaptime: 2\n");
    g_autoptr(VmConf) circle = parse("parent: xx\n\n[xx]\nparent: yy\n\n[yy]\nparent: xx\n");
    g_autofree char *text = snapplan_tree(conf, NULL);
    g_autofree char *round = snapplan_tree(circle, NULL);

    g_assert_cmpstr(text, ==,
                    "`-> aa                   1                   first\n"
                    " `-> cc                   2                   no-description\n"
                    " `-> bb                   3                   no-description\n"
                    "  `-> current                                  You are here!\n");
    g_assert_cmpstr(round, ==, "`-> current                                  You are here!\n");
}

static void test_volumes(void)
{
    g_autoptr(VmConf) conf =
        parse("ide2: none,media=cdrom\nscsi0: file=st:100/a.qcow2,size=1G\n"
              "efidisk0: st:100/e.qcow2\nunused3: st:100/u.qcow2\nnet0: virtio\n"
              "sata1: size=1G,st:100/b.raw\n");
    g_autoptr(GPtrArray) v = snapplan_volumes(vmconf_main(conf));
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < v->len; i++) {
        g_string_append_printf(text, "%s ", (const char *)v->pdata[i]);
    }
    g_assert_cmpstr(text->str, ==,
                    "efidisk0 st:100/e.qcow2 sata1 st:100/b.raw scsi0 st:100/a.qcow2 ");
}

static void test_order(void)
{
    static const char *const files[] = {"onboot: 1\n", "startup: order=2,up=7,down=9\nonboot: 1\n",
                                        "startup: 1\n", "startup: order=2\n", "startup: junk=1\n"};
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(StartOrder));
    g_autoptr(GString) text = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autoptr(VmConf) conf = parse(files[i]);
        StartOrder o = startorder_read(200 - (uint32_t)i, conf);
        g_array_append_val(list, o);
    }
    startorder_sort(list, false);
    for (guint i = 0; i < list->len; i++) {
        const StartOrder *o = &g_array_index(list, StartOrder, i);
        g_string_append_printf(text, "%u:%u:%u:%d ", o->vmid, o->up_sec, o->down_sec, o->onboot);
    }
    g_assert_cmpstr(text->str, ==, "198:0:180:0 197:0:180:0 199:7:9:1 196:0:180:0 200:0:180:1 ");
    startorder_sort(list, true);
    g_assert_cmpint(g_array_index(list, StartOrder, 0).vmid, ==, 200);
    g_assert_cmpint(g_array_index(list, StartOrder, 4).vmid, ==, 198);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/snapplan/a-snapshot-is-a-copy-of-now", test_take);
    g_test_add_func("/snapplan/half-made-ones-are-only-for-removal", test_half_made);
    g_test_add_func("/snapplan/children-go-to-the-grandparent", test_remove);
    g_test_add_func("/snapplan/rollback-loses-no-volume", test_rollback);
    g_test_add_func("/snapplan/the-tree-shows-every-one-once", test_tree);
    g_test_add_func("/snapplan/disks-are-found-and-nothing-else", test_volumes);
    g_test_add_func("/startorder/by-order-then-vmid", test_order);
    return g_test_run();
}
