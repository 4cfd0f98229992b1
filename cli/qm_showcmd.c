/* SPDX-License-Identifier: Apache-2.0 */
/* qm_showcmd: the QEMU command of a guest, on this host or on another one. */
#include "cli/qm_verbs.h"

#include "guest/core/qemucmd.h"
#include "guest/core/volid.h"
#include "guest/io/host_world.h"
#include "guest/io/textfile.h"

#include <errno.h>
#include <stdio.h>

typedef struct WarnFile {
    const char *path;
} WarnFile;

static void warn_line(void *ctx, unsigned line, const char *text)
{
    const WarnFile *file = ctx;

    fprintf(stderr, "warning: %s: line %u: %s\n", file->path, line, text);
}

int qm_load_config(uint32_t vmid, VmConf **ret, char **ret_path, Err *err)
{
    g_autofree char *path = NULL;
    g_autofree char *text = NULL;
    WarnFile file;
    size_t len;
    int r;

    if (qm_options.config != NULL) {
        path = g_strdup(qm_options.config);
    } else {
        g_autofree char *name = g_strdup_printf("%u.conf", vmid);
        path = g_build_filename(qm_options.root != NULL ? qm_options.root : CLUSTER_ROOT,
                                "qemu-server", name, NULL);
    }
    r = textfile_read(path, VMCONF_TEXT_MAX, &text, &len, err);
    if (r < 0) {
        return r;
    }
    file.path = path;
    r = vmconf_parse(text, len, &(VmConfParse){.file = path, .warn = warn_line, .ctx = &file}, ret,
                     err);
    if (r < 0) {
        return err_wrapf(err, r, "%s", path);
    }
    if (ret_path != NULL) {
        *ret_path = g_steal_pointer(&path);
    }
    return 0;
}

static int find_section(const VmConf *conf, const VmSection **ret, Err *err)
{
    if (qm_options.snapshot == NULL) {
        *ret = vmconf_main(conf);
        return 0;
    }
    *ret = vmconf_section(conf, VM_SECTION_SNAPSHOT, qm_options.snapshot);
    return *ret != NULL ? 0 : err_setf(err, -ENOENT, "no snapshot '%s'", qm_options.snapshot);
}

/* A snapshot with RAM starts with the machine and the processor that it was taken on. */
static void as_recorded(const VmSection *section, QemuCmdParams *params)
{
    if (section->kind == VM_SECTION_SNAPSHOT) {
        params->machine = vmsection_get(section, "runningmachine");
        params->cpu = vmsection_get(section, "runningcpu");
    }
}

/* The host the command is for. A tree that is not there would pass for one without storages. */
static int open_world(HostWorld **ret, Err *err)
{
    HostWorldOptions options = {.root = qm_options.root,
                                .assume = qm_options.assume,
                                .run_dir = qm_options.run_dir,
                                .look_only = true};

    if (options.root != NULL && !g_file_test(options.root, G_FILE_TEST_IS_DIR)) {
        return err_setf(err, -ENOTDIR, "--root: '%s' is no directory", options.root);
    }
    return host_world_new(&options, ret, err);
}

static int
make(uint32_t vmid, const VmConf *conf, const HostWorld *world, QemuCmd **ret, Err *err)
{
    const VmSection *section = NULL;
    QemuCmdParams params = {.vmid = vmid};
    int r = find_section(conf, &section, err);

    if (r == 0) {
        as_recorded(section, &params);
        r = qemucmd_build(section, host_world_facts(world), &params, ret, err);
    }
    return r;
}

int qm_showcmd(char **operands, Err *err)
{
    g_autoptr(VmConf) conf = NULL;
    g_autoptr(HostWorld) world = NULL;
    g_autoptr(QemuCmd) cmd = NULL;
    g_autofree char *path = NULL;
    g_autofree char *text = NULL;
    uint32_t vmid = 0;
    int r = vmid_parse(operands[0], &vmid, err);

    if (r == 0) {
        r = open_world(&world, err);
    }
    if (r == 0) {
        r = qm_load_config(vmid, &conf, &path, err);
    }
    if (r < 0) {
        return r;
    }
    r = make(vmid, conf, world, &cmd, err);
    if (r < 0) {
        return err_wrapf(err, r, "%s", path);
    }
    for (guint i = 0; i < cmd->warnings->len; i++) {
        fprintf(stderr, "warning: %s: %s\n", path, (const char *)cmd->warnings->pdata[i]);
    }
    text = qemucmd_text(cmd, qm_options.pretty);
    printf("%s\n", text);
    return 0;
}
