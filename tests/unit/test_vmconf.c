/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: VMID.conf is read and written without losing meaning (reference guest.md 2).
 * Method: texts with the form they must have after a round trip; the warnings each must give. */
#include "lib/conf/vmconf.h"

#include <errno.h>
#include <string.h>

static void note(void *ctx, unsigned line, const char *text)
{
    g_string_append_printf(ctx, "%u: %s\n", line, text);
}

static VmConf *parse(const char *text, GString *warnings)
{
    VmConfParse how = {.warn = warnings != NULL ? note : NULL, .ctx = warnings};
    VmConf *conf = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(vmconf_parse(text, strlen(text), &how, &conf, &err), ==, 0);
    return conf;
}

static void expect(const char *in, const char *out, const char *warnings)
{
    g_autoptr(GString) said = g_string_new(NULL);
    g_autoptr(VmConf) conf = parse(in, said);
    g_autofree char *text = vmconf_format(conf);
    g_autoptr(VmConf) again = parse(text, NULL);
    g_autofree char *second = vmconf_format(again);

    g_assert_cmpstr(text, ==, out);
    g_assert_cmpstr(second, ==, out);
    if (warnings != NULL) {
        g_assert_cmpstr(said->str, ==, warnings);
    }
}

/* As copies of guests, snapshots and templates do. */
static void test_what_was_read_may_be_set(void)
{
    g_autoptr(VmConf) from = parse("name: a\r\rb\x0c\x01\n", NULL);
    g_autoptr(VmConf) to = vmconf_new();
    g_autofree char *text = NULL;

    vmsection_set(vmconf_main(to), "name", vmsection_get(vmconf_main(from), "name"));
    text = vmconf_format(to);
    g_assert_cmpstr(text, ==, "name: a\r\rb\x0c\x01\n");
}

static void test_round_trip(void)
{
    expect("", "", "");
    expect("\n\n  \n", "", "");
    expect("name: a\ncores: 2\n", "cores: 2\nname: a\n", "");
    expect("name:a", "name: a\n", "");
    expect("name:   a b  \r\n", "name: a b\n", "");
    expect("boot: \n", "boot: \n", "");
    expect("net10: x\nnet1: y\nnet2: z\n", "net1: y\nnet10: x\nnet2: z\n", "");
    expect("amd-sev: std\nrunning-nets-host-mtu: net0=1500\n",
           "amd-sev: std\nrunning-nets-host-mtu: net0=1500\n", "");
    expect("future_key9: kept\n", "future_key9: kept\n", "");
}

static void test_sections_have_their_order(void)
{
    expect("name: a\n[zz]\nname: z\n[special:cloudinit]\nname: c\n[aa]\nname: s\n\n[pending]\n"
           "name: p\ndelete: net0,!scsi1\n[special:fleecing]\nunused0: x\n",
           "name: a\n\n[PENDING]\ndelete: net0,!scsi1\nname: p\n\n[special:cloudinit]\nname: c\n\n"
           "[special:fleecing]\nunused0: x\n\n[aa]\nname: s\n\n[zz]\nname: z\n",
           "");
    expect("[PENDING]\n", "", "");
    expect("[snap1]\n", "[snap1]\n", "");
}

static void test_description(void)
{
    g_autoptr(VmConf) conf = parse("#first%3A line\n#\n# third %zz 100%25\n#  \nname: a\n"
                                   "[s1]\n#of the snapshot\nname: b\n",
                                   NULL);
    g_autofree char *text = vmconf_format(conf);

    g_assert_cmpstr(vmconf_main(conf)->description, ==, "first: line\n\n third %zz 100%");
    g_assert_cmpstr(vmconf_section(conf, VM_SECTION_SNAPSHOT, "s1")->description, ==,
                    "of the snapshot");
    g_assert_cmpstr(text, ==,
                    "#first%3A line\n#\n# third %25zz 100%25\nname: a\n\n[s1]\n"
                    "#of the snapshot\nname: b\n");
    expect("description: a%0Ab\n", "#a\n#b\n", "");
    expect("#a\ndescription: b\n", "#a\n#b\n", "");
    expect("#%C3%BC\xc3\xbc\n", "#%C3%BC%C3%BC\n", "");
    expect("#a%00b\n", "#a%2500b\n", "");
    expect("#a%20%0Ab\n", "#a%20\n#b\n", "");
    expect("#\n", "", "");
}

static void test_old_names(void)
{
    expect("cdrom: none,media=cdrom\nsmp: 2\n", "ide2: none,media=cdrom\nsockets: 2\n", "");
    expect("cdrom: local:iso/a.iso\n", "ide2: local:iso/a.iso,media=cdrom\n", "");
    expect("cdrom: local:iso/media=a.iso,size=1M\n",
           "ide2: local:iso/media=a.iso,size=1M,media=cdrom\n", "");
    expect("ide2: a\ncdrom: b\n", "ide2: a\n",
           "2: 'cdrom' means 'ide2', which is there already: dropped\n");
}

static void test_not_understood_is_kept(void)
{
    expect("name: a\nwhat is this\n: x\nUpper: y\n", "name: a\nwhat is this\n: x\nUpper: y\n",
           "2: 'what is this' is not 'key: value', kept as it is\n"
           "3: ': x' is not 'key: value', kept as it is\n"
           "4: 'Upper: y' is not 'key: value', kept as it is\n");
    expect("name: a\n[odd one]\nkey: v\n#c\n[s1]\nname: b\n",
           "name: a\n\n[s1]\nname: b\n\n[odd one]\nkey: v\n#c\n",
           "2: unknown section '[odd one]', kept as it is\n");
    expect("name: a\nname: b\n", "name: b\n",
           "2: key 'name' is given twice, the last one counts\n");
    expect("[s1]\n#x\nname: a\n[s2]\n[s1]\n#y\ncores: 2\n",
           "[s1]\n#x\n#y\ncores: 2\nname: a\n\n[s2]\n",
           "5: section '[s1]' is there twice, joined\n");
}

static void test_strict_names_file_and_line(void)
{
    static const char *const bad[] = {"name: a\nwhat\n", "name: a\n[odd one]\n",
                                      "name: a\nname: b\n", "[s1]\n[s1]\n"};

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        VmConfParse how = {.file = "100.conf", .strict = true};
        VmConf *conf = NULL;
        Err err = ERR_INIT;

        g_assert_cmpint(vmconf_parse(bad[i], strlen(bad[i]), &how, &conf, &err), ==, -EBADMSG);
        g_assert_null(conf);
        g_assert_true(g_str_has_prefix(err_text(&err), "100.conf: line 2: "));
    }
}

static void test_bounds(void)
{
    g_autofree char *large = g_strnfill(VMCONF_TEXT_MAX + 1, 'a');
    g_autoptr(GString) many = g_string_new(NULL);
    VmConf *conf = NULL;

    g_assert_cmpint(vmconf_parse(large, VMCONF_TEXT_MAX + 1, NULL, &conf, NULL), ==, -EFBIG);
    g_assert_cmpint(vmconf_parse("a\0b", 3, NULL, &conf, NULL), ==, -EBADMSG);
    for (int i = 0; i <= VMCONF_SECTIONS_MAX; i++) {
        g_string_append_printf(many, "[s%d]\n", i);
    }
    g_assert_cmpint(vmconf_parse(many->str, many->len, NULL, &conf, NULL), ==, -E2BIG);
    g_assert_null(conf);
    g_assert_cmpint(vmconf_parse(NULL, 0, NULL, &conf, NULL), ==, 0);
    vmconf_free(conf);
}

static void test_digest(void)
{
    char digest[VMCONF_DIGEST_SIZE];
    g_autoptr(VmConf) conf = parse("abc", NULL);

    vmconf_digest("abc", 3, digest);
    g_assert_cmpstr(digest, ==, "a9993e364706816aba3e25717850c26c9cd0d89d"); /* FIPS 180 */
    g_assert_cmpstr(conf->digest, ==, digest);
}

static void test_change(void)
{
    g_autoptr(VmConf) conf = parse("name: a\ncores: 2\n[s1]\nname: old\n", NULL);
    g_autoptr(VmConf) copy = NULL;
    g_autofree char *text = NULL;
    g_autofree char *copied = NULL;
    VmSection *s;

    s = vmconf_main(conf);
    g_assert_cmpuint(vmsection_entry(s, "cores")->line, ==, 2);
    vmsection_set(s, "balloon", "0");
    vmsection_set(s, "name", vmsection_get(s, "name"));
    g_assert_true(vmsection_unset(s, "cores"));
    g_assert_false(vmsection_unset(s, "cores"));
    vmsection_set_description(s, "x y");
    copy = vmconf_copy(conf);
    s = vmconf_need_section(conf, VM_SECTION_PENDING, NULL);
    vmsection_assign(s, vmconf_main(conf));
    g_assert_true(vmconf_remove_section(conf, VM_SECTION_SNAPSHOT, "s1"));
    g_assert_false(vmconf_remove_section(conf, VM_SECTION_SNAPSHOT, "s1"));
    text = vmconf_format(conf);
    g_assert_cmpstr(text, ==,
                    "#x y\nballoon: 0\nname: a\n\n[PENDING]\n#x y\nballoon: 0\nname: a\n");
    copied = vmconf_format(copy);
    g_assert_cmpstr(copied, ==, "#x y\nballoon: 0\nname: a\n\n[s1]\nname: old\n");
    g_assert_cmpstr(copy->digest, ==, conf->digest);
}

static void test_names(void)
{
    static const char *const good_keys[] = {"a", "net0", "amd-sev", "x_y-z12"};
    static const char *const bad_keys[] = {"", "0", "Net0", "net0x", "a b", "-a", "a:"};
    static const char *const good_snaps[] = {"ab", "A1", "before-upgrade_2",
                                             "a234567890123456789012345678901234567890"};
    static const char *const bad_snaps[] = {
        "",    "a",       "1a",
        "a b", "pending", "PENDING",
        "a/b", "a.b",     "a2345678901234567890123456789012345678901"};

    for (size_t i = 0; i < G_N_ELEMENTS(good_keys); i++) {
        g_assert_cmpint(vmconf_check_key(good_keys[i], NULL), ==, 0);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad_keys); i++) {
        g_assert_cmpint(vmconf_check_key(bad_keys[i], NULL), ==, -EINVAL);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(good_snaps); i++) {
        g_assert_cmpint(vmconf_check_snapname(good_snaps[i], NULL), ==, 0);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad_snaps); i++) {
        g_assert_cmpint(vmconf_check_snapname(bad_snaps[i], NULL), ==, -EINVAL);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmconf/round-trip", test_round_trip);
    g_test_add_func("/vmconf/what-was-read-may-be-set", test_what_was_read_may_be_set);
    g_test_add_func("/vmconf/sections-have-their-order", test_sections_have_their_order);
    g_test_add_func("/vmconf/description-is-encoded", test_description);
    g_test_add_func("/vmconf/old-names-become-present-ones", test_old_names);
    g_test_add_func("/vmconf/not-understood-is-kept", test_not_understood_is_kept);
    g_test_add_func("/vmconf/strict-names-file-and-line", test_strict_names_file_and_line);
    g_test_add_func("/vmconf/bounds", test_bounds);
    g_test_add_func("/vmconf/digest-is-sha1-of-the-raw-text", test_digest);
    g_test_add_func("/vmconf/change-and-copy", test_change);
    g_test_add_func("/vmconf/names", test_names);
    return g_test_run();
}
