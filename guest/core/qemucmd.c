/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/qemucmd.h"

#include "guest/core/cmdbuild.h"
#include "guest/core/confschema.h"

#include <errno.h>
#include <string.h>

/* What is left of a template's configuration when its disks are opened for copying: a template
 * never runs, so nothing that could keep the command from starting is taken along. */
static const char *const template_keys[] = {"arch", "bios", "name", "scsihw", "template"};

void qemupci_free(void *pci)
{
    QemuPci *p = pci;

    g_clear_pointer(&p->devices, g_ptr_array_unref);
    g_free(p->mdev);
    g_free(p->uuid);
    g_free(p);
}

void qemucmd_free(QemuCmd *c)
{
    if (c == NULL) {
        return;
    }
    g_clear_pointer(&c->argv, g_ptr_array_unref);
    g_clear_pointer(&c->warnings, g_ptr_array_unref);
    g_clear_pointer(&c->passed, g_ptr_array_unref);
    g_free(c->machine_type);
    g_free(c);
}

static bool kept_for_template(const char *key)
{
    const ConfOption *option = confschema_find(key, NULL);

    if (option == NULL) {
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(template_keys); i++) {
        if (strcmp(template_keys[i], key) == 0) {
            return true;
        }
    }
    return (option->flags & CONF_VOLUME) != 0 && strcmp(option->value.name, "unused") != 0;
}

/* The reduced configuration; its owner is the returned file. */
static VmConf *template_view(const VmSection *section)
{
    VmConf *view = vmconf_new();

    for (guint i = 0; i < section->entries->len; i++) {
        const VmEntry *e = section->entries->pdata[i];
        if (kept_for_template(e->key)) {
            vmsection_set(vmconf_main(view), e->key, e->value);
        }
    }
    return view;
}

/* ------------------------------------------------------------------- start */

static int choose_arch(CmdBuild *b, Err *err)
{
    const char *text = guestconf_text(b->conf, "arch");
    int arch = text != NULL ? arch_from_name(text) : (int)b->host->arch;

    if (arch < 0) {
        return err_setf(err, -EINVAL, "arch: unknown");
    }
    b->arch = (Arch)arch;
    b->kvm =
        guestconf_has(b->conf, "kvm") ? guestconf_bool(b->conf, "kvm") : b->arch == b->host->arch;
    if (b->template) {
        b->kvm = false;
    }
    if (b->kvm && b->arch != b->host->arch) {
        return err_setf(err, -ENOTSUP, "kvm: node '%s' is %s and cannot run %s with kvm",
                        b->host->node, arch_name(b->host->arch), arch_name(b->arch));
    }
    return 0;
}

static int choose_machine(CmdBuild *b, Err *err)
{
    const PropString *props = b->template ? NULL : guestconf_props(b->conf, "machine");
    const char *type = props != NULL ? propstring_text(props, "type") : NULL;
    int r;

    if (b->params->machine != NULL) {
        type = b->params->machine;
    }
    if (type == NULL) {
        type = b->arch == ARCH_AARCH64 ? "virt" : "pc";
    }
    r = machine_parse(type, &b->machine, err);
    if (r < 0) {
        return err_wrapf(err, r, "machine");
    }
    if ((b->machine.family == MACHINE_VIRT) != (b->arch == ARCH_AARCH64)) {
        return err_setf(err, -EINVAL, "machine: type '%s' is not for arch %s", type,
                        arch_name(b->arch));
    }
    return machine_resolve(&b->machine, &b->host->qemu, b->windows > 0, b->host->node, err);
}

static int choose(CmdBuild *b, Err *err)
{
    int r = choose_arch(b, err);

    b->windows = guestconf_windows(b->conf);
    if (r == 0) {
        r = choose_machine(b, err);
    }
    if (r < 0) {
        return r;
    }
    b->ovmf = strcmp(guestconf_text(b->conf, "bios"), "ovmf") == 0 || b->arch == ARCH_AARCH64;
    r = boot_order(b->conf, &b->boot, err);
    if (r == 0) {
        r = cmd_cpu_choose(b, err);
    }
    return r < 0 ? r : cmd_display_choose(b, err);
}

/* ------------------------------------------------------------------- parts */

static void identity(CmdBuild *b)
{
    uint32_t vmid = guestconf_vmid(b->conf);
    const char *run = b->host->run_dir;

    cmd_option(b, "-name", "%s,debug-threads=on", guestconf_name(b->conf));
    cmd_flag(b, "-no-shutdown");
    cmd_option(b, "-chardev", "socket,id=qmp,path=%s/%u.qmp,server=on,wait=off", run, vmid);
    cmd_option(b, "-mon", "chardev=qmp,mode=control");
    cmd_option(b, "-chardev", "socket,id=qmp-event,path=%s,%s", b->host->event_socket,
               cmd_qemu(b, 9, 2) ? "reconnect-ms=5000" : "reconnect=5");
    cmd_option(b, "-mon", "chardev=qmp-event,mode=control");
    cmd_option(b, "-pidfile", "%s/%u.pid", run, vmid);
    cmd_flag(b, "-daemonize");
}

static void start_options(CmdBuild *b)
{
    const char *keyboard = guestconf_text(b->conf, "keyboard");

    if (guestconf_bool(b->conf, "freeze") || b->params->paused) {
        cmd_flag(b, "-S");
    }
    if (b->params->incoming != NULL) {
        cmd_option(b, "-incoming", "%s", b->params->incoming);
    }
    if (keyboard != NULL) {
        cmd_option(b, "-k", "%s", keyboard);
    }
}

static void board_options(CmdBuild *b)
{
    cmd_flag(b, "-nodefaults");
    cmd_option(b, "-boot", "menu=on,strict=on,reboot-timeout=1000");
    if (!guestconf_bool(b->conf, "acpi")) {
        cmd_machine_flag(b, "acpi=off");
    }
    if (!guestconf_bool(b->conf, "allow-ksm")) {
        cmd_machine_flag(b, "mem-merge=off");
    }
    if (!guestconf_bool(b->conf, "reboot")) {
        cmd_flag(b, "-no-reboot");
    }
}

static int step_identity(CmdBuild *b, Err *err)
{
    (void)err;
    identity(b);
    return 0;
}

static int step_board(CmdBuild *b, Err *err)
{
    (void)err;
    board_options(b);
    return 0;
}

static int step_time(CmdBuild *b, Err *err)
{
    (void)err;
    cmd_time(b);
    return 0;
}

static int step_start(CmdBuild *b, Err *err)
{
    (void)err;
    start_options(b);
    return 0;
}

static int step_small_devices(CmdBuild *b, Err *err)
{
    (void)err;
    cmd_small_devices(b);
    return 0;
}

static int step_shared_memory(CmdBuild *b, Err *err)
{
    (void)err;
    cmd_shared_memory(b);
    return 0;
}

static int step_balloon(CmdBuild *b, Err *err)
{
    (void)err;
    cmd_balloon_watchdog(b);
    if (b->host->iscsi_initiator != NULL) {
        cmd_device_option(b, "-iscsi", "initiator-name=%s", b->host->iscsi_initiator);
    }
    return 0;
}

static int step_bridges(CmdBuild *b, Err *err)
{
    (void)err;
    cmd_bridges(b);
    return 0;
}

/* In this order: addresses, boot indexes and objects of later steps build on earlier ones. */
static int (*const steps[])(CmdBuild *b, Err *err) = {
    step_identity, cmd_smbios,      cmd_firmware,       cmd_chipset,  cmd_usb_controllers,
    cmd_hostpci,   cmd_usb_devices, cmd_ports,          cmd_audio,    cmd_tpm,
    cmd_smp,       step_board,      cmd_display,        step_time,    cmd_cpu,
    cmd_memory,    step_start,      step_small_devices, cmd_spice,    step_balloon,
    cmd_disks,     cmd_nets,        step_shared_memory, step_bridges, cmd_confidential,
    cmd_viommu,
};

static void machine_option(CmdBuild *b, GPtrArray *argv, const char *type)
{
    g_autoptr(GString) out = g_string_new(NULL);
    bool plain_display = strcmp(b->vga, "none") == 0 || g_str_has_prefix(b->vga, "serial");

    for (guint i = 0; i < b->machine_flags->len; i++) {
        g_string_append_printf(out, "%s,", (const char *)b->machine_flags->pdata[i]);
    }
    g_string_append_printf(out, "accel=%s,", b->kvm ? "kvm" : "tcg");
    /* SeaBIOS hangs in system management mode when it writes its messages to a serial port. */
    if (!b->ovmf && plain_display && b->machine.family != MACHINE_VIRT) {
        g_string_append(out, "smm=off,");
    }
    if (b->machine.family == MACHINE_VIRT && b->kvm) {
        g_string_append(out, "gic-version=host,");
    }
    g_string_append_printf(out, "type=%s", type);
    g_ptr_array_add(argv, g_strdup("-machine"));
    g_ptr_array_add(argv, g_string_free(g_steal_pointer(&out), FALSE));
}

static int append_args(CmdBuild *b, GPtrArray *argv, Err *err)
{
    const char *args = guestconf_text(b->conf, "args");
    GPtrArray *words = NULL;
    int r;

    if (args == NULL) {
        return 0;
    }
    r = qemucmd_split(args, &words, err);
    if (r < 0) {
        return err_wrapf(err, r, "args");
    }
    g_ptr_array_extend_and_steal(argv, words);
    return 0;
}

static int join(CmdBuild *b, QemuCmd *c, Err *err)
{
    GPtrArray *lists[] = {b->options, b->front_devices, b->devices};

    g_ptr_array_add(c->argv, g_strdup_printf("/usr/bin/qemu-system-%s", arch_name(b->arch)));
    for (size_t k = 0; k < G_N_ELEMENTS(lists); k++) {
        for (guint i = 0; i < lists[k]->len; i++) {
            g_ptr_array_add(c->argv, g_strdup(lists[k]->pdata[i]));
        }
    }
    if (b->rtc->len > 0) {
        g_ptr_array_add(b->rtc, NULL);
        g_ptr_array_add(c->argv, g_strdup("-rtc"));
        g_ptr_array_add(c->argv, g_strjoinv(",", (char **)b->rtc->pdata));
    }
    c->machine_type = machine_type_text(&b->machine);
    c->machine_revision = b->machine.revision;
    c->needs_spice_port = b->needs_spice_port;
    machine_option(b, c->argv, c->machine_type);
    if (b->template) {
        g_ptr_array_add(c->argv, g_strdup("-snapshot")); /* base volumes cannot be written */
    }
    return append_args(b, c->argv, err);
}

static int build(CmdBuild *b, QemuCmd *c, Err *err)
{
    int r = choose(b, err);

    for (size_t i = 0; r == 0 && i < G_N_ELEMENTS(steps); i++) {
        r = steps[i](b, err);
    }
    return r < 0 ? r : join(b, c, err);
}

static QemuCmd *qemucmd_new(void)
{
    QemuCmd *c = g_new0(QemuCmd, 1);

    c->argv = g_ptr_array_new_with_free_func(g_free);
    c->warnings = g_ptr_array_new_with_free_func(g_free);
    c->passed = g_ptr_array_new_with_free_func(qemupci_free);
    return c;
}

int qemucmd_build(const VmSection *section,
                  const HostFacts *host,
                  const QemuCmdParams *params,
                  QemuCmd **ret,
                  Err *err)
{
    g_autoptr(QemuCmd) c = qemucmd_new();
    g_autoptr(GuestConf) conf = NULL;
    g_autoptr(VmConf) view = NULL;
    CmdBuild b = {
        .host = host, .params = params, .vga = "std", .warnings = c->warnings, .passed = c->passed};
    int r = guestconf_new(section, params->vmid, c->warnings, &conf, err);

    if (r < 0) {
        return r;
    }
    b.template = guestconf_bool(conf, "template");
    if (b.template) {
        view = template_view(section);
        g_clear_pointer(&conf, guestconf_free);
        r = guestconf_new(vmconf_main(view), params->vmid, c->warnings, &conf, err);
        if (r < 0) {
            return r;
        }
    }
    b.conf = conf;
    b.options = g_ptr_array_new_with_free_func(g_free);
    b.devices = g_ptr_array_new_with_free_func(g_free);
    b.front_devices = g_ptr_array_new_with_free_func(g_free);
    b.machine_flags = g_ptr_array_new_with_free_func(g_free);
    b.rtc = g_ptr_array_new_with_free_func(g_free);
    r = build(&b, c, err);
    g_ptr_array_unref(b.options);
    g_ptr_array_unref(b.devices);
    g_ptr_array_unref(b.front_devices);
    g_ptr_array_unref(b.machine_flags);
    g_ptr_array_unref(b.rtc);
    g_clear_pointer(&b.boot, g_hash_table_unref);
    g_clear_pointer(&b.cpu_custom, propstring_free);
    if (r < 0) {
        return r;
    }
    *ret = g_steal_pointer(&c);
    return 0;
}

/* -------------------------------------------------------------------- text */

static void append_quoted(GString *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "%+-./:@_";

    if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
        g_string_append(out, word);
        return;
    }
    g_string_append_c(out, '\'');
    for (; *word != '\0'; word++) {
        if (*word == '\'') {
            g_string_append(out, "'\\''");
        } else {
            g_string_append_c(out, *word);
        }
    }
    g_string_append_c(out, '\'');
}

char *qemucmd_text(const QemuCmd *c, bool pretty)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < c->argv->len; i++) {
        const char *word = c->argv->pdata[i];
        if (i > 0) {
            g_string_append(out, pretty && word[0] == '-' ? " \\\n  " : " ");
        }
        append_quoted(out, word);
    }
    return g_string_free(out, FALSE);
}

/* One word at *at, moved past it. */
static int take_word(const char **at, char **ret, Err *err)
{
    g_autoptr(GString) out = g_string_new(NULL);
    char quote = '\0';

    for (; **at != '\0' && (quote != '\0' || !g_ascii_isspace(**at)); (*at)++) {
        if (quote == '\0' && (**at == '\'' || **at == '"')) {
            quote = **at;
        } else if (quote != '\0' && **at == quote) {
            quote = '\0';
        } else if (**at == '\\' && quote != '\'' && (*at)[1] != '\0') {
            (*at)++;
            g_string_append_c(out, **at);
        } else {
            g_string_append_c(out, **at);
        }
    }
    if (quote != '\0') {
        return err_setf(err, -EINVAL, "a quote %c is not closed", quote);
    }
    *ret = g_string_free(g_steal_pointer(&out), FALSE);
    return 0;
}

int qemucmd_split(const char *args, GPtrArray **ret, Err *err)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    const char *at = args + strspn(args, " \t");

    while (*at != '\0') {
        char *word = NULL;
        int r = take_word(&at, &word, err);
        if (r < 0) {
            return r;
        }
        g_ptr_array_add(words, word);
        at += strspn(at, " \t");
    }
    *ret = g_steal_pointer(&words);
    return 0;
}
