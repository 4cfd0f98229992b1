/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_pci.h"

#include "guest/io/textfile.h"
#include "lib/port/process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define DRIVER       "vfio-pci"
#define SMALL_MAX    4096
#define BRIDGE_CLASS "0x0604" /* bridges belong to a group, and stay with the host */
#define PARTS_MAX    16       /* hostpci0-15 */
#define BIND_TRIES   100      /* of 10 ms: some drivers let go in the background */

/* ------------------------------------------------------------------- files */

static char *device_path(const char *sysfs, const char *address, const char *file)
{
    return g_build_filename(sysfs, "bus/pci/devices", address, file, NULL);
}

/* The last part of what a link names, or NULL when there is none. Caller frees. */
static char *link_name(const char *path)
{
    g_autofree char *target = g_file_read_link(path, NULL);

    return target != NULL ? g_path_get_basename(target) : NULL;
}

static char *device_link(const char *sysfs, const char *address, const char *file)
{
    g_autofree char *path = device_path(sysfs, address, file);

    return link_name(path);
}

/* A short line of a file, or "". Caller frees. */
static char *get(const char *path)
{
    g_autofree char *text = NULL;
    size_t len;

    return textfile_read(path, SMALL_MAX, &text, &len, NULL) < 0 ? g_strdup("")
                                                                 : g_strdup(g_strstrip(text));
}

static int check_there(const char *sysfs, const char *address, Err *err)
{
    g_autofree char *path = device_path(sysfs, address, NULL);

    return access(path, F_OK) == 0 ? 0 : err_setf(err, -ENODEV, "no PCI device '%s'", address);
}

/* ----------------------------------------------------------- whole devices */

static bool is_passed(const GPtrArray *passed, const char *address)
{
    for (guint i = 0; i < passed->len; i++) {
        const QemuPci *p = passed->pdata[i];
        for (guint k = 0; p->mdev == NULL && k < p->devices->len; k++) {
            if (strcmp(p->devices->pdata[k], address) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* The host uses a device of the same group: the guest could reach its memory through it. */
static bool blocks_group(const char *sysfs, const GPtrArray *passed, const char *address)
{
    static const char *const harmless[] = {DRIVER, "pci-stub", "pcieport", NULL};
    g_autofree char *driver = device_link(sysfs, address, "driver");
    g_autofree char *class_path = device_path(sysfs, address, "class");
    g_autofree char *class = get(class_path);

    return driver != NULL && !g_strv_contains(harmless, driver) &&
           !g_str_has_prefix(class, BRIDGE_CLASS) && !is_passed(passed, address);
}

static int check_group(const char *sysfs, const GPtrArray *passed, const char *address, Err *err)
{
    g_autofree char *group = device_link(sysfs, address, "iommu_group");
    g_autofree char *path = device_path(sysfs, address, "iommu_group/devices");
    g_autofree char *blocking = NULL;
    const char *name;
    GDir *dir;

    if (group == NULL) {
        return err_setf(
            err, -ENOTSUP,
            "device %s is in no IOMMU group: the IOMMU (VT-d, AMD-Vi) must be on, in the "
            "firmware and on the kernel's command line",
            address);
    }
    dir = g_dir_open(path, 0, NULL);
    while (dir != NULL && blocking == NULL && (name = g_dir_read_name(dir)) != NULL) {
        blocking = blocks_group(sysfs, passed, name) ? g_strdup(name) : NULL;
    }
    g_clear_pointer(&dir, g_dir_close);
    if (blocking != NULL) {
        g_autofree char *driver = device_link(sysfs, blocking, "driver");
        return err_setf(err, -EBUSY,
                        "device %s is in IOMMU group %s together with %s, which the host uses "
                        "(driver %s): a group is given as a whole",
                        address, group, blocking, driver != NULL ? driver : "none");
    }
    return 0;
}

static void set_override(const char *sysfs, const char *address, const char *driver)
{
    g_autofree char *path = device_path(sysfs, address, "driver_override");

    (void)!textfile_tell(path, driver, NULL); /* what comes of it is seen from the driver */
}

static bool comes_to(const char *sysfs, const char *address)
{
    for (int i = 0; i < BIND_TRIES; i++) {
        g_autofree char *driver = device_link(sysfs, address, "driver");
        if (g_strcmp0(driver, DRIVER) == 0) {
            return true;
        }
        g_usleep(10 * 1000); /* sysfs has no event for it */
    }
    return false;
}

static int bind_device(const char *sysfs, const char *address, Err *err)
{
    g_autofree char *old = device_link(sysfs, address, "driver");
    g_autofree char *override = device_path(sysfs, address, "driver_override");
    g_autofree char *unbind = device_path(sysfs, address, "driver/unbind");
    g_autofree char *probe = g_build_filename(sysfs, "bus/pci/drivers_probe", NULL);
    int r;

    if (g_strcmp0(old, DRIVER) == 0) {
        return 0;
    }
    r = textfile_tell(override, DRIVER, err);
    if (r == 0 && old != NULL) {
        r = textfile_tell(unbind, address, err);
    }
    if (r == 0) {
        r = textfile_tell(probe, address, err);
    }
    if (r == 0 && !comes_to(sysfs, address)) {
        r = err_setf(err, -EIO, DRIVER " does not take device %s: see the kernel's log", address);
    }
    if (r < 0) {
        set_override(sysfs, address, "\n");
        (void)!textfile_tell(probe, address, NULL); /* its own driver takes it again, if it can */
    }
    return r;
}

static void load_driver(const char *sysfs)
{
    static const char *const argv[] = {"modprobe", DRIVER, NULL};
    g_autofree char *path = g_build_filename(sysfs, "bus/pci/drivers", DRIVER, NULL);

    if (strcmp(sysfs, GUEST_PCI_SYSFS) == 0 && access(path, F_OK) < 0) {
        (void)!process_check(argv, NULL, NULL, NULL); /* without it no device comes to it */
    }
}

/* ---------------------------------------------------------- parts of them */

static char *type_path(const char *sysfs, const char *address, const char *type, const char *file)
{
    return g_build_filename(sysfs, "bus/pci/devices", address, "mdev_supported_types", type, file,
                            NULL);
}

static char *part_path(const char *sysfs, const char *uuid, const char *file)
{
    return g_build_filename(sysfs, "bus/mdev/devices", uuid, file, NULL);
}

/* A part of an earlier run of the guest, of the type that is wanted now. */
static bool has_part(const char *sysfs, const QemuPci *p)
{
    g_autofree char *path = part_path(sysfs, p->uuid, "mdev_type");
    g_autofree char *type = link_name(path);

    return g_strcmp0(type, p->mdev) == 0;
}

/* The device that has one left, borrowed. */
static int find_parent(const char *sysfs, const QemuPci *p, const char **ret, Err *err)
{
    bool known = false;

    for (guint i = 0; i < p->devices->len; i++) {
        g_autofree char *path =
            type_path(sysfs, p->devices->pdata[i], p->mdev, "available_instances");
        g_autofree char *text = get(path);
        known = known || access(path, F_OK) == 0;
        if (g_ascii_strtoll(text, NULL, 10) > 0) {
            *ret = p->devices->pdata[i];
            return 0;
        }
    }
    return known ? err_setf(err, -ENOSPC, "mdev: no '%s' is left on %s", p->mdev,
                            (const char *)p->devices->pdata[0])
                 : err_setf(err, -EINVAL, "mdev: device %s has no type '%s'",
                            (const char *)p->devices->pdata[0], p->mdev);
}

static int make_part(const char *sysfs, const QemuPci *p, Err *err)
{
    g_autofree char *old = part_path(sysfs, p->uuid, "remove");
    g_autofree char *create = NULL;
    const char *parent = NULL;
    int r;

    if (has_part(sysfs, p)) {
        return 0;
    }
    if (access(old, F_OK) == 0) {
        (void)!textfile_tell(old, "1", NULL); /* of another type: the new one says what is wrong */
    }
    r = find_parent(sysfs, p, &parent, err);
    if (r < 0) {
        return r;
    }
    create = type_path(sysfs, parent, p->mdev, "create");
    return textfile_tell(create, p->uuid, err);
}

/* ------------------------------------------------------------------- front */

static int check_one(const char *sysfs, const GPtrArray *passed, const QemuPci *p, Err *err)
{
    const char *parent;
    int r = 0;

    for (guint i = 0; r == 0 && i < p->devices->len; i++) {
        r = check_there(sysfs, p->devices->pdata[i], err);
        if (r == 0 && p->mdev == NULL && !p->keep) {
            r = check_group(sysfs, passed, p->devices->pdata[i], err);
        }
    }
    if (r == 0 && p->mdev != NULL && !has_part(sysfs, p)) {
        r = find_parent(sysfs, p, &parent, err);
    }
    return r;
}

int guest_pci_check(const char *sysfs, const GPtrArray *passed, Err *err)
{
    for (guint i = 0; i < passed->len; i++) {
        const QemuPci *p = passed->pdata[i];
        int r = check_one(sysfs, passed, p, err);
        if (r < 0) {
            return err_wrapf(err, r, "hostpci%d", p->index);
        }
    }
    return 0;
}

static int prepare_one(const char *sysfs, const QemuPci *p, Err *err)
{
    int r = 0;

    if (p->mdev != NULL) {
        return make_part(sysfs, p, err);
    }
    for (guint i = 0; r == 0 && !p->keep && i < p->devices->len; i++) {
        r = bind_device(sysfs, p->devices->pdata[i], err);
    }
    return r;
}

int guest_pci_prepare(const char *sysfs, const GPtrArray *passed, Err *err)
{
    if (passed->len > 0) {
        load_driver(sysfs);
    }
    for (guint i = 0; i < passed->len; i++) {
        const QemuPci *p = passed->pdata[i];
        int r = prepare_one(sysfs, p, err);
        if (r < 0) {
            return err_wrapf(err, r, "hostpci%d", p->index);
        }
    }
    return 0;
}

void guest_pci_release(const char *sysfs, uint32_t vmid)
{
    for (int i = 0; i < PARTS_MAX; i++) {
        g_autofree char *uuid = g_strdup_printf("%08d-0000-0000-0000-%012u", i, vmid);
        g_autofree char *path = part_path(sysfs, uuid, "remove");
        if (access(path, F_OK) == 0) {
            (void)!textfile_tell(path, "1", NULL); /* the next start takes it as it is */
        }
    }
}
