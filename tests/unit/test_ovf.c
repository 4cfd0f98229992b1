/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: exports of other products become options of a guest; what leads out of their folder, is
 * damaged or beyond any bound is refused with its reason. Method: small descriptions, changed in
 * one place each; files in a folder of their own.
 */
#include "guest/io/guest_ovf.h"
#include "tests/lib/test_tree.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define HEAD             "<Envelope xmlns:r=\"x\"><References><File id=\"f\" href=\""
#define IMAGE            "<Disk diskId=\"d\" fileRef=\"f\" capacity=\""
#define FILES            "\"/></References><DiskSection>" IMAGE
#define SYSTEM           "</DiskSection><VirtualSystem id=\"a\">"
#define UNIT             "\" capacityAllocationUnits=\"byte * 2^20\"/>" SYSTEM
#define HARD             "<VirtualHardwareSection>"
#define ITEM(type, more) "<Item><r:ResourceType>" type "</r:ResourceType>" more "</Item>"
#define MEMORY(n)        ITEM("4", "<r:VirtualQuantity>" n "</r:VirtualQuantity>")
#define DISK             ITEM("17", "<r:HostResource>ovf:/disk/d</r:HostResource>")
#define TAIL             "</VirtualHardwareSection></VirtualSystem></Envelope>"
#define GOOD             HEAD "a.vmdk" FILES "8" UNIT HARD MEMORY("64") DISK TAIL

static Ovf *good(const char *text)
{
    Ovf *ovf = NULL;
    Err err = ERR_INIT;

    if (ovf_parse(text, strlen(text), &ovf, &err) < 0) {
        g_error("%s", err_text(&err));
    }
    return ovf;
}

static void bad(const char *text, int code, const char *why)
{
    Ovf *ovf = NULL;
    Err err = ERR_INIT;
    int r = ovf_parse(text, strlen(text), &ovf, &err);

    g_assert_null(ovf);
    if (r != code || strstr(err_text(&err), why) == NULL) {
        g_error("%d '%s', not %d '%s'", r, err_text(&err), code, why);
    }
}

static void check_option(const Ovf *ovf, const char *key, const char *value)
{
    g_autoptr(GHashTable) options = NULL;

    g_assert_cmpint(ovf_options(ovf, "tank", "qcow2", &options, NULL), ==, 0);
    g_assert_cmpstr(g_hash_table_lookup(options, key), ==, value);
}

static void test_whole(void)
{
    g_autofree char *path =
        g_test_build_filename(G_TEST_DIST, "fuzz", "corpus", "ovf", "vmware.ovf", NULL);
    g_autofree char *text = NULL;
    g_autoptr(Ovf) ovf = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    ovf = good(text);
    g_assert_cmpuint(ovf->disks->len, ==, 2);
    g_assert_cmpuint(ovf->cards, ==, 1);
    ((OvfDisk *)ovf->disks->pdata[0])->path = g_strdup("/x/web shop-disk1.vmdk");
    check_option(ovf, "name", "Web-Shop-old");
    check_option(ovf, "ostype", "l26");
    check_option(ovf, "cores", "2");
    check_option(ovf, "sockets", "2");
    check_option(ovf, "memory", "64");
    check_option(ovf, "scsihw", "pvscsi");
    check_option(ovf, "bios", "ovmf");
    check_option(ovf, "efidisk0", "tank:1,efitype=4m");
    check_option(ovf, "scsi0", "tank:0,import-from=/x/web shop-disk1.vmdk,format=qcow2");
    check_option(ovf, "sata0", "tank:0.011718750,format=qcow2");
    check_option(ovf, "boot", "order=scsi0");
}

static void test_small(void)
{
    g_autoptr(Ovf) ovf = good(GOOD);
    g_autoptr(Ovf) unit = good(HEAD "a" FILES "8" UNIT HARD ITEM(
        "4", "<r:AllocationUnits>GigaBytes</r:AllocationUnits>"
             "<r:VirtualQuantity>2</r:VirtualQuantity>") DISK TAIL);
    OvfDisk *disk = ovf->disks->pdata[0];

    g_assert_cmpstr(ovf->name, ==, "a");
    g_assert_cmpint(ovf->memory_mib, ==, 64);
    g_assert_cmpint(unit->memory_mib, ==, 2048);
    g_assert_cmpuint(disk->capacity, ==, 8 << 20);
    g_assert_cmpstr(disk->slot, ==, "scsi0");
    check_option(ovf, "scsihw", NULL);
    check_option(ovf, "cores", NULL);
    disk->path = g_strdup("/a,b.vmdk");
    {
        g_autoptr(GHashTable) options = NULL;
        g_assert_cmpint(ovf_options(ovf, "tank", NULL, &options, NULL), ==, -EINVAL);
    }
}

static void test_bad(void)
{
    g_autoptr(GString) deep = g_string_new(NULL);
    g_autoptr(GString) many = g_string_new(HEAD "a" FILES "8" UNIT HARD);

    bad("", -EBADMSG, "no XML");
    bad("PK\x03\x04", -EBADMSG, "no XML");
    bad("<a/>", -EBADMSG, "no OVF");
    bad("<Envelope>", -EBADMSG, "no XML");
    bad("<Envelope \x99=\"b\"/>", -EBADMSG, "other bytes");
    bad("<!DOCTYPE Envelope [<!ENTITY a \"aaaa\">]>" GOOD, -EBADMSG, "document types");
    bad("<Envelope>&a;</Envelope>", -EBADMSG, "no XML");
    bad("<Envelope/>", -EBADMSG, "0 machines");
    bad("<Envelope><VirtualSystem/><VirtualSystem/></Envelope>", -ENOTSUP, "2 machines");
    bad("<Envelope><VirtualSystem/></Envelope>", -EBADMSG, "no hardware");
    bad(HEAD "../a" FILES "8" UNIT HARD DISK TAIL, -EINVAL, "not in the folder");
    bad(HEAD "a/../../b" FILES "8" UNIT HARD DISK TAIL, -EINVAL, "not in the folder");
    bad(HEAD "/etc/shadow" FILES "8" UNIT HARD DISK TAIL, -EINVAL, "not in the folder");
    bad(HEAD "" FILES "8" UNIT HARD DISK TAIL, -EINVAL, "not in the folder");
    bad(HEAD "http://h/a" FILES "8" UNIT HARD DISK TAIL, -EINVAL, "fetch it");
    bad(HEAD "a\" compression=\"gzip" FILES "8" UNIT HARD DISK TAIL, -ENOTSUP, "packed");
    bad(HEAD "a\" chunkSize=\"5" FILES "8" UNIT HARD DISK TAIL, -ENOTSUP, "in pieces");
    bad(HEAD "a\" size=\"-5" FILES "8" UNIT HARD DISK TAIL, -EINVAL, "no size");
    bad(HEAD "a" FILES "8x" UNIT HARD DISK TAIL, -EINVAL, "no size");
    bad(HEAD "a" FILES "99999999999999999" UNIT HARD DISK TAIL, -EINVAL, "no size");
    bad(HEAD "a" FILES "8" UNIT HARD MEMORY("1") TAIL, -EINVAL, "cannot have this memory");
    bad(HEAD "a" FILES "8" UNIT HARD MEMORY("9999999999") TAIL, -EINVAL, "cannot have this");
    bad(HEAD "a" FILES "8" UNIT HARD ITEM("3", "<r:VirtualQuantity>0</r:VirtualQuantity>") TAIL,
        -EINVAL, "no number of processors");
    bad(HEAD "a" FILES "8" UNIT HARD ITEM("17", "<r:HostResource>x</r:HostResource>") TAIL,
        -EBADMSG, "no disk 'x'");
    for (int i = 0; i < 40; i++) {
        g_string_append(many, DISK);
    }
    g_string_append(many, TAIL);
    bad(many->str, -ENOTSUP, "more than 31 disks");
    for (int i = 0; i < 100; i++) {
        g_string_append(deep, "<a>");
    }
    bad(deep->str, -EBADMSG, "more elements");
}

/* Each truncation, and each byte gone, is an answer and no crash. */
static void test_broken(void)
{
    for (size_t len = 0; len < strlen(GOOD); len++) {
        g_autofree char *cut = g_strndup(GOOD, len);
        g_autofree char *less = g_strconcat(cut, &GOOD[len + 1], NULL);
        g_autoptr(Ovf) ovf = NULL;
        g_autoptr(Ovf) none = NULL;

        g_assert_cmpint(ovf_parse(cut, len, &none, NULL), <, 0);
        g_assert_true(ovf_parse(less, strlen(less), &ovf, NULL) <= 0);
    }
}

/* ------------------------------------------------------------------- files */

static int read_with(const char *top, const char *href, const char *file, char **ret_path, Err *err)
{
    g_autofree char *dir = g_build_filename(top, "in", NULL);
    g_autofree char *path = g_build_filename(dir, "vm.ovf", NULL);
    g_autofree char *image = g_build_filename(dir, file, NULL);
    g_autofree char *text =
        g_strconcat(HEAD, href, FILES "8" UNIT HARD MEMORY("64") DISK TAIL, NULL);
    g_autoptr(Ovf) ovf = NULL;
    int r;

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_assert_true(g_file_set_contents(image, "12345", 5, NULL));
    err_clear(err);
    r = guest_ovf_read(path, &ovf, err);
    if (r == 0) {
        *ret_path = g_strdup(((OvfDisk *)ovf->disks->pdata[0])->path);
    }
    return r;
}

static void test_files(void)
{
    g_autofree char *top = g_dir_make_tmp("ovf-XXXXXX", NULL);
    g_autofree char *dir = g_build_filename(top, "in", NULL);
    g_autofree char *link = g_build_filename(dir, "link.vmdk", NULL);
    g_autofree char *outside = g_build_filename(top, "secret", NULL);
    g_autofree char *plain = NULL;
    g_autofree char *escaped = NULL;
    char *none = NULL;
    Err err = ERR_INIT;

    g_assert_cmpint(g_mkdir(dir, 0755), ==, 0);
    g_assert_true(g_file_set_contents(outside, "s", 1, NULL));
    g_assert_cmpint(symlink("../secret", link), ==, 0);
    g_assert_cmpint(read_with(top, "a b.vmdk\" size=\"5", "a b.vmdk", &plain, &err), ==, 0);
    g_assert_true(g_str_has_suffix(plain, "/in/a b.vmdk"));
    g_assert_cmpint(read_with(top, "a%20b.vmdk", "a b.vmdk", &escaped, &err), ==, 0);
    g_assert_cmpstr(escaped, ==, plain);
    g_assert_cmpint(read_with(top, "a b.vmdk\" size=\"6", "a b.vmdk", &none, &err), ==, -EINVAL);
    g_assert_nonnull(strstr(err_text(&err), "not complete"));
    g_assert_cmpint(read_with(top, "b.vmdk", "a.vmdk", &none, &err), ==, -ENOENT);
    g_assert_cmpint(read_with(top, "link.vmdk", "a.vmdk", &none, &err), ==, -EINVAL);
    g_assert_nonnull(strstr(err_text(&err), "link out of its folder"));
    g_assert_cmpint(read_with(top, "%2e%2e/secret", "a.vmdk", &none, &err), ==, -EINVAL);
    g_assert_cmpint(read_with(top, ".", "a.vmdk", &none, &err), ==, -EINVAL);
    g_assert_null(none);
    test_remove_tree(top);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ovf/a-whole-export-becomes-options", test_whole);
    g_test_add_func("/ovf/what-is-missing-is-left-out", test_small);
    g_test_add_func("/ovf/what-cannot-be-is-refused", test_bad);
    g_test_add_func("/ovf/broken-text-is-an-answer", test_broken);
    g_test_add_func("/ovf/files-stay-in-their-folder", test_files);
    return g_test_run();
}
