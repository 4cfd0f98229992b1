/* SPDX-License-Identifier: Apache-2.0 */
/* pvesm_volume: alloc, free, export, import. */
#include "cli/guest_cli.h"
#include "cli/pvesm_verbs.h"

#include "guest/core/volid.h"
#include "guest/io/volume.h"
#include "guest/io/volume_stream.h"
#include "lib/base/jsontree.h"
#include "lib/base/sizetext.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void print_volid(bool json, const char *what, const char *volid)
{
    if (json) {
        g_autoptr(JsonTree) o = jsontree_new_object();
        g_autofree char *text = NULL;
        jsontree_set_text(o, "volid", volid);
        text = jsontree_pretty(o);
        fputs(text, stdout);
    } else {
        printf("successfully %s '%s'\n", what, volid);
    }
}

/* A number alone is KiB, as in all scripts that call this. */
static int parse_size(const char *text, uint64_t *ret, Err *err)
{
    bool plain = text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
    g_autofree char *kib = plain ? g_strconcat(text, "K", NULL) : NULL;

    return size_parse(plain ? kib : text, ret, err);
}

/* The format a name ends in, or the option, which must not contradict. */
static int choose_format(const char *name, const char **ret, Err *err)
{
    static const char *const formats[] = {"raw", "qcow2", "vmdk", NULL};
    const char *dot = name != NULL ? strrchr(name, '.') : NULL;
    const char *option = pvesm_options.format;

    if (dot == NULL || !g_strv_contains(formats, dot + 1) ||
        (option != NULL && strcmp(dot + 1, option) == 0)) {
        *ret = option;
        return 0;
    }
    if (option != NULL) {
        return err_setf(err, -EINVAL, "--format %s: the name '%s' says something else", option,
                        name);
    }
    *ret = dot + 1;
    return 0;
}

int pvesm_alloc(char **operands, Err *err)
{
    const char *name = operands[2][0] != '\0' ? operands[2] : NULL;
    VolumeSpec spec = {.name = name};
    g_auto(GuestCli) cli = {0};
    g_autofree char *volid = NULL;
    g_autofree char *full = NULL;
    bool json = false;
    int r = cli_wants_json(&json, err);

    if (r == 0) {
        r = vmid_parse(operands[1], &spec.vmid, err);
    }
    if (r == 0) {
        r = parse_size(operands[3], &spec.size, err);
    }
    if (r == 0) {
        r = choose_format(name, &spec.format, err);
    }
    if (r == 0) {
        r = guest_cli_open(pvesm_options.root, &cli, err);
    }
    if (r < 0) {
        return r;
    }
    if (name != NULL && (spec.format == NULL || !g_str_has_suffix(name, spec.format))) {
        spec.format = spec.format != NULL ? spec.format : "raw"; /* the name has no suffix */
        full = g_strdup_printf("%s.%s", name, spec.format);
        spec.name = full;
    }
    guest_cli_long_work(cli.set, stderr);
    r = volume_alloc(cli.set, operands[0], &spec, &volid, err);
    if (r == 0) {
        print_volid(json, "created", volid);
    }
    return r;
}

int pvesm_free(char **operands, Err *err)
{
    g_auto(GuestCli) cli = {0};
    int r = guest_cli_open(pvesm_options.root, &cli, err);

    if (r == 0) {
        r = volume_free(cli.set, operands[0], err);
    }
    if (r == 0) {
        printf("Removed volume '%s'\n", operands[0]);
    }
    return r;
}

/* ----------------------------------------------------------------- streams */

static int check_base(Err *err)
{
    return pvesm_options.base == NULL
               ? 0
               : err_setf(err, -ENOTSUP, "--base: no storage here has incremental streams");
}

int pvesm_export(char **operands, Err *err)
{
    VolumeExport how = {.format = operands[1]};
    bool to_stdout = strcmp(operands[2], "-") == 0;
    g_auto(GuestCli) cli = {0};
    int fd = STDOUT_FILENO;
    int r = check_base(err);

    if (r == 0) {
        r = guest_cli_open(pvesm_options.root, &cli, err);
    }
    if (r < 0) {
        return r;
    }
    how.snapshot = strcmp(how.format, "raw+size") == 0 ? pvesm_options.snapshot : NULL;
    how.with_snapshots = pvesm_options.with_snapshots;
    if (!to_stdout) {
        fd = open(operands[2], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0) {
            return err_setf(err, -errno, "%s: %s", operands[2], g_strerror(errno));
        }
    }
    guest_cli_long_work(cli.set, stderr);
    r = volume_export(cli.set, operands[0], &how, fd, err);
    if (!to_stdout) {
        if (r == 0 && fsync(fd) < 0) {
            r = err_setf(err, -errno, "%s: %s", operands[2], g_strerror(errno));
        }
        (void)close(fd); /* synced, or failed already */
        if (r < 0) {
            (void)unlink(operands[2]); /* half of a stream is of no use */
        }
    }
    return r;
}

static int open_stream(const char *name, int *ret, Err *err)
{
    if (strcmp(name, "-") == 0) {
        *ret = STDIN_FILENO;
        return 0;
    }
    if (g_str_has_prefix(name, "tcp://")) {
        return err_setf(err, -ENOTSUP,
                        "'%s': volumes are taken from files and pipes only; nodes send them "
                        "encrypted, through the migration agent",
                        name);
    }
    *ret = open(name, O_RDONLY | O_CLOEXEC);
    return *ret < 0 ? err_setf(err, -errno, "%s: %s", name, g_strerror(errno)) : 0;
}

int pvesm_import(char **operands, Err *err)
{
    VolumeImport how = {.format = operands[1]};
    g_autofree char *volid = NULL;
    g_auto(GuestCli) cli = {0};
    bool json = false;
    int fd = -1;
    int r = cli_wants_json(&json, err);

    if (r == 0) {
        r = check_base(err);
    }
    if (r == 0) {
        r = guest_cli_open(pvesm_options.root, &cli, err);
    }
    if (r == 0) {
        r = open_stream(operands[2], &fd, err);
    }
    if (r < 0) {
        return r;
    }
    how.with_snapshots = pvesm_options.with_snapshots;
    how.allow_rename = pvesm_options.allow_rename;
    how.delete_snapshot = pvesm_options.delete_snapshot;
    guest_cli_long_work(cli.set, stderr);
    r = volume_import(cli.set, operands[0], &how, fd, &volid, err);
    if (fd != STDIN_FILENO) {
        (void)close(fd); /* only read from */
    }
    if (r == 0) {
        print_volid(json, "imported", volid);
    }
    return r;
}
