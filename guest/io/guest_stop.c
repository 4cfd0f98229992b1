/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/io/guest_stop.h"

#include "guest/core/guest_change.h"
#include "guest/core/guestconf.h"
#include "guest/io/guest_edit.h"
#include "guest/io/guest_end.h"
#include "guest/io/guest_hook.h"
#include "guest/io/guest_proc.h"
#include "guest/io/guest_qmp.h"
#include "guest/io/host_world.h"
#include "lib/port/clock.h"

#include <errno.h>
#include <string.h>

#define QUIT_MS  5000u /* for the answer to `quit` */
#define ASK_MS   5000u /* for the answer to a request to turn off */
#define ALIVE_MS 3000u /* for an agent to prove that it runs */
#define POLL_MS  200u
#define DEATH_MS 30000u /* unmapping the memory of a large guest */
#define END_MS   30000u

/* The configuration with its checks; a guest of another node is fine when the caller says so. */
static int
load(const GuestHost *h, uint32_t vmid, const GuestStopOptions *o, VmConf **ret, Err *err)
{
    int r;

    if (o->migrated_from != NULL) {
        return 0;
    }
    r = guest_conf_read(h->tree, NULL, vmid, NULL, NULL, ret, err);
    return r < 0 ? r : guest_check_lock(*ret, o->skiplock, err);
}

static void pre_stop_hook(const GuestHost *h, uint32_t vmid, const VmConf *conf)
{
    HostWorldOptions options = {.root = h->tree->root, .run_dir = h->run_dir};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GuestConf) gc = NULL;
    g_autoptr(HostWorld) world = NULL;
    Err err = ERR_INIT;
    int r;

    if (conf == NULL || vmsection_get(vmconf_main(conf), "hookscript") == NULL) {
        return;
    }
    r = guestconf_new(vmconf_main(conf), vmid, warnings, &gc, &err);
    if (r == 0) {
        r = host_world_new(&options, &world, &err);
    }
    if (r == 0) {
        r = guest_hook_run(h, host_world_facts(world), gc, "pre-stop", &err);
    }
    if (r < 0) {
        guest_say(h, GUEST_SAY_WARNING, "%s", err_text(&err)); /* stopping must stay possible */
    }
}

/* `quit`, then signals. *ret_reason: how it went. */
static int end_process(const GuestHost *h,
                       uint32_t vmid,
                       const GuestProc *proc,
                       unsigned timeout_ms,
                       const char **ret_reason,
                       Err *err)
{
    Err quit = ERR_INIT;

    guest_end_announce(h, vmid, "stopped");
    if (guest_qmp_call(h->run_dir, vmid, "quit", NULL, QUIT_MS, NULL, &quit) == 0 ||
        quit.code == -EPIPE) {
        if (guest_proc_wait(proc, timeout_ms)) {
            *ret_reason = "stopped";
            return 0;
        }
        guest_say(h, GUEST_SAY_WARNING, "VM %u did not end in time, sending signals", vmid);
    } else if (guest_proc_wait(proc, 0)) {
        *ret_reason = "stopped";
        return 0;
    } else {
        guest_say(h, GUEST_SAY_WARNING, "%s; sending signals", err_text(&quit));
    }
    *ret_reason = "killed";
    guest_end_announce(h, vmid, "killed");
    return guest_proc_end(proc, GUEST_KILL_MS, DEATH_MS, err);
}

static int finish(const GuestHost *h,
                  uint32_t vmid,
                  const GuestStopOptions *o,
                  const char *reason,
                  bool guest_requested,
                  Err *err)
{
    GuestEnd end = {.reason = o->migrated_from != NULL ? "migrated" : reason,
                    .guest_requested = guest_requested,
                    .foreign = o->migrated_from != NULL};

    return guest_end(h, vmid, &end, END_MS, err);
}

int guest_stop(const GuestHost *h, uint32_t vmid, const GuestStopOptions *options, Err *err)
{
    unsigned timeout = options->timeout_ms > 0 ? options->timeout_ms : GUEST_STOP_MS;
    g_auto(GuestProc) proc = GUEST_PROC_INIT;
    g_autoptr(VmConf) conf = NULL;
    const char *reason = "crashed";
    int r = load(h, vmid, options, &conf, err);

    if (r == 0) {
        r = guest_proc_find(h->run_dir, vmid, &proc, err);
    }
    if (r == 1) {
        pre_stop_hook(h, vmid, conf);
        r = end_process(h, vmid, &proc, timeout, &reason, err);
    }
    return r < 0 ? r : finish(h, vmid, options, reason, false, err);
}

/* --------------------------------------------------------------- shutdown */

static bool agent_enabled(const VmConf *conf, uint32_t vmid)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GuestConf) gc = NULL;
    const PropString *agent;

    if (guestconf_new(vmconf_main(conf), vmid, warnings, &gc, NULL) < 0) {
        return false; /* the running QEMU was started from an older text */
    }
    agent = guestconf_props(gc, "agent");
    return agent != NULL && propstring_bool(agent, "enabled");
}

/* An agent that obeys does not answer any more: no answer is no failure. */
static int ask_agent(const GuestHost *h, uint32_t vmid, Err *err)
{
    JsonTree *args = jsontree_new_object();
    int r;

    jsontree_set_text(args, "mode", "powerdown");
    r = guest_agent_call(h->run_dir, vmid, "guest-shutdown", args, ASK_MS, NULL, err);
    return r == -ETIMEDOUT || r == -EPIPE ? 0 : r;
}

static int ask_guest(const GuestHost *h, uint32_t vmid, const VmConf *conf, Err *err)
{
    if (conf != NULL && agent_enabled(conf, vmid) &&
        guest_agent_alive(h->run_dir, vmid, ALIVE_MS)) {
        Err agent = ERR_INIT;
        if (ask_agent(h, vmid, &agent) == 0) {
            return 0;
        }
        guest_say(h, GUEST_SAY_WARNING, "%s; using the power button", err_text(&agent));
    }
    return guest_qmp_call(h->run_dir, vmid, "system_powerdown", NULL, ASK_MS, NULL, err);
}

/* QEMU stays when its guest is off; whoever sees that first ends it. True when it is gone. */
static bool wait_off(const GuestHost *h, uint32_t vmid, const GuestProc *proc, unsigned timeout_ms)
{
    MonoTime deadline = mono_add_ms(clock_mono(), timeout_ms);

    while (mono_before(clock_mono(), deadline)) {
        g_autofree char *status = NULL;
        if (guest_proc_wait(proc, POLL_MS)) {
            return true;
        }
        if (guest_qmp_status(h->run_dir, vmid, &status, NULL) == 0 &&
            strcmp(status, "shutdown") == 0) {
            (void)!guest_qmp_call(h->run_dir, vmid, "quit", NULL, QUIT_MS, NULL, NULL);
            return guest_proc_wait(proc, GUEST_STOP_MS);
        }
    }
    return guest_proc_wait(proc, 0);
}

static unsigned shutdown_timeout(const VmConf *conf, const GuestStopOptions *o)
{
    const char *startup = conf != NULL ? vmsection_get(vmconf_main(conf), "startup") : NULL;
    const char *down = startup != NULL ? strstr(startup, "down=") : NULL;
    gint64 seconds = down != NULL ? g_ascii_strtoll(down + strlen("down="), NULL, 10) : 0;

    if (o->timeout_ms > 0) {
        return o->timeout_ms;
    }
    return seconds > 0 && seconds < 24 * 3600 ? (unsigned)seconds * 1000 : GUEST_SHUTDOWN_MS;
}

int guest_shutdown(const GuestHost *h, uint32_t vmid, const GuestStopOptions *options, Err *err)
{
    g_auto(GuestProc) proc = GUEST_PROC_INIT;
    g_autoptr(VmConf) conf = NULL;
    unsigned timeout;
    int r = load(h, vmid, options, &conf, err);

    if (r == 0) {
        r = guest_proc_find(h->run_dir, vmid, &proc, err);
    }
    if (r <= 0) {
        return r < 0 ? r : finish(h, vmid, options, "crashed", false, err);
    }
    timeout = shutdown_timeout(conf, options);
    pre_stop_hook(h, vmid, conf);
    r = ask_guest(h, vmid, conf, err);
    if (r == 0 && wait_off(h, vmid, &proc, timeout)) {
        return finish(h, vmid, options, "shutdown", false, err);
    }
    if (options->force) {
        const char *reason;
        guest_say(h, GUEST_SAY_WARNING, "%s, stopping it",
                  r < 0 ? err_text(err) : "the guest did not turn itself off");
        err_clear(err);
        r = end_process(h, vmid, &proc, GUEST_KILL_MS, &reason, err);
        return r < 0 ? r : finish(h, vmid, options, reason, false, err);
    }
    return r < 0 ? r
                 : err_setf(err, -ETIMEDOUT,
                            "VM %u did not turn itself off within %u s; 'qm stop' ends it", vmid,
                            timeout / 1000);
}
