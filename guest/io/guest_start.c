/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_start.h"

#include "guest/core/guestconf.h"
#include "guest/core/qemucmd.h"
#include "guest/io/guest_cloudinit.h"
#include "guest/io/guest_end.h"
#include "guest/io/guest_hook.h"
#include "guest/io/guest_huge.h"
#include "guest/io/guest_net.h"
#include "guest/io/guest_pci.h"
#include "guest/io/guest_proc.h"
#include "guest/io/guest_qmp.h"
#include "guest/io/guest_scope.h"
#include "guest/io/guest_spawn.h"
#include "guest/io/guest_suspend.h"
#include "guest/io/guest_tpm.h"
#include "guest/io/host_world.h"
#include "guest/io/textfile.h"
#include "lib/cfs/cfsfile.h"
#include "lib/cfs/cfslock.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define FENCE_MS       10000u
#define START_MS       60000u  /* a guest of usual size on a loaded host */
#define START_GIB_MS   1000u   /* more for each GiB of memory */
#define START_SLOW_MS  300000u /* huge pages and passed-through devices pin all memory */
#define GIVE_UP_MS     1000u
#define GIVE_UP_KILL   10000u
#define MIB            (INT64_C(1024) * 1024)
#define INCOMING_DEFER "defer"

typedef struct Start {
    const GuestHost *host;
    uint32_t vmid;
    const GuestStartOptions *options;
    const VmConf *conf; /* borrowed */
    GuestConf *gc;
    HostWorld *world;
    QemuCmd *cmd;
    char *incoming;  /* NULL, or where QEMU gets its state from */
    GArray *fds;     /* int */
    GArray *helpers; /* pid_t */
    GuestProc proc;
} Start;

static void start_clear(Start *s)
{
    g_clear_pointer(&s->gc, guestconf_free);
    g_clear_pointer(&s->world, host_world_free);
    g_clear_pointer(&s->cmd, qemucmd_free);
    g_clear_pointer(&s->incoming, g_free);
    g_clear_pointer(&s->fds, g_array_unref);
    g_clear_pointer(&s->helpers, g_array_unref);
    guest_proc_clear(&s->proc);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Start, start_clear)

int guest_fence(const GuestHost *h, uint32_t vmid, Err *err)
{
    g_autofree char *name = g_strdup_printf("guest-%u", vmid);
    g_autoptr(CfsLock) lock = NULL;

    return cfslock_acquire(h->tree->root, name, FENCE_MS, &lock, err);
}

/* ----------------------------------------------------------------- command */

static unsigned start_timeout(const Start *s)
{
    const PropString *memory = guestconf_props(s->gc, "memory");
    int64_t mib = memory != NULL ? propstring_int(memory, "current") : 512;

    if (s->options->timeout_ms > 0) {
        return s->options->timeout_ms;
    }
    if (guestconf_has(s->gc, "hugepages") || guestconf_props_at(s->gc, "hostpci", 0) != NULL) {
        return START_SLOW_MS;
    }
    return START_MS + (unsigned)(mib / 1024) * START_GIB_MS;
}

static int build(Start *s, Err *err)
{
    QemuCmdParams params = {.vmid = s->vmid,
                            .machine = s->options->machine,
                            .cpu = s->options->cpu,
                            .paused = true, /* until all is done, see talk() */
                            .incoming = s->incoming};
    const VmSection *section = vmconf_main(s->conf);
    const HostFacts *facts = host_world_facts(s->world);
    int r = qemucmd_build(section, facts, &params, &s->cmd, err);

    if (r == 0 && s->cmd->needs_spice_port) {
        g_clear_pointer(&s->cmd, qemucmd_free);
        r = guest_spawn_spice_port(&params.spice_port, err);
        if (r == 0) {
            r = qemucmd_build(section, facts, &params, &s->cmd, err);
        }
    }
    for (guint i = 0; r == 0 && i < s->cmd->warnings->len; i++) {
        guest_say(s->host, GUEST_SAY_WARNING, "%s", (const char *)s->cmd->warnings->pdata[i]);
    }
    return r;
}

static int make_command(Start *s, Err *err)
{
    g_autofree char *scripts = guest_script_dir();
    HostWorldOptions options = {
        .root = s->host->tree->root, .run_dir = s->host->run_dir, .script_dir = scripts};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    int r = host_world_new(&options, &s->world, err);

    if (r == 0) {
        r = guestconf_new(vmconf_main(s->conf), s->vmid, warnings, &s->gc, err);
    }
    if (r == 0 && guestconf_bool(s->gc, "template")) {
        r = err_setf(err, -EPERM, "VM %u is a template: clone it, and start the clone", s->vmid);
    }
    return r < 0 ? r : build(s, err);
}

/* -------------------------------------------------------------- after start */

static int set_balloon(const Start *s, QmpClient *qmp, Err *err)
{
    JsonTree *args = jsontree_new_object();

    jsontree_set_int(args, "value", guestconf_int(s->gc, "balloon") * MIB);
    return qmp_call(qmp, "balloon", args, 0, NULL, err);
}

static int set_links(const Start *s, QmpClient *qmp, Err *err)
{
    int r = 0;

    for (int i = 0; r == 0 && i < 32; i++) {
        const PropString *net = guestconf_props_at(s->gc, "net", i);
        if (net != NULL && propstring_bool(net, "link_down")) {
            g_autofree char *id = g_strdup_printf("net%d", i);
            JsonTree *args = jsontree_new_object();
            jsontree_set_text(args, "name", id);
            jsontree_set_bool(args, "up", false);
            r = qmp_call(qmp, "set_link", args, 0, NULL, err);
        }
    }
    return r;
}

/* A state from a file is read by QEMU on its own; until then it says "inmigrate". */
static int wait_for_state(const Start *s, QmpClient *qmp, Err *err)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)start_timeout(s) * 1000 * 10;

    for (;;) {
        g_autoptr(JsonTree) answer = NULL;
        const char *status;
        int r = qmp_call(qmp, "query-status", NULL, 0, &answer, err);
        if (r < 0) {
            return err_wrapf(err, r, "while the saved memory was read");
        }
        status = jsontree_get_text(answer, "status");
        if (g_strcmp0(status, "inmigrate") != 0) {
            return 0;
        }
        if (g_get_monotonic_time() > deadline) {
            return err_setf(err, -ETIMEDOUT, "the saved memory could not be read in time");
        }
        g_usleep(10 * 1000); /* QEMU has no event before capability `events` is on */
    }
}

/* Not one instruction of the guest runs before its links, its limits and its memory are as they
 * shall be; and a start that is killed leaves none that runs with half of that. */
static int talk(Start *s, Err *err)
{
    int64_t balloon = guestconf_int(s->gc, "balloon");
    bool state = s->options->state_fd >= 0;
    bool stays = s->options->paused || guestconf_bool(s->gc, "freeze");
    g_autoptr(QmpClient) qmp = NULL;
    int r;

    if (s->options->migrated_from != NULL) {
        return 0;
    }
    r = guest_qmp_open(s->host->run_dir, s->vmid, &qmp, err);
    if (r == 0 && state) {
        r = wait_for_state(s, qmp, err);
    }
    if (r == 0 && balloon > 0 && !state) {
        r = set_balloon(s, qmp, err);
    }
    if (r == 0) {
        r = set_links(s, qmp, err);
    }
    return r == 0 && !stays ? qmp_call(qmp, "cont", NULL, 0, NULL, err) : r;
}

static int enter_scope(Start *s, Err *err)
{
    GuestLimits limits = guest_scope_limits(s->gc);
    g_autofree char *why = NULL;
    GuestScopeKind kind;
    int r;

    g_array_prepend_val(s->helpers, s->proc.pid);
    r = guest_scope_enter(GUEST_SCOPE_ROOT, s->vmid, s->helpers, &limits, &kind, &why, err);
    if (r == 0 && why != NULL) {
        guest_say(s->host, GUEST_SAY_PROGRESS, "memory of the guest's processes is not bounded: %s",
                  why);
    }
    return r;
}

static void mark_incoming(const Start *s)
{
    g_autofree char *path = guest_run_path(s->host->run_dir, s->vmid, "incoming");
    const char *from = s->options->migrated_from;

    if (from != NULL) {
        (void)!cfsfile_write(path, from, strlen(from), NULL); /* a note for `qm resume` only */
    }
}

static void undo(Start *s)
{
    g_autofree char *note = guest_run_path(s->host->run_dir, s->vmid, "run");

    (void)!guest_proc_end(&s->proc, GIVE_UP_MS, GIVE_UP_KILL, NULL);
    guest_net_sweep(s->vmid);
    guest_tpm_end(s->host->run_dir, s->vmid);
    guest_pci_release(GUEST_PCI_SYSFS, s->vmid);
    guest_scope_remove(GUEST_SCOPE_ROOT, s->vmid);
    (void)!guest_huge_give_back(GUEST_HUGE_SYSFS, s->host->run_dir, NULL); /* or the next does */
    guest_run_sweep(s->host->run_dir, s->vmid);
    (void)unlink(note);
}

static int launch(Start *s, Err *err)
{
    bool hooks = s->options->migrated_from == NULL;
    GuestSpawn spawn = {.host = s->host,
                        .facts = host_world_facts(s->world),
                        .conf = s->gc,
                        .cmd = s->cmd,
                        .vmid = s->vmid,
                        .timeout_ms = start_timeout(s),
                        .fds = (const int *)(const void *)s->fds->data,
                        .n_fds = s->fds->len,
                        .disks_in_use = s->options->migrated_from != NULL,
                        .helpers = s->helpers};
    int r = guest_spawn_check(&spawn, err);

    if (r == 0 && hooks) {
        r = guest_hook_run(s->host, spawn.facts, s->gc, "pre-start", err);
    }
    if (r == 0) {
        r = guest_spawn_run(&spawn, &s->proc, err);
    }
    if (r < 0) {
        return r;
    }
    mark_incoming(s);
    r = guest_end_expect(s->host, s->vmid, s->proc.pid, s->options->migrated_from, err);
    if (r == 0) {
        r = enter_scope(s, err);
    }
    if (r == 0) {
        r = talk(s, err);
    }
    if (r < 0) {
        undo(s);
        return r;
    }
    if (hooks) {
        Err hook = ERR_INIT;
        if (guest_hook_run(s->host, spawn.facts, s->gc, "post-start", &hook) < 0) {
            guest_say(s->host, GUEST_SAY_WARNING, "%s", err_text(&hook)); /* the guest runs */
        }
    }
    return 0;
}

/* -------------------------------------------------------------------- front */

static int check_not_running(const GuestHost *h, uint32_t vmid, Err *err)
{
    g_auto(GuestProc) proc = GUEST_PROC_INIT;
    int r = guest_proc_find(h->run_dir, vmid, &proc, err);

    return r <= 0 ? r : err_setf(err, -EEXIST, "VM %u is already running", vmid);
}

static int start_conf(const GuestHost *h,
                      uint32_t vmid,
                      const VmConf *conf,
                      const GuestStartOptions *options,
                      Err *err)
{
    g_auto(Start) s = {.host = h,
                       .vmid = vmid,
                       .options = options,
                       .conf = conf,
                       .fds = g_array_new(FALSE, FALSE, sizeof(int)),
                       .helpers = g_array_new(FALSE, FALSE, sizeof(pid_t)),
                       .proc = GUEST_PROC_INIT};
    int r;

    if (options->n_fds > 0) {
        g_array_append_vals(s.fds, options->fds, (guint)options->n_fds);
    }
    if (options->migrated_from != NULL) {
        s.incoming = g_strdup(INCOMING_DEFER);
    } else if (options->state_fd >= 0) {
        s.incoming = g_strdup_printf("fd:%d", options->state_fd);
        g_array_append_val(s.fds, options->state_fd);
    }
    r = make_command(&s, err);
    return r < 0 ? r : launch(&s, err);
}

static void warn_line(void *ctx, unsigned line, const char *text)
{
    guest_say(ctx, GUEST_SAY_WARNING, "line %u: %s", line, text);
}

/* The configuration of a guest that another node still owns. */
static int read_foreign(
    const GuestHost *h, uint32_t vmid, const GuestStartOptions *options, VmConf **ret, Err *err)
{
    g_autofree char *text = NULL;
    size_t len;
    int r;

    if (options->config == NULL) {
        return guest_conf_read(h->tree, options->migrated_from, vmid, warn_line,
                               (void *)(uintptr_t)h, ret, err);
    }
    r = textfile_read(options->config, VMCONF_TEXT_MAX, &text, &len, err);
    return r < 0 ? r : vmconf_parse(text, len, &(VmConfParse){.file = options->config}, ret, err);
}

static int
start_incoming(const GuestHost *h, uint32_t vmid, const GuestStartOptions *options, Err *err)
{
    g_autoptr(GuestLock) lock = NULL;
    g_autoptr(VmConf) conf = NULL;
    int r = guest_lock_take(h->tree, vmid, 0, &lock, err);

    if (r == 0) {
        r = guest_tree_check_quorum(h->tree, err);
    }
    if (r == 0) {
        r = check_not_running(h, vmid, err);
    }
    if (r == 0) {
        r = read_foreign(h, vmid, options, &conf, err);
    }
    return r < 0 ? r : start_conf(h, vmid, conf, options, err);
}

int guest_start_locked(
    const GuestHost *h, uint32_t vmid, GuestEdit *edit, const GuestStartOptions *options, Err *err)
{
    g_autoptr(GuestWork) own = NULL;
    int r = check_not_running(h, vmid, err);

    if (r == 0 && options->work == NULL) {
        r = guest_work_begin(h->tree, vmid, GUEST_WORK_WAIT_MS, &own, err);
    }
    if (r == 0) {
        guest_work_note(own != NULL ? own : options->work, GUEST_WORK_START, "");
    }
    /* A saved state fits the configuration it was saved under, not a newer one. */
    if (r == 0 && options->state_fd < 0) {
        r = guest_apply_pending(h, vmid, edit, err);
    }
    if (r == 0 && options->state_fd < 0) {
        r = guest_cloudinit_start(h, vmid, guest_edit_conf(edit), err);
        r = r == 1 ? guest_edit_commit(edit, err) : r;
    }
    return r < 0 ? r : start_conf(h, vmid, guest_edit_conf(edit), options, err);
}

int guest_start_take_back(const GuestHost *h, uint32_t vmid, Err *err)
{
    Start s = {.host = h, .vmid = vmid, .proc = GUEST_PROC_INIT};
    g_autofree char *status = NULL;
    int r = guest_proc_find(h->run_dir, vmid, &s.proc, err);

    if (r == 0) {
        r = guest_proc_scan(h->run_dir, vmid, &s.proc, err);
    }
    if (r <= 0) {
        return r;
    }
    r = guest_qmp_status(h->run_dir, vmid, &status, err);
    if (r == -ENOENT || r == -ECONNREFUSED) { /* it has just begun */
        err_clear(err);
        r = 0;
    }
    if (r == 0 && g_strcmp0(status, "running") != 0) {
        guest_say(h, GUEST_SAY_PROGRESS, "ending what a start that was killed has left");
        undo(&s);
    }
    guest_proc_clear(&s.proc);
    return r;
}

/* Its memory waits in a volume. Looked at again under the lock. */
static bool is_suspended(const GuestHost *h, uint32_t vmid)
{
    g_autoptr(VmConf) conf = NULL;

    return guest_conf_read(h->tree, NULL, vmid, NULL, NULL, &conf, NULL) == 0 &&
           g_strcmp0(vmsection_get(vmconf_main(conf), "lock"), GUEST_LOCK_SUSPENDED) == 0;
}

int guest_start(const GuestHost *h, uint32_t vmid, const GuestStartOptions *options, Err *err)
{
    GuestEditOptions how = {
        .skiplock = options->skiplock, .warn = warn_line, .ctx = (void *)(uintptr_t)h};
    g_autoptr(GuestEdit) edit = NULL;
    int r;

    if (options->migrated_from != NULL) {
        return start_incoming(h, vmid, options, err);
    }
    r = guest_fence(h, vmid, err);
    if (r == 0 && is_suspended(h, vmid)) {
        return guest_wake(h, vmid, options, err);
    }
    if (r == 0) {
        r = guest_end_overlooked(h, vmid, err);
        r = r == -EBUSY ? 0 : r; /* it runs: said below */
    }
    if (r == 0) {
        r = guest_edit_begin(h->tree, vmid, &how, &edit, err);
    }
    return r < 0 ? r : guest_start_locked(h, vmid, edit, options, err);
}
