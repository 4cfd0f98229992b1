/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/disk_work.h"

#include "guest/core/confschema.h"
#include "guest/core/guest_change.h"
#include "guest/io/guest_disks.h"
#include "guest/io/guest_edit.h"
#include "guest/io/guest_mirror.h"
#include "guest/io/guest_nodes.h"
#include "guest/io/guest_qmp.h"
#include "guest/io/guest_recover.h"
#include "guest/io/rawhead.h"
#include "guest/io/volume.h"
#include "lib/base/sizetext.h"
#include "lib/conf/propstring.h"

#include <errno.h>
#include <string.h>

static int find_disk(const VmConf *conf,
                     uint32_t vmid,
                     const char *key,
                     GPtrArray **ret_list,
                     const GuestDisk **ret,
                     Err *err)
{
    int r = guest_disks_of(vmconf_main(conf), true, ret_list, err);

    if (r < 0) {
        return r;
    }
    for (guint i = 0; i < (*ret_list)->len; i++) {
        const GuestDisk *d = (*ret_list)->pdata[i];
        if (strcmp(d->key, key) == 0) {
            *ret = d;
            return d->cdrom ? err_setf(err, -EINVAL, "%s: is a CD drive", key) : 0;
        }
    }
    return err_setf(err, -ENOENT, "guest %u has no disk '%.40s' on a storage", vmid, key);
}

static int
begin(GuestStore *s, uint32_t vmid, const char *digest, bool skiplock, GuestEdit **ret, Err *err)
{
    GuestEditOptions options = {.digest = digest, .skiplock = skiplock};
    int r = guest_edit_begin(s->host->tree, vmid, &options, ret, err);

    if (r == 0) {
        guest_store_works_on(s, vmid);
    }
    return r;
}

/* ------------------------------------------------------------------ resize */

static int wanted_size(const char *text, uint64_t now, uint64_t *ret, Err *err)
{
    bool more = text[0] == '+';
    uint64_t size = 0;
    int r = size_parse(text + (more ? 1 : 0), &size, err);

    if (r < 0) {
        return r;
    }
    if (more && size > INT64_MAX - now) {
        return err_setf(err, -ERANGE, "'%.40s' is too much", text);
    }
    size = more ? now + size : size;
    if (size > now) {
        size = (size + RAWHEAD_ALIGN - 1) / RAWHEAD_ALIGN * RAWHEAD_ALIGN;
    }
    if (size > INT64_MAX) {
        return err_setf(err, -ERANGE, "'%.40s' is too much", text);
    }
    *ret = size;
    return 0;
}

static int resize_running(GuestStore *s, uint32_t vmid, const char *disk, uint64_t size, Err *err)
{
    g_autofree char *device = g_strconcat("drive-", disk, NULL);
    g_autoptr(QmpClient) qmp = NULL;
    JsonTree *arguments;
    bool nodes = false;
    int r = guest_qmp_open(s->host->run_dir, vmid, &qmp, err);

    if (r == 0) {
        r = guest_nodes_form(qmp, disk, &nodes, err);
    }
    if (r < 0) {
        return err_wrapf(err, r, "%s", disk);
    }
    arguments = jsontree_new_object();
    jsontree_set_text(arguments, nodes ? "node-name" : "device", device);
    jsontree_set_int(arguments, "size", (int64_t)size);
    return qmp_call(qmp, "block_resize", arguments, 0, NULL, err);
}

static int
resize_now(GuestStore *s, uint32_t vmid, const DiskResize *how, GuestEdit *edit, Err *err)
{
    VmConf *conf = guest_edit_conf(edit);
    g_autoptr(GPtrArray) disks = NULL;
    g_autofree char *value = NULL;
    const GuestDisk *d = NULL;
    VolumeInfo info = {0};
    uint64_t size = 0;
    int r = find_disk(conf, vmid, how->disk, &disks, &d, err);

    if (r == 0) {
        r = volume_info(s->set, d->volid, &info, err);
    }
    if (r == 0) {
        r = wanted_size(how->size, info.size, &size, err);
    }
    if (r == 0 && size < info.size) {
        r = err_setf(err, -EINVAL,
                     "%s: has %" G_GUINT64_FORMAT " bytes already: shrinking is not supported",
                     how->disk, info.size);
    }
    if (r == 0) {
        r = guest_store_running(s, vmid, err);
    }
    if (r < 0) {
        return r;
    }
    r = r > 0 && size > info.size ? resize_running(s, vmid, how->disk, size, err)
                                  : volume_resize(s->set, d->volid, size, err);
    if (r < 0) {
        return r;
    }
    value = guest_disk_with(d, d->volid, size);
    vmsection_set(vmconf_main(conf), how->disk, value);
    return guest_edit_commit(edit, err);
}

int disk_resize(GuestStore *s, uint32_t vmid, const DiskResize *how, Err *err)
{
    g_autoptr(GuestEdit) edit = NULL;
    int r = begin(s, vmid, how->digest, how->skiplock, &edit, err);

    return r == 0 ? resize_now(s, vmid, how, edit, err) : r;
}

/* -------------------------------------------------------------------- move */

static bool in_snapshot(const VmConf *conf, const char *volid)
{
    for (guint i = 0; i < conf->sections->len; i++) {
        const VmSection *section = conf->sections->pdata[i];
        g_autoptr(GPtrArray) disks = NULL;
        if (section->kind != VM_SECTION_SNAPSHOT ||
            guest_disks_of(section, true, &disks, NULL) < 0) {
            continue;
        }
        for (guint k = 0; k < disks->len; k++) {
            if (strcmp(((const GuestDisk *)disks->pdata[k])->volid, volid) == 0) {
                return true;
            }
        }
    }
    return false;
}

static int check_move(GuestStore *s,
                      uint32_t vmid,
                      const DiskMove *how,
                      const VmConf *conf,
                      const GuestDisk *d,
                      Err *err)
{
    g_auto(VolumeRef) ref = {0};
    int r = how->target_vmid != 0
                ? guest_store_check_off(s, vmid, "must be stopped to give its disks away", err)
                : 0;

    if (r == 0) {
        r = volume_ref(s->set, d->volid, &ref, err);
    }
    if (r == 0 && ref.name.is_base) {
        r = err_setf(err, -EPERM, "%s: is the base of clones and stays", how->disk);
    }
    if (r == 0 && (how->delete_source || how->target_vmid != 0) && in_snapshot(conf, d->volid)) {
        r = err_setf(err, -EBUSY, "%s: snapshots of guest %u need the volume where it is",
                     how->disk, vmid);
    }
    if (r == 0 && how->target_vmid == 0 && strcmp(ref.storage->id, how->storage) == 0 &&
        (how->format == NULL || strcmp(how->format, ref.name.format) == 0)) {
        r = err_setf(err, -EINVAL, "%s: is on storage '%s' already, in format %s", how->disk,
                     how->storage, ref.name.format);
    }
    return r;
}

typedef struct Move {
    GuestStore *s;
    uint32_t vmid;
    const DiskMove *how;
    GuestEdit *edit;
    const GuestDisk *disk;
} Move;

/* The file names the new volume. */
static int write_moved(const Move *m, const char *volid, Err *err)
{
    VmConf *conf = guest_edit_conf(m->edit);
    g_autofree char *value = NULL;
    VolumeInfo info = {0};
    int r = volume_info(m->s->set, volid, &info, err);

    if (r < 0) {
        return r;
    }
    value = guest_disk_with(m->disk, volid, info.size);
    vmsection_set(vmconf_main(conf), m->how->disk, value);
    if (!m->how->delete_source) {
        r = guest_keep_unused(conf, m->disk->volid, err);
    } else {
        guest_store_note(m->s, GUEST_WORK_VOLUME, m->disk->volid);
    }
    return r < 0 ? r : guest_edit_commit(m->edit, err);
}

/* The guest goes on with the copy. The file says so first: both sides are equal by then and stay
 * so, and whoever dies in between leaves a file that names a good one. */
static int move_running(const Move *m, const VolumeCopy *copy, Err *err)
{
    g_autoptr(VmConf) before = vmconf_copy(guest_edit_conf(m->edit));
    g_autoptr(GuestMirror) mirror = NULL;
    g_autofree char *volid = NULL;
    Err back = ERR_INIT;
    int r = strcmp(m->how->disk, "tpmstate0") == 0
                ? err_setf(err, -EBUSY, "tpmstate0: is in use: stop the guest to move it")
                : guest_mirror_open(m->s, m->vmid, &mirror, err);

    if (r == 0) {
        r = guest_mirror_add(mirror, vmconf_main(before), m->disk, copy, &volid, err);
    }
    if (r == 0) {
        r = guest_mirror_wait(mirror, err);
    }
    if (r == 0) {
        r = write_moved(m, volid, err);
    }
    if (r < 0) {
        g_clear_pointer(&mirror, guest_mirror_close); /* before the volume goes */
        return r;
    }
    r = guest_mirror_switch(mirror, err);
    if (r == 0) {
        return 0;
    }
    g_clear_pointer(&mirror, guest_mirror_close);
    guest_edit_replace(m->edit, g_steal_pointer(&before));
    if (guest_edit_commit(m->edit, &back) < 0) {
        guest_store_keep(m->s);
        return err_wrapf(err, r, "the file names '%s', the guest uses the old one (%s)", volid,
                         err_text(&back));
    }
    return r;
}

static int move_stopped(const Move *m, const VolumeCopy *copy, Err *err)
{
    g_autofree char *volid = NULL;
    int r = volume_copy(m->s->set, copy, &volid, err);

    if (r < 0) {
        return r;
    }
    guest_store_add(m->s, volid);
    return write_moved(m, volid, err);
}

static int
move_to_storage(GuestStore *s, uint32_t vmid, const DiskMove *how, GuestEdit *edit, Err *err)
{
    VmConf *conf = guest_edit_conf(edit);
    g_autoptr(GPtrArray) disks = NULL;
    VolumeCopy copy = {.storage = how->storage, .vmid = vmid, .format = how->format};
    Move m = {.s = s, .vmid = vmid, .how = how, .edit = edit};
    Err why = ERR_INIT;
    int r = find_disk(conf, vmid, how->disk, &disks, &m.disk, err);

    if (r == 0) {
        r = check_move(s, vmid, how, conf, m.disk, err);
    }
    if (r == 0) {
        r = guest_store_running(s, vmid, err);
    }
    if (r < 0) {
        return r;
    }
    copy.from = m.disk->volid;
    guest_say(s->host, GUEST_SAY_PROGRESS, "create full clone of drive %s (%s)", how->disk,
              copy.from);
    r = r > 0 && !g_str_has_prefix(how->disk, "unused") ? move_running(&m, &copy, err)
                                                        : move_stopped(&m, &copy, err);
    if (r < 0) {
        return r;
    }
    guest_store_keep(s);
    if (how->delete_source && volume_free_of(s->set, vmid, copy.from, &why) < 0) {
        guest_say(s->host, GUEST_SAY_WARNING, "volume '%s' stays: %s", copy.from, err_text(&why));
    }
    return 0;
}

/* The other guest gets the disk first: a volume named twice is better than one named by nobody. */
static int give_to_guest(
    GuestStore *s, uint32_t vmid, const DiskMove *how, GuestEdit *edit, GuestEdit *other, Err *err)
{
    VmConf *conf = guest_edit_conf(edit);
    VmSection *to = vmconf_main(guest_edit_conf(other));
    const char *key = how->target_disk != NULL ? how->target_disk : how->disk;
    const ConfOption *option = confschema_find(key, NULL);
    g_autoptr(GPtrArray) disks = NULL;
    g_autofree char *volid = NULL;
    g_autofree char *value = NULL;
    const GuestDisk *d = NULL;
    VolumeInfo info = {0};
    int r = find_disk(conf, vmid, how->disk, &disks, &d, err);

    if (r == 0) {
        r = check_move(s, vmid, how, conf, d, err);
    }
    if (r == 0 && (option == NULL || !(option->flags & CONF_VOLUME))) {
        r = err_setf(err, -EINVAL, "'%.40s' is no disk", key);
    }
    if (r == 0 && vmsection_get(to, key) != NULL) {
        r = err_setf(err, -EEXIST, "guest %u has a '%s' already", how->target_vmid, key);
    }
    if (r == 0) {
        r = volume_info(s->set, d->volid, &info, err);
    }
    if (r == 0) {
        r = volume_give(s->set, d->volid, how->target_vmid, &volid, err);
    }
    if (r < 0) {
        return r;
    }
    value =
        g_str_has_prefix(key, "unused") ? g_strdup(volid) : guest_disk_with(d, volid, info.size);
    vmsection_set(to, key, value);
    r = guest_disks_check(to, how->target_vmid, err);
    if (r == 0) {
        r = guest_edit_commit(other, err);
    }
    if (r < 0) {
        g_autofree char *back = NULL;
        if (volume_give(s->set, volid, vmid, &back, NULL) < 0) {
            return err_wrapf(err, r, "'%s' is now called '%s'", d->volid, volid);
        }
        g_free(value);
        value = guest_disk_with(d, back, info.size);
        vmsection_set(vmconf_main(conf), how->disk, value); /* its name may be another */
        if (guest_edit_commit(edit, NULL) < 0) {
            guest_say(s->host, GUEST_SAY_WARNING, "'%s' is now called '%s'", d->volid, back);
        }
        return r;
    }
    (void)vmsection_unset(vmconf_main(conf), how->disk); /* it is there */
    return guest_edit_commit(edit, err);
}

int disk_move(GuestStore *s, uint32_t vmid, const DiskMove *how, Err *err)
{
    g_autoptr(GuestEdit) edit = NULL;
    g_autoptr(GuestEdit) other = NULL;
    uint32_t first = how->target_vmid != 0 ? MIN(vmid, how->target_vmid) : vmid;
    int r;

    if ((how->storage == NULL) == (how->target_vmid == 0) || how->target_vmid == vmid) {
        return err_setf(err, -EINVAL, "name a storage, or another guest (--target-vmid)");
    }
    if (how->target_vmid == 0) {
        r = begin(s, vmid, how->digest, how->skiplock, &edit, err);
        return r == 0 ? move_to_storage(s, vmid, how, edit, err) : r;
    }
    /* Two locks, always the smaller number first. */
    r = first == vmid ? begin(s, vmid, how->digest, how->skiplock, &edit, err)
                      : begin(s, first, NULL, how->skiplock, &other, err);
    if (r == 0) {
        r = first == vmid ? begin(s, how->target_vmid, NULL, how->skiplock, &other, err)
                          : begin(s, vmid, how->digest, how->skiplock, &edit, err);
    }
    return r == 0 ? give_to_guest(s, vmid, how, edit, other, err) : r;
}

/* ------------------------------------------------------------------ import */

static int place_import(GuestStore *s,
                        uint32_t vmid,
                        const DiskImport *how,
                        GuestEdit *edit,
                        const char *volid,
                        Err *err)
{
    VmConf *conf = guest_edit_conf(edit);
    VmSection *main = vmconf_main(conf);
    g_autofree char *value = NULL;
    const char *key = how->target_disk;
    int r;

    if (key == NULL) {
        r = guest_keep_unused(conf, volid, err);
        for (guint i = 0; r == 0 && i < main->entries->len; i++) {
            const VmEntry *e = main->entries->pdata[i];
            key = strcmp(e->value, volid) == 0 ? e->key : key;
        }
    } else {
        r = guest_disk_resolve(s, vmid, main, key, volid, &value, err);
        if (r == 0) {
            vmsection_set(main, key, value);
            r = guest_disks_check(main, vmid, err);
        }
    }
    if (r == 0) {
        r = guest_edit_commit(edit, err);
    }
    if (r == 0) {
        guest_say(s->host, GUEST_SAY_PROGRESS, "%s: successfully imported disk '%s'",
                  key != NULL ? key : "unused", volid);
    }
    return r;
}

int disk_import(GuestStore *s, uint32_t vmid, const DiskImport *how, Err *err)
{
    const ConfOption *option =
        how->target_disk != NULL ? confschema_find(how->target_disk, NULL) : NULL;
    VolumeCopy copy = {
        .from = how->source, .storage = how->storage, .vmid = vmid, .format = how->format};
    g_autoptr(GuestEdit) edit = NULL;
    g_autofree char *volid = NULL;
    int r = begin(s, vmid, NULL, how->skiplock, &edit, err);

    if (r == 0 && how->target_disk != NULL &&
        (option == NULL || !(option->flags & CONF_VOLUME) ||
         vmsection_get(vmconf_main(guest_edit_conf(edit)), how->target_disk) != NULL)) {
        r = err_setf(err, -EINVAL, "'%.40s' is no disk, or taken", how->target_disk);
    }
    if (r == 0 && how->target_disk != NULL) {
        r = guest_store_check_off(s, vmid, "gets new disks as unused only", err);
    }
    if (r == 0) {
        r = volume_copy(s->set, &copy, &volid, err);
    }
    if (r < 0) {
        return r;
    }
    guest_store_add(s, volid);
    r = place_import(s, vmid, how, edit, volid, err);
    if (r == 0) {
        guest_store_keep(s);
    }
    return r;
}

/* ------------------------------------------------------------------ rescan */

static void warn(void *ctx, const char *text)
{
    const GuestStore *s = ctx;

    guest_say(s->host, GUEST_SAY_WARNING, "%s", text);
}

static int update_sizes(GuestStore *s, uint32_t vmid, VmConf *conf, Err *err)
{
    VmSection *main = vmconf_main(conf);
    g_autoptr(GPtrArray) disks = NULL;
    int r = guest_disks_of(main, false, &disks, err);

    for (guint i = 0; r == 0 && i < disks->len; i++) {
        const GuestDisk *d = disks->pdata[i];
        const char *old = propstring_text(d->props, "size");
        g_autofree char *size = NULL;
        g_autofree char *value = NULL;
        VolumeInfo info;
        Err why = ERR_INIT;

        if (volume_info(s->set, d->volid, &info, &why) < 0) {
            guest_say(s->host, GUEST_SAY_WARNING, "VM %u (%s): %s", vmid, d->key, err_text(&why));
            continue;
        }
        size = size_format(info.size);
        if (g_strcmp0(old, size) != 0) {
            guest_say(s->host, GUEST_SAY_PROGRESS,
                      "VM %u (%s): size of disk '%s' updated from %s to %s", vmid, d->key, d->volid,
                      old != NULL ? old : "nothing", size);
            value = guest_disk_with(d, d->volid, info.size);
            vmsection_set(main, d->key, value);
        }
    }
    return r;
}

static int add_unused(GuestStore *s, uint32_t vmid, VmConf *conf, Err *err)
{
    g_autoptr(GPtrArray) items = volume_list_all(s->set, vmid, warn, s);
    g_autoptr(GPtrArray) named = guest_volumes_of(conf);
    int r = 0;

    for (guint i = 0; r == 0 && i < items->len; i++) {
        const VolumeItem *item = items->pdata[i];
        if (!volume_is_among(s->set, named, item->volume)) {
            r = guest_keep_unused(conf, item->volume, err);
            guest_say(s->host, GUEST_SAY_PROGRESS, "VM %u: add unreferenced volume '%s' as unused",
                      vmid, item->volume);
        }
    }
    return r;
}

static int rescan_one(GuestStore *s, uint32_t vmid, bool dryrun, Err *err)
{
    g_autoptr(GuestEdit) edit = NULL;
    int r;

    guest_recover(s->host, vmid);
    r = begin(s, vmid, NULL, false, &edit, err);
    if (r == 0) {
        r = update_sizes(s, vmid, guest_edit_conf(edit), err);
    }
    if (r == 0) {
        r = add_unused(s, vmid, guest_edit_conf(edit), err);
    }
    return r == 0 && !dryrun ? guest_edit_commit(edit, err) : r;
}

int disk_rescan(GuestStore *s, uint32_t vmid, bool dryrun, Err *err)
{
    g_autoptr(GArray) ids = NULL;
    int failed = 0;
    int r;

    if (vmid != 0) {
        return rescan_one(s, vmid, dryrun, err);
    }
    r = guest_tree_list(s->host->tree, NULL, &ids, err);
    for (guint i = 0; r == 0 && i < ids->len; i++) {
        uint32_t id = g_array_index(ids, uint32_t, i);
        Err why = ERR_INIT;
        if (rescan_one(s, id, dryrun, &why) < 0) {
            guest_say(s->host, GUEST_SAY_WARNING, "VM %u: %s", id, err_text(&why));
            failed++;
        }
    }
    return r < 0 ? r
           : failed > 0
               ? err_setf(err, -EIO, "%d of %u guests could not be looked at", failed, ids->len)
               : 0;
}
