/* SPDX-License-Identifier: Apache-2.0 */
/* PCI devices of the host given to the guest. A name from mapping/pci.cfg stands for one of several
 * equal devices: the first that no other entry of this guest takes. Reference guest.md 4 and 7. */
#include "guest/core/cmdbuild.h"

#include <errno.h>
#include <string.h>

#define HOSTPCI_MAX     16
#define PORTS_BUILT_IN  4 /* root ports every q35 machine has */
#define PORTS_PER_SLOT  8
#define EXTRA_PORT_SLOT 0x10
#define ROM_DIR         "/usr/share/kvm"
#define IGD_ADDRESS     "02.0"

typedef struct HostPci {
    int index;
    const PropString *props;
    GPtrArray *choices; /* GPtrArray * of char *: alternatives, each a list of full addresses */
    GPtrArray *devices; /* char *: the chosen alternative; borrowed from `choices` */
    bool mdev;
} HostPci;

static void hostpci_free(void *data)
{
    HostPci *p = data;

    g_clear_pointer(&p->choices, g_ptr_array_unref);
    g_free(p);
}

static void free_list(void *data)
{
    g_ptr_array_unref(data);
}

/* Addresses are compared as text, so they get one form: with domain, lower case. */
static char *full_address(const char *text)
{
    g_autofree char *lower = g_ascii_strdown(text, -1);

    if (strchr(lower, ':') == strrchr(lower, ':')) {
        return g_strconcat("0000:", lower, NULL);
    }
    return g_steal_pointer(&lower);
}

/* "01:00.0;01:00.1" or "01:00" (all its functions) -> full addresses, char *. */
static int expand(const CmdBuild *b, const char *list, GPtrArray **ret, Err *err)
{
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) parts = g_strsplit(list, ";", -1);

    for (char **part = parts; *part != NULL; part++) {
        g_autofree char *address = full_address(*part);
        g_autoptr(GPtrArray) functions = NULL;
        int r;

        if (strchr(address, '.') != NULL) {
            g_autofree char *path = g_strconcat("/sys/bus/pci/devices/", address, NULL);
            if (!host_exists(b->host, path)) {
                return err_setf(err, -ENODEV, "no PCI device '%s'", address);
            }
            g_ptr_array_add(found, g_steal_pointer(&address));
            continue;
        }
        r = host_pci_functions(b->host, address, &functions, err);
        if (r < 0) {
            return r;
        }
        g_ptr_array_extend_and_steal(found, g_steal_pointer(&functions));
    }
    *ret = g_steal_pointer(&found);
    return 0;
}

static int add_choice(const CmdBuild *b, HostPci *p, const char *list, Err *err)
{
    GPtrArray *devices = NULL;
    int r = expand(b, list, &devices, err);

    if (r == 0) {
        g_ptr_array_add(p->choices, devices);
    }
    return r;
}

static int find_choices(const CmdBuild *b, HostPci *p, Err *err)
{
    const char *host = propstring_text(p->props, "host");
    const char *mapping = propstring_text(p->props, "mapping");
    g_autoptr(GPtrArray) paths = NULL;
    int r;

    if ((host == NULL) == (mapping == NULL)) {
        return err_setf(err, -EINVAL, "exactly one of 'host' and 'mapping' is needed");
    }
    if (host != NULL) {
        return add_choice(b, p, host, err);
    }
    if (b->host->pci_map == NULL) {
        return err_setf(err, -ENOENT, "mapping '%s': there is no mapping/pci.cfg", mapping);
    }
    r = mappingcfg_paths(b->host->pci_map, mapping, b->host->node, &paths, err);
    for (guint i = 0; r == 0 && i < paths->len; i++) {
        r = add_choice(b, p, paths->pdata[i], err);
    }
    return r;
}

static bool any_used(GPtrArray *devices, GHashTable *used)
{
    for (guint i = 0; i < devices->len; i++) {
        if (g_hash_table_contains(used, devices->pdata[i])) {
            return true;
        }
    }
    return false;
}

static void take(HostPci *p, GPtrArray *devices, GHashTable *used)
{
    p->devices = devices;
    for (guint i = 0; !p->mdev && i < devices->len; i++) {
        g_hash_table_add(used, devices->pdata[i]);
    }
}

/* Devices named by address are taken first, then each mapping gets what is left. */
static int choose(GPtrArray *list, Err *err)
{
    g_autoptr(GHashTable) used = g_hash_table_new(g_str_hash, g_str_equal);

    for (int pass = 0; pass < 2; pass++) {
        for (guint i = 0; i < list->len; i++) {
            HostPci *p = list->pdata[i];
            bool mapped = propstring_text(p->props, "mapping") != NULL;
            if (mapped != (pass == 1)) {
                continue;
            }
            for (guint c = 0; p->devices == NULL && c < p->choices->len; c++) {
                if (!any_used(p->choices->pdata[c], used)) {
                    take(p, p->choices->pdata[c], used);
                }
            }
            if (p->devices == NULL) {
                return err_setf(err, -ENODEV, "hostpci%d: %s", p->index,
                                mapped ? "no device of the mapping is left"
                                       : "the device is given to the guest twice");
            }
        }
    }
    return 0;
}

static int collect(const CmdBuild *b, GPtrArray *list, Err *err)
{
    for (int i = 0; i < HOSTPCI_MAX; i++) {
        const PropString *props = guestconf_props_at(b->conf, "hostpci", i);
        HostPci *p;
        int r;

        if (props == NULL) {
            continue;
        }
        p = g_new0(HostPci, 1);
        p->index = i;
        p->props = props;
        p->mdev = propstring_text(props, "mdev") != NULL;
        p->choices = g_ptr_array_new_with_free_func(free_list);
        g_ptr_array_add(list, p);
        r = find_choices(b, p, err);
        if (r < 0) {
            return err_wrapf(err, r, "hostpci%d", i);
        }
    }
    return choose(list, err);
}

/* ------------------------------------------------------------- the devices */

static int check_igd(const CmdBuild *b, const HostPci *p, Err *err)
{
    const char *vga = guestconf_props(b->conf, "vga") != NULL
                          ? propstring_text(guestconf_props(b->conf, "vga"), "type")
                          : NULL;
    const char *what = NULL;

    if (b->igd_legacy) {
        what = "is for one device only";
    } else if (g_strcmp0(vga, "none") != 0) {
        what = "needs vga to be none";
    } else if (!propstring_bool(p->props, "rombar")) {
        what = "needs rombar";
    } else if (propstring_bool(p->props, "x-vga")) {
        what = "excludes x-vga";
    } else if (p->mdev) {
        what = "excludes mdev";
    } else if (cmd_is_q35(b)) {
        what = "is not for q35";
    } else if (p->devices->len > 1 || !g_str_has_suffix(p->devices->pdata[0], IGD_ADDRESS)) {
        what = "is only for the host's device 00:02.0";
    }
    return what == NULL ? 0 : err_setf(err, -EINVAL, "hostpci%d: legacy-igd %s", p->index, what);
}

/* A root port of its own for devices beyond the built-in ones. */
static void add_root_port(CmdBuild *b, int index)
{
    int extra = index - PORTS_BUILT_IN;

    cmd_device(b,
               "pcie-root-port,id=ich9-pcie-port-%d,addr=%x.%d,x-speed=16,x-width=32,"
               "multifunction=on,bus=pcie.0,port=%d,chassis=%d",
               index + 1, (unsigned)(EXTRA_PORT_SLOT + extra / PORTS_PER_SLOT),
               extra % PORTS_PER_SLOT, index + 1, index + 1);
}

/* Windows 7 wants PCIe devices on the root bus itself. */
static int windows7_slot(int index)
{
    static const int slots[HOSTPCI_MAX] = {16, 17, 18, 19, 9,  10, 11, 12,
                                           13, 14, 15, 21, 22, 23, 24, 25};

    return slots[index];
}

static int place(CmdBuild *b, const HostPci *p, char **ret, Err *err)
{
    if (!propstring_bool(p->props, "pcie")) {
        *ret = propstring_bool(p->props, "legacy-igd") ? cmd_pci_addr(b, "legacy-igd")
                                                       : cmd_pci_addr_at(b, "hostpci", p->index);
        return 0;
    }
    if (!cmd_is_q35(b)) {
        return err_setf(err, -EINVAL, "hostpci%d: pcie needs machine type q35", p->index);
    }
    if (b->windows == 7) {
        *ret = g_strdup_printf(",bus=pcie.0,addr=0x%x", (unsigned)windows7_slot(p->index));
        return 0;
    }
    if (p->index >= PORTS_BUILT_IN) {
        add_root_port(b, p->index);
    }
    *ret = g_strdup_printf(",bus=ich9-pcie-port-%d,addr=0x0", p->index + 1);
    return 0;
}

/* What only the first function carries: display, ROM, boot order, other ids. */
static void append_first(GString *out, const CmdBuild *b, const HostPci *p)
{
    static const char *const ids[] = {"vendor-id", "device-id", "sub-vendor-id", "sub-device-id"};
    g_autofree char *name = g_strdup_printf("hostpci%d", p->index);
    g_autofree char *boot = cmd_bootindex(b, name);
    const char *rom = propstring_text(p->props, "romfile");

    g_string_append(out, propstring_bool(p->props, "rombar") ? "" : ",rombar=0");
    if (propstring_bool(p->props, "x-vga") && !b->ovmf) {
        g_string_append(out, ",x-vga=on");
    }
    if (p->devices->len > 1 && !p->mdev) {
        g_string_append(out, ",multifunction=on");
    }
    if (rom != NULL) {
        g_autofree char *escaped = cmd_escape(rom);
        g_string_append_printf(out, ",romfile=%s/%s", ROM_DIR, escaped);
    }
    g_string_append(out, boot);
    for (size_t i = 0; i < G_N_ELEMENTS(ids); i++) {
        const char *value = propstring_text(p->props, ids[i]);
        if (value != NULL) {
            g_string_append_printf(out, ",x-pci-%s=%s", ids[i], value);
        }
    }
}

static char *mdev_uuid(const CmdBuild *b, int index)
{
    return g_strdup_printf("%08d-0000-0000-0000-%012u", index, guestconf_vmid(b->conf));
}

static void note(CmdBuild *b, const HostPci *p)
{
    QemuPci *pci = g_new0(QemuPci, 1);

    *pci = (QemuPci){.index = p->index,
                     .devices = g_ptr_array_new_with_free_func(g_free),
                     .keep = g_strcmp0(propstring_value(p->props, "driver"), "keep") == 0,
                     .mdev = g_strdup(propstring_text(p->props, "mdev")),
                     .uuid = p->mdev ? mdev_uuid(b, p->index) : NULL};
    for (guint c = 0; c < p->choices->len; c++) {
        const GPtrArray *devices = p->choices->pdata[c];
        for (guint i = 0; (p->mdev || devices == p->devices) && i < devices->len; i++) {
            g_ptr_array_add(pci->devices, g_strdup(devices->pdata[i]));
        }
    }
    g_ptr_array_add(b->passed, pci);
}

static void add_functions(CmdBuild *b, const HostPci *p, const char *addr)
{
    bool several = p->devices->len > 1 && !p->mdev;

    for (guint j = 0; j < (p->mdev ? 1 : p->devices->len); j++) {
        g_autoptr(GString) out = g_string_new("vfio-pci");
        g_autofree char *function = several ? g_strdup_printf(".%u", j) : g_strdup("");

        if (p->mdev) {
            /* The instance is made before the start under an id that guest and entry give. */
            g_autofree char *uuid = mdev_uuid(b, p->index);
            g_string_append_printf(out, ",sysfsdev=/sys/bus/mdev/devices/%s", uuid);
        } else {
            g_string_append_printf(out, ",host=%s", (const char *)p->devices->pdata[j]);
        }
        g_string_append_printf(out, ",id=hostpci%d%s%s%s", p->index, function, addr, function);
        if (j == 0) {
            append_first(out, b, p);
        }
        cmd_device(b, "%s", out->str);
    }
}

static int add_one(CmdBuild *b, const HostPci *p, Err *err)
{
    g_autofree char *addr = NULL;
    int r = 0;

    if (propstring_bool(p->props, "legacy-igd")) {
        r = check_igd(b, p, err);
        if (r < 0) {
            return r;
        }
        b->igd_legacy = true;
    }
    if (propstring_bool(p->props, "x-vga")) {
        /* Drivers of graphics cards refuse to work when they see a hypervisor. */
        b->hide_kvm = true;
        b->gpu_passed = true;
        if (!b->vga_given) {
            b->vga = "none";
            b->qxl_heads = 0;
        }
    }
    r = place(b, p, &addr, err);
    if (r < 0) {
        return r;
    }
    add_functions(b, p, addr);
    note(b, p);
    return 0;
}

int cmd_hostpci(CmdBuild *b, Err *err)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(hostpci_free);
    int r = collect(b, list, err);

    for (guint i = 0; r == 0 && i < list->len; i++) {
        r = add_one(b, list->pdata[i], err);
    }
    return r;
}
