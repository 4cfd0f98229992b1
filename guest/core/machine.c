/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/core/machine.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

STRTAB_DEFINE(arch, Arch, ARCH_LIST, ARCH_N)

/* The version that an unpinned Windows guest gets: hardware that never changes under it. */
#define WINDOWS_MAJOR 5
#define WINDOWS_MINOR 1

#define VERSION_PART_MAX 999
#define CANDIDATE_MICRO  90

/* Highest revision known of a version. Versions that are not listed have revision 0 only. */
static const struct {
    int major;
    int minor;
    int revision;
} revisions[] = {
    {4, 1, 2},  /* 2: size of the variable store, more than 14 SCSI disks, entropy device */
    {9, 2, 1},  /* 1: S3 and S4 are off */
    {10, 0, 1}, /* 1: the guest is told the MTU of the bridge */
    {10, 1, 1}, {10, 2, 1}, {11, 0, 2}, /* 2: enlightened VMCS for Windows on Intel hosts */
};

static int highest_revision(int major, int minor)
{
    for (size_t i = 0; i < G_N_ELEMENTS(revisions); i++) {
        if (revisions[i].major == major && revisions[i].minor == minor) {
            return revisions[i].revision;
        }
    }
    return 0;
}

/* Digits at *at, moved past; false when there are none or too many. */
static bool take_number(const char **at, int *ret)
{
    int n = 0;

    if (!g_ascii_isdigit(**at)) {
        return false;
    }
    for (; g_ascii_isdigit(**at); (*at)++) {
        n = n * 10 + (**at - '0');
        if (n > VERSION_PART_MAX) {
            return false;
        }
    }
    *ret = n;
    return true;
}

int qemu_version_parse(const char *text, QemuVersion *ret, Err *err)
{
    const char *at = text;
    QemuVersion v = {0};

    if (!take_number(&at, &v.major) || *at++ != '.' || !take_number(&at, &v.minor) ||
        (at[0] == '.' && (at++, !take_number(&at, &v.micro))) || at[0] != '\0') {
        return err_setf(err, -EINVAL, "'%.60s' is not a QEMU version like 7.2.0", text);
    }
    *ret = v;
    return 0;
}

bool qemu_version_at_least(const QemuVersion *v, int major, int minor)
{
    return v->major != major ? v->major > major : v->minor >= minor;
}

/* The family prefix at *at, moved past. Longer prefixes come first. */
static bool take_family(const char **at, Machine *m)
{
    static const struct {
        const char *prefix;
        MachineFamily family;
        bool pinned;
    } families[] = {
        {"pc-i440fx-", MACHINE_I440FX, true}, {"pc-q35-", MACHINE_Q35, true},
        {"virt-", MACHINE_VIRT, true},        {"pc-", MACHINE_I440FX, true},
        {"pc", MACHINE_I440FX, false},        {"q35", MACHINE_Q35, false},
        {"virt", MACHINE_VIRT, false},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(families); i++) {
        if (g_str_has_prefix(*at, families[i].prefix)) {
            *at += strlen(families[i].prefix);
            m->family = families[i].family;
            m->pinned = families[i].pinned;
            return true;
        }
    }
    return false;
}

static bool take_version(const char **at, Machine *m)
{
    int part;

    if (!take_number(at, &m->major) || *(*at)++ != '.' || !take_number(at, &m->minor)) {
        return false;
    }
    while (**at == '.' && g_ascii_isdigit((*at)[1])) {
        (*at)++;
        if (!take_number(at, &part)) {
            return false;
        }
    }
    return true;
}

int machine_parse(const char *text, Machine *ret, Err *err)
{
    const char *at = text;
    Machine m = {0};
    bool ok = take_family(&at, &m) && (!m.pinned || take_version(&at, &m));

    if (ok && g_str_has_prefix(at, "+pve")) {
        at += strlen("+pve");
        ok = take_number(&at, &m.revision);
    }
    if (ok && strcmp(at, ".pxe") == 0) {
        at += strlen(".pxe");
        m.old_pxe = true;
    }
    if (!ok || at[0] != '\0') {
        return err_setf(err, -EINVAL,
                        "'%.60s' is not a machine type: pc, q35, virt, or with a version as in "
                        "pc-i440fx-7.2, pc-q35-7.2, virt-7.2",
                        text);
    }
    *ret = m;
    return 0;
}

char *machine_type_text(const Machine *m)
{
    static const char *const prefixes[] = {
        [MACHINE_I440FX] = "pc-i440fx", [MACHINE_Q35] = "pc-q35", [MACHINE_VIRT] = "virt"};

    return g_strdup_printf("%s-%d.%d", prefixes[m->family], m->major, m->minor);
}

bool machine_at_least(const Machine *m, int major, int minor, int revision)
{
    if (m->major != major) {
        return m->major > major;
    }
    return m->minor != minor ? m->minor > minor : m->revision >= revision;
}

/* A release candidate, 7.1.93, has the machine types of the release it becomes. */
static bool is_candidate(const QemuVersion *qemu)
{
    return qemu->micro >= CANDIDATE_MICRO;
}

static int refuse_too_new(const Machine *m, const QemuVersion *qemu, const char *node, Err *err)
{
    g_autofree char *type = machine_type_text(m);
    int highest = highest_revision(m->major, m->minor);

    if (is_candidate(qemu)) {
        return 0; /* QEMU itself refuses what it has not */
    }
    if (!qemu_version_at_least(qemu, m->major, m->minor)) {
        return err_setf(err, -ENOTSUP,
                        "machine: QEMU %d.%d.%d of node '%s' is too old for type '%s'", qemu->major,
                        qemu->minor, qemu->micro, node, type);
    }
    if (m->revision > highest) {
        return err_setf(err, -ENOTSUP,
                        "machine: node '%s' knows type '%s' only up to revision +pve%d, not "
                        "+pve%d",
                        node, type, highest, m->revision);
    }
    return 0;
}

int machine_resolve(Machine *m, const QemuVersion *qemu, bool windows, const char *node, Err *err)
{
    if (!qemu_version_at_least(qemu, QEMU_MAJOR_MIN, QEMU_MINOR_MIN)) {
        return err_setf(
            err, -ENOTSUP, "QEMU %d.%d.%d of node '%s' is too old, at least %d.%d is required",
            qemu->major, qemu->minor, qemu->micro, node, QEMU_MAJOR_MIN, QEMU_MINOR_MIN);
    }
    if (m->pinned) {
        return refuse_too_new(m, qemu, node, err);
    }
    if (windows && m->family != MACHINE_VIRT) {
        m->major = WINDOWS_MAJOR;
        m->minor = WINDOWS_MINOR;
        m->revision = 0;
        return 0;
    }
    m->major = qemu->major;
    m->minor = qemu->minor;
    m->revision = highest_revision(m->major, m->minor);
    return 0;
}
