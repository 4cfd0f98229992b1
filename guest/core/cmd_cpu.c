/* SPDX-License-Identifier: Apache-2.0 */
/* -smp, CPU devices, -cpu. Flags come from five places: what the guest's system needs, Hyper-V
 * enlightenments, the custom model, the configuration, and what cannot be otherwise; the later one
 * wins. Reference guest.md section 8. */
#include "guest/core/cmdbuild.h"
#include "guest/core/cpu_models.h"

#include <errno.h>
#include <string.h>

#define CPUS_MAX 8192 /* more than QEMU can run; bounds the devices of pluggable CPUs */

/* ------------------------------------------------------------------ model */

static const char *default_model(const CmdBuild *b)
{
    if (b->arch == ARCH_AARCH64) {
        return b->kvm ? "host" : "cortex-a57";
    }
    return b->kvm ? "kvm64" : "qemu64";
}

/* The option `cpu`. Copying a template's disks needs no particular processor. */
static const PropString *cpu_option(const CmdBuild *b)
{
    return b->template ? NULL : guestconf_props(b->conf, "cpu");
}

const char *cmd_cpu_prop(const CmdBuild *b, const char *key)
{
    const PropString *cpu = cpu_option(b);
    const char *value = cpu != NULL ? propstring_text(cpu, key) : NULL;

    return value == NULL && b->cpu_custom != NULL ? propstring_text(b->cpu_custom, key) : value;
}

/* The model that a custom one builds on. */
static int choose_custom(CmdBuild *b, const char *name, const char **ret, Err *err)
{
    int r = cpu_custom_model(b->host->cpu_models, name, &b->cpu_custom, err);

    if (r < 0) {
        return err_wrapf(err, r, "cpu");
    }
    *ret = propstring_text(b->cpu_custom, "reported-model");
    if (*ret == NULL) {
        *ret = b->arch == ARCH_X86_64 ? propstring_value(b->cpu_custom, "reported-model")
                                      : default_model(b);
    }
    return 0;
}

/* What QEMU calls the model: in a -cpu that is given whole, the first word. Caller frees. */
static char *model_of_command(const CmdBuild *b)
{
    const char *given = b->params->cpu;

    return given != NULL ? g_strndup(given, strcspn(given, ","))
                         : g_strdup(b->cpu_model->qemu_name);
}

static int check_kind(const CmdBuild *b, Err *err)
{
    const CpuModel *m = b->cpu_model;
    bool arm = b->arch == ARCH_AARCH64;

    if (m->kind != CPU_ANY && arm != (m->kind == CPU_ARM_64)) {
        return err_setf(err, -EINVAL, "cpu: model '%s' is not for arch %s", m->name,
                        arch_name(b->arch));
    }
    if (m->kind == CPU_X86_32 && b->ovmf) {
        return err_setf(err, -EINVAL, "bios: ovmf needs a 64-bit processor, '%s' (cpu) is none",
                        m->name);
    }
    return 0;
}

int cmd_cpu_choose(CmdBuild *b, Err *err)
{
    const PropString *cpu = cpu_option(b);
    const char *name = cpu != NULL ? propstring_text(cpu, "cputype") : NULL;

    if (b->params->cpu != NULL) {
        g_autofree char *given = model_of_command(b);
        b->cpu_model = cpu_model_find(given);
        return 0; /* nothing is left to choose */
    }
    if (name == NULL) {
        name = default_model(b);
    }
    if (g_str_has_prefix(name, CPU_CUSTOM_PREFIX)) {
        int r = choose_custom(b, name + strlen(CPU_CUSTOM_PREFIX), &name, err);
        if (r < 0) {
            return r;
        }
    }
    b->cpu_model = cpu_model_find(name);
    if (b->cpu_model == NULL) {
        return err_setf(err, -EINVAL,
                        "cpu: unknown model '%.60s': use host, max, kvm64, qemu64, x86-64-v2-AES, "
                        "x86-64-v3, x86-64-v4, a model of QEMU, or custom-NAME",
                        name);
    }
    return check_kind(b, err);
}

/* --------------------------------------------------------------- topology */

/* A processor of its own for each vCPU beyond the first, so that they can be unplugged. */
static void plug_cpus(CmdBuild *b, int64_t cores, int64_t vcpus)
{
    g_autofree char *name = model_of_command(b);

    for (int64_t i = 1; i < vcpus; i++) {
        cmd_option(b, "-device",
                   "%s-x86_64-cpu,id=cpu%" G_GINT64_FORMAT ",socket-id=%" G_GINT64_FORMAT
                   ",core-id=%" G_GINT64_FORMAT ",thread-id=0",
                   name, i + 1, i / cores, i % cores);
    }
}

int cmd_smp(CmdBuild *b, Err *err)
{
    int64_t sockets = guestconf_int(b->conf, "sockets");
    int64_t cores = guestconf_int(b->conf, "cores");
    int64_t most = sockets * cores;
    int64_t vcpus = guestconf_int(b->conf, "vcpus") > 0 ? guestconf_int(b->conf, "vcpus") : most;
    bool plugged =
        guestconf_hotplug(b->conf, "cpu") && cmd_machine(b, 2, 7, 0) && b->arch == ARCH_X86_64;

    if (most > CPUS_MAX) {
        return err_setf(err, -EINVAL, "cores: sockets*cores is %" G_GINT64_FORMAT ", more than %d",
                        most, CPUS_MAX);
    }
    if (b->host->cpus > 0 && most > b->host->cpus) {
        return err_setf(err, -ENOTSUP,
                        "cores: %" G_GINT64_FORMAT " CPUs are more than the %d of node '%s'", most,
                        b->host->cpus, b->host->node);
    }
    if (vcpus > most) {
        return err_setf(err, -EINVAL, "vcpus: more than sockets*cores");
    }
    cmd_option(b, "-smp",
               "%" G_GINT64_FORMAT ",sockets=%" G_GINT64_FORMAT ",cores=%" G_GINT64_FORMAT
               ",maxcpus=%" G_GINT64_FORMAT,
               plugged ? 1 : vcpus, sockets, cores, most);
    if (plugged) {
        plug_cpus(b, cores, vcpus);
    }
    return 0;
}

/* ------------------------------------------------------------------ flags */

typedef struct Flag {
    char op;           /* '+', '-', or 0 for a setting */
    const char *value; /* of a setting, or NULL; borrowed or constant */
    const char *reason;
} Flag;

typedef struct Flags {
    CmdBuild *b;
    GTree *by_name; /* char * -> Flag *, sorted */
} Flags;

static char *flag_text(const char *name, const Flag *flag)
{
    const char op[2] = {flag->op, '\0'};

    return g_strconcat(op, name, flag->value != NULL ? "=" : "", flag->value, NULL);
}

/* Sets a flag; says so when that changes what another place wanted. */
static void set_flag(Flags *f, const char *name, Flag flag)
{
    const Flag *old = g_tree_lookup(f->by_name, name);

    if (old != NULL && (old->op != flag.op || g_strcmp0(old->value, flag.value) != 0)) {
        g_autofree char *was = flag_text(name, old);
        g_autofree char *is = flag_text(name, &flag);
        cmd_warn(f->b, "cpu: flag '%s' (%s) overwrites '%s' (%s)", is, flag.reason, was,
                 old->reason);
    }
    g_tree_replace(f->by_name, g_strdup(name), g_memdup2(&flag, sizeof flag));
}

static void set_plain(Flags *f, const char *name, char op, const char *reason)
{
    set_flag(f, name, (Flag){op, NULL, reason});
}

static void system_flags(Flags *f, const char *model)
{
    CmdBuild *b = f->b;

    if (b->arch != ARCH_X86_64) {
        return;
    }
    if (strcmp(model, "kvm64") == 0) {
        set_plain(f, "lahf_lm", '+', "for 64 bit Windows since 8.1");
        set_plain(f, "sep", '+', "for Windows since 8");
    }
    if (strcmp(guestconf_text(b->conf, "ostype"), "solaris") == 0) {
        set_plain(f, "x2apic", '-', "Solaris cannot use it");
    }
    if (g_str_has_prefix(model, "Opteron")) {
        set_plain(f, "rdtscp", '-', "broken on Opteron");
    }
    if (b->kvm && cmd_machine(b, 2, 3, 0)) {
        set_plain(f, "kvm_pv_unhalt", '+', "for spin locks of Linux guests");
        set_plain(f, "kvm_pv_eoi", '+', "for interrupts of Linux guests");
    }
}

/* Windows 11 turns on security features that cost speed or do not work inside a guest yet. QEMU
 * knows these names since 11.0. */
static void windows11_flags(Flags *f, const char *model)
{
    CmdBuild *b = f->b;

    if (b->windows != 11 || b->arch != ARCH_X86_64 || !b->kvm || !cmd_qemu(b, 11, 0)) {
        return;
    }
    set_plain(f, "cet-ibt", '-', "Windows 11 does not start with it");
    set_plain(f, "cet-ss", '-', "Windows 11 does not start with it");
    if (strcmp(model, "host") != 0 || strcmp(b->host->cpu_vendor, "GenuineIntel") != 0) {
        return;
    }
    if (cmd_machine(b, 11, 0, 2)) {
        set_plain(f, "hv_evmcs", 0, "nested Hyper-V on Intel");
    } else {
        set_plain(f, "vmx-mbec", '-', "slow without hv_evmcs");
    }
}

static void hyperv_flags(Flags *f, const char *vendor_id)
{
    static const char reason[] = "for Windows";
    CmdBuild *b = f->b;

    if (!b->kvm || b->windows < 6 || (b->ovmf && b->windows < 8)) {
        return;
    }
    if (vendor_id == NULL && b->gpu_passed) {
        /* Drivers of graphics cards refuse the usual one; this is what existing guests know. */
        vendor_id = "proxmox";
    }
    if (vendor_id != NULL) {
        set_flag(f, "hv_vendor_id", (Flag){0, vendor_id, reason});
    }
    set_flag(f, "hv_spinlocks", (Flag){0, "0x1fff", reason});
    set_plain(f, "hv_vapic", 0, reason);
    set_plain(f, "hv_time", 0, reason);
    if (cmd_machine(b, 2, 6, 0)) {
        set_plain(f, "hv_reset", 0, reason);
        set_plain(f, "hv_vpindex", 0, reason);
        set_plain(f, "hv_runtime", 0, reason);
    }
    if (b->windows >= 7) {
        set_plain(f, "hv_relaxed", 0, reason);
        if (cmd_machine(b, 2, 12, 0)) {
            set_plain(f, "hv_synic", 0, reason);
            set_plain(f, "hv_stimer", 0, reason);
        }
        if (cmd_machine(b, 3, 1, 0)) {
            set_plain(f, "hv_ipi", 0, reason);
        }
    }
}

/* "+aes;-pcid". `nested-virt` is whatever the host's processor calls it. */
static void listed_flags(Flags *f, const char *list, const char *reason)
{
    g_auto(GStrv) items = g_strsplit(list != NULL ? list : "", ";", -1);

    for (char **item = items; *item != NULL; item++) {
        const char *name = *item + 1;
        if ((*item)[0] == '\0') {
            continue;
        }
        if (strcmp(name, "nested-virt") == 0) {
            name = strcmp(f->b->host->cpu_vendor, "AuthenticAMD") == 0 ? "svm" : "vmx";
        }
        set_plain(f, name, (*item)[0], reason);
    }
}

static void forced_flags(Flags *f, const CpuModel *model)
{
    CmdBuild *b = f->b;

    if (b->arch != ARCH_X86_64) {
        return;
    }
    if (b->kvm && strcmp(model->qemu_name, "host") != 0) {
        set_plain(f, "enforce", 0, "fail when the host cannot do it");
    }
    if (b->hide_kvm) {
        set_flag(f, "kvm", (Flag){0, "off", "hidden from the guest"});
    }
    if (model->vendor != NULL) {
        set_flag(f, "vendor", (Flag){0, model->vendor, "of the model"});
    }
}

/* ------------------------------------------------------------------- -cpu */

static int compare_names(const void *a, const void *b, void *data)
{
    (void)data;
    return strcmp(a, b);
}

static gboolean append_flag(void *name, void *flag, void *out)
{
    g_autofree char *text = flag_text(name, flag);

    g_string_append_printf(out, ",%s", text);
    return FALSE; /* go on */
}

static int append_bits(const CmdBuild *b, GString *out, Err *err)
{
    const char *bits = cmd_cpu_prop(b, "phys-bits");
    const char *guest_bits = cmd_cpu_prop(b, "guest-phys-bits");

    if (guest_bits != NULL && !cmd_qemu(b, 9, 1)) {
        return err_setf(err, -ENOTSUP, "cpu: guest-phys-bits needs QEMU 9.1 or newer");
    }

    if (bits != NULL && strcmp(bits, "host") == 0) {
        g_string_append(out, ",host-phys-bits=true");
    } else if (bits != NULL) {
        g_string_append_printf(out, ",phys-bits=%s", bits);
    }
    if (guest_bits != NULL) {
        g_string_append_printf(out, ",guest-phys-bits=%s", guest_bits);
    }
    return 0;
}

int cmd_cpu(CmdBuild *b, Err *err)
{
    g_autoptr(GTree) tree = g_tree_new_full(compare_names, NULL, g_free, g_free);
    g_autoptr(GString) out = g_string_new(NULL);
    const PropString *cpu = cpu_option(b);
    const CpuModel *model = b->cpu_model;
    const char *hidden = cmd_cpu_prop(b, "hidden");
    Flags f = {b, tree};
    int r;

    if (b->params->cpu != NULL) {
        cmd_option(b, "-cpu", "%s", b->params->cpu);
        return 0;
    }
    b->hide_kvm = b->hide_kvm || (hidden != NULL && propstring_parse_bool(hidden) == 1);

    system_flags(&f, model->name);
    hyperv_flags(&f, cmd_cpu_prop(b, "hv-vendor-id"));
    windows11_flags(&f, model->name);
    listed_flags(&f, model->flags, "part of the model");
    listed_flags(&f, b->cpu_custom != NULL ? propstring_text(b->cpu_custom, "flags") : NULL,
                 "set by the custom CPU model");
    listed_flags(&f, cpu != NULL ? propstring_text(cpu, "flags") : NULL, "set for this guest");
    forced_flags(&f, model);

    g_string_append(out, model->qemu_name);
    if (cmd_cpu_prop(b, "level") != NULL) {
        g_string_append_printf(out, ",level=%s", cmd_cpu_prop(b, "level"));
    }
    g_tree_foreach(tree, append_flag, out);
    r = append_bits(b, out, err);
    if (r < 0) {
        return r;
    }
    cmd_option(b, "-cpu", "%s", out->str);
    return 0;
}
