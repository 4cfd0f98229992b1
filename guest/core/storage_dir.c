/* SPDX-License-Identifier: Apache-2.0 */
/* Storages that are a directory tree: dir, and what is mounted there: nfs, cifs, cephfs. btrfs
 * keeps raw images as a file in a subvolume of their own. */
#include "guest/core/storage_path.h"
#include "guest/core/volid.h"

#include <errno.h>
#include <string.h>

static const struct ContentDir {
    const char *content;
    const char *prefix; /* of the volume name, NULL for images */
    const char *dir;
    const char *suffixes; /* accepted, separated by one blank; NULL: any */
} contents[] = {
    {"iso", "iso", "template/iso", ".iso .img"},
    {"vztmpl", "vztmpl", "template/cache", ".tar.gz .tar.xz .tar.zst .tar.bz2"},
    {"backup", "backup", "dump", NULL},
    {"snippets", "snippets", "snippets", NULL},
    {"import", "import", "import", ".ova .ovf .qcow2 .raw .vmdk"},
    {"images", NULL, "images", NULL},
    {"rootdir", NULL, "private", NULL},
};

static const char *const image_formats[] = {"raw", "qcow2", "vmdk", "subvol"};

static const char *format_of(const char *name)
{
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot != NULL && i < G_N_ELEMENTS(image_formats); i++) {
        if (strcmp(dot + 1, image_formats[i]) == 0) {
            return image_formats[i];
        }
    }
    return NULL;
}

static bool has_suffix(const char *name, const char *suffixes)
{
    g_auto(GStrv) list = NULL;

    if (suffixes == NULL) {
        return true;
    }
    list = g_strsplit(suffixes, " ", -1);
    for (char **suffix = list; *suffix != NULL; suffix++) {
        g_autofree char *lower = g_ascii_strdown(name, -1);
        if (g_str_has_suffix(lower, *suffix)) {
            return true;
        }
    }
    return false;
}

static int parse_content(const struct ContentDir *c, const char *name, VolumeName *ret, Err *err)
{
    /* Backups may lie in folders of people's own making, other content may not. */
    if ((strchr(name, '/') != NULL && strcmp(c->content, "import") != 0) ||
        !has_suffix(name, c->suffixes)) {
        return err_setf(err, -EINVAL, "'%s/%.100s' is not a name for %s%s%s", c->prefix, name,
                        c->content, c->suffixes != NULL ? ": it must end in one of " : "",
                        c->suffixes != NULL ? c->suffixes : "");
    }
    *ret = (VolumeName){
        .content = c->content,
        .name = g_strdup(name),
        .format = strcmp(c->content, "import") == 0 ? format_of(name) : NULL,
    };
    return 0;
}

/* "VMID/NAME" or "BASEVMID/BASENAME/VMID/NAME" */
static int parse_image(const char *volume, VolumeName *ret, Err *err)
{
    g_auto(GStrv) parts = g_strsplit(volume, "/", -1);
    guint n = g_strv_length(parts);
    uint32_t base_owner;
    uint32_t owner = 0;

    if ((n != 2 && n != 4) || vmid_parse(parts[n - 2], &owner, NULL) < 0 ||
        (n == 4 && vmid_parse(parts[0], &base_owner, NULL) < 0) || strpbrk(volume, " \t") != NULL) {
        return err_setf(err, -EINVAL,
                        "'%.100s' is not a volume: write VMID/NAME.raw, .qcow2 or .vmdk, or "
                        "iso/NAME.iso",
                        volume);
    }
    if (format_of(parts[n - 1]) == NULL || parts[n - 1][0] == '.') {
        return err_setf(err, -EINVAL,
                        "'%.100s' is not a name ending in .raw, .qcow2, .vmdk or .subvol",
                        parts[n - 1]);
    }
    *ret = (VolumeName){
        .content = "images",
        .owner = owner,
        .name = g_strdup(parts[n - 1]),
        .format = format_of(parts[n - 1]),
        .base = n == 4 ? g_strdup_printf("%s/%s", parts[0], parts[1]) : NULL,
        .is_base = g_str_has_prefix(parts[n - 1], "base-"),
    };
    return 0;
}

static int dir_parse(const Storage *s, const char *volume, VolumeName *ret, Err *err)
{
    (void)s; /* names are the same on all of them */
    for (size_t i = 0; i < G_N_ELEMENTS(contents); i++) {
        const struct ContentDir *c = &contents[i];
        size_t len = c->prefix != NULL ? strlen(c->prefix) : 0;
        if (len > 0 && strncmp(volume, c->prefix, len) == 0 && volume[len] == '/') {
            return parse_content(c, volume + len + 1, ret, err);
        }
    }
    return parse_image(volume, ret, err);
}

/* `content-dirs iso=isos,images=disks`: an own place for a kind of content, or NULL. */
static char *own_dir(const Storage *s, const char *content)
{
    const char *list = storage_prop(s, "content-dirs");
    g_auto(GStrv) items = g_strsplit(list != NULL ? list : "", ",", -1);

    for (char **item = items; *item != NULL; item++) {
        char *eq = strchr(*item, '=');
        if (eq != NULL && (size_t)(eq - *item) == strlen(content) &&
            strncmp(*item, content, strlen(content)) == 0) {
            const char *dir = eq + 1 + strspn(eq + 1, "/");
            return volume_is_inside(dir) ? g_strdup(dir) : NULL;
        }
    }
    return NULL;
}

char *storage_content_dir(const Storage *s, const char *content)
{
    const char *path = storage_prop(s, "path");
    g_autofree char *mount = path == NULL ? g_strdup_printf("/mnt/pve/%s", s->id) : NULL;
    g_autofree char *own = own_dir(s, content);
    const char *dir = own;

    for (size_t i = 0; dir == NULL && i < G_N_ELEMENTS(contents); i++) {
        if (strcmp(contents[i].content, content) == 0) {
            dir = contents[i].dir;
        }
    }
    path = path != NULL ? path : mount;
    return g_strdup_printf("%.*s/%s", (int)(strlen(path) - (g_str_has_suffix(path, "/") ? 1 : 0)),
                           path, dir != NULL ? dir : content);
}

static char *file_path(const Storage *s, const VolumeName *name)
{
    g_autofree char *dir = storage_content_dir(s, name->content);

    if (strcmp(name->content, "images") == 0) {
        return g_strdup_printf("%s/%u/%s", dir, name->owner, name->name);
    }
    return g_strdup_printf("%s/%s", dir, name->name);
}

static int dir_locate(
    const Storage *s, const VolumeName *name, const HostFacts *host, VolumeSource *ret, Err *err)
{
    (void)host;
    (void)err; /* a name that parsed has a place */
    ret->kind = SOURCE_FILE;
    ret->path = file_path(s, name);
    ret->chain =
        strcmp(ret->format, "qcow2") == 0 && storage_flag(s, "snapshot-as-volume-chain", false);
    ret->discard_no_unref = ret->chain;
    ret->uring = URING_ALWAYS;
    return 0;
}

/* io_uring on CIFS returns errors on kernels from 5.15 on. */
static int cifs_locate(
    const Storage *s, const VolumeName *name, const HostFacts *host, VolumeSource *ret, Err *err)
{
    int r = dir_locate(s, name, host, ret, err);

    ret->uring = URING_NEVER;
    return r;
}

static int btrfs_locate(
    const Storage *s, const VolumeName *name, const HostFacts *host, VolumeSource *ret, Err *err)
{
    int r = dir_locate(s, name, host, ret, err);

    /* Direct I/O and checksums do not go together: the data may change while it is summed. */
    ret->buffered = !storage_flag(s, "nocow", false);
    if (r == 0 && strcmp(name->content, "images") == 0 && strcmp(ret->format, "raw") == 0) {
        char *folder = ret->path;
        ret->path =
            g_strdup_printf("%.*s/disk.raw", (int)(strlen(folder) - strlen(".raw")), folder);
        g_free(folder);
    }
    return r;
}

const StorageOps storage_ops_dir = {"dir", dir_parse, dir_locate};
const StorageOps storage_ops_nfs = {"nfs", dir_parse, dir_locate};
const StorageOps storage_ops_cephfs = {"cephfs", dir_parse, dir_locate};
const StorageOps storage_ops_cifs = {"cifs", dir_parse, cifs_locate};
const StorageOps storage_ops_btrfs = {"btrfs", dir_parse, btrfs_locate};
