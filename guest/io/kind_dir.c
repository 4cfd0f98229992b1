/* SPDX-License-Identifier: Apache-2.0 */
/* kind_dir: storages that are a directory: dir, and what somebody has mounted: nfs, cifs, cephfs.
 * Images are files in images/VMID; qcow2 keeps snapshots inside and linked clones by backing file.
 */
#include "guest/core/imagehead.h"
#include "guest/core/volid.h"
#include "guest/core/volname.h"
#include "guest/io/storage_kind.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LIST_MAX 100000 /* files of one folder; more is a mistake, and would not be readable */

static const char *const dir_formats[] = {"raw", "qcow2", "vmdk", NULL};

/* In the order of lists. */
static const struct ContentKind {
    const char *content;
    const char *prefix; /* of volume names */
} contents[] = {{"iso", "iso"},           {"vztmpl", "vztmpl"}, {"backup", "backup"},
                {"snippets", "snippets"}, {"import", "import"}, {"images", NULL}};

static int fail(Err *err, int code, const char *path)
{
    return err_setf(err, code, "%s: %s", path, g_strerror(-code));
}

/* ---------------------------------------------------------------- activate */

static char *top_path(const Storage *s)
{
    const char *path = storage_prop(s, "path");

    return path != NULL ? g_strdup(path) : g_strdup_printf("/mnt/pve/%s", s->id);
}

static bool is_mount_point(const char *path)
{
    g_autofree char *parent = g_path_get_dirname(path);
    struct stat st;
    struct stat up;

    if (stat(path, &st) < 0 || stat(parent, &up) < 0) {
        return false;
    }
    return st.st_dev != up.st_dev || st.st_ino == up.st_ino;
}

/* `is_mountpoint yes`, or the path of the mount point itself. */
static int check_mounted(const Storage *s, const char *path, bool always, Err *err)
{
    const char *value = storage_prop(s, "is_mountpoint");
    bool is_path = value != NULL && value[0] == '/';
    const char *mount = is_path ? value : path;

    if (!always && !is_path && !storage_flag(s, "is_mountpoint", false)) {
        return 0;
    }
    return is_mount_point(mount)
               ? 0
               : err_setf(err, -ENODEV, "storage '%s': nothing is mounted at %s", s->id, mount);
}

static int make_dirs(const char *path, Err *err)
{
    return g_mkdir_with_parents(path, 0755) < 0 ? fail(err, -errno, path) : 0;
}

static int make_subdirs(const Storage *s, Err *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < G_N_ELEMENTS(contents); i++) {
        if (storage_has_content(s, contents[i].content)) {
            g_autofree char *dir = storage_content_dir(s, contents[i].content);
            r = make_dirs(dir, err);
        }
    }
    return r;
}

static int activate(const Storage *s, bool mounted, Err *err)
{
    g_autofree char *path = top_path(s);
    bool mkdir = storage_flag(s, "mkdir", true);
    struct stat st;
    int r;

    if (path[0] != '/' || (path[1] != '\0' && !volume_is_inside(path + 1 + strspn(path + 1, "/")) &&
                           !g_str_has_suffix(path, "/"))) {
        return err_setf(err, -EINVAL, "storage '%s': path '%s' is not absolute and plain", s->id,
                        path);
    }
    r = check_mounted(s, path, mounted, err);
    if (r == 0 && mkdir && storage_flag(s, "create-base-path", true)) {
        r = make_dirs(path, err);
    }
    if (r < 0) {
        return r;
    }
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        return err_setf(err, -ENOENT, "storage '%s': %s is no directory", s->id, path);
    }
    return mkdir && storage_flag(s, "create-subdirs", true) ? make_subdirs(s, err) : 0;
}

static int dir_activate(const Storage *s, Err *err)
{
    return activate(s, false, err);
}

static int mounted_activate(const Storage *s, Err *err)
{
    return activate(s, true, err);
}

/* Where nothing is mounted, numbers would be those of another file system. */
static int status(const Storage *s, bool mounted, StorageStatus *ret, Err *err)
{
    g_autofree char *path = top_path(s);
    int r = check_mounted(s, path, mounted, err);
    struct statvfs st;

    if (r < 0) {
        return r;
    }
    if (statvfs(path, &st) < 0) {
        return fail(err, -errno, path);
    }
    ret->total = (uint64_t)st.f_blocks * st.f_frsize;
    ret->avail = (uint64_t)st.f_bavail * st.f_frsize;
    ret->used = (uint64_t)(st.f_blocks - st.f_bfree) * st.f_frsize;
    return 0;
}

static int dir_status(const Storage *s, StorageStatus *ret, Err *err)
{
    return status(s, false, ret, err);
}

static int mounted_status(const Storage *s, StorageStatus *ret, Err *err)
{
    return status(s, true, ret, err);
}

/* ------------------------------------------------------------------- paths */

static char *image_dir(const Storage *s, uint32_t vmid)
{
    g_autofree char *dir = storage_content_dir(s, "images");

    return g_strdup_printf("%s/%u", dir, vmid);
}

static char *file_path(const Storage *s, const VolumeName *name)
{
    g_autofree char *dir = strcmp(name->content, "images") == 0
                               ? image_dir(s, name->owner)
                               : storage_content_dir(s, name->content);

    return g_build_filename(dir, name->name, NULL);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names in a folder, sorted; none when it is not there. */
static int names_in(const char *path, GPtrArray **ret, Err *err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    DIR *dir = opendir(path);
    const struct dirent *entry;

    if (dir == NULL && errno != ENOENT) {
        return fail(err, -errno, path);
    }
    while (dir != NULL && (entry = readdir(dir)) != NULL && names->len <= LIST_MAX) {
        if (entry->d_name[0] != '.') {
            g_ptr_array_add(names, g_strdup(entry->d_name));
        }
    }
    if (dir != NULL) {
        (void)closedir(dir); /* only read from */
    }
    if (names->len > LIST_MAX) {
        return err_setf(err, -E2BIG, "%s: holds more than %d files", path, LIST_MAX);
    }
    g_ptr_array_sort(names, compare_names);
    *ret = g_steal_pointer(&names);
    return 0;
}

/* -------------------------------------------------------------------- heads */

/* What is at the start of a file, and the name of its backing file when it has one. */
static int read_head(const char *path, ImageHead *ret, char **ret_backing, Err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    uint8_t head[IMAGEHEAD_SIZE];
    uint8_t name[IMAGEHEAD_BACKING_MAX];
    ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof head, 0);
    int r = n < 0 ? fail(err, -errno, path) : imagehead_parse(head, (size_t)n, ret, err);

    if (n >= 0 && r < 0) {
        err_wrapf(err, r, "%s", path);
    }
    if (r == 0 && ret->backing_size > 0) {
        n = pread(fd, name, ret->backing_size, (off_t)ret->backing_offset);
        *ret_backing =
            n == (ssize_t)ret->backing_size ? imagehead_backing_name(name, (size_t)n) : NULL;
    }
    if (fd >= 0) {
        (void)close(fd); /* only read from */
    }
    return r;
}

/* "../100/base-100-disk-0.qcow2" in images/101 -> "100/base-100-disk-0.qcow2" */
static char *base_of_backing(const char *backing)
{
    g_auto(GStrv) parts = backing != NULL ? g_strsplit(backing, "/", -1) : NULL;
    guint n = parts != NULL ? g_strv_length(parts) : 0;
    uint32_t owner;

    if (n < 2 || vmid_parse(parts[n - 2], &owner, NULL) < 0) {
        return NULL;
    }
    return g_strdup_printf("%s/%s", parts[n - 2], parts[n - 1]);
}

static int dir_info(const Storage *s, const VolumeName *name, VolumeInfo *ret, Err *err)
{
    g_autofree char *path = file_path(s, name);
    g_autofree char *backing = NULL;
    VolumeInfo info = {0};
    struct stat st;
    int r = 0;

    if (lstat(path, &st) < 0) {
        return err_setf(err, -errno, "storage '%s': %s: %s", s->id, path, g_strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return err_setf(err, -EINVAL, "%s: is no regular file", path);
    }
    info.size = (uint64_t)st.st_size;
    info.used = (uint64_t)st.st_blocks * 512;
    if (g_strcmp0(name->format, "qcow2") == 0) {
        ImageHead head;
        r = read_head(path, &head, &backing, err);
        info.size = r == 0 ? head.size : 0;
        info.snapshots = r == 0 ? head.snapshots : 0;
    } else if (g_strcmp0(name->format, "vmdk") == 0) {
        g_auto(ImageInfo) image = {0};
        r = qemuimg_info(path, "vmdk", &image, err);
        info.size = r == 0 ? image.size : 0;
    }
    if (r == 0) {
        *ret = info;
    }
    return r;
}

/* -------------------------------------------------------------------- list */

/* The suffix that says what an iso, template or backup is. */
static const char *plain_format(const char *content, const char *leaf)
{
    const char *dot = strrchr(leaf, '.');
    const char *tar = strstr(leaf, ".tar");

    if (strcmp(content, "iso") == 0) {
        return "iso";
    }
    if (strcmp(content, "snippets") == 0) {
        return "snippet";
    }
    return tar != NULL ? tar + 1 : dot != NULL ? dot + 1 : "unknown";
}

/* A damaged image is listed with size 0: the list is where one looks for it. */
static void add_item(const Storage *s, char *volume, const char *dir, GPtrArray *ret)
{
    VolumeItem *item = g_new0(VolumeItem, 1);
    g_autofree char *path = NULL;
    VolumeInfo info = {0};
    ImageHead head;
    struct stat st;

    item->volume = volume;
    if (volume_name_parse(s, volume, &item->name, NULL) < 0) {
        volume_item_free(item); /* some other file */
        return;
    }
    path = g_build_filename(dir, item->name.name, NULL);
    if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode)) {
        volume_item_free(item);
        return;
    }
    item->format = item->name.format != NULL ? item->name.format
                                             : plain_format(item->name.content, item->volume);
    if (dir_info(s, &item->name, &info, NULL) == 0) {
        item->size = info.size;
    }
    item->used = (uint64_t)st.st_blocks * 512;
    item->ctime = (int64_t)st.st_ctim.tv_sec;
    if (strcmp(item->format, "qcow2") == 0) {
        g_autofree char *backing = NULL;
        if (read_head(path, &head, &backing, NULL) == 0) {
            item->parent = base_of_backing(backing);
        }
    }
    if (item->parent != NULL) { /* its full name tells where it comes from */
        char *full = g_strdup_printf("%s/%s", item->parent, item->volume);
        volume_name_clear(&item->name);
        g_free(item->volume);
        item->volume = full;
        if (volume_name_parse(s, full, &item->name, NULL) < 0) {
            volume_item_free(item);
            return;
        }
    }
    g_ptr_array_add(ret, item);
}

static int list_plain(const Storage *s, const struct ContentKind *c, GPtrArray *ret, Err *err)
{
    g_autofree char *dir = storage_content_dir(s, c->content);
    g_autoptr(GPtrArray) names = NULL;
    int r = names_in(dir, &names, err);

    for (guint i = 0; r == 0 && i < names->len; i++) {
        add_item(s, g_strdup_printf("%s/%s", c->prefix, (const char *)names->pdata[i]), dir, ret);
    }
    return r;
}

static int list_images_of(const Storage *s, uint32_t vmid, GPtrArray *ret, Err *err)
{
    g_autofree char *dir = image_dir(s, vmid);
    g_autoptr(GPtrArray) names = NULL;
    int r = names_in(dir, &names, err);

    for (guint i = 0; r == 0 && i < names->len; i++) {
        add_item(s, g_strdup_printf("%u/%s", vmid, (const char *)names->pdata[i]), dir, ret);
    }
    return r;
}

static int list_images(const Storage *s, uint32_t vmid, GPtrArray *ret, Err *err)
{
    g_autofree char *dir = storage_content_dir(s, "images");
    g_autoptr(GPtrArray) owners = NULL;
    int r;

    if (vmid != 0) {
        return list_images_of(s, vmid, ret, err);
    }
    r = names_in(dir, &owners, err);
    for (guint i = 0; r == 0 && i < owners->len; i++) {
        if (vmid_parse(owners->pdata[i], &vmid, NULL) == 0) {
            r = list_images_of(s, vmid, ret, err);
        }
    }
    return r;
}

static int dir_list(const Storage *s, const char *content, uint32_t vmid, GPtrArray *ret, Err *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < G_N_ELEMENTS(contents); i++) {
        const struct ContentKind *c = &contents[i];
        if ((content != NULL && strcmp(content, c->content) != 0) ||
            !storage_has_content(s, c->content)) {
            continue;
        }
        if (c->prefix == NULL) {
            r = list_images(s, vmid, ret, err);
        } else if (vmid == 0) {
            r = list_plain(s, c, ret, err);
        }
    }
    return r;
}

/* ------------------------------------------------------------ make and free */

static void drop_empty_dir(const Storage *s, uint32_t vmid)
{
    g_autofree char *dir = image_dir(s, vmid);

    (void)rmdir(dir); /* only an empty one goes */
}

/* The full last part of what `spec` asks for. */
static int choose_name(const char *dir, const VolumeSpec *spec, char **ret, Err *err)
{
    g_autofree char *suffix = g_strdup_printf(".%s", spec->format);
    g_autoptr(GPtrArray) names = NULL;
    unsigned n = 0;
    int r;

    if (spec->name != NULL) {
        r = volname_check(spec->name, spec->vmid, err);
        if (r == 0 && !g_str_has_suffix(spec->name, suffix)) {
            r = err_setf(err, -EINVAL, "'%s' must end in '%s', the format of the volume",
                         spec->name, suffix);
        }
        *ret = r == 0 ? g_strdup(spec->name) : NULL;
        return r;
    }
    r = names_in(dir, &names, err);
    if (r == 0) {
        r = volname_next(names, spec->vmid, &n, err);
    }
    if (r == 0) {
        *ret = g_strdup_printf("vm-%u-disk-%u%s", spec->vmid, n, suffix);
    }
    return r;
}

static int dir_reserve(const Storage *s, const VolumeSpec *spec, char **ret_volume, Err *err)
{
    g_autofree char *dir = image_dir(s, spec->vmid);
    g_autofree char *name = NULL;
    g_autofree char *path = NULL;
    int r = choose_name(dir, spec, &name, err);
    int fd;

    if (r == 0) {
        r = make_dirs(dir, err);
    }
    if (r < 0) {
        return r;
    }
    path = g_build_filename(dir, name, NULL);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0) {
        r = -errno;
        drop_empty_dir(s, spec->vmid);
        return r == -EEXIST
                   ? err_setf(err, r, "volume '%s:%u/%s' exists already", s->id, spec->vmid, name)
                   : fail(err, r, path);
    }
    (void)close(fd); /* nothing was written */
    *ret_volume = g_strdup_printf("%u/%s", spec->vmid, name);
    return 0;
}

static int dir_fill(const Storage *s,
                    const VolumeName *name,
                    const VolumeSpec *spec,
                    const ImageProgress *progress,
                    Err *err)
{
    const char *preallocation = storage_prop(s, "preallocation");
    g_autofree char *path = file_path(s, name);
    ImageCreate c = {.path = path,
                     .format = spec->format,
                     .size = spec->size,
                     .preallocation = preallocation != NULL ? preallocation : "metadata"};

    return qemuimg_create(&c, progress, err);
}

static int
dir_fill_clone(const Storage *s, const VolumeName *name, const VolumeName *base, Err *err)
{
    g_autofree char *path = file_path(s, name);
    g_autofree char *backing = g_strdup_printf("../%u/%s", base->owner, base->name);
    ImageCreate c = {
        .path = path, .format = "qcow2", .backing = backing, .backing_format = base->format};

    return qemuimg_create(&c, NULL, err);
}

/* An image of the storage that is a clone of `base`, or NULL. */
static int find_clone(const Storage *s, const VolumeName *base, char **ret, Err *err)
{
    g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func(volume_item_free);
    g_autofree char *wanted = g_strdup_printf("%u/%s", base->owner, base->name);
    int r = list_images(s, 0, items, err);

    for (guint i = 0; r == 0 && i < items->len; i++) {
        const VolumeItem *item = items->pdata[i];
        if (g_strcmp0(item->parent, wanted) == 0) {
            *ret = g_strdup(item->volume);
            return 0;
        }
    }
    return r;
}

static int dir_free(const Storage *s, const VolumeName *name, Err *err)
{
    g_autofree char *path = file_path(s, name);
    g_autofree char *clone = NULL;
    int r = name->is_base ? find_clone(s, name, &clone, err) : 0;

    if (r < 0) {
        return r;
    }
    if (clone != NULL) {
        return err_setf(err, -EBUSY, "volume '%s:%u/%s' is the base of linked clone '%s:%s'", s->id,
                        name->owner, name->name, s->id, clone);
    }
    if (unlink(path) < 0) {
        return errno == ENOENT ? err_setf(err, -ENOENT, "volume '%s' of storage '%s' is not there",
                                          name->name, s->id)
                               : fail(err, -errno, path);
    }
    if (name->owner != 0) {
        drop_empty_dir(s, name->owner);
    }
    return 0;
}

static int dir_make_base(const Storage *s, const VolumeName *name, char **ret_volume, Err *err)
{
    g_autofree char *from = file_path(s, name);
    g_autofree char *leaf = volname_to_base(name->name);
    g_autofree char *dir = image_dir(s, name->owner);
    g_autofree char *to = leaf != NULL ? g_build_filename(dir, leaf, NULL) : NULL;

    if (name->is_base || leaf == NULL) {
        return err_setf(err, -EINVAL, "'%s' cannot become a base: its name must begin with 'vm-'",
                        name->name);
    }
    if (access(to, F_OK) == 0) {
        return fail(err, -EEXIST, to);
    }
    if (rename(from, to) < 0) {
        return fail(err, -errno, from);
    }
    (void)chmod(to, 0440); /* a reminder: root may write anyway */
    *ret_volume = g_strdup_printf("%s%s%u/%s", name->base != NULL ? name->base : "",
                                  name->base != NULL ? "/" : "", name->owner, leaf);
    return 0;
}

static int
dir_give(const Storage *s, const VolumeName *name, uint32_t vmid, char **ret_volume, Err *err)
{
    g_autofree char *from = file_path(s, name);
    g_autofree char *dir = image_dir(s, vmid);
    VolumeSpec spec = {.vmid = vmid, .format = name->format};
    g_autofree char *leaf = NULL;
    g_autofree char *to = NULL;
    int r = choose_name(dir, &spec, &leaf, err);

    if (r == 0) {
        r = make_dirs(dir, err);
    }
    if (r < 0) {
        return r;
    }
    to = g_build_filename(dir, leaf, NULL);
    if (link(from, to) < 0) { /* unlike rename, this never overwrites */
        r = -errno;
        drop_empty_dir(s, vmid);
        return fail(err, r, to);
    }
    if (unlink(from) < 0) {
        r = -errno;
        (void)unlink(to); /* the first name still has it */
        return fail(err, r, from);
    }
    drop_empty_dir(s, name->owner);
    *ret_volume = g_strdup_printf("%s%s%u/%s", name->base != NULL ? name->base : "",
                                  name->base != NULL ? "/" : "", vmid, leaf);
    return 0;
}

static int dir_resize(const Storage *s, const VolumeName *name, uint64_t size, Err *err)
{
    g_autofree char *path = file_path(s, name);

    return qemuimg_resize(path, name->format, size, false, err);
}

static int dir_snapshot(const Storage *s,
                        const VolumeName *name,
                        ImageSnapshotAction action,
                        const char *snapshot,
                        Err *err)
{
    g_autofree char *path = file_path(s, name);

    if (strcmp(name->format, "qcow2") != 0) {
        return err_setf(err, -ENOTSUP, "volume '%s:%u/%s': format %s has no snapshots, qcow2 has",
                        s->id, name->owner, name->name, name->format);
    }
    if (storage_flag(s, "snapshot-as-volume-chain", false)) {
        return err_setf(err, -ENOTSUP,
                        "storage '%s': snapshots as volume chains cannot be made yet", s->id);
    }
    return qemuimg_snapshot(path, action, snapshot, err);
}

#define DIR_KIND(word, start, sizes)                                                               \
    {                                                                                              \
        .type = word, .formats = dir_formats, .activate = start, .status = sizes,                  \
        .list = dir_list, .reserve = dir_reserve, .fill = dir_fill, .fill_clone = dir_fill_clone,  \
        .free = dir_free, .make_base = dir_make_base, .give = dir_give, .info = dir_info,          \
        .resize = dir_resize, .snapshot = dir_snapshot,                                            \
    }

const StorageKind storage_kind_dir = DIR_KIND("dir", dir_activate, dir_status);
/* Whoever mounts them (an entry in fstab), they are directories then. */
const StorageKind storage_kind_nfs = DIR_KIND("nfs", mounted_activate, mounted_status);
const StorageKind storage_kind_cifs = DIR_KIND("cifs", mounted_activate, mounted_status);
const StorageKind storage_kind_cephfs = DIR_KIND("cephfs", mounted_activate, mounted_status);
