/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a device of the host is given to vfio-pci only when that is possible and asked for, by the
 * writes that the kernel expects, in their order; parts of devices are made and removed; whoever
 * cannot get a device is told why. Method: a tree that looks like /sys. Two of its files are pipes,
 * behind which a thread does to the links what the kernel would.
 */
#include "guest/io/guest_pci.h"
#include "tests/lib/test_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CARD  "0000:01:00.0"
#define SOUND "0000:01:00.1"

typedef struct Fixture {
    char *root;
    GPtrArray *passed;
    GThread *kernel;
    bool refuses; /* vfio-pci takes nothing */
} Fixture;

static char *path_of(const Fixture *f, const char *file)
{
    return g_build_filename(f->root, file, NULL);
}

static void make_dir(const Fixture *f, const char *dir)
{
    g_autofree char *path = path_of(f, dir);

    g_assert_cmpint(g_mkdir_with_parents(path, 0755), ==, 0);
}

static void write_file(const Fixture *f, const char *file, const char *text)
{
    g_autofree char *path = path_of(f, file);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void make_link(const Fixture *f, const char *file, const char *target)
{
    g_autofree char *path = path_of(f, file);
    g_autofree char *to = path_of(f, target);

    g_assert_cmpint(symlink(to, path), ==, 0);
}

static void make_device(const Fixture *f, const char *address, const char *driver)
{
    g_autofree char *dir = g_strdup_printf("bus/pci/devices/%s", address);
    g_autofree char *override = g_strdup_printf("%s/driver_override", dir);
    g_autofree char *class = g_strdup_printf("%s/class", dir);
    g_autofree char *group = g_strdup_printf("%s/iommu_group", dir);
    g_autofree char *in_group = g_strdup_printf("kernel/iommu_groups/7/devices/%s", address);
    g_autofree char *link = g_strdup_printf("%s/driver", dir);
    g_autofree char *target = g_strdup_printf("bus/pci/drivers/%s", driver);

    make_dir(f, dir);
    write_file(f, override, "(null)\n");
    write_file(f, class, "0x030000\n");
    make_link(f, group, "kernel/iommu_groups/7");
    make_link(f, in_group, dir);
    if (driver != NULL) {
        make_dir(f, target);
        make_link(f, link, target);
    }
}

static void set_up(Fixture *f, const void *data)
{
    (void)data;
    f->root = g_dir_make_tmp("guest-pci-XXXXXX", NULL);
    f->passed = g_ptr_array_new_with_free_func(qemupci_free);
    make_dir(f, "bus/pci/drivers/vfio-pci");
    make_dir(f, "kernel/iommu_groups/7/devices");
    write_file(f, "bus/pci/drivers_probe", "");
}

static void tear_down(Fixture *f, const void *data)
{
    (void)data;
    g_ptr_array_unref(f->passed);
    test_remove_tree(f->root);
    g_free(f->root);
}

/* Gives `devices`, separated by blanks. */
static QemuPci *give(Fixture *f, const char *devices)
{
    QemuPci *p = g_new0(QemuPci, 1);
    g_auto(GStrv) names = g_strsplit(devices, " ", -1);

    p->devices = g_ptr_array_new_with_free_func(g_free);
    for (char **name = names; *name != NULL; name++) {
        g_ptr_array_add(p->devices, g_strdup(*name));
    }
    g_ptr_array_add(f->passed, p);
    return p;
}

static void expect_refused(const Fixture *f, int code, const char *text)
{
    Err err = ERR_INIT;

    g_assert_cmpint(guest_pci_check(f->root, f->passed, &err), ==, code);
    if (strstr(err_text(&err), text) == NULL) {
        g_error("'%s' does not say '%s'", err_text(&err), text);
    }
}

static void expect_good(const Fixture *f)
{
    Err err = ERR_INIT;

    g_assert_cmpint(guest_pci_check(f->root, f->passed, &err), ==, 0);
}

static void expect_file(const Fixture *f, const char *file, const char *text)
{
    g_autofree char *path = path_of(f, file);
    g_autofree char *said = NULL;

    g_assert_true(g_file_get_contents(path, &said, NULL, NULL));
    g_assert_cmpstr(said, ==, text);
}

/* ----------------------------------------------------------- the kernel's part */

/* What was written to a pipe by one writer, who has closed it by then. */
static char *read_pipe(const Fixture *f, const char *file)
{
    g_autofree char *path = path_of(f, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[64];
    gsize len = 0;
    ssize_t n;

    g_assert_cmpint(fd, >=, 0);
    while ((n = read(fd, text + len, sizeof text - len)) > 0) {
        len += (gsize)n;
    }
    g_assert_cmpint(n, ==, 0);
    g_assert_cmpint(close(fd), ==, 0);
    return g_strndup(text, len);
}

static void *kernel(void *data)
{
    const Fixture *f = data;
    g_autofree char *link = path_of(f, "bus/pci/devices/" CARD "/driver");
    g_autofree char *out = read_pipe(f, "bus/pci/drivers/nouveau/unbind");
    g_autofree char *in = NULL;

    g_assert_cmpstr(out, ==, CARD);
    g_assert_cmpint(g_remove(link), ==, 0);
    in = read_pipe(f, "bus/pci/drivers_probe");
    g_assert_cmpstr(in, ==, CARD);
    if (f->refuses) {
        g_autofree char *again = read_pipe(f, "bus/pci/drivers_probe");
        g_assert_cmpstr(again, ==, CARD);
        make_link(f, "bus/pci/devices/" CARD "/driver", "bus/pci/drivers/nouveau");
    } else {
        make_link(f, "bus/pci/devices/" CARD "/driver", "bus/pci/drivers/vfio-pci");
    }
    return NULL;
}

static void start_kernel(Fixture *f)
{
    g_autofree char *unbind = path_of(f, "bus/pci/drivers/nouveau/unbind");
    g_autofree char *probe = path_of(f, "bus/pci/drivers_probe");

    g_assert_cmpint(g_remove(probe), ==, 0);
    g_assert_cmpint(mkfifo(unbind, 0600), ==, 0);
    g_assert_cmpint(mkfifo(probe, 0600), ==, 0);
    f->kernel = g_thread_new("kernel", kernel, f);
}

/* ------------------------------------------------------------------- cases */

static void test_bind(Fixture *f, const void *data)
{
    Err err = ERR_INIT;

    (void)data;
    make_device(f, CARD, "nouveau");
    (void)give(f, CARD);
    expect_good(f);
    expect_file(f, "bus/pci/devices/" CARD "/driver_override", "(null)\n"); /* only looked */
    start_kernel(f);
    g_assert_cmpint(guest_pci_prepare(f->root, f->passed, &err), ==, 0);
    (void)g_thread_join(f->kernel);
    expect_file(f, "bus/pci/devices/" CARD "/driver_override", "vfio-pci");
    /* It has it: nothing is left to do, also for the next start. */
    g_assert_cmpint(guest_pci_prepare(f->root, f->passed, &err), ==, 0);
}

static void test_not_taken(Fixture *f, const void *data)
{
    Err err = ERR_INIT;

    (void)data;
    f->refuses = true;
    make_device(f, CARD, "nouveau");
    (void)give(f, CARD);
    start_kernel(f);
    g_assert_cmpint(guest_pci_prepare(f->root, f->passed, &err), ==, -EIO);
    (void)g_thread_join(f->kernel);
    g_assert_nonnull(strstr(err_text(&err), "hostpci0: vfio-pci does not take device " CARD));
    expect_file(f, "bus/pci/devices/" CARD "/driver_override", "\nfio-pci"); /* a write cuts none */
}

static void test_no_driver(Fixture *f, const void *data)
{
    Err err = ERR_INIT;
    QemuPci *p;

    (void)data;
    make_device(f, CARD, "nouveau");
    p = give(f, CARD);
    p->keep = true;
    g_assert_cmpint(guest_pci_prepare(f->root, f->passed, &err), ==, 0);
    expect_file(f, "bus/pci/devices/" CARD "/driver_override", "(null)\n");
}

static void test_group(Fixture *f, const void *data)
{
    (void)data;
    make_device(f, CARD, "nouveau");
    make_device(f, SOUND, "snd_hda_intel");
    make_device(f, "0000:00:01.0", "some-bridge");
    write_file(f, "bus/pci/devices/0000:00:01.0/class", "0x060400\n");
    (void)give(f, CARD);
    expect_refused(f, -EBUSY, "hostpci0: device " CARD " is in IOMMU group 7 together with " SOUND);
    expect_refused(f, -EBUSY, "driver snd_hda_intel");
    (void)give(f, SOUND); /* as another entry */
    expect_good(f);
}

static void test_missing(Fixture *f, const void *data)
{
    g_autofree char *group = path_of(f, "bus/pci/devices/" CARD "/iommu_group");

    (void)data;
    (void)give(f, CARD);
    expect_refused(f, -ENODEV, "no PCI device '" CARD "'");
    make_device(f, CARD, NULL);
    expect_good(f);
    g_assert_cmpint(g_remove(group), ==, 0);
    expect_refused(f, -ENOTSUP, "is in no IOMMU group");
}

#define TYPE  "bus/pci/devices/" CARD "/mdev_supported_types/i915-4"
#define TYPES TYPE "/"
#define UUID  "00000000-0000-0000-0000-000000000100"

static void test_mdev(Fixture *f, const void *data)
{
    QemuPci *p;
    Err err = ERR_INIT;

    (void)data;
    make_device(f, SOUND, NULL);
    make_device(f, CARD, "i915");
    p = give(f, SOUND " " CARD); /* a mapping: the second has it */
    p->mdev = g_strdup("i915-4");
    p->uuid = g_strdup(UUID);
    expect_refused(f, -EINVAL, "has no type 'i915-4'");
    make_dir(f, TYPES);
    write_file(f, TYPES "available_instances", "0\n");
    write_file(f, TYPES "create", "");
    expect_refused(f, -ENOSPC, "no 'i915-4' is left");
    write_file(f, TYPES "available_instances", "1\n");
    expect_good(f);
    g_assert_cmpint(guest_pci_prepare(f->root, f->passed, &err), ==, 0);
    expect_file(f, TYPES "create", UUID);
    expect_file(f, "bus/pci/devices/" CARD "/driver_override", "(null)\n");

    /* It is there from now on, though no other is left. */
    make_dir(f, "bus/mdev/devices/" UUID);
    write_file(f, "bus/mdev/devices/" UUID "/remove", "");
    make_link(f, "bus/mdev/devices/" UUID "/mdev_type", TYPE);
    write_file(f, TYPES "available_instances", "0\n");
    expect_good(f);
    guest_pci_release(f->root, 101);
    expect_file(f, "bus/mdev/devices/" UUID "/remove", "");
    guest_pci_release(f->root, 100);
    expect_file(f, "bus/mdev/devices/" UUID "/remove", "1");
}

#define CASE(name, func) g_test_add("/guest-pci/" name, Fixture, NULL, set_up, func, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    CASE("a-device-goes-to-vfio-pci", test_bind);
    CASE("one-that-it-does-not-take-goes-back", test_not_taken);
    CASE("one-that-keeps-its-driver-is-left-alone", test_no_driver);
    CASE("groups-are-given-as-a-whole", test_group);
    CASE("what-is-missing-is-named", test_missing);
    CASE("parts-are-made-and-removed", test_mdev);
    return g_test_run();
}
