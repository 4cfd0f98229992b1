/* SPDX-License-Identifier: Apache-2.0 */
/* The fixed part of the board: what q35 has on top of QEMU's own, bridges, the virtual IOMMU. */
#include "guest/core/cmdbuild.h"

#include <errno.h>
#include <string.h>

#define BRIDGES_MAX 4 /* pci.1 .. pci.4 */

/* One USB 2 controller with its three companions, at one PCI slot. */
static void usb2_group(CmdBuild *b, const char *bus, int group, const char *slot, const char *hub)
{
    cmd_front_device(b, "ich9-usb-ehci%d,id=%s,multifunction=on,bus=%s,addr=%s.7", group + 1, hub,
                     bus, slot);
    for (int n = 0; n < 3; n++) {
        int unit = 3 * group + n + 1;
        cmd_front_device(b,
                         "ich9-usb-uhci%d,id=uhci-%d,multifunction=on,bus=%s,addr=%s.%d,"
                         "masterbus=%s.0,firstport=%d",
                         unit, unit, bus, slot, n, hub, 2 * n);
    }
}

/* Since 4.0 the root ports are generic ones; before, guests saw an Intel ioh3420. */
static void q35_devices(CmdBuild *b)
{
    bool generic = cmd_machine(b, 4, 0, 0);

    usb2_group(b, "pcie.0", 0, "1d", "ehci");
    usb2_group(b, "pcie.0", 1, "1a", "ehci-2");
    cmd_front_device(b, "ich9-intel-hda,id=audio0,bus=pcie.0,addr=1b.0");
    for (int n = 1; n <= 4; n++) {
        cmd_front_device(b,
                         "%s,id=ich9-pcie-port-%d%s,multifunction=on,bus=pcie.0,addr=1c.%d,port=%d,"
                         "chassis=%d",
                         generic ? "pcie-root-port" : "ioh3420", n,
                         generic ? ",x-speed=16,x-width=32" : "", n - 1, n, n);
    }
    cmd_front_device(b, "i82801b11-bridge,id=pcidmi,bus=pcie.0,addr=1e.0");
    for (int n = 0; n < 4; n++) {
        cmd_front_device(b, "pci-bridge,id=pci.%d,bus=pcidmi,addr=%d.0,chassis_nr=%d", n, n + 1,
                         n + 1);
    }
}

int cmd_chipset(CmdBuild *b, Err *err)
{
    const char *genid = guestconf_text(b->conf, "vmgenid");

    if (genid != NULL && strcmp(genid, "0") != 0 && b->machine.family != MACHINE_VIRT) {
        if (strcmp(genid, "1") == 0) {
            return err_setf(err, -EINVAL,
                            "vmgenid: 1 asks for a new id: it must be made before the start");
        }
        cmd_device(b, "vmgenid,guid=%s", genid);
    }
    if (cmd_is_q35(b)) {
        /* Hot plug by ACPI renamed the network cards of Linux guests when 6.1 brought it. */
        if (cmd_machine(b, 6, 2, 0) && strcmp(guestconf_text(b->conf, "ostype"), "l26") == 0) {
            cmd_option(b, "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off");
        }
        q35_devices(b);
    }
    return 0;
}

void cmd_bridges(CmdBuild *b)
{
    const char *scsihw = guestconf_text(b->conf, "scsihw");

    if (b->bridges & 1u << 4) {
        b->bridges |= 1u << 1; /* pci.4 sits on pci.1 */
    }
    if (!cmd_is_q35(b)) {
        b->bridges |= 1u << 1 | 1u << 2;
        if (strcmp(scsihw, "virtio-scsi-single") == 0) {
            b->bridges |= 1u << 3;
        }
    }
    for (int k = 1; k <= BRIDGES_MAX; k++) {
        g_autofree char *id = NULL;
        g_autofree char *addr = NULL;
        if (!(b->bridges & 1u << k) || (cmd_is_q35(b) && k < 4)) {
            continue;
        }
        id = g_strdup_printf("pci.%d%s", k, k == 2 && b->igd_legacy ? "-igd" : "");
        addr = cmd_pci_addr(b, id);
        cmd_front_device(b, "pci-bridge,id=pci.%d,chassis_nr=%d%s", k, k, addr);
    }
}

static void power_states(CmdBuild *b, const PropString *machine)
{
    static const char *const states[] = {"s3", "s4"};

    if (!cmd_machine(b, 9, 2, 1) || b->machine.family == MACHINE_VIRT) {
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(states); i++) {
        g_autofree char *key = g_strdup_printf("enable-%s", states[i]);
        if (machine == NULL || !propstring_bool(machine, key)) {
            cmd_option(b, "-global", "%s.disable_%s=1", cmd_is_q35(b) ? "ICH9-LPC" : "PIIX4_PM",
                       states[i]);
        }
    }
}

int cmd_viommu(CmdBuild *b, Err *err)
{
    const PropString *machine = guestconf_props(b->conf, "machine");
    const char *viommu = machine != NULL ? propstring_text(machine, "viommu") : NULL;
    const char *bits = machine != NULL ? propstring_text(machine, "aw-bits") : NULL;
    g_autofree char *aw = bits != NULL ? g_strdup_printf(",aw-bits=%s", bits) : g_strdup("");

    power_states(b, machine);
    if (viommu == NULL) {
        return bits == NULL ? 0 : err_setf(err, -EINVAL, "machine: aw-bits needs viommu to be set");
    }
    if (strcmp(viommu, "virtio") == 0) {
        if (bits != NULL && !cmd_qemu(b, 9, 0)) {
            return err_setf(err, -ENOTSUP,
                            "machine: aw-bits of viommu=virtio needs QEMU 9.0 or newer");
        }
        cmd_device(b, "virtio-iommu-pci%s", aw);
        return 0;
    }
    if (!cmd_is_q35(b)) {
        return err_setf(err, -EINVAL, "machine: viommu=intel needs type q35");
    }
    if (bits != NULL && strcmp(bits, "39") != 0 && strcmp(bits, "48") != 0) {
        return err_setf(err, -EINVAL, "machine: aw-bits of viommu=intel must be 39 or 48");
    }
    cmd_first_device(b, "intel-iommu,intremap=on,caching-mode=on%s", aw);
    cmd_machine_flag(b, "kernel-irqchip=split");
    return 0;
}
