/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: new volumes get the lowest free number, and names cannot lead elsewhere; heads of images
 * tell size and foreign files, and nothing they hold is believed. Method: tables; every truncation
 * and every changed byte of a real header. */
#include "guest/core/imagehead.h"
#include "guest/core/volname.h"

#include <errno.h>
#include <string.h>

static unsigned next(const char *names)
{
    g_auto(GStrv) words = g_strsplit(names, " ", -1);
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    unsigned n = 9999;

    for (char **w = words; *w != NULL; w++) {
        g_ptr_array_add(list, *w);
    }
    g_assert_cmpint(volname_next(list, 100, &n, NULL), ==, 0);
    return n;
}

static void test_next(void)
{
    g_autoptr(GPtrArray) full = g_ptr_array_new_with_free_func(g_free);
    unsigned n;

    g_assert_cmpuint(next(""), ==, 0);
    g_assert_cmpuint(next("vm-100-disk-0.raw vm-100-disk-2.qcow2"), ==, 1);
    g_assert_cmpuint(next("base-100-disk-0.raw vm-100-disk-1"), ==, 2);
    g_assert_cmpuint(next("vm-101-disk-0 vm-100-cloudinit.qcow2 vm-100-disk-0x vm-100-disk-"), ==,
                     0);
    g_assert_cmpuint(next("vm-100-disk-99999999999999999999"), ==, 0);
    for (int i = 0; i < VOLNAME_MAX_PER_GUEST; i++) {
        g_ptr_array_add(full, g_strdup_printf("vm-100-disk-%d.raw", i));
    }
    g_assert_cmpint(volname_next(full, 100, &n, NULL), ==, -ENOSPC);
}

static void test_check(void)
{
    static const char *const bad[] = {
        "",           "vm-100-",    "vm-101-disk-0", "vm-100-a/b", "../vm-100-disk-0",
        "vm-100-a b", "vm-100-a\n", "vm-100-a,b",    "disk-0",     "vm-1000-disk-0"};
    g_autofree char *deep = g_strnfill(300, 'x');
    g_autofree char *huge = g_strconcat("vm-100-", deep, NULL);
    g_autofree char *to = volname_to_base("vm-100-disk-0.raw");
    g_autofree char *back = volname_to_base(to);

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_cmpint(volname_check(bad[i], 100, NULL), ==, -EINVAL);
    }
    g_assert_cmpint(volname_check(huge, 100, NULL), ==, -EINVAL);
    g_assert_cmpint(volname_check("vm-100-disk-0.raw", 100, NULL), ==, 0);
    g_assert_cmpint(volname_check("vm-100-state-a_b", 100, NULL), ==, 0);
    g_assert_cmpstr(to, ==, "base-100-disk-0.raw");
    g_assert_cmpstr(back, ==, "vm-100-disk-0.raw");
    g_assert_null(volname_to_base("disk"));
}

/* A header as qemu-img 7.2 makes it: version 3, 64 KiB clusters, 1 GiB, backing name at 0x200. */
static void make_head(uint8_t h[IMAGEHEAD_SIZE])
{
    memset(h, 0, IMAGEHEAD_SIZE);
    memcpy(h, "QFI\xfb\0\0\0\3", 8);
    h[14] = 2;    /* backing file offset 0x200 */
    h[19] = 27;   /* backing file size */
    h[23] = 16;   /* cluster bits */
    h[28] = 0x40; /* 0x40000000 bytes */
    h[63] = 2;    /* snapshots */
    h[69] = 3;    /* at 0x30000 */
    h[103] = 104; /* header length */
}

static void test_head(void)
{
    uint8_t h[IMAGEHEAD_SIZE];
    ImageHead head;

    make_head(h);
    g_assert_cmpint(imagehead_parse(h, sizeof h, &head, NULL), ==, 0);
    g_assert_cmpuint(head.size, ==, 1 << 30);
    g_assert_cmpuint(head.backing_offset, ==, 0x200);
    g_assert_cmpuint(head.backing_size, ==, 27);
    g_assert_cmpuint(head.snapshots, ==, 2);
    g_assert_cmpuint(head.snapshots_offset, ==, 0x30000);
    g_assert_cmpuint(head.cluster_bits, ==, 16);
    g_assert_false(head.extended);
    g_assert_false(head.data_file);
    g_assert_true(imagehead_is_formatted(h, sizeof h));
    h[79] = 4 + 16; /* external data file, extended entries */
    g_assert_cmpint(imagehead_parse(h, sizeof h, &head, NULL), ==, 0);
    g_assert_true(head.data_file);
    g_assert_true(head.extended);
    for (size_t n = 0; n < sizeof h; n++) {
        g_assert_cmpint(imagehead_parse(h, n, &head, NULL), ==, -EBADMSG);
    }
}

static void test_flips(void)
{
    for (size_t i = 0; i < IMAGEHEAD_SIZE; i++) {
        for (int bit = 0; bit < 8; bit++) {
            uint8_t h[IMAGEHEAD_SIZE];
            ImageHead head;

            make_head(h);
            h[i] ^= (uint8_t)(1 << bit);
            if (imagehead_parse(h, sizeof h, &head, NULL) == 0) {
                g_assert_cmpuint(head.size, <=, INT64_MAX);
                g_assert_cmpuint(head.backing_size, <=, IMAGEHEAD_BACKING_MAX);
            } else {
                g_assert_true(i < 32);
            }
        }
    }
}

static void test_names(void)
{
    g_autofree char *good = imagehead_backing_name("../1/a", 6);

    g_assert_cmpstr(good, ==, "../1/a");
    g_assert_null(imagehead_backing_name("a\0b", 3));
    g_assert_null(imagehead_backing_name("", 0));
    g_assert_false(imagehead_is_formatted("MBR", 3));
    g_assert_true(imagehead_is_formatted("KDMV", 4));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/volname/lowest-free-number", test_next);
    g_test_add_func("/volname/names-stay-inside", test_check);
    g_test_add_func("/imagehead/fields", test_head);
    g_test_add_func("/imagehead/every-bit-changed", test_flips);
    g_test_add_func("/imagehead/backing-names", test_names);
    return g_test_run();
}
