/* SPDX-License-Identifier: Apache-2.0 */
/* OVMF: the code in one flash chip, read-only, and the guest's variables in another. SeaBIOS is
 * what QEMU starts on its own. Reference guest.md section 6. */
#include "guest/core/blockdev.h"
#include "guest/core/cmdbuild.h"
#include "lib/base/jsontext.h"

#include <errno.h>
#include <string.h>

typedef struct Firmware {
    const char *code;
    int64_t vars_bytes; /* of the variable store that belongs to it */
} Firmware;

/* What a variable store must hold is fixed by the layout of the code beside it. */
#define VARS_2M_BYTES  131072
#define VARS_4M_BYTES  540672
#define VARS_ARM_BYTES 67108864

static Firmware choose_firmware(const CmdBuild *b, const PropString *efidisk)
{
    const char *type = efidisk != NULL ? propstring_value(efidisk, "efitype") : "2m";

    if (b->arch == ARCH_AARCH64) {
        return (Firmware){"AAVMF_CODE.fd", VARS_ARM_BYTES};
    }
    if (guestconf_props(b->conf, "amd-sev") != NULL) {
        return (Firmware){"OVMF_SEV_CODE_4M.fd", VARS_4M_BYTES};
    }
    if (strcmp(type, "4m") != 0) {
        return (Firmware){"OVMF_CODE.fd", VARS_2M_BYTES};
    }
    /* Only q35 has what protects the variables from the guest's own system. */
    return (Firmware){cmd_is_q35(b) ? "OVMF_CODE_4M.secboot.fd" : "OVMF_CODE_4M.fd", VARS_4M_BYTES};
}

static char *firmware_path(const CmdBuild *b, const char *file)
{
    return g_strdup_printf(
        "%s/%s", b->arch == ARCH_AARCH64 ? b->host->arm_firmware_dir : b->host->firmware_dir, file);
}

/* Where the variables are: the EFI disk, or a file that is gone after the guest's end. */
static int locate_vars(CmdBuild *b, const PropString *efidisk, VolumeSource **ret, Err *err)
{
    const char *file = efidisk != NULL ? propstring_text(efidisk, "file") : NULL;
    const char *format = efidisk != NULL ? propstring_text(efidisk, "format") : NULL;
    int r;

    if (file == NULL) {
        VolumeSource *s = g_new0(VolumeSource, 1);
        *s = (VolumeSource){.kind = SOURCE_FILE,
                            .content = "images",
                            .format = "raw",
                            .path = g_strdup_printf("%s/efidisk/%u-ovmf.fd", b->host->run_dir,
                                                    guestconf_vmid(b->conf)),
                            .uring = URING_ALWAYS};
        cmd_warn(b, "bios: no efidisk0 configured, changes of EFI variables will be lost");
        *ret = s;
        return 0;
    }
    r = volume_check_content(b->host, file, err);
    if (r == 0) {
        r = volume_locate(b->host, file, ret, err);
    }
    if (r < 0) {
        return err_wrapf(err, r, "efidisk0");
    }
    if (format != NULL && file[0] == '/') {
        (*ret)->format = format;
    }
    return 0;
}

static void
add_flash_drives(CmdBuild *b, const char *code, const VolumeSource *vars, const DiskOptions *o)
{
    g_autofree char *code_text = cmd_escape(code);
    g_autofree char *vars_text = blockdev_drive(vars, o, NULL);

    cmd_option(b, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=%s", code_text);
    cmd_option(b, "-drive", "if=pflash,unit=1,%s", vars_text);
}

static void
add_flash_nodes(CmdBuild *b, const char *code, const VolumeSource *vars, const DiskOptions *o)
{
    g_autoptr(GArray) no_limits = g_array_new(FALSE, FALSE, sizeof(DriveLimit));
    g_autofree char *group = blockdev_throttle_group(o->drive, no_limits);
    g_autofree char *vars_text = blockdev_json(vars, o);
    g_autoptr(GString) code_text = g_string_new(NULL);

    json_append_string(code_text, code);
    cmd_option(b, "-object", "%s", group);
    cmd_option(b, "-blockdev",
               "{\"driver\":\"raw\",\"node-name\":\"pflash0\",\"read-only\":true,"
               "\"file\":{\"driver\":\"file\",\"filename\":%s}}",
               code_text->str);
    cmd_option(b, "-blockdev", "%s", vars_text);
    cmd_machine_flag(b, "pflash0=pflash0");
    cmd_machine_flag(b, "pflash1=drive-efidisk0");
}

static void add_flash(CmdBuild *b, const char *code, const VolumeSource *vars, int64_t vars_bytes)
{
    /* Flash is written in many small steps: without the host's cache that takes minutes. */
    bool file = vars->kind != SOURCE_RBD && vars->kind != SOURCE_ISCSI;
    DiskOptions o = {.drive = "efidisk0",
                     .read_only = b->template,
                     .aio = !file                         ? NULL
                            : vars->uring == URING_ALWAYS ? "io_uring"
                                                          : "threads",
                     .discard = "ignore",
                     .detect_zeroes = "on",
                     .size = vars_bytes,
                     .throttle = true};

    if (cmd_machine(b, 10, 0, 0) && !blockdev_needs_drive(vars, &o) && vars->kind != SOURCE_RBD) {
        add_flash_nodes(b, code, vars, &o);
        return;
    }
    o.aio = NULL;
    o.detect_zeroes = NULL;
    o.size = cmd_machine(b, 4, 1, 2) ? vars_bytes : 0;
    o.flash = true;
    add_flash_drives(b, code, vars, &o);
}

int cmd_firmware(CmdBuild *b, Err *err)
{
    const PropString *efidisk = guestconf_props(b->conf, "efidisk0");
    g_autoptr(VolumeSource) vars = NULL;
    g_autofree char *path = NULL;
    Firmware firmware;
    int r;

    if (!b->ovmf) {
        return 0;
    }
    if (cmd_has_snp(b) || guestconf_props(b->conf, "intel-tdx") != NULL) {
        /* Memory encrypted this way cannot hold flash: the firmware is one file. */
        path = firmware_path(b, cmd_has_snp(b) ? "OVMF_SEV_4M.fd" : "OVMF_TDX_4M.fd");
        if (efidisk != NULL) {
            cmd_warn(b, "efidisk0: not possible with this memory encryption, ignored");
        }
        cmd_option(b, "-bios", "%s", path);
        return 0;
    }
    if (guestconf_props(b->conf, "amd-sev") != NULL && efidisk != NULL &&
        strcmp(propstring_value(efidisk, "efitype"), "4m") != 0) {
        return err_setf(err, -EINVAL, "efidisk0: amd-sev needs efitype=4m");
    }
    firmware = choose_firmware(b, efidisk);
    path = firmware_path(b, firmware.code);
    r = locate_vars(b, efidisk, &vars, err);
    if (r < 0) {
        return r;
    }
    add_flash(b, path, vars, firmware.vars_bytes);
    return 0;
}
