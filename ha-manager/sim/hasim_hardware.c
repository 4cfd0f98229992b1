/* SPDX-License-Identifier: Apache-2.0 */
#include "ha-manager/sim/hasim_hardware.h"

#include <errno.h>
#include <string.h>

#define TIME_MAX      10000 /* a scenario that takes longer does not end */
#define QUIET_END     500   /* s after the last command */
#define LOOPS_A_LIST  5
#define LOOP_TIME_MIN 20

static const char *shutdown_name(HaSimShutdown s)
{
    return s == HASIM_REBOOT ? "reboot" : "shutdown";
}

static int __attribute__((format(printf, 5, 6)))
runf(HaSimWorld *w, HaSimSchedule *sched, Err *err, const char *source, const char *fmt, ...)
{
    g_autofree char *cmd = NULL;
    va_list ap;

    va_start(ap, fmt);
    cmd = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return hasim_command_run(w, sched, cmd, source, err);
}

static HaNow begin(HaSimDaemon *d)
{
    d->clock = d->world->time;
    return (HaNow){{d->clock * US_PER_SEC}, {d->clock}};
}

/* The clock goes on by one with every round, whatever happened in it. */
static void end(HaSimDaemon *d, bool exit)
{
    d->clock++;
    d->world->time = MAX(d->world->time, d->clock);
    if (exit) {
        d->world->log(d->world->log_ctx, "info", d->clock, d->source, "exit (loop end)");
    }
}

static int iterate_crm(HaSimWorld *w, HaSimSchedule *sched, HaSimNode *n, Err *err)
{
    HaNext next = ha_crm_round(n->crm.crm, begin(&n->crm));
    HaSimShutdown why = n->shutdown;
    int r = 0;

    end(&n->crm, next.exit);
    if (!next.exit) {
        return 0;
    }
    g_clear_pointer(&n->crm.crm, ha_crm_free);
    if (why != HASIM_NO_SHUTDOWN) {
        r = runf(w, sched, err, shutdown_name(why), "power %s off", n->name);
    }
    if (r == 0 && why == HASIM_REBOOT) {
        r = runf(w, sched, err, shutdown_name(why), "power %s on", n->name);
    }
    return r;
}

static int iterate_lrm(HaSimWorld *w, HaSimSchedule *sched, HaSimNode *n, Err *err)
{
    HaNext next = ha_lrm_round(n->lrm.lrm, begin(&n->lrm));

    end(&n->lrm, next.exit);
    if (!next.exit) {
        return 0;
    }
    g_clear_pointer(&n->lrm.lrm, ha_lrm_free);
    if (n->restart_lrm) {
        n->restart_lrm = false;
        hasim_start_lrm(n, w);
    }
    if (n->shutdown != HASIM_NO_SHUTDOWN) {
        return runf(w, sched, err, shutdown_name(n->shutdown), "crm %s stop", n->name);
    }
    return 0;
}

static int check_watchdogs(HaSimWorld *w, HaSimSchedule *sched, Err *err)
{
    for (guint i = 0; i < strmap_size(w->nodes); i++) {
        HaSimNode *n = strmap_value(w->nodes, i);
        int r;

        if (!hasim_node_watchdog_expired(n, w)) {
            continue;
        }
        r = runf(w, sched, err, "watchdog", "power %s off", n->name);
        if (r < 0) {
            return r;
        }
        hasim_log(w, "info", "hardware", "server '%s' stopped by poweroff (watchdog)", n->name);
    }
    return 0;
}

static int iterate_node(HaSimWorld *w, HaSimSchedule *sched, HaSimNode *n, bool first, Err *err)
{
    int r = 0;

    if (n->crm.crm != NULL) {
        if (sched->skip_crm == 0) {
            r = iterate_crm(w, sched, n, err);
        } else if (first) {
            hasim_log(w, "info", "run-loop", "skipping CRM round");
        }
    }
    if (r == 0 && n->lrm.lrm != NULL) {
        if (sched->skip_lrm == 0) {
            r = iterate_lrm(w, sched, n, err);
        } else if (first) {
            hasim_log(w, "info", "run-loop", "skipping LRM round");
        }
    }
    return r < 0 ? r : check_watchdogs(w, sched, err);
}

int hasim_hardware_loop(HaSimWorld *w, HaSimSchedule *sched, Err *err)
{
    int64_t start = w->time;
    int64_t looptime = MAX(LOOP_TIME_MIN, 2 * (int64_t)strmap_size(w->nodes));

    for (guint i = 0; i < strmap_size(w->nodes); i++) {
        int r = iterate_node(w, sched, strmap_value(w->nodes, i), i == 0, err);

        if (r < 0) {
            return r;
        }
    }
    sched->skip_crm -= sched->skip_crm > 0;
    sched->skip_lrm -= sched->skip_lrm > 0;
    w->time = MAX(w->time, start + looptime);
    for (guint i = 0; i < strmap_size(w->nodes); i++) {
        HaSimNode *n = strmap_value(w->nodes, i);

        n->crm.clock = w->time;
        n->lrm.clock = w->time;
    }
    return 0;
}

static int run_list(HaSimWorld *w, HaSimSchedule *sched, char **list, int64_t *last_cmd, Err *err)
{
    for (size_t i = 0; list[i] != NULL; i++) {
        int r;

        *last_cmd = w->time;
        r = hasim_command_run(w, sched, list[i], "cmdlist", err);
        if (r < 0) {
            return err_wrapf(err, r, "command '%s'", list[i]);
        }
    }
    return 0;
}

int hasim_hardware_run(HaSimWorld *w, const GPtrArray *lists, Err *err)
{
    HaSimSchedule sched = {0};
    int64_t last_cmd = 0;
    guint next_list = 0;

    hasim_log(w, "info", "hardware", "starting simulation");
    for (unsigned loop = 0;;) {
        int r = hasim_hardware_loop(w, &sched, err);

        if (r < 0) {
            return r;
        }
        if (w->time > TIME_MAX) {
            return err_setf(err, -ETIME, "simulation end - time out");
        }
        if (w->time < sched.next_cmd) {
            continue;
        }
        if (loop % LOOPS_A_LIST == 0) {
            if (next_list < lists->len) {
                r = run_list(w, &sched, g_ptr_array_index(lists, next_list), &last_cmd, err);
                next_list++;
            } else if (w->time - last_cmd > QUIET_END) {
                hasim_log(w, "info", "hardware", "exit simulation - done");
                return 0;
            }
            if (r < 0) {
                return r;
            }
        }
        loop++;
    }
}
