/* SPDX-License-Identifier: Apache-2.0 */
/* Display, VNC, SPICE. Reference guest.md section 6. */
#include "guest/core/cmdbuild.h"

#include <errno.h>
#include <string.h>

#define MIB 1048576

#define SPICE_PORT_FIRST 61000

#define RENDER_NODE "/dev/dri/renderD128"

/* Certificates of the node: SPICE is only offered encrypted. */
#define SPICE_KEY  "/etc/pve/local/pve-ssl.key"
#define SPICE_CERT "/etc/pve/local/pve-ssl.pem"
#define SPICE_CA   "/etc/pve/pve-root-ca.pem"

static const struct {
    const char *type;
    const char *device;
} vga_devices[] = {
    {"cirrus", "cirrus-vga"},  {"std", "VGA"},
    {"virtio", "virtio-vga"},  {"virtio-gl", "virtio-vga-gl"},
    {"vmware", "vmware-svga"},
};

/* "qxl3" -> 3, "qxl" -> 1, anything else 0 */
static int count_heads(const char *type)
{
    if (!g_str_has_prefix(type, "qxl")) {
        return 0;
    }
    return type[3] == '\0' ? 1 : type[3] - '0';
}

static bool is_serial(const char *type)
{
    return g_str_has_prefix(type, "serial");
}

static bool has_screen(const CmdBuild *b)
{
    return strcmp(b->vga, "none") != 0 && !is_serial(b->vga);
}

static const char *vga_prop(const CmdBuild *b, const char *key)
{
    const PropString *vga = b->template ? NULL : guestconf_props(b->conf, "vga");

    return vga != NULL ? propstring_text(vga, key) : NULL;
}

/* What a guest gets when nothing is configured: old Windows and old machines know only Cirrus. */
static const char *default_type(const CmdBuild *b)
{
    if (b->machine.family == MACHINE_VIRT) {
        return "virtio";
    }
    if (cmd_machine(b, 2, 9, 0)) {
        return b->windows == 0 || b->windows >= 6 ? "std" : "cirrus";
    }
    return b->windows >= 6 ? "std" : "cirrus";
}

int cmd_display_choose(CmdBuild *b, Err *err)
{
    const char *type = vga_prop(b, "type");

    if (b->template) {
        b->vga = "none";
        return 0;
    }
    b->vga_given = type != NULL;
    b->vga = type != NULL ? type : default_type(b);
    b->qxl_heads = count_heads(b->vga);
    if (vga_prop(b, "clipboard") != NULL && !has_screen(b)) {
        return err_setf(err, -EINVAL, "vga: type '%s' has no clipboard to share over VNC", b->vga);
    }
    return 0;
}

/* ",vgamem_mb=32" and the like. Caller frees. */
static char *memory_props(const CmdBuild *b, int head)
{
    const char *text = vga_prop(b, "memory");
    int64_t mib = text != NULL ? g_ascii_strtoll(text, NULL, 10) : 0;

    if (mib == 0) {
        return g_strdup(head > 0 ? ",ram_size=67108864,vram_size=33554432" : "");
    }
    if (g_str_has_prefix(b->vga, "virtio")) {
        return g_strdup_printf(",max_hostmem=%" G_GINT64_FORMAT, mib * MIB);
    }
    if (b->qxl_heads > 0) {
        return g_strdup_printf(",vgamem_mb=%" G_GINT64_FORMAT ",ram_size_mb=%" G_GINT64_FORMAT
                               ",vram_size_mb=%" G_GINT64_FORMAT,
                               mib, mib * 4, mib * 2);
    }
    return g_strdup_printf(",vgamem_mb=%" G_GINT64_FORMAT, mib);
}

static const char *device_name(const CmdBuild *b, int head)
{
    if (b->qxl_heads > 0) {
        return head > 0 ? "qxl" : "qxl-vga";
    }
    for (size_t i = 0; i < G_N_ELEMENTS(vga_devices); i++) {
        if (strcmp(vga_devices[i].type, b->vga) == 0) {
            return b->machine.family == MACHINE_VIRT && strcmp(b->vga, "virtio") == 0
                       ? "virtio-gpu"
                       : vga_devices[i].device;
        }
    }
    return "VGA";
}

/* Linux drives up to four screens from one device; Windows needs a device for each. */
static bool one_device_for_all_heads(const CmdBuild *b)
{
    const char *ostype = guestconf_text(b->conf, "ostype");

    return ostype[0] == 'l' || strcmp(ostype, "other") == 0;
}

static void add_vga(CmdBuild *b, int head)
{
    const char *name = device_name(b, head);
    g_autofree char *id = head > 0 ? g_strdup_printf("vga%d", head) : g_strdup("vga");
    g_autofree char *memory = memory_props(b, head);
    g_autofree char *addr =
        cmd_is_q35(b) && head == 0 ? g_strdup(",bus=pcie.0,addr=0x1") : cmd_pci_addr(b, id);
    bool outputs = b->qxl_heads > 0 && cmd_machine(b, 4, 1, 0) && one_device_for_all_heads(b);
    /* Windows on the old firmware takes the size from EDID and then offers no other. */
    bool no_edid = strcmp(name, "VGA") == 0 && b->windows > 0 && !b->ovmf;

    cmd_device(b, "%s,id=%s%s%s%s%s", name, id, memory, outputs ? ",max_outputs=4" : "", addr,
               no_edid ? ",edid=off" : "");
}

int cmd_display(CmdBuild *b, Err *err)
{
    if (!has_screen(b)) {
        if (strcmp(b->vga, "none") == 0) {
            cmd_option(b, "-vga", "none");
        }
        cmd_option(b, "-display", "none");
        return 0;
    }
    if (strcmp(b->vga, "virtio-gl") == 0) {
        if (!host_exists(b->host, RENDER_NODE)) {
            return err_setf(err, -ENOTSUP, "vga: virtio-gl needs a graphics card (%s)",
                            RENDER_NODE);
        }
        cmd_option(b, "-display", "egl-headless,gl=core");
    }
    add_vga(b, 0);
    cmd_option(b, "-vnc", "unix:%s/%u.vnc,password=on", b->host->run_dir, guestconf_vmid(b->conf));
    return 0;
}

/* ------------------------------------------------------------------ SPICE */

static void more_heads(CmdBuild *b)
{
    const char *text = vga_prop(b, "memory");
    int64_t ram = INT64_C(134217728);
    int64_t vram = INT64_C(67108864);

    if (b->qxl_heads < 2) {
        return;
    }
    if (b->windows > 0) {
        for (int head = 1; head < b->qxl_heads; head++) {
            add_vga(b, head);
        }
        return;
    }
    if (text != NULL) {
        int64_t mib = g_ascii_strtoll(text, NULL, 10);
        ram = b->qxl_heads * 4 * mib * MIB;
        vram = b->qxl_heads * 2 * mib * MIB;
    }
    cmd_option(b, "-global", "qxl-vga.ram_size=%" G_GINT64_FORMAT, ram);
    cmd_option(b, "-global", "qxl-vga.vram_size=%" G_GINT64_FORMAT, vram);
}

static void spice_server(CmdBuild *b)
{
    const PropString *more = guestconf_props(b->conf, "spice_enhancements");
    const char *video = more != NULL ? propstring_text(more, "videostreaming") : NULL;
    int port = b->params->spice_port > 0 ? b->params->spice_port : SPICE_PORT_FIRST;

    if (more != NULL && propstring_bool(more, "foldersharing")) {
        cmd_device_option(b, "-chardev", "spiceport,id=foldershare,name=org.spice-space.webdav.0");
        cmd_device(b, "virtserialport,chardev=foldershare,name=org.spice-space.webdav.0");
    }
    b->needs_spice_port = true;
    cmd_device_option(b, "-spice",
                      "tls-port=%d,addr=127.0.0.1,tls-ciphers=HIGH,seamless-migration=on,"
                      "x509-key-file=%s,x509-cert-file=%s,x509-cacert-file=%s%s%s",
                      port, SPICE_KEY, SPICE_CERT, SPICE_CA,
                      video != NULL ? ",streaming-video=" : "", video != NULL ? video : "");
}

int cmd_spice(CmdBuild *b, Err *err)
{
    bool spice = b->qxl_heads > 0 || g_str_has_prefix(b->vga, "virtio");
    bool clipboard = vga_prop(b, "clipboard") != NULL;
    g_autofree char *addr = NULL;

    (void)err; /* what can be wrong was found when the display was chosen */
    if (!spice && !clipboard) {
        return 0;
    }
    more_heads(b);
    addr = cmd_pci_addr(b, "spice");
    cmd_device(b, "virtio-serial,id=spice%s", addr);
    cmd_device_option(b, "-chardev",
                      clipboard ? "qemu-vdagent,id=vdagent,name=vdagent,clipboard=on"
                                : "spicevmc,id=vdagent,name=vdagent");
    cmd_device(b, "virtserialport,chardev=vdagent,name=com.redhat.spice.0");
    if (spice) {
        spice_server(b);
    }
    return 0;
}
