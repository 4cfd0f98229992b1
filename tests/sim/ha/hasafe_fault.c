/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong, and what people do meanwhile. */
#include "ha-manager/core/ha_manager_status.h"
#include "tests/sim/ha/hasafe.h"

#include <string.h>

#define SEC US_PER_SEC

static HaSafeNode *some_node(HaSafe *s)
{
    return &s->nodes[hasafe_random(s, 0, (int64_t)s->n_nodes - 1)];
}

static int64_t a_while(HaSafe *s)
{
    int64_t lease = s->timing.lease_ms * US_PER_MS;

    return hasafe_chance(s, 1, 2) ? hasafe_random(s, SEC / 10, lease / 2)
                                  : hasafe_random(s, lease / 4, 3 * lease);
}

static void pause_daemon(HaSafe *s)
{
    HaSafeNode *n = some_node(s);
    HaSafeDaemon *d = hasafe_chance(s, 2, 3) ? &n->lrm : &n->crm;
    int64_t us = a_while(s);

    s->result.pauses++;
    if (hasafe_chance(s, 1, 2)) {
        d->calls_left = (unsigned)hasafe_random(s, 1, 60); /* between two calls, whichever */
        d->pause_us = us;
        return;
    }
    hasafe_say(s, n->name, "%s paused for %d ms", d->is_lrm ? "lrm" : "crm", (int)(us / 1000));
    d->paused_until = hasafe_now(s) + us;
}

static void pause_other(HaSafe *s)
{
    HaSafeNode *n = some_node(s);

    if (hasafe_chance(s, 1, 2)) {
        n->mux_until = hasafe_now(s) + hasafe_random(s, 0, 2 * s->timing.device_ms * US_PER_MS);
    } else {
        n->cfs_until = hasafe_now(s) + a_while(s);
    }
}

static void kill_daemon(HaSafe *s)
{
    HaSafeNode *n = some_node(s);
    HaSafeDaemon *d = hasafe_chance(s, 1, 2) ? &n->lrm : &n->crm;

    if (n->up && d->running) {
        hasafe_say(s, n->name, "%s killed", d->is_lrm ? "lrm" : "crm");
        hasafe_daemon_kill(d);
        if (hasafe_chance(s, 1, 2)) {
            hasafe_daemon_start(d); /* as systemd would */
        }
    }
}

static void upgrade(HaSafe *s)
{
    HaSafeNode *n = some_node(s);
    HaSafeDaemon *d = hasafe_chance(s, 1, 2) ? &n->crm : &n->lrm;

    if (d->running && !n->going_down) {
        hasafe_say(s, n->name, "restart of the %s", d->is_lrm ? "lrm" : "crm");
        hasafe_daemon_ask(d, (HaShutdown){false, false});
    }
}

static void shut_down(HaSafe *s)
{
    HaSafeNode *n = some_node(s);
    bool reboot = hasafe_chance(s, 1, 2);

    if (!n->up || !n->lrm.running || n->going_down) {
        return;
    }
    n->going_down = true;
    hasafe_say(s, n->name, reboot ? "reboot" : "shutdown");
    n->next_power = hasafe_now(s) + hasafe_random(s, SEC, reboot ? 120 * SEC : 900 * SEC);
    hasafe_daemon_ask(&n->lrm, (HaShutdown){true, reboot});
}

static void cut_power(HaSafe *s)
{
    HaSafeNode *n = some_node(s);

    hasafe_power_off(n);
    n->next_power = hasafe_now(s) + hasafe_random(s, SEC, 400 * SEC);
}

static void split(HaSafe *s)
{
    unsigned parts = (unsigned)hasafe_random(s, 1, 3);

    for (unsigned i = 0; i < s->n_nodes; i++) {
        s->nodes[i].part = (unsigned)hasafe_random(s, 1, parts);
    }
    s->result.partitions++;
    hasafe_say(s, "-", "network: %u parts", parts);
    hasafe_network_changed(s);
}

static void step_clock(HaSafe *s)
{
    some_node(s)->wall_offset += hasafe_random(s, -90000 * SEC, 90000 * SEC);
}

void hasafe_add_command(HaSafe *s, const char *text)
{
    char **where = &s->tree.files[HA_FILE_COMMANDS];
    g_autofree char *all = g_strconcat(*where != NULL ? *where : "", text, "\n", NULL);

    g_clear_pointer(where, g_ref_string_release);
    *where = g_ref_string_new(all);
}

static void ask(HaSafe *s)
{
    static const char *const verbs[] = {"migrate", "relocate"};
    g_autofree char *sid = hasafe_sid((unsigned)hasafe_random(s, 0, (int64_t)s->n_services - 1));
    g_autofree char *text =
        g_strdup_printf("%s %s %s", verbs[hasafe_random(s, 0, 1)], sid, some_node(s)->name);

    hasafe_say(s, "-", "command: %s", text);
    hasafe_add_command(s, text);
}

static void maintain(HaSafe *s)
{
    g_autofree char *text =
        g_strdup_printf("%s-node-maintenance %s", hasafe_chance(s, 1, 2) ? "enable" : "disable",
                        some_node(s)->name);

    hasafe_say(s, "-", "command: %s", text);
    hasafe_add_command(s, text);
}

static void write_resources(HaSafe *s)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char **where = &s->tree.files[HA_FILE_RESOURCES];

    for (unsigned i = 0; i < s->n_services; i++) {
        g_string_append_printf(text, "vm: %u\n\tstate %s\n\n", 100 + i,
                               s->disabled[i] ? "disabled"
                               : s->wanted[i] ? "started"
                                              : "stopped");
    }
    g_clear_pointer(where, g_ref_string_release);
    *where = g_ref_string_new(text->str);
}

static void change_mind(HaSafe *s)
{
    unsigned i = (unsigned)hasafe_random(s, 0, (int64_t)s->n_services - 1);

    s->wanted[i] = !s->wanted[i];
    write_resources(s);
}

/* Who has a device keeps one: what it does changes. */
static void change_device(HaSafe *s)
{
    HaSafeNode *n = some_node(s);

    if (n->device != HASAFE_NO_DEVICE) {
        n->device = (HaSafeDevice)hasafe_random(s, HASAFE_RIGHT, HASAFE_HANGING);
    }
}

typedef void (*Fault)(HaSafe *s);

/* One line a fault; the more often it is named, the more often it happens. */
static const Fault faults[] = {pause_daemon, pause_daemon, pause_daemon, pause_other,
                               kill_daemon,  upgrade,      shut_down,    cut_power,
                               split,        split,        step_clock,   ask,
                               ask,          maintain,     change_mind,  change_device};

static int64_t gap(HaSafe *s)
{
    int64_t lease = s->timing.lease_ms * US_PER_MS;

    return hasafe_chance(s, 1, 3) ? hasafe_random(s, 0, 3 * SEC) : hasafe_random(s, 0, lease);
}

static void next_fault(HaSafe *s, void *data)
{
    (void)data;
    if (!s->calm) {
        faults[hasafe_random(s, 0, (int64_t)G_N_ELEMENTS(faults) - 1)](s);
        hasafe_after(s, gap(s), next_fault, NULL);
    }
}

/* Somebody switches machines on again that are off. */
static void look_after(HaSafe *s, void *data)
{
    (void)data;
    for (unsigned i = 0; i < s->n_nodes; i++) {
        HaSafeNode *n = &s->nodes[i];

        if (!n->up && ((s->calm && !s->opt.drill) || hasafe_now(s) >= n->next_power)) {
            hasafe_power_on(n);
        }
    }
    hasafe_after(s, SEC, look_after, NULL);
}

void hasafe_mend_errors(HaSafe *s)
{
    const char *text = s->tree.files[HA_FILE_MANAGER_STATUS];
    g_autoptr(HaManagerStatus) ms = NULL;
    bool changed = false;

    for (unsigned i = 0; i < s->n_services; i++) {
        changed = changed || s->disabled[i];
    }
    if (!changed && (text == NULL || strstr(text, "\"error\"") == NULL)) {
        return; /* as nearly always */
    }
    changed = false;
    if (ha_manager_status_parse(text, NULL, NULL, &ms, NULL) < 0) {
        return;
    }
    for (unsigned i = 0; i < s->n_services; i++) {
        g_autofree char *sid = hasafe_sid(i);
        const HaService *service = strmap_get(ms->services, sid);
        bool in_error = service != NULL && service->state == HA_SERVICE_ERROR;

        if (in_error != s->disabled[i]) {
            s->disabled[i] = in_error;
            changed = true;
            hasafe_say(s, "-", "%s %s", in_error ? "disable" : "enable", sid);
        }
    }
    if (changed) {
        write_resources(s);
    }
}

void hasafe_faults_start(HaSafe *s)
{
    for (unsigned i = 0; i < s->n_services; i++) {
        s->wanted[i] = true;
    }
    write_resources(s);
    hasafe_after(s, s->timing.lease_ms * US_PER_MS, next_fault, NULL);
    hasafe_after(s, SEC, look_after, NULL);
}

void hasafe_faults_end(HaSafe *s)
{
    s->calm = true;
    hasafe_say(s, "-", "no more faults");
    for (unsigned i = 0; i < s->n_nodes; i++) {
        HaSafeNode *n = &s->nodes[i];
        g_autofree char *text = g_strdup_printf("disable-node-maintenance %s", n->name);

        n->part = 1;
        n->crm.paused_until = n->lrm.paused_until = n->mux_until = n->cfs_until = 0;
        hasafe_add_command(s, text);
        if (n->up && !(n->crm.running && n->lrm.running)) {
            hasafe_power_off(n); /* a daemon that stays dead is no state to settle in */
        }
    }
    hasafe_network_changed(s);
}
