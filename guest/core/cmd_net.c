/* SPDX-License-Identifier: Apache-2.0 */
/* Network cards: on a bridge through a tap, or in a private network of QEMU's. Reference 4 and 6.
 */
#include "guest/core/cmdbuild.h"

#include <errno.h>
#include <string.h>

#define NETS_MAX       32
#define IFACE_NAME_MAX 15  /* what the kernel takes */
#define MTU_MIN        576 /* every IPv4 host must be able to take it */

static const struct {
    const char *model;
    const char *rom;
} old_roms[] = {
    {"virtio", "pxe-virtio.rom"},     {"e1000", "pxe-e1000.rom"}, {"e1000e", "pxe-e1000e.rom"},
    {"ne2k_pci", "pxe-ne2k_pci.rom"}, {"pcnet", "pxe-pcnet.rom"}, {"rtl8139", "pxe-rtl8139.rom"},
};

typedef struct Net {
    int index;
    const PropString *props;
    const char *model;
    const char *bridge;
    bool virtio;
} Net;

static int add_backend(CmdBuild *b, const Net *n, Err *err)
{
    uint32_t vmid = guestconf_vmid(b->conf);
    g_autofree char *tap = g_strdup_printf("tap%ui%d", vmid, n->index);
    g_autofree char *queues = NULL;
    bool native = b->arch == b->host->arch;

    if (n->bridge == NULL) {
        cmd_device_option(b, "-netdev", "type=user,id=net%d,hostname=%s", n->index,
                          guestconf_name(b->conf));
        return 0;
    }
    if (strlen(tap) > IFACE_NAME_MAX) {
        return err_setf(err, -EINVAL, "net%d: interface name '%s' is longer than %d characters",
                        n->index, tap, IFACE_NAME_MAX);
    }
    if (n->virtio && propstring_int(n->props, "queues") > 0) {
        queues = g_strdup_printf(",queues=%d", (int)propstring_int(n->props, "queues"));
    }
    cmd_device_option(b, "-netdev",
                      "type=tap,id=net%d,ifname=%s,script=%s/qm-bridge,downscript=%s/qm-bridgedown"
                      "%s%s",
                      n->index, tap, b->host->script_dir, b->host->script_dir,
                      n->virtio && native && b->host->has_vhost_net ? ",vhost=on" : "",
                      queues != NULL ? queues : "");
    return 0;
}

/* The MTU the guest is told, 0 for none. */
static int choose_mtu(CmdBuild *b, const Net *n, int *ret, Err *err)
{
    int asked = (int)propstring_int(n->props, "mtu");
    int bridge_mtu;

    *ret = 0;
    if (!n->virtio || n->bridge == NULL) {
        if (asked > 0) {
            cmd_warn(b, "net%d: mtu is only for virtio on a bridge, ignored", n->index);
        }
        return 0;
    }
    bridge_mtu = host_bridge_mtu(b->host, n->bridge);
    if (asked == 0) {
        /* Written down even when usual, so that both sides of a migration agree. */
        *ret = cmd_machine(b, 10, 0, 1) ? bridge_mtu : 0;
        return 0;
    }
    if (asked == 1) {
        *ret = bridge_mtu;
        return 0;
    }
    if (asked < MTU_MIN || asked > bridge_mtu) {
        return err_setf(err, -EINVAL, "net%d: mtu %d is not %d..%d (the MTU of bridge '%s')",
                        n->index, asked, MTU_MIN, bridge_mtu, n->bridge);
    }
    *ret = asked;
    return 0;
}

static void append_virtio(GString *out, const CmdBuild *b, const Net *n)
{
    int64_t queues = propstring_int(n->props, "queues");

    if (queues > 1) {
        /* Two interrupts for each pair of queues, one for configuration, one for control. */
        g_string_append_printf(out, ",vectors=%d,mq=on", (int)(queues * 2 + 2));
        g_string_append(out, cmd_machine(b, 7, 1, 0) ? ",packed=on" : "");
    }
    if (cmd_machine(b, 7, 1, 0)) {
        g_string_append(out, ",rx_queue_size=1024,tx_queue_size=256");
    }
}

static void append_rom(GString *out, const CmdBuild *b, const Net *n)
{
    for (size_t i = 0; b->machine.old_pxe && i < G_N_ELEMENTS(old_roms); i++) {
        if (strcmp(old_roms[i].model, n->model) == 0) {
            g_string_append_printf(out, ",romfile=%s", old_roms[i].rom);
        }
    }
}

static int add_card(CmdBuild *b, const Net *n, Err *err)
{
    g_autofree char *id = g_strdup_printf("net%d", n->index);
    g_autoptr(GString) out = g_string_new(n->virtio ? "virtio-net-pci" : n->model);
    g_autofree char *boot = cmd_bootindex(b, id);
    const char *mac = propstring_text(n->props, "macaddr");
    int mtu = 0;
    int r = choose_mtu(b, n, &mtu, err);

    if (r < 0) {
        return r;
    }
    if (mac != NULL) {
        g_string_append_printf(out, ",mac=%s", mac);
    }
    g_string_append_printf(out, ",netdev=%s", id);
    if (strcmp(n->model, "ne2k_isa") != 0) {
        g_autofree char *addr = cmd_pci_addr(b, id);
        g_string_append(out, addr);
    }
    g_string_append_printf(out, ",id=%s", id);
    if (n->virtio) {
        append_virtio(out, b, n);
    }
    g_string_append(out, boot);
    append_rom(out, b, n);
    if (mtu > 0) {
        g_string_append_printf(out, ",host_mtu=%d", mtu);
    }
    if (n->virtio && n->bridge != NULL && cmd_machine(b, 11, 0, 0)) {
        g_string_append_printf(out, ",host_tunnel=%s",
                               propstring_bool(n->props, "host-tunnel") ? "on" : "off");
    }
    cmd_device(b, "%s", out->str);
    return 0;
}

int cmd_nets(CmdBuild *b, Err *err)
{
    for (int i = 0; i < NETS_MAX; i++) {
        const PropString *props = guestconf_props_at(b->conf, "net", i);
        Net n;
        int r;

        if (props == NULL) {
            continue;
        }
        n = (Net){.index = i,
                  .props = props,
                  .model = propstring_text(props, "model"),
                  .bridge = propstring_text(props, "bridge")};
        n.virtio = strcmp(n.model, "virtio") == 0;
        r = add_backend(b, &n, err);
        if (r == 0) {
            r = add_card(b, &n, err);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}
