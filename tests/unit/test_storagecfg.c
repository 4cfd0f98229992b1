/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: storage.cfg, mapping files and section lines are read by reference guest.md 20; what is
 * wrong with one section leaves the others usable and names its line.
 * Method: texts with the answers they must give. */
#include "lib/conf/mappingcfg.h"
#include "lib/conf/sectionlines.h"
#include "lib/conf/storagecfg.h"

#include <errno.h>
#include <string.h>

static StorageCfg *parse(const char *text)
{
    StorageCfg *cfg = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(storagecfg_parse(text, strlen(text), &cfg, &err), ==, 0);
    return cfg;
}

static const Storage *get(const StorageCfg *cfg, const char *id)
{
    const Storage *s = NULL;

    g_assert_cmpint(storagecfg_get(cfg, id, &s, NULL), ==, 0);
    return s;
}

static void test_local_is_always_there(void)
{
    g_autoptr(StorageCfg) empty = parse("");
    g_autoptr(StorageCfg) moved = parse("dir: local\n\tpath /elsewhere\n\tcontent iso\n");
    g_autoptr(StorageCfg) wrong = parse("lvm: local\n\tvgname x\n");
    const Storage *s = get(empty, "local");
    Err err = ERR_INIT;

    g_assert_cmpstr(s->type, ==, "dir");
    g_assert_cmpstr(storage_prop(s, "path"), ==, "/var/lib/vz");
    g_assert_true(storage_has_content(s, "images"));
    g_assert_true(storage_has_content(s, "snippets"));
    g_assert_false(storage_has_content(s, "import"));
    s = get(moved, "local");
    g_assert_cmpstr(storage_prop(s, "path"), ==, "/var/lib/vz");
    g_assert_false(storage_has_content(s, "images"));
    g_assert_cmpuint(storagecfg_count(moved), ==, 1);
    g_assert_cmpint(storagecfg_get(wrong, "local", &s, &err), ==, -EINVAL);
    g_assert_nonnull(strstr(err_text(&err), "line 1: 'local' must be of type dir"));
}

static void test_properties(void)
{
    g_autoptr(StorageCfg) cfg = parse("# storages\n"
                                      "rbd: ceph\n\tpool p\n\tkrbd\n\tnodes n1,n2\n"
                                      "\n"
                                      "nfs: nas\n    server s\n    export /e\n    disable 1\n"
                                      "lvmthin: thin\n\tvgname pve\n\tthinpool data\n\tshared 0\n"
                                      "newkind: later\n\tany thing at all\n");
    const Storage *s = get(cfg, "ceph");

    g_assert_true(storage_flag(s, "krbd", false));
    g_assert_true(storage_flag(s, "absent", true));
    g_assert_true(storage_has_content(s, "images"));
    g_assert_true(storage_is_shared(s));
    g_assert_true(storage_on_node(s, "n2"));
    g_assert_false(storage_on_node(s, "n3"));
    s = get(cfg, "nas");
    g_assert_false(storage_on_node(s, "n1"));
    s = get(cfg, "thin");
    g_assert_true(storage_has_content(s, "rootdir"));
    g_assert_false(storage_is_shared(s));
    s = get(cfg, "later");
    g_assert_cmpstr(storage_prop(s, "any"), ==, "thing at all");
    g_assert_false(storage_has_content(s, "images"));
    g_assert_cmpuint(storagecfg_count(cfg), ==, 5);
}

static void test_errors_stay_with_their_section(void)
{
    static const struct {
        const char *text;
        const char *id;
        const char *said;
    } cases[] = {
        {"dir: a1\n\tpath /a\n\ndir: a1\n\tpath /b\n", "b1", "storage 'b1' does not exist"},
        {"lvmthin: b1\n\tvgname x\n", "b1", "line 1: storage 'b1' (lvmthin) has no 'thinpool'"},
        {"\n\ndir b1\n\tpath /a\n", "dir b1", "line 3: 'dir b1' is not a section header"},
        {"b1\n\tpath /a\n", "b1", "line 1: 'b1' has no type"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(StorageCfg) cfg = parse(cases[i].text);
        const Storage *s = NULL;
        Err err = ERR_INIT;

        g_test_message("%s", cases[i].said);
        g_assert_cmpint(storagecfg_get(cfg, cases[i].id, &s, &err), <, 0);
        g_assert_nonnull(strstr(err_text(&err), cases[i].said));
        g_assert_cmpstr(get(cfg, "local")->type, ==, "dir");
    }
    g_autoptr(StorageCfg) twice = parse(cases[0].text);
    g_assert_cmpstr(storage_prop(get(twice, "a1"), "path"), ==, "/a");
    g_assert_nonnull(strstr(storagecfg_at(twice, 1)->error, "is there twice (line 1)"));
}

static void test_bounds(void)
{
    g_autofree char *large = g_strnfill(SECTIONLINES_TEXT_MAX + 1, 'a');
    StorageCfg *cfg = NULL;
    SectionLines *lines = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(storagecfg_parse(large, SECTIONLINES_TEXT_MAX + 1, &cfg, &err), ==, -EFBIG);
    g_assert_cmpint(storagecfg_parse("a\0b", 3, &cfg, &err), ==, -EBADMSG);
    g_assert_cmpint(storagecfg_parse("\tpath /a\n", 9, &cfg, &err), ==, -EBADMSG);
    g_assert_cmpstr(err_text(&err), ==, "storage.cfg: line 1: 'path /a' belongs to no section");
    g_assert_null(cfg);
    g_assert_cmpint(sectionlines_parse(NULL, 0, &lines, NULL), ==, 0);
    g_assert_cmpuint(lines->sections->len, ==, 0);
    sectionlines_free(lines);
}

static void test_mapping(void)
{
    static const char text[] = "gpu\n\tmap id=10de:2231,node=n1,path=0000:01:00.4\n"
                               "\tmap id=10de:2231,node=n2,path=0000:81:00.0\n"
                               "\tmap id=10de:2231,iommugroup=1,node=n1,path=0000:01:00.5\n"
                               "\tmdev 1\n\n"
                               "stick\n\tmap id=1234:abcd,node=n1\n"
                               "broken\n\tmap path=1\n";
    g_autoptr(MappingCfg) cfg = NULL;
    g_autoptr(GPtrArray) gpu = NULL;
    g_autoptr(GPtrArray) stick = NULL;
    GPtrArray *none = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(mappingcfg_parse("pci.cfg", text, strlen(text), &cfg, &err), ==, 0);
    g_assert_cmpint(mappingcfg_paths(cfg, "gpu", "n1", &gpu, &err), ==, 0);
    g_assert_cmpuint(gpu->len, ==, 2);
    g_assert_cmpstr(gpu->pdata[0], ==, "0000:01:00.4");
    g_assert_cmpstr(gpu->pdata[1], ==, "0000:01:00.5");
    g_assert_cmpint(mappingcfg_paths(cfg, "stick", "n1", &stick, &err), ==, 0);
    g_assert_cmpstr(stick->pdata[0], ==, "1234:abcd");
    g_assert_cmpint(mappingcfg_paths(cfg, "stick", "n2", &none, &err), ==, -ENODEV);
    g_assert_cmpint(mappingcfg_paths(cfg, "nix", "n1", &none, &err), ==, -ENOENT);
    g_assert_cmpint(mappingcfg_paths(cfg, "broken", "n1", &none, &err), ==, -EINVAL);
    g_assert_nonnull(strstr(err_text(&err), "pci.cfg: line 10: map: 'node' is missing"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/storagecfg/local-is-always-there", test_local_is_always_there);
    g_test_add_func("/storagecfg/properties", test_properties);
    g_test_add_func("/storagecfg/errors-stay-with-their-section",
                    test_errors_stay_with_their_section);
    g_test_add_func("/storagecfg/bounds", test_bounds);
    g_test_add_func("/mappingcfg/paths-of-a-node", test_mapping);
    return g_test_run();
}
