/* SPDX-License-Identifier: Apache-2.0 */
/* USB controllers, the tablet, devices of the host and of a SPICE viewer. Reference guest.md 4, 7.
 */
#include "guest/core/cmdbuild.h"

#include <errno.h>
#include <string.h>

#define USB_MAX     14
#define USB_OLD_MAX 5 /* ports there are without qemu-xhci */

/* What the guest's USB entries need. */
typedef struct UsbNeeds {
    bool any;
    bool usb2;
    bool usb3;
} UsbNeeds;

/* Guests that have a driver for qemu-xhci get all their devices on one. */
static bool can_use_new(const CmdBuild *b)
{
    const char *ostype = guestconf_text(b->conf, "ostype");

    return cmd_machine(b, 7, 1, 0) && (strcmp(ostype, "l26") == 0 || b->windows > 7);
}

static int read_needs(const CmdBuild *b, UsbNeeds *needs, Err *err)
{
    for (int i = 0; i < USB_MAX; i++) {
        const PropString *usb = guestconf_props_at(b->conf, "usb", i);

        if (usb == NULL) {
            continue;
        }
        if (i >= USB_OLD_MAX && !b->usb_new) {
            return err_setf(err, -EINVAL,
                            "usb%d: needs machine version 7.1 or newer and ostype l26 or Windows "
                            "newer than 7",
                            i);
        }
        needs->any = true;
        if (propstring_bool(usb, "usb3")) {
            needs->usb3 = true;
        } else {
            needs->usb2 = true;
        }
    }
    return 0;
}

/* A USB 2 controller with its companions, for i440fx which has only USB 1 of its own. */
static void add_usb2(CmdBuild *b)
{
    cmd_device(b, "ich9-usb-ehci1,id=ehci,multifunction=on,bus=pci.0,addr=1d.7");
    for (int n = 0; n < 3; n++) {
        cmd_device(b,
                   "ich9-usb-uhci%d,id=uhci-%d,multifunction=on,bus=pci.0,addr=1d.%d,"
                   "masterbus=ehci.0,firstport=%d",
                   n + 1, n + 1, n, 2 * n);
    }
}

static bool wants_tablet(const CmdBuild *b)
{
    if (guestconf_has(b->conf, "tablet")) {
        return guestconf_bool(b->conf, "tablet");
    }
    /* SPICE has a pointer of its own, a serial display has none. */
    return b->qxl_heads == 0 && !g_str_has_prefix(b->vga, "serial");
}

static void add_input(CmdBuild *b)
{
    bool virt = b->machine.family == MACHINE_VIRT;

    if (wants_tablet(b)) {
        cmd_device(b, "usb-tablet,id=tablet,bus=%s.0,port=1",
                   cmd_is_q35(b) || virt ? "ehci" : "uhci");
    }
    if (virt) {
        cmd_device(b, "usb-kbd,id=keyboard,bus=ehci.0,port=2");
    }
}

int cmd_usb_controllers(CmdBuild *b, Err *err)
{
    UsbNeeds needs = {0};
    g_autofree char *addr = NULL;
    int r;

    b->usb_new = can_use_new(b);
    r = read_needs(b, &needs, err);
    if (r < 0) {
        return r;
    }
    if (b->machine.family == MACHINE_VIRT) {
        addr = cmd_pci_addr(b, "ehci");
        cmd_device(b, "usb-ehci,id=ehci%s", addr);
    } else if (!cmd_is_q35(b)) {
        addr = cmd_pci_addr(b, "piix3");
        cmd_device(b, "piix3-usb-uhci,id=uhci%s.0x2", addr);
    }
    b->usb_ehci = b->machine.family != MACHINE_I440FX;
    if (needs.usb2 && !needs.usb3 && !b->usb_new && !b->usb_ehci) {
        add_usb2(b);
        b->usb_ehci = true;
    }
    if (needs.any && (b->usb_new || needs.usb3)) {
        g_autofree char *xhci = cmd_pci_addr(b, "xhci");
        cmd_device(b, "%s,id=xhci%s", b->usb_new ? "qemu-xhci,p2=15,p3=15" : "nec-usb-xhci", xhci);
    }
    add_input(b);
    return 0;
}

/* ----------------------------------------------------------------- devices */

static void add_spice(CmdBuild *b, int index, const PropString *usb, const char *port)
{
    bool fast = propstring_bool(usb, "usb3") && cmd_machine(b, 4, 0, 0);
    bool xhci = b->usb_new || fast || !b->usb_ehci;

    cmd_device_option(b, "-chardev", "spicevmc,id=usbredirchardev%d,name=usbredir", index);
    cmd_device(b, "usb-redir,chardev=usbredirchardev%d,id=usbredirdev%d,bus=%s.0%s", index, index,
               xhci ? "xhci" : "ehci", port);
}

/* "VENDOR:PRODUCT" or "BUS-PORT" as properties of usb-host. Caller frees. */
static char *host_props(const char *host)
{
    const char *colon = strchr(host, ':');
    const char *dash = strchr(host, '-');

    if (colon != NULL) {
        const char *vendor = g_str_has_prefix(host, "0x") ? host + 2 : host;
        const char *product = g_str_has_prefix(colon + 1, "0x") ? colon + 3 : colon + 1;
        return g_strdup_printf("vendorid=0x%.*s,productid=0x%s", (int)(colon - vendor), vendor,
                               product);
    }
    return g_strdup_printf("hostbus=%.*s,hostport=%s", (int)(dash - host), host, dash + 1);
}

/* The device's address: from the entry, or from mapping/usb.cfg. Caller frees. */
static int find_host(const CmdBuild *b, const PropString *usb, char **ret, Err *err)
{
    const char *host = propstring_text(usb, "host");
    const char *mapping = propstring_text(usb, "mapping");
    g_autoptr(GPtrArray) paths = NULL;
    int r;

    if ((host == NULL) == (mapping == NULL)) {
        return err_setf(err, -EINVAL, "exactly one of 'host' and 'mapping' is needed");
    }
    if (host != NULL) {
        *ret = g_strdup(host);
        return 0;
    }
    if (b->host->usb_map == NULL) {
        return err_setf(err, -ENOENT, "mapping '%s': there is no mapping/usb.cfg", mapping);
    }
    r = mappingcfg_paths(b->host->usb_map, mapping, b->host->node, &paths, err);
    if (r < 0) {
        return r;
    }
    if (strpbrk(paths->pdata[0], ":-") == NULL) {
        return err_setf(err, -EINVAL, "mapping '%s' has no USB address", mapping);
    }
    *ret = g_strdup(paths->pdata[0]);
    return 0;
}

static int add_device(CmdBuild *b, int index, const PropString *usb, Err *err)
{
    g_autofree char *port = b->usb_new ? g_strdup_printf(",port=%d", index + 1) : g_strdup("");
    g_autofree char *id = g_strdup_printf("usb%d", index);
    g_autofree char *boot = cmd_bootindex(b, id);
    g_autofree char *host = NULL;
    g_autofree char *props = NULL;
    int r = find_host(b, usb, &host, err);

    if (r < 0) {
        return err_wrapf(err, r, "usb%d", index);
    }
    if (g_ascii_strcasecmp(host, "spice") == 0) {
        add_spice(b, index, usb, port);
        return 0;
    }
    props = host_props(host);
    cmd_device(b, "usb-host%s%s,%s,id=%s%s",
               b->usb_new || propstring_bool(usb, "usb3") ? ",bus=xhci.0" : "", port, props, id,
               boot);
    return 0;
}

int cmd_usb_devices(CmdBuild *b, Err *err)
{
    for (int i = 0; i < USB_MAX; i++) {
        const PropString *usb = guestconf_props_at(b->conf, "usb", i);
        int r = usb != NULL ? add_device(b, i, usb, err) : 0;
        if (r < 0) {
            return r;
        }
    }
    return 0;
}
