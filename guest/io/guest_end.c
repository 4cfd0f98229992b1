/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_end.h"

#include "guest/core/guest_change.h"
#include "guest/core/guestconf.h"
#include "guest/io/guest_edit.h"
#include "guest/io/guest_hook.h"
#include "guest/io/guest_huge.h"
#include "guest/io/guest_net.h"
#include "guest/io/guest_pci.h"
#include "guest/io/guest_proc.h"
#include "guest/io/guest_scope.h"
#include "guest/io/guest_tpm.h"
#include "guest/io/host_world.h"
#include "guest/io/storage_set.h"
#include "guest/io/volume.h"
#include "lib/base/jsontree.h"
#include "lib/cfs/cfsfile.h"
#include "lib/port/clock.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define WHY_MAX 64

static int write_json(const char *path, const JsonTree *tree, Err *err)
{
    g_autofree char *text = jsontree_pretty(tree);

    return cfsfile_write(path, text, strlen(text), err);
}

int guest_end_expect(
    const GuestHost *h, uint32_t vmid, pid_t pid, const char *migrated_from, Err *err)
{
    g_autofree char *path = guest_run_path(h->run_dir, vmid, "run");
    g_autoptr(JsonTree) note = jsontree_new_object();

    jsontree_set_int(note, "vmid", vmid);
    jsontree_set_int(note, "pid", pid);
    jsontree_set_int(note, "started", clock_wall().sec);
    jsontree_set_text(note, "migrated-from", migrated_from);
    return write_json(path, note, err);
}

bool guest_end_is_due(const GuestHost *h, uint32_t vmid)
{
    g_autofree char *path = guest_run_path(h->run_dir, vmid, "run");

    return access(path, F_OK) == 0;
}

void guest_end_announce(const GuestHost *h, uint32_t vmid, const char *reason)
{
    g_autofree char *path = guest_run_path(h->run_dir, vmid, "why");

    (void)!cfsfile_write(path, reason, strlen(reason), NULL); /* then it says less, no more */
}

/* The reason that was announced, or NULL. Caller frees. */
static char *announced(const GuestHost *h, uint32_t vmid)
{
    g_autofree char *path = guest_run_path(h->run_dir, vmid, "why");
    char *text = NULL;
    gsize size;

    return cfsfile_read(path, WHY_MAX, &text, &size, NULL) == 0 ? text : NULL;
}

static void write_down(const GuestHost *h, uint32_t vmid, const GuestEnd *end, const char *why)
{
    g_autofree char *path = guest_run_path(h->run_dir, vmid, "exit");
    g_autoptr(JsonTree) note = jsontree_new_object();
    Err err = ERR_INIT;

    jsontree_set_int(note, "vmid", vmid);
    jsontree_set_int(note, "time", clock_wall().sec);
    jsontree_set_text(note, "reason", why != NULL ? why : end->reason);
    jsontree_set_bool(note, "guest_requested", end->guest_requested);
    if (write_json(path, note, &err) < 0) {
        guest_say(h, GUEST_SAY_WARNING, "%s", err_text(&err)); /* the guest is down all the same */
    }
}

static int run_hook(const GuestHost *h, uint32_t vmid, const VmConf *conf, Err *err)
{
    HostWorldOptions options = {.root = h->tree->root, .run_dir = h->run_dir};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GuestConf) gc = NULL;
    g_autoptr(HostWorld) world = NULL;
    int r;

    if (vmsection_get(vmconf_main(conf), "hookscript") == NULL) {
        return 0;
    }
    r = guestconf_new(vmconf_main(conf), vmid, warnings, &gc, err);
    if (r == 0) {
        r = host_world_new(&options, &world, err);
    }
    return r < 0 ? r : guest_hook_run(h, host_world_facts(world), gc, "post-stop", err);
}

/* Nothing refers to them any more: one that stays costs space, no more. */
static void free_volumes(const GuestHost *h, uint32_t vmid, const GPtrArray *freed)
{
    g_autoptr(StorageSet) set = NULL;
    Err err = ERR_INIT;
    int r = freed->len > 0 ? storage_set_open(h->tree, &set, &err) : 0;

    for (guint i = 0; i < freed->len; i++) {
        const char *volid = freed->pdata[i];
        if (r == 0) {
            r = volume_free_of(set, vmid, volid, &err);
        }
        if (r < 0) {
            guest_say(h, GUEST_SAY_WARNING, "volume '%s' is no longer used, but stays: %s", volid,
                      err_text(&err));
            err_clear(&err);
            r = set != NULL ? 0 : r;
        }
    }
}

int guest_apply_pending(const GuestHost *h, uint32_t vmid, GuestEdit *edit, Err *err)
{
    g_autoptr(GPtrArray) freed = g_ptr_array_new_with_free_func(g_free);
    int r;

    if (vmconf_section(guest_edit_conf(edit), VM_SECTION_PENDING, NULL) == NULL) {
        return 0;
    }
    guest_pending_apply(guest_edit_conf(edit), freed);
    r = guest_edit_commit(edit, err);
    if (r == 0) {
        free_volumes(h, vmid, freed);
    }
    return r;
}

/* The owner's part. What fails here is told and left: the next start does it. */
static void settle(const GuestHost *h, uint32_t vmid, GuestEdit *edit)
{
    Err err = ERR_INIT;

    if (vmsection_get(vmconf_main(guest_edit_conf(edit)), "lock") == NULL &&
        guest_apply_pending(h, vmid, edit, &err) < 0) {
        guest_say(h, GUEST_SAY_WARNING, "pending changes: %s", err_text(&err));
        err_clear(&err);
    }
    if (run_hook(h, vmid, guest_edit_conf(edit), &err) < 0) {
        guest_say(h, GUEST_SAY_WARNING, "%s", err_text(&err));
    }
}

static void remove_traces(const GuestHost *h, uint32_t vmid, const GuestEnd *end)
{
    g_autofree char *note = guest_run_path(h->run_dir, vmid, "run");
    g_autofree char *why = announced(h, vmid);
    Err err = ERR_INIT;

    guest_net_sweep(vmid);
    guest_tpm_end(h->run_dir, vmid);
    guest_pci_release(GUEST_PCI_SYSFS, vmid);
    guest_scope_remove(GUEST_SCOPE_ROOT, vmid);
    if (guest_huge_give_back(GUEST_HUGE_SYSFS, h->run_dir, &err) < 0) {
        guest_say(h, GUEST_SAY_WARNING, "huge pages stay until the next guest ends: %s",
                  err_text(&err));
    }
    guest_run_sweep(h->run_dir, vmid);
    write_down(h, vmid, end, why);
    (void)unlink(note); /* seen a moment ago, under the lock */
}

static int wait_gone(const GuestHost *h, uint32_t vmid, unsigned wait_ms, Err *err)
{
    g_auto(GuestProc) proc = GUEST_PROC_INIT;
    int r = guest_proc_find(h->run_dir, vmid, &proc, err);

    if (r == 1 && !guest_proc_wait(&proc, wait_ms)) {
        return err_setf(err, -EBUSY, "VM %u still runs (process %d)", vmid, (int)proc.pid);
    }
    return MIN(r, 0);
}

/* Under the lock of the configuration, whoever holds it. */
static int
end_locked(const GuestHost *h, uint32_t vmid, const GuestEnd *end, GuestEdit *edit, Err *err)
{
    int r = wait_gone(h, vmid, 0, err); /* it may have been started again meanwhile */

    if (r < 0 || !guest_end_is_due(h, vmid)) {
        return r;
    }
    remove_traces(h, vmid, end);
    if (edit != NULL) {
        settle(h, vmid, edit);
    }
    return 0;
}

int guest_end(const GuestHost *h, uint32_t vmid, const GuestEnd *end, unsigned wait_ms, Err *err)
{
    g_autoptr(GuestEdit) edit = NULL;
    g_autoptr(GuestLock) lock = NULL;
    int r = wait_gone(h, vmid, wait_ms, err);

    if (r < 0) {
        return r;
    }
    if (!end->foreign) {
        /* Not ours, no quorum, a broken file: then only what is on this host is cleaned. */
        (void)!guest_edit_begin(h->tree, vmid, &(GuestEditOptions){.skiplock = true}, &edit, NULL);
    }
    if (edit == NULL) {
        r = guest_lock_take(h->tree, vmid, 0, &lock, err);
    }
    return r < 0 ? r : end_locked(h, vmid, end, edit, err);
}

int guest_end_overlooked(const GuestHost *h, uint32_t vmid, Err *err)
{
    return guest_end_is_due(h, vmid) ? guest_end(h, vmid, &(GuestEnd){.reason = "crashed"}, 0, err)
                                     : 0;
}
