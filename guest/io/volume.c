/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/volume.h"

#include "guest/core/imagehead.h"
#include "guest/core/volid.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define HEAD_SIZE 512 /* bytes that tell one format from another */

void volume_ref_clear(VolumeRef *ref)
{
    volume_name_clear(&ref->name);
}

int volume_ref(const StorageSet *set, const char *volid, VolumeRef *ret, Err *err)
{
    VolumeRef ref = {0};
    Volid v;
    int r = volid_parse(volid, &v, err);

    if (r == 0 && v.kind != VOLID_VOLUME) {
        r = err_setf(err, -EINVAL, "'%.100s' is not a volume of a storage", volid);
    }
    if (r == 0) {
        r = storage_set_use(set, v.storage, &ref.storage, err);
    }
    if (r == 0) {
        r = storage_kind_of(ref.storage, &ref.kind, err);
    }
    if (r == 0) {
        r = volume_name_parse(ref.storage, v.rest, &ref.name, err);
    }
    if (r == 0) {
        *ret = ref;
    }
    return r;
}

int volume_path(const StorageSet *set, const char *volid, char **ret, Err *err)
{
    g_autoptr(VolumeSource) source = NULL;
    int r = volume_locate(&set->facts, volid, &source, err);

    if (r == 0 && source->path == NULL) {
        r = err_setf(err, -ENOTSUP, "'%.100s' has no path: its storage is reached by network",
                     volid);
    }
    if (r == 0) {
        *ret = g_steal_pointer(&source->path);
    }
    return r;
}

int volume_info(const StorageSet *set, const char *volid, VolumeInfo *ret, Err *err)
{
    g_auto(VolumeRef) ref = {0};
    int r = volume_ref(set, volid, &ref, err);

    return r == 0 ? ref.kind->info(ref.storage, &ref.name, ret, err) : r;
}

/* ---------------------------------------------------------------- new ones */

static bool has_format(const StorageKind *kind, const char *format)
{
    return g_strv_contains(kind->formats, format);
}

/* The storage for new disks, and the format they get there. */
static int choose(const StorageSet *set,
                  const char *id,
                  const char *wanted,
                  const Storage **ret,
                  const StorageKind **ret_kind,
                  const char **ret_format,
                  Err *err)
{
    const char *own;
    int r = storage_set_use(set, id, ret, err);

    if (r == 0) {
        r = storage_kind_of(*ret, ret_kind, err);
    }
    if (r == 0 && !storage_has_content(*ret, "images")) {
        r = err_setf(err, -EINVAL, "storage '%s' is not for disks: its content lacks 'images'", id);
    }
    if (r < 0) {
        return r;
    }
    own = storage_prop(*ret, "format");
    own = own != NULL && has_format(*ret_kind, own) ? own : (*ret_kind)->formats[0];
    *ret_format = wanted != NULL ? wanted : own;
    return has_format(*ret_kind, *ret_format)
               ? 0
               : err_setf(err, -EINVAL, "storage '%s' (%s) has no disks of format '%.20s'", id,
                          (*ret)->type, *ret_format);
}

static int
reserve(const StorageSet *set, const VolumeRef *at, const VolumeSpec *spec, char **ret, Err *err)
{
    g_autoptr(StorageLock) lock = NULL;
    int r = storage_lock_take(set, at->storage, &lock, err);

    return r == 0 ? at->kind->reserve(at->storage, spec, ret, err) : r;
}

static int drop(const StorageSet *set, const VolumeRef *ref, Err *err)
{
    g_autoptr(StorageLock) lock = NULL;
    int r = storage_lock_take(set, ref->storage, &lock, err);

    return r == 0 ? ref->kind->free(ref->storage, &ref->name, err) : r;
}

/* After a failure: the first error is the one to tell, with what stays behind when that fails too.
 */
static void undo(const StorageSet *set, const VolumeRef *ref, const char *volume, Err *err)
{
    Err why = ERR_INIT;

    if (drop(set, ref, &why) < 0 && err != NULL) {
        g_autofree char *first = g_strdup(err_text(err));
        err_setf(err, err->code, "%s; and '%s:%s' could not be removed: %s", first,
                 ref->storage->id, volume, err_text(&why));
    }
}

static int sync_file(const char *path, Err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;

    if (fd >= 0) {
        (void)close(fd); /* synced or failed by now */
    }
    return r < 0 ? err_setf(err, r, "%s: %s", path, g_strerror(-r)) : 0;
}

/* The file of a volume and the folder that names it. */
static int sync_volume(const StorageSet *set, const char *volid, Err *err)
{
    g_autofree char *path = NULL;
    g_autofree char *dir = NULL;
    int r = volume_path(set, volid, &path, err);

    if (r == 0) {
        r = sync_file(path, err);
    }
    if (r == 0) {
        dir = g_path_get_dirname(path);
        r = sync_file(dir, err);
    }
    return r;
}

/* A new volume, filled by the kind (`base` NULL: empty; else: a clone of it). */
static int make(const StorageSet *set,
                VolumeRef *at,
                const VolumeSpec *spec,
                const VolumeName *base,
                char **ret_volid,
                Err *err)
{
    g_autofree char *volume = NULL;
    g_autofree char *volid = NULL;
    int r = reserve(set, at, spec, &volume, err);

    if (r == 0) {
        r = volume_name_parse(at->storage, volume, &at->name, err);
    }
    if (r < 0) {
        return r;
    }
    volid = base != NULL
                ? g_strdup_printf("%s:%u/%s/%s", at->storage->id, base->owner, base->name, volume)
                : g_strdup_printf("%s:%s", at->storage->id, volume);
    if (set->made != NULL) {
        set->made(set->made_ctx, spec->vmid, volid);
    }
    r = base != NULL ? at->kind->fill_clone(at->storage, &at->name, base, err)
                     : at->kind->fill(at->storage, &at->name, spec, &set->progress, err);
    if (r == 0) {
        r = sync_volume(set, volid, err);
    }
    if (r < 0) {
        undo(set, at, volume, err);
        return r;
    }
    *ret_volid = g_steal_pointer(&volid);
    return 0;
}

int volume_alloc(
    const StorageSet *set, const char *storage, const VolumeSpec *spec, char **ret_volid, Err *err)
{
    g_auto(VolumeRef) at = {0};
    VolumeSpec full = *spec;
    int r = choose(set, storage, spec->format, &at.storage, &at.kind, &full.format, err);

    return r == 0 ? make(set, &at, &full, NULL, ret_volid, err) : r;
}

int volume_clone(
    const StorageSet *set, const char *base_volid, uint32_t vmid, char **ret_volid, Err *err)
{
    g_auto(VolumeRef) base = {0};
    g_auto(VolumeRef) at = {0};
    VolumeSpec spec = {.vmid = vmid, .format = "qcow2"};
    int r = volume_ref(set, base_volid, &base, err);

    if (r == 0 && !base.name.is_base) {
        r = err_setf(err, -EINVAL, "volume '%s' is no base: linked clones are of templates only",
                     base_volid);
    }
    if (r == 0 && base.kind->fill_clone == NULL) {
        r = err_setf(err, -ENOTSUP, "storage '%s' (%s) has no linked clones", base.storage->id,
                     base.storage->type);
    }
    if (r < 0) {
        return r;
    }
    at = (VolumeRef){.storage = base.storage, .kind = base.kind};
    return make(set, &at, &spec, &base.name, ret_volid, err);
}

/* -------------------------------------------------------------------- copy */

typedef struct CopySource {
    char *path;
    const char *format;
    uint64_t size;
} CopySource;

/* What an image file is, of which only the path is known. */
static int detect_format(const char *path, const char **ret, Err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint8_t head[HEAD_SIZE];
    ImageHead parsed;
    ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof head, 0);
    int r = n < 0 ? err_setf(err, -errno, "%s: %s", path, g_strerror(errno)) : 0;

    if (fd >= 0) {
        (void)close(fd); /* only read from */
    }
    if (r < 0) {
        return r;
    }
    if (imagehead_parse(head, (size_t)n, &parsed, NULL) == 0) {
        *ret = "qcow2";
    } else if (g_str_has_suffix(path, ".vmdk")) {
        *ret = "vmdk";
    } else if (imagehead_is_formatted(head, (size_t)n)) {
        return err_setf(err, -EINVAL,
                        "%s: is neither raw nor qcow2: convert it with qemu-img first", path);
    } else {
        *ret = "raw";
    }
    return 0;
}

/* Files that an image names belong to the host, not to who made the image. A linked clone names the
 * base that its id names, and nothing else. */
static int check_alone(const char *path, const char *format, const VolumeName *name, Err *err)
{
    g_auto(ImageInfo) info = {0};
    g_autofree char *expected = NULL;
    int r;

    if (strcmp(format, "raw") == 0) {
        return 0;
    }
    r = qemuimg_info(path, format, &info, err);
    if (r < 0) {
        return r;
    }
    expected = name != NULL && name->base != NULL ? g_strdup_printf("../%s", name->base) : NULL;
    if (info.foreign || g_strcmp0(info.backing, expected) != 0) {
        return err_setf(err, -EPERM, "%s: its data is in another file%s%s, which is not opened",
                        path, info.backing != NULL ? ": " : "",
                        info.backing != NULL ? info.backing : "");
    }
    return 0;
}

static int open_path(const char *path, CopySource *ret, Err *err)
{
    g_auto(ImageInfo) info = {0};
    int r = detect_format(path, &ret->format, err);

    if (r == 0) {
        r = check_alone(path, ret->format, NULL, err);
    }
    if (r == 0) {
        r = qemuimg_info(path, ret->format, &info, err);
    }
    if (r == 0) {
        ret->path = g_strdup(path);
        ret->size = info.size;
    }
    return r;
}

static int open_source(const StorageSet *set, const char *from, CopySource *ret, Err *err)
{
    g_auto(VolumeRef) ref = {0};
    VolumeInfo info;
    int r;

    if (from[0] == '/') {
        return open_path(from, ret, err);
    }
    r = volume_ref(set, from, &ref, err);
    if (r == 0 && ref.name.format == NULL) { /* an iso: raw by nature */
        ref.name.format = "raw";
    }
    if (r == 0) {
        r = ref.kind->info(ref.storage, &ref.name, &info, err);
    }
    if (r == 0) {
        r = volume_path(set, from, &ret->path, err);
    }
    if (r == 0) {
        r = check_alone(ret->path, ref.name.format, &ref.name, err);
        ret->format = ref.name.format;
        ret->size = info.size;
    }
    return r;
}

static int copy_into(const StorageSet *set,
                     const CopySource *source,
                     const VolumeCopy *how,
                     const char *volid,
                     Err *err)
{
    g_auto(VolumeRef) ref = {0};
    g_autofree char *path = NULL;
    ImageCopy copy = {.from = source->path,
                      .from_format = source->format,
                      .snapshot = how->snapshot,
                      .to_is_zero = true,
                      .in_use = how->in_use};
    int r = volume_ref(set, volid, &ref, err);

    if (r == 0) {
        r = volume_path(set, volid, &path, err);
    }
    if (r < 0) {
        return r;
    }
    copy.to = path;
    copy.to_format = ref.name.format;
    r = qemuimg_copy(&copy, &set->progress, err);
    if (r == 0) {
        r = sync_volume(set, volid, err);
    }
    if (r < 0) {
        undo(set, &ref, ref.name.name, err);
    }
    return r;
}

/* The empty volume that a copy goes to. */
static int alloc_like(const StorageSet *set,
                      const CopySource *source,
                      const VolumeCopy *copy,
                      char **ret_volid,
                      Err *err)
{
    g_autofree char *full_name = NULL;
    const Storage *storage;
    const StorageKind *kind;
    VolumeSpec spec = {.vmid = copy->vmid};
    int r = choose(set, copy->storage, copy->format, &storage, &kind, &spec.format, err);

    if (r < 0) {
        return r;
    }
    spec.format =
        copy->format == NULL && has_format(kind, source->format) ? source->format : spec.format;
    full_name = copy->name != NULL ? g_strdup_printf("%s.%s", copy->name, spec.format) : NULL;
    spec.name = full_name;
    spec.size = MAX(source->size, copy->size_min);
    return volume_alloc(set, copy->storage, &spec, ret_volid, err);
}

int volume_alloc_like(const StorageSet *set, const VolumeCopy *copy, char **ret_volid, Err *err)
{
    CopySource source = {0};
    int r = open_source(set, copy->from, &source, err);

    if (r == 0) {
        r = alloc_like(set, &source, copy, ret_volid, err);
    }
    g_free(source.path);
    return r;
}

int volume_copy(const StorageSet *set, const VolumeCopy *copy, char **ret_volid, Err *err)
{
    CopySource source = {0};
    g_autofree char *volid = NULL;
    int r = open_source(set, copy->from, &source, err);

    if (r == 0) {
        r = alloc_like(set, &source, copy, &volid, err);
    }
    if (r == 0) {
        r = copy_into(set, &source, copy, volid, err);
    }
    if (r == 0) {
        *ret_volid = g_steal_pointer(&volid);
    }
    g_free(source.path);
    return r;
}

/* ------------------------------------------------------------------- others */

int volume_free(const StorageSet *set, const char *volid, Err *err)
{
    g_auto(VolumeRef) ref = {0};
    int r = volume_ref(set, volid, &ref, err);

    return r == 0 ? drop(set, &ref, err) : r;
}

int volume_free_of(const StorageSet *set, uint32_t vmid, const char *volid, Err *err)
{
    g_auto(VolumeRef) ref = {0};
    int r = volume_ref(set, volid, &ref, err);

    if (r < 0) {
        return r;
    }
    if (ref.name.owner != vmid) {
        return err_setf(err, -EPERM, "volume '%s' belongs to %s%.0u, not to guest %u: left alone",
                        volid, ref.name.owner != 0 ? "guest " : "nobody", ref.name.owner, vmid);
    }
    r = drop(set, &ref, err);
    if (r == -ENOENT) {
        err_clear(err);
        r = 0;
    }
    return r;
}

int volume_resize(const StorageSet *set, const char *volid, uint64_t size, Err *err)
{
    g_auto(VolumeRef) ref = {0};
    VolumeInfo info = {0};
    int r = volume_ref(set, volid, &ref, err);

    if (r == 0) {
        r = ref.kind->info(ref.storage, &ref.name, &info, err);
    }
    if (r == 0 && ref.name.is_base) {
        r = err_setf(err, -EPERM, "volume '%s' is the base of clones and cannot change", volid);
    }
    if (r == 0 && size < info.size) {
        r = err_setf(err, -EINVAL,
                     "volume '%s' has %" G_GUINT64_FORMAT " bytes: shrinking is not supported",
                     volid, info.size);
    }
    if (r == 0 && size > info.size) {
        r = ref.kind->resize(ref.storage, &ref.name, size, err);
    }
    return r;
}

int volume_make_base(const StorageSet *set, const char *volid, char **ret_volid, Err *err)
{
    g_auto(VolumeRef) ref = {0};
    g_autoptr(StorageLock) lock = NULL;
    g_autofree char *volume = NULL;
    VolumeInfo info = {0};
    int r = volume_ref(set, volid, &ref, err);

    if (r == 0) {
        r = ref.kind->info(ref.storage, &ref.name, &info, err);
    }
    if (r == 0 && info.snapshots > 0) {
        r = err_setf(err, -EBUSY, "volume '%s' has snapshots: remove them first", volid);
    }
    if (r == 0) {
        r = storage_lock_take(set, ref.storage, &lock, err);
    }
    if (r == 0) {
        r = ref.kind->make_base(ref.storage, &ref.name, &volume, err);
    }
    if (r == 0) {
        *ret_volid = g_strdup_printf("%s:%s", ref.storage->id, volume);
    }
    return r;
}

int volume_give(const StorageSet *set, const char *volid, uint32_t vmid, char **ret_volid, Err *err)
{
    g_auto(VolumeRef) ref = {0};
    g_autoptr(StorageLock) lock = NULL;
    g_autofree char *volume = NULL;
    int r = volume_ref(set, volid, &ref, err);

    if (r == 0 && (ref.kind->give == NULL || ref.name.is_base)) {
        r = err_setf(err, -ENOTSUP, "volume '%s' cannot go to another guest: %s", volid,
                     ref.name.is_base ? "it is the base of clones" : "its storage cannot do that");
    }
    if (r == 0) {
        r = storage_lock_take(set, ref.storage, &lock, err);
    }
    if (r == 0) {
        r = ref.kind->give(ref.storage, &ref.name, vmid, &volume, err);
    }
    if (r == 0) {
        *ret_volid = g_strdup_printf("%s:%s", ref.storage->id, volume);
    }
    return r;
}

bool volume_same(const StorageSet *set, const char *a, const char *b)
{
    g_autofree char *first = NULL;
    g_autofree char *second = NULL;

    return strcmp(a, b) == 0 ||
           (volume_path(set, a, &first, NULL) == 0 && volume_path(set, b, &second, NULL) == 0 &&
            strcmp(first, second) == 0);
}

bool volume_is_among(const StorageSet *set, const GPtrArray *volids, const char *volid)
{
    for (guint i = 0; i < volids->len; i++) {
        if (volume_same(set, volids->pdata[i], volid)) {
            return true;
        }
    }
    return false;
}

int volume_can_snapshot(const StorageSet *set, const char *volid, Err *err)
{
    g_auto(VolumeRef) ref = {0};
    int r = volume_ref(set, volid, &ref, err);

    if (r == 0 && (ref.kind->snapshot == NULL || g_strcmp0(ref.name.format, "qcow2") != 0 ||
                   storage_flag(ref.storage, "snapshot-as-volume-chain", false))) {
        r = err_setf(err, -ENOTSUP,
                     "volume '%s' cannot have snapshots (storage '%s' of type %s, format %s): "
                     "qcow2 on a directory can",
                     volid, ref.storage->id, ref.storage->type,
                     ref.name.format != NULL ? ref.name.format : "none");
    }
    return r;
}

int volume_snapshot(const StorageSet *set,
                    const char *volid,
                    ImageSnapshotAction action,
                    const char *name,
                    Err *err)
{
    g_auto(VolumeRef) ref = {0};
    int r = volume_can_snapshot(set, volid, err);

    if (r == 0) {
        r = volume_ref(set, volid, &ref, err);
    }
    if (r == 0 && ref.name.is_base) {
        r = err_setf(err, -EPERM, "volume '%s' is the base of clones and cannot change", volid);
    }
    return r == 0 ? ref.kind->snapshot(ref.storage, &ref.name, action, name, err) : r;
}

GPtrArray *volume_list_all(const StorageSet *set, uint32_t vmid, VolumeWarn warn, void *ctx)
{
    GPtrArray *items = g_ptr_array_new_with_free_func(volume_item_free);

    for (guint i = 0; i < storagecfg_count(set->cfg); i++) {
        const Storage *s = storagecfg_at(set->cfg, i);
        const StorageKind *kind;
        guint first = items->len;
        Err err = ERR_INIT;
        int r;

        if (!storage_on_node(s, set->tree->node) || !storage_has_content(s, "images")) {
            continue;
        }
        r = storage_set_use(set, s->id, &s, &err);
        if (r == 0) {
            r = storage_kind_of(s, &kind, &err);
        }
        if (r == 0) {
            r = kind->list(s, "images", vmid, items, &err);
        }
        if (r < 0 && warn != NULL) {
            warn(ctx, err_text(&err));
        }
        for (guint k = first; k < items->len; k++) {
            VolumeItem *item = items->pdata[k];
            char *volid = g_strdup_printf("%s:%s", s->id, item->volume);
            g_free(item->volume);
            item->volume = volid;
        }
    }
    return items;
}
