/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_snapshot.h"

#include "guest/core/guest_change.h"
#include "guest/core/guestconf.h"
#include "guest/core/snapplan.h"
#include "guest/io/guest_edit.h"
#include "guest/io/guest_proc.h"
#include "guest/io/guest_qmp.h"
#include "guest/io/guest_start.h"
#include "guest/io/guest_state.h"
#include "guest/io/guest_stop.h"
#include "guest/io/guest_work.h"
#include "guest/io/volume.h"
#include "lib/port/clock.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LOCK_TAKE     "snapshot"
#define LOCK_REMOVE   "snapshot-delete"
#define LOCK_ROLLBACK "rollback"
#define FREEZE_MS     60000u
#define ALIVE_MS      3000u
#define GONE_MS       1000u /* for a QEMU that was killed to be seen as such */

typedef struct Snap {
    const GuestHost *host;
    uint32_t vmid;
    const char *name;
    StorageSet *set;
    GPtrArray *volumes; /* drive, volume, drive, volume ... of the snapshot */
    char *vmstate;      /* volume with the memory, or NULL */
    GuestProc proc;
    QmpClient *qmp; /* NULL when the guest does not run */
    GuestWork *work;
    bool resume; /* it ran before we stopped it */
    bool frozen;
} Snap;

static void snap_clear(Snap *s)
{
    g_clear_pointer(&s->set, storage_set_free);
    g_clear_pointer(&s->volumes, g_ptr_array_unref);
    g_clear_pointer(&s->vmstate, g_free);
    g_clear_pointer(&s->qmp, qmp_client_free);
    g_clear_pointer(&s->work, guest_work_end);
    guest_proc_clear(&s->proc);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Snap, snap_clear)

/* ------------------------------------------------------------------ together */

static int open_snap(Snap *s, Err *err)
{
    int r = storage_set_open(s->host->tree, &s->set, err);

    if (r == 0) {
        r = guest_proc_find(s->host->run_dir, s->vmid, &s->proc, err);
    }
    if (r == 1) {
        r = guest_qmp_open(s->host->run_dir, s->vmid, &s->qmp, err);
    }
    return MIN(r, 0);
}

static bool is_gone(Snap *s)
{
    return qmp_call(s->qmp, "query-status", NULL, 0, NULL, NULL) < 0 &&
           guest_proc_wait(&s->proc, GONE_MS);
}

static void note_volume(void *ctx, uint32_t vmid, const char *volid)
{
    (void)vmid; /* no other guest's are made here */
    guest_work_note(ctx, GUEST_WORK_VOLUME, volid);
}

/* With the configuration's lock held, before its `lock:` word is written. */
static int begin_work(Snap *s, Err *err)
{
    int r = guest_work_begin(s->host->tree, s->vmid, GUEST_WORK_WAIT_MS, &s->work, err);

    if (r == 0) {
        s->set->made = note_volume;
        s->set->made_ctx = s->work;
    }
    return r;
}

/* QEMU's name of the disk: it has it open, so only QEMU may touch it. */
static char *qemu_device(const char *drive)
{
    return g_strdup_printf("drive-%s", drive);
}

/* The running QEMU has a drive of this name. One that was added to the file only waits. */
static int attached_drives(QmpClient *qmp, GHashTable **ret, Err *err)
{
    g_autoptr(JsonTree) answer = NULL;
    GHashTable *out;
    int r = qmp_call(qmp, "query-block", NULL, 0, &answer, err);

    if (r < 0) {
        return r;
    }
    out = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < jsontree_count(answer); i++) {
        const JsonTree *b = jsontree_at(answer, i);
        const JsonTree *inserted = jsontree_get(b, "inserted");
        const char *device = jsontree_get_text(b, "device");
        const char *node = jsontree_get_text(inserted, "node-name");
        if (inserted != NULL && device != NULL && device[0] != '\0') {
            (void)g_hash_table_add(out, g_strdup(device));
        }
        if (node != NULL) {
            (void)g_hash_table_add(out, g_strdup(node));
        }
    }
    *ret = out;
    return 0;
}

/* One transaction: all disks at one moment, or none. */
static int live_disks_take(Snap *s, Err *err)
{
    JsonTree *actions = jsontree_new_array();
    JsonTree *args = jsontree_new_object();

    for (guint i = 0; i < s->volumes->len; i += 2) {
        g_autofree char *device = qemu_device(s->volumes->pdata[i]);
        JsonTree *action = jsontree_new_object();
        JsonTree *data = jsontree_new_object();
        jsontree_set_text(data, "device", device);
        jsontree_set_text(data, "name", s->name);
        jsontree_set_text(action, "type", "blockdev-snapshot-internal-sync");
        jsontree_set(action, "data", data);
        jsontree_add(actions, action);
    }
    jsontree_set(args, "actions", actions);
    return qmp_call(s->qmp, "transaction", args, 600000, NULL, err);
}

static int live_disk_delete(Snap *s, const char *drive, Err *err)
{
    g_autofree char *device = qemu_device(drive);
    JsonTree *args = jsontree_new_object();

    jsontree_set_text(args, "device", device);
    jsontree_set_text(args, "name", s->name);
    return qmp_call(s->qmp, "blockdev-snapshot-delete-internal-sync", args, 600000, NULL, err);
}

static int offline_disks_take(Snap *s, Err *err)
{
    for (guint i = 0; i < s->volumes->len; i += 2) {
        int r =
            volume_snapshot(s->set, s->volumes->pdata[i + 1], IMAGE_SNAPSHOT_CREATE, s->name, err);
        if (r < 0) {
            for (guint k = 0; k < i; k += 2) {
                Err undo = ERR_INIT;
                if (volume_snapshot(s->set, s->volumes->pdata[k + 1], IMAGE_SNAPSHOT_DELETE,
                                    s->name, &undo) < 0) {
                    guest_say(s->host, GUEST_SAY_WARNING, "%s", err_text(&undo));
                }
            }
            return err_wrapf(err, r, "%s", (const char *)s->volumes->pdata[i]);
        }
    }
    return 0;
}

/* ------------------------------------------------------------------- taking */

static int check_volumes(Snap *s, Err *err)
{
    for (guint i = 0; i < s->volumes->len; i += 2) {
        int r = volume_can_snapshot(s->set, s->volumes->pdata[i + 1], err);
        if (r < 0) {
            return err_wrapf(err, r, "%s", (const char *)s->volumes->pdata[i]);
        }
    }
    return 0;
}

/* Every disk of the file must be in the running machine, under its name. */
static int check_attached(Snap *s, Err *err)
{
    g_autoptr(GHashTable) attached = NULL;
    int r = s->qmp != NULL ? attached_drives(s->qmp, &attached, err) : 0;

    for (guint i = 0; r == 0 && s->qmp != NULL && i < s->volumes->len; i += 2) {
        g_autofree char *device = qemu_device(s->volumes->pdata[i]);
        if (!g_hash_table_contains(attached, device)) {
            r = err_setf(err, -ENODEV, "%s: the running guest does not have this disk yet",
                         (const char *)s->volumes->pdata[i]);
        }
    }
    return r;
}

static int begin_take(Snap *s, const GuestSnapshotOptions *o, Err *err)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GuestEdit) edit = NULL;
    g_autoptr(GuestConf) gc = NULL;
    VmSection *section = NULL;
    VmConf *conf = NULL;
    int r = guest_edit_begin(s->host->tree, s->vmid, NULL, &edit, err);

    if (r == 0) {
        conf = guest_edit_conf(edit);
        r = snapplan_prepare(conf, o->name, o->description, clock_wall().sec, &section, err);
    }
    if (r == 0) {
        r = begin_work(s, err);
    }
    if (r < 0) {
        return r;
    }
    s->volumes = snapplan_volumes(vmconf_main(conf));
    r = check_volumes(s, err);
    if (r == 0) {
        r = check_attached(s, err);
    }
    if (r == 0 && o->memory && s->qmp != NULL) {
        r = guestconf_new(vmconf_main(conf), s->vmid, warnings, &gc, err);
        if (r == 0) {
            r = guest_state_note(&s->proc, s->qmp, section, err);
        }
        if (r == 0) {
            r = guest_state_alloc(s->set, gc, NULL, o->name, &s->vmstate, err);
        }
        if (r == 0) {
            vmsection_set(section, "vmstate", s->vmstate);
        }
    }
    if (r == 0) {
        vmsection_set(vmconf_main(conf), "lock", LOCK_TAKE);
        r = guest_edit_commit(edit, err);
    }
    return r;
}

/* File systems of the guest as they would be after a clean unmount, where an agent can do that. */
static void freeze(Snap *s)
{
    Err err = ERR_INIT;

    if (!guest_agent_alive(s->host->run_dir, s->vmid, ALIVE_MS)) {
        return;
    }
    if (guest_agent_call(s->host->run_dir, s->vmid, "guest-fsfreeze-freeze", NULL, FREEZE_MS, NULL,
                         &err) < 0) {
        guest_say(s->host, GUEST_SAY_WARNING, "%s; going on without", err_text(&err));
        err_clear(&err);
    }
    s->frozen = true; /* also when it did not answer: thawing twice does no harm */
}

static void thaw(Snap *s)
{
    Err err = ERR_INIT;

    if (s->frozen && guest_agent_call(s->host->run_dir, s->vmid, "guest-fsfreeze-thaw", NULL,
                                      FREEZE_MS, NULL, &err) < 0) {
        guest_say(s->host, GUEST_SAY_WARNING, "thawing the guest's file systems: %s",
                  err_text(&err));
    }
    s->frozen = false;
}

static int pause_guest(Snap *s, Err *err)
{
    g_autoptr(JsonTree) answer = NULL;
    int r = qmp_call(s->qmp, "query-status", NULL, 0, &answer, err);

    if (r == 0) {
        s->resume = jsontree_get_bool(answer, "running", false);
        if (s->resume) {
            guest_work_note(s->work, GUEST_WORK_RAN, "");
        }
        r = qmp_call(s->qmp, "stop", NULL, 0, NULL, err);
    }
    return r;
}

static void resume_guest(Snap *s)
{
    Err err = ERR_INIT;

    if (s->resume && qmp_call(s->qmp, "cont", NULL, 0, NULL, &err) < 0) {
        guest_say(s->host, GUEST_SAY_WARNING, "VM %u stays paused: %s", s->vmid, err_text(&err));
    }
    s->resume = false;
}

/* A QEMU that has died leaves it in the images, which are files then; `taken` false: it may have
 * died before or after it took them. */
static void drop_disks(Snap *s, bool taken)
{
    bool gone = is_gone(s);

    for (guint i = 0; i < s->volumes->len && (gone || taken); i += 2) {
        Err err = ERR_INIT;
        int r = gone ? volume_snapshot(s->set, s->volumes->pdata[i + 1], IMAGE_SNAPSHOT_DELETE,
                                       s->name, &err)
                     : live_disk_delete(s, s->volumes->pdata[i], &err);

        if (r < 0 && taken) {
            guest_say(s->host, GUEST_SAY_WARNING, "%s: %s", (const char *)s->volumes->pdata[i],
                      err_text(&err));
        }
    }
}

/* The guest stands still while its disks and its memory are taken. */
static int take_with_memory(Snap *s, Err *err)
{
    int r = pause_guest(s, err);
    bool disks;

    if (r < 0) {
        return r;
    }
    r = live_disks_take(s, err);
    disks = r == 0;
    if (r == 0) {
        r = guest_state_save(s->host, s->set, s->qmp, s->vmstate, err);
    }
    resume_guest(s); /* disks are usable again only now, when the memory was written */
    if (r < 0) {
        drop_disks(s, disks);
    }
    return r;
}

static int take_disks(Snap *s, bool agent, Err *err)
{
    int r;

    if (s->qmp == NULL) {
        return offline_disks_take(s, err);
    }
    if (s->vmstate != NULL) {
        return take_with_memory(s, err);
    }
    if (agent) {
        freeze(s);
    }
    r = s->volumes->len > 0 ? live_disks_take(s, err) : 0;
    thaw(s);
    if (r < 0) {
        drop_disks(s, false);
    }
    return r;
}

/* Takes the section and the lock away again. */
static void abort_take(Snap *s)
{
    g_autoptr(GuestEdit) edit = NULL;
    Err err = ERR_INIT;
    int r = guest_edit_begin(s->host->tree, s->vmid, &(GuestEditOptions){.my_lock = LOCK_TAKE},
                             &edit, &err);

    if (r == 0) {
        VmConf *conf = guest_edit_conf(edit);
        (void)vmconf_remove_section(conf, VM_SECTION_SNAPSHOT, s->name);
        (void)vmsection_unset(vmconf_main(conf), "lock");
        r = guest_edit_commit(edit, &err);
    }
    if (r < 0) {
        guest_say(s->host, GUEST_SAY_WARNING,
                  "the half-made snapshot stays in the configuration (%s): 'qm unlock %u' and "
                  "'qm delsnapshot %u %s --force' remove it",
                  err_text(&err), s->vmid, s->vmid, s->name);
        return;
    }
    err_clear(&err);
    if (s->vmstate != NULL && volume_free(s->set, s->vmstate, &err) < 0) {
        guest_say(s->host, GUEST_SAY_WARNING, "%s", err_text(&err));
    }
}

static int commit_take(Snap *s, Err *err)
{
    g_autoptr(GuestEdit) edit = NULL;
    int r = guest_edit_begin(s->host->tree, s->vmid, &(GuestEditOptions){.my_lock = LOCK_TAKE},
                             &edit, err);

    if (r < 0) {
        return r;
    }
    snapplan_commit(guest_edit_conf(edit), s->name);
    (void)vmsection_unset(vmconf_main(guest_edit_conf(edit)), "lock");
    return guest_edit_commit(edit, err);
}

static bool wants_agent(const GuestHost *h, uint32_t vmid)
{
    g_autoptr(VmConf) conf = NULL;

    return guest_conf_read(h->tree, NULL, vmid, NULL, NULL, &conf, NULL) == 0 &&
           guestconf_freezes(vmconf_main(conf));
}

int guest_snapshot_take(const GuestHost *h,
                        uint32_t vmid,
                        const GuestSnapshotOptions *options,
                        Err *err)
{
    g_auto(Snap) s = {.host = h, .vmid = vmid, .name = options->name, .proc = GUEST_PROC_INIT};
    int r = open_snap(&s, err);

    if (r == 0 && options->memory && s.qmp == NULL) {
        guest_say(h, GUEST_SAY_WARNING, "VM %u does not run: there is no memory to be saved", vmid);
    }
    if (r == 0) {
        r = begin_take(&s, options, err);
        if (r < 0 && s.vmstate != NULL) {
            (void)!volume_free(s.set, s.vmstate, NULL); /* not in the file: it would be lost */
        }
    }
    if (r < 0) {
        return r;
    }
    r = take_disks(&s, wants_agent(h, vmid), err);
    if (r < 0) {
        abort_take(&s);
        return r;
    }
    return commit_take(&s, err);
}

/* ----------------------------------------------------------------- removing */

static int begin_remove(Snap *s, bool force, Err *err)
{
    g_autoptr(GuestEdit) edit = NULL;
    VmSection *section = NULL;
    int r = guest_edit_begin(s->host->tree, s->vmid, NULL, &edit, err);

    if (r == 0) {
        r = snapplan_find(guest_edit_conf(edit), s->name, force, &section, err);
    }
    if (r == 0 && s->work == NULL) {
        r = begin_work(s, err);
    }
    if (r < 0) {
        return r;
    }
    s->volumes = snapplan_volumes(section);
    s->vmstate = g_strdup(vmsection_get(section, "vmstate"));
    vmsection_set(section, "snapstate", "delete");
    vmsection_set(vmconf_main(guest_edit_conf(edit)), "lock", LOCK_REMOVE);
    return guest_edit_commit(edit, err);
}

/* A disk that QEMU has open is QEMU's; one that was detached since is a file. */
static int remove_disk(Snap *s, GHashTable *attached, guint i, Err *err)
{
    g_autofree char *device = qemu_device(s->volumes->pdata[i]);
    bool live = attached != NULL && g_hash_table_contains(attached, device);
    int r = live ? live_disk_delete(s, s->volumes->pdata[i], err) : 0;
    bool gone = r < 0 && is_gone(s);

    if (gone) {
        err_clear(err); /* so it is a file now, which has the snapshot still or not */
    }
    if (!live || gone) {
        r = volume_snapshot(s->set, s->volumes->pdata[i + 1], IMAGE_SNAPSHOT_DELETE, s->name, err);
    }
    if (gone && r == -ENOENT) {
        err_clear(err);
        r = 0;
    }
    return r < 0 ? err_wrapf(err, r, "%s", (const char *)s->volumes->pdata[i]) : 0;
}

/* `force`: what cannot be cleaned is told and passed over. */
static int remove_disks(Snap *s, bool force, Err *err)
{
    g_autoptr(GHashTable) attached = NULL;
    int r = s->qmp != NULL ? attached_drives(s->qmp, &attached, err) : 0;

    if (r < 0 && is_gone(s)) {
        err_clear(err); /* all of them are files now */
        r = 0;
    }
    for (guint i = 0; r == 0 && i < s->volumes->len; i += 2) {
        r = remove_disk(s, attached, i, err);
        if (r < 0 && force) {
            guest_say(s->host, GUEST_SAY_WARNING, "%s", err_text(err));
            err_clear(err);
            r = 0;
        }
    }
    if (r == 0 && s->vmstate != NULL) {
        r = volume_free_of(s->set, s->vmid, s->vmstate, err);
    }
    return r;
}

static int end_remove(Snap *s, bool done, Err *err)
{
    g_autoptr(GuestEdit) edit = NULL;
    int r = guest_edit_begin(s->host->tree, s->vmid, &(GuestEditOptions){.my_lock = LOCK_REMOVE},
                             &edit, err);

    if (r < 0) {
        return r;
    }
    if (done) {
        snapplan_remove(guest_edit_conf(edit), s->name);
    }
    (void)vmsection_unset(vmconf_main(guest_edit_conf(edit)), "lock");
    return guest_edit_commit(edit, err);
}

static int remove_now(Snap *s, bool force, Err *err)
{
    Err unlock = ERR_INIT;
    int r = open_snap(s, err);

    if (r == 0) {
        r = begin_remove(s, force, err);
    }
    if (r < 0) {
        return r;
    }
    r = remove_disks(s, force, err);
    if (r == 0) {
        return end_remove(s, true, err);
    }
    if (end_remove(s, false, &unlock) < 0) {
        guest_say(s->host, GUEST_SAY_WARNING, "%s", err_text(&unlock));
    }
    return err_wrapf(err, r, "snapshot '%s' is partly removed; --force removes the rest", s->name);
}

int guest_snapshot_remove(const GuestHost *h, uint32_t vmid, const char *name, bool force, Err *err)
{
    g_auto(Snap) s = {.host = h, .vmid = vmid, .name = name, .proc = GUEST_PROC_INIT};

    return remove_now(&s, force, err);
}

int guest_snapshot_take_back(
    const GuestHost *h, uint32_t vmid, GuestWork *work, const char *word, Err *err)
{
    g_autoptr(VmConf) conf = NULL;
    int r = guest_edit_lock_word(h->tree, vmid, word, NULL, err);

    if (r == 0) {
        r = guest_conf_read(h->tree, NULL, vmid, NULL, NULL, &conf, err);
    }
    for (guint i = 0; r == 0 && i < conf->sections->len; i++) {
        const VmSection *section = conf->sections->pdata[i];
        Snap s = {.host = h, .vmid = vmid, .name = section->name, .work = work};

        if (section->kind == VM_SECTION_SNAPSHOT && vmsection_get(section, "snapstate") != NULL) {
            s.proc = (GuestProc)GUEST_PROC_INIT;
            r = remove_now(&s, true, err);
            s.work = NULL; /* the caller's */
            snap_clear(&s);
        }
    }
    return r;
}

/* --------------------------------------------------------------- going back */

static int check_back(Snap *s, Err *err)
{
    for (guint i = 0; i < s->volumes->len; i += 2) {
        VolumeInfo info;
        int r = volume_info(s->set, s->volumes->pdata[i + 1], &info, err);
        if (r == 0 && info.snapshots == 0) {
            r = err_setf(err, -ENOENT, "'%s' has no snapshots",
                         (const char *)s->volumes->pdata[i + 1]);
        }
        if (r < 0) {
            return err_wrapf(err, r, "%s", (const char *)s->volumes->pdata[i]);
        }
    }
    if (s->vmstate != NULL) {
        VolumeInfo info;
        int r = volume_info(s->set, s->vmstate, &info, err);
        return r < 0 ? err_wrapf(err, r, "saved memory") : 0;
    }
    return 0;
}

/* With the work lock held, the word of a rollback is that of one that was interrupted. */
static int check_lock_back(const VmConf *conf, Err *err)
{
    const char *word = vmsection_get(vmconf_main(conf), "lock");

    return guest_check_lock(conf, g_strcmp0(word, LOCK_ROLLBACK) == 0, err);
}

/* What must be there is there; then the file says what is being done. */
static int begin_back(Snap *s, Err *err)
{
    g_autoptr(GuestEdit) edit = NULL;
    VmSection *section = NULL;
    int r = guest_edit_begin(s->host->tree, s->vmid, &(GuestEditOptions){.skiplock = true}, &edit,
                             err);

    if (r == 0) {
        r = begin_work(s, err);
    }
    if (r == 0) {
        r = check_lock_back(guest_edit_conf(edit), err);
    }
    if (r == 0) {
        r = snapplan_find(guest_edit_conf(edit), s->name, false, &section, err);
    }
    if (r < 0) {
        return r;
    }
    s->volumes = snapplan_volumes(section);
    s->vmstate = g_strdup(vmsection_get(section, "vmstate"));
    r = check_back(s, err);
    if (r < 0) {
        return r;
    }
    vmsection_set(vmconf_main(guest_edit_conf(edit)), "lock", LOCK_ROLLBACK);
    return guest_edit_commit(edit, err);
}

static int disks_back(Snap *s, Err *err)
{
    for (guint i = 0; i < s->volumes->len; i += 2) {
        int r =
            volume_snapshot(s->set, s->volumes->pdata[i + 1], IMAGE_SNAPSHOT_APPLY, s->name, err);
        if (r < 0) {
            return err_wrapf(err, r, "%s", (const char *)s->volumes->pdata[i]);
        }
    }
    return 0;
}

static char *new_uuid(void)
{
    return g_uuid_string_random();
}

/* The configuration follows its disks, and the guest starts while nobody can get between. */
static int finish_back(Snap *s, bool start, Err *err)
{
    GuestStartOptions options = GUEST_START_OPTIONS_INIT;
    g_autofree char *vmgenid = new_uuid();
    g_autofree char *machine = NULL;
    g_autofree char *cpu = NULL;
    g_autoptr(GuestEdit) edit = NULL;
    VmSection *section = NULL;
    int r = guest_edit_begin(s->host->tree, s->vmid, &(GuestEditOptions){.my_lock = LOCK_ROLLBACK},
                             &edit, err);

    if (r == 0) {
        r = snapplan_find(guest_edit_conf(edit), s->name, false, &section, err);
    }
    if (r < 0) {
        return r;
    }
    machine = g_strdup(vmsection_get(section, "runningmachine"));
    cpu = g_strdup(vmsection_get(section, "runningcpu"));
    r = snapplan_rollback(guest_edit_conf(edit), s->name, vmgenid, err);
    if (r == 0) {
        (void)vmsection_unset(vmconf_main(guest_edit_conf(edit)), "lock");
        r = guest_edit_commit(edit, err);
    }
    if (r < 0 || (s->vmstate == NULL && !start)) {
        return r;
    }
    options.work = s->work;
    if (s->vmstate != NULL) {
        options.state_fd = guest_state_open(s->set, s->vmstate, err);
        if (options.state_fd < 0) {
            return options.state_fd;
        }
        options.machine = machine;
        options.cpu = cpu;
    }
    r = guest_start_locked(s->host, s->vmid, edit, &options, err);
    if (options.state_fd >= 0) {
        (void)close(options.state_fd); /* QEMU has its own */
    }
    return r < 0 ? err_wrapf(err, r, "disks and configuration are those of '%s', but the start",
                             s->name)
                 : 0;
}

int guest_snapshot_rollback(
    const GuestHost *h, uint32_t vmid, const char *name, bool start, Err *err)
{
    g_auto(Snap) s = {.host = h, .vmid = vmid, .name = name, .proc = GUEST_PROC_INIT};
    int r = storage_set_open(h->tree, &s.set, err);

    if (r == 0) {
        r = guest_fence(h, vmid, err);
    }
    if (r == 0) {
        r = begin_back(&s, err);
    }
    if (r < 0) {
        return r;
    }
    r = guest_stop(h, vmid, &(GuestStopOptions){.skiplock = true}, err);
    if (r == 0) {
        r = disks_back(&s, err);
    }
    if (r < 0) {
        return err_wrapf(err, r,
                         "rollback to '%s' is not complete, the guest stays locked until "
                         "'qm rollback %u' succeeds",
                         name, vmid);
    }
    return finish_back(&s, start, err);
}
