/* SPDX-License-Identifier: Apache-2.0 */
/* Guests whose memory the host cannot read: AMD SEV, Intel TDX. */
#include "guest/core/cmdbuild.h"

#include <errno.h>
#include <string.h>

/* Guest policy, as the SEV firmware defines it. */
enum {
    SEV_NO_DEBUG = 1 << 0,
    SEV_NO_KEY_SHARING = 1 << 1,
    SEV_ES = 1 << 2,
    SEV_NO_SEND = 1 << 3, /* always: the memory must not leave this host */
    SNP_SMT = 1 << 16,
    SNP_RESERVED = 1 << 17, /* must be set */
    SNP_DEBUG = 1 << 19,
};

bool cmd_has_snp(const CmdBuild *b)
{
    const PropString *sev = guestconf_props(b->conf, "amd-sev");

    return sev != NULL && strcmp(propstring_text(sev, "type"), "snp") == 0;
}

static unsigned sev_policy(const PropString *sev, const char *type)
{
    unsigned policy = SEV_NO_SEND;

    if (strcmp(type, "snp") == 0) {
        return SNP_RESERVED | (propstring_bool(sev, "allow-smt") ? SNP_SMT : 0u) |
               (propstring_bool(sev, "no-debug") ? 0u : SNP_DEBUG);
    }
    policy |= propstring_bool(sev, "no-debug") ? SEV_NO_DEBUG : 0u;
    policy |= propstring_bool(sev, "no-key-sharing") ? SEV_NO_KEY_SHARING : 0u;
    policy |= strcmp(type, "es") == 0 ? SEV_ES : 0u;
    return policy;
}

static int add_sev(CmdBuild *b, const PropString *sev, Err *err)
{
    const SevCaps *caps = &b->host->sev;
    const char *type = propstring_text(sev, "type");
    bool snp = strcmp(type, "snp") == 0;
    bool able = snp ? caps->snp : strcmp(type, "es") == 0 ? caps->es : caps->std;

    if (!able) {
        return err_setf(err, -ENOTSUP,
                        "amd-sev: the processor of node '%s' does not offer type '%s'",
                        b->host->node, type);
    }
    if (!b->ovmf) {
        return err_setf(err, -EINVAL, "amd-sev: needs bios ovmf");
    }
    cmd_device_option(b, "-object", "%s,id=sev0,cbitpos=%d,reduced-phys-bits=%d,policy=0x%x%s",
                      snp ? "sev-snp-guest" : "sev-guest", caps->cbitpos, caps->reduced_phys_bits,
                      sev_policy(sev, type),
                      propstring_bool(sev, "kernel-hashes") ? ",kernel-hashes=on" : "");
    cmd_machine_flag(b, "confidential-guest-support=sev0");
    return 0;
}

static int add_tdx(CmdBuild *b, const PropString *tdx, Err *err)
{
    if (!b->host->tdx) {
        return err_setf(err, -ENOTSUP, "intel-tdx: the processor of node '%s' does not offer it",
                        b->host->node);
    }
    if (!b->ovmf) {
        return err_setf(err, -EINVAL, "intel-tdx: needs bios ovmf");
    }
    if (propstring_bool(tdx, "attestation")) {
        const char *cid = propstring_text(tdx, "vsock-cid");
        const char *port = propstring_text(tdx, "vsock-port");
        cmd_device_option(b, "-object",
                          "{\"qom-type\":\"tdx-guest\",\"id\":\"tdx0\","
                          "\"quote-generation-socket\":{\"type\":\"vsock\",\"cid\":\"%s\","
                          "\"port\":\"%s\"}}",
                          cid != NULL ? cid : "2", port != NULL ? port : "4050");
    } else {
        cmd_device_option(b, "-object", "{\"qom-type\":\"tdx-guest\",\"id\":\"tdx0\"}");
    }
    cmd_machine_flag(b, "confidential-guest-support=tdx0");
    cmd_machine_flag(b, "kernel_irqchip=split");
    return 0;
}

int cmd_confidential(CmdBuild *b, Err *err)
{
    const PropString *sev = guestconf_props(b->conf, "amd-sev");
    const PropString *tdx = guestconf_props(b->conf, "intel-tdx");

    if (sev != NULL && tdx != NULL) {
        return err_setf(err, -EINVAL, "intel-tdx: excludes amd-sev");
    }
    if ((sev != NULL || tdx != NULL) && (!b->kvm || b->arch != ARCH_X86_64)) {
        return err_setf(err, -EINVAL, "%s: needs kvm and arch x86_64",
                        sev != NULL ? "amd-sev" : "intel-tdx");
    }
    if (sev != NULL) {
        return add_sev(b, sev, err);
    }
    return tdx != NULL ? add_tdx(b, tdx, err) : 0;
}
