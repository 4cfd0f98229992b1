/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_ovf.h"

#include "guest/io/textfile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int check_file(const OvfDisk *d, const char *path, const char *folder, Err *err)
{
    size_t len = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
    struct stat st;

    if (strncmp(path, folder, len) != 0 || path[len] != '/') {
        return err_setf(err, -EINVAL, "file '%s' is a link out of its folder", d->href);
    }
    if (stat(path, &st) < 0) {
        return err_setf(err, -errno, "%s: %s", path, g_strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return err_setf(err, -EINVAL, "%s: not a regular file", path);
    }
    if (d->file_size >= 0 && d->file_size != st.st_size) {
        return err_setf(err, -EINVAL,
                        "%s has %jd bytes, its description says %" PRId64
                        ": it is not complete, or another one",
                        path, (intmax_t)st.st_size, d->file_size);
    }
    return 0;
}

/* Names are URIs: "a%20b.vmdk" is often, but not always, the file "a b.vmdk". */
static int find_file(OvfDisk *d, const char *folder, Err *err)
{
    g_autofree char *plain = g_uri_unescape_string(d->href, "/");
    const char *const names[] = {d->href, plain};
    char *path = NULL;
    int r = 0;

    for (size_t i = 0; r == 0 && path == NULL && i < G_N_ELEMENTS(names); i++) {
        g_autofree char *joined =
            names[i] != NULL ? g_build_filename(folder, names[i], NULL) : NULL;
        r = joined != NULL ? ovf_check_href(names[i], err) : 0;
        path = r == 0 && joined != NULL ? realpath(joined, NULL) : NULL;
    }
    if (r == 0 && path == NULL) {
        r = err_setf(err, -ENOENT, "%s/%s: %s", folder, d->href, g_strerror(ENOENT));
    }
    if (r == 0) {
        r = check_file(d, path, folder, err);
    }
    if (r == 0) {
        d->path = g_strdup(path);
    }
    free(path); /* of realpath, not GLib */
    return r;
}

static int find_files(Ovf *ovf, const char *path, Err *err)
{
    g_autofree char *dir = g_path_get_dirname(path);
    char *folder = realpath(dir, NULL);
    int r = folder != NULL ? 0 : err_setf(err, -errno, "%s: %s", dir, g_strerror(errno));

    for (guint i = 0; r == 0 && i < ovf->disks->len; i++) {
        OvfDisk *d = ovf->disks->pdata[i];
        r = d->href != NULL ? find_file(d, folder, err) : 0;
    }
    free(folder); /* of realpath, not GLib */
    return r;
}

int guest_ovf_read(const char *path, Ovf **ret, Err *err)
{
    g_autoptr(Ovf) ovf = NULL;
    g_autofree char *text = NULL;
    size_t len = 0;
    int r;

    if (g_str_has_suffix(path, ".ova")) {
        return err_setf(err, -ENOTSUP,
                        "%s: an archive; unpack it with tar, and name the .ovf file of it", path);
    }
    r = textfile_read(path, OVF_TEXT_MAX, &text, &len, err);
    if (r < 0) {
        return r;
    }
    r = ovf_parse(text, len, &ovf, err);
    if (r == 0) {
        r = find_files(ovf, path, err);
    }
    if (r < 0) {
        return err_wrapf(err, r, "%s", path);
    }
    *ret = g_steal_pointer(&ovf);
    return 0;
}
