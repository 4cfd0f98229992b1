/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_destroy.h"

#include "guest/core/guest_change.h"
#include "guest/io/guest_disks.h"
#include "guest/io/guest_edit.h"
#include "guest/io/volume.h"
#include "lib/cfs/cfsfile.h"
#include "lib/cfs/cfslock.h"
#include "lib/conf/propstring.h"
#include "lib/conf/sectionlines.h"
#include "lib/port/process.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CFG_MAX         (1024 * 1024)
#define LOCK_TIMEOUT_MS 10000

static int read_sections(const GuestStore *s, const char *name, SectionLines **ret, Err *err)
{
    g_autofree char *path = g_build_filename(s->host->tree->root, name, NULL);
    g_autofree char *text = NULL;
    gsize size = 0;
    int r = cfsfile_read(path, CFG_MAX, &text, &size, err);

    if (r == -ENOENT || r == -ENOTDIR) {
        err_clear(err);
        size = 0;
        r = 0;
    }
    if (r == 0) {
        r = sectionlines_parse(text != NULL ? text : "", size, ret, err);
    }
    return r < 0 ? err_wrapf(err, r, "%s", name) : 0;
}

/* ---------------------------------------------------------------------- HA */

/* 1 when HA has the guest. */
static int is_managed(const GuestStore *s, uint32_t vmid, Err *err)
{
    g_autofree char *id = g_strdup_printf("%u", vmid);
    g_autoptr(SectionLines) file = NULL;
    int r = read_sections(s, "ha/resources.cfg", &file, err);

    for (guint i = 0; r == 0 && i < file->sections->len; i++) {
        const SectionLinesEntry *e = file->sections->pdata[i];
        if (strcmp(e->type, "vm") == 0 && strcmp(e->id, id) == 0) {
            return 1;
        }
    }
    return r;
}

static int leave_ha(uint32_t vmid, Err *err)
{
    g_autofree char *sid = g_strdup_printf("vm:%u", vmid);
    const char *const argv[] = {"ha-manager", "remove", sid, NULL};

    return process_check(argv, NULL, NULL, err);
}

/* -------------------------------------------------------------------- jobs */

/* `key` names `id` in the list `value`; gives the list without it. Caller frees. */
static char *list_without(const char *value, const char *id)
{
    g_auto(GStrv) items = g_strsplit_set(value, ",; ", -1);
    GString *out = g_string_new(NULL);

    for (char **item = items; *item != NULL; item++) {
        if (**item != '\0' && strcmp(*item, id) != 0) {
            g_string_append_printf(out, "%s%s", out->len > 0 ? "," : "", *item);
        }
    }
    return g_string_free(out, FALSE);
}

/* The text of jobs.cfg or replication.cfg without the guest: it leaves lists of backup jobs, and
 * its replication jobs (`local: VMID-N`) go. NULL when nothing changes. */
static char *without_guest(const char *text, const char *id)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *replication = g_strdup_printf("local: %s-", id);
    g_autoptr(GString) out = g_string_new(NULL);
    bool skipping = false;
    bool changed = false;

    for (char **line = lines; *line != NULL; line++) {
        const char *word = *line + strspn(*line, " \t");
        bool list = (g_str_has_prefix(word, "vmid ") || g_str_has_prefix(word, "exclude ")) &&
                    word != *line;
        if (word == *line && **line != '\0') {
            skipping = g_str_has_prefix(*line, replication);
        }
        if (skipping) {
            changed = true;
        } else if (list) {
            size_t key = strcspn(word, " ");
            g_autofree char *rest = list_without(word + key + 1, id);
            changed = changed || strlen(rest) < strlen(word + key + 1);
            g_string_append_printf(out, "\t%.*s %s\n", (int)key, word, rest);
        } else if (**line != '\0' || line[1] != NULL) {
            g_string_append_printf(out, "%s\n", *line);
        }
    }
    return changed ? g_string_free(g_steal_pointer(&out), FALSE) : NULL;
}

static int purge_file(const GuestStore *s, const char *name, uint32_t vmid, Err *err)
{
    g_autofree char *path = g_build_filename(s->host->tree->root, name, NULL);
    g_autofree char *lock_name = g_strdup_printf("file-%s", name);
    g_autofree char *id = g_strdup_printf("%u", vmid);
    g_autofree char *text = NULL;
    g_autofree char *next = NULL;
    g_autoptr(CfsLock) lock = NULL;
    int r;

    if (access(path, F_OK) < 0) {
        return 0;
    }
    g_strdelimit(lock_name, ".", '_');
    r = cfslock_acquire(s->host->tree->root, lock_name, LOCK_TIMEOUT_MS, &lock, err);
    if (r == 0) {
        r = cfsfile_read(path, CFG_MAX, &text, NULL, err);
    }
    next = r == 0 ? without_guest(text, id) : NULL;
    return next != NULL ? cfsfile_write(path, next, strlen(next), err) : r;
}

/* ----------------------------------------------------------------- volumes */

static void warn(void *ctx, const char *text)
{
    const GuestStore *s = ctx;

    guest_say(s->host, GUEST_SAY_WARNING, "%s", text);
}

static bool has(const GPtrArray *list, const char *volid)
{
    for (guint i = 0; i < list->len; i++) {
        if (strcmp(list->pdata[i], volid) == 0) {
            return true;
        }
    }
    return false;
}

/* A disk may be listed with its base in front and be written without, and the other way round. */
static void add_unreferenced(const GuestStore *s, uint32_t vmid, GPtrArray *volumes)
{
    g_autoptr(GPtrArray) items = volume_list_all(s->set, vmid, warn, (void *)s);

    for (guint i = 0; i < items->len; i++) {
        const VolumeItem *item = items->pdata[i];
        if (!has(volumes, item->volume)) {
            g_ptr_array_add(volumes, g_strdup(item->volume));
        }
    }
}

/* Whether a linked clone hangs on one of the volumes: asked before the first of them goes. */
static int check_clones(const GuestStore *s, const GPtrArray *volumes, uint32_t vmid, Err *err)
{
    g_autoptr(GPtrArray) items = NULL;

    for (guint i = 0; i < volumes->len; i++) {
        g_auto(VolumeRef) ref = {0};
        const char *volid = volumes->pdata[i];
        if (volume_ref(s->set, volid, &ref, NULL) < 0 || !ref.name.is_base) {
            continue;
        }
        items = items != NULL ? items : volume_list_all(s->set, 0, NULL, NULL);
        for (guint k = 0; k < items->len; k++) {
            const VolumeItem *item = items->pdata[k];
            g_autofree char *base = g_strdup_printf("%u/%s", ref.name.owner, ref.name.name);
            if (item->parent != NULL && strcmp(item->parent, base) == 0 &&
                g_str_has_prefix(item->volume, ref.storage->id) && item->name.owner != vmid) {
                return err_setf(err, -EBUSY, "volume '%s' is the base of linked clone '%s'", volid,
                                item->volume);
            }
        }
    }
    return 0;
}

/* What is on a storage that is not there any more cannot be freed, and must not hold the guest. */
static int free_volumes(GuestStore *s, uint32_t vmid, const GPtrArray *volumes, Err *err)
{
    for (guint i = 0; i < volumes->len; i++) {
        const char *volid = volumes->pdata[i];
        g_auto(VolumeRef) ref = {0};
        Err why = ERR_INIT;
        int r;

        if (volume_ref(s->set, volid, &ref, &why) < 0) {
            guest_say(s->host, GUEST_SAY_WARNING, "volume '%s' is left: %s", volid, err_text(&why));
            continue;
        }
        r = volume_free_of(s->set, vmid, volid, err);
        if (r == -EPERM) {
            guest_say(s->host, GUEST_SAY_WARNING, "%s", err_text(err));
            err_clear(err);
        } else if (r < 0) {
            return err_wrapf(err, r, "nothing but volumes before '%s' was removed", volid);
        }
    }
    return 0;
}

/* ----------------------------------------------------------------- destroy */

static int
check(const GuestStore *s, uint32_t vmid, const GuestDestroy *how, const VmConf *conf, Err *err)
{
    const char *protected = vmsection_get(vmconf_main(conf), "protection");
    int r = guest_store_check_off(s, vmid, "cannot be destroyed", err);

    if (r == 0 && protected != NULL && propstring_parse_bool(protected) == 1) {
        r = err_setf(err, -EPERM, "guest %u is protected: 'qm set %u --protection 0' first", vmid,
                     vmid);
    }
    if (r == 0 && !how->purge) {
        r = is_managed(s, vmid, err);
        r = r > 0 ? err_setf(err, -EBUSY,
                             "guest %u is managed by HA: use --purge, or 'ha-manager "
                             "remove vm:%u' first",
                             vmid, vmid)
                  : r;
    }
    return r;
}

static int purge(const GuestStore *s, uint32_t vmid, Err *err)
{
    int r = is_managed(s, vmid, err);

    if (r > 0) {
        r = leave_ha(vmid, err);
    }
    if (r == 0) {
        r = purge_file(s, "jobs.cfg", vmid, err);
    }
    return r == 0 ? purge_file(s, "replication.cfg", vmid, err) : r;
}

static void remove_firewall(const GuestStore *s, uint32_t vmid)
{
    g_autofree char *path = g_strdup_printf("%s/firewall/%u.fw", s->host->tree->root, vmid);

    if (unlink(path) < 0 && errno != ENOENT && errno != ENOTDIR) {
        guest_say(s->host, GUEST_SAY_WARNING, "%s stays: %s", path, g_strerror(errno));
    }
}

/* A making of the guest that was cut off in the middle: we have its file's lock, so who had it is
 * gone, and what it made is named nowhere. */
static bool half_made(const VmConf *conf)
{
    const char *lock = vmsection_get(vmconf_main(conf), "lock");

    return g_strcmp0(lock, "create") == 0 || g_strcmp0(lock, "clone") == 0;
}

int guest_destroy(GuestStore *s, uint32_t vmid, const GuestDestroy *how, Err *err)
{
    GuestEditOptions options = {.skiplock = true};
    g_autoptr(GPtrArray) volumes = NULL;
    g_autoptr(GuestEdit) edit = NULL;
    int r = guest_edit_begin(s->host->tree, vmid, &options, &edit, err);

    if (r == 0 && !half_made(guest_edit_conf(edit))) {
        r = guest_check_lock(guest_edit_conf(edit), how->skiplock, err);
    }
    if (r == 0) {
        r = check(s, vmid, how, guest_edit_conf(edit), err);
    }
    if (r < 0) {
        return r;
    }
    volumes = guest_volumes_of(guest_edit_conf(edit));
    if (how->unreferenced || half_made(guest_edit_conf(edit))) {
        add_unreferenced(s, vmid, volumes);
    }
    r = check_clones(s, volumes, vmid, err);
    if (r == 0 && how->purge) {
        r = purge(s, vmid, err);
    }
    if (r == 0) {
        r = free_volumes(s, vmid, volumes, err);
    }
    if (r == 0) {
        r = guest_edit_remove(edit, err);
    }
    if (r == 0) {
        remove_firewall(s, vmid);
    }
    return r;
}
