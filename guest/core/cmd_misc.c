/* SPDX-License-Identifier: Apache-2.0 */
/* Clock, SMBIOS, ports, agent, entropy, balloon, watchdog, TPM, sound, shared memory. */
#include "guest/core/cmdbuild.h"

#include <errno.h>
#include <string.h>

#define SERIAL_PORTS   4
#define PARALLEL_PORTS 3
#define VIRTIOFS_MAX   10
#define MEMORY_DEFAULT 512

/* ------------------------------------------------------------------- clock */

void cmd_time(CmdBuild *b)
{
    const char *date = guestconf_text(b->conf, "startdate");
    bool windows = b->windows >= 5;
    bool acpi = guestconf_bool(b->conf, "acpi");
    bool local =
        guestconf_has(b->conf, "localtime") ? guestconf_bool(b->conf, "localtime") : windows;
    bool slew = guestconf_has(b->conf, "tdf") ? guestconf_bool(b->conf, "tdf") : windows && acpi;

    if (b->windows >= 6) {
        cmd_option(b, "-global", "kvm-pit.lost_tick_policy=discard");
        cmd_machine_flag(b, "hpet=off");
    } else if (strcmp(guestconf_text(b->conf, "ostype"), "l26") == 0 && cmd_machine(b, 10, 1, 0) &&
               b->arch == ARCH_X86_64) {
        cmd_machine_flag(b, "hpet=off"); /* Linux has a better clock with KVM */
    }
    if (slew) {
        g_ptr_array_add(b->rtc, g_strdup("driftfix=slew"));
    }
    if (strcmp(date, "now") != 0) {
        g_ptr_array_add(b->rtc, g_strdup_printf("base=%s", date));
    } else if (local) {
        g_ptr_array_add(b->rtc, g_strdup("base=localtime"));
    }
}

/* ------------------------------------------------------------------ SMBIOS */

/* A field as QEMU takes it: base64 undone, commas doubled. Caller frees. */
static int smbios_field(const char *key, const char *value, bool base64, char **ret, Err *err)
{
    g_autofree guchar *bytes = NULL;
    g_autofree char *text = NULL;
    gsize len;

    if (!base64 || strcmp(key, "uuid") == 0) {
        *ret = cmd_escape(value);
        return 0;
    }
    bytes = g_base64_decode(value, &len);
    text = g_strndup((const char *)bytes, len);
    if (strlen(text) != len) {
        return err_setf(err, -EINVAL, "smbios1: %s holds a NUL byte", key);
    }
    *ret = cmd_escape(text);
    return 0;
}

int cmd_smbios(CmdBuild *b, Err *err)
{
    static const char *const keys[] = {"uuid",   "manufacturer", "product", "version",
                                       "serial", "sku",          "family"};
    const PropString *smbios = guestconf_props(b->conf, "smbios1");
    g_autoptr(GString) out = g_string_new("type=1");

    if (smbios == NULL || b->template) {
        return 0;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *value = propstring_text(smbios, keys[i]);
        g_autofree char *field = NULL;
        int r;

        if (value == NULL || value[0] == '\0') {
            continue;
        }
        r = smbios_field(keys[i], value, propstring_bool(smbios, "base64"), &field, err);
        if (r < 0) {
            return r;
        }
        g_string_append_printf(out, ",%s=%s", keys[i], field);
    }
    cmd_option(b, "-smbios", "%s", out->str);
    return 0;
}

/* ------------------------------------------------------------------- ports */

static int add_serial(CmdBuild *b, int index, const char *path, Err *err)
{
    bool virt = b->machine.family == MACHINE_VIRT;

    if (virt && index > 0) {
        return err_setf(err, -EINVAL, "serial%d: machine type virt has only serial0", index);
    }
    if (strcmp(path, "socket") == 0) {
        cmd_device_option(b, "-chardev",
                          "socket,id=serial%d,path=%s/%u.serial%d,server=on,wait=off", index,
                          b->host->run_dir, guestconf_vmid(b->conf), index);
    } else {
        if (!host_exists(b->host, path)) {
            return err_setf(err, -ENODEV, "serial%d: no device '%s'", index, path);
        }
        cmd_device_option(b, "-chardev", "serial,id=serial%d,path=%s", index, path);
    }
    if (virt) {
        cmd_device_option(b, "-serial", "chardev:serial%d", index);
    } else {
        cmd_device(b, "isa-serial,chardev=serial%d", index);
    }
    return 0;
}

static int add_parallel(CmdBuild *b, int index, const char *path, Err *err)
{
    bool usb = g_str_has_prefix(path, "/dev/usb/lp");

    if (!host_exists(b->host, path)) {
        return err_setf(err, -ENODEV, "parallel%d: no device '%s'", index, path);
    }
    cmd_device_option(b, "-chardev", "%s,id=parallel%d,path=%s", usb ? "serial" : "parallel", index,
                      path);
    cmd_device(b, "isa-parallel,chardev=parallel%d", index);
    return 0;
}

int cmd_ports(CmdBuild *b, Err *err)
{
    for (int i = 0; i < SERIAL_PORTS; i++) {
        g_autofree char *key = g_strdup_printf("serial%d", i);
        const char *path = guestconf_text(b->conf, key);
        int r = path != NULL ? add_serial(b, i, path, err) : 0;
        if (r < 0) {
            return r;
        }
    }
    for (int i = 0; i < PARALLEL_PORTS; i++) {
        g_autofree char *key = g_strdup_printf("parallel%d", i);
        const char *path = guestconf_text(b->conf, key);
        int r = path != NULL ? add_parallel(b, i, path, err) : 0;
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------- sound */

int cmd_audio(CmdBuild *b, Err *err)
{
    const PropString *audio = guestconf_props(b->conf, "audio0");
    g_autofree char *addr = NULL;
    const char *device;
    const char *driver;
    g_autofree char *backend = NULL;

    (void)err; /* the schema checked all there is to check */
    if (audio == NULL || !cmd_machine(b, 4, 0, 0)) {
        return 0;
    }
    device = propstring_text(audio, "device");
    driver = propstring_value(audio, "driver");
    if (strcmp(driver, "spice") == 0 && b->qxl_heads == 0 && !g_str_has_prefix(b->vga, "virtio")) {
        cmd_warn(b, "audio0: driver spice needs a display with SPICE (vga qxl or virtio)");
    }
    addr = cmd_pci_addr(b, "audio0");
    backend =
        cmd_machine(b, 4, 2, 0) ? g_strdup_printf(",audiodev=%s-backend0", driver) : g_strdup("");
    if (strcmp(device, "AC97") == 0) {
        cmd_device(b, "AC97,id=audiodev0%s%s", addr, backend);
    } else {
        cmd_device(b, "%s,id=audiodev0%s", device, addr);
        cmd_device(b, "hda-micro,id=audiodev0-codec0,bus=audiodev0.0,cad=0%s", backend);
        cmd_device(b, "hda-duplex,id=audiodev0-codec1,bus=audiodev0.0,cad=1%s", backend);
    }
    cmd_device_option(b, "-audiodev", "%s,id=%s-backend0", driver, driver);
    return 0;
}

/* --------------------------------------------------------------------- TPM */

int cmd_tpm(CmdBuild *b, Err *err)
{
    (void)err; /* the state itself is the emulator's business */
    if (guestconf_props(b->conf, "tpmstate0") == NULL || b->template) {
        return 0;
    }
    cmd_device_option(b, "-chardev", "socket,id=tpmchar,path=%s/%u.swtpm", b->host->run_dir,
                      guestconf_vmid(b->conf));
    cmd_device_option(b, "-tpmdev", "emulator,id=tpmdev,chardev=tpmchar");
    cmd_device(b, "%s,tpmdev=tpmdev",
               b->machine.family == MACHINE_VIRT ? "tpm-tis-device" : "tpm-tis");
    return 0;
}

/* ---------------------------------------------------------- agent, entropy */

static void add_agent(CmdBuild *b)
{
    const PropString *agent = guestconf_props(b->conf, "agent");
    g_autofree char *addr = NULL;

    if (agent == NULL || !propstring_bool(agent, "enabled")) {
        return;
    }
    cmd_device_option(b, "-chardev", "socket,path=%s/%u.qga,server=on,wait=off,id=qga0",
                      b->host->run_dir, guestconf_vmid(b->conf));
    if (strcmp(propstring_value(agent, "type"), "isa") == 0) {
        cmd_device(b, "isa-serial,chardev=qga0");
        return;
    }
    addr = cmd_pci_addr(b, "qga0");
    cmd_device(b, "virtio-serial,id=qga0%s", addr);
    cmd_device(b, "virtserialport,chardev=qga0,name=org.qemu.guest_agent.0");
}

static void add_rng(CmdBuild *b)
{
    const PropString *rng = guestconf_props(b->conf, "rng0");
    g_autofree char *addr = NULL;
    g_autofree char *limit = NULL;

    if (rng == NULL || !cmd_machine(b, 4, 1, 2)) {
        return;
    }
    if (propstring_int(rng, "max_bytes") > 0) {
        limit = g_strdup_printf(",max-bytes=%d,period=%d", (int)propstring_int(rng, "max_bytes"),
                                (int)propstring_int(rng, "period"));
    }
    addr = cmd_pci_addr(b, "rng0");
    cmd_device_option(b, "-object", "rng-random,filename=%s,id=rng0",
                      propstring_text(rng, "source"));
    cmd_device(b, "virtio-rng-pci,rng=rng0%s%s", limit != NULL ? limit : "", addr);
}

void cmd_small_devices(CmdBuild *b)
{
    add_agent(b);
    add_rng(b);
}

void cmd_balloon_watchdog(CmdBuild *b)
{
    const PropString *watchdog = guestconf_props(b->conf, "watchdog");

    if (!guestconf_has(b->conf, "balloon") || guestconf_int(b->conf, "balloon") > 0) {
        g_autofree char *addr = cmd_pci_addr(b, "balloon0");
        cmd_device(b, "virtio-balloon-pci,id=balloon0%s%s", addr,
                   cmd_machine(b, 6, 2, 0) ? ",free-page-reporting=on" : "");
    }
    if (watchdog != NULL) {
        const char *model = propstring_value(watchdog, "model");
        const char *action = propstring_text(watchdog, "action");
        bool isa = strcmp(model, "ib700") == 0;
        g_autofree char *addr = isa ? g_strdup("") : cmd_pci_addr(b, "watchdog");

        cmd_device(b, "%s%s", model, addr);
        if (action != NULL) {
            cmd_device_option(b, "-watchdog-action", "%s", action);
        }
    }
}

/* ----------------------------------------------------------- shared memory */

static void add_ivshmem(CmdBuild *b, const PropString *shm)
{
    const char *name = propstring_text(shm, "name");
    g_autofree char *own = g_strdup_printf("%u", guestconf_vmid(b->conf));
    g_autofree char *addr =
        cmd_is_q35(b) ? g_strdup(",bus=pcie.0,addr=0x14") : cmd_pci_addr(b, "ivshmem");

    cmd_option(b, "-object",
               "memory-backend-file,id=ivshmem,share=on,mem-path=/dev/shm/pve-shm-%s,size=%dM",
               name != NULL ? name : own, (int)propstring_int(shm, "size"));
    cmd_device(b, "ivshmem-plain,memdev=ivshmem%s", addr);
}

bool cmd_has_virtiofs(const CmdBuild *b)
{
    for (int i = 0; i < VIRTIOFS_MAX; i++) {
        if (guestconf_props_at(b->conf, "virtiofs", i) != NULL) {
            return true;
        }
    }
    return false;
}

static void add_virtiofs(CmdBuild *b)
{
    const PropString *memory = guestconf_props(b->conf, "memory");

    for (int i = 0; i < VIRTIOFS_MAX; i++) {
        const PropString *fs = guestconf_props_at(b->conf, "virtiofs", i);
        if (fs == NULL) {
            continue;
        }
        cmd_device_option(b, "-chardev", "socket,id=virtiofs%d,path=%s/virtiofsd/vm%u-fs%d", i,
                          b->host->run_dir, guestconf_vmid(b->conf), i);
        cmd_device(b, "vhost-user-fs-pci,queue-size=1024,chardev=virtiofs%d,tag=%s", i,
                   propstring_text(fs, "dirid"));
    }
    if (!cmd_has_virtiofs(b) || guestconf_bool(b->conf, "numa")) {
        return; /* memory of NUMA nodes is shared where it is made */
    }
    cmd_option(b, "-object", "memory-backend-memfd,id=virtiofs-mem,size=%dM,share=on",
               memory != NULL ? (int)propstring_int(memory, "current") : MEMORY_DEFAULT);
    cmd_machine_flag(b, "memory-backend=virtiofs-mem");
}

void cmd_shared_memory(CmdBuild *b)
{
    const PropString *shm = guestconf_props(b->conf, "ivshmem");

    if (shm != NULL) {
        add_ivshmem(b, shm);
    }
    add_virtiofs(b);
}
