/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_suspend.h"

#include "guest/core/guest_change.h"
#include "guest/core/guestconf.h"
#include "guest/io/guest_edit.h"
#include "guest/io/guest_end.h"
#include "guest/io/guest_proc.h"
#include "guest/io/guest_qmp.h"
#include "guest/io/guest_state.h"
#include "guest/io/guest_work.h"
#include "guest/io/volume.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LOCK_SUSPENDING "suspending"
#define STATE_NAME      "suspend"
#define RESUME_MS       60000u
#define QUIT_MS         5000u
#define END_MS          60000u
#define TERM_MS         10000u
#define KILL_MS         30000u

static const char *const state_keys[] = {"vmstate", "runningmachine", "runningcpu"};

static int find_running(const GuestHost *h, uint32_t vmid, GuestProc *ret, Err *err)
{
    int r = guest_proc_find(h->run_dir, vmid, ret, err);

    return r == 0 ? err_setf(err, -ESRCH, "VM %u is not running", vmid) : MIN(r, 0);
}

static int check_conf(const GuestHost *h, uint32_t vmid, bool skiplock, Err *err)
{
    g_autoptr(VmConf) conf = NULL;
    int r = guest_conf_read(h->tree, NULL, vmid, NULL, NULL, &conf, err);

    return r < 0 ? r : guest_check_lock(conf, skiplock, err);
}

int guest_pause(const GuestHost *h, uint32_t vmid, bool skiplock, Err *err)
{
    g_auto(GuestProc) proc = GUEST_PROC_INIT;
    int r = check_conf(h, vmid, skiplock, err);

    if (r == 0) {
        r = find_running(h, vmid, &proc, err);
    }
    return r < 0 ? r : guest_qmp_call(h->run_dir, vmid, "stop", NULL, 0, NULL, err);
}

/* ------------------------------------------------------------------- resume */

static int resume_from(QmpClient *qmp, const char *status, Err *err)
{
    int r = 0;

    if (strcmp(status, "running") == 0) {
        return 0;
    }
    if (strcmp(status, "suspended") == 0) {
        return qmp_call(qmp, "system_wakeup", NULL, 0, NULL, err);
    }
    if (strcmp(status, "inmigrate") == 0) {
        return err_setf(err, -EBUSY, "it still waits for its memory from another node");
    }
    if (strcmp(status, "shutdown") == 0) {
        r = qmp_call(qmp, "system_reset", NULL, 0, NULL, err);
    }
    return r < 0 ? r : qmp_call(qmp, "cont", NULL, RESUME_MS, NULL, err);
}

int guest_resume(const GuestHost *h, uint32_t vmid, bool skiplock, bool nocheck, Err *err)
{
    g_autofree char *marker = guest_run_path(h->run_dir, vmid, "incoming");
    g_auto(GuestProc) proc = GUEST_PROC_INIT;
    g_autoptr(QmpClient) qmp = NULL;
    g_autoptr(JsonTree) answer = NULL;
    const char *status;
    int r = nocheck ? 0 : check_conf(h, vmid, skiplock, err);

    if (r == 0) {
        r = find_running(h, vmid, &proc, err);
    }
    if (r == 0) {
        r = guest_qmp_open(h->run_dir, vmid, &qmp, err);
    }
    if (r == 0) {
        r = qmp_call(qmp, "query-status", NULL, RESUME_MS, &answer, err);
    }
    if (r < 0) {
        return r;
    }
    status = jsontree_get_text(answer, "status");
    r = resume_from(qmp, status != NULL ? status : "", err);
    if (r < 0) {
        return err_wrapf(err, r, "VM %u", vmid);
    }
    (void)unlink(marker); /* it runs: no longer a guest that only arrives */
    return 0;
}

/* --------------------------------------------------------------------- disk */

typedef struct Sleep {
    const GuestHost *host;
    uint32_t vmid;
    StorageSet *set;
    GuestProc proc;
    QmpClient *qmp;
    GuestWork *work;
    char *vmstate;
} Sleep;

static void sleep_clear(Sleep *s)
{
    g_clear_pointer(&s->set, storage_set_free);
    g_clear_pointer(&s->qmp, qmp_client_free);
    g_clear_pointer(&s->vmstate, g_free);
    g_clear_pointer(&s->work, guest_work_end);
    guest_proc_clear(&s->proc);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Sleep, sleep_clear)

static void note_volume(void *ctx, uint32_t vmid, const char *volid)
{
    (void)vmid; /* no other guest's are made here */
    guest_work_note(ctx, GUEST_WORK_VOLUME, volid);
}

static int begin_sleep(Sleep *s, const char *storage, bool skiplock, Err *err)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GuestEdit) edit = NULL;
    g_autoptr(GuestConf) gc = NULL;
    VmSection *main;
    int r = guest_edit_begin(s->host->tree, s->vmid, &(GuestEditOptions){.skiplock = skiplock},
                             &edit, err);

    if (r == 0) {
        r = guest_work_begin(s->host->tree, s->vmid, GUEST_WORK_WAIT_MS, &s->work, err);
    }
    if (r < 0) {
        return r;
    }
    s->set->made = note_volume;
    s->set->made_ctx = s->work;
    main = vmconf_main(guest_edit_conf(edit));
    r = guest_state_note(&s->proc, s->qmp, main, err);
    if (r == 0) {
        r = guestconf_new(main, s->vmid, warnings, &gc, err);
    }
    if (r == 0) {
        r = guest_state_alloc(s->set, gc, storage, STATE_NAME, &s->vmstate, err);
    }
    if (r < 0) {
        return r;
    }
    vmsection_set(main, "lock", LOCK_SUSPENDING);
    vmsection_set(main, "vmstate", s->vmstate);
    r = guest_edit_commit(edit, err);
    if (r < 0) {
        (void)!volume_free(s->set, s->vmstate, NULL); /* the file does not know it */
    }
    return r;
}

/* The words of the file when it is over: `lock` NULL means that the guest does not sleep. */
static int end_sleep(const GuestHost *h, uint32_t vmid, const char *from, const char *to, Err *err)
{
    g_autoptr(GuestEdit) edit = NULL;
    VmSection *main;
    int r = guest_edit_begin(h->tree, vmid, &(GuestEditOptions){.my_lock = from}, &edit, err);

    if (r < 0) {
        return r;
    }
    main = vmconf_main(guest_edit_conf(edit));
    if (to != NULL) {
        vmsection_set(main, "lock", to);
        return guest_edit_commit(edit, err);
    }
    (void)vmsection_unset(main, "lock");
    for (size_t i = 0; i < G_N_ELEMENTS(state_keys); i++) {
        (void)vmsection_unset(main, state_keys[i]);
    }
    return guest_edit_commit(edit, err);
}

/* The guest goes on as if nothing had been asked. */
static void abort_sleep(Sleep *s)
{
    Err err = ERR_INIT;

    if (qmp_call(s->qmp, "cont", NULL, RESUME_MS, NULL, &err) < 0) {
        guest_say(s->host, GUEST_SAY_WARNING, "VM %u stays paused: %s", s->vmid, err_text(&err));
    }
    err_clear(&err);
    if (end_sleep(s->host, s->vmid, LOCK_SUSPENDING, NULL, &err) < 0) {
        guest_say(s->host, GUEST_SAY_WARNING, "%s: 'qm unlock %u' takes the lock away",
                  err_text(&err), s->vmid);
        return;
    }
    if (volume_free(s->set, s->vmstate, &err) < 0) {
        guest_say(s->host, GUEST_SAY_WARNING, "%s", err_text(&err));
    }
}

/* The memory is on disk: nothing can be lost by ending QEMU. */
static int end_qemu(Sleep *s, Err *err)
{
    int r = 0;

    guest_end_announce(s->host, s->vmid, GUEST_LOCK_SUSPENDED);
    (void)!qmp_call(s->qmp, "quit", NULL, QUIT_MS, NULL, NULL); /* signals follow */
    if (!guest_proc_wait(&s->proc, END_MS)) {
        r = guest_proc_end(&s->proc, TERM_MS, KILL_MS, err);
    }
    return r < 0 ? r
                 : guest_end(s->host, s->vmid, &(GuestEnd){.reason = GUEST_LOCK_SUSPENDED}, END_MS,
                             err);
}

int guest_sleep(const GuestHost *h, uint32_t vmid, const char *storage, bool skiplock, Err *err)
{
    g_auto(Sleep) s = {.host = h, .vmid = vmid, .proc = GUEST_PROC_INIT};
    int r = storage_set_open(h->tree, &s.set, err);

    if (r == 0) {
        r = find_running(h, vmid, &s.proc, err);
    }
    if (r == 0) {
        r = guest_qmp_open(h->run_dir, vmid, &s.qmp, err);
    }
    if (r == 0) {
        r = begin_sleep(&s, storage, skiplock, err);
    }
    if (r < 0) {
        return r;
    }
    guest_work_note(s.work, GUEST_WORK_RAN, "");
    r = qmp_call(s.qmp, "stop", NULL, 0, NULL, err);
    if (r == 0) {
        r = guest_state_save(h, s.set, s.qmp, s.vmstate, err);
    }
    if (r == 0) {
        r = end_sleep(h, vmid, LOCK_SUSPENDING, GUEST_LOCK_SUSPENDED, err);
    }
    if (r < 0) {
        abort_sleep(&s);
        return r;
    }
    return end_qemu(&s, err);
}

/* ------------------------------------------------------------------- wake up */

static int wake(const GuestHost *h,
                uint32_t vmid,
                const StorageSet *set,
                GuestEdit *edit,
                GuestWork *work,
                const GuestStartOptions *options,
                Err *err)
{
    const VmSection *main = vmconf_main(guest_edit_conf(edit));
    g_autofree char *machine = g_strdup(vmsection_get(main, "runningmachine"));
    g_autofree char *cpu = g_strdup(vmsection_get(main, "runningcpu"));
    const char *vmstate = vmsection_get(main, "vmstate");
    GuestStartOptions start = *options;
    int r;

    if (vmstate == NULL) {
        return err_setf(err, -EINVAL,
                        "VM %u is locked as suspended, but no saved memory is noted: 'qm unlock' "
                        "and start it anew",
                        vmid);
    }
    start.work = work;
    start.machine = machine;
    start.cpu = cpu;
    start.state_fd = guest_state_open(set, vmstate, err);
    if (start.state_fd < 0) {
        return start.state_fd;
    }
    r = guest_start_locked(h, vmid, edit, &start, err);
    (void)close(start.state_fd); /* QEMU has its own */
    return r;
}

/* It runs: the saved memory must never be used a second time. */
static int
end_wake(const GuestHost *h, uint32_t vmid, const StorageSet *set, GuestEdit *edit, Err *err)
{
    VmSection *main = vmconf_main(guest_edit_conf(edit));
    g_autofree char *vmstate = g_strdup(vmsection_get(main, "vmstate"));
    Err after = ERR_INIT;
    int r;

    (void)vmsection_unset(main, "lock");
    for (size_t i = 0; i < G_N_ELEMENTS(state_keys); i++) {
        (void)vmsection_unset(main, state_keys[i]);
    }
    r = guest_edit_commit(edit, err);
    if (r < 0) {
        return err_wrapf(err, r, "VM %u runs, but its file still says that it sleeps", vmid);
    }
    if (vmstate != NULL && volume_free_of(set, vmid, vmstate, &after) < 0) {
        guest_say(h, GUEST_SAY_WARNING, "%s", err_text(&after));
    }
    return 0;
}

static int begin_wake(
    const GuestHost *h, uint32_t vmid, StorageSet **ret_set, GuestEdit **ret_edit, Err *err)
{
    int r = storage_set_open(h->tree, ret_set, err);

    return r < 0 ? r
                 : guest_edit_begin(h->tree, vmid,
                                    &(GuestEditOptions){.my_lock = GUEST_LOCK_SUSPENDED}, ret_edit,
                                    err);
}

int guest_wake(const GuestHost *h, uint32_t vmid, const GuestStartOptions *options, Err *err)
{
    g_autoptr(GuestWork) work = NULL; /* goes last: nobody is to take the word for a leftover */
    g_autoptr(StorageSet) set = NULL;
    g_autoptr(GuestEdit) edit = NULL;
    int r = begin_wake(h, vmid, &set, &edit, err);

    if (r == 0) {
        r = guest_work_begin(h->tree, vmid, GUEST_WORK_WAIT_MS, &work, err);
    }
    if (r == 0) {
        r = wake(h, vmid, set, edit, work, options, err);
    }
    return r == 0 ? end_wake(h, vmid, set, edit, err) : r;
}

/* ---------------------------------------------------- after killed commands */

int guest_sleep_take_back(const GuestHost *h, uint32_t vmid, Err *err)
{
    g_autoptr(StorageSet) set = NULL;
    g_autoptr(VmConf) conf = NULL;
    g_autofree char *vmstate = NULL;
    int r = guest_conf_read(h->tree, NULL, vmid, NULL, NULL, &conf, err);

    if (r == 0) {
        vmstate = g_strdup(vmsection_get(vmconf_main(conf), "vmstate"));
        r = storage_set_open(h->tree, &set, err);
    }
    if (r == 0) {
        r = end_sleep(h, vmid, LOCK_SUSPENDING, NULL, err);
    }
    return r == 0 && vmstate != NULL ? volume_free_of(set, vmid, vmstate, err) : r;
}

int guest_sleep_settle(const GuestHost *h, uint32_t vmid, QmpClient *qmp, Err *err)
{
    Sleep s = {.host = h, .vmid = vmid, .proc = GUEST_PROC_INIT, .qmp = qmp};
    g_autoptr(StorageSet) set = NULL;
    g_autoptr(GuestEdit) edit = NULL;
    g_autoptr(JsonTree) answer = NULL;
    const char *status;
    int r = qmp_call(qmp, "query-status", NULL, RESUME_MS, &answer, err);

    if (r < 0) {
        return r;
    }
    status = jsontree_get_text(answer, "status");
    if (g_strcmp0(status, "running") == 0) {
        r = begin_wake(h, vmid, &set, &edit, err);
        return r == 0 ? end_wake(h, vmid, set, edit, err) : r;
    }
    if (g_strcmp0(status, "postmigrate") != 0) {
        return 0; /* for people to decide */
    }
    r = find_running(h, vmid, &s.proc, err);
    if (r == 0) {
        r = end_qemu(&s, err);
    }
    guest_proc_clear(&s.proc);
    return r;
}
